package cache_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"statelab/api/cache"
)

// An app is a Gin application behind a cache, with a clock that stands still.
type app struct {
	t      *testing.T
	engine *gin.Engine
	cache  *cache.Cache
	calls  atomic.Int64 // of its handler
	mu     sync.Mutex
	now    time.Time
	seen   map[cache.Outcome]int
}

// newApp puts a handler behind a cache, at every path and for every method.
func newApp(t *testing.T, config cache.Config, handler gin.HandlerFunc) *app {
	a := &app{t: t, engine: gin.New(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), seen: map[cache.Outcome]int{}}
	config.Now = func() time.Time {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.now
	}
	config.Observe = func(o cache.Outcome) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.seen[o]++
	}
	if config.Store == nil {
		config.Store = cache.NewMemory(0)
	}
	config.Keeping = patience // the machine may be busy
	a.cache = cache.New(config)
	a.engine.Use(func(c *gin.Context) {
		c.Header("X-Request-Id", fmt.Sprint("request ", a.calls.Load()))
		c.Header("Cache-Control", "no-store") // as a careful application begins
		c.Header("X-Outer", "outer")
	}, a.cache.Handle)
	a.engine.NoRoute(func(c *gin.Context) {
		a.calls.Add(1)
		handler(c)
	})
	return a
}

func (a *app) advance(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = a.now.Add(d)
}

// ask sends a request with headers, given as "Name: value".
func (a *app) ask(method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	a.engine.ServeHTTP(w, r)
	return w
}

func (a *app) get(target string, headers ...string) *httptest.ResponseRecorder {
	return a.ask("GET", target, headers...)
}

// says requires what the cache says of an answer.
func (a *app) says(w *httptest.ResponseRecorder, status string) *httptest.ResponseRecorder {
	a.t.Helper()
	require.Equal(a.t, "cache; "+status, strings.Join(w.Header()["Cache-Status"], ", "), "%d %s", w.Code, w.Body)
	return w
}

// respond returns a handler that answers with headers and the number of its call.
func respond(status int, headers ...string) gin.HandlerFunc {
	n := 0
	return func(c *gin.Context) {
		n++
		c.Writer.Header().Del("Cache-Control")
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			c.Writer.Header().Add(name, value)
		}
		c.String(status, "answer %d", n)
	}
}

func TestAnAnswerIsKeptForAsLongAsItSays(t *testing.T) {
	t.Parallel()
	for headers, life := range map[string]int{
		"Cache-Control: max-age=60":                                                   60,
		"Cache-Control: public, MAX-AGE=\"60\"":                                       60,
		"Cache-Control: max-age=5, s-maxage=60":                                       60,
		"Cache-Control: max-age=60\nCache-Control: s-maxage=30":                       30,
		"Cache-Control: max-age=60\nAge: 20":                                          40,
		"Cache-Control: max-age=60\nDate: Fri, 02 Jan 2026 03:03:35 GMT":              30,
		"Expires: Fri, 02 Jan 2026 03:05:05 GMT":                                      60,
		"Cache-Control: max-age=30\nExpires: Fri, 02 Jan 2026 03:05:05 GMT":           30,
		"Expires: Fri, 02 Jan 2026 03:05:05 GMT\nDate: Fri, 02 Jan 2026 03:04:35 GMT": 0, // Date is ahead: see below
		"Cache-Control: ext=\"a, no-store\", max-age=60":                              60,
		"Cache-Control: max-age=99999999999999999999":                                 315360000,
		"X-None: 1": 600, // the cache's own TTL
	} {
		if life == 0 {
			life = 30
		}
		a := newApp(t, cache.Config{TTL: 10 * time.Minute}, respond(200, strings.Split(headers, "\n")...))
		a.says(a.get("/"), "fwd=uri-miss; stored")
		a.says(a.get("/"), fmt.Sprint("hit; ttl=", life))
		a.advance(time.Duration(life)*time.Second - time.Nanosecond)
		w := a.says(a.get("/"), "hit; ttl=0")
		require.Equal(t, "answer 1", w.Body.String(), headers)
		a.advance(time.Nanosecond)
		require.Contains(t, a.get("/").Header().Get("Cache-Status"), "fwd=stale", headers)
		require.EqualValues(t, 2, a.calls.Load(), headers)
	}
}

// A clock that is set back leaves nothing that is fresh until it has caught up.
func TestAClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	a := newApp(t, cache.Config{}, respond(200, "Cache-Control: max-age=60"))
	a.says(a.get("/"), "fwd=uri-miss; stored")
	a.advance(-59 * time.Second) // nodes may differ a little
	require.Contains(t, a.get("/").Header().Get("Cache-Status"), "hit")
	a.advance(-time.Second)
	a.says(a.get("/"), "fwd=stale; stored")
	a.says(a.get("/"), "hit; ttl=60")
}

func TestWhatIsNotKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status  int
		headers string
	}{
		{200, "Cache-Control: no-store"},
		{200, "Cache-Control: max-age=60, No-Store"},
		{200, "Cache-Control: max-age=60\nCache-Control: no-store"},
		{200, "Cache-Control: private"},
		{200, "Cache-Control: private=\"set-cookie\", max-age=60"},
		{200, "Cache-Control: max-age=0"},
		{200, "Cache-Control: max-age=-1"},
		{200, "Cache-Control: max-age=abc"},
		{200, "Cache-Control: s-maxage=0, max-age=60"},
		{200, "Cache-Control: no-cache, max-age=60"},
		{200, "Expires: 0"},
		{200, "Expires: Fri, 02 Jan 2026 03:04:05 GMT"},
		{200, "Cache-Control: max-age=60\nAge: 60"},
		{200, "Cache-Control: max-age=60\nSet-Cookie: a=b"},
		{200, "Cache-Control: public, max-age=60\nSet-Cookie: a=b"},
		{200, "Cache-Control: max-age=60\nVary: *"},
		{200, "Cache-Control: max-age=60\nVary: Accept, *"},
		{200, "Cache-Control: max-age=60\nContent-Length: 100"}, // it was cut off
		{206, "Cache-Control: max-age=60\nContent-Range: bytes 0-1/9"},
		{500, "Cache-Control: max-age=60"},
		{503, "Cache-Control: public, s-maxage=60"},
		{404, "X-None: 1"}, // unless it says so
		{302, "X-None: 1"},
	} {
		a := newApp(t, cache.Config{TTL: time.Minute}, respond(c.status, strings.Split(c.headers, "\n")...))
		for i := range 3 {
			w := a.get("/")
			require.Equal(t, fmt.Sprint("answer ", i+1), w.Body.String(), c)
			a.says(w, "fwd=uri-miss")
		}
	}
	// An answer that says so may be an error, and one without a life of its own is
	// kept if the cache has one for it.
	for headers, status := range map[string]int{"Cache-Control: max-age=60": 404, "X-None: 1": 301} {
		a := newApp(t, cache.Config{TTL: time.Minute}, respond(status, headers))
		a.says(a.get("/"), "fwd=uri-miss; stored")
		require.Equal(t, status, a.says(a.get("/"), "hit; ttl=60").Code)
	}
	// Without a TTL, what does not say how long it is fresh is not kept.
	a := newApp(t, cache.Config{}, respond(200))
	a.says(a.get("/"), "fwd=uri-miss")
	a.says(a.get("/"), "fwd=uri-miss")
}

// Whoever says who they are is answered by the handler alone, and what they are
// answered is neither kept nor instead of what is kept.
func TestACredentialGoesRoundTheCache(t *testing.T) {
	t.Parallel()
	for _, credential := range []string{"Cookie: sid=alice", "Cookie: theme=dark", "Authorization: Bearer alice", "Authorization: Basic Og==", "X-Api-Key: alice"} {
		for _, control := range []string{"public, max-age=60", "s-maxage=60", "max-age=60, must-revalidate"} {
			a := newApp(t, cache.Config{Credentials: []string{"x-api-key"}}, func(c *gin.Context) {
				c.Header("Cache-Control", control)
				who := c.GetHeader("Cookie") + c.GetHeader("Authorization") + c.GetHeader("X-Api-Key")
				if who != "" {
					c.Header("Set-Cookie", "sid=new")
				}
				c.String(200, "for <%s>", who)
			})
			_, value, _ := strings.Cut(credential, ": ")
			for range 2 {
				w := a.says(a.get("/", credential), "fwd=bypass; detail=credential")
				require.Equal(t, "for <"+value+">", w.Body.String())
			}
			w := a.says(a.get("/"), "fwd=uri-miss; stored")
			require.Equal(t, "for <>", w.Body.String())
			require.Empty(t, w.Header()["Set-Cookie"])
			a.says(a.get("/", credential), "fwd=bypass; detail=credential")
			w = a.says(a.get("/"), "hit; ttl=60")
			require.Equal(t, "for <>", w.Body.String())
			require.Empty(t, w.Header()["Set-Cookie"])
			require.Equal(t, map[cache.Outcome]int{cache.Bypass: 3, cache.Miss: 1, cache.Hit: 1}, a.seen)
		}
	}
}

func TestTheKey(t *testing.T) {
	t.Parallel()
	a := newApp(t, cache.Config{}, respond(200, "Cache-Control: max-age=60"))
	for _, target := range []string{"/a", "/a?", "/a?x=1", "/a?x=1&y=2", "/a?y=2&x=1", "/a%2Fb", "/a/b", "/A", "/a/"} {
		if target == "/a?" { // no query is an empty one
			a.says(a.get(target), "hit; ttl=60")
			continue
		}
		a.says(a.get(target), "fwd=uri-miss; stored")
		a.says(a.get(target), "hit; ttl=60")
	}
	// A change of a path is one of all its queries, and of no other path.
	a.says(a.get("/b?x=1"), "fwd=uri-miss; stored")
	require.Equal(t, 200, a.ask("PUT", "/a?x=1").Code)
	for _, target := range []string{"/a", "/a?x=1", "/a?y=2&x=1"} {
		a.says(a.get(target), "fwd=uri-miss; stored")
	}
	a.says(a.get("/b?x=1"), "hit; ttl=60")
	// However it is written: Gin finds one route for all of these.
	for _, target := range []string{"/a", "/%61", "/a!", "/a%21", "/a%20b"} {
		for _, written := range []string{"/a", "/%61", "/a!", "/a%21", "/a%20b", "/%61 b"} {
			a.get(target)
			r := httptest.NewRequest("PUT", strings.ReplaceAll(written, " ", "%20"), nil)
			a.engine.ServeHTTP(httptest.NewRecorder(), r)
			one, err := url.PathUnescape(target)
			require.NoError(t, err)
			kept := "hit; ttl=60"
			if r.URL.Path == one {
				kept = "fwd=uri-miss; stored"
			}
			a.says(a.get(target), kept)
		}
	}
}

func TestVary(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, open func() cache.Store) {
		a := newApp(t, cache.Config{Store: open()}, func(c *gin.Context) {
			c.Header("Cache-Control", "max-age=60")
			c.Header("Vary", "accept-language,  Host, X-Two")
			c.String(200, "%s|%s|%s", c.GetHeader("Accept-Language"), c.Request.Host, strings.Join(c.Request.Header["X-Two"], "+"))
		})
		a.says(a.get("/", "Accept-Language: ko"), "fwd=uri-miss; stored")
		a.says(a.get("/", "Accept-Language: ko"), "hit; ttl=60")
		for _, other := range [][]string{{"Accept-Language: en"}, {}, {"Accept-Language: ko", "X-Two: a"}, {"Accept-Language: ko", "X-Two: a, b"}, {"X-Two: ko"}} {
			w := a.says(a.get("/", other...), "fwd=vary-miss; stored")
			again := a.says(a.get("/", other...), "hit; ttl=60")
			require.Equal(t, w.Body.String(), again.Body.String())
		}
		a.says(a.get("/", "Accept-Language: ko", "X-Two: a,b"), "hit; ttl=60")
		a.says(a.get("/", "Accept-Language: ko", "X-Two: a", "X-Two: b"), "hit; ttl=60")
		w := a.says(a.get("http://other.test/", "Accept-Language: ko"), "fwd=vary-miss; stored")
		require.Equal(t, "ko|other.test|", w.Body.String())
		require.Equal(t, "ko|example.com|", a.says(a.get("/", "Accept-Language: ko"), "hit; ttl=60").Body.String())
		a.ask("DELETE", "/")
		a.says(a.get("/", "Accept-Language: ko"), "fwd=uri-miss; stored")
		a.says(a.get("/", "Accept-Language: en"), "fwd=vary-miss; stored")
	})
}

func TestConditionalRequests(t *testing.T) {
	t.Parallel()
	a := newApp(t, cache.Config{}, func(c *gin.Context) {
		require.Empty(t, c.GetHeader("If-None-Match")+c.GetHeader("If-Modified-Since"), "the handler is asked for all of it")
		c.Header("Cache-Control", "max-age=60")
		c.Header("ETag", `"a"`)
		c.Header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
		c.String(200, "all of it")
	})
	for _, kept := range []bool{false, true} {
		for header, want := range map[string]int{
			`If-None-Match: "a"`: 304, `If-None-Match: W/"a"`: 304, `If-None-Match: "x", "a"`: 304, `If-None-Match: *`: 304,
			`If-None-Match: "b"`: 200, `If-None-Match: a`: 200,
			"If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT": 304, "If-Modified-Since: Fri, 02 Jan 2026 00:00:00 GMT": 304,
			"If-Modified-Since: Wed, 31 Dec 2025 23:59:59 GMT": 200, "If-Modified-Since: yesterday": 200,
		} {
			if !kept {
				require.NoError(t, a.cache.Invalidate(t.Context(), "/"))
			}
			w := a.get("/", header)
			require.Equal(t, want, w.Code, header)
			require.Equal(t, kept, strings.Contains(w.Header().Get("Cache-Status"), "hit"), header)
			require.Equal(t, `"a"`, w.Header().Get("ETag"))
			require.Equal(t, "max-age=60", w.Header().Get("Cache-Control"))
			if want == 304 {
				require.Empty(t, w.Body.String())
				require.Empty(t, w.Header()["Content-Type"])
			} else {
				require.Equal(t, "all of it", w.Body.String())
			}
		}
	}
	require.Equal(t, 304, a.get("/", `If-None-Match: "a"`, "If-Modified-Since: Wed, 31 Dec 2025 23:59:59 GMT").Code)
	a.says(a.get("/again", `If-None-Match: "b"`), "fwd=uri-miss; stored")

	// HEAD says what GET would, and keeps nothing.
	w := a.says(a.ask("HEAD", "/"), "hit; ttl=60")
	require.Equal(t, []string{"9", ""}, []string{w.Header().Get("Content-Length"), w.Body.String()})
	require.Equal(t, 304, a.ask("HEAD", "/", `If-None-Match: "a"`).Code)
	a.says(a.ask("HEAD", "/new"), "fwd=uri-miss")
	a.says(a.get("/new"), "fwd=uri-miss; stored")

	// A part is cut out of what is kept; else the handler is asked for it.
	w = a.get("/", "Range: bytes=4-5")
	require.Equal(t, 206, w.Code)
	require.Equal(t, "of", w.Body.String())
	require.Equal(t, "bytes 4-5/9", w.Header().Get("Content-Range"))
	require.Equal(t, 200, a.get("/", "Range: bytes=4-5", `If-Range: "b"`).Code)
	a.says(a.get("/part", "Range: bytes=4-5"), "fwd=uri-miss")
	a.says(a.get("/part"), "fwd=uri-miss; stored")

	a.says(a.get("/", `If-Match: "a"`), "fwd=bypass; detail=precondition")
}

// A stale answer with a validator is asked about, and is good for another life if
// it still holds.
func TestStaleAnswersAreValidated(t *testing.T) {
	t.Parallel()
	tag := `"1"`
	a := newApp(t, cache.Config{}, func(c *gin.Context) {
		c.Header("Cache-Control", "max-age=60")
		c.Header("ETag", tag)
		if c.GetHeader("If-None-Match") == tag {
			c.Header("X-Second", "yes")
			c.Status(http.StatusNotModified)
			return
		}
		c.String(200, "body of %s", tag)
	})
	a.says(a.get("/"), "fwd=uri-miss; stored")
	a.advance(time.Minute)
	w := a.says(a.get("/"), "fwd=stale; fwd-status=304; stored")
	require.Equal(t, []any{200, `body of "1"`, "yes", "text/plain; charset=utf-8"},
		[]any{w.Code, w.Body.String(), w.Header().Get("X-Second"), w.Header().Get("Content-Type")})
	w = a.says(a.get("/"), "hit; ttl=60")
	require.Equal(t, []string{`body of "1"`, "yes"}, []string{w.Body.String(), w.Header().Get("X-Second")})
	a.advance(time.Minute)
	tag = `"2"`
	w = a.says(a.get("/", `If-None-Match: "1"`), "fwd=stale; stored")
	require.Equal(t, `body of "2"`, w.Body.String())

	// no-cache means: ask each time.
	n := 0
	a = newApp(t, cache.Config{}, func(c *gin.Context) {
		c.Header("Cache-Control", "no-cache, max-age=60")
		c.Header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
		if c.GetHeader("If-Modified-Since") != "" {
			c.Status(http.StatusNotModified)
			return
		}
		n++
		c.String(200, "body")
	})
	a.says(a.get("/"), "fwd=uri-miss; stored")
	require.Equal(t, "body", a.says(a.get("/"), "fwd=stale; fwd-status=304; stored").Body.String())
	require.Equal(t, 1, n)
}

func TestWhatAClientMayAskOfACache(t *testing.T) {
	t.Parallel()
	a := newApp(t, cache.Config{}, respond(200, "Cache-Control: max-age=60"))
	a.says(a.get("/", "Cache-Control: no-store"), "fwd=bypass; detail=no-store")
	a.says(a.get("/"), "fwd=uri-miss; stored")
	a.advance(20 * time.Second)
	a.says(a.get("/", "Cache-Control: max-age=20"), "hit; ttl=40")
	a.says(a.get("/", "Cache-Control: min-fresh=40"), "hit; ttl=40")
	a.says(a.get("/", "Cache-Control: only-if-cached, x"), "hit; ttl=40")
	for _, directive := range []string{"no-cache", "max-age=0", "max-age=19", "min-fresh=61"} {
		w := a.says(a.get("/", "Cache-Control: "+directive), "fwd=request; stored")
		require.Equal(t, w.Body.String(), a.says(a.get("/"), "hit; ttl=60").Body.String())
		a.advance(20 * time.Second)
	}
	r := httptest.NewRequest("GET", "/", strings.NewReader("which one?"))
	w := httptest.NewRecorder()
	a.engine.ServeHTTP(w, r)
	a.says(w, "fwd=bypass; detail=body")
}

// What is set for one answer is not repeated in another, and what the handler has
// set is.
func TestHeaders(t *testing.T) {
	t.Parallel()
	a := newApp(t, cache.Config{}, func(c *gin.Context) {
		for _, h := range []string{
			"Cache-Control: max-age=60", "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=1", "Upgrade: x", "X-Many: 1", "X-Many: 2",
			"Age: 5", "Cache-Status: inner; hit", "X-Outer: inner",
		} {
			name, value, _ := strings.Cut(h, ": ")
			if name == "X-Outer" {
				c.Header(name, value)
				continue
			}
			c.Writer.Header().Add(name, value)
		}
		c.Header("Cache-Control", "max-age=60")
		c.String(200, "x")
	})
	first := a.get("/")
	require.Equal(t, []string{"inner; hit", "cache; fwd=uri-miss; stored"}, first.Header()["Cache-Status"])
	a.advance(7 * time.Second)
	w := a.get("/")
	require.Equal(t, []string{"inner; hit", "cache; hit; ttl=48"}, w.Header()["Cache-Status"])
	require.Equal(t, "request 1", w.Header().Get("X-Request-Id"))
	require.Equal(t, "inner", w.Header().Get("X-Outer"))
	require.Equal(t, []string{"1", "2"}, w.Header()["X-Many"])
	require.Equal(t, []string{"12"}, w.Header()["Age"])
	for _, name := range []string{"X-Hop", "Connection", "Keep-Alive", "Upgrade"} {
		require.Empty(t, w.Header()[name], name)
	}
	w.Header().Add("X-Many", "3") // is nobody else's
	require.Equal(t, []string{"1", "2"}, a.get("/").Header()["X-Many"])
}

func TestUnsafeMethodsInvalidate(t *testing.T) {
	t.Parallel()
	status, location := 200, ""
	a := newApp(t, cache.Config{}, func(c *gin.Context) {
		if c.Request.Method != "GET" {
			c.Header("Location", location)
			c.Status(status)
			return
		}
		c.Header("Cache-Control", "max-age=60")
		c.String(200, "x")
	})
	keeps := func(method, target string, want bool) {
		t.Helper()
		a.get("/a")
		a.get("/b")
		a.ask(method, target)
		require.Equal(t, want, strings.Contains(a.get("/a").Header().Get("Cache-Status"), "hit"), "%s %s %d", method, target, status)
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "M-SEARCH"} {
		for status = range map[int]bool{200: true, 204: true, 303: true} {
			keeps(method, "/a", false)
			keeps(method, "/b", true)
		}
		for status = range map[int]bool{400: true, 404: true, 500: true} {
			keeps(method, "/a", true)
		}
	}
	keeps("OPTIONS", "/a", true)
	keeps("HEAD", "/a", true)
	status = 201
	for where, kept := range map[string]bool{"/a": false, "a?x=1": false, "http://example.com/a": false, "http://elsewhere.test/a": true, "/c": true, "": true, "%": true} {
		location = where
		keeps("POST", "/b", kept)
	}
}

// Failures reach everybody who waits, and nobody after them.
func TestFailuresAreNotKept(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(c *gin.Context){
		"an error": func(c *gin.Context) { c.String(500, "failed") },
		"a panic":  func(*gin.Context) { panic("failed") },
		"an abort": func(*gin.Context) { panic(http.ErrAbortHandler) },
	} {
		started, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		healthy := atomic.Bool{}
		a := newApp(t, cache.Config{Failed: func(c *gin.Context) { c.String(503, "failed elsewhere") }}, func(c *gin.Context) {
			once.Do(func() { close(started) })
			if healthy.Load() {
				c.Header("Cache-Control", "max-age=60")
				c.String(200, "well")
				return
			}
			<-release
			c.Header("Cache-Control", "max-age=60")
			fail(c)
		})
		var bad, panics atomic.Int64
		get := func() {
			defer func() {
				if recover() != nil {
					panics.Add(1)
				}
			}()
			if w := a.get("/"); w.Code >= 500 && strings.HasPrefix(w.Body.String(), "failed") {
				bad.Add(1)
			}
		}
		var all sync.WaitGroup
		for range 50 {
			all.Go(get)
		}
		<-started
		close(release)
		all.Wait()
		require.EqualValues(t, 50, bad.Load()+panics.Load(), name)
		healthy.Store(true)
		a.says(a.get("/"), "fwd=uri-miss; stored")
		require.Equal(t, "well", a.says(a.get("/"), "hit; ttl=60").Body.String())
	}
}

// A computation that began before a write is neither kept nor handed to those who
// ask after it.
func TestAWriteOvertakesAComputation(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, open func() cache.Store) {
		var truth atomic.Int64
		read, release := make(chan struct{}, 8), make(chan struct{})
		slow := atomic.Bool{}
		slow.Store(true)
		a := newApp(t, cache.Config{Store: open()}, func(c *gin.Context) {
			c.Header("Cache-Control", "max-age=60")
			if c.Request.Method == "PUT" {
				truth.Add(1)
				c.Status(204)
				return
			}
			waits, now := slow.Load(), truth.Load()
			read <- struct{}{}
			if waits {
				<-release
			}
			c.String(200, strconv.FormatInt(now, 10))
		})
		var all sync.WaitGroup
		all.Go(func() { a.get("/") })
		<-read
		slow.Store(false)
		a.ask("PUT", "/")
		require.Equal(t, "1", a.says(a.get("/"), "fwd=uri-miss; stored").Body.String())
		close(release)
		all.Wait()
		require.Equal(t, "1", a.says(a.get("/"), "hit; ttl=60").Body.String())
	})
}

func TestJitterSpreadsTheEnds(t *testing.T) {
	t.Parallel()
	n := 0.0
	a := newApp(t, cache.Config{TTL: 100 * time.Second, Jitter: 0.1, Rand: func() float64 { n += 0.25; return n - 0.25 }}, func(c *gin.Context) {
		c.Writer.Header().Del("Cache-Control")
		c.String(200, "x")
	})
	for i, ttl := range []string{"100", "97", "95", "92"} {
		target := "/" + strconv.Itoa(i)
		a.get(target)
		a.says(a.get(target), "hit; ttl="+ttl)
	}
}
