package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

// Servers that start slowly are shared by the tests of one process. They start when
// the first test needs them, and end with the process: see StopAfter.

// Main runs the tests of a package that uses shared servers:
//
//	func TestMain(m *testing.M) { storetest.Main(m) }
func Main(m *testing.M) { os.Exit(StopAfter(m).Run()) }

// StopAfter returns tests that stop the shared servers, and remove their files,
// after they have run. It is for a package whose TestMain does more:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(storetest.StopAfter(m)) }
//
// Without it or Main there are no shared servers: Postgres is then slower, and
// Database and RedisCluster fail.
func StopAfter(m *testing.M) Tests {
	stops.Store(true)
	return Tests{m}
}

// Tests are the tests of a process.
type Tests struct{ m *testing.M }

// Run runs the tests, and returns the status that the process ends with.
func (t Tests) Run() int {
	defer stopShared()
	return t.m.Run()
}

// stops says whether this process stops what its tests share.
var stops atomic.Bool

// ends are what stops the shared servers.
var ends struct {
	sync.Mutex
	all []func()
}

func atEnd(stop func()) {
	ends.Lock()
	defer ends.Unlock()
	ends.all = append(ends.all, stop)
}

func stopShared() {
	ends.Lock()
	defer ends.Unlock()
	for i := len(ends.all) - 1; i >= 0; i-- {
		ends.all[i]()
	}
	ends.all = nil
}

// needsMain fails a test that would leave a server behind.
func needsMain(t testing.TB) {
	t.Helper()
	if !stops.Load() {
		t.Fatal("add func TestMain(m *testing.M) { storetest.Main(m) } to this package: it stops the servers that its tests share")
	}
}

// template returns a directory with the files of an empty database, for servers to
// copy, since initdb takes a second. It is "" if they must be made for each server.
var template = sync.OnceValue(func() string {
	if !stops.Load() {
		return ""
	}
	dir, err := postgresDir()
	if err != nil {
		return ""
	}
	atEnd(func() { _ = os.RemoveAll(dir) })
	if initDB(dir) != nil {
		return "" // the server that makes its own says why
	}
	return dir
})

// sharedPostgres returns the PostgreSQL server of this process.
var sharedPostgres = sync.OnceValues(func() (*Server, error) {
	// Tests run side by side, each with pools of its own. Autovacuum would look into
	// databases that tests are dropping.
	s, remove, err := newPostgres("max_connections=500", "autovacuum=off")
	if err != nil {
		return nil, err
	}
	atEnd(func() {
		s.quit()
		remove()
	})
	return s, nil
})

var databases atomic.Int64

// Database returns the address of an empty database of the test's own, on a
// PostgreSQL server that all tests of the process share. A test that stops, kills
// or configures the server takes Postgres.
func Database(t testing.TB) string {
	t.Helper()
	needPostgres(t)
	needsMain(t)
	server, err := sharedPostgres()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("test%d", databases.Add(1))
	if err := server.execute("CREATE DATABASE " + name + " TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.execute("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	address, err := url.Parse(server.Address)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	return address.String()
}

// execute runs a statement in the first database of a PostgreSQL server.
func (s *Server) execute(statement string) error {
	ctx := context.Background() // that of a test has ended at its cleanup
	conn, err := pgx.Connect(ctx, s.Address)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// cluster is the Redis cluster of this process, which one test at a time uses.
var cluster sync.Mutex

// sharedCluster starts three servers that are to share the slots of a cluster, and
// returns a function that waits until they do. Redis waits two seconds before the
// nodes of a new cluster accept writes.
var sharedCluster = sync.OnceValue(func() (wait func() (address string, err error)) {
	const nodes, slots = 3, 16384
	ctx := context.Background()
	failed := func(err error) func() (string, error) { return func() (string, error) { return "", err } }
	var addresses []string
	var clients [nodes]*redis.Client
	for i := range nodes {
		s, err := clusterNode()
		if err != nil {
			return failed(err)
		}
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", s.Port))
		clients[i] = redis.NewClient(&redis.Options{Addr: addresses[i]})
		atEnd(func() { _ = clients[i].Close() })
		if err := clients[i].ClusterAddSlotsRange(ctx, i*slots/nodes, (i+1)*slots/nodes-1).Err(); err != nil {
			return failed(err)
		}
		bus, err := clients[i].ConfigGet(ctx, "cluster-port").Result()
		if err != nil {
			return failed(err)
		}
		if err := clients[0].Do(ctx, "CLUSTER", "MEET", "127.0.0.1", s.Port, bus["cluster-port"]).Err(); i > 0 && err != nil {
			return failed(err)
		}
	}
	return sync.OnceValues(func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		for _, c := range clients {
			for {
				info, err := c.ClusterInfo(ctx).Result()
				if strings.Contains(info, "cluster_state:ok") {
					break
				}
				select {
				case <-ctx.Done():
					return "", fmt.Errorf("the cluster does not form: %w %s", err, info)
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
		return "redis://" + strings.Join(addresses, ","), nil
	})
})

// clusterNode starts a server that can join a cluster.
func clusterNode() (s *Server, err error) {
	dir, err := os.MkdirTemp("", "statelab-redis") // it outlives the test
	if err != nil {
		return nil, err
	}
	atEnd(func() { _ = os.RemoveAll(dir) })
	for range tries { // of its two ports newRedis chooses one only
		bus, err := freePort()
		if err != nil {
			return nil, err
		}
		if s, err = newRedis(dir, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus)); err == nil {
			atEnd(s.Kill)
			return s, nil
		}
	}
	return nil, errors.New("no redis-server with a cluster bus starts")
}

// RedisCluster returns the address of an empty Redis cluster of three nodes. The
// tests of a process share it, one after the other.
func RedisCluster(t testing.TB) string {
	t.Helper()
	needRedis(t)
	needsMain(t)
	cluster.Lock()
	t.Cleanup(cluster.Unlock)
	address, err := sharedCluster()()
	if err != nil {
		t.Fatal(err)
	}
	client := redisClient(t, address)
	flush(t, client)
	return address
}

// prepareCluster starts the cluster of the process, if there can be one, so that it
// forms while the test does something else.
func prepareCluster(t testing.TB) {
	if _, err := lookRedis(); err == nil {
		needsMain(t)
		sharedCluster()
	}
}
