package api

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/state"
	"statelab/state/store"
)

// A request is what a client asks together with its answer: the context that the request
// runs in, the writer that its answer goes through, and what is noted of both
// for the access line. One allocation serves all three.
type request struct {
	context.Context
	http.ResponseWriter

	start  time.Time
	cost   store.Cost    // what the stores were asked
	auth   time.Duration // spent on finding out who asks, stores included
	client string        // the address of the client
	secure bool          // the client came over TLS
	group  *Group        // of the strategy that serves the request, if one does
	route  string        // the pattern, never the path: a path may hold a mistake worth hiding
	code   string        // of the problem, if the answer is one
	// Of the account and the login that the request turned out to be about.
	subject, login string
	status         int
	bytes          int

	// The values of three headers stand here, to spare their slices.
	id, timing, etag [1]string
}

type requestKey struct{}

// Value makes the request, the cost in it and the decision on TLS part of the
// request's context.
func (x *request) Value(key any) any {
	switch key {
	case requestKey{}:
		return x
	case store.CostKey:
		return &x.cost
	case state.SecureKey:
		return x.secure
	}
	return x.Context.Value(key)
}

// requestOf returns the request that a Gin context belongs to.
func requestOf(c *gin.Context) *request {
	return c.Request.Context().Value(requestKey{}).(*request) //nolint:forcetypeassert // ServeHTTP has put it there
}

// Headers that every answer carries. The slices are shared by all answers and
// never written to: their length is their capacity.
var (
	headerNoSniff  = []string{"nosniff"}
	headerNoRefer  = []string{"no-referrer"}
	headerSameSite = []string{"same-origin"}
	headerNoStore  = []string{"no-store"}
	headerClose    = []string{"close"}
	headerJSON     = []string{"application/json; charset=utf-8"}
	headerProblem  = []string{"application/problem+json; charset=utf-8"}
	headerHTML     = []string{"text/html; charset=utf-8"}
	// An answer that is data shows nothing, runs nothing and is framed by
	// nobody, whatever a browser takes it for.
	headerDataPolicy = []string{"default-src 'none'; frame-ancestors 'none'"}
	// Whoever came over TLS once comes that way for a year (RFC 6797; OWASP ASVS
	// 5.0, 3.4.1). Over plain HTTP it would mean nothing.
	headerTransport = []string{"max-age=31536000; includeSubDomains"}
)

// ServeHTTP answers one request. Everything that holds for all answers is here.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &request{Context: r.Context(), ResponseWriter: w, start: time.Now()}
	x.id[0] = requestID()

	h := w.Header()
	h["X-Request-Id"] = x.id[:]
	h["X-Content-Type-Options"] = headerNoSniff
	h["Referrer-Policy"] = headerNoRefer
	h["Cross-Origin-Resource-Policy"] = headerSameSite
	h["Content-Security-Policy"] = headerDataPolicy
	h["Cache-Control"] = headerNoStore // unless the route says otherwise
	if len(r.TransferEncoding) > 0 || r.ContentLength != 0 && !r.ProtoAtLeast(1, 1) {
		// net/http does not tell whether a length stood beside the chunks, nor in
		// HTTP/1.0 chunks beside the length. Somebody on the way may have gone by the
		// other one, so what follows on this connection must not be read as requests
		// (RFC 9112, 6.1).
		h["Connection"] = headerClose
	}

	r = r.WithContext(x)
	s.place(x, r)
	s.behind(x, r)
	if x.secure {
		h["Strict-Transport-Security"] = headerTransport
	}
	s.engine.ServeHTTP(x, r)
	took := time.Since(x.start)
	if e := s.config.Extension; e != nil {
		e.Answered(s, r, x.status, x.code)
	}
	s.metrics.request(x, r.Method, took)
	s.accessLine(x, r, took)
}

// requestID names a request in answers and logs. It is always our own: one
// that a client could choose would be a way to write into the log. It takes 104 ns and
// 16 bytes, where crypto/rand.Text takes 675 ns and 32: a name needs no secret.
func requestID() string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	var b [16]byte
	for i, n := 0, rand.Uint64(); i < len(b)/2; i++ { // #nosec G404 -- a name, not a secret
		b[i] = alphabet[n>>(5*i)&31]
	}
	for i, n := 0, rand.Uint64(); i < len(b)/2; i++ { // #nosec G404 -- as above
		b[len(b)/2+i] = alphabet[n>>(5*i)&31]
	}
	return string(b[:])
}

// WriteHeader adds what is known only when the answer begins.
func (x *request) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
		x.timing[0] = x.serverTiming()
		x.Header()["Server-Timing"] = x.timing[:]
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *request) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	n, err := x.ResponseWriter.Write(b)
	x.bytes += n
	return n, err
}

// Flush implements http.Flusher, which Gin relies on.
func (x *request) Flush() {
	if f, ok := x.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (x *request) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// serverTiming returns the value of Server-Timing (W3C): the times in milliseconds, and
// how often this request has read and written the store. The page shows these numbers,
// and so does a browser's Network panel.
func (x *request) serverTiming() string {
	total := time.Since(x.start)
	b := make([]byte, 0, 96)
	b = appendTiming(b, "auth;dur=", max(x.auth-x.cost.Took, 0))
	b = appendCount(b, `, store;desc="`, x.cost.Reads, " read")
	b = appendCount(b, ", ", x.cost.Writes, " write")
	b = appendTiming(b, `";dur=`, x.cost.Took)
	b = appendTiming(b, ", handler;dur=", max(total-max(x.auth, x.cost.Took), 0))
	return string(b)
}

// appendCount appends a number with its word, in the plural if it is not 1.
func appendCount(b []byte, before string, n int, word string) []byte {
	b = append(strconv.AppendInt(append(b, before...), int64(n), 10), word...)
	if n != 1 {
		b = append(b, 's')
	}
	return b
}

func appendTiming(b []byte, name string, d time.Duration) []byte {
	us := d.Microseconds()
	b = strconv.AppendInt(append(b, name...), us/1000, 10)
	return append(b, '.', byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
}

// accessLine writes the one line that each request leaves in the log. It names
// the route and not the path, and neither query, header nor body: a credential
// can be in any of them.
func (s *Server) accessLine(x *request, r *http.Request, took time.Duration) {
	if !s.log.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs, slog.String("method", LoggedMethod(r.Method)), slog.String("route", x.route), slog.Int("status", x.status))
	if x.code != "" {
		attrs = append(attrs, slog.String("code", x.code))
	}
	if x.cost.Reads+x.cost.Writes > 0 {
		attrs = append(attrs, slog.Int("store_reads", x.cost.Reads), slog.Int("store_writes", x.cost.Writes))
	}
	attrs = append(attrs, slog.Int("bytes", x.bytes), slog.Int64("us", took.Microseconds()),
		slog.String("request_id", x.id[0]), slog.String("address", x.client))
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
}

// LoggedMethod returns a method of RFC 9110 or RFC 5789 as it is, and one word for all
// others: a client can send a method of many thousand bytes.
func LoggedMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "other"
}
