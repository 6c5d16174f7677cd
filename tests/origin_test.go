package tests

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
)

// unsafeRoutes are all routes of the client's strategy that can change
// something, with bodies that they accept.
func (c *client) unsafeRoutes() []bodyRoute {
	c.t.Helper()
	return append(c.bodyRoutes(), bodyRoute{"DELETE", "/" + c.slug + "/logins/" + c.id(), ``})
}

// from returns a change of a request that makes it one of a browser's. An empty
// string leaves the header out.
func from(site, origin string) func(*http.Request) {
	return func(r *http.Request) {
		for name, value := range map[string]string{"Sec-Fetch-Site": site, "Origin": origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
	}
}

const allowedOrigin = "http://localhost:5173"

func allowing(origins ...string) option {
	return func(c *api.Config) { c.AllowOrigins = origins }
}

// lookAlikes are origins that a careless comparison takes for allowedOrigin.
var lookAlikes = []string{
	"http://localhost:5173.evil.example", "http://localhost:51730", "http://localhost:517", "http://localhost", "https://localhost:5173", "HTTP://LOCALHOST:5173",
	"http://evil.example/http://localhost:5173", "http://evil.example#" + allowedOrigin, "http://localhost:5173@evil.example", "http://evil.example:5173", "http://xlocalhost:5173",
	"http://localhost.:5173", "http://127.0.0.1:5173", "http://[::1]:5173", "http://localhost:5173/", "http://localhost:5173,http://evil.example", "localhost:5173", "//localhost:5173", "*",
}

func TestUnsafeRequestsFromOtherOriginsAreBlocked(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*server{"no origin allowed": newServer(t), "one allowed": newServer(t, allowing(allowedOrigin))} {
		host := strings.TrimPrefix(s.url, "http://")
		_, port, _ := strings.Cut(host, ":")
		everywhere := map[string]func(*http.Request){
			"cross-site": from("cross-site", ""), "same-site": from("same-site", ""), "foreign": from("", "http://evil.example"), "null": from("", "null"),
		}
		blocked := map[string]func(*http.Request){
			"a site in capitals": from("Same-Origin", "http://evil.example"), "an unknown site": from("x", ""), "cross-site, our origin": from("cross-site", s.url),
			"same-site, our origin": from("same-site", s.url), "cross-site, null": from("cross-site", "null"), "a file": from("", "file://"), "no origin at all": from("", "x"),
			"our name, another port": from("", "http://"+host+"0"), "our name, no port": from("", "http://127.0.0.1"), "another of our names": from("", "http://localhost:"+port),
			"our name and more": from("", s.url+".evil.example"), "our name as a user": from("", "http://"+host+"@evil.example"), "our port": from("", "http://evil.example:"+port),
			"another scheme, as browsers tell it": from("cross-site", "https://"+host),
		}
		if name == "no origin allowed" {
			blocked["what is allowed elsewhere"] = from("same-site", allowedOrigin)
		} else {
			for _, origin := range lookAlikes {
				blocked["like the allowed one: "+origin] = from("same-site", origin)
				blocked["like the allowed one, old browser: "+origin] = from("", origin)
			}
		}
		each(t, func(t *testing.T, slug string) {
			c := s.login(t, slug, alice, alicePassword)
			before, records, routes := c.profile(), s.records(t), c.unsafeRoutes()
			try := func(what string, change func(*http.Request), r bodyRoute) {
				t.Run(name+", "+what+" "+r.path, func(t *testing.T) {
					c := c.in(t)
					a := c.do(r.method, r.path, raw(r.good), change)
					c.refused(before, a, http.StatusForbidden, "csrf_blocked")
					require.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
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
			c.refused(before, c.do("POST", "/"+slug+"/spend", object{"amount": 1}, from("cross-site", ""), header("X-Http-Method-Override", "GET")), http.StatusForbidden, "csrf_blocked")
			require.Equal(t, records, s.records(t))
		})
	}
}

func TestUnsafeRequestsOfOurOwnPass(t *testing.T) {
	s := newServer(t, allowing(allowedOrigin, "https://app.example"))
	each(t, func(t *testing.T, slug string) {
		for what, change := range map[string]func(*http.Request){
			"curl": from("", ""), "our page": from("same-origin", s.url), "our page, no origin": from("same-origin", ""), "our page, old browser": from("", s.url), "the address bar": from("none", ""),
			"allowed, same-site": from("same-site", allowedOrigin), "allowed, cross-site": from("cross-site", "https://app.example"), "allowed, old browser": from("", "https://app.example"),
		} {
			t.Run(what, func(t *testing.T) {
				c := s.login(t, slug, alice, alicePassword)
				for _, r := range c.bodyRoutes() {
					if r.path != "/accounts" && r.method != "PUT" { // which work once
						require.Less(t, c.do(r.method, r.path, raw(r.good), change).status, 300, r.path)
					}
				}
			})
		}
	})
}

// all asks the server for an answer of every kind, as a page of the origin.
func (s *server) all(t *testing.T, slug, origin string, f func(what string, a *answer)) {
	s.clock.advance(time.Hour) // beyond what the throttle remembers
	c := s.login(t, slug, alice, alicePassword)
	browser := from("same-site", origin)
	for what, test := range map[string]struct {
		method, route string
		body          any
		change        func(*http.Request)
		status        int
	}{
		"a login":               {"POST", "login", credentials{bob, bobPassword}, func(r *http.Request) { r.Header.Del("Cookie"); r.Header.Del("Authorization") }, 200},
		"a profile":             {"GET", "profile", nil, nil, 200},
		"the same profile":      {"GET", "profile", nil, header("If-None-Match", "*"), 304},
		"a page":                {"GET", "", nil, nil, 200},
		"no JSON":               {"PATCH", "profile", raw("["), nil, 400},
		"two credentials":       {"GET", "profile", nil, func(r *http.Request) { twice(r, c.cookieName()) }, 400},
		"no credential":         {"GET", "profile", nil, func(r *http.Request) { r.Header.Del("Cookie"); r.Header.Del("Authorization") }, 401},
		"a wrong password":      {"POST", "login", credentials{alice, "wrong"}, nil, 401},
		"no admin":              {"GET", "members", nil, nil, 403},
		"no route":              {"GET", "nothing", nil, nil, 404},
		"no method":             {"PUT", "profile", nil, nil, 405},
		"no JSON wanted":        {"GET", "profile", nil, header("Accept", "text/html"), 406},
		"no credits":            {"POST", "spend", object{"amount": 101}, nil, 409},
		"an old version":        {"PATCH", "profile", object{"theme": "dark"}, header("If-Match", `"x"`), 412},
		"too much":              {"PATCH", "profile", raw(long(" ", 64<<10+1)), nil, 413},
		"a long target":         {"GET", "profile?" + long("q", 9000), nil, nil, 414},
		"no JSON sent":          {"PATCH", "profile", raw("{}"), header("Content-Type", "text/plain"), 415},
		"out of range":          {"PATCH", "profile", object{"theme": "blue"}, nil, 422},
		"too many cookies":      {"GET", "profile", nil, header("Cookie", long("a=b;", 101)), 431},
		"a patch":               {"PATCH", "profile", object{"theme": "light"}, nil, 200},
		"the wrong password":    {"PUT", "password", object{"current_password": "x", "new_password": "through the looking-glass"}, nil, 422},
		"a new password, short": {"PUT", "password", object{"current_password": alicePassword, "new_password": "x"}, nil, 422},
	} {
		if what == "two credentials" && !strict(s.traits(t, slug)) {
			continue // it takes one of the two
		}
		f(what, c.copy().do(test.method, "/"+slug+"/"+test.route, test.body, browser, func(r *http.Request) {
			if test.change != nil {
				test.change(r)
			}
		}).is(test.status))
	}
	f("a logout", c.do("POST", "/"+slug+"/logout", nil, browser).is(http.StatusNoContent))
	f("no such path", c.do("GET", "/nothing", nil, browser).is(http.StatusNotFound))
}

// page asks for every page and file there is, as a page of the origin.
func (s *server) page(t *testing.T, origin string, f func(what string, a *answer)) {
	c := s.client(t, "")
	for _, r := range s.Routes() {
		if r.Method == http.MethodGet {
			path := strings.NewReplacer(":id", "AAAAAAAAAAAAAAAAAAAAAA", "*name", "app.js").Replace(r.Path)
			f(path, c.do("GET", path, nil, from("same-site", origin)))
			f(path+" as HTML", c.do("GET", path, nil, from("same-site", origin), header("Accept", "text/html,*/*"), func(r *http.Request) { r.Host = "localhost" }))
		}
	}
}

// twice gives a request a second credential that differs.
func twice(r *http.Request, name string) {
	if held := r.Header.Get("Authorization"); held != "" {
		r.Header["Authorization"] = []string{held, "Bearer x"}
	} else {
		r.Header.Add("Cookie", name+"=x")
	}
}

func TestAnAllowedOriginReadsEveryAnswer(t *testing.T) {
	s, stores := newFaultyServer(t, allowing(allowedOrigin, "https://app.example"))
	keepAlive(t)
	readable := func(t *testing.T, origin string, a *answer) {
		require.Equal(t, []string{origin}, a.header["Access-Control-Allow-Origin"])
		require.Equal(t, []string{"true"}, a.header["Access-Control-Allow-Credentials"])
		require.Contains(t, strings.Join(a.header["Vary"], ", "), "Origin", "a cache would give it to another origin")
		exposed := strings.Split(strings.ToLower(a.header.Get("Access-Control-Expose-Headers")), ", ")
		require.ElementsMatch(t, []string{"etag", "retry-after", "x-request-id", "cache-status", "server-timing"}, exposed)
	}
	each(t, func(t *testing.T, slug string) {
		for _, origin := range []string{allowedOrigin, "https://app.example"} {
			s.all(t, slug, origin, func(what string, a *answer) {
				t.Run(origin+", "+what, func(t *testing.T) { readable(t, origin, a) })
			})
		}
	})
	s.page(t, allowedOrigin, func(what string, a *answer) {
		t.Run(what, func(t *testing.T) { readable(t, allowedOrigin, a) })
	})
	c := s.login(t, "session", alice, alicePassword)
	login := func(status int) *answer {
		return c.copy().do("POST", "/session/login", credentials{bob, "wrong"}, from("same-site", allowedOrigin)).is(status)
	}
	for range auth.MaxPerAccount {
		login(http.StatusUnauthorized)
	}
	readable(t, allowedOrigin, login(http.StatusTooManyRequests))
	stores.breakWith(errDown)
	readable(t, allowedOrigin, c.do("GET", "/session/profile", nil, from("same-site", allowedOrigin)).is(http.StatusServiceUnavailable))
	local := s.client(t, "").do("GET", "/", nil, from("same-site", allowedOrigin), func(r *http.Request) { r.Host = "example.com" })
	require.Empty(t, local.is(http.StatusMisdirectedRequest).header.Get("Access-Control-Allow-Origin"), "nothing is shared through a foreign name")
}

func TestAForeignOriginIsAnsweredAndReadsNothing(t *testing.T) {
	for name, s := range map[string]*server{"no origin allowed": newServer(t), "one allowed": newServer(t, allowing(allowedOrigin))} {
		each(t, func(t *testing.T, slug string) {
			c := s.login(t, slug, alice, alicePassword)
			for _, route := range []string{"profile", "nothing", "members", ""} {
				status := c.get(route).status
				for i, origin := range append(lookAlikes, "http://evil.example", "null") {
					a := c.do("GET", "/"+slug+"/"+route, nil, from([]string{"", "same-site", "cross-site"}[i%3], origin)).is(status)
					for header := range a.header {
						require.False(t, strings.HasPrefix(header, "Access-Control-"), "%s: %s for %s", name, header, origin)
					}
					require.Equal(t, name == "one allowed", strings.Contains(strings.Join(a.header["Vary"], ", "), "Origin"), "a cache would give it to the allowed one")
				}
			}
		})
	}
}

// preflight asks, as a browser does, whether a request would be allowed.
func (s *server) preflight(path, host, origin, method, headers string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodOptions, "http://"+host+path, nil)
	r.Header.Set("Origin", origin)
	r.Header.Set("Access-Control-Request-Method", method)
	if headers != "" {
		r.Header.Set("Access-Control-Request-Headers", headers)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestPreflights(t *testing.T) {
	s := newServer(t, allowing(allowedOrigin))
	each(t, func(t *testing.T, slug string) {
		// A path that does not exist is answered as the others are, so that the page gets to see the 404.
		for _, r := range append(s.client(t, slug).bodyRoutes(), bodyRoute{method: "GET", path: "/" + slug + "/nothing"}) {
			for _, headers := range []string{"", "content-type", "authorization,content-type", "authorization,content-type,if-match,if-none-match"} {
				w := s.preflight(r.path, "localhost", allowedOrigin, r.method, headers)
				require.Contains(t, []int{200, 204}, w.Code)
				require.Equal(t, []string{allowedOrigin}, w.Header()["Access-Control-Allow-Origin"])
				require.Equal(t, []string{"true"}, w.Header()["Access-Control-Allow-Credentials"])
				require.Equal(t, r.method, w.Header().Get("Access-Control-Allow-Methods"))
				require.Equal(t, headers, strings.ReplaceAll(w.Header().Get("Access-Control-Allow-Headers"), " ", ""))
				require.Contains(t, w.Header().Get("Vary"), "Origin")
				require.Equal(t, "600", w.Header().Get("Access-Control-Max-Age"))
				require.Regexp(t, `^[0-9a-z]{16}$`, w.Header().Get("X-Request-Id"))
			}
			for what, w := range map[string]*httptest.ResponseRecorder{
				"a foreign origin": s.preflight(r.path, "localhost", "http://evil.example", r.method, "content-type"),
				"null":             s.preflight(r.path, "localhost", "null", r.method, "content-type"),
				"another header":   s.preflight(r.path, "localhost", allowedOrigin, r.method, "x-evil"),
				"another method":   s.preflight(r.path, "localhost", allowedOrigin, "TRACE", ""),
			} {
				require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"), what)
			}
			for _, origin := range lookAlikes {
				require.Empty(t, s.preflight(r.path, "localhost", origin, r.method, "").Header().Get("Access-Control-Allow-Origin"), origin)
			}
		}
	})
	none := newServer(t)
	require.Equal(t, http.StatusMethodNotAllowed, none.preflight("/session/profile", "localhost", allowedOrigin, "PATCH", "").Code)
	w := s.preflight("/session/profile", "example.com", allowedOrigin, "PATCH", "")
	require.Equal(t, http.StatusMisdirectedRequest, w.Code, "a preflight for a foreign host")
	require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
}

func TestOriginsThatCannotBeAllowed(t *testing.T) {
	s := newServer(t)
	for _, origin := range []string{
		"", "*", "null", "localhost", "localhost:5173", "//localhost:5173", "http://", "http://localhost:5173/", "http://localhost:5173/app", "http://localhost:5173?x", "http://localhost:5173#x",
		"http://*.example.com", "http://user@localhost:5173", "HTTP://LOCALHOST:5173", "http://localhost:5173 ", "http://localhost:80", "https://app.example:443",
	} {
		t.Run(origin, func(t *testing.T) {
			config := s.config
			config.OpenAPI, config.AllowOrigins = []byte("openapi: 3.1.0"), []string{allowedOrigin, origin}
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
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		before := c.profile()
		as := func(host string) func(*http.Request) { return func(r *http.Request) { r.Host = host } }
		for _, host := range []string{"localhost", "localhost:1", "LocalHost:8080", "127.0.0.1", "127.0.0.1:9", "[::1]", "[::1]:8080"} {
			c.do("GET", "/"+slug+"/profile", nil, as(host)).is(http.StatusOK)
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
				foreign[name+": "+value] = header(name, value)
			}
		}
		for what, change := range foreign {
			t.Run(what, func(t *testing.T) {
				c := c.in(t)
				c.refused(before, c.do("GET", "/"+slug+"/profile", nil, change), http.StatusMisdirectedRequest, "classroom_is_local")
				c.refused(before, c.do("PATCH", "/"+slug+"/profile", object{"theme": "dark"}, change), http.StatusMisdirectedRequest, "classroom_is_local")
				a := s.client(t, slug).do("POST", "/"+slug+"/login", credentials{alice, alicePassword}, change)
				c.refused(before, a, http.StatusMisdirectedRequest, "classroom_is_local")
			})
		}
		// What no proxy puts there is nothing to us: it neither opens nor closes anything.
		for _, name := range []string{"X-Real-Ip", "X-User-Id", "X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "X-Forwarded", "Client-Ip", "True-Client-Ip"} {
			require.Equal(t, before, string(c.do("GET", "/"+slug+"/profile", nil, header(name, "/"+slug+"/members")).is(http.StatusOK).body))
			s.client(t, slug).do("GET", "/"+slug+"/profile", nil, header(name, "1")).is(http.StatusUnauthorized, "no_credential")
		}
	})
	// Every route there is keeps to it.
	for _, r := range s.Routes() {
		path := strings.NewReplacer(":id", "AAAAAAAAAAAAAAAAAAAAAA", "*name", "app.js").Replace(r.Path)
		a := s.client(t, "").do(r.Method, path, nil, func(r *http.Request) { r.Host = "example.com" }).is(http.StatusMisdirectedRequest)
		require.True(t, r.Method == http.MethodHead || a.code() == "classroom_is_local", path)
	}
	require.Greater(t, len(s.Routes()), 40)
}
