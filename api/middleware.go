package api

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/rs/cors"

	"statelab/api/rest"
)

// Limits on what a request may carry besides its body, in bytes. Past them the
// answer is an error and never an anonymous visitor: a cookie that was dropped
// would look like a logout.
const (
	maxTarget      = 8 << 10
	maxCookies     = 100
	MaxCookieBytes = 16 << 10
)

// note remembers which route serves the request.
func (s *Server) note(c *gin.Context) {
	requestOf(c).route = c.FullPath()
}

// note remembers which strategy serves the request.
func (g *Group) note(c *gin.Context) {
	requestOf(c).group = g
}

// recover turns a panic into a 500. The log gets the stack and nothing of the
// request, which Gin's own recovery would print with its cookies.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) || c.Writer.Written() {
			panic(http.ErrAbortHandler) // too late for an answer: end the connection
		}
		c.Writer.Header().Del("Set-Cookie")
		s.Fail(c, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}()
	c.Next()
}

// onlyLocal keeps the classroom on this machine, or within its further names. A foreign
// name in Host is a page that has had its own name pointed here (DNS rebinding), and a
// forwarding header is a proxy in front.
func (s *Server) onlyLocal(c *gin.Context) {
	if len(s.config.ClassroomHosts) > 0 { // behind has judged what the headers of proxies say
		if r := c.Request; !isLocal(r.Host) && s.named(r.Host) == "" {
			s.Fail(c, errForeign)
		}
		return
	}
	if isForeign(c.Request) {
		s.Fail(c, errForeign)
	}
}

var errForeign = &rest.Fault{Code: "classroom_is_local",
	Detail: "Open the server as http://localhost, without a proxy, or start it with --classroom-host."}

// OnlyLocal refuses what a classroom refuses, for a handler that the classroom
// serves on a listener of its own.
func OnlyLocal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isForeign(r) {
			next.ServeHTTP(w, r)
			return
		}
		p := rest.ProblemOf(errForeign, r, requestID())
		h := w.Header()
		h["X-Request-Id"] = []string{p.RequestID}
		h["X-Content-Type-Options"] = headerNoSniff
		h["Content-Type"] = headerProblem
		h["Cache-Control"] = headerNoStore
		rest.Write(w, p.Status, p)
	})
}

// isForeign reports whether a request comes by a foreign name or through a proxy.
func isForeign(r *http.Request) bool { return !isLocal(r.Host) || isForwarded(r.Header) }

func isLocal(host string) bool {
	switch bareHost(host) {
	case "localhost", "127.0.0.1", "[::1]", "::1":
		return true
	}
	return false
}

// bareHost returns a host in lower case without its port, or "" for what is no port.
func bareHost(host string) string {
	if h, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return ""
		}
		host = h
	}
	return strings.ToLower(host)
}

func isForwarded(h http.Header) bool {
	for name := range h {
		if isForwarding(name) {
			return true
		}
	}
	return false
}

// isForwarding reports whether a header is one of those by which proxies speak.
func isForwarding(name string) bool {
	return name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-")
}

// shareWith lets pages of the allowed origins read the answers (CORS), errors
// included, and answers their preflights: for every path, since a page that got
// no leave to ask would not be told of a 404 but that the origin is not allowed.
// Such a page may send any header but those of proxies: tracing and libraries add their own,
// the server ignores what it does not know, and the page could read and change everything
// of its user without them.
func (s *Server) shareWith(origins []string) gin.HandlerFunc {
	policy := cors.New(cors.Options{
		AllowOriginFunc:  func(origin string) bool { return slices.Contains(origins, origin) },
		AllowedMethods:   []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"},
		AllowedHeaders:   []string{"*"}, // each preflight permits the names that it asks for
		ExposedHeaders:   []string{"ETag", "Link", "Retry-After", "X-Request-Id", "Cache-Status", "Server-Timing"},
		AllowCredentials: true,
		MaxAge:           600, // seconds that a browser may remember a preflight
	})
	return func(c *gin.Context) {
		policy.HandlerFunc(c.Writer, c.Request)
		if isPreflight(c.Request) { // and answered
			c.Writer.WriteHeaderNow()
			c.Abort()
		}
	}
}

// CheckOrigin returns an error unless a browser could send this in Origin (RFC
// 6454, 6.2): a scheme, a host in lower case, and a port that is not the
// scheme's own. Anything else in the list would be a mistake that allows nobody.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && origin == u.Scheme+"://"+u.Host &&
		u.Host == strings.ToLower(u.Host) && !strings.ContainsAny(u.Host, "*@ ") && !strings.HasSuffix(u.Host, ":") &&
		u.Port() != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		return nil
	}
	return fmt.Errorf("%q is not an origin: use scheme, host and port only, such as http://localhost:5173", origin)
}

// onlyShort refuses requests whose target or cookies are too long.
func (s *Server) onlyShort(c *gin.Context) {
	if len(c.Request.RequestURI) > maxTarget {
		s.Fail(c, rest.Faultf("uri_too_long", "A path and its query may have at most %d bytes together.", maxTarget))
		return
	}
	count, bytes := 0, 0
	for _, line := range c.Request.Header["Cookie"] {
		count += strings.Count(line, ";") + 1
		bytes += len(line)
	}
	if count > maxCookies || bytes > MaxCookieBytes {
		s.Fail(c, rest.Faultf("header_too_large", "A request may have at most %d cookies, with %d bytes in total. Delete cookies of this site.",
			maxCookies, MaxCookieBytes))
	}
}

// onlySameOrigin refuses requests that could change something and come from a
// page of another origin (OWASP CSRF Prevention: Fetch Metadata headers). It
// looks at Sec-Fetch-Site and Origin, which no page can set. A lesson can have
// strategies go without it, and nothing else: the levers that end the lesson are
// not to be pulled by the page that attacks.
func (s *Server) onlySameOrigin(c *gin.Context) {
	if s.config.NoOriginCheck && s.servesStrategy(c.FullPath()) {
		return
	}
	if s.csrf.Check(c.Request) != nil {
		s.Fail(c, rest.Faultf("csrf_blocked",
			"A page of another origin sent the request. To allow this origin, start the server with --allow-origin."))
	}
}

// credentialHeaders returns the request headers that carry credentials of the mounted
// strategies: those that browsers send by themselves, or those that scripts set.
func (s *Server) credentialHeaders(sentByBrowser bool) []string {
	var names []string
	for _, g := range s.groups {
		if c := g.Strategy.Carriage(new(http.Request)); c.SentByBrowser == sentByBrowser && !slices.Contains(names, c.Header) {
			names = append(names, c.Header)
		}
	}
	return names
}

// servesStrategy says whether a route is one of a strategy's.
func (s *Server) servesStrategy(route string) bool {
	return slices.ContainsFunc(s.groups, func(g *Group) bool { return strings.HasPrefix(route, "/"+g.Slug+"/") })
}

// onlyJSON refuses requests that would not take JSON for an answer.
func (s *Server) onlyJSON(c *gin.Context) {
	if Accepted(c.Request, "application/json", "application/problem+json") == "" {
		s.Fail(c, rest.Faultf("not_acceptable", "Send Accept: application/json, or no Accept header."))
	}
}

// Accepted returns the one of the types that the header Accept gives the most weight, of
// equal ones the first, or "" if it admits none (RFC 9110, 12.5.1). Without the header it
// is the first.
func Accepted(r *http.Request, types ...string) string {
	lines := r.Header["Accept"]
	if len(lines) == 0 {
		return types[0]
	}
	best, most := "", 0.0
	for _, t := range types {
		if weight := weightOf(lines, t); weight > most {
			best, most = t, weight
		}
	}
	return best
}

// weightOf is the weight of the most specific range that a type is in, or 0.
func weightOf(lines []string, mediaType string) (weight float64) {
	kind, _, _ := strings.Cut(mediaType, "/")
	specific := -1
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			mediaRange, params, _ := strings.Cut(part, ";")
			mediaRange = strings.ToLower(strings.TrimSpace(mediaRange))
			found := slices.Index([]string{"*/*", kind + "/*", mediaType}, cmp.Or(mediaRange, "*/*"))
			switch {
			case found > specific:
				specific, weight = found, quality(params)
			case found == specific && found >= 0: // named twice
				weight = max(weight, quality(params))
			}
		}
	}
	return weight
}

// quality is the weight among the parameters of a media range; 1 if there is none.
func quality(params string) float64 {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			if weight, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil && weight >= 0 { // NaN is not
				return weight
			}
		}
	}
	return 1
}

// place notes where a request comes from: the client's address, and whether the
// client came over TLS. A connection speaks for itself, unless a trusted proxy is at
// its other end; then X-Forwarded-For and X-Forwarded-Proto do. From any other peer
// they are a client's invention, and a scheme in the request line is one always.
func (s *Server) place(x *request, r *http.Request) {
	x.client, x.secure = remoteHost(r), r.TLS != nil
	if len(s.config.TrustedProxies) == 0 {
		return
	}
	peer, err := netip.ParseAddr(x.client)
	if err != nil || !s.trusts(peer) {
		return
	}
	x.client = s.forwardedFor(peer, r.Header["X-Forwarded-For"]).String()
	// The last word is that of the proxy next to us; those before it were in the
	// header when the request came to that one.
	if all := words(r.Header["X-Forwarded-Proto"]); isHTTPS(all[len(all)-1]) {
		x.secure = true
	}
}

// forwardedFor is the address nearest to us that is no trusted proxy. Each proxy
// adds at the right whom it has heard, so what a client makes up stands to the
// left of the client's own address and is never reached.
//
// Gin's ClientIP reads the first line of the header alone, which may be the client's, and
// takes no port and no zone: behind a proxy that adds one, all clients have one address.
func (s *Server) forwardedFor(peer netip.Addr, lines []string) netip.Addr {
	hops := strings.Split(strings.Join(lines, ","), ",")
	for _, hop := range slices.Backward(hops) {
		ip, err := parseHop(strings.TrimSpace(hop))
		if err != nil {
			return peer // whoever sent this is the nearest one that has an address
		}
		if peer = ip; !s.trusts(ip) {
			break
		}
	}
	return peer
}

// parseHop reads an address; some proxies add the port.
func parseHop(hop string) (netip.Addr, error) {
	ip, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	if err != nil {
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(hop)
		ip = withPort.Addr()
	}
	return ip.Unmap().WithZone(""), err
}

// trusts says whether the address is that of a trusted proxy.
func (s *Server) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(s.config.TrustedProxies, func(network netip.Prefix) bool { return network.Contains(ip.Unmap()) })
}

// ParseProxies reads networks of proxies that are to be trusted. One of all
// addresses is an error: it would leave it to clients who they are. So is one of
// IPv4 addresses in IPv6, which would fit none.
func ParseProxies(networks []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range networks {
		network, err := netip.ParsePrefix(text)
		if err != nil || network.Bits() == 0 || network.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is not a network of proxies: use one such as 10.0.0.0/8 or 127.0.0.1/32", text)
		}
		all = append(all, network)
	}
	return all, nil
}

// remoteHost is the address at the other end of the connection, without its
// port.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
