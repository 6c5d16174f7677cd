package tests

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
	"statelab/tests/harness"
)

func requestCount(strategy, method, route, status string) string {
	return `statelab_request_seconds_count{method="` + method + `",route="` + route + `",status="` + status + `",strategy="` + strategy + `"}`
}

func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	s, other := harness.NewServer(t), harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		for range 3 {
			c.Get("profile").Is(http.StatusOK)
		}
		s.Client(t, slug).Get("profile").Is(http.StatusUnauthorized)
		c.Do("GET", "/"+slug+"/profile", nil, harness.Header("If-None-Match", "*")).Is(http.StatusNotModified)
		require.Equal(t, 3, s.Metric(t, requestCount(slug, "GET", "/profile", "2xx")))
		require.Equal(t, 1, s.Metric(t, requestCount(slug, "GET", "/profile", "3xx")))
		require.Equal(t, 1, s.Metric(t, requestCount(slug, "GET", "/profile", "4xx")))
		require.Equal(t, 1, s.Metric(t, requestCount(slug, "POST", "/login", "2xx")))
		require.Zero(t, other.Metric(t, requestCount(slug, "GET", "/profile", "2xx")), "each server counts for itself")
	})
	s.Client(t, "").Do("GET", "/healthz", nil).Is(http.StatusOK)
	require.Equal(t, 1, s.Metric(t, requestCount("", "GET", "/healthz", "2xx")))
}

func TestNoClientMakesASeries(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	odd := func(i string) {
		c.Do("GET", "/path-"+i, nil).Is(http.StatusNotFound)
		c.Do("METHOD"+i, "/session/profile", nil).Is(http.StatusMethodNotAllowed)
		c.Do("DELETE", "/session/logins/"+i, nil).Is(http.StatusNotFound)
		c.Do("GET", "/web/"+i, nil).Is(http.StatusNotFound)
		c.Post("login", harness.Credentials("nobody"+i, harness.Wrong)).Is(http.StatusUnauthorized)
	}
	odd("0")
	odd("1") // a counter is created once and updated from then on
	before := s.Series()
	for i := range 5 {
		odd(strconv.Itoa(i + 2))
	}
	require.Equal(t, before, s.Series())
	require.Equal(t, 2*7, s.Metric(t, requestCount("", "", "", "4xx")))
}

func operationCount(strategy, operation, result string) string {
	return `statelab_store_operation_seconds_count{operation="` + operation + `",result="` + result + `",strategy="` + strategy + `"}`
}

func TestStoreOperationsAreCounted(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		reads := 0
		if harness.Asks(s.Traits(t, slug)) {
			reads = 1
		}
		c.Get("profile").Is(http.StatusOK)
		require.Equal(t, reads, s.Metric(t, operationCount(slug, "load", "ok")))
		s.Forgets(t, slug)
		f.BreakWith(harness.ErrDown)
		status := c.Get("profile").Status
		f.Repair()
		require.Equal(t, reads == 1, status == http.StatusServiceUnavailable)
		require.Equal(t, reads, s.Metric(t, operationCount(slug, "load", "unavailable")))
	})
	s.Client(t, "session").Post("login", harness.Credentials(harness.Alice, harness.Wrong)).Is(http.StatusUnauthorized)
	require.Positive(t, s.Metric(t, operationCount("", "load", "not_found")), "the throttle asks too")
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
	t.Parallel()
	h := &overloaded{Hasher: harness.CheapHasher()}
	s := harness.NewServer(t, func(c *api.Config) { c.Hasher = h })
	harness.Each(t, func(t *testing.T, slug string) {
		username := "carol-" + slug
		c := s.Client(t, slug)
		c.Do("POST", "/accounts", harness.Object{"username": username, "password": "the first password"}).Is(http.StatusCreated)
		signIn := func(password string) int { return c.Post("login", harness.Credentials(username, password)).Status }
		require.Equal(t, http.StatusOK, signIn("the first password"))
		for range auth.MaxPerAccount {
			require.Equal(t, http.StatusUnauthorized, signIn(harness.Wrong))
		}
		require.Equal(t, http.StatusTooManyRequests, signIn(harness.Wrong))
		s.Clock.Advance(auth.ThrottleWindow)
		h.is = true
		require.Equal(t, http.StatusServiceUnavailable, signIn("the first password"))
		h.is = false
		s.Away(t, true)
		require.Equal(t, http.StatusServiceUnavailable, signIn("the first password"))
		s.Away(t, false)
		for outcome, n := range map[string]int{"ok": 1, "bad_login": auth.MaxPerAccount, "throttled": 1, "overloaded": 1, "unavailable": 1} {
			require.Equal(t, n, s.Metric(t, `statelab_sign_ins_total{outcome="`+outcome+`",strategy="`+slug+`"}`), outcome)
		}
	})
}

func TestRememberedCredentialsAreCounted(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, func(c *api.Config) { c.CredentialCache = 10 })
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		for range 3 {
			c.Get("profile").Is(http.StatusOK)
		}
		want := map[string]int{"hit": 0, "miss": 0} // there is nothing to verify
		if traits := s.Traits(t, slug); traits.Holder == state.HolderClient && traits.NeedsSharedKey {
			want = map[string]int{"hit": 2, "miss": 1}
		}
		for result, n := range want {
			require.Equal(t, n, s.Metric(t, `statelab_credential_cache_total{result="`+result+`",strategy="`+slug+`"}`), result)
		}
	})
	require.NotContains(t, harness.NewServer(t).Exposition(), "statelab_credential_cache_total", "nothing is remembered there")
}

func TestLiveLoginsAreCounted(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	const live = "statelab_live_logins"
	require.Zero(t, s.Metric(t, live))
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	s.Login(t, "session", harness.Bob, harness.BobPassword)
	require.Equal(t, 2, s.Metric(t, live))
	c.Post("logout", nil).Is(http.StatusNoContent)
	require.Equal(t, 1, s.Metric(t, live))

	silent, _ := harness.NewFaultyServer(t) // its store cannot say
	require.NotContains(t, silent.Exposition(), live)
}

func TestTheMetricsHaveAListenerOfTheirOwn(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0", "--metrics", "localhost:0")
	found := regexp.MustCompile(`metrics\s+(http://\S+)/metrics`).FindStringSubmatch(p.Banner)
	require.NotNil(t, found, p.Banner)
	ask := func(method, path string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, found[1]+path, nil)
		require.NoError(t, err)
		resp, err := harness.Transport.RoundTrip(r)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	p.Client("session").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	status, text := ask("GET", "/metrics")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, text, `statelab_sign_ins_total{outcome="ok",strategy="session"} 1`)
	require.Contains(t, string(p.Client("").Do("GET", "/metrics", nil).Is(http.StatusOK).Body), "statelab_sign_ins_total", "and the classroom shows them")
	for _, r := range []struct{ method, path string }{{"GET", "/"}, {"GET", "/session/profile"}, {"POST", "/metrics"}} {
		status, _ := ask(r.method, r.path)
		require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, status, r.path)
	}

	conn, rest := p.Halfway()
	defer func() { _ = conn.Close() }()
	p.Client("").Do("GET", "/readyz", nil).Is(http.StatusOK)
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", conn.RemoteAddr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, time.Minute, 5*time.Millisecond, "the other listener is closed")
	status, _ = ask("GET", "/metrics")
	require.Equal(t, http.StatusOK, status, "they tell of the end too")
	_, err := io.WriteString(conn, rest)
	require.NoError(t, err)
	require.Zero(t, p.Ends())
}

// A page that has had its own name pointed here (DNS rebinding) reads no metrics of
// the classroom. A service may be scraped by any name.
func TestTheListenerOfMetricsIsLocalInTheClassroom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.ServiceKeys(t, dir)
	for args, foreign := range map[string]int{"--classroom": http.StatusMisdirectedRequest, "--no-classroom": http.StatusOK} {
		p := harness.Start(t, dir, nil, "--listen", "localhost:0", "--metrics", "localhost:0", args)
		found := regexp.MustCompile(`metrics\s+(http://\S+)/metrics`).FindStringSubmatch(p.Banner)
		require.NotNil(t, found, p.Banner)
		ask := func(host, header string) *http.Response {
			r, err := http.NewRequestWithContext(t.Context(), "GET", found[1]+"/metrics", nil)
			require.NoError(t, err)
			r.Host = host
			if header != "" {
				r.Header.Set(header, "203.0.113.1")
			}
			resp, err := harness.Transport.RoundTrip(r)
			require.NoError(t, err)
			t.Cleanup(func() { _ = resp.Body.Close() })
			return resp
		}
		require.Equal(t, http.StatusOK, ask("localhost", "").StatusCode)
		require.Equal(t, http.StatusOK, ask("127.0.0.1:9464", "").StatusCode)
		for host, header := range map[string]string{"evil.example": "", "localhost": "Via", "localhost:1": "X-Forwarded-For", "127.0.0.1": "Forwarded"} {
			resp := ask(host, header)
			require.Equal(t, foreign, resp.StatusCode, "%s %s %s", args, host, header)
			if foreign == http.StatusOK {
				continue
			}
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Contains(t, string(body), `"code":"classroom_is_local"`)
			require.NotContains(t, string(body), "statelab_request")
			require.Equal(t, "application/problem+json; charset=utf-8", resp.Header.Get("Content-Type"))
		}
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, func(c *api.Config) { c.CredentialCache = 1 })
	s.Login(t, "session", harness.Alice, harness.AlicePassword)
	section := regexp.MustCompile(`(?s)## Metrics and logs\n(.*)`).FindStringSubmatch(harness.Document(t, "api/OPERATING.md"))
	require.NotNil(t, section)
	for text, expr := range map[string]string{section[1]: "`(statelab_\\w+)`", s.Exposition(): `(?m)^# TYPE (statelab_\w+) `} {
		for _, name := range regexp.MustCompile(expr).FindAllStringSubmatch(text, -1) {
			require.Contains(t, section[1], "`"+name[1]+"`")
			require.Contains(t, s.Exposition(), "\n# TYPE "+name[1]+" ")
		}
	}
}

// TestServerTimingCountsTheStore compares the counts in Server-Timing with what a request of each kind asks of the store.
func TestServerTimingCountsTheStore(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	for slug, want := range map[string][3]string{
		"session": {"3 reads, 1 write", "1 read, 0 writes", "1 read, 1 write"},
		"cookie":  {"2 reads, 0 writes", "0 reads, 0 writes", "0 reads, 0 writes"},
	} {
		c := s.Client(t, slug)
		for i, a := range []*harness.Answer{
			c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)), c.Get("profile"), c.Patch(harness.Object{"theme": "dark"}),
		} {
			require.Contains(t, a.Is(http.StatusOK).Header.Get("Server-Timing"), `store;desc="`+want[i]+`";`, "%s, request %d", slug, i)
		}
	}
}

// TestARequestReadsTheStoreOnce counts what a change and an inspection ask of the store.
// Where nothing is cached and no use of the login has to be recorded, that is one read
// and, for a change of a state that the server stores, one write.
func TestARequestReadsTheStoreOnce(t *testing.T) {
	t.Parallel()
	for _, denylist := range []bool{false, true} {
		s := harness.NewServer(t, func(c *api.Config) { c.Denylist = denylist })
		harness.Each(t, func(t *testing.T, slug string) {
			traits := s.Traits(t, slug)
			asks, stores := 0, 0
			if harness.Asks(traits) {
				asks = 1
			}
			if traits.KeptIn != "" && traits.KeptIn != state.PlaceProcess {
				stores = 1
			}
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			for _, request := range []struct {
				send          func() *harness.Answer
				reads, writes int
			}{
				{func() *harness.Answer { return c.Get("profile") }, asks, 0},
				{func() *harness.Answer { return c.Patch(harness.Object{"theme": "dark"}) }, max(asks, stores), stores},
				{func() *harness.Answer { return c.Post("spend", harness.Object{"amount": 1}) }, max(asks, stores), stores},
				{func() *harness.Answer { return c.Get("inspect") }, max(asks, stores), 0},
			} {
				s.Forgets(t, slug)
				cost := regexp.MustCompile(`desc="(\d+) reads?, (\d+) writes?"`).FindStringSubmatch(request.send().Is(http.StatusOK).Header.Get("Server-Timing"))
				require.Equal(t, []string{strconv.Itoa(request.reads), strconv.Itoa(request.writes)}, cost[1:])
			}
		})
	}
}
