package api

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// behind notes what the headers of a proxy say of a classroom that has names besides
// localhost, in a container or a cloud editor. Any client can send these headers, so they
// are believed only where they name one of Config.ClassroomHosts: such a request becomes
// one to that name, and only such a request may have come over TLS to the proxy.
func (s *Server) behind(x *request, r *http.Request) {
	if len(s.config.ClassroomHosts) == 0 {
		return
	}
	name := s.named(r.Host)
	if name == "" && !isOfProxy(r.Host) {
		return
	}
	for _, host := range words(r.Header["X-Forwarded-Host"]) {
		name = cmp.Or(name, s.named(host))
	}
	secure := slices.ContainsFunc(words(r.Header["X-Forwarded-Proto"]), isHTTPS)
	for _, hop := range words(r.Header["Forwarded"]) {
		host, scheme := hostOf(hop)
		if known := s.named(host); known != "" {
			name, secure = cmp.Or(name, known), secure || isHTTPS(scheme)
		}
	}
	if name != "" {
		r.Host = name // the check of origins compares with it
		x.secure = x.secure || secure
	}
}

// isOfProxy says whether a proxy may have written this into Host, in the place of the
// name that it was asked for: an address, or a name without a dot. A page of an attacker
// that has its own name pointed here (DNS rebinding) can send every other header, but its
// name has a dot.
func isOfProxy(host string) bool {
	bare := strings.Trim(bareHost(host), "[]")
	_, err := netip.ParseAddr(bare)
	return bare != "" && (err == nil || !strings.Contains(bare, "."))
}

func isHTTPS(scheme string) bool { return strings.EqualFold(scheme, "https") }

// hostOf returns the host and the scheme in an element of Forwarded (RFC 7239).
func hostOf(hop string) (host, scheme string) {
	for part := range strings.SplitSeq(hop, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch value = strings.Trim(value, `"`); strings.ToLower(key) {
		case "host":
			host = value
		case "proto":
			scheme = value
		}
	}
	return host, scheme
}

// named returns the host as it is, if it is one of the classroom's names with any port, or
// as given.
func (s *Server) named(host string) string {
	bare, hosts := bareHost(host), s.config.ClassroomHosts
	host = strings.ToLower(host)
	if bare != "" && (slices.Contains(hosts, host) || slices.Contains(hosts, bare)) {
		return host
	}
	return ""
}

// words returns the elements of a list.
func words(lines []string) []string {
	all := strings.Split(strings.Join(lines, ","), ",")
	for i, word := range all {
		all[i] = strings.TrimSpace(word)
	}
	return all
}
