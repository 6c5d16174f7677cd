package tests

import (
	"bufio"
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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// Here many clients at once do to the program, as it is built, what it is not
// made for. What one message may be is in hostile_test.go.

// calm starts the program and returns it with somebody who is logged in. It has
// not hashed a password yet, which takes more memory than all the rest.
func calm(t *testing.T, dir string, env []string, args ...string) (*process, *client) {
	t.Helper()
	args = append([]string{"--listen", "localhost:0", "--log-level", "error"}, args...)
	p := start(t, dir, env, args...)
	c := p.client("cookie") // which outlives a restart
	c.do("POST", "/accounts", object{"username": carol, "password": carolPassword}).is(http.StatusCreated)
	c.post("login", credentials{carol, carolPassword}).is(http.StatusOK)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.ends())
	p = start(t, dir, env, args...)
	c.s = &server{url: p.base, canary: p.canary}
	return p, c
}

// throw sends bytes as they are and returns what comes back until the program
// closes. It may do so before it has read them all, so that nobody is heard to
// the end; an answer can get lost then.
func (p *process) throw(text io.Reader) (back string, sent int64) {
	p.t.Helper()
	conn := p.connect()
	defer func() { _ = conn.Close() }()
	var writing sync.WaitGroup
	writing.Go(func() { sent, _ = io.Copy(conn, text) })
	all, _ := io.ReadAll(conn)
	_ = conn.Close()
	writing.Wait()
	return string(all), sent
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s*(\d+) kB$`)

// peak is the most memory that the program has ever held, in MiB.
func (p *process) peak() int {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	match := highWater.FindSubmatch(text)
	require.NotNil(p.t, match)
	kib, err := strconv.Atoi(string(match[1]))
	require.NoError(p.t, err)
	return kib >> 10
}

// descriptors is how many files and connections the program has open.
func (p *process) descriptors() int {
	p.t.Helper()
	return descriptors(p.t, p.cmd.Process.Pid)
}

// signIn sends a sign-in, with more headers, and returns a function that waits
// for its answer, which has to be a whole one.
func (p *process) signIn(username, password, more string) func() (status int, code string) {
	p.t.Helper()
	conn := p.connect()
	body, err := json.Marshal(credentials{username, password})
	require.NoError(p.t, err)
	_, err = fmt.Fprintf(conn, "POST /session/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", len(body), more, body)
	require.NoError(p.t, err)
	return func() (int, string) {
		p.t.Helper()
		defer func() { _ = conn.Close() }()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(p.t, err)
		defer func() { _ = resp.Body.Close() }()
		var back struct {
			Code string `json:"code"`
		}
		require.NoError(p.t, json.UnmarshalRead(resp.Body, &back))
		return resp.StatusCode, back.Code
	}
}

// while makes visits of somebody who is logged in, one after the other, until
// others are done, and requires each one to be answered promptly.
func (c *client) while(others func()) {
	c.t.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		others()
	}()
	var took []time.Duration
	for done := false; !done; {
		a := c.get("profile").is(http.StatusOK)
		took = append(took, a.took)
		select {
		case <-over:
			done = true
		default:
		}
	}
	slices.Sort(took)
	c.t.Logf("%d visits meanwhile: median %s, p99 %s, slowest %s", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	require.Less(c.t, took[len(took)-1], prompt)
}

// Slow clients cost the program a connection each and nobody else's time. Those
// that do not get their headers out are cut off first.
func TestSlowClientsKeepNobodyWaiting(t *testing.T) {
	p, c := calm(t, t.TempDir(), nil)
	base, memory := p.descriptors(), p.peak()

	open := func(n int, begin string) (all []*net.TCPConn) {
		for range n {
			conn := p.connect()
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
	require.Eventually(t, func() bool { return p.descriptors() >= base+idle+bodies+readers+headers }, prompt, 10*time.Millisecond)

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
	c.while(cutOff.Wait)
	t.Logf("slow headers are cut off after %s", time.Since(begun))
	for _, err := range ends {
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "slow headers go on")
	}
	close(stop)
	others.Wait()
	for _, conn := range slices.Concat(patient, slowBodies) {
		_ = conn.Close()
	}
	require.Eventually(t, func() bool { return p.descriptors() <= base }, 5*time.Second, 10*time.Millisecond, "connections are left behind")
	t.Logf("memory: %d MiB before, %d at most", memory, p.peak())
	// 40 KiB for each connection, its stacks and buffers, as much again for
	// garbage, and the 16 MiB that may lie about in any case.
	require.Less(t, p.peak(), memory+2*(idle+bodies+readers+headers)*40>>10+16)
}

// An endless reader is what never ends.
type endless string

func (e endless) Read(b []byte) (int, error) { return copy(b, e), nil }

// A request that is too large in any part is refused for it: it is never taken
// for one without a credential, and not read to its end.
func TestWhatIsTooLargeIsNeverAnonymous(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0", "--log-level", "error")
	memory := p.peak()
	const post = "POST /session/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
	for _, slug := range strategies {
		c := p.client(slug)
		c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
		line := "Cookie: " + c.cookieName() + "=" + c.held()
		if c.bearer() {
			line = "Authorization: Bearer " + c.held() + "\r\nCookie: a=b"
		}
		get := "GET /" + slug + "/profile HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + line
		back, _ := p.throw(strings.NewReader(get + "; b=" + long("b", 8<<10) + "\r\n\r\n"))
		require.Equal(t, []string{"200"}, statuses(back), "%s: 8 KiB beside a credential", slug)
		for what, rest := range map[string]string{
			"3001 pairs":       long("; a=b", 3000),
			"64 KiB":           "; b=" + long("b", 64<<10),
			"1 MiB":            "; b=" + long("b", 1<<20),
			"64 KiB in lines":  long("\r\nCookie: b="+long("b", 1000), 64),
			"1 MiB of headers": long("\r\nX: "+long("x", 1000), 1000),
		} {
			back, _ := p.throw(strings.NewReader(get + rest + "\r\n\r\n"))
			for _, status := range statuses(back) { // none if it was cut off
				require.Equal(t, "431", status, "%s: %s", slug, what)
			}
		}
	}
	for what, test := range map[string]struct {
		text   io.Reader
		status string
	}{
		"a target of 9 KiB":         {strings.NewReader("GET /session/profile?" + long("q", 9<<10) + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), "414"},
		"a target without an end":   {io.MultiReader(strings.NewReader("GET /session/profile?"), endless("q")), "431"},
		"a header without an end":   {io.MultiReader(strings.NewReader("GET /session/profile HTTP/1.1\r\nX: "), endless("x")), "431"},
		"headers without an end":    {io.MultiReader(strings.NewReader("GET /session/profile HTTP/1.1\r\n"), endless("X: x\r\n")), "431"},
		"a body of 1 TB":            {io.MultiReader(strings.NewReader(post+"Content-Length: 1000000000000\r\n\r\n"), endless(" ")), "413"},
		"a body without an end":     {io.MultiReader(strings.NewReader(post+"Transfer-Encoding: chunked\r\n\r\n"), endless("1\r\n \r\n")), "413"},
		"an extension without end":  {io.MultiReader(strings.NewReader(post+"Transfer-Encoding: chunked\r\n\r\n1;"), endless("x")), "400"},
		"a length longer than that": {strings.NewReader(post + "Content-Length: 1" + long("0", 30) + "\r\n\r\n"), "400"},
	} {
		back, sent := p.throw(test.text)
		for _, status := range statuses(back) {
			require.Equal(t, test.status, status, what)
		}
		require.Less(t, sent, int64(32<<20), "%s is read on and on", what)
	}
	t.Logf("memory: %d MiB before, %d at most", memory, p.peak())
	require.Less(t, p.peak(), memory+32, "each of these may have 32 KiB of headers or 64 KiB of a body, one at a time")
	p.client("session").get("profile").is(http.StatusUnauthorized, "no_credential")
}

// Whoever has not signed in costs the program a moment of its time and nothing
// of its memory, however often they come and whatever they claim to hold.
func TestAnonymousRequestsLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	p, c := calm(t, dir, nil)
	live := func() string {
		return string(regexp.MustCompile(`(?m)^statelab_live_logins .*$`).Find(p.client("").do("GET", "/metrics", nil).body))
	}
	require.Equal(t, "statelab_live_logins 0", live())
	memory := p.peak()

	const connections, each, atOnce = 100, 1000, 16
	send := func(number int) {
		var text bytes.Buffer
		for i := range each {
			slug, credential := shared[i%len(shared)], ""
			if i%2 == 1 {
				made := fmt.Sprintf("%044d", number*each+i)
				credential = "Authorization: Bearer " + made + "\r\nCookie: statelab_" + slug + "=" + made + "\r\n"
			}
			if i == each-1 {
				credential += "Connection: close\r\n"
			}
			_, _ = fmt.Fprintf(&text, "GET /%s/profile HTTP/1.1\r\nHost: localhost\r\n%s\r\n", slug, credential)
		}
		back, _ := p.throw(&text)
		require.Equal(t, each, strings.Count(back, "HTTP/1.1 401 "), "%.500s", back)
		require.NotContains(t, back, "\r\nSet-Cookie: statelab_session=", "an anonymous session")
	}
	c.while(func() {
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
	t.Logf("memory: %d MiB before, %d at most", memory, p.peak())
	// 1 KiB that stays of each would be 100 MiB; it is the garbage that may lie
	// about, and what arrives while it is collected.
	require.Less(t, p.peak(), memory+64)
}

// A flood of logins, each from another address with a word of the proxy for it,
// takes no more memory than the hashes that may run at once, and keeps nobody
// who is logged in waiting. How long their visits take is for tests/load.
func TestALoginFloodIsBounded(t *testing.T) {
	dir := t.TempDir()
	serviceKeys(t, dir)
	p, c := calm(t, dir, []string{"GOMAXPROCS=2"}, "--no-classroom", "--trusted-proxy", "127.0.0.1/32")
	const hashing, hash, slack = 2, 19, 2.5 // MiB; as tests/load has it
	memory := p.peak()

	const clients, rounds = 200, 3
	var mu sync.Mutex
	answers := map[string]int{}
	c.while(func() {
		for round := range rounds {
			var all sync.WaitGroup
			for i := range clients {
				all.Go(func() {
					username := carol
					if i%2 == 1 {
						username = fmt.Sprint("nobody", i)
					}
					status, code := p.signIn(username, wrong, fmt.Sprintf("X-Forwarded-For: 198.51.%d.%d\r\n", round, i))()
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
	t.Logf("memory: %d MiB before, %d at most", memory, p.peak())
	require.LessOrEqual(t, p.peak(), memory+int(hashing*hash*slack))

	again := p.client("session")
	again.send = header("X-Forwarded-For", "203.0.113.1")
	again.post("login", credentials{carol, carolPassword}).is(http.StatusOK)
}

// What was accepted is answered in full, if only with a word of having no time.
func TestAHundredRequestsInFlightOutliveSIGTERM(t *testing.T) {
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0", "--log-level", "error")
	const clients = 100
	base := p.descriptors()
	var all []func() (int, string)
	for range clients {
		all = append(all, p.signIn(alice, alicePassword, ""))
	}
	require.Eventually(t, func() bool { return p.descriptors() >= base+clients }, prompt, time.Millisecond)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	answers := map[string]int{}
	for _, answer := range all {
		status, code := answer()
		answers[fmt.Sprint(status, " ", code)]++
	}
	t.Log(answers)
	require.Positive(t, answers["200 "])
	require.Equal(t, clients, answers["200 "]+answers["503 overloaded"], answers)
	require.Zero(t, p.ends())
	_, err := net.Dial("tcp", strings.Replace(strings.TrimPrefix(p.base, "http://"), "localhost", "127.0.0.1", 1))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

// A request that never ends keeps the program for ten seconds and no longer.
func TestAHungRequestDoesNotOutliveTheDeadline(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0")
	for range 4 { // who read nothing of what they ask for
		conn := p.connect()
		require.NoError(t, conn.SetReadBuffer(1))
		_, err := io.WriteString(conn, strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n", 1000))
		require.NoError(t, err)
	}
	answered := 0
	require.Eventually(t, func() bool { // until what lies between is full
		before := answered
		answered = strings.Count(p.log.String(), "route=/openapi.json")
		return before > 0 && answered == before
	}, 10*time.Second, 300*time.Millisecond)
	begun := time.Now()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 1, p.ends())
	require.Less(t, time.Since(begun), 13*time.Second)
	p.logs("requests were still in flight")
}

// A program that has no descriptor left accepts nobody, serves those it has, and
// goes on when there are some again.
func TestRunningOutOfDescriptors(t *testing.T) {
	prlimit, err := exec.LookPath("prlimit")
	needSystem(t, err == nil, "no prlimit, which takes descriptors from a program")
	keepAlive(t)
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0")
	c := p.client("session")
	c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	limit := p.descriptors() + 20
	require.NoError(t, exec.CommandContext(t.Context(), prlimit, "--pid", fmt.Sprint(p.cmd.Process.Pid), fmt.Sprintf("--nofile=%d", limit)).Run())
	var all []*net.TCPConn
	for range 60 {
		all = append(all, p.connect())
	}
	p.logs("too many open files")
	for range 20 {
		require.Less(t, c.get("profile").is(http.StatusOK).took, prompt, "who was there before")
	}
	for _, conn := range all {
		_ = conn.Close()
	}
	require.Eventually(t, func() bool {
		back, _ := p.throw(strings.NewReader("GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
		return slices.Equal([]string{"200"}, statuses(back))
	}, 5*time.Second, 50*time.Millisecond, "it does not recover")
}
