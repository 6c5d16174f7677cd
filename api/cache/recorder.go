package cache

import (
	"bufio"
	"maps"
	"net"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
)

// A recorder holds an answer back until the handler is done and it is known
// whether others may have it. An answer that is too long, or that the handler
// wants sent before it is done, goes its way to this client alone. To handlers it is
// Gin's own writer: TestTheRecorderIsGinsWriter compares them operation by operation.
type recorder struct {
	gin.ResponseWriter
	status   int
	size     int         // of the body; as in Gin's writer, -1 until the answer begins
	header   http.Header // as it was when the answer began: later changes are too late
	body     []byte
	limit    int
	released bool
	// releasing is called once, before the first byte of an answer that is not
	// held back any longer.
	releasing func()
}

// begin fixes status and headers, as sending them would.
func (w *recorder) begin() {
	if w.size >= 0 {
		return
	}
	w.size, w.header = 0, w.Header().Clone()
	if len(w.header["Trailer"]) > 0 {
		w.release() // the cache keeps nothing of what comes after the body
	}
}

// restore takes back what the handler did to the headers after the answer began, but for
// trailers.
func (w *recorder) restore() {
	h := w.Header()
	for name := range h {
		if w.header[name] == nil && !strings.HasPrefix(name, http.TrailerPrefix) {
			delete(h, name)
		}
	}
	maps.Copy(h, w.header)
}

// release lets go what has been held back. Middleware outside the cache decides about an
// answer at the first Write, so one that has a body begins with that.
func (w *recorder) release() {
	if w.released {
		return
	}
	w.released = true
	if w.header != nil {
		late := made(w.header, w.Header())
		w.restore()
		defer apply(w.Header(), late) // the handler goes on with what it has set
	}
	w.releasing()
	w.ResponseWriter.WriteHeader(w.status)
	if len(w.body) > 0 {
		_, _ = w.ResponseWriter.Write(w.body)
		w.body = nil
	} else if w.size >= 0 {
		w.ResponseWriter.WriteHeaderNow()
	}
}

// WriteHeader implements http.ResponseWriter. As Gin's, it sends nothing.
func (w *recorder) WriteHeader(status int) {
	switch {
	case w.released:
		w.ResponseWriter.WriteHeader(status)
	case status > 0 && w.size < 0:
		w.status = status
	}
}

// WriteHeaderNow implements gin.ResponseWriter.
func (w *recorder) WriteHeaderNow() {
	w.begin()
	if w.released {
		w.ResponseWriter.WriteHeaderNow()
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.begin()
	if !w.released && len(w.body)+len(b) > w.limit {
		w.release()
	}
	switch {
	case w.released:
		return w.ResponseWriter.Write(b)
	case len(b) > 0 && (w.status < http.StatusOK || w.status == http.StatusNoContent || w.status == http.StatusNotModified):
		return 0, http.ErrBodyNotAllowed // as net/http has it
	}
	w.body = append(w.body, b...)
	w.size = len(w.body)
	return len(b), nil
}

// WriteString implements io.StringWriter.
func (w *recorder) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// Status implements gin.ResponseWriter. Without a status of the handler it is
// Gin's: 404 where there is no route.
func (w *recorder) Status() int {
	if w.released {
		return w.ResponseWriter.Status()
	}
	return w.status
}

// Size implements gin.ResponseWriter.
func (w *recorder) Size() int {
	if w.released {
		return w.ResponseWriter.Size()
	}
	return w.size
}

// Written implements gin.ResponseWriter.
func (w *recorder) Written() bool { return w.Size() >= 0 }

// Flush implements http.Flusher.
func (w *recorder) Flush() {
	w.begin()
	w.release()
	w.ResponseWriter.Flush()
}

// Hijack implements http.Hijacker. Gin's writer refuses it if a body has begun.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.release()
	return w.ResponseWriter.Hijack()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A notifier calls a function once, before an answer begins.
type notifier struct {
	gin.ResponseWriter
	called bool
	before func(status int)
}

// begin calls the function unless it has been called.
func (w *notifier) begin() {
	if !w.called {
		w.called = true
		w.before(w.Status())
	}
}

// WriteHeaderNow implements gin.ResponseWriter.
func (w *notifier) WriteHeaderNow() {
	w.begin()
	w.ResponseWriter.WriteHeaderNow()
}

func (w *notifier) Write(b []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(b)
}

// WriteString implements io.StringWriter.
func (w *notifier) WriteString(s string) (int, error) {
	w.begin()
	return w.ResponseWriter.WriteString(s)
}

// Flush implements http.Flusher.
func (w *notifier) Flush() {
	w.begin()
	w.ResponseWriter.Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *notifier) Unwrap() http.ResponseWriter { return w.ResponseWriter }
