package cache_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/api/cache"
)

// One line puts a cache in front of a Gin application. Whoever sends a cookie or a
// token is answered by the handler, and what that answers is nobody else's.
func ExampleCache_Handle() {
	gin.SetMode(gin.ReleaseMode)
	app := gin.New()
	app.Use(cache.New(cache.Config{Store: cache.NewMemory(0), TTL: time.Minute}).Handle)

	app.GET("/hello", func(c *gin.Context) {
		name := c.GetHeader("Cookie")
		if name == "" {
			name = "stranger"
		} else {
			c.Header("Set-Cookie", "seen=1")
		}
		c.String(http.StatusOK, "hello %s", name)
	})
	app.PUT("/hello", func(c *gin.Context) { c.Status(http.StatusNoContent) })

	ask := func(method, cookie string) {
		r := httptest.NewRequest(method, "/hello", nil)
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		w := httptest.NewRecorder()
		app.ServeHTTP(w, r)
		status, _, _ := strings.Cut(w.Header().Get("Cache-Status"), "; ttl=")
		fmt.Printf("%s %d %q (%s)\n", method, w.Code, w.Body, status)
	}
	ask("GET", "alice")
	ask("GET", "")
	ask("GET", "bob")
	ask("GET", "")
	ask("PUT", "") // what changes a URI makes its answers void
	ask("GET", "")
	// Output:
	// GET 200 "hello alice" (cache; fwd=bypass; detail=credential)
	// GET 200 "hello stranger" (cache; fwd=uri-miss; stored)
	// GET 200 "hello bob" (cache; fwd=bypass; detail=credential)
	// GET 200 "hello stranger" (cache; hit)
	// PUT 204 "" ()
	// GET 200 "hello stranger" (cache; fwd=uri-miss; stored)
}
