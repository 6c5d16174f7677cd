package tests

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	cryptorand "crypto/rand"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
)

// An account that is no demo account, with its password.
const carol, carolPassword = "carol", "down the rabbit hole"

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
func behind(networks ...string) option {
	return func(c *api.Config) {
		for _, network := range networks {
			c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(network))
		}
	}
}

// newService starts a server for others, where carol has an account.
func newService(t *testing.T, options ...option) *server {
	t.Helper()
	s := newServer(t, append([]option{service}, options...)...)
	s.client(t, "").do("POST", "/accounts", object{"username": carol, "password": carolPassword}).is(http.StatusCreated)
	return s
}

// eachServed runs f for every strategy that a server for others may serve.
func eachServed(t *testing.T, s *server, f func(t *testing.T, slug string)) {
	t.Helper()
	for _, d := range state.Definitions() {
		if d.Mounted(false, s.config.Strategies) {
			t.Run(d.Slug, func(t *testing.T) { f(t, d.Slug) })
		}
	}
}

func TestAServiceKnowsNoClassroom(t *testing.T) {
	s := newService(t)
	c := s.client(t, "")
	page := string(c.do("GET", "/", nil, header("Accept", "text/html")).is(http.StatusOK).body)
	page += string(c.do("GET", "/session/", nil).is(http.StatusOK).body)
	for _, d := range api.DemoAccounts() {
		require.NotContains(t, page, d.Username)
		require.NotContains(t, page, d.Password)
		c.do("POST", "/session/login", credentials{d.Username, d.Password}).is(http.StatusUnauthorized, "bad_login")
	}
	eachServed(t, s, func(t *testing.T, slug string) {
		for _, host := range []string{"app.example", "app.example:8443", "192.0.2.7", "localhost"} {
			s.login(t, slug, carol, carolPassword).do("GET", "/"+slug+"/profile", nil, func(r *http.Request) { r.Host = host }).is(http.StatusOK)
		}
	})
}

// The zero value of the configuration is the safe one.
func TestAServiceMountsWhatIsNamed(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.Classroom = false })
	for _, d := range state.Definitions() {
		a := s.client(t, d.Slug).do("GET", "/"+d.Slug+"/profile", nil)
		if d.Mount == state.MountAlways {
			a.is(http.StatusUnauthorized, "no_credential")
		} else {
			a.is(http.StatusNotFound, "not_found")
		}
	}
	config := s.config
	config.Strategies = []string{"seedling"}
	_, err := api.New(config)
	require.ErrorContains(t, err, "seedling")
}

// A stranger who could take a demo account with its published password would
// keep the service from starting again.
func TestPublishedPasswordsOpenNothing(t *testing.T) {
	s := newService(t)
	classroom := s.config
	classroom.Classroom = true
	startServer(t, classroom, s.clock) // on the same database
	username, err := s.FindDemoAccount(t.Context())
	require.NoError(t, err)
	require.Equal(t, alice, username)
	for _, d := range api.DemoAccounts() {
		s.client(t, "session").post("login", credentials{d.Username, d.Password}).is(http.StatusUnauthorized, "bad_login")
		a := s.client(t, "").do("POST", "/accounts", object{"username": "dave", "password": d.Password}).is(http.StatusUnprocessableEntity)
		require.Equal(t, "/password", a.at("errors").([]any)[0].(map[string]any)["pointer"])
		s.login(t, "session", carol, carolPassword).route("PUT", "password", object{"current_password": carolPassword, "new_password": d.Password}).
			is(http.StatusUnprocessableEntity)
	}
}

func TestAnAccountWithADemoNameIsItsOwners(t *testing.T) {
	s := newService(t)
	s.client(t, "").do("POST", "/accounts", object{"username": alice, "password": carolPassword}).is(http.StatusCreated)
	username, err := s.FindDemoAccount(t.Context())
	require.NoError(t, err)
	require.Empty(t, username)
	s.login(t, "session", alice, carolPassword)
}

// What check holds all answers to holds here over TLS: the cookie's name and
// attributes, and Strict-Transport-Security on every status there is.
func TestEveryAnswerOverTLS(t *testing.T) {
	s := newServer(t, allowing(allowedOrigin)).overTLS(t)
	keepAlive(t)
	each(t, func(t *testing.T, slug string) {
		s.all(t, slug, allowedOrigin, func(_ string, a *answer) {
			require.Equal(t, allowedOrigin, a.header.Get("Access-Control-Allow-Origin"))
		})
	})
	s.page(t, allowedOrigin, func(string, *answer) {})
	for _, r := range s.Routes() {
		s.client(t, "").do(r.Method, strings.NewReplacer(":id", "x", "*name", "x").Replace(r.Path), nil)
	}
	moved := s.client(t, "").do("GET", "/", nil, header("Accept", "text/html"), func(r *http.Request) { r.Host = "127.0.0.1:8443" })
	require.Equal(t, "https://localhost:8443/", moved.header.Get("Location"))
}

func TestALoginOverTLS(t *testing.T) {
	plain := newService(t)
	s := plain.overTLS(t)
	eachServed(t, s, func(t *testing.T, slug string) {
		c := s.client(t, slug)
		a := c.post("login", credentials{carol, carolPassword}).is(http.StatusOK)
		require.Equal(t, "HTTP/2.0", a.proto)
		require.NotEmpty(t, c.held())
		c.patch(object{"theme": "dark"}).is(http.StatusOK)
		c.renew().is(http.StatusOK)
		require.Equal(t, "dark", c.get("profile").is(http.StatusOK).text("state.theme"))
		if !c.bearer() {
			require.Equal(t, c.cookieName(), a.text("credential.name"))
			require.Equal(t, c.cookieName(), c.get("inspect").is(http.StatusOK).text("carried.name"))

			// A cookie that anybody without TLS could have set does not count,
			// nor does one of a browser that takes prefixes for what they are not.
			for _, name := range []string{"statelab_" + slug, "__HOST-statelab_" + slug, "__Secure-statelab_" + slug} {
				s.client(t, slug).do("GET", "/"+slug+"/profile", nil, header("Cookie", name+"="+c.held())).is(http.StatusUnauthorized, "no_credential")
			}
			a := s.client(t, slug).get("profile").is(http.StatusUnauthorized)
			require.Contains(t, a.header.Get("WWW-Authenticate"), `cookie-name="`+c.cookieName()+`"`)
		}
		c.post("logout", nil).is(http.StatusNoContent)
		require.Empty(t, c.cookies)
		plain.login(t, slug, carol, carolPassword).get("profile").is(http.StatusOK)
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
	for name, s := range map[string]*server{"none": newService(t), "another": newService(t, behind("192.0.2.0/24", "2001:db8::/32", "127.0.0.2/32"))} {
		eachServed(t, s, func(t *testing.T, slug string) {
			t.Run(name, func(t *testing.T) {
				c := s.client(t, slug)
				c.send = forwarded("192.0.2.1")
				a := c.post("login", credentials{carol, carolPassword}).is(http.StatusOK)
				require.Empty(t, a.header.Get("Strict-Transport-Security"))
				require.NotContains(t, fmt.Sprint(a.header, string(c.get("profile").is(http.StatusOK).body)), "evil.example")
			})
		})
	}
	s := newService(t, behind("127.0.0.0/8"))
	eachServed(t, s, func(t *testing.T, slug string) {
		c := s.client(t, slug)
		for _, proto := range [][]string{nil, {""}, {"http"}, {"https, http"}, {"https", "http"}, {"httpsx"}, {"https,"}} {
			c.send = header("X-Forwarded-Proto", proto...)
			a := c.post("login", credentials{carol, carolPassword}).is(http.StatusOK)
			require.Empty(t, a.header.Get("Strict-Transport-Security"), "%q", proto)
		}
		c.send = header("Forwarded", "proto=https") // which is nobody's word here
		require.Empty(t, c.post("login", credentials{carol, carolPassword}).is(http.StatusOK).header.Get("Strict-Transport-Security"))
		for _, proto := range [][]string{{"https"}, {"HTTPS"}, {"http, https"}, {"http", "https"}} {
			c, stranger := s.client(t, slug), s.client(t, slug)
			c.send = header("X-Forwarded-Proto", proto...)
			stranger.send = c.send
			for _, a := range []*answer{
				c.post("login", credentials{carol, carolPassword}).is(http.StatusOK), c.get("profile").is(http.StatusOK),
				c.post("logout", nil).is(http.StatusNoContent), stranger.get("profile").is(http.StatusUnauthorized), c.get("nothing").is(http.StatusNotFound),
			} {
				require.NotEmpty(t, a.header.Get("Strict-Transport-Security"), "%q", proto)
			}
		}
	})
}

// fails has sign-ins fail until the throttle is due for an address, each for
// another account, each with what next changes in the request.
func (s *server) fails(t *testing.T, next func(i int) func(*http.Request)) {
	t.Helper()
	for i := range auth.MaxPerAddress {
		c := s.client(t, "session")
		c.send = next(i)
		c.post("login", credentials{fmt.Sprint("nobody", i), wrong}).is(http.StatusUnauthorized, "bad_login")
	}
}

func TestAClientCannotChooseItsAddress(t *testing.T) {
	untrusted := func(s *server) *answer {
		return s.client(t, "session").post("login", credentials{carol, carolPassword})
	}
	as := func(s *server, lines ...string) *answer {
		c := s.client(t, "session")
		c.send = header("X-Forwarded-For", lines...)
		return c.post("login", credentials{carol, carolPassword})
	}
	t.Run("without a proxy it evades nothing", func(t *testing.T) {
		s := newService(t)
		s.fails(t, func(i int) func(*http.Request) { return forwarded(fmt.Sprint("192.0.2.", i)) })
		as(s, "192.0.2.200").throttled(auth.ThrottleWindow)
		untrusted(s).throttled(auth.ThrottleWindow)
	})
	t.Run("without a proxy it gets nobody into trouble", func(t *testing.T) {
		s := newService(t)
		s.fails(t, func(int) func(*http.Request) { return forwarded("127.0.0.2") })
		s.client(t, "session").signInFrom("127.0.0.2", carol, carolPassword).is(http.StatusOK)
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
			s.fails(t, func(i int) func(*http.Request) {
				return header("X-Forwarded-For", chain(fmt.Sprint("198.51.100.", i))...)
			})
			as(s, chain("203.0.113.1")...).throttled(auth.ThrottleWindow)
			as(s, "192.0.2.9").throttled(auth.ThrottleWindow)
			as(s, "192.0.2.9, 203.0.113.1").is(http.StatusOK)
			as(s, "198.51.100.1").is(http.StatusOK) // whom the left part has named
			untrusted(s).is(http.StatusOK)          // the proxy itself
		})
	}
	t.Run("what is no address is the proxy's", func(t *testing.T) {
		s := newService(t, behind("127.0.0.0/8"))
		s.fails(t, func(i int) func(*http.Request) {
			return header("X-Forwarded-For", []string{"", "unknown", "_hidden", "192.0.2.1, x", "1.2.3", "192.0.2.1:x"}[i%6])
		})
		untrusted(s).throttled(auth.ThrottleWindow)
		as(s, "192.0.2.1").is(http.StatusOK)
	})
	t.Run("an IPv6 network is one client", func(t *testing.T) {
		s := newService(t, behind("127.0.0.0/8"))
		s.fails(t, func(i int) func(*http.Request) { return header("X-Forwarded-For", fmt.Sprintf("[2001:db8::%x]:80", i)) })
		as(s, "2001:db8::ffff:1").throttled(auth.ThrottleWindow)
		as(s, "2001:db8:0:1::1").is(http.StatusOK)
	})
}

func TestTheLogNamesTheClient(t *testing.T) {
	var log output
	s := newService(t, behind("127.0.0.1/32"), func(c *api.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	c := s.client(t, "session")
	c.get("profile").is(http.StatusUnauthorized)
	require.Contains(t, log.String(), "address=127.0.0.1\n")
	c.send = header("X-Forwarded-For", "203.0.113.1, 192.0.2.9")
	c.get("profile").is(http.StatusUnauthorized)
	require.Contains(t, log.String(), "address=192.0.2.9\n")
	require.NotContains(t, log.String(), "203.0.113.1")
}

func TestNetworksThatCannotBeTrusted(t *testing.T) {
	for _, network := range []string{"", "localhost", "10.0.0.1", "0.0.0.0/0", "::/0", "10.0.0.0/33", "10.0.0.0/8/8", "10.0.0/8", "proxy.example/8", "::ffff:10.0.0.0/104"} {
		_, err := api.ParseProxies([]string{"10.0.0.0/8", network})
		require.Error(t, err, network)
	}
	all, err := api.ParseProxies([]string{"10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32"})
	require.NoError(t, err)
	require.Len(t, all, 3)
}

// serviceKeys puts the key file of a service into dir.
func serviceKeys(t *testing.T, dir string) {
	t.Helper()
	out, err := command(t, dir, nil, "keys", "init").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// certificate puts a certificate for a host that vouches for itself, with this
// number, into cert.pem and its key into key.pem, at a moment that nobody can
// take for another one.
func certificate(t *testing.T, dir string, number int64, host string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{"key.pem": {Type: "PRIVATE KEY", Bytes: secret}, "cert.pem": {Type: "CERTIFICATE", Bytes: der}} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
		stamp := time.Now().Add(time.Duration(number) * time.Second)
		require.NoError(t, os.Chtimes(path, stamp, stamp))
	}
}

func TestServingOthers(t *testing.T) {
	dir := t.TempDir()
	serviceKeys(t, dir)
	p := start(t, dir, nil, "--no-classroom", "--listen", "localhost:0")
	require.LessOrEqual(t, strings.Count(p.banner, "\n"), 5)
	p.logs("a restart forgets") // who has logged out, above all
	for _, word := range []string{"/docs", "/readyz", "Ctrl-C"} {
		require.Contains(t, p.banner, word)
	}
	for _, d := range api.DemoAccounts() {
		require.NotContains(t, p.banner, d.Username)
	}
	c := p.client("session")
	c.do("POST", "/accounts", object{"username": carol, "password": carolPassword}).is(http.StatusCreated)
	c.post("login", credentials{carol, carolPassword}).is(http.StatusOK)
	p.client("session-db").get("profile").is(http.StatusNotFound)
	require.FileExists(t, filepath.Join(dir, "statelab.db"))
	for _, name := range []string{"statelab-classroom.db", "statelab-classroom.keys.json"} {
		require.NoFileExists(t, filepath.Join(dir, name))
	}
}

// A platform's variables count for a service, after ours, and for no classroom.
func TestThePlatformsVariables(t *testing.T) {
	dir := t.TempDir()
	serviceKeys(t, dir)
	platform := []string{"PORT=0", "DATABASE_URL=sqlite:platform.db", "REDIS_URL=redis://127.0.0.1:1"}
	p := start(t, dir, platform, "--no-classroom", "--strategies", "session-db")
	require.FileExists(t, filepath.Join(dir, "platform.db"))
	p.client("session").do("GET", "/readyz", nil).is(http.StatusServiceUnavailable)
	p.client("session-db").get("profile").is(http.StatusUnauthorized)
	p.logs("plain HTTP") // since PORT is on all interfaces

	p = start(t, dir, append(platform, "STATELAB_LISTEN=localhost:0", "STATELAB_DATABASE=sqlite:ours.db", "STATELAB_STORE=database", "STATELAB_CLASSROOM=false"), "--store", "memory")
	require.FileExists(t, filepath.Join(dir, "ours.db"))
	p.client("session").do("GET", "/readyz", nil).is(http.StatusOK)

	start(t, dir, platform, "--listen", "localhost:0").client("session").post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	require.FileExists(t, filepath.Join(dir, "statelab-classroom.db"))
}

// Nobody can be asked for demo accounts then; that they open nothing does not
// depend on it.
func TestAServiceStartsBeforeItsDatabase(t *testing.T) {
	dir := t.TempDir()
	serviceKeys(t, dir)
	p := start(t, dir, nil, "--no-classroom", "--listen", "localhost:0", "--database", "postgres://u:sesame@127.0.0.1:1/db")
	a := p.client("").do("GET", "/readyz", nil).is(http.StatusServiceUnavailable)
	require.Contains(t, string(a.body), "database")
	p.logs("could not look for demo accounts")
	require.NotContains(t, p.log.String(), "sesame")
}

func TestServingTLS(t *testing.T) {
	dir := t.TempDir()
	serviceKeys(t, dir)
	certificate(t, dir, 1, "localhost")
	p := start(t, dir, nil, "--no-classroom", "--listen", "localhost:0", "--tls-cert", "cert.pem", "--tls-key", "key.pem")
	require.True(t, strings.HasPrefix(p.base, "https://localhost:"))
	c := p.client("session")
	c.do("POST", "/accounts", object{"username": carol, "password": carolPassword}).is(http.StatusCreated)
	a := c.post("login", credentials{carol, carolPassword}).is(http.StatusOK)
	require.Equal(t, "HTTP/2.0", a.proto)
	c.get("profile").is(http.StatusOK)

	shake := func(version uint16) (int64, error) {
		config := transport.TLSClientConfig.Clone()
		config.MaxVersion = version
		conn, err := tls.Dial("tcp", strings.TrimPrefix(p.base, "https://"), config)
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

	certificate(t, dir, 2, "localhost")
	shown(2)
	// Halfway through a renewal, or through a mistake, the old one serves on.
	key, err := os.ReadFile(filepath.Join(dir, "key.pem"))
	require.NoError(t, err)
	certificate(t, dir, 3, "localhost")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key.pem"), key, 0o600))
	shown(2)
	require.NoError(t, os.Remove(filepath.Join(dir, "key.pem")))
	shown(2)
	certificate(t, dir, 4, "localhost")
	shown(4)
}

func TestAServiceRefusesToStart(t *testing.T) {
	dir := t.TempDir()
	serviceKeys(t, dir)
	certificate(t, dir, 1, "localhost")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "empty.pem"), nil, 0o600))
	start(t, dir, nil, "--listen", "localhost:0") // which makes a classroom's database
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
