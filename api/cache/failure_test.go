package cache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"statelab/api/cache"
)

// What no handler answers is answered as it is without a cache.
func TestWhatNobodyAnswers(t *testing.T) {
	t.Parallel()
	e := gin.New()
	e.HandleMethodNotAllowed = true
	e.Use(cache.New(cache.Config{Store: cache.NewMemory(0), TTL: time.Minute}).Handle)
	e.POST("/form", func(*gin.Context) {})
	e.GET("/silent", func(*gin.Context) {})
	for target, want := range map[string]string{"/nothing": "404 404 page not found", "/form": "405 405 method not allowed", "/silent": "200 "} {
		for range 2 {
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
			require.Equal(t, want, fmt.Sprint(w.Code, " ", w.Body), target)
			require.Equal(t, "cache; fwd=uri-miss", w.Header().Get("Cache-Status"), target)
		}
	}
}

// failing is a Store that is down.
type failing struct{}

var errDown = errors.New("down")

func (failing) Get(context.Context, cache.Key) (*cache.Entry, cache.Generation, error) {
	return nil, cache.Generation{}, errDown
}
func (failing) Set(context.Context, cache.Key, cache.Generation, *cache.Entry) error { return errDown }
func (failing) Invalidate(context.Context, ...string) error                          { return errDown }

func TestACacheThatIsDownOrAbsent(t *testing.T) {
	t.Parallel()
	a := newApp(t, cache.Config{Store: failing{}, TTL: time.Minute}, respond(200))
	a.says(a.get("/"), "fwd=bypass; detail=unavailable")
	a.says(a.get("/"), "fwd=bypass; detail=unavailable")
	require.Equal(t, 200, a.ask("PUT", "/").Code)
	require.Error(t, a.cache.Invalidate(t.Context(), "/"))

	none := cache.New(cache.Config{})
	require.NoError(t, none.Invalidate(t.Context(), "/"))
	e := gin.New()
	e.Use(none.Handle)
	e.Any("/", respond(200))
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	a.says(w, "fwd=bypass; detail=absent")
	w = httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
	require.Equal(t, 200, w.Code)
}
