package cache

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
)

// answer sends an entry, or what the request wants of it.
func (c *Cache) answer(g *gin.Context, e *Entry, age, status []string) {
	g.Abort()
	h := g.Writer.Header()
	encodes := h["Content-Encoding"] != nil
	apply(h, e.Header)
	if age != nil {
		h["Age"] = age
	}
	if before := h["Cache-Status"]; before != nil {
		status = append(slices.Clip(before), status...)
	}
	h["Cache-Status"] = status
	r := g.Request
	switch {
	case e.Status == http.StatusOK && notModified(r, h):
		sendNotModified(g.Writer)
	case e.Status == http.StatusOK && r.Header["Range"] != nil && r.Method == http.MethodGet && !encodes: // whose parts are others
		http.ServeContent(g.Writer, r, "", time.Time{}, bytes.NewReader(e.Body))
	default:
		send(g.Writer, e.Status, e.Body, r.Method, encodes)
	}
}

// sendNotModified answers 304. What is about the body goes with the body.
func sendNotModified(w gin.ResponseWriter) {
	for _, name := range []string{"Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Range"} {
		delete(w.Header(), name)
	}
	w.WriteHeader(http.StatusNotModified)
	w.WriteHeaderNow()
}

// send sends a whole answer. If middleware outside the cache encodes it, the length is
// another one, and that middleware decides at the first Write or at the end whether it
// does: the status must not be sent before.
func send(w gin.ResponseWriter, status int, body []byte, method string, encodes bool) {
	h := w.Header()
	hasBody := status != http.StatusNoContent && status != http.StatusNotModified
	if hasBody && !encodes && h["Transfer-Encoding"] == nil && h["Content-Length"] == nil {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	switch {
	case len(body) > 0 && method != http.MethodHead:
		_, _ = w.Write(body)
	case !encodes:
		w.WriteHeaderNow()
	}
}
