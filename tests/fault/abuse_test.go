package fault

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api/command"
	"statelab/tests/harness"
)

// Here many clients at once do to the program, as it is built, what it is not
// made for. What one message may be is in hostile_test.go.

// calm starts the program and returns it with somebody who is logged in. It has
// not hashed a password yet, which takes more memory than all the rest.
func calm(t *testing.T, dir string, env []string, args ...string) (*harness.Process, *harness.Client) {
	t.Helper()
	args = append([]string{"--listen", "localhost:0", "--log-level", "error"}, args...)
	p := harness.StartReleased(t, dir, env, args...)
	c := p.Client("cookie") // which outlives a restart
	c.Do("POST", "/accounts", harness.Object{"username": harness.Carol, "password": harness.CarolPassword}).Is(http.StatusCreated)
	c.Post("login", harness.Credentials(harness.Carol, harness.CarolPassword)).Is(http.StatusOK)
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.Ends())
	p = harness.StartReleased(t, dir, env, args...)
	c.Server = &harness.Server{URL: p.Base, Canary: p.Canary}
	return p, c
}

// Slow clients cost the program a connection each and nobody else's time. Those
// that do not get their headers out are cut off first. This waits for the five seconds
// of service: its bound on memory is that of the program as it is released. It runs
// alone, or opening the connections takes longer than the first of them may last.
func TestSlowClientsKeepNobodyWaiting(t *testing.T) {
	p, c := calm(t, t.TempDir(), nil)
	base, memory := p.Descriptors(), p.Peak()

	open := func(n int, begin string) (all []*net.TCPConn) {
		for range n {
			conn := p.Connect()
			require.NoError(t, conn.SetReadBuffer(1))
			_, err := io.WriteString(conn, begin)
			require.NoError(t, err)
			all = append(all, conn)
		}
		return all
	}
	const idle, bodies, readers, headers = 1000, 100, 100, 300
	var patient []*net.TCPConn
	patient = append(patient, open(idle/2, "")...)
	patient = append(patient, open(idle/2, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")...)
	patient = append(patient, open(readers, strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n", 100))...)
	slowBodies := open(bodies, "POST /session/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n")
	slowHeaders := open(headers, "GET /session/profile HTTP/1.1\r\nHost: localhost\r\nX: ")
	require.Eventually(t, func() bool { return p.Descriptors() >= base+idle+bodies+readers+headers }, time.Minute, 10*time.Millisecond)

	stop := make(chan struct{})
	drip := func(conn net.Conn) error { // until the program has enough of it
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return nil
			case <-tick.C:
			}
			if _, err := conn.Write([]byte(" ")); err != nil {
				return err
			}
		}
	}
	var cutOff, others sync.WaitGroup
	begun, ends := time.Now(), make([]error, headers)
	for i, conn := range slowHeaders {
		cutOff.Go(func() { ends[i] = drip(conn) })
	}
	for _, conn := range slowBodies {
		others.Go(func() { _ = drip(conn) })
	}
	c.While(cutOff.Wait)
	t.Logf("slow headers are cut off after %s", time.Since(begun))
	for _, err := range ends {
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "slow headers go on")
	}
	close(stop)
	others.Wait()
	for _, conn := range slices.Concat(patient, slowBodies) {
		_ = conn.Close()
	}
	const idleDatabase = 8 // the files of a connection that SQLite's pool has opened meanwhile, and keeps
	require.Eventually(t, func() bool { return p.Descriptors() <= base+idleDatabase }, time.Minute, 10*time.Millisecond, "connections are left behind")
	t.Logf("memory: %d MiB before, %d at most", memory, p.Peak())
	// 40 KiB for each connection, its stacks and buffers, as much again for
	// garbage, and the 16 MiB that may lie about in any case.
	require.Less(t, p.Peak(), memory+2*(idle+bodies+readers+headers)*40>>10+16)
}

// An endless reader is what never ends.
type endless string

func (e endless) Read(b []byte) (int, error) { return copy(b, e), nil }

// A request that is too large in any part is refused for it: it is never taken
// for one without a credential, and not read to its end.
func TestWhatIsTooLargeIsNeverAnonymous(t *testing.T) {
	t.Parallel()
	p := harness.StartReleased(t, t.TempDir(), nil, "--listen", "localhost:0", "--log-level", "error")
	memory := p.Peak()
	const post = "POST /session/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
	for _, slug := range harness.Strategies {
		c := p.Client(slug)
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		line := "Cookie: " + c.CookieName() + "=" + c.Held()
		if c.Bearer() {
			line = "Authorization: Bearer " + c.Held() + "\r\nCookie: a=b"
		}
		get := "GET /" + slug + "/profile HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + line
		back, _ := p.Throw(strings.NewReader(get + "; b=" + harness.Long("b", 8<<10) + "\r\n\r\n"))
		require.Equal(t, []string{"200"}, harness.Statuses(back), "%s: 8 KiB beside a credential", slug)
		for what, rest := range map[string]string{
			"3001 pairs":       harness.Long("; a=b", 3000),
			"64 KiB":           "; b=" + harness.Long("b", 64<<10),
			"1 MiB":            "; b=" + harness.Long("b", 1<<20),
			"64 KiB in lines":  harness.Long("\r\nCookie: b="+harness.Long("b", 1000), 64),
			"1 MiB of headers": harness.Long("\r\nX: "+harness.Long("x", 1000), 1000),
		} {
			back, _ := p.Throw(strings.NewReader(get + rest + "\r\n\r\n"))
			for _, status := range harness.Statuses(back) { // none if it was cut off
				require.Equal(t, "431", status, "%s: %s", slug, what)
			}
		}
	}
	for what, test := range map[string]struct {
		text   io.Reader
		status string
	}{
		"a target of 9 KiB":         {strings.NewReader("GET /session/profile?" + harness.Long("q", 9<<10) + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), "414"},
		"a target without an end":   {io.MultiReader(strings.NewReader("GET /session/profile?"), endless("q")), "431"},
		"a header without an end":   {io.MultiReader(strings.NewReader("GET /session/profile HTTP/1.1\r\nX: "), endless("x")), "431"},
		"headers without an end":    {io.MultiReader(strings.NewReader("GET /session/profile HTTP/1.1\r\n"), endless("X: x\r\n")), "431"},
		"a body of 1 TB":            {io.MultiReader(strings.NewReader(post+"Content-Length: 1000000000000\r\n\r\n"), endless(" ")), "413"},
		"a body without an end":     {io.MultiReader(strings.NewReader(post+"Transfer-Encoding: chunked\r\n\r\n"), endless("1\r\n \r\n")), "413"},
		"an extension without end":  {io.MultiReader(strings.NewReader(post+"Transfer-Encoding: chunked\r\n\r\n1;"), endless("x")), "400"},
		"a length longer than that": {strings.NewReader(post + "Content-Length: 1" + harness.Long("0", 30) + "\r\n\r\n"), "400"},
	} {
		back, sent := p.Throw(test.text)
		for _, status := range harness.Statuses(back) {
			require.Equal(t, test.status, status, what)
		}
		require.Less(t, sent, int64(32<<20), "%s is read on and on", what)
	}
	t.Logf("memory: %d MiB before, %d at most", memory, p.Peak())
	require.Less(t, p.Peak(), memory+32, "each of these may have 32 KiB of headers or 64 KiB of a body, one at a time")
	p.Client("session").Get("profile").Is(http.StatusUnauthorized, "no_credential")
}

// Whoever has not signed in costs the program a moment of its time and nothing
// of its memory, however often they come and whatever they claim to hold.
func TestAnonymousRequestsLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, c := calm(t, dir, nil)
	live := func() string {
		return string(regexp.MustCompile(`(?m)^statelab_live_logins .*$`).Find(p.Client("").Do("GET", "/metrics", nil).Body))
	}
	require.Equal(t, "statelab_live_logins 0", live())
	memory := p.Peak()

	const connections, each, atOnce = 100, 1000, 16
	send := func(number int) {
		var text bytes.Buffer
		for i := range each {
			slug, credential := harness.Shared[i%len(harness.Shared)], ""
			if i%2 == 1 {
				made := fmt.Sprintf("%044d", number*each+i)
				credential = "Authorization: Bearer " + made + "\r\nCookie: statelab_" + slug + "=" + made + "\r\n"
			}
			if i == each-1 {
				credential += "Connection: close\r\n"
			}
			_, _ = fmt.Fprintf(&text, "GET /%s/profile HTTP/1.1\r\nHost: localhost\r\n%s\r\n", slug, credential)
		}
		back, _ := p.Throw(&text)
		require.Equal(t, each, strings.Count(back, "HTTP/1.1 401 "), "%.500s", back)
		require.NotContains(t, back, "\r\nSet-Cookie: statelab_session=", "an anonymous session")
	}
	c.While(func() {
		var clients sync.WaitGroup
		var next atomic.Int64
		for range atOnce {
			clients.Go(func() {
				for n := next.Add(1); n <= connections; n = next.Add(1) {
					send(int(n))
				}
			})
		}
		clients.Wait()
	})
	require.Equal(t, "statelab_live_logins 0", live())
	db, err := sql.Open("sqlite", filepath.Join(dir, "statelab-classroom.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var records int
	require.NoError(t, db.QueryRow(`SELECT count(*) FROM records`).Scan(&records))
	require.Zero(t, records)
	t.Logf("memory: %d MiB before, %d at most", memory, p.Peak())
	// 1 KiB that stays of each would be 100 MiB; it is the garbage that may lie
	// about, and what arrives while it is collected.
	require.Less(t, p.Peak(), memory+64)
}

// A flood of logins, each from another address with a word of the proxy for it,
// takes no more memory than the hashes that may run at once, and keeps nobody
// who is logged in waiting. How long their visits take is for tests/load.
func TestALoginFloodIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.ServiceKeys(t, dir)
	p, c := calm(t, dir, []string{"GOMAXPROCS=2"}, "--no-classroom", "--trusted-proxy", "127.0.0.1/32")
	const hashing, hash, slack = 2, 19, 2.5 // MiB; as tests/load has it
	memory := p.Peak()

	const clients, rounds = 200, 3
	var mu sync.Mutex
	answers := map[string]int{}
	c.While(func() {
		for round := range rounds {
			var all sync.WaitGroup
			for i := range clients {
				all.Go(func() {
					username := harness.Carol
					if i%2 == 1 {
						username = fmt.Sprint("nobody", i)
					}
					status, code := p.SignIn(username, harness.Wrong, fmt.Sprintf("X-Forwarded-For: 198.51.%d.%d\r\n", round, i))()
					mu.Lock()
					defer mu.Unlock()
					answers[fmt.Sprint(status, " ", code)]++
				})
			}
			all.Wait()
		}
	})
	t.Log(answers)
	require.Positive(t, answers["401 bad_login"])
	require.Positive(t, answers["503 overloaded"])
	require.Equal(t, clients*rounds, answers["401 bad_login"]+answers["503 overloaded"]+answers["429 too_many_attempts"], answers)
	t.Logf("memory: %d MiB before, %d at most", memory, p.Peak())
	require.LessOrEqual(t, p.Peak(), memory+int(hashing*hash*slack))

	again := p.Client("session")
	again.Send = harness.Header("X-Forwarded-For", "203.0.113.1")
	again.Post("login", harness.Credentials(harness.Carol, harness.CarolPassword)).Is(http.StatusOK)
}

// What was accepted is answered in full, if only with a word of having no time.
func TestAHundredRequestsInFlightOutliveSIGTERM(t *testing.T) {
	t.Parallel()
	p := harness.StartReleased(t, t.TempDir(), nil, "--listen", "localhost:0", "--log-level", "error")
	const clients = 100
	base := p.Descriptors()
	var all []func() (int, string)
	for range clients {
		all = append(all, p.SignIn(harness.Alice, harness.AlicePassword, ""))
	}
	require.Eventually(t, func() bool { return p.Descriptors() >= base+clients }, time.Minute, time.Millisecond)
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	answers := map[string]int{}
	for _, answer := range all {
		status, code := answer()
		answers[fmt.Sprint(status, " ", code)]++
	}
	t.Log(answers)
	require.Positive(t, answers["200 "])
	require.Equal(t, clients, answers["200 "]+answers["503 overloaded"], answers)
	require.Zero(t, p.Ends())
	_, err := net.Dial("tcp", strings.Replace(strings.TrimPrefix(p.Base, "http://"), "localhost", "127.0.0.1", 1))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

// A request that never ends keeps the program for Times.Drain and no longer.
func TestAHungRequestDoesNotOutliveTheDeadline(t *testing.T) {
	t.Parallel()
	times := harness.Brisk()
	times.Drain = time.Second
	p := harness.Start(t, t.TempDir(), []string{harness.Patience(t, times)}, "--listen", "localhost:0")
	for range 4 { // who read nothing of what they ask for
		conn := p.Connect()
		require.NoError(t, conn.SetReadBuffer(1))
		_, err := io.WriteString(conn, strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000))
		require.NoError(t, err)
	}
	answered := 0
	require.Eventually(t, func() bool { // until what lies between is full
		before := answered
		answered = strings.Count(p.Log.String(), "route=/openapi.json")
		return before > 0 && answered == before
	}, time.Minute, 300*time.Millisecond)
	begun := time.Now()
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 1, p.Ends())
	require.GreaterOrEqual(t, time.Since(begun), times.Drain)
	require.Less(t, time.Since(begun), command.DefaultTimes().Drain, "it is in no hurry")
	p.Logs("requests were still in flight")
}

// A program that has no descriptor left accepts nobody, serves those it has, and
// goes on when there are some again.
func TestRunningOutOfDescriptors(t *testing.T) {
	t.Parallel()
	prlimit, err := exec.LookPath("prlimit")
	harness.NeedSystem(t, err == nil, "no prlimit, which takes descriptors from a program")
	p := harness.StartReleased(t, t.TempDir(), nil, "--listen", "localhost:0")
	c := p.Client("session").KeepsConnections()
	c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	limit := p.Descriptors() + 20
	require.NoError(t, exec.CommandContext(t.Context(), prlimit, "--pid", fmt.Sprint(p.Cmd.Process.Pid), fmt.Sprintf("--nofile=%d", limit)).Run())
	var all []*net.TCPConn
	for range 60 {
		all = append(all, p.Connect())
	}
	p.Logs("too many open files")
	for range 20 {
		require.Less(t, c.Get("profile").Is(http.StatusOK).Took, harness.Prompt, "who was there before")
	}
	for _, conn := range all {
		_ = conn.Close()
	}
	require.Eventually(t, func() bool {
		back, _ := p.Throw(strings.NewReader("GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
		return slices.Equal([]string{"200"}, harness.Statuses(back))
	}, time.Minute, 50*time.Millisecond, "it does not recover")
}
