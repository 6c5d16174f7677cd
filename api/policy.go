package api

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/gin-gonic/gin"
)

// Limits on what a request may carry besides its body, in bytes. Past them the
// answer is an error and never an anonymous visitor: a cookie that was dropped
// would look like a logout.
const (
	maxTarget      = 8 << 10
	maxCookies     = 100
	maxCookieBytes = 16 << 10
)

// note remembers which route serves the request.
func (s *Server) note(c *gin.Context) {
	of(c).route = c.FullPath()
}

// note remembers which strategy serves the request.
func (col *column) note(c *gin.Context) {
	of(c).column = col
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
		s.fail(c, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
	}()
	c.Next()
}

// onlyLocal keeps the classroom on this machine. A foreign name in Host is a
// page that has had its own name pointed here (DNS rebinding), and a forwarding
// header is a proxy in front.
func (s *Server) onlyLocal(c *gin.Context) {
	if !isLocal(c.Request.Host) || isForwarded(c.Request.Header) {
		s.fail(c, faultf("classroom_is_local", "Open it as http://localhost, without a proxy."))
	}
}

func isLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	switch strings.ToLower(host) {
	case "localhost", "127.0.0.1", "[::1]", "::1":
		return true
	}
	return false
}

func isForwarded(h http.Header) bool {
	for name := range h {
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

// onlyShort refuses requests whose target or cookies are too long.
func (s *Server) onlyShort(c *gin.Context) {
	if len(c.Request.RequestURI) > maxTarget {
		s.fail(c, faultf("uri_too_long", "A path with its query has at most %d bytes.", maxTarget))
		return
	}
	count, bytes := 0, 0
	for _, line := range c.Request.Header["Cookie"] {
		count += strings.Count(line, ";") + 1
		bytes += len(line)
	}
	if count > maxCookies || bytes > maxCookieBytes {
		s.fail(c, faultf("header_too_large", "A request carries at most %d cookies and %d bytes of them. Delete cookies of this site.",
			maxCookies, maxCookieBytes))
	}
}

// onlySameOrigin refuses requests that could change something and come from a
// page of another origin (OWASP CSRF Prevention: Fetch Metadata headers). It
// looks at Sec-Fetch-Site and Origin, which no page can set.
func (s *Server) onlySameOrigin(c *gin.Context) {
	if s.csrf.Check(c.Request) != nil {
		s.fail(c, faultf("csrf_blocked", "A page elsewhere has sent it. Allow its origin with --allow-origin, if it is yours."))
	}
}

// onlyJSON refuses requests that would not take JSON for an answer.
func (s *Server) onlyJSON(c *gin.Context) {
	if !accepts(c.Request, "application/json", "application/problem+json") {
		s.fail(c, faultf("not_acceptable", "Send Accept: application/json, or none."))
	}
}

// accepts says whether a header Accept, if there is one, admits one of the types
// (RFC 9110, 12.5.1).
func accepts(r *http.Request, types ...string) bool {
	lines := r.Header["Accept"]
	if len(lines) == 0 {
		return true
	}
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			mediaRange, params, _ := strings.Cut(part, ";")
			mediaRange = strings.ToLower(strings.TrimSpace(mediaRange))
			if q := strings.ReplaceAll(params, " ", ""); q == "q=0" || strings.HasPrefix(q, "q=0.000") {
				continue
			}
			if mediaRange == "*/*" || mediaRange == "" {
				return true
			}
			for _, t := range types {
				if kind, _, _ := strings.Cut(t, "/"); mediaRange == t || mediaRange == kind+"/*" {
					return true
				}
			}
		}
	}
	return false
}

// remoteHost is the address of the client, without its port.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
