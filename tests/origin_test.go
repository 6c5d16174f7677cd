package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/tests/harness"
)

// lookAlikes are origins that a careless comparison takes for allowedOrigin.
var lookAlikes = []string{
	"http://localhost:5173.evil.example", "http://localhost:51730", "http://localhost:517", "http://localhost", "https://localhost:5173", "HTTP://LOCALHOST:5173",
	"http://evil.example/http://localhost:5173", "http://evil.example#" + harness.AllowedOrigin, "http://localhost:5173@evil.example", "http://evil.example:5173", "http://xlocalhost:5173",
	"http://localhost.:5173", "http://127.0.0.1:5173", "http://[::1]:5173", "http://localhost:5173/", "http://localhost:5173,http://evil.example", "localhost:5173", "//localhost:5173", "*",
}

func TestUnsafeRequestsFromOtherOriginsAreBlocked(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*harness.Server{"no origin allowed": harness.NewServer(t), "one allowed": harness.NewServer(t, harness.Allowing(harness.AllowedOrigin))} {
		host := strings.TrimPrefix(s.URL, "http://")
		_, port, _ := strings.Cut(host, ":")
		everywhere := map[string]func(*http.Request){
			"cross-site": harness.From("cross-site", ""), "same-site": harness.From("same-site", ""), "foreign": harness.From("", "http://evil.example"), "null": harness.From("", "null"),
		}
		blocked := map[string]func(*http.Request){
			"a site in capitals": harness.From("Same-Origin", "http://evil.example"), "an unknown site": harness.From("x", ""), "cross-site, our origin": harness.From("cross-site", s.URL),
			"same-site, our origin": harness.From("same-site", s.URL), "cross-site, null": harness.From("cross-site", "null"), "a file": harness.From("", "file://"), "no origin at all": harness.From("", "x"),
			"our name, another port": harness.From("", "http://"+host+"0"), "our name, no port": harness.From("", "http://127.0.0.1"), "another of our names": harness.From("", "http://localhost:"+port),
			"our name and more": harness.From("", s.URL+".evil.example"), "our name as a user": harness.From("", "http://"+host+"@evil.example"), "our port": harness.From("", "http://evil.example:"+port),
			"another scheme, as browsers tell it": harness.From("cross-site", "https://"+host),
		}
		if name == "no origin allowed" {
			blocked["what is allowed elsewhere"] = harness.From("same-site", harness.AllowedOrigin)
		} else {
			for _, origin := range lookAlikes {
				blocked["like the allowed one: "+origin] = harness.From("same-site", origin)
				blocked["like the allowed one, old browser: "+origin] = harness.From("", origin)
			}
		}
		harness.Each(t, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			before, records, routes := c.Profile(), s.Records(t), c.UnsafeRoutes()
			try := func(what string, change func(*http.Request), r harness.BodyRoute) {
				t.Run(name+", "+what+" "+r.Path, func(t *testing.T) {
					c := c.In(t)
					a := c.Do(r.Method, r.Path, harness.Raw(r.Good), change)
					c.Refused(before, a, http.StatusForbidden, "csrf_blocked")
					require.Empty(t, a.Header.Get("Access-Control-Allow-Origin"))
				})
			}
			for what, change := range everywhere {
				for _, r := range routes {
					try(what, change, r)
				}
			}
			for what, change := range blocked {
				try(what, change, routes[0])
			}
			c.Refused(before, c.Do("POST", "/"+slug+"/spend", harness.Object{"amount": 1}, harness.From("cross-site", ""), harness.Header("X-Http-Method-Override", "GET")), http.StatusForbidden, "csrf_blocked")
			require.Equal(t, records, s.Records(t))
		})
	}
}

func TestUnsafeRequestsOfOurOwnPass(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, harness.Allowing(harness.AllowedOrigin, "https://app.example"))
	harness.Each(t, func(t *testing.T, slug string) {
		for what, change := range map[string]func(*http.Request){
			"curl": harness.From("", ""), "our page": harness.From("same-origin", s.URL), "our page, no origin": harness.From("same-origin", ""), "our page, old browser": harness.From("", s.URL), "the address bar": harness.From("none", ""),
			"allowed, same-site": harness.From("same-site", harness.AllowedOrigin), "allowed, cross-site": harness.From("cross-site", "https://app.example"), "allowed, old browser": harness.From("", "https://app.example"),
		} {
			t.Run(what, func(t *testing.T) {
				c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
				for _, r := range c.BodyRoutes() {
					if r.Path != "/accounts" && r.Method != "PUT" { // which work once
						require.Less(t, c.Do(r.Method, r.Path, harness.Raw(r.Good), change).Status, 300, r.Path)
					}
				}
			})
		}
	})
}

func TestAnAllowedOriginReadsEveryAnswer(t *testing.T) {
	t.Parallel()
	s, stores := harness.NewFaultyServer(t, harness.Allowing(harness.AllowedOrigin, "https://app.example"))
	readable := func(t *testing.T, origin string, a *harness.Answer) {
		require.Equal(t, []string{origin}, a.Header["Access-Control-Allow-Origin"])
		require.Equal(t, []string{"true"}, a.Header["Access-Control-Allow-Credentials"])
		require.Contains(t, strings.Join(a.Header["Vary"], ", "), "Origin", "a cache would give it to another origin")
		exposed := strings.Split(strings.ToLower(a.Header.Get("Access-Control-Expose-Headers")), ", ")
		require.ElementsMatch(t, []string{"etag", "link", "retry-after", "x-request-id", "cache-status", "server-timing"}, exposed)
	}
	harness.Each(t, func(t *testing.T, slug string) {
		for _, origin := range []string{harness.AllowedOrigin, "https://app.example"} {
			s.All(t, slug, origin, func(what string, a *harness.Answer) {
				t.Run(origin+", "+what, func(t *testing.T) { readable(t, origin, a) })
			})
		}
	})
	s.Page(t, harness.AllowedOrigin, func(what string, a *harness.Answer) {
		t.Run(what, func(t *testing.T) { readable(t, harness.AllowedOrigin, a) })
	})
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	login := func(status int) *harness.Answer {
		return c.Copy().Do("POST", "/session/login", harness.Credentials(harness.Bob, "wrong"), harness.From("same-site", harness.AllowedOrigin)).Is(status)
	}
	for range auth.MaxPerAccount {
		login(http.StatusUnauthorized)
	}
	readable(t, harness.AllowedOrigin, login(http.StatusTooManyRequests))
	stores.BreakWith(harness.ErrDown)
	readable(t, harness.AllowedOrigin, c.Do("GET", "/session/profile", nil, harness.From("same-site", harness.AllowedOrigin)).Is(http.StatusServiceUnavailable))
	local := s.Client(t, "").Do("GET", "/", nil, harness.From("same-site", harness.AllowedOrigin), func(r *http.Request) { r.Host = "example.com" })
	require.Empty(t, local.Is(http.StatusMisdirectedRequest).Header.Get("Access-Control-Allow-Origin"), "nothing is shared through a foreign name")
}

func TestAForeignOriginIsAnsweredAndReadsNothing(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*harness.Server{"no origin allowed": harness.NewServer(t), "one allowed": harness.NewServer(t, harness.Allowing(harness.AllowedOrigin))} {
		harness.Each(t, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			for _, route := range []string{"profile", "nothing", "members", ""} {
				status := c.Get(route).Status
				for i, origin := range append(lookAlikes, "http://evil.example", "null") {
					a := c.Do("GET", "/"+slug+"/"+route, nil, harness.From([]string{"", "same-site", "cross-site"}[i%3], origin)).Is(status)
					for header := range a.Header {
						require.False(t, strings.HasPrefix(header, "Access-Control-"), "%s: %s for %s", name, header, origin)
					}
					require.Equal(t, name == "one allowed", strings.Contains(strings.Join(a.Header["Vary"], ", "), "Origin"), "a cache would give it to the allowed one")
				}
			}
		})
	}
}

// requireNoLeave requires the answer to a preflight to permit nothing: its status is that of
// the others, and a browser goes by the headers that are missing.
func requireNoLeave(t *testing.T, what string, w *httptest.ResponseRecorder) {
	t.Helper()
	require.Contains(t, []int{200, 204}, w.Code, what)
	for name := range w.Header() {
		require.False(t, strings.HasPrefix(name, "Access-Control-"), "%s: %s", what, name)
	}
}

func TestPreflights(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, harness.Allowing(harness.AllowedOrigin))
	harness.Each(t, func(t *testing.T, slug string) {
		// A path that does not exist is answered as the others are, so that the page gets to see the 404.
		for _, r := range append(s.Client(t, slug).BodyRoutes(), harness.BodyRoute{Method: "GET", Path: "/" + slug + "/nothing"}) {
			for _, headers := range []string{"", "content-type", "authorization,content-type", "authorization,content-type,if-match,if-none-match",
				"baggage,cache-control,content-type,pragma,sentry-trace,traceparent,tracestate,x-requested-with", "x-whatever,x-request-id"} {
				w := s.Preflight(r.Path, "localhost", harness.AllowedOrigin, r.Method, headers)
				require.Contains(t, []int{200, 204}, w.Code)
				require.Equal(t, []string{harness.AllowedOrigin}, w.Header()["Access-Control-Allow-Origin"])
				require.Equal(t, []string{"true"}, w.Header()["Access-Control-Allow-Credentials"])
				require.Equal(t, r.Method, w.Header().Get("Access-Control-Allow-Methods"))
				require.Equal(t, headers, strings.ReplaceAll(w.Header().Get("Access-Control-Allow-Headers"), " ", ""))
				require.Contains(t, w.Header().Get("Vary"), "Origin")
				require.Equal(t, "600", w.Header().Get("Access-Control-Max-Age"))
				require.Regexp(t, `^[0-9a-z]{16}$`, w.Header().Get("X-Request-Id"))
			}
			for what, w := range map[string]*httptest.ResponseRecorder{
				"a foreign origin": s.Preflight(r.Path, "localhost", "http://evil.example", r.Method, "content-type"),
				"null":             s.Preflight(r.Path, "localhost", "null", r.Method, "content-type"),
				"a proxy's header": s.Preflight(r.Path, "localhost", harness.AllowedOrigin, r.Method, "content-type,x-forwarded-for"),
				"Forwarded":        s.Preflight(r.Path, "localhost", harness.AllowedOrigin, r.Method, "forwarded"),
				"another method":   s.Preflight(r.Path, "localhost", harness.AllowedOrigin, "TRACE", ""),
			} {
				requireNoLeave(t, what, w)
			}
			for _, origin := range lookAlikes {
				requireNoLeave(t, origin, s.Preflight(r.Path, "localhost", origin, r.Method, ""))
			}
		}
	})
	none := harness.NewServer(t)
	for _, path := range []string{"/session/profile", "/nothing", "/classroom/reset"} {
		requireNoLeave(t, path, none.Preflight(path, "localhost", harness.AllowedOrigin, "PATCH", "content-type"))
	}
	w := s.Preflight("/session/profile", "example.com", harness.AllowedOrigin, "PATCH", "")
	require.Equal(t, http.StatusMisdirectedRequest, w.Code, "a preflight for a foreign host")
	require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
}

func TestAPreflightThatIsNotAllowedNamesTheFlag(t *testing.T) {
	t.Parallel()
	for _, options := range [][]harness.Option{nil, {harness.Allowing(harness.AllowedOrigin)}} {
		s := harness.NewServer(t, options...)
		preflight := func(origin string) { s.Preflight("/session/profile", "localhost", origin, "PATCH", "content-type") }
		named := func(origin string) int { return strings.Count(s.Canary.Log.String(), "--allow-origin "+origin+`"`) }
		for range 3 {
			preflight("http://localhost:3000")
			preflight("https://app.example")
		}
		require.Equal(t, []int{1, 1}, []int{named("http://localhost:3000"), named("https://app.example")}, "once each")
		before := strings.Count(s.Canary.Log.String(), "--allow-origin")
		for _, odd := range []string{"null", "*", "", "http://evil.example\n", "http://evil.example/", "http://user@evil.example", "http://" + harness.Long("x", 200)} {
			preflight(odd)
		}
		if options != nil {
			preflight(harness.AllowedOrigin)
		}
		s.Client(t, "").Do("GET", "/", nil, harness.From("cross-site", "http://localhost:4000")).Is(http.StatusOK)
		require.Equal(t, before, strings.Count(s.Canary.Log.String(), "--allow-origin"), "nothing that could not be allowed, and preflights alone")
		for i := range 300 {
			preflight(fmt.Sprintf("http://localhost:%d", 10000+i))
		}
		require.Equal(t, 100, strings.Count(s.Canary.Log.String(), "--allow-origin"), "the log has an end")
	}
}

func TestOriginsThatCannotBeAllowed(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	for _, origin := range []string{
		"", "*", "null", "localhost", "localhost:5173", "//localhost:5173", "http://", "http://localhost:5173/", "http://localhost:5173/app", "http://localhost:5173?x", "http://localhost:5173#x",
		"http://*.example.com", "http://user@localhost:5173", "HTTP://LOCALHOST:5173", "http://localhost:5173 ", "http://localhost:80", "https://app.example:443",
	} {
		t.Run(origin, func(t *testing.T) {
			config := s.Config
			config.OpenAPI, config.AllowOrigins = []byte("openapi: 3.1.0"), []string{harness.AllowedOrigin, origin}
			server, err := api.New(config)
			if err == nil {
				require.NoError(t, server.Close())
			}
			require.Error(t, err, "no browser ever sends this as an Origin, so allowing it is a mistake")
		})
	}
}

func TestTheClassroomIsLocal(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before := c.Profile()
		as := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
		for _, host := range []string{"localhost", "localhost:1", "LocalHost:8080", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8080"} {
			c.Do("GET", "/"+slug+"/profile", nil, as(host)).Is(http.StatusOK)
		}
		foreign := map[string]func(*http.Request){}
		for _, host := range []string{
			"example.com", "example.com:8080", "localhost.example.com", "localhost.", "xlocalhost", "127.0.0.1.nip.io", "127.0.0.1.", "127.0.0.2", "127.1", "2130706433", "0x7f000001", "0177.0.0.1",
			"0.0.0.0", "[::]", "[::2]", "[::ffff:127.0.0.1]", "[::1", "[::1].example.com", "[localhost]", "localhost:80:80", "localhost,example.com", "example.com,localhost", "localhost:x", "127.0.0.1:8080x",
			"127.0.0.1:80:80", "localhost:-1", "localhost;x", "a.localhost",
		} {
			foreign["host "+host] = as(host)
		}
		for _, name := range []string{
			"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Prefix", "x-forwarded-for", "X-FORWARDED-PROTO", "via",
		} {
			for _, value := range []string{"127.0.0.1", "", "for=127.0.0.1", "localhost", "https"} {
				foreign[name+": "+value] = harness.Header(name, value)
			}
		}
		for what, change := range foreign {
			t.Run(what, func(t *testing.T) {
				c := c.In(t)
				c.Refused(before, c.Do("GET", "/"+slug+"/profile", nil, change), http.StatusMisdirectedRequest, "classroom_is_local")
				c.Refused(before, c.Do("PATCH", "/"+slug+"/profile", harness.Object{"theme": "dark"}, change), http.StatusMisdirectedRequest, "classroom_is_local")
				a := s.Client(t, slug).Do("POST", "/"+slug+"/login", harness.Credentials(harness.Alice, harness.AlicePassword), change)
				c.Refused(before, a, http.StatusMisdirectedRequest, "classroom_is_local")
			})
		}
		// What no proxy puts there is nothing to us: it neither opens nor closes anything.
		for _, name := range []string{"X-Real-Ip", "X-User-Id", "X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "X-Forwarded", "Client-Ip", "True-Client-Ip"} {
			require.Equal(t, before, string(c.Do("GET", "/"+slug+"/profile", nil, harness.Header(name, "/"+slug+"/members")).Is(http.StatusOK).Body))
			s.Client(t, slug).Do("GET", "/"+slug+"/profile", nil, harness.Header(name, "1")).Is(http.StatusUnauthorized, "no_credential")
		}
	})
	// Every route there is keeps to it.
	for _, r := range s.Routes() {
		path := strings.NewReplacer(":id", "AAAAAAAAAAAAAAAAAAAAAA", "*name", "app.js").Replace(r.Path)
		a := s.Client(t, "").Do(r.Method, path, nil, func(r *http.Request) { r.Host = "example.com" }).Is(http.StatusMisdirectedRequest)
		require.True(t, r.Method == http.MethodHead || a.Code() == "classroom_is_local", path)
	}
	require.Greater(t, len(s.Routes()), 40)
}
