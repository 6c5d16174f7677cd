package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Need ends the test if something that it needs is not there: it skips, and
// says what, unless the variable STATELAB_TEST_REQUIRE, a list with commas,
// names it: then it fails.
func Need(t testing.TB, name string, there bool, what string) {
	t.Helper()
	if there {
		return
	}
	if slices.Contains(strings.Split(os.Getenv("STATELAB_TEST_REQUIRE"), ","), name) {
		t.Fatalf("%s is required and not there: %s", name, what)
	}
	t.Skipf("without %s: %s", name, what)
}

// A Server is a server of a test's own, on a port of its own, that the test may
// stop, kill and pause. It ends with the test.
type Server struct {
	Address string // as --store or --database takes it
	Port    int

	start func() *exec.Cmd // the server in the foreground
	ready func(context.Context) error
	cmd   *exec.Cmd
	done  chan struct{}
	t     testing.TB // nil for one that the tests of the process share
}

// tries is how many ports a new server tries. Between FreePort and the start of
// the server another process can take the port.
const tries = 10

// Redis starts a redis-server that keeps nothing on disk unless the arguments
// say otherwise.
func Redis(t testing.TB, args ...string) *Server {
	t.Helper()
	needRedis(t)
	s, err := newRedis(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	s.t = t
	t.Cleanup(s.Kill)
	return s
}

// needRedis ends the test if there is no redis-server.
func needRedis(t testing.TB) {
	t.Helper()
	_, err := lookRedis()
	Need(t, "redis", err == nil, "install redis-server")
}

func lookRedis() (string, error) { return exec.LookPath("redis-server") }

// newRedis starts a redis-server in a directory, on a free port.
func newRedis(dir string, args ...string) (s *Server, err error) {
	for range tries {
		if s, err = redisAt(dir, args...); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func redisAt(dir string, args ...string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{Address: fmt.Sprintf("redis://127.0.0.1:%d", port), Port: port}
	s.start = func() *exec.Cmd {
		return exec.CommandContext(context.Background(), "redis-server", append([]string{ // #nosec G204 -- a server of the tests' own
			"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir, "--save", "", "--appendonly", "no", "--logfile", "redis.log",
		}, args...)...)
	}
	s.ready = func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(time.Second)) //nolint:forbidigo // a real server has the real clock
		if _, err := conn.Write([]byte("PING\r\n")); err != nil {
			return err
		}
		answer := make([]byte, 5)
		// A server that requires a password is ready too.
		if _, err := conn.Read(answer); err != nil || string(answer) != "+PONG" && string(answer) != "-NOAU" {
			return fmt.Errorf("it answers %q: %w", answer, err)
		}
		return nil
	}
	return s, s.begin()
}

// Postgres starts a PostgreSQL server with an empty database, for a test that
// stops, kills or configures it. For all others Database is cheaper.
func Postgres(t testing.TB, settings ...string) *Server {
	t.Helper()
	needPostgres(t)
	s, remove, err := newPostgres(settings...)
	if err != nil {
		t.Fatal(err)
	}
	s.t = t
	t.Cleanup(remove)
	t.Cleanup(s.quit)
	return s
}

// needPostgres ends the test if there is no PostgreSQL, or none that it can start.
func needPostgres(t testing.TB) {
	t.Helper()
	Need(t, "postgres", postgresBin() != "", "install postgresql")
	_, err := postgresUser()
	Need(t, "postgres", err == nil, "root needs a user postgres")
}

// postgresUser returns the user whom PostgreSQL runs as, or nil for the user of
// this process: initdb refuses root.
func postgresUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // no other user
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil // #nosec G115 -- ids
}

// postgresDir makes a directory that PostgreSQL may use.
func postgresDir() (string, error) {
	dir, err := os.MkdirTemp("", "statelab-postgres") // t.TempDir is closed to other users
	if err != nil {
		return "", err
	}
	if u, err := postgresUser(); err != nil || u == nil {
		return dir, err
	} else if err := os.Chown(dir, int(u.Uid), int(u.Gid)); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// asPostgres is a command in a directory, by the user whom PostgreSQL runs as.
func asPostgres(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), name, args...) // #nosec G204 -- a server of the tests' own
	cmd.Dir = dir
	if u, err := postgresUser(); err == nil && u != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: u}
	}
	return cmd
}

// initDB makes the files of an empty database in a directory.
func initDB(dir string) error {
	if out, err := asPostgres(dir, filepath.Join(postgresBin(), "initdb"), "-D", filepath.Join(dir, "data"),
		"-U", "statelab", "-A", "trust", "-N", "--locale=C", "-E", "UTF8", "--wal-segsize=1").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// newPostgres starts a PostgreSQL server with an empty database. The caller
// removes its files when the server has ended.
//
// It does not wait for the disk (fsync=off): tests kill the server and never the
// machine, and the kernel keeps what a killed process has written.
func newPostgres(settings ...string) (s *Server, remove func(), err error) {
	dir, err := postgresDir()
	if err != nil {
		return nil, nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if from := template(); from == "" {
		err = initDB(dir)
	} else if out, failed := asPostgres(dir, "cp", "-a", filepath.Join(from, "data"), dir).CombinedOutput(); failed != nil {
		err = fmt.Errorf("cp: %w: %s", failed, out)
	}
	for range tries {
		if err != nil {
			break
		}
		if s, err = postgresAt(dir, settings...); err == nil {
			return s, remove, nil
		}
		log, _ := os.ReadFile(filepath.Join(dir, "log")) // #nosec G304 -- ours
		if !strings.Contains(string(log), "could not bind") {
			err = fmt.Errorf("%w: %s", err, log)
			break
		}
		err = nil
	}
	remove()
	return nil, nil, cmp.Or(err, errors.New("each free port was taken before PostgreSQL could listen on it"))
}

func postgresAt(dir string, settings ...string) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{Address: fmt.Sprintf("postgres://statelab@127.0.0.1:%d/postgres?sslmode=disable", port), Port: port}
	s.start = func() *exec.Cmd {
		args := []string{"-D", filepath.Join(dir, "data"), "-p", strconv.Itoa(port), "-k", dir}
		for _, setting := range append([]string{"listen_addresses=127.0.0.1", "fsync=off"}, settings...) {
			args = append(args, "-c", setting)
		}
		cmd := asPostgres(dir, filepath.Join(postgresBin(), "postgres"), args...)
		if log, err := os.Create(filepath.Join(dir, "log")); err == nil { // #nosec G304 -- ours
			cmd.Stderr = log
		}
		return cmd
	}
	s.ready = func(ctx context.Context) error {
		ask := filepath.Join(postgresBin(), "pg_isready")
		return exec.CommandContext(ctx, ask, "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run() // #nosec G204 -- as above
	}
	return s, s.begin()
}

// postgresBin is where PostgreSQL keeps its programs, or "".
func postgresBin() string {
	// Debian keeps them off the path, one folder for each version.
	if all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(all) > 0 {
		return filepath.Dir(all[len(all)-1])
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	return ""
}

// FreePort returns a port of 127.0.0.1 that nothing listens on, another one each time.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// The ports that freePort looks at. The system gives none of these to a connection or a
// listener that may have any, so none is taken between freePort and its use.
const firstPort, ports = 20_000, 10_000

// lookedAt counts the ports that this process has looked at.
var lookedAt atomic.Int64

func freePort() (port int, err error) {
	for range ports {
		// From a place of this process's own: tests of several packages run at once.
		port = firstPort + int((int64(os.Getpid())*101+lookedAt.Add(1))%ports)
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// Start starts the server, with the data that it had, and waits until it
// answers.
func (s *Server) Start() {
	s.t.Helper()
	if err := s.begin(); err != nil {
		s.t.Fatal(err)
	}
}

// patience is how long a server may take to start. It ends the wait for one that
// hangs, and decides nothing else.
const patience = 2 * time.Minute

// begin starts the server and waits until it answers. If it does not, it has ended
// when begin returns an error.
func (s *Server) begin() error {
	s.cmd, s.done = s.start(), make(chan struct{})
	err := s.cmd.Start()
	if log, ok := s.cmd.Stderr.(*os.File); ok {
		_ = log.Close() // the server has its own
	}
	if err != nil {
		return err
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(s.cmd, s.done)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := s.ready(ctx)
		select {
		case <-s.done:
			// What has answered, if anything has, is another server on the port.
			return fmt.Errorf("%s ended at its start", s.cmd.Path)
		default:
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			s.Kill()
			return fmt.Errorf("%s does not answer: %w", s.cmd.Path, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Kill ends the server at once, as a power switch would. It is no error if it
// has ended.
func (s *Server) Kill() {
	s.Pause() // so that it starts no child meanwhile
	children := s.children()
	for _, pid := range append(children, s.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.done
	// A child that is still ending would keep PostgreSQL from starting again.
	for _, child := range children {
		for range 10_000 {
			if syscall.Kill(child, 0) != nil {
				break
			}
			<-time.After(time.Millisecond)
		}
	}
}

// Stop ends the server in its own way: SIGINT, which PostgreSQL calls a fast
// shutdown.
func (s *Server) Stop() {
	_ = s.cmd.Process.Signal(syscall.SIGINT)
	<-s.done
}

// quit ends a PostgreSQL server at once and in order: a killed one would leave a
// segment of shared memory behind, of which the kernel has 4096.
func (s *Server) quit() {
	s.Resume()
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-s.done:
	case <-time.After(10 * time.Second): // a child may have been stopped beside us
		s.Kill()
	}
}

// Pause stops the server, children included, from answering; its connections
// stay open.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// signal sends a signal to the server and its children.
func (s *Server) signal(sig syscall.Signal) {
	_ = s.cmd.Process.Signal(sig)
	for _, child := range s.children() {
		_ = syscall.Kill(child, sig)
	}
}

// children are the processes that the server has started, of which the kernel
// tells reliably while it is stopped.
func (s *Server) children() (ids []int) {
	pid := s.cmd.Process.Pid
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, child := range strings.Fields(string(text)) {
		if id, err := strconv.Atoi(child); err == nil {
			ids = append(ids, id)
		}
	}
	return ids
}
