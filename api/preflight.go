package api

import (
	"log/slog"
	"net/http"
	"regexp"
	"slices"
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

// hintAtOrigin logs the first preflight of each origin that is not allowed: the
// browser tells the page's developer of CORS, and not how this server allows it.
func (s *Server) hintAtOrigin(c *gin.Context) {
	if c.Request.Method != http.MethodOptions || c.GetHeader("Access-Control-Request-Method") == "" {
		return
	}
	origin := c.GetHeader("Origin")
	if slices.Contains(s.config.AllowOrigins, origin) || !plainOrigins.MatchString(origin) || CheckOrigin(origin) != nil {
		return
	}
	if s.config.Process.hints.first(origin) {
		s.log.LogAttrs(c.Request.Context(), slog.LevelWarn, "the server refused a page of an origin that is not allowed: to allow the origin, start with --allow-origin "+origin)
	}
}
