package tests

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
	"statelab/tests/harness"
)

// What standards ask for and no test of a feature has a reason to try. The table
// in README.md says which test holds which requirement.

// A password is what was typed, to the bit: no length, case, white space or
// encoding of it is made into another.
func TestAPasswordIsNothingButItself(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, "session")
	username := func(name string) string { return strings.ReplaceAll(name, " ", "-") }
	for name, test := range map[string]struct {
		password string
		others   []string
	}{
		"composed":      {"\u00e9tudiante", []string{"e\u0301tudiante", "etudiante", "\u00c9tudiante"}},
		"decomposed":    {"e\u0301tudiante", []string{"\u00e9tudiante"}},
		"hangul":        {"\ud1a0\ub07c\uad74\ub85c \ub0b4\ub824\uac00\uae30", []string{"\u1110\u1169\u1101\u1175\u1100\u116e\u11af\u1105\u1169 \u1102\u1162\u1105\u1167\u1100\u1161\u1100\u1175"}},
		"compatible":    {"\ufb01ne and dandy", []string{"fine and dandy"}},
		"mixed case":    {"Down the Rabbit Hole", []string{"down the rabbit hole", "DOWN THE RABBIT HOLE", "dOWN THE rABBIT hOLE"}},
		"white space":   {" between  two  spaces ", []string{"between  two  spaces", " between two spaces ", " between\u00a0\u00a0two  spaces "}},
		"8 characters":  {"\U0001f600x\U0001f600y\U0001f600z\U0001f600w", []string{"\U0001f600x\U0001f600y\U0001f600z\U0001f600"}},
		"64 characters": {harness.Long("abcdefg.", 8), []string{harness.Long("abcdefg.", 8)[:63]}},
		"100 bytes":     {harness.Long("abcdefghi.", 10), []string{harness.Long("abcdefghi.", 10)[:72], harness.Long("abcdefghi.", 10)[:64]}}, // where others cut it off
		"128 in UTF-8":  {harness.Long("\uac00", 128), []string{harness.Long("\uac00", 127), harness.Long("\uac00", 24), harness.Long("\uac00", 127) + "\uac01"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := c.In(t)
			s.Clock.Advance(auth.ThrottleWindow)
			c.Do("POST", "/accounts", harness.Object{"username": username(name), "password": test.password}).Is(http.StatusCreated)
			for _, other := range test.others {
				c.Post("login", harness.Credentials(username(name), other)).Is(http.StatusUnauthorized, "bad_login")
			}
			mine := s.Login(t, "session", username(name), test.password)
			for _, other := range test.others {
				mine.Route("PUT", "password", harness.Object{"current_password": other, "new_password": "through the looking-glass"}).Is(http.StatusUnprocessableEntity)
			}
			s.Login(t, "session", username(name), test.password)
		})
	}
}

// A link, an image or a prefetch may ask for any address there is.
func TestSafeMethodsChangeNothing(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	var clients []*harness.Client
	for _, slug := range harness.Shared {
		clients = append(clients, s.Login(t, slug, harness.Teacher, harness.TeacherPassword))
	}
	subject := clients[0].Get("profile").Text("user.id")
	before := s.Everything(t, subject)
	require.Greater(t, len(before), len(clients)-1)
	paths := map[string]bool{}
	for _, r := range s.Routes() {
		slug, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/")
		if !harness.Promises()[slug].Page { // one that begins a session for whoever looks at its page
			paths[r.Path] = true
		}
	}
	for path := range paths {
		for _, c := range clients {
			path := strings.NewReplacer(":id", c.ID(), "*name", "app.js").Replace(path)
			for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE"} {
				a := c.Do(method, path+"?_method=DELETE&amount=1&everywhere=true", nil, harness.Header("X-Http-Method-Override", "POST"), harness.Header("X-Method-Override", "DELETE"))
				require.Empty(t, a.Cookies, "%s %s", method, path)
			}
		}
	}
	require.Equal(t, before, s.Everything(t, subject))
	clients[0].Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
	require.NotEqual(t, before, s.Everything(t, subject), "a change would have been seen")
}

// The largest credentials of all strategies together, as a browser sends them
// over TLS, where every cookie has the path /.
func TestNothingWeHandOutIsTooMuchToSendBack(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0")
	all, tokens := p.Client(""), map[string]string{}
	var served []string // lessons are not served over TLS to anybody
	for _, d := range state.Definitions() {
		if d.Mount != state.MountLessons {
			served = append(served, d.Slug)
		}
	}
	for _, slug := range served {
		c := p.Client(slug)
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		for n := 5000; n > 0; n -= 100 {
			if c.Patch(harness.Object{"cart": cartOf(n, "q")}).Status == http.StatusOK {
				break
			}
		}
		maps.Copy(all.Cookies, c.Cookies)
		tokens[slug] = c.Access
	}
	require.Greater(t, len(tokens["token"]), 5000)
	for _, slug := range served {
		all.Access = tokens[slug]
		all.Do("GET", "/"+slug+"/profile", nil).Is(http.StatusOK)
	}
}

// An address is the connection's, whatever a header says it is.
func TestNoHeaderMakesAnotherAddress(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	for i := range auth.MaxPerAddress {
		address := fmt.Sprintf("192.0.2.%d", i)
		s.Client(t, "session").Do("POST", "/session/login", harness.Credentials(fmt.Sprint("nobody", i), harness.Wrong), func(r *http.Request) {
			for _, name := range []string{"X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "Client-Ip", "X-Appengine-Remote-Addr", "Fastly-Client-Ip", "X-Remote-Addr"} {
				r.Header.Set(name, address)
			}
		}).Is(http.StatusUnauthorized, "bad_login")
	}
	s.Client(t, "session").Do("POST", "/session/login", harness.Credentials(harness.Alice, harness.AlicePassword), harness.Header("X-Real-Ip", "198.51.100.1")).Throttled(auth.ThrottleWindow)
}

func TestNothingOfTheWorkshopIsServed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.ServiceKeys(t, dir)
	p := harness.Start(t, dir, nil, "--no-classroom", "--listen", "localhost:0", "--log-level", "debug")
	for _, path := range []string{
		"/debug", "/debug/", "/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "/debug/requests", "/metrics", "/actuator", "/actuator/env", "/server-status", "/status",
		"/.env", "/.git/HEAD", "/go.mod", "/main.go", "/statelab.keys.json", "/statelab.db", "/web/../statelab.keys.json", "/swagger", "/graphql", "/admin", "/console",
	} {
		p.Client("").Do("GET", path, nil).Is(http.StatusNotFound, "not_found")
	}
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.Ends())
	require.NotContains(t, p.Banner+p.Log.String(), "GIN", "the framework speaks only in its debug mode")
}

// There is no way to an access token but ours: not the password grant, which
// RFC 9700, 2.4 forbids, and no other endpoint of OAuth.
func TestThereIsNoPasswordGrant(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	const form = "grant_type=password&username=alice&password=wonderland&client_id=statelab"
	for _, path := range []string{"/token", "/token/token", "/oauth/token", "/oauth2/token", "/token/oauth/token", "/token/introspect", "/token/revoke", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		s.Client(t, "").Do("POST", path, harness.Raw(form), harness.Header("Content-Type", "application/x-www-form-urlencoded")).Is(http.StatusNotFound, "not_found")
	}
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Client(t, slug)
		c.Do("POST", "/"+slug+"/login", harness.Raw(form), harness.Header("Content-Type", "application/x-www-form-urlencoded")).Is(http.StatusUnsupportedMediaType)
		c.Post("login", harness.Object{"grant_type": "password", "username": harness.Alice, "password": harness.AlicePassword}).Is(http.StatusBadRequest, "malformed_json")
		require.Empty(t, c.Held())
	})
}

// A browser forgets after 400 days (RFC 6265bis, 5.5), so a cookie that claims
// more lies. The login lives as long as the operator wants.
func TestACookieClaimsAtMost400Days(t *testing.T) {
	t.Parallel()
	const days = 24 * time.Hour
	lifetimes := state.DefaultLifetimes()
	lifetimes.SessionMax, lifetimes.SessionIdle, lifetimes.RefreshTTL = 1000*days, 1000*days, 1000*days
	s := harness.NewServer(t, func(c *api.Config) { c.Lifetimes = lifetimes })
	eachCookie(t, s, func(t *testing.T, slug string) {
		if !s.Traits(t, slug).Expires {
			return // it ends at no date
		}
		a := s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		require.Equal(t, int(400*days/time.Second), a.Cookies[0].MaxAge)
		require.Equal(t, s.Clock.Now().Add(1000*days).Format(time.RFC3339), a.Text("expires_at"))
	})
}

func TestAServerHasNoAccountsOfItsOwn(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	config := s.Config
	config.Database = harness.NewDatabase(t).DB
	config.OpenAPI = harness.SpecificationText(t)
	empty, err := api.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, empty.Close()) })
	var accounts int
	require.NoError(t, config.Database.QueryRowContext(t.Context(), `SELECT count(*) FROM accounts`).Scan(&accounts))
	require.Zero(t, accounts)

	// The classroom adds those that it publishes, and no other.
	harness.Each(t, func(t *testing.T, slug string) {
		s.Clock.Advance(auth.ThrottleWindow)
		for _, name := range []string{"admin", "root", "administrator", "demo", "guest", "test", harness.Alice, harness.Teacher} {
			s.Client(t, slug).Post("login", harness.Credentials(name, name)).Is(http.StatusUnauthorized, "bad_login")
		}
	})
}

// A request is named by us: a name that a client could choose would be a line
// of its own in the log.
func TestARequestHasOurName(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	const theirs = "aaaaaaaaaaaaaaaa"
	seen := map[string]bool{theirs: true}
	for range 100 {
		id := s.Client(t, "").Do("GET", "/healthz", nil, harness.Header("X-Request-Id", theirs), harness.Header("Traceparent", theirs)).Header.Get("X-Request-Id")
		require.False(t, seen[id], id)
		seen[id] = true
	}
}
