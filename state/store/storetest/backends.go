package storetest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/redisstore"
	"statelab/state/store/sqlstore"
)

// Open opens an empty store that judges expiry by o.Now and closes when the
// test ends. Besides, it returns the ways in which somebody with access to the
// back end can spoil a record; there are none where it is in the process.
type Open func(t testing.TB, o store.Options) (state.Store, []Spoil)

// Spoil makes garbage of the record under a key.
type Spoil func(t testing.TB, k state.Key)

// A runner is a test or a benchmark.
type runner[T any] interface {
	testing.TB
	Run(name string, f func(T)) bool
}

// A backEnd is a store to test, over a real server if it needs one.
type backEnd struct {
	name string
	open func(t testing.TB) Open
}

// backEnds are all of them. A new one joins with one line, and with a test beside it that
// runs the suite on it.
var backEnds = []backEnd{
	{"memory", func(testing.TB) Open { return openMemory }},
	{"sqlite", func(testing.TB) Open { return openSQLite }},
	{"postgres", func(t testing.TB) Open { return openPostgres(Database(t)) }},
	{"pgbouncer", func(t testing.TB) Open { return openPostgres(PgBouncer(t, Database(t)).Address) }},
	{"redis", func(t testing.TB) Open { return openRedis(Redis(t).Address) }},
	{clusterName, func(t testing.TB) Open { return openRedis(RedisCluster(t)) }},
}

// clusterName is the name of the back end that is slow to start.
const clusterName = "redis-cluster"

// Each runs a test or a benchmark on the named back ends, or on every one if none is
// named, over real servers, in sub-tests of these names, which run side by side in a test.
// An unknown name fails the test. The back ends are tried without the guard around them,
// whose patience a busy machine could exhaust; the guard is tried with real outages. A
// package that tests postgres or redis-cluster needs a TestMain: see Main.
func Each[T runner[T]](t T, test func(t T, open Open), names ...string) {
	t.Helper()
	chosen := choose(t, names)
	if slices.ContainsFunc(chosen, func(b backEnd) bool { return b.name == clusterName }) {
		prepareCluster(t)
	}
	for _, b := range chosen {
		t.Run(b.name, func(t T) {
			if t, ok := any(t).(*testing.T); ok {
				t.Parallel()
			}
			test(t, b.open(t))
		})
	}
}

// choose returns the named back ends, or all if none is named.
func choose(t testing.TB, names []string) []backEnd {
	t.Helper()
	if len(names) == 0 {
		return backEnds
	}
	chosen := make([]backEnd, 0, len(names))
	for _, name := range names {
		i := slices.IndexFunc(backEnds, func(b backEnd) bool { return b.name == name })
		if i < 0 {
			t.Fatalf("there is no back end %s", name)
		}
		chosen = append(chosen, backEnds[i])
	}
	return chosen
}

func openMemory(t testing.TB, o store.Options) (state.Store, []Spoil) {
	s := memory.New(o)
	t.Cleanup(func() { must(t, s.Close()) })
	return s, nil
}

func openSQLite(t testing.TB, o store.Options) (state.Store, []Spoil) {
	return openSQL(t, "sqlite:"+t.TempDir()+"/x.db", o, `'{"v":1'`, `''`, `'null'`, `'{"v":99,"kind":"login","expires":9e15}'`, `x'ff00'`)
}

// Patient makes the address of a PostgreSQL database one that may take its time, for
// a machine that is busy. In service it may take one second and a half.
const Patient = "&connect_timeout=600&statement_timeout=600000"

func openPostgres(address string) Open {
	return func(t testing.TB, o store.Options) (state.Store, []Spoil) {
		return openSQL(t, address+Patient, o,
			`'{"v":1'`, `''`, `'null'`, `'{"v":99,"kind":"login","expires":9e15}'`)
	}
}

// openSQL empties the database at the address and opens a store in it. Its
// documents can be spoiled by each of the literals.
func openSQL(t testing.TB, address string, o store.Options, garbage ...string) (state.Store, []Spoil) {
	db, err := sqlstore.OpenDatabase(t.Context(), address)
	must(t, err)
	_, err = db.ExecContext(t.Context(), `DELETE FROM records`)
	must(t, err)
	s := sqlstore.New(db, o)
	t.Cleanup(func() {
		must(t, s.Close())
		must(t, db.Close())
	})
	var spoils []Spoil
	for _, literal := range garbage {
		spoils = append(spoils, func(t testing.TB, k state.Key) {
			result, err := db.ExecContext(t.Context(), `UPDATE records SET document = `+literal+` WHERE key = $1`, k.String()) // #nosec G202 -- ours
			must(t, err)
			if n, err := result.RowsAffected(); n != 1 || err != nil {
				t.Fatalf("%d records are spoiled: %v", n, err)
			}
		})
	}
	return s, spoils
}

// openRedis empties the servers at the address for each store.
func openRedis(address string) Open {
	return func(t testing.TB, o store.Options) (state.Store, []Spoil) {
		o.Patience = patience
		s, err := redisstore.New(address, o)
		must(t, err)
		t.Cleanup(func() { must(t, s.Close()) })
		client := redisClient(t, address)
		flush(t, client)
		name := func(k state.Key) string { return "statelab:record:" + k.String() }
		var spoils []Spoil
		for _, garbage := range []string{
			"\xff", "", "1 9\n", "1 9000000000000000\n{\"v\":1",
			"1 9000000000000000\n{\"v\":99,\"kind\":\"login\",\"expires\":9e15}",
		} {
			spoils = append(spoils, func(t testing.TB, k state.Key) { must(t, client.Set(t.Context(), name(k), garbage, 0).Err()) })
		}
		return s, append(spoils, func(t testing.TB, k state.Key) { // of another type
			must(t, client.Del(t.Context(), name(k)).Err())
			must(t, client.LPush(t.Context(), name(k), "x").Err())
		})
	}
}

// redisClient returns a client of the servers at an address of the test's own.
func redisClient(t testing.TB, address string) redis.UniversalClient {
	client := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: strings.Split(strings.TrimPrefix(address, "redis://"), ",")})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// flush empties the servers of a client.
func flush(t testing.TB, client redis.UniversalClient) {
	t.Helper()
	if cluster, ok := client.(*redis.ClusterClient); ok {
		must(t, cluster.ForEachMaster(t.Context(), func(ctx context.Context, c *redis.Client) error { return c.FlushDB(ctx).Err() }))
		return
	}
	must(t, client.FlushDB(t.Context()).Err())
}
