package cache_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"statelab/api/cache"
)

// Answers that are long, or sent in pieces, pass as they are.
func TestStreamsPass(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]gin.HandlerFunc{
		"long":    func(c *gin.Context) { c.String(203, strings.Repeat("x", 2000)) },
		"flushed": func(c *gin.Context) { c.String(203, "x"); c.Writer.Flush(); _, _ = c.Writer.WriteString("y") },
		"by controller": func(c *gin.Context) {
			c.String(203, "x")
			require.NoError(t, http.NewResponseController(c.Writer).Flush())
		},
	} {
		a := newApp(t, cache.Config{TTL: time.Minute, MaxBody: 1000}, func(c *gin.Context) {
			c.Writer.Header().Del("Cache-Control")
			handler(c)
			require.Equal(t, 203, c.Writer.Status(), name)
		})
		first := a.says(a.get("/"), "fwd=uri-miss")
		require.Equal(t, 203, first.Code, name)
		require.Equal(t, first.Body.String(), a.says(a.get("/"), "fwd=uri-miss").Body.String(), name)
		require.NotEmpty(t, first.Body.String())
	}
	// On a connection: what is flushed is there before the handler is done.
	release := make(chan struct{})
	a := newApp(t, cache.Config{TTL: time.Minute}, func(c *gin.Context) {
		c.String(200, "first")
		c.Writer.Flush()
		<-release
		_, _ = c.Writer.WriteString(" second")
	})
	s := httptest.NewServer(a.engine)
	defer s.Close()
	resp, err := s.Client().Get(s.URL)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	begin := make([]byte, 5)
	_, err = io.ReadFull(resp.Body, begin)
	require.NoError(t, err)
	close(release)
	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "first second", string(begin)+string(rest))
	s.Client().CloseIdleConnections()
}

// A computation has a bound, and a stream has its client. In a bubble no time passes
// before the handler waits, however busy the machine is.
func TestComputationsAndStreamsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, computationsAndStreamsEnd)
}

func computationsAndStreamsEnd(t *testing.T) {
	const timeout = 10 * time.Millisecond
	a := newApp(t, cache.Config{Timeout: timeout}, func(c *gin.Context) {
		<-c.Request.Context().Done()
		c.String(503, "%v", context.Cause(c.Request.Context()))
	})
	require.Equal(t, "context deadline exceeded", a.get("/").Body.String())

	client, leave := context.WithCancel(t.Context())
	a = newApp(t, cache.Config{Timeout: timeout}, func(c *gin.Context) {
		c.Writer.Flush()
		select {
		case <-c.Request.Context().Done():
			t.Error("the stream was cut off")
		case <-time.After(5 * timeout):
		}
		leave()
		<-c.Request.Context().Done()
	})
	a.engine.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(client, "GET", "/", nil))
}
