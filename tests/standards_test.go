package tests

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
)

// What standards ask for and no test of a feature has a reason to try. The table
// in README.md says which test holds which requirement.

// A password is what was typed, to the bit: no length, case, white space or
// encoding of it is made into another.
func TestAPasswordIsNothingButItself(t *testing.T) {
	s := newServer(t)
	c := s.client(t, "session")
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
		"64 characters": {long("abcdefg.", 8), []string{long("abcdefg.", 8)[:63]}},
		"100 bytes":     {long("abcdefghi.", 10), []string{long("abcdefghi.", 10)[:72], long("abcdefghi.", 10)[:64]}}, // where others cut it off
		"128 in UTF-8":  {long("\uac00", 128), []string{long("\uac00", 127), long("\uac00", 24), long("\uac00", 127) + "\uac01"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := c.in(t)
			s.clock.advance(auth.ThrottleWindow)
			c.do("POST", "/accounts", object{"username": username(name), "password": test.password}).is(http.StatusCreated)
			for _, other := range test.others {
				c.post("login", credentials{username(name), other}).is(http.StatusUnauthorized, "bad_login")
			}
			mine := s.login(t, "session", username(name), test.password)
			for _, other := range test.others {
				mine.route("PUT", "password", object{"current_password": other, "new_password": "through the looking-glass"}).is(http.StatusUnprocessableEntity)
			}
			s.login(t, "session", username(name), test.password)
		})
	}
}

// everything is all that the server keeps: of the user, and of everybody in the
// database.
func (s *server) everything(t testing.TB, subject string) []string {
	t.Helper()
	var all []string
	for _, st := range []state.Store{s.config.Store, s.config.DatabaseStore} {
		entries, err := st.BySubject(t.Context(), subject)
		require.NoError(t, err)
		for _, e := range entries {
			all = append(all, fmt.Sprintf("%+v", e))
		}
	}
	rows, err := s.config.Database.QueryContext(t.Context(), `SELECT username || display_name || role || password_hash FROM accounts`)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var row string
		require.NoError(t, rows.Scan(&row))
		all = append(all, row)
	}
	require.NoError(t, rows.Err())
	slices.Sort(all)
	return all
}

// A link, an image or a prefetch may ask for any address there is.
func TestSafeMethodsChangeNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var clients []*client
	for _, slug := range shared {
		clients = append(clients, s.login(t, slug, teacher, teacherPassword))
	}
	subject := clients[0].get("profile").text("user.id")
	before := s.everything(t, subject)
	require.Greater(t, len(before), len(clients)-1)
	paths := map[string]bool{}
	for _, r := range s.Routes() {
		slug, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/")
		if !promises()[slug].page { // one that begins a session for whoever looks at its page
			paths[r.Path] = true
		}
	}
	for path := range paths {
		for _, c := range clients {
			path := strings.NewReplacer(":id", c.id(), "*name", "app.js").Replace(path)
			for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE"} {
				a := c.do(method, path+"?_method=DELETE&amount=1&everywhere=true", nil, header("X-Http-Method-Override", "POST"), header("X-Method-Override", "DELETE"))
				require.Empty(t, a.cookies, "%s %s", method, path)
			}
		}
	}
	require.Equal(t, before, s.everything(t, subject))
	clients[0].patch(object{"theme": "dark"}).is(http.StatusOK)
	require.NotEqual(t, before, s.everything(t, subject), "a change would have been seen")
}

// The largest credentials of all strategies together, as a browser sends them
// over TLS, where every cookie has the path /.
func TestNothingWeHandOutIsTooMuchToSendBack(t *testing.T) {
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0")
	all := p.client("")
	var served []string // lessons are not served over TLS to anybody
	for _, d := range state.Definitions() {
		if d.Mount != state.MountLessons {
			served = append(served, d.Slug)
		}
	}
	for _, slug := range served {
		c := p.client(slug)
		c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
		for n := 5000; n > 0; n -= 100 {
			if c.patch(object{"cart": cartOf(n, "q")}).status == http.StatusOK {
				break
			}
		}
		maps.Copy(all.cookies, c.cookies)
		all.access = max(all.access, c.access)
	}
	require.Greater(t, len(all.access), 5000)
	for _, slug := range served {
		all.do("GET", "/"+slug+"/profile", nil).is(http.StatusOK)
	}
}

// An address is the connection's, whatever a header says it is.
func TestNoHeaderMakesAnotherAddress(t *testing.T) {
	s := newServer(t)
	for i := range auth.MaxPerAddress {
		address := fmt.Sprintf("192.0.2.%d", i)
		s.client(t, "session").do("POST", "/session/login", credentials{fmt.Sprint("nobody", i), wrong}, func(r *http.Request) {
			for _, name := range []string{"X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "Client-Ip", "X-Appengine-Remote-Addr", "Fastly-Client-Ip", "X-Remote-Addr"} {
				r.Header.Set(name, address)
			}
		}).is(http.StatusUnauthorized, "bad_login")
	}
	s.client(t, "session").do("POST", "/session/login", credentials{alice, alicePassword}, header("X-Real-Ip", "198.51.100.1")).throttled(auth.ThrottleWindow)
}

func TestNothingOfTheWorkshopIsServed(t *testing.T) {
	dir := t.TempDir()
	serviceKeys(t, dir)
	p := start(t, dir, nil, "--no-classroom", "--listen", "localhost:0", "--log-level", "debug")
	for _, path := range []string{
		"/debug", "/debug/", "/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "/debug/requests", "/metrics", "/actuator", "/actuator/env", "/server-status", "/status",
		"/.env", "/.git/HEAD", "/go.mod", "/main.go", "/statelab.keys.json", "/statelab.db", "/web/../statelab.keys.json", "/swagger", "/graphql", "/admin", "/console",
	} {
		p.client("").do("GET", path, nil).is(http.StatusNotFound, "not_found")
	}
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.ends())
	require.NotContains(t, p.banner+p.log.String(), "GIN", "the framework speaks only in its debug mode")
}

// There is no way to an access token but ours: not the password grant, which
// RFC 9700, 2.4 forbids, and no other endpoint of OAuth.
func TestThereIsNoPasswordGrant(t *testing.T) {
	s := newServer(t)
	const form = "grant_type=password&username=alice&password=wonderland&client_id=statelab"
	for _, path := range []string{"/token", "/token/token", "/oauth/token", "/oauth2/token", "/token/oauth/token", "/token/introspect", "/token/revoke", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		s.client(t, "").do("POST", path, raw(form), header("Content-Type", "application/x-www-form-urlencoded")).is(http.StatusNotFound, "not_found")
	}
	each(t, func(t *testing.T, slug string) {
		c := s.client(t, slug)
		c.do("POST", "/"+slug+"/login", raw(form), header("Content-Type", "application/x-www-form-urlencoded")).is(http.StatusUnsupportedMediaType)
		c.post("login", object{"grant_type": "password", "username": alice, "password": alicePassword}).is(http.StatusBadRequest, "malformed_json")
		require.Empty(t, c.held())
	})
}

// A browser forgets after 400 days (RFC 6265bis, 5.5), so a cookie that claims
// more lies. The login lives as long as the operator wants.
func TestACookieClaimsAtMost400Days(t *testing.T) {
	const days = 24 * time.Hour
	lifetimes := state.DefaultLifetimes()
	lifetimes.SessionMax, lifetimes.SessionIdle, lifetimes.RefreshTTL = 1000*days, 1000*days, 1000*days
	s := newServer(t, func(c *api.Config) { c.Lifetimes = lifetimes })
	eachCookie(t, s, func(t *testing.T, slug string) {
		if !s.traits(t, slug).Expires {
			return // it ends at no date
		}
		a := s.client(t, slug).post("login", credentials{alice, alicePassword}).is(http.StatusOK)
		require.Equal(t, int(400*days/time.Second), a.cookies[0].MaxAge)
		require.Equal(t, s.clock.Now().Add(1000*days).Format(time.RFC3339), a.text("expires_at"))
	})
}

func TestAServerHasNoAccountsOfItsOwn(t *testing.T) {
	s := newServer(t)
	config := s.config
	config.Database = newDatabase(t).DB
	config.OpenAPI = specificationText(t)
	empty, err := api.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, empty.Close()) })
	var accounts int
	require.NoError(t, config.Database.QueryRowContext(t.Context(), `SELECT count(*) FROM accounts`).Scan(&accounts))
	require.Zero(t, accounts)

	// The classroom adds those that it publishes, and no other.
	each(t, func(t *testing.T, slug string) {
		s.clock.advance(auth.ThrottleWindow)
		for _, name := range []string{"admin", "root", "administrator", "demo", "guest", "test", alice, teacher} {
			s.client(t, slug).post("login", credentials{name, name}).is(http.StatusUnauthorized, "bad_login")
		}
	})
}

// A request is named by us: a name that a client could choose would be a line
// of its own in the log.
func TestARequestHasOurName(t *testing.T) {
	s := newServer(t)
	const theirs = "aaaaaaaaaaaaaaaa"
	seen := map[string]bool{theirs: true}
	for range 100 {
		id := s.client(t, "").do("GET", "/healthz", nil, header("X-Request-Id", theirs), header("Traceparent", theirs)).header.Get("X-Request-Id")
		require.False(t, seen[id], id)
		seen[id] = true
	}
}
