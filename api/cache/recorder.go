package cache

import (
	"bufio"
	"net"
	"net/http"

	"github.com/gin-gonic/gin"
)

// A recorder holds an answer back until the handler is done and it is known
// whether others may have it. An answer that is too long, or that the handler
// wants sent before it is done, goes its way and is nobody else's.
type recorder struct {
	gin.ResponseWriter
	status   int
	body     []byte
	limit    int
	released bool
	// releasing is called once, before the first byte of an answer that is not
	// held back any longer.
	releasing func()
}

// release lets go what has been held back.
func (w *recorder) release() {
	if w.released {
		return
	}
	status := w.Status()
	w.released = true
	w.releasing()
	w.ResponseWriter.WriteHeader(status)
	w.ResponseWriter.WriteHeaderNow()
	if len(w.body) > 0 {
		_, _ = w.ResponseWriter.Write(w.body)
		w.body = nil
	}
}

// WriteHeader implements http.ResponseWriter. What comes before the answer
// itself, such as 103, goes its way.
func (w *recorder) WriteHeader(status int) {
	if w.released || status < http.StatusOK {
		w.ResponseWriter.WriteHeader(status)
		return
	}
	w.status = status
}

// WriteHeaderNow implements gin.ResponseWriter.
func (w *recorder) WriteHeaderNow() {
	if w.released {
		w.ResponseWriter.WriteHeaderNow()
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	if !w.released && len(w.body)+len(b) > w.limit {
		w.release()
	}
	if w.released {
		return w.ResponseWriter.Write(b)
	}
	w.body = append(w.body, b...)
	return len(b), nil
}

// WriteString implements io.StringWriter.
func (w *recorder) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// Status implements gin.ResponseWriter. Without a status of the handler it is
// Gin's: 404 where there is no route.
func (w *recorder) Status() int {
	if w.released || w.status == 0 {
		return w.ResponseWriter.Status()
	}
	return w.status
}

// Size implements gin.ResponseWriter.
func (w *recorder) Size() int {
	if w.released {
		return w.ResponseWriter.Size()
	}
	return len(w.body)
}

// Written implements gin.ResponseWriter.
func (w *recorder) Written() bool {
	return w.released && w.ResponseWriter.Written() || w.status != 0 || len(w.body) > 0
}

// Flush implements http.Flusher.
func (w *recorder) Flush() {
	w.release()
	w.ResponseWriter.Flush()
}

// Hijack implements http.Hijacker.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !w.released {
		w.released = true
		w.releasing()
	}
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
