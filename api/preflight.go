package api

import (
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
)

// maxHints is how many origins a hint is logged for. Past them no more is logged:
// what clients send must take up neither memory nor the log.
const maxHints = 100

// hints remembers the origins that the log has named. Servers that take over from
// each other in one process share it. It is safe for concurrent use.
type hints struct {
	mu     sync.Mutex
	origin map[string]bool
}

// first reports whether the origin is new and there is room for it.
func (h *hints) first(origin string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.origin[origin] || len(h.origin) >= maxHints {
		return false
	}
	h.origin[origin] = true
	return true
}

// plainOrigins are origins that can be logged and allowed: a client writes what it
// likes into the header.
var plainOrigins = regexp.MustCompile(`^https?://[a-z0-9.:\[\]-]{1,100}$`)

// preflight answers the preflights that get no leave whatever the list of origins says. It
// answers them as the others are answered, without the headers that permit something: with
// another status, browsers report a broken server and not an origin that is not allowed.
func (s *Server) preflight(c *gin.Context) {
	if !isPreflight(c.Request) {
		return
	}
	s.hintAtOrigin(c)
	if len(s.config.AllowOrigins) == 0 || asksToForward(c.Request) {
		c.AbortWithStatus(http.StatusNoContent)
	}
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// asksToForward reports whether a page wants to send what only a proxy may say.
func asksToForward(r *http.Request) bool {
	for _, line := range r.Header["Access-Control-Request-Headers"] {
		for name := range strings.SplitSeq(line, ",") {
			if isForwarding(http.CanonicalHeaderKey(strings.TrimSpace(name))) {
				return true
			}
		}
	}
	return false
}

// hintAtOrigin logs the first preflight of each origin that is not allowed: the
// browser tells the page's developer of CORS, and not how this server allows it.
func (s *Server) hintAtOrigin(c *gin.Context) {
	origin := c.GetHeader("Origin")
	if slices.Contains(s.config.AllowOrigins, origin) || !plainOrigins.MatchString(origin) || CheckOrigin(origin) != nil {
		return
	}
	if s.config.Process.hints.first(origin) {
		s.log.LogAttrs(c.Request.Context(), slog.LevelWarn,
			"the server refused a page of an origin that is not allowed: to allow the origin, start with --allow-origin "+origin)
	}
}
