package harness

import (
	"bufio"
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
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/state"
)

// Throw sends bytes as they are and returns what comes back until the program
// closes. It may do so before it has read them all, so that nobody is heard to
// the end; an answer can get lost then.
func (p *Process) Throw(text io.Reader) (back string, sent int64) {
	p.T.Helper()
	conn := p.Connect()
	defer func() { _ = conn.Close() }()
	var writing sync.WaitGroup
	writing.Go(func() { sent, _ = io.Copy(conn, text) })
	all, _ := io.ReadAll(conn)
	_ = conn.Close()
	writing.Wait()
	return string(all), sent
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s*(\d+) kB$`)

// Peak is the most memory that the program has ever held, in MiB.
func (p *Process) Peak() int {
	p.T.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	require.NoError(p.T, err)
	match := highWater.FindSubmatch(text)
	require.NotNil(p.T, match)
	kib, err := strconv.Atoi(string(match[1]))
	require.NoError(p.T, err)
	return kib >> 10
}

// Descriptors is how many files and connections the program has open.
func (p *Process) Descriptors() int {
	p.T.Helper()
	return Descriptors(p.T, p.Cmd.Process.Pid)
}

// SignIn sends a sign-in, with more headers, and returns a function that waits
// for its answer, which has to be a whole one.
func (p *Process) SignIn(username, password, more string) func() (status int, code string) {
	p.T.Helper()
	conn := p.Connect()
	body, err := json.Marshal(Credentials(username, password))
	require.NoError(p.T, err)
	_, err = fmt.Fprintf(conn, "POST /session/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", len(body), more, body)
	require.NoError(p.T, err)
	return func() (int, string) {
		p.T.Helper()
		defer func() { _ = conn.Close() }()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(p.T, err)
		defer func() { _ = resp.Body.Close() }()
		var back struct {
			Code string `json:"code"`
		}
		require.NoError(p.T, json.UnmarshalRead(resp.Body, &back))
		return resp.StatusCode, back.Code
	}
}

// While makes visits of somebody who is logged in, one after the other, until
// others are done, and requires each one to be answered promptly.
func (c *Client) While(others func()) {
	c.T.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		others()
	}()
	var took []time.Duration
	pace := time.NewTicker(5 * time.Millisecond) // of one client; what is left of the machine is for the others
	defer pace.Stop()
	for done := false; !done; <-pace.C {
		a := c.Get("profile").Is(http.StatusOK)
		took = append(took, a.Took)
		select {
		case <-over:
			done = true
		default:
		}
	}
	slices.Sort(took)
	c.T.Logf("%d visits meanwhile: median %s, p99 %s, slowest %s", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	require.Less(c.T, took[len(took)-1], Prompt)
}

// Account runs statelab account beside the server and returns what it prints.
func (p *Process) Account(stdin string, args ...string) string {
	p.T.Helper()
	cmd := Command(p.T, p.Cmd.Dir, nil, append([]string{"account", "--database", "sqlite:" + filepath.Join(p.Cmd.Dir, "statelab-classroom.db")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	require.NoError(p.T, err, "%s", out)
	return string(out)
}

// Everywhere returns a client of each strategy that has logged in.
func (p *Process) Everywhere(username, password string) []*Client {
	p.T.Helper()
	var all []*Client
	for _, slug := range Strategies {
		if Promises()[slug].Mount == state.MountLessons {
			continue // what an operator does, it does not hear of
		}
		c := p.Client(slug)
		c.Post("login", Credentials(username, password)).Is(http.StatusOK)
		all = append(all, c)
	}
	return all
}

// built is where released has put the program; Main removes it.
var built string

// released is the program as it is released, built once for the run.
var released = sync.OnceValues(func() (string, error) {
	var err error
	if built, err = os.MkdirTemp("", "statelab"); err != nil {
		return "", err
	}
	if err := os.Chmod(built, 0o755); err != nil { // other users run it too
		return "", err
	}
	path := filepath.Join(built, "statelab")
	if out, err := exec.Command("go", "build", "-o", path, Root(".")).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// A Process is a running statelab.
type Process struct {
	T      *testing.T
	Cmd    *exec.Cmd
	out    io.Reader
	Banner string
	Base   string
	Log    *SyncBuffer
	Canary *canary
	Done   chan struct{} // closed when it has ended
}

// PageLine matches the line in which a program says where it serves.
var PageLine = regexp.MustCompile(`page\s+(https?://\S+:\d+)`)

// Command prepares the program to run in dir, with nothing in its environment
// but what is given. It is this test binary, which runs the same command line with a
// cheap hasher and what the test draws; see Main.
func Command(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return prepared(t, path, dir, append([]string{Patience(t, Brisk())}, env...), args)
}

// ReleasedCommand is Command for the program as it is released.
func ReleasedCommand(t *testing.T, dir string, env []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := released()
	require.NoError(t, err)
	return prepared(t, path, dir, env, args)
}

func prepared(t *testing.T, path, dir string, env, args []string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), path, args...) // #nosec G204 -- statelab
	// Without an attacker, unless a test asks for one: programs that start side by side would compete for its port.
	cmd.Dir, cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH"), "STATELAB_ATTACKER=none"}, env...)
	return cmd
}

// Script returns the path of a script that runs what Command runs, for a shell.
func Script(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "statelab")
	text := fmt.Sprintf("#!/bin/sh\nexport '%s' STATELAB_ATTACKER=none\nexec '%s' \"$@\"\n", Patience(t, Brisk()), program)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o700)) // #nosec G306 -- it is to be run
	return path
}

// StartReleased is Start for the program as it is released.
func StartReleased(t *testing.T, dir string, env []string, args ...string) *Process {
	t.Helper()
	p := Launch(t, ReleasedCommand(t, dir, env, args...))
	p.Serves()
	return p
}

// Start runs the program until it has said where it serves. It ends with the
// test.
func Start(t *testing.T, dir string, env []string, args ...string) *Process {
	t.Helper()
	p := Launch(t, Command(t, dir, env, args...))
	p.Serves()
	return p
}

// Launch starts a prepared program and does not wait for it. It ends with the
// test.
func Launch(t *testing.T, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{T: t, Cmd: cmd, Log: new(SyncBuffer), Canary: newCanary(nil), Done: make(chan struct{})}
	out, err := p.Cmd.StdoutPipe()
	require.NoError(t, err)
	p.out = out
	if p.Cmd.Stderr == nil {
		p.Cmd.Stderr = p.Log
	}
	require.NoError(t, p.Cmd.Start())
	t.Cleanup(func() {
		_ = p.Cmd.Process.Kill()
		if p.Base != "" {
			p.Ends() // then its log is complete
			require.Empty(t, p.Canary.Leaks(p.Log.String()), "a credential is in the log")
		}
	})
	return p
}

// Serves waits until the program has said where it serves.
func (p *Process) Serves() {
	p.T.Helper()
	lines := bufio.NewScanner(p.out)
	for lines.Scan() {
		p.Banner += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "Ctrl-C") {
			break
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, p.out)
		_ = p.Cmd.Wait()
		close(p.Done)
	}()
	match := PageLine.FindStringSubmatch(p.Banner)
	if match == nil {
		p.Ends() // then its log is complete
	}
	require.NotNil(p.T, match, "%s%s", p.Banner, p.Log)
	p.Base = match[1]
}

// Logs waits until the program has written these words to its log.
func (p *Process) Logs(words string) {
	p.T.Helper()
	require.Eventually(p.T, func() bool { return strings.Contains(p.Log.String(), words) }, time.Minute, 10*time.Millisecond, words)
}

// Client returns a client of the running program.
func (p *Process) Client(slug string) *Client {
	return (&Server{URL: p.Base, Canary: p.Canary}).Client(p.T, slug)
}

// Ends waits for the program to end and returns its exit status.
func (p *Process) Ends() int {
	p.T.Helper()
	select {
	case <-p.Done:
		return p.Cmd.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		p.T.Fatal("it does not end")
		return -1
	}
}

// Connect opens a connection to the program, for a minute at most. It ends with
// the test.
func (p *Process) Connect() *net.TCPConn {
	p.T.Helper()
	address := strings.TrimPrefix(p.Base, "http://")
	conn, err := net.Dial("tcp", strings.Replace(address, "localhost", "127.0.0.1", 1))
	require.NoError(p.T, err)
	p.T.Cleanup(func() { _ = conn.Close() })
	require.NoError(p.T, conn.SetDeadline(time.Now().Add(time.Minute)))
	return conn.(*net.TCPConn)
}

// Halfway sends a login up to the middle of its body.
func (p *Process) Halfway() (net.Conn, string) {
	p.T.Helper()
	conn := p.Connect()
	body := `{"username":"alice","password":"wonderland"}`
	_, err := fmt.Fprintf(conn, "POST /session/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		len(body), body[:10])
	require.NoError(p.T, err)
	return conn, body[10:]
}

// At returns a copy of the client that asks this node.
func (c *Client) At(p *Process) *Client {
	d := c.Copy()
	d.Server = &Server{URL: p.Base}
	return d
}

// Logged ends the program in its own way and returns what it has logged.
func (p *Process) Logged() string {
	p.T.Helper()
	require.NoError(p.T, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(p.T, p.Ends())
	return p.Log.String()
}
