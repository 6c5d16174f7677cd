package storetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
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
	Address string // as store.Open or store.OpenDatabase takes it
	Port    int

	t     testing.TB
	start func() *exec.Cmd // the server in the foreground
	ready func(context.Context) error
	cmd   *exec.Cmd
	done  chan struct{}
}

// Redis starts a redis-server that keeps nothing on disk unless the arguments
// say otherwise.
func Redis(t testing.TB, args ...string) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	Need(t, "redis", err == nil, "install redis-server")
	port, dir := FreePort(t), t.TempDir()
	s := &Server{Address: fmt.Sprintf("redis://127.0.0.1:%d", port), Port: port, t: t}
	s.start = func() *exec.Cmd {
		return exec.CommandContext(t.Context(), path, append([]string{ // #nosec G204 -- a server of the test's own
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
		// One that wants a password first is there too.
		if _, err := conn.Read(answer); err != nil || string(answer) != "+PONG" && string(answer) != "-NOAU" {
			return fmt.Errorf("it answers %q: %w", answer, err)
		}
		return nil
	}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// RedisCluster starts three servers that share the slots of a cluster, and
// returns its address.
func RedisCluster(t testing.TB) string {
	t.Helper()
	const nodes, slots = 3, 16384
	var addresses []string
	var clients [nodes]*redis.Client
	var buses [nodes]int
	for i := range nodes {
		buses[i] = FreePort(t)
		s := Redis(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(buses[i]))
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", s.Port))
		clients[i] = redis.NewClient(&redis.Options{Addr: addresses[i]})
		defer func() { _ = clients[i].Close() }()
		if err := clients[i].ClusterAddSlotsRange(t.Context(), i*slots/nodes, (i+1)*slots/nodes-1).Err(); err != nil {
			t.Fatal(err)
		}
		if err := clients[0].Do(t.Context(), "CLUSTER", "MEET", "127.0.0.1", s.Port, buses[i]).Err(); i > 0 && err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, c := range clients {
		for {
			info, err := c.ClusterInfo(ctx).Result()
			if strings.Contains(info, "cluster_state:ok") {
				break
			}
			select {
			case <-ctx.Done():
				t.Fatalf("the cluster does not form: %v %s", err, info)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return "redis://" + strings.Join(addresses, ",")
}

// Postgres starts a PostgreSQL server with an empty database.
func Postgres(t testing.TB, settings ...string) *Server {
	t.Helper()
	bin := postgresBin()
	Need(t, "postgres", bin != "", "install postgresql")
	dir, err := os.MkdirTemp("", "statelab-postgres") //nolint:usetesting // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), name, args...) // #nosec G204 -- a server of the test's own
		cmd.Dir = dir
		return cmd
	}
	if os.Getuid() == 0 { // initdb refuses root
		u, err := user.Lookup("postgres")
		Need(t, "postgres", err == nil, "root needs a user postgres")
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		plain := as
		as = func(name string, args ...string) *exec.Cmd {
			cmd := plain(name, args...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}} // #nosec G115 -- ids
			return cmd
		}
	}
	data := filepath.Join(dir, "data")
	if out, err := as(filepath.Join(bin, "initdb"), "-D", data, "-U", "statelab", "-A", "trust", "-N", "--locale=C", "-E", "UTF8").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	port := FreePort(t)
	s := &Server{Address: fmt.Sprintf("postgres://statelab@127.0.0.1:%d/postgres?sslmode=disable", port), Port: port, t: t}
	s.start = func() *exec.Cmd {
		args := []string{"-D", data, "-p", strconv.Itoa(port), "-k", dir, "-c", "listen_addresses=127.0.0.1"}
		for _, setting := range settings {
			args = append(args, "-c", setting)
		}
		return as(filepath.Join(bin, "postgres"), args...)
	}
	s.ready = func(ctx context.Context) error {
		return exec.CommandContext(ctx, filepath.Join(bin, "pg_isready"), "-h", "127.0.0.1", "-p", strconv.Itoa(port)).Run() // #nosec G204 -- as above
	}
	s.Start()
	t.Cleanup(s.Kill)
	return s
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

// FreePort returns a port of 127.0.0.1 that nothing listens on.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Start starts the server, with the data that it had, and waits until it
// answers.
func (s *Server) Start() {
	s.t.Helper()
	s.cmd, s.done = s.start(), make(chan struct{})
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(s.cmd, s.done)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for s.ready(ctx) != nil {
		select {
		case <-s.done:
			s.t.Fatalf("%s ended at its start", s.cmd.Path)
		case <-ctx.Done():
			s.t.Fatalf("%s does not answer", s.cmd.Path)
		case <-time.After(20 * time.Millisecond):
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
