package api

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"statelab/api/rest"
	"statelab/auth"
)

// retryAfter is what a 503, and a 409 busy, ask a client to wait, in seconds.
const retryAfter = 2

// Fail answers with the problem that err is, and ends the request.
func (s *Server) Fail(c *gin.Context, err error) {
	x := requestOf(c)
	f := rest.FaultOf(err)
	x.code = f.Code
	if bound, ok := boundOf(err); ok {
		s.metrics.refusals.add(bound)
	}
	p := rest.ProblemOf(f, c.Request, x.id[0])
	h := c.Writer.Header()
	if x.group != nil {
		if challenge := x.group.challenge(c.Request, p.Status, f.Code); challenge != "" {
			h.Set("WWW-Authenticate", challenge)
		}
	}
	if p.Status == http.StatusServiceUnavailable || f.Code == "busy" {
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	if t := (*auth.ThrottledError)(nil); errors.As(err, &t) {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(t.RetryAfter.Seconds()))))
	}
	// The error itself is for the log alone, once, and only where the server
	// is at fault: it may name hosts and paths.
	if p.Status >= http.StatusInternalServerError && p.Status != http.StatusNotImplemented && !errors.Is(err, context.Canceled) {
		s.log.LogAttrs(x, slog.LevelError, "failed", slog.String("code", f.Code),
			slog.String("route", x.route), slog.String("request_id", x.id[0]), slog.Any("error", err))
	}
	if event, ok := audited[f.Code]; ok {
		s.Audit(c, event)
	}
	h["Content-Type"] = headerProblem
	h["Cache-Control"] = headerNoStore
	h.Del("ETag")
	c.Abort()
	rest.Write(c.Writer, p.Status, p)
}
