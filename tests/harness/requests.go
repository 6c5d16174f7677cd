package harness

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/state/store/memory"
)

// Opens says whether a credential opens the login of this user.
func (c *Client) Opens(username string) bool {
	c.T.Helper()
	return c.Get("profile").Text("user.username") == username
}

// In returns the client for a sub-test: what fails there is reported there.
func (c *Client) In(t testing.TB) *Client {
	d := *c
	d.T = t
	return &d
}

// Profile is what the client sees of its state, byte for byte.
func (c *Client) Profile() string {
	c.T.Helper()
	return string(c.Get("profile").Is(http.StatusOK).Body)
}

// Refused requires an answer to be this refusal, to set and clear no cookie,
// and to have left the state as it was before.
func (c *Client) Refused(before string, a *Answer, status int, code string) {
	c.T.Helper()
	a.IsRefused(status, code)
	require.Equal(c.T, before, c.Profile())
}

// IsRefused requires that a request was refused and its answer sets no cookie. A test that
// sends hundreds of them compares the profile once in a while.
func (a *Answer) IsRefused(status int, code string) {
	a.T.Helper()
	a.Is(status, code)
	require.Empty(a.T, a.Header["Set-Cookie"])
}

// Records is how many records take up room in the server's stores.
func (s *Server) Records(t testing.TB) int {
	t.Helper()
	var inDatabase int
	require.NoError(t, s.Config.Database.QueryRowContext(t.Context(), `SELECT count(*) FROM records`).Scan(&inDatabase))
	chosen := s.Config.Store
	if f, ok := chosen.(FaultyStore); ok {
		chosen = f.Store
	}
	return chosen.(*memory.Store).Len() + inDatabase
}

// Keeper is the store in which a strategy keeps its records.
func (s *Server) Keeper(t testing.TB, slug string) state.Store {
	t.Helper()
	if s.Traits(t, slug).KeptIn == state.PlaceDatabase {
		return s.Config.DatabaseStore
	}
	return s.Config.Store
}

// ID names the client's login to its owner.
func (c *Client) ID() string {
	c.T.Helper()
	return strings.Trim(strings.Split(c.Get("profile").Header.Get("ETag"), ".")[0], `"`)
}

// Header returns a change of a request that sets a header to these lines.
func Header(name string, lines ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = lines }
}

// A BodyRoute is a route that reads a body, and one that it accepts.
type BodyRoute struct{ Method, Path, Good string }

// BodyRoutes are all of a strategy, in an order in which the good bodies can be
// sent one after the other.
func (c *Client) BodyRoutes() []BodyRoute {
	refresh, logout := `{}`, `{"everywhere":false}`
	if c.Refresh != "" {
		refresh = `{"refresh_token":"` + c.Refresh + `"}`
		logout = `{"everywhere":false,"refresh_token":"` + c.Refresh + `"}`
	}
	routes := []BodyRoute{
		{"PATCH", "/" + c.Slug + "/profile", `{"theme":"dark","language":"ko","nickname":"x","note":"x","cart":["x"]}`},
		{"POST", "/" + c.Slug + "/spend", `{"amount":1}`},
		{"POST", "/" + c.Slug + "/refresh", refresh},
		{"POST", "/accounts", `{"username":"dormouse","password":"twinkle twinkle","display_name":"x"}`},
		{"POST", "/" + c.Slug + "/logout", logout},
		{"POST", "/" + c.Slug + "/login", `{"username":"alice","password":"wonderland"}`},
		{"PUT", "/" + c.Slug + "/password", `{"current_password":"wonderland","new_password":"through the looking-glass"}`},
	}
	return slices.DeleteFunc(routes, func(r BodyRoute) bool {
		return strings.HasSuffix(r.Path, "/refresh") && !Promises()[c.Slug].RenewsID // no body is good there
	})
}

// Long is n characters of a kind.
func Long(character string, n int) string { return strings.Repeat(character, n) }

// Strict says whether a strategy takes those credentials only that the server has
// made for this login. What the others take, their own tests tell.
func Strict(traits state.Traits) bool { return traits.StrictID && traits.RenewsID }

// Wire sends bytes as they are and returns all that comes back until the server
// closes. A cut message is one that the client ends in the middle.
func (s *Server) Wire(t testing.TB, text string, cut bool) string {
	t.Helper()
	address := strings.TrimPrefix(s.URL, "http://")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = io.WriteString(conn, strings.ReplaceAll(text, "HOST", address))
	require.NoError(t, err)
	if cut {
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	}
	back, err := io.ReadAll(conn)
	require.NoError(t, err)
	return string(back)
}

// Statuses are those of the answers on a connection.
func Statuses(back string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^HTTP/1\.[01] (\d+)`).FindAllStringSubmatch(back, -1) {
		all = append(all, m[1])
	}
	return all
}

// UnsafeRoutes are all routes of the client's strategy that can change
// something, with bodies that they accept.
func (c *Client) UnsafeRoutes() []BodyRoute {
	c.T.Helper()
	return append(c.BodyRoutes(), BodyRoute{"DELETE", "/" + c.Slug + "/logins/" + c.ID(), ``})
}

// From returns a change of a request that makes it one of a browser's. An empty
// string leaves the header out.
func From(site, origin string) func(*http.Request) {
	return func(r *http.Request) {
		for name, value := range map[string]string{"Sec-Fetch-Site": site, "Origin": origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
	}
}

// AllowedOrigin is the origin that tests allow, where they allow one.
const AllowedOrigin = "http://localhost:5173"

// Allowing has a server allow origins.
func Allowing(origins ...string) Option {
	return func(c *api.Config) { c.AllowOrigins = origins }
}

// All asks the server for an answer of every kind, as a page of the origin.
func (s *Server) All(t *testing.T, slug, origin string, f func(what string, a *Answer)) {
	s.Clock.Advance(time.Hour) // beyond what the throttle remembers
	c := s.Login(t, slug, Alice, AlicePassword)
	browser := From("same-site", origin)
	for what, test := range map[string]struct {
		method, route string
		body          any
		change        func(*http.Request)
		status        int
	}{
		"a login":               {"POST", "login", Credentials(Bob, BobPassword), func(r *http.Request) { r.Header.Del("Cookie"); r.Header.Del("Authorization") }, 200},
		"a profile":             {"GET", "profile", nil, nil, 200},
		"the same profile":      {"GET", "profile", nil, Header("If-None-Match", "*"), 304},
		"a page":                {"GET", "", nil, nil, 200},
		"no JSON":               {"PATCH", "profile", Raw("["), nil, 400},
		"two credentials":       {"GET", "profile", nil, func(r *http.Request) { Twice(r, c.CookieName()) }, 400},
		"no credential":         {"GET", "profile", nil, func(r *http.Request) { r.Header.Del("Cookie"); r.Header.Del("Authorization") }, 401},
		"a wrong password":      {"POST", "login", Credentials(Alice, "wrong"), nil, 401},
		"no admin":              {"GET", "members", nil, nil, 403},
		"no route":              {"GET", "nothing", nil, nil, 404},
		"no method":             {"PUT", "profile", nil, nil, 405},
		"no JSON wanted":        {"GET", "profile", nil, Header("Accept", "text/html"), 406},
		"no credits":            {"POST", "spend", Object{"amount": 101}, nil, 409},
		"an old version":        {"PATCH", "profile", Object{"theme": "dark"}, Header("If-Match", `"x"`), 412},
		"too much":              {"PATCH", "profile", Raw(Long(" ", 64<<10+1)), nil, 413},
		"a long target":         {"GET", "profile?" + Long("q", 9000), nil, nil, 414},
		"no JSON sent":          {"PATCH", "profile", Raw("{}"), Header("Content-Type", "text/plain"), 415},
		"out of range":          {"PATCH", "profile", Object{"theme": "blue"}, nil, 422},
		"too many cookies":      {"GET", "profile", nil, Header("Cookie", Long("a=b;", 101)), 431},
		"a patch":               {"PATCH", "profile", Object{"theme": "light"}, nil, 200},
		"the wrong password":    {"PUT", "password", Object{"current_password": "x", "new_password": "through the looking-glass"}, nil, 422},
		"a new password, short": {"PUT", "password", Object{"current_password": AlicePassword, "new_password": "x"}, nil, 422},
	} {
		if what == "two credentials" && !Strict(s.Traits(t, slug)) {
			continue // it takes one of the two
		}
		f(what, c.Copy().Do(test.method, "/"+slug+"/"+test.route, test.body, browser, func(r *http.Request) {
			if test.change != nil {
				test.change(r)
			}
		}).Is(test.status))
	}
	f("a logout", c.Do("POST", "/"+slug+"/logout", nil, browser).Is(http.StatusNoContent))
	f("no such path", c.Do("GET", "/nothing", nil, browser).Is(http.StatusNotFound))
}

// Page asks for every page and file there is, as a page of the origin.
func (s *Server) Page(t *testing.T, origin string, f func(what string, a *Answer)) {
	c := s.Client(t, "")
	for _, r := range s.Routes() {
		if r.Method == http.MethodGet {
			path := strings.NewReplacer(":id", "AAAAAAAAAAAAAAAAAAAAAA", "*name", "app.js").Replace(r.Path)
			f(path, c.Do("GET", path, nil, From("same-site", origin)))
			f(path+" as HTML", c.Do("GET", path, nil, From("same-site", origin), Header("Accept", "text/html,*/*"), func(r *http.Request) { r.Host = "localhost" }))
		}
	}
}

// Twice gives a request a second credential that differs.
func Twice(r *http.Request, name string) {
	if held := r.Header.Get("Authorization"); held != "" {
		r.Header["Authorization"] = []string{held, "Bearer x"}
	} else {
		r.Header.Add("Cookie", name+"=x")
	}
}

// Preflight asks, as a browser does, whether a request would be allowed.
func (s *Server) Preflight(path, host, origin, method, headers string) *httptest.ResponseRecorder {
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
