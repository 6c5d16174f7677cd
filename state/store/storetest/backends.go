package storetest

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"statelab/state"
	"statelab/state/store"
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

// Each runs a test or a benchmark on every back end, over real servers, in named
// sub-tests, which run side by side in a test. The back ends are tried without the guard around them, whose
// patience a busy machine could exhaust; the guard is tried with real outages.
// The package needs a TestMain: see Main.
//
// A new back end joins with one line.
func Each[T runner[T]](t T, test func(t T, open Open)) {
	t.Helper()
	prepareCluster(t)
	for _, backend := range []struct {
		name string
		open func(t testing.TB) Open
	}{
		{"memory", func(testing.TB) Open { return openMemory }},
		{"sqlite", func(testing.TB) Open { return openSQLite }},
		{"postgres", func(t testing.TB) Open { return openPostgres(Database(t)) }},
		{"redis", func(t testing.TB) Open { return openRedis(Redis(t).Address) }},
		{"redis-cluster", func(t testing.TB) Open { return openRedis(RedisCluster(t)) }},
	} {
		t.Run(backend.name, func(t T) {
			if t, ok := any(t).(*testing.T); ok {
				t.Parallel()
			}
			test(t, backend.open(t))
		})
	}
}

func openMemory(t testing.TB, o store.Options) (state.Store, []Spoil) {
	s := store.NewMemory(o)
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
	db, err := store.OpenDatabase(t.Context(), address)
	must(t, err)
	_, err = db.ExecContext(t.Context(), `DELETE FROM records`)
	must(t, err)
	s := store.NewSQL(db, o)
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
		s, err := store.NewRedis(address, o)
		must(t, err)
		t.Cleanup(func() { must(t, s.Close()) })
		client := redisClient(t, address)
		flush(t, client)
		name := func(k state.Key) string { return "statelab:record:" + k.String() }
		var spoils []Spoil
		for _, garbage := range []string{"\xff", "", "1 9\n", "1 9000000000000000\n{\"v\":1", "1 9000000000000000\n{\"v\":99,\"kind\":\"login\",\"expires\":9e15}"} {
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
