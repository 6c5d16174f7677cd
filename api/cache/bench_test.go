package cache_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"statelab/api/cache"
)

// discard is a ResponseWriter that costs next to nothing.
type discard struct{ header http.Header }

func (w *discard) Header() http.Header         { return w.header }
func (w *discard) Write(b []byte) (int, error) { return len(b), nil }
func (w *discard) WriteHeader(int)             {}

// exchanges are one request, answered by a hit and in ways to compare it with.
func exchanges() map[string]func() {
	body := []byte(strings.Repeat("x", 10_000))
	handler := func(c *gin.Context) {
		h := c.Writer.Header()
		h["Cache-Control"], h["Content-Type"], h["Etag"] = []string{"max-age=3600"}, []string{"text/plain"}, []string{`"a"`}
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
		c.Writer.WriteHeader(200)
		_, _ = c.Writer.Write(body)
	}
	bare, cached := gin.New(), gin.New()
	bare.GET("/", func(c *gin.Context) { // and what a hit says besides
		c.Writer.Header()["Age"], c.Writer.Header()["Cache-Status"] = []string{"0"}, []string{"cache; hit; ttl=3600"}
		handler(c)
	})
	now := time.Now()
	cached.Use(cache.New(cache.Config{Store: cache.NewMemory(0), Now: func() time.Time { return now }}).Handle)
	cached.GET("/", handler)
	serve := func(e *gin.Engine, headers ...string) func() {
		r := httptest.NewRequest("GET", "/", nil)
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
		e.ServeHTTP(&discard{http.Header{}}, r)
		return func() { e.ServeHTTP(&discard{make(http.Header)}, r) }
	}
	return map[string]func(){
		"bare Gin": serve(bare), "hit": serve(cached), "304": serve(cached, `If-None-Match: "a"`), "bypass": serve(cached, "Cookie: a=b"),
		"miss": serve(cached, "Cache-Control: no-cache"),
	}
}

func BenchmarkCache(b *testing.B) {
	for name, serve := range exchanges() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
		})
	}
}

// A hit allocates no more than the same answer would from memory in a bare Gin
// server, and a 304 not either.
func TestAHitAllocatesNothingOfItsOwn(t *testing.T) {
	all := exchanges()
	bare := testing.AllocsPerRun(100, all["bare Gin"])
	require.LessOrEqual(t, testing.AllocsPerRun(100, all["hit"]), bare)
	require.LessOrEqual(t, testing.AllocsPerRun(100, all["304"]), bare)
}
