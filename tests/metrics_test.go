package tests

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
)

// metric returns the value of a line of the exposition, 0 if there is none.
func (s *server) metric(t *testing.T, name string) int {
	t.Helper()
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(s.exposition())
	if line == nil {
		return 0
	}
	n, err := strconv.Atoi(line[1])
	require.NoError(t, err)
	return n
}

// series is how many lines of ours the exposition has.
func (s *server) series() int { return strings.Count(s.exposition(), "\nstatelab_") }

func requestCount(strategy, method, route, status string) string {
	return `statelab_request_seconds_count{method="` + method + `",route="` + route + `",status="` + status + `",strategy="` + strategy + `"}`
}

func TestRequestsAreCounted(t *testing.T) {
	s, other := newServer(t), newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		for range 3 {
			c.get("profile").is(http.StatusOK)
		}
		s.client(t, slug).get("profile").is(http.StatusUnauthorized)
		c.do("GET", "/"+slug+"/profile", nil, header("If-None-Match", "*")).is(http.StatusNotModified)
		require.Equal(t, 3, s.metric(t, requestCount(slug, "GET", "/profile", "2xx")))
		require.Equal(t, 1, s.metric(t, requestCount(slug, "GET", "/profile", "3xx")))
		require.Equal(t, 1, s.metric(t, requestCount(slug, "GET", "/profile", "4xx")))
		require.Equal(t, 1, s.metric(t, requestCount(slug, "POST", "/login", "2xx")))
		require.Zero(t, other.metric(t, requestCount(slug, "GET", "/profile", "2xx")), "each server counts for itself")
	})
	s.client(t, "").do("GET", "/healthz", nil).is(http.StatusOK)
	require.Equal(t, 1, s.metric(t, requestCount("", "GET", "/healthz", "2xx")))
}

func TestNoClientMakesASeries(t *testing.T) {
	s := newServer(t)
	c := s.login(t, "session", alice, alicePassword)
	odd := func(i string) {
		c.do("GET", "/path-"+i, nil).is(http.StatusNotFound)
		c.do("METHOD"+i, "/session/profile", nil).is(http.StatusMethodNotAllowed)
		c.do("DELETE", "/session/logins/"+i, nil).is(http.StatusNotFound)
		c.do("GET", "/web/"+i, nil).is(http.StatusNotFound)
		c.post("login", credentials{"nobody" + i, wrong}).is(http.StatusUnauthorized)
	}
	odd("0")
	odd("1") // a counter is created once and updated from then on
	before := s.series()
	for i := range 5 {
		odd(strconv.Itoa(i + 2))
	}
	require.Equal(t, before, s.series())
	require.Equal(t, 2*7, s.metric(t, requestCount("", "", "", "4xx")))
}

func operationCount(strategy, operation, result string) string {
	return `statelab_store_operation_seconds_count{operation="` + operation + `",result="` + result + `",strategy="` + strategy + `"}`
}

func TestStoreOperationsAreCounted(t *testing.T) {
	s, f := newFaultyServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		reads := 0
		if asks(s.traits(t, slug)) {
			reads = 1
		}
		c.get("profile").is(http.StatusOK)
		require.Equal(t, reads, s.metric(t, operationCount(slug, "load", "ok")))
		s.forgets(t, slug)
		f.breakWith(errDown)
		status := c.get("profile").status
		f.repair()
		require.Equal(t, reads == 1, status == http.StatusServiceUnavailable)
		require.Equal(t, reads, s.metric(t, operationCount(slug, "load", "unavailable")))
	})
	s.client(t, "session").post("login", credentials{alice, wrong}).is(http.StatusUnauthorized)
	require.Positive(t, s.metric(t, operationCount("", "load", "not_found")), "the throttle asks too")
}

// An overloaded hasher takes nobody in while it is told so.
type overloaded struct {
	auth.Hasher
	is bool
}

func (h *overloaded) Compare(ctx context.Context, password, hash string) (bool, bool, error) {
	if h.is {
		return false, false, auth.ErrOverloaded
	}
	return h.Hasher.Compare(ctx, password, hash)
}

func TestSignInsAreCounted(t *testing.T) {
	h := &overloaded{Hasher: cheapHasher()}
	s := newServer(t, func(c *api.Config) { c.Hasher = h })
	each(t, func(t *testing.T, slug string) {
		username := "carol-" + slug
		c := s.client(t, slug)
		c.do("POST", "/accounts", object{"username": username, "password": "the first password"}).is(http.StatusCreated)
		signIn := func(password string) int { return c.post("login", credentials{username, password}).status }
		require.Equal(t, http.StatusOK, signIn("the first password"))
		for range auth.MaxPerAccount {
			require.Equal(t, http.StatusUnauthorized, signIn(wrong))
		}
		require.Equal(t, http.StatusTooManyRequests, signIn(wrong))
		s.clock.advance(auth.ThrottleWindow)
		h.is = true
		require.Equal(t, http.StatusServiceUnavailable, signIn("the first password"))
		h.is = false
		s.away(t, true)
		require.Equal(t, http.StatusServiceUnavailable, signIn("the first password"))
		s.away(t, false)
		for outcome, n := range map[string]int{"ok": 1, "bad_login": auth.MaxPerAccount, "throttled": 1, "overloaded": 1, "unavailable": 1} {
			require.Equal(t, n, s.metric(t, `statelab_sign_ins_total{outcome="`+outcome+`",strategy="`+slug+`"}`), outcome)
		}
	})
}

func TestRememberedCredentialsAreCounted(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.CredentialCache = 10 })
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		for range 3 {
			c.get("profile").is(http.StatusOK)
		}
		want := map[string]int{"hit": 0, "miss": 0} // there is nothing to verify
		if traits := s.traits(t, slug); traits.Holder == state.HolderClient && traits.NeedsSharedKey {
			want = map[string]int{"hit": 2, "miss": 1}
		}
		for result, n := range want {
			require.Equal(t, n, s.metric(t, `statelab_credential_cache_total{result="`+result+`",strategy="`+slug+`"}`), result)
		}
	})
	require.NotContains(t, newServer(t).exposition(), "statelab_credential_cache_total", "nothing is remembered there")
}

func TestLiveLoginsAreCounted(t *testing.T) {
	s := newServer(t)
	const live = "statelab_live_logins"
	require.Zero(t, s.metric(t, live))
	c := s.login(t, "session", alice, alicePassword)
	s.login(t, "session", bob, bobPassword)
	require.Equal(t, 2, s.metric(t, live))
	c.post("logout", nil).is(http.StatusNoContent)
	require.Equal(t, 1, s.metric(t, live))

	silent, _ := newFaultyServer(t) // its store cannot say
	require.NotContains(t, silent.exposition(), live)
}

func TestTheMetricsHaveAListenerOfTheirOwn(t *testing.T) {
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0", "--metrics", "localhost:0")
	found := regexp.MustCompile(`metrics\s+(http://\S+)/metrics`).FindStringSubmatch(p.banner)
	require.NotNil(t, found, p.banner)
	ask := func(method, path string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, found[1]+path, nil)
		require.NoError(t, err)
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	p.client("session").post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	status, text := ask("GET", "/metrics")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, `statelab_sign_ins_total{outcome="ok",strategy="session"} 1`)
	require.Contains(t, string(p.client("").do("GET", "/metrics", nil).is(http.StatusOK).body), "statelab_sign_ins_total", "and the classroom shows them")
	for _, r := range []struct{ method, path string }{{"GET", "/"}, {"GET", "/session/profile"}, {"POST", "/metrics"}} {
		status, _ := ask(r.method, r.path)
		require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, status, r.path)
	}

	conn, rest := p.halfway()
	defer func() { _ = conn.Close() }()
	p.client("").do("GET", "/readyz", nil).is(http.StatusOK)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", conn.RemoteAddr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, 5*time.Second, 5*time.Millisecond, "the other listener is closed")
	status, _ = ask("GET", "/metrics")
	require.Equal(t, http.StatusOK, status, "they tell of the end too")
	_, err := io.WriteString(conn, rest)
	require.NoError(t, err)
	require.Zero(t, p.ends())
}

func TestReadmeMetricsAreTheServers(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.CredentialCache = 1 })
	s.login(t, "session", alice, alicePassword)
	section := regexp.MustCompile(`(?s)## Observability\n(.*?)\n## `).FindStringSubmatch(readme(t))
	require.NotNil(t, section)
	for text, expr := range map[string]string{section[1]: "`(statelab_\\w+)`", s.exposition(): `(?m)^# TYPE (statelab_\w+) `} {
		for _, name := range regexp.MustCompile(expr).FindAllStringSubmatch(text, -1) {
			require.Contains(t, section[1], "`"+name[1]+"`")
			require.Contains(t, s.exposition(), "\n# TYPE "+name[1]+" ")
		}
	}
}
