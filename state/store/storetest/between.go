package storetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Sentinel starts a Sentinel that watches a Redis server under the name "main". The
// lines go to the end of its configuration.
func Sentinel(t testing.TB, of *Server, lines ...string) *Server {
	t.Helper()
	needRedis(t)
	return between(t, func(port int, dir string) (*Server, error) {
		config := fmt.Sprintf("bind 127.0.0.1\nport %d\ndir %s\nlogfile %s/log\nsentinel monitor main 127.0.0.1 %d 1\n%s\n",
			port, dir, dir, of.Port, strings.Join(lines, "\n"))
		path := filepath.Join(dir, "sentinel.conf")
		return &Server{
			Address: fmt.Sprintf("redis://127.0.0.1:%d", port), Port: port, ready: answersPort(port),
			start: func() *exec.Cmd { // it ends in its turn, and not with the test's context
				return exec.CommandContext(context.Background(), "redis-server", path, "--sentinel") //nolint:usetesting,gosec // ours
			},
		}, os.WriteFile(path, []byte(config), 0o600)
	})
}

// PgBouncer starts a PgBouncer in front of the database at an address of Postgres or
// Database, which gives each transaction another connection. The lines go to the end of
// its configuration.
func PgBouncer(t testing.TB, address string, lines ...string) *Server {
	t.Helper()
	program := "/usr/sbin/pgbouncer"
	_, err := os.Stat(program)
	if path, lookErr := exec.LookPath("pgbouncer"); err != nil && lookErr == nil {
		program, err = path, nil
	}
	Need(t, "pgbouncer", err == nil, "install pgbouncer")
	rest, name, _ := strings.Cut(strings.TrimPrefix(address, "postgres://"), "/")
	name, _, _ = strings.Cut(name, "?")
	user, host, _ := strings.Cut(rest, "@")
	_, port, _ := net.SplitHostPort(host)
	return between(t, func(own int, dir string) (*Server, error) {
		config := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%s user=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
logfile = %s/log
%s
`, port, user, own, dir, strings.Join(lines, "\n"))
		path := filepath.Join(dir, "pgbouncer.ini")
		if err := os.WriteFile(path, []byte(config), 0o644); err != nil { // #nosec G306 -- another user reads it
			return nil, err
		}
		return &Server{
			Address: fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", user, own, name), Port: own, ready: answersPort(own),
			start: func() *exec.Cmd { return asPostgres(dir, program, "-q", path) },
		}, nil
	})
}

// between starts a program that stands before a server, in a directory that the user
// whom PostgreSQL runs as may use too, on a free port.
func between(t testing.TB, prepare func(port int, dir string) (*Server, error)) *Server {
	t.Helper()
	dir, err := postgresDir()
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var s *Server
	for range tries {
		var port int
		port, err = freePort()
		must(t, err)
		s, err = prepare(port, dir)
		must(t, err)
		if err = s.begin(); err == nil {
			s.t = t
			t.Cleanup(s.Kill)
			return s
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log")) // #nosec G304 -- ours
	t.Fatalf("%v: %s", err, log)
	return nil
}

// answersPort says whether there is a listener on a port.
func answersPort(port int) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			err = conn.Close()
		}
		return err
	}
}
