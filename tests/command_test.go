package tests

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// built is where binary has put the program; TestMain removes it.
var built string

// binary is the program, built once for the run.
var binary = sync.OnceValues(func() (string, error) {
	var err error
	if built, err = os.MkdirTemp("", "statelab"); err != nil {
		return "", err
	}
	if err := os.Chmod(built, 0o755); err != nil { // other users run it too
		return "", err
	}
	path := filepath.Join(built, "statelab")
	if out, err := exec.Command("go", "build", "-o", path, "..").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// A process is a running statelab.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    io.Reader
	banner string
	base   string
	log    *output
	canary *canary
	done   chan struct{} // closed when it has ended
}

var pageLine = regexp.MustCompile(`page\s+(https?://\S+:\d+)`)

// command prepares the program to run in dir, with nothing in its environment
// but what is given.
func command(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir, cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	return cmd
}

// start runs the program until it has said where it serves. It ends with the
// test.
func start(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	p := launch(t, command(t, dir, env, args...))
	p.serves()
	return p
}

// launch starts a prepared program and does not wait for it. It ends with the
// test.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, log: new(output), canary: newCanary(nil), done: make(chan struct{})}
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.out = out
	if p.cmd.Stderr == nil {
		p.cmd.Stderr = p.log
	}
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if p.base != "" {
			p.ends() // then its log is complete
			require.Empty(t, p.canary.leaks(p.log.String()), "a credential is in the log")
		}
	})
	return p
}

// serves waits until the program has said where it serves.
func (p *process) serves() {
	p.t.Helper()
	lines := bufio.NewScanner(p.out)
	for lines.Scan() {
		p.banner += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "Ctrl-C") {
			break
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, p.out)
		_ = p.cmd.Wait()
		close(p.done)
	}()
	match := pageLine.FindStringSubmatch(p.banner)
	if match == nil {
		p.ends() // then its log is complete
	}
	require.NotNil(p.t, match, "%s%s", p.banner, p.log)
	p.base = match[1]
}

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// logs waits until the program has written these words to its log.
func (p *process) logs(words string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(p.log.String(), words) }, 5*time.Second, 10*time.Millisecond, words)
}

// client returns a client of the running program.
func (p *process) client(slug string) *client {
	return (&server{url: p.base, canary: p.canary}).client(p.t, slug)
}

// ends waits for the program to end and returns its exit status.
func (p *process) ends() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(20 * time.Second):
		p.t.Fatal("it does not end")
		return -1
	}
}

func TestStartingWithNothingButTheProgram(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, nil, "--listen", "localhost:0")
	require.LessOrEqual(t, strings.Count(p.banner, "\n"), 9)
	for _, word := range []string{"/docs", "alice / wonderland", "teacher / queen-of-hearts", "curl", "Ctrl-C"} {
		require.Contains(t, p.banner, word)
	}
	for _, slug := range strategies {
		p.client(slug).post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	}
	info, err := os.Stat(filepath.Join(dir, "statelab-classroom.keys.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.FileExists(t, filepath.Join(dir, "statelab-classroom.db"))
}

func TestTheFirstCurlLineAnswersAsPrinted(t *testing.T) {
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0")
	line := regexp.MustCompile(`try\s+(curl .*)`).FindStringSubmatch(p.banner)
	require.NotNil(t, line)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line[1]+" 2>/dev/null").Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "HTTP/1.1 200 OK")
	require.Contains(t, string(out), "Set-Cookie: statelab_session=")
}

func TestKeysAndAccountsOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, nil, "--listen", "localhost:0")
	var clients []*client
	for _, slug := range strategies {
		c := p.client(slug)
		c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
		clients = append(clients, c)
	}
	p.client("").do("POST", "/accounts", object{"username": "carol", "password": "down the rabbit hole"}).is(http.StatusCreated)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.ends())

	again := start(t, dir, nil, "--listen", "localhost:0")
	again.client("session").post("login", credentials{"carol", "down the rabbit hole"}).is(http.StatusOK)
	for _, c := range clients {
		c.s = &server{url: again.base}
		if outlives(c.s.traits(t, c.slug)) {
			c.get("profile").is(http.StatusOK)
		} else {
			c.get("profile").is(http.StatusUnauthorized, "unknown_session")
		}
	}
}

func TestFlagsAndVariables(t *testing.T) {
	env := []string{"STATELAB_LISTEN=localhost:0", "STATELAB_SESSION_MAX=1h", "STATELAB_ACCESS_TTL=2m", "STATELAB_TOKEN_ALG=HS256", "STATELAB_LOG_FORMAT=json"}
	p := start(t, t.TempDir(), env, "serve", "--access-ttl", "3m")
	a := p.client("session").post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	require.Equal(t, "Max-Age=3600", regexp.MustCompile(`Max-Age=\d+`).FindString(a.header.Get("Set-Cookie")))
	a = p.client("token").post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	require.Equal(t, int64(180), a.number("credential.expires_in"), "a flag wins over its variable")
	require.Empty(t, p.client("").do("GET", "/.well-known/jwks.json", nil).at("keys"), "HS256 has no public key")
}

// refused requires the program not to start, and to say why in one line.
func refused(t *testing.T, dir string, env []string, says string, args ...string) {
	t.Helper()
	t.Run(strings.Join(append(env, args...), " "), func(t *testing.T) {
		cmd := command(t, dir, env, args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		require.NoError(t, cmd.Start())
		defer time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() }).Stop() // if it starts after all
		_ = cmd.Wait()
		require.Equal(t, 2, cmd.ProcessState.ExitCode(), "%s", stderr.String())
		require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "%s", stderr.String())
		require.Contains(t, stderr.String(), says)
		require.NotContains(t, stderr.String(), "sesame", "a password out of an address")
		require.NotContains(t, stderr.String(), "c2VjcmV0", "a secret out of a key file")
		require.Empty(t, stdout.String())
	})
}

func TestRefusalsAreOneLineAndStatusTwo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "damaged.json"), []byte(`{"version":1,"keys":[{"secret":"c2VjcmV0"`), 0o600))
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--store", "http://u:sesame@localhost"}, "memory"},
		{[]string{"--store", "redis://u:sesame@localhost:x"}, "redis://"},
		{[]string{"--database", "mysql://u:sesame@localhost/db"}, "sqlite:"},
		{[]string{"--database", "postgres://u:sesame@localhost:x/db"}, "postgres://"},
		{[]string{"--database", "sqlite:no/such/directory/x.db"}, "no/such/directory"},
		{[]string{"--revocation", "all"}, "--revocation"},
		{[]string{"--strategies", "sessions"}, "--strategies"},
		{[]string{"--no-classroom", "--strategies", "seed"}, "--strategies"},
		{[]string{"--metrics", "nonsense"}, "--metrics"},
		{[]string{"--metrics", "0.0.0.0:9464"}, "localhost"},
		{[]string{"--attacker", "nonsense"}, "--attacker"},
		{[]string{"--attacker", "localhost:x"}, "--attacker"},
		{[]string{"--attacker", "0.0.0.0:9090"}, "127.0.0.1"},
		{[]string{"--attacker", ":9090"}, "127.0.0.1"},
		{[]string{"--no-classroom", "--attacker", "127.0.0.1:9090"}, "--attacker"},
		{[]string{"--cache", "memory"}, "--cache"},
		{[]string{"--cache", "redis://u:sesame@localhost:x"}, "--cache"},
		{[]string{"--listen", "0.0.0.0:8080"}, "localhost"},
		{[]string{"--listen", ":8080"}, "localhost"},
		{[]string{"--listen", "example.org:8080"}, "localhost"},
		{[]string{"--listen", "nonsense"}, "--listen"},
		{[]string{"--listen", "localhost:http"}, "--listen"},
		{[]string{"--trusted-proxy", "127.0.0.1/32"}, "--no-classroom"},
		{[]string{"--keys", "damaged.json"}, "damaged.json"},
		{[]string{"--session-max", "never"}, "--session-max"},
		{[]string{"--session-idle", "0s"}, "--session-idle"},
		{[]string{"--access-ttl", "24h"}, "--access-ttl"},
		{[]string{"--refresh-overlap", "2h"}, "--refresh-overlap"},
		{[]string{"--token-alg", "none"}, "--token-alg"},
		{[]string{"--allow-origin", "http://localhost:5173/path"}, "origin"},
		{[]string{"--log-level", "loud"}, "--log-level"},
		{[]string{"--no-such-flag"}, "--no-such-flag"},
		{[]string{"compare"}, "compare"},
		{[]string{"keys"}, "rotate"},
		{[]string{"keys", "init", "--keys", "damaged.json"}, "damaged.json"},
		{[]string{"keys", "list"}, "statelab keys init"},
		{[]string{"keys", "list", "--keys", "damaged.json"}, "damaged.json"},
		{[]string{"keys", "rotate", "--keys", "damaged.json"}, "damaged.json"},
		{[]string{"keys", "rotate", "--drop-previous", "--keys", "missing.json"}, "statelab keys init --keys missing.json"},
	} {
		refused(t, dir, nil, c.says, c.args...)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*keys.json*"))
	require.NoError(t, err)
	require.Empty(t, left, "what is refused leaves nothing behind")
	require.NoFileExists(t, filepath.Join(dir, "damaged.json.new"))
}

func TestHelpAndVersion(t *testing.T) {
	for args, want := range map[string]string{
		"--help": "STATELAB_SESSION_MAX", "serve --help": "--session-idle", "version": "statelab ",
	} {
		out, err := command(t, t.TempDir(), nil, strings.Fields(args)...).Output()
		require.NoError(t, err, args)
		require.Contains(t, string(out), want)
	}
}

func TestAPortInUseIsSaid(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	cmd := command(t, t.TempDir(), nil, "--listen", l.Addr().String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	_ = cmd.Run()
	require.Equal(t, 1, cmd.ProcessState.ExitCode())
	require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "%s", stderr.String())
	require.Contains(t, stderr.String(), "--listen")
}

// connect opens a connection to the program, for a minute at most. It ends with
// the test.
func (p *process) connect() *net.TCPConn {
	p.t.Helper()
	address := strings.TrimPrefix(p.base, "http://")
	conn, err := net.Dial("tcp", strings.Replace(address, "localhost", "127.0.0.1", 1))
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = conn.Close() })
	require.NoError(p.t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return conn.(*net.TCPConn)
}

// halfway sends a login up to the middle of its body.
func (p *process) halfway() (net.Conn, string) {
	p.t.Helper()
	conn := p.connect()
	body := `{"username":"alice","password":"wonderland"}`
	_, err := fmt.Fprintf(conn, "POST /session/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		len(body), body[:10])
	require.NoError(p.t, err)
	return conn, body[10:]
}

func TestRequestsInFlightOutliveSIGTERM(t *testing.T) {
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0")
	conn, rest := p.halfway()
	defer func() { _ = conn.Close() }()
	p.client("").do("GET", "/readyz", nil).is(http.StatusOK)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		resp, err := http.Get(p.base + "/readyz") // until connections are refused
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode == http.StatusServiceUnavailable
	}, 5*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", conn.RemoteAddr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, 5*time.Second, 5*time.Millisecond, "the listener is closed")

	_, err := io.WriteString(conn, rest)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	require.Zero(t, p.ends())
}

// SIGHUP has the keys read again, and it is also what a closed terminal sends:
// a server that was started in one ends with it.
func TestAClosedTerminalEndsTheServer(t *testing.T) {
	_, err := exec.LookPath("script")
	needSystem(t, err == nil, "no script, which gives a program a terminal")
	path, err := binary()
	require.NoError(t, err)
	// Under nohup what is started here would ignore SIGHUP too.
	terminal := exec.CommandContext(t.Context(), "env", "--default-signal=HUP", "script", "-q", "-c", path+" --listen localhost:0", "/dev/null")
	terminal.Dir = t.TempDir()
	out, err := terminal.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, terminal.Start())
	address := ""
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(lines.Text(), "Ctrl-C"); {
		if match := pageLine.FindStringSubmatch(lines.Text()); match != nil {
			address = strings.TrimPrefix(match[1], "http://")
		}
	}
	dial := func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	require.NoError(t, dial())
	require.NoError(t, terminal.Process.Kill())
	require.Eventually(t, func() bool { return dial() != nil }, 10*time.Second, 20*time.Millisecond)
	_ = terminal.Wait()
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0")
	conn, _ := p.halfway()
	defer func() { _ = conn.Close() }()
	p.client("").do("GET", "/readyz", nil).is(http.StatusOK)
	begun := time.Now()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
			return true
		default:
			return false
		}
	}, 5*time.Second, 50*time.Millisecond)
	require.Less(t, time.Since(begun), 5*time.Second, "it does not wait for the request in flight")
}
