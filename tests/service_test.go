package tests

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
	"statelab/tests/harness"
)

// service makes a server one for others: no classroom, every strategy that may
// be named.
func service(c *api.Config) {
	c.Classroom = false
	for _, d := range state.Definitions() {
		if d.Mount == state.MountNamed {
			c.Strategies = append(c.Strategies, d.Slug)
		}
	}
}

// behind makes a server trust these proxies.
func behind(networks ...string) harness.Option {
	return func(c *api.Config) {
		for _, network := range networks {
			c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(network))
		}
	}
}

// newService starts a server for others, where carol has an account.
func newService(t *testing.T, options ...harness.Option) *harness.Server {
	t.Helper()
	s := harness.NewServer(t, append([]harness.Option{service}, options...)...)
	s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": harness.Carol, "password": harness.CarolPassword}).Is(http.StatusCreated)
	return s
}

// eachServed runs f for every strategy that a server for others may serve.
func eachServed(t *testing.T, s *harness.Server, f func(t *testing.T, slug string)) {
	t.Helper()
	for _, d := range state.Definitions() {
		if d.Mounted(false, s.Config.Strategies) {
			t.Run(d.Slug, func(t *testing.T) { f(t, d.Slug) })
		}
	}
}

func TestAServiceKnowsNoClassroom(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c := s.Client(t, "")
	page := string(c.Do("GET", "/", nil, harness.Header("Accept", "text/html")).Is(http.StatusOK).Body)
	page += string(c.Do("GET", "/session/", nil).Is(http.StatusOK).Body)
	for _, d := range api.DemoAccounts() {
		require.NotContains(t, page, d.Username)
		require.NotContains(t, page, d.Password)
		c.Do("POST", "/session/login", harness.Credentials(d.Username, d.Password)).Is(http.StatusUnauthorized, "bad_login")
	}
	eachServed(t, s, func(t *testing.T, slug string) {
		for _, host := range []string{"app.example", "app.example:8443", "192.0.2.7", "localhost"} {
			s.Login(t, slug, harness.Carol, harness.CarolPassword).Do("GET", "/"+slug+"/profile", nil, func(r *http.Request) { r.Host = host }).Is(http.StatusOK)
		}
	})
}

// The zero value of the configuration is the safe one.
func TestAServiceMountsWhatIsNamed(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, func(c *api.Config) { c.Classroom = false })
	for _, d := range state.Definitions() {
		a := s.Client(t, d.Slug).Do("GET", "/"+d.Slug+"/profile", nil)
		if d.Mount == state.MountAlways {
			a.Is(http.StatusUnauthorized, "no_credential")
		} else {
			a.Is(http.StatusNotFound, "not_found")
		}
	}
	config := s.Config
	config.Strategies = []string{"seedling"}
	_, err := api.New(config)
	require.ErrorContains(t, err, "seedling")
}

// A stranger who could take a demo account with its published password would
// keep the service from starting again.
func TestPublishedPasswordsOpenNothing(t *testing.T) {
	t.Parallel()
	s := newService(t)
	classroom := s.Config
	classroom.Classroom = true
	harness.StartServer(t, classroom, s.Clock) // on the same database
	username, err := s.FindDemoAccount(t.Context())
	require.NoError(t, err)
	require.Equal(t, harness.Alice, username)
	for _, d := range api.DemoAccounts() {
		s.Client(t, "session").Post("login", harness.Credentials(d.Username, d.Password)).Is(http.StatusUnauthorized, "bad_login")
		a := s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": "dave", "password": d.Password}).Is(http.StatusUnprocessableEntity)
		require.Equal(t, "/password", a.At("errors").([]any)[0].(map[string]any)["pointer"])
		s.Login(t, "session", harness.Carol, harness.CarolPassword).Route("PUT", "password", harness.Object{"current_password": harness.CarolPassword, "new_password": d.Password}).
			Is(http.StatusUnprocessableEntity)
	}
}

func TestAnAccountWithADemoNameIsItsOwners(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": harness.Alice, "password": harness.CarolPassword}).Is(http.StatusCreated)
	username, err := s.FindDemoAccount(t.Context())
	require.NoError(t, err)
	require.Empty(t, username)
	s.Login(t, "session", harness.Alice, harness.CarolPassword)
}

// What check holds all answers to holds here over TLS: the cookie's name and
// attributes, and Strict-Transport-Security on every status there is.
func TestEveryAnswerOverTLS(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, harness.Allowing(harness.AllowedOrigin)).OverTLS(t)
	harness.Each(t, func(t *testing.T, slug string) {
		s.All(t, slug, harness.AllowedOrigin, func(_ string, a *harness.Answer) {
			require.Equal(t, harness.AllowedOrigin, a.Header.Get("Access-Control-Allow-Origin"))
		})
	})
	s.Page(t, harness.AllowedOrigin, func(string, *harness.Answer) {})
	for _, r := range s.Routes() {
		s.Client(t, "").Do(r.Method, strings.NewReplacer(":id", "x", "*name", "x").Replace(r.Path), nil)
	}
	moved := s.Client(t, "").Do("GET", "/", nil, harness.Header("Accept", "text/html"), func(r *http.Request) { r.Host = "127.0.0.1:8443" })
	require.Equal(t, "https://localhost:8443/", moved.Header.Get("Location"))
}

func TestALoginOverTLS(t *testing.T) {
	t.Parallel()
	plain := newService(t)
	s := plain.OverTLS(t)
	eachServed(t, s, func(t *testing.T, slug string) {
		c := s.Client(t, slug)
		a := c.Post("login", harness.Credentials(harness.Carol, harness.CarolPassword)).Is(http.StatusOK)
		require.Equal(t, "HTTP/2.0", a.Proto)
		require.NotEmpty(t, c.Held())
		c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
		c.Renew().Is(http.StatusOK)
		require.Equal(t, "dark", c.Get("profile").Is(http.StatusOK).Text("state.theme"))
		if !c.Bearer() {
			require.Equal(t, c.CookieName(), a.Text("credential.name"))
			require.Equal(t, c.CookieName(), c.Get("inspect").Is(http.StatusOK).Text("carried.name"))

			// A cookie that anybody without TLS could have set does not count,
			// nor does one of a browser that takes prefixes for what they are not.
			for _, name := range []string{"statelab_" + slug, "__HOST-statelab_" + slug, "__Secure-statelab_" + slug} {
				s.Client(t, slug).Do("GET", "/"+slug+"/profile", nil, harness.Header("Cookie", name+"="+c.Held())).Is(http.StatusUnauthorized, "no_credential")
			}
			a := s.Client(t, slug).Get("profile").Is(http.StatusUnauthorized)
			require.Contains(t, a.Header.Get("WWW-Authenticate"), `cookie-name="`+c.CookieName()+`"`)
		}
		c.Post("logout", nil).Is(http.StatusNoContent)
		require.Empty(t, c.Cookies)
		plain.Login(t, slug, harness.Carol, harness.CarolPassword).Get("profile").Is(http.StatusOK)
	})
}

// forwarded are what a client may write into headers to be somebody else.
func forwarded(address string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header["X-Forwarded-For"] = []string{address}
		r.Header["X-Forwarded-Proto"] = []string{"https"}
		r.Header["X-Forwarded-Host"] = []string{"evil.example"}
		r.Header["Forwarded"] = []string{`for="` + address + `";proto=https;host=evil.example`}
		r.Header["X-Real-Ip"] = []string{address}
	}
}

func TestOnlyTrustedProxiesAreBelieved(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*harness.Server{"none": newService(t), "another": newService(t, behind("192.0.2.0/24", "2001:db8::/32", "127.0.0.2/32"))} {
		eachServed(t, s, func(t *testing.T, slug string) {
			t.Run(name, func(t *testing.T) {
				c := s.Client(t, slug)
				c.Send = forwarded("192.0.2.1")
				a := c.Post("login", harness.Credentials(harness.Carol, harness.CarolPassword)).Is(http.StatusOK)
				require.Empty(t, a.Header.Get("Strict-Transport-Security"))
				require.NotContains(t, fmt.Sprint(a.Header, string(c.Get("profile").Is(http.StatusOK).Body)), "evil.example")
			})
		})
	}
	s := newService(t, behind("127.0.0.0/8"))
	eachServed(t, s, func(t *testing.T, slug string) {
		c := s.Client(t, slug)
		for _, proto := range [][]string{nil, {""}, {"http"}, {"https, http"}, {"https", "http"}, {"httpsx"}, {"https,"}} {
			c.Send = harness.Header("X-Forwarded-Proto", proto...)
			a := c.Post("login", harness.Credentials(harness.Carol, harness.CarolPassword)).Is(http.StatusOK)
			require.Empty(t, a.Header.Get("Strict-Transport-Security"), "%q", proto)
		}
		c.Send = harness.Header("Forwarded", "proto=https") // which is nobody's word here
		require.Empty(t, c.Post("login", harness.Credentials(harness.Carol, harness.CarolPassword)).Is(http.StatusOK).Header.Get("Strict-Transport-Security"))
		for _, proto := range [][]string{{"https"}, {"HTTPS"}, {"http, https"}, {"http", "https"}} {
			c, stranger := s.Client(t, slug), s.Client(t, slug)
			c.Send = harness.Header("X-Forwarded-Proto", proto...)
			stranger.Send = c.Send
			for _, a := range []*harness.Answer{
				c.Post("login", harness.Credentials(harness.Carol, harness.CarolPassword)).Is(http.StatusOK), c.Get("profile").Is(http.StatusOK),
				c.Post("logout", nil).Is(http.StatusNoContent), stranger.Get("profile").Is(http.StatusUnauthorized), c.Get("nothing").Is(http.StatusNotFound),
			} {
				require.NotEmpty(t, a.Header.Get("Strict-Transport-Security"), "%q", proto)
			}
		}
	})
}

func TestAClientCannotChooseItsAddress(t *testing.T) {
	t.Parallel()
	untrusted := func(s *harness.Server) *harness.Answer {
		return s.Client(t, "session").Post("login", harness.Credentials(harness.Carol, harness.CarolPassword))
	}
	as := func(s *harness.Server, lines ...string) *harness.Answer {
		c := s.Client(t, "session")
		c.Send = harness.Header("X-Forwarded-For", lines...)
		return c.Post("login", harness.Credentials(harness.Carol, harness.CarolPassword))
	}
	t.Run("without a proxy it evades nothing", func(t *testing.T) {
		s := newService(t)
		s.Fails(t, func(i int) func(*http.Request) { return forwarded(fmt.Sprint("192.0.2.", i)) })
		as(s, "192.0.2.200").Throttled(auth.ThrottleWindow)
		untrusted(s).Throttled(auth.ThrottleWindow)
	})
	t.Run("without a proxy it gets nobody into trouble", func(t *testing.T) {
		s := newService(t)
		s.Fails(t, func(int) func(*http.Request) { return forwarded("127.0.0.2") })
		s.Client(t, "session").SignInFrom("127.0.0.2", harness.Carol, harness.CarolPassword).Is(http.StatusOK)
	})
	for name, chain := range map[string]func(made string) []string{
		"one proxy":        func(made string) []string { return []string{made + ", 192.0.2.9"} },
		"two proxies":      func(made string) []string { return []string{made + ", 192.0.2.9, 127.0.0.5"} },
		"several lines":    func(made string) []string { return []string{made, "192.0.2.9"} },
		"a port":           func(made string) []string { return []string{made + ",192.0.2.9:4711"} },
		"a trusted forged": func(made string) []string { return []string{"127.0.0.9, " + made + ",127.0.0.8, 192.0.2.9"} },
		"mapped into IPv6": func(made string) []string { return []string{made + ", ::ffff:192.0.2.9"} },
		"nonsense":         func(made string) []string { return []string{made + ", <script>,, 192.0.2.9"} },
	} {
		t.Run("behind a proxy: "+name, func(t *testing.T) {
			s := newService(t, behind("127.0.0.0/8"))
			s.Fails(t, func(i int) func(*http.Request) {
				return harness.Header("X-Forwarded-For", chain(fmt.Sprint("198.51.100.", i))...)
			})
			as(s, chain("203.0.113.1")...).Throttled(auth.ThrottleWindow)
			as(s, "192.0.2.9").Throttled(auth.ThrottleWindow)
			as(s, "192.0.2.9, 203.0.113.1").Is(http.StatusOK)
			as(s, "198.51.100.1").Is(http.StatusOK) // whom the left part has named
			untrusted(s).Is(http.StatusOK)          // the proxy itself
		})
	}
	t.Run("what is no address is the proxy's", func(t *testing.T) {
		s := newService(t, behind("127.0.0.0/8"))
		s.Fails(t, func(i int) func(*http.Request) {
			return harness.Header("X-Forwarded-For", []string{"", "unknown", "_hidden", "192.0.2.1, x", "1.2.3", "192.0.2.1:x"}[i%6])
		})
		untrusted(s).Throttled(auth.ThrottleWindow)
		as(s, "192.0.2.1").Is(http.StatusOK)
	})
	t.Run("an IPv6 network is one client", func(t *testing.T) {
		s := newService(t, behind("127.0.0.0/8"))
		s.Fails(t, func(i int) func(*http.Request) {
			return harness.Header("X-Forwarded-For", fmt.Sprintf("[2001:db8::%x]:80", i))
		})
		as(s, "2001:db8::ffff:1").Throttled(auth.ThrottleWindow)
		as(s, "2001:db8:0:1::1").Is(http.StatusOK)
	})
}

func TestTheLogNamesTheClient(t *testing.T) {
	t.Parallel()
	var log harness.SyncBuffer
	s := newService(t, behind("127.0.0.1/32"), func(c *api.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	c := s.Client(t, "session")
	c.Get("profile").Is(http.StatusUnauthorized)
	require.Contains(t, log.String(), "address=127.0.0.1\n")
	c.Send = harness.Header("X-Forwarded-For", "203.0.113.1, 192.0.2.9")
	c.Get("profile").Is(http.StatusUnauthorized)
	require.Contains(t, log.String(), "address=192.0.2.9\n")
	require.NotContains(t, log.String(), "203.0.113.1")
}

func TestNetworksThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"", "localhost", "10.0.0.1", "0.0.0.0/0", "::/0", "10.0.0.0/33", "10.0.0.0/8/8", "10.0.0/8", "proxy.example/8", "::ffff:10.0.0.0/104"} {
		_, err := api.ParseProxies([]string{"10.0.0.0/8", network})
		require.Error(t, err, network)
	}
	all, err := api.ParseProxies([]string{"10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32"})
	require.NoError(t, err)
	require.Len(t, all, 3)
}

func TestServingOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.ServiceKeys(t, dir)
	p := harness.Start(t, dir, nil, "--no-classroom", "--listen", "localhost:0")
	require.LessOrEqual(t, strings.Count(p.Banner, "\n"), 5)
	p.Logs("loses all logins") // who has logged out, above all
	for _, word := range []string{"/docs", "/readyz", "Ctrl-C"} {
		require.Contains(t, p.Banner, word)
	}
	for _, d := range api.DemoAccounts() {
		require.NotContains(t, p.Banner, d.Username)
	}
	c := p.Client("session")
	c.Do("POST", "/accounts", harness.Object{"username": harness.Carol, "password": harness.CarolPassword}).Is(http.StatusCreated)
	c.Post("login", harness.Credentials(harness.Carol, harness.CarolPassword)).Is(http.StatusOK)
	p.Client("session-db").Get("profile").Is(http.StatusNotFound)
	require.FileExists(t, filepath.Join(dir, "statelab.db"))
	for _, name := range []string{"statelab-classroom.db", "statelab-classroom.keys.json"} {
		require.NoFileExists(t, filepath.Join(dir, name))
	}
}

// A platform's variables count for a service, after ours, and for no classroom.
func TestThePlatformsVariables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.ServiceKeys(t, dir)
	platform := []string{"PORT=0", "DATABASE_URL=sqlite:platform.db", "REDIS_URL=redis://127.0.0.1:1"}
	p := harness.Start(t, dir, platform, "--no-classroom", "--strategies", "session-db")
	require.FileExists(t, filepath.Join(dir, "platform.db"))
	p.Client("session").Do("GET", "/readyz", nil).Is(http.StatusServiceUnavailable)
	p.Client("session-db").Get("profile").Is(http.StatusUnauthorized)
	p.Logs("plain HTTP") // since PORT is on all interfaces

	p = harness.Start(t, dir, append(platform, "STATELAB_LISTEN=localhost:0", "STATELAB_DATABASE=sqlite:ours.db", "STATELAB_STORE=database", "STATELAB_CLASSROOM=false"), "--store", "memory")
	require.FileExists(t, filepath.Join(dir, "ours.db"))
	p.Client("session").Do("GET", "/readyz", nil).Is(http.StatusOK)

	harness.Start(t, dir, platform, "--listen", "localhost:0").Client("session").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	require.FileExists(t, filepath.Join(dir, "statelab-classroom.db"))
}

// Nobody can be asked for demo accounts then; that they open nothing does not
// depend on it.
func TestAServiceStartsBeforeItsDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.ServiceKeys(t, dir)
	p := harness.Start(t, dir, nil, "--no-classroom", "--listen", "localhost:0", "--database", "postgres://u:sesame@127.0.0.1:1/db")
	a := p.Client("").Do("GET", "/readyz", nil).Is(http.StatusServiceUnavailable)
	require.Contains(t, string(a.Body), "database")
	p.Logs("the server could not check the database for demo accounts")
	require.NotContains(t, p.Log.String(), "sesame")
}

func TestServingTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.ServiceKeys(t, dir)
	harness.Certificate(t, dir, 1, "localhost")
	p := harness.Start(t, dir, nil, "--no-classroom", "--listen", "localhost:0", "--tls-cert", "cert.pem", "--tls-key", "key.pem")
	require.True(t, strings.HasPrefix(p.Base, "https://localhost:"))
	c := p.Client("session")
	c.Do("POST", "/accounts", harness.Object{"username": harness.Carol, "password": harness.CarolPassword}).Is(http.StatusCreated)
	a := c.Post("login", harness.Credentials(harness.Carol, harness.CarolPassword)).Is(http.StatusOK)
	require.Equal(t, "HTTP/2.0", a.Proto)
	c.Get("profile").Is(http.StatusOK)

	shake := func(version uint16) (int64, error) {
		config := harness.Transport.TLSClientConfig.Clone()
		config.MaxVersion = version
		conn, err := tls.Dial("tcp", strings.TrimPrefix(p.Base, "https://"), config)
		if err != nil {
			return 0, err
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
	}
	shown := func(number int64) {
		t.Helper()
		got, err := shake(tls.VersionTLS13)
		require.NoError(t, err)
		require.Equal(t, number, got)
	}
	shown(1)
	_, err := shake(tls.VersionTLS12)
	require.NoError(t, err)
	_, err = shake(tls.VersionTLS11)
	require.Error(t, err)

	harness.Certificate(t, dir, 2, "localhost")
	shown(2)
	// Halfway through a renewal, or through a mistake, the old one serves on.
	key, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	require.NoError(t, err)
	harness.Certificate(t, dir, 3, "localhost")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key.pem"), key, 0o600))
	shown(2)
	require.NoError(t, os.Remove(filepath.Join(dir, "key.pem")))
	shown(2)
	harness.Certificate(t, dir, 4, "localhost")
	shown(4)
}

func TestAServiceRefusesToStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.ServiceKeys(t, dir)
	harness.Certificate(t, dir, 1, "localhost")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "empty.pem"), nil, 0o600))
	harness.Start(t, dir, nil, "--listen", "localhost:0") // which makes a classroom's database
	for _, c := range []struct {
		args, env []string
		says      string
	}{
		{[]string{"--keys", "missing.json"}, nil, "statelab keys init --keys missing.json"},
		{[]string{"--database", "sqlite:statelab-classroom.db"}, nil, "demo account"},
		{[]string{"--strategies", "seed"}, nil, "--strategies"},
		{[]string{"--tls-cert", "cert.pem"}, nil, "--tls-key"},
		{[]string{"--tls-key", "key.pem"}, nil, "--tls-cert"},
		{[]string{"--tls-cert", "missing.pem", "--tls-key", "key.pem"}, nil, "missing.pem"},
		{[]string{"--tls-cert", "cert.pem", "--tls-key", "empty.pem"}, nil, "empty.pem"},
		{[]string{"--tls-cert", "key.pem", "--tls-key", "cert.pem"}, nil, "--tls-cert"},
		{[]string{"--trusted-proxy", "10.0.0.1"}, nil, "--trusted-proxy"},
		{[]string{"--trusted-proxy", "127.0.0.1/32,0.0.0.0/0"}, nil, "0.0.0.0/0"},
		{nil, []string{"PORT=http"}, "PORT"},
		{nil, []string{"DATABASE_URL=mysql://u:sesame@localhost/db"}, "sqlite:"},
		{nil, []string{"REDIS_URL=http://u:sesame@localhost"}, "memory"},
	} {
		refused(t, dir, c.env, c.says, append([]string{"--no-classroom"}, c.args...)...)
	}
	require.NoFileExists(t, filepath.Join(dir, "missing.json"), "keys are never made by the way")
}
