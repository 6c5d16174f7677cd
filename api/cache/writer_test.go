package cache_test

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"statelab/api/cache"
	"statelab/tests/seeded"
)

// A connection is what Gin's writer expects of net/http's.
type connection struct {
	*httptest.ResponseRecorder
	hijacked bool
	log      []string
}

func (c *connection) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c.hijacked = true
	return nil, nil, nil
}

// Write takes no body where HTTP has none, as net/http.
func (c *connection) Write(b []byte) (int, error) {
	switch {
	case c.Code == http.StatusNoContent && len(b) > 0:
		return 0, http.ErrBodyNotAllowed
	case c.Code == http.StatusNoContent:
		return 0, nil
	}
	return c.ResponseRecorder.Write(b)
}

func (c *connection) WriteString(s string) (int, error) { return c.Write([]byte(s)) }

func (c *connection) CloseNotify() <-chan bool { return make(chan bool) }

func (c *connection) Push(target string, _ *http.PushOptions) error {
	c.log = append(c.log, "push "+target)
	return nil
}

// operations are what handlers do with a writer.
var operations = map[string]func(c *gin.Context) string{
	"status 422":    func(c *gin.Context) string { c.Status(422); return "" },
	"status 204":    func(c *gin.Context) string { c.Status(204); return "" },
	"status 500":    func(c *gin.Context) string { c.Writer.WriteHeader(500); return "" },
	"status 0":      func(c *gin.Context) string { c.Writer.WriteHeader(0); return "" },
	"status -1":     func(c *gin.Context) string { c.Writer.WriteHeader(-1); return "" },
	"header now":    func(c *gin.Context) string { c.Writer.WriteHeaderNow(); return "" },
	"write nothing": func(c *gin.Context) string { return wrote(c.Writer.Write(nil)) },
	"write":         func(c *gin.Context) string { return wrote(c.Writer.Write([]byte("bytes"))) },
	"write string":  func(c *gin.Context) string { return wrote(c.Writer.WriteString("string")) },
	"write more":    func(c *gin.Context) string { return wrote(c.Writer.WriteString(strings.Repeat("x", 100))) },
	"copy": func(c *gin.Context) string {
		_, err := io.Copy(c.Writer, strings.NewReader("copied"))
		return wrote(0, err)
	},
	"flush":             func(c *gin.Context) string { c.Writer.Flush(); return "" },
	"flush, controller": func(c *gin.Context) string { return wrote(0, http.NewResponseController(c.Writer).Flush()) },
	"set":               func(c *gin.Context) string { c.Header("X-Mine", "1"); return "" },
	"set again":         func(c *gin.Context) string { c.Header("X-Mine", "2"); return "" },
	"delete outer":      func(c *gin.Context) string { c.Writer.Header().Del("X-Outer"); return "" },
	"add outer":         func(c *gin.Context) string { c.Writer.Header().Add("X-Outer", "more"); return "" },
	"json":              func(c *gin.Context) string { c.JSON(201, gin.H{"a": 1}); return "" },
	"json -1":           func(c *gin.Context) string { c.JSON(-1, gin.H{"a": 1}); return "" },
	"no content":        func(c *gin.Context) string { c.String(204, ""); return "" },
	"abort":             func(c *gin.Context) string { c.AbortWithStatus(403); return "" },
	"error":             func(c *gin.Context) string { http.Error(c.Writer, "no", http.StatusTeapot); return "" },
	"redirect":          func(c *gin.Context) string { c.Redirect(302, "/elsewhere"); return "" },
	"push":              func(c *gin.Context) string { return fmt.Sprint(c.Writer.Pusher().Push("/x", nil)) },
	"close notify":      func(c *gin.Context) string { return fmt.Sprint(c.Writer.CloseNotify() != nil) },
	"trailer":           func(c *gin.Context) string { c.Header("Trailer", "X-Mine"); return "" },
	"hijack":            func(c *gin.Context) string { _, _, err := c.Writer.Hijack(); return fmt.Sprint(err) },
}

func wrote(n int, err error) string { return fmt.Sprint(n, err) }

// observed is what handlers see of a writer and clients of an answer.
func observed(sequence []string, ends string, use ...gin.HandlerFunc) []string {
	var seen []string
	look := func(c *gin.Context, what string) {
		w := c.Writer
		seen = append(seen, fmt.Sprint(what, ": ", w.Status(), " ", w.Size(), " ", w.Written()))
	}
	conn := &connection{ResponseRecorder: httptest.NewRecorder()}
	e := gin.New()
	e.Use(func(c *gin.Context) {
		c.Header("X-Outer", "outer")
		c.Next()
		if ends != "" && !c.Writer.Written() && !conn.hijacked { // as an error handler does
			seen = append(seen, operations[ends](c))
			look(c, "outside")
		}
	})
	e.Use(use...)
	e.GET("/", func(c *gin.Context) {
		look(c, "begin")
		for _, name := range sequence {
			if conn.hijacked {
				return // the connection is the handler's
			}
			seen = append(seen, operations[name](c))
			look(c, name)
		}
	})
	e.ServeHTTP(conn, httptest.NewRequest("GET", "/", nil))
	r := conn.Result()
	r.Header.Del("Cache-Status")
	if r.Header.Get("Content-Length") == strconv.Itoa(conn.Body.Len()) {
		r.Header.Del("Content-Length") // which net/http would add
	}
	return append(seen, fmt.Sprint(r.StatusCode, r.Header, conn.Body, conn.Flushed, conn.hijacked, conn.log))
}

func TestTheRecorderIsGinsWriter(t *testing.T) {
	t.Parallel()
	draw := seeded.Rand(t)
	var names []string
	for name := range operations {
		names = append(names, name)
	}
	slices.Sort(names)
	try := func(sequence []string, ends string) {
		kept := cache.New(cache.Config{Store: cache.NewMemory(0), TTL: time.Minute, MaxBody: 60})
		require.Equal(t, observed(sequence, ends), observed(sequence, ends, kept.Handle), "%q, outside %q", sequence, ends)
	}
	try(nil, "")
	try(nil, "json -1")
	for _, first := range names {
		for _, ends := range []string{"", "json -1", "json", "status 422"} {
			try([]string{first}, ends)
		}
		for _, second := range names {
			try([]string{first, second}, "json -1")
		}
	}
	for range 3000 {
		sequence := make([]string, 3+draw.IntN(4))
		for i := range sequence {
			sequence[i] = names[draw.IntN(len(names))]
		}
		try(sequence, []string{"", "json -1"}[draw.IntN(2)])
	}
}

func TestAHeaderThatTheHandlerDeletesIsNotInAHit(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]cache.Store{"memory": cache.NewMemory(0)} {
		a := newApp(t, cache.Config{Store: store, TTL: time.Minute}, func(c *gin.Context) {
			c.Writer.Header().Del("Cache-Control")
			c.Writer.Header().Del("X-Outer")
			c.Header("X-Late", "no")
			c.String(200, "body")
			c.Header("X-Late", "yes")
		})
		miss, hit := a.says(a.get("/"), "fwd=uri-miss; stored"), a.says(a.get("/"), "hit; ttl=60")
		for what, w := range map[string]*httptest.ResponseRecorder{"a miss": miss, "a hit": hit} {
			require.Empty(t, w.Header()["Cache-Control"], name+" "+what)
			require.Empty(t, w.Header()["X-Outer"], name+" "+what)
			require.Equal(t, []string{"no"}, w.Header()["X-Late"], name+" "+what)
		}
	}
}

// A gzipper is a compressing writer, as middleware for Gin has it: one that announces
// itself at the beginning, or one that decides at the first Write.
type gzipper struct {
	gin.ResponseWriter
	early  bool
	zipped *gzip.Writer
}

func compress(early bool) gin.HandlerFunc {
	return func(c *gin.Context) {
		w := &gzipper{ResponseWriter: c.Writer, early: early}
		c.Writer = w
		c.Header("Vary", "Accept-Encoding")
		if early {
			c.Header("Content-Encoding", "gzip")
		}
		c.Next()
		switch {
		case w.zipped != nil:
			_ = w.zipped.Close()
		case early && !w.Written():
			c.Writer.Header().Del("Content-Encoding")
		}
	}
}

func (w *gzipper) Write(b []byte) (int, error) {
	if w.Status() >= 400 || !w.early && w.Header().Get("Content-Encoding") != "" && w.zipped == nil {
		if w.early {
			w.Header().Del("Content-Encoding")
		}
		return w.ResponseWriter.Write(b)
	}
	if w.zipped == nil {
		if !w.early {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Del("Content-Length")
		}
		w.zipped = gzip.NewWriter(w.ResponseWriter)
	}
	return w.zipped.Write(b)
}

func (w *gzipper) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

// decoded is the body of an answer, by what its headers say.
func decoded(r *http.Response) (string, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Content-Encoding") == "" || len(text) == 0 || r.StatusCode == http.StatusPartialContent {
		return string(text), err
	}
	if r.Header.Get("Content-Encoding") != "gzip" {
		return "", errors.New("an unknown encoding")
	}
	zipped, err := gzip.NewReader(strings.NewReader(string(text)))
	if err != nil {
		return "", err
	}
	text, err = io.ReadAll(zipped)
	return string(text), err
}

func TestCompressionMayStandOnBothSides(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{true, false} {
		for _, outside := range []bool{true, false} {
			t.Run(fmt.Sprint("early ", early, ", outside ", outside), func(t *testing.T) {
				kept := cache.New(cache.Config{Store: cache.NewMemory(0)})
				chain := []gin.HandlerFunc{compress(early), kept.Handle}
				if !outside {
					slices.Reverse(chain)
				}
				e := gin.New()
				e.Use(chain...)
				long := strings.Repeat("all of it ", 1000)
				e.Match([]string{"GET", "HEAD"}, "/:status", func(c *gin.Context) {
					c.Header("Cache-Control", "max-age=60")
					c.Header("ETag", `"a"`)
					status, _ := strconv.Atoi(c.Param("status"))
					c.String(status, long)
				})
				s := httptest.NewServer(e)
				defer s.Close()
				client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
				defer client.CloseIdleConnections()
				ask := func(method, path string, header ...string) (*http.Response, string) {
					r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
					require.NoError(t, err)
					r.Header.Set("Accept-Encoding", "gzip")
					if len(header) > 0 {
						r.Header.Set(header[0], header[1])
					}
					resp, err := client.Do(r)
					require.NoError(t, err)
					defer func() { _ = resp.Body.Close() }()
					text, err := decoded(resp)
					require.NoError(t, err, "%s %s: %v", method, path, resp.Header)
					return resp, text
				}
				for _, status := range []int{200, 404, 422} {
					path := "/" + strconv.Itoa(status)
					for range 3 {
						resp, text := ask("GET", path)
						require.Equal(t, status, resp.StatusCode)
						require.Equal(t, long, text)
						require.Equal(t, status < 400, resp.Header.Get("Content-Encoding") == "gzip")
					}
					resp, text := ask("HEAD", path)
					require.Equal(t, []any{status, ""}, []any{resp.StatusCode, text})
					require.Contains(t, resp.Header.Get("Cache-Status"), "hit")
				}
				resp, text := ask("GET", "/200", "If-None-Match", `"a"`)
				require.Equal(t, []any{304, ""}, []any{resp.StatusCode, text})
				resp, text = ask("GET", "/200", "Range", "bytes=0-3")
				if outside && early { // the parts of what is compressed there are not those of what is kept
					require.Equal(t, []any{200, long}, []any{resp.StatusCode, text})
				}
			})
		}
	}
}
