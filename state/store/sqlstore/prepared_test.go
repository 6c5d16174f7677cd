package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/sqlstore"
	"statelab/state/store/storetest"
)

func openFile(t *testing.T, path string) *sqlstore.Database {
	t.Helper()
	db, err := sqlstore.OpenDatabase(t.Context(), "sqlite:"+path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestConnectionsToSQLiteAreKept(t *testing.T) {
	t.Parallel()
	db := openFile(t, t.TempDir()+"/x.db")
	for range 3 {
		var all []*sql.Conn
		for range 16 {
			c, err := db.Conn(t.Context())
			require.NoError(t, err)
			all = append(all, c)
		}
		for _, c := range all {
			require.NoError(t, c.Close())
		}
	}
	// The checkpoint that runs beside may have opened one more. Without the pool it would be dozens.
	require.LessOrEqual(t, db.Stats().MaxIdleClosed, int64(3), "connections were closed and have to be opened again")
}

// A database in memory is its one connection, by the clock of the bubble for a day.
func TestADatabaseInMemoryIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, err := sqlstore.OpenDatabase(t.Context(), "sqlite::memory:")
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		fill(t, db, 3, 100)
		<-time.After(24 * time.Hour)
		var n int
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM records`).Scan(&n))
		require.Equal(t, 3, n)
	})
}

func TestAReadWaitsForTheConnectionAsLongAsItsContext(t *testing.T) {
	t.Parallel()
	db, err := sqlstore.OpenDatabase(t.Context(), "sqlite::memory:")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	s := sqlstore.New(db, store.Options{})
	defer func() { require.NoError(t, s.Close()) }()
	k := state.KeyOf("k")
	require.NoError(t, s.Create(t.Context(), k, storetest.Record(state.KindLogin, "alice", state.MicrosOf(time.Now()).Add(time.Hour))))
	tx, err := db.BeginTx(t.Context(), nil) // takes the connection
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = s.Load(ctx, k)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, tx.Rollback())
	_, err = s.Load(t.Context(), k)
	require.NoError(t, err)
}

func TestAStatementRunsWhileItsRowsAreRead(t *testing.T) {
	t.Parallel()
	db := openFile(t, t.TempDir()+"/x.db")
	fill(t, db, 4, 100)
	tx, err := db.BeginTx(t.Context(), nil) // one connection
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback()) }()
	const keys = `SELECT key FROM records ORDER BY key`
	outer, err := tx.QueryContext(t.Context(), keys)
	require.NoError(t, err)
	defer func() { require.NoError(t, outer.Close()) }()
	n := 0
	for outer.Next() {
		var first string
		require.NoError(t, tx.QueryRowContext(t.Context(), keys).Scan(&first))
		require.Equal(t, fmt.Sprintf("%022d", 1), first)
		n++
	}
	require.NoError(t, outer.Err())
	require.Equal(t, 4, n, "the outer rows go on")
}

func TestStatementsOutliveAChangeOfTheTables(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/x.db"
	db, other := openFile(t, path), openFile(t, path)
	count := func() (n int) {
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM records`).Scan(&n))
		return n
	}
	require.Zero(t, count())
	fill(t, other, 3, 100)
	_, err := other.ExecContext(t.Context(), `ALTER TABLE records ADD COLUMN extra TEXT`)
	require.NoError(t, err)
	require.Equal(t, 3, count())
	for i := range 300 { // more than a connection keeps
		var n int
		require.NoError(t, db.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT %d`, i)).Scan(&n))
		require.Equal(t, i, n)
	}
}

// A round trip is what a client sends before it hears something.
func TestAReadIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	for kind, address := range map[string]func() string{
		"postgres":  func() string { return storetest.Database(t) + storetest.Patient },
		"pgbouncer": func() string { return storetest.PgBouncer(t, storetest.Database(t)).Address },
	} {
		t.Run(kind, func(t *testing.T) {
			u, err := url.Parse(address())
			require.NoError(t, err)
			var trips atomic.Int64
			u.Host = counting(t, u.Host, &trips)
			db, err := sqlstore.OpenDatabase(t.Context(), u.String())
			require.NoError(t, err)
			defer func() { require.NoError(t, db.Close()) }()
			db.SetMaxOpenConns(1)
			s := sqlstore.New(db, store.Options{})
			defer func() { require.NoError(t, s.Close()) }()
			k := state.KeyOf("k")
			require.NoError(t, s.Create(t.Context(), k, storetest.Record(state.KindLogin, "alice", state.MicrosOf(time.Now()).Add(time.Hour))))
			_, err = s.Load(t.Context(), k) // which prepares the statement
			require.NoError(t, err)
			least := int64(math.MaxInt64)
			for range 3 { // on a busy machine the driver checks a connection that was idle for a second
				before := trips.Load()
				for range 10 {
					_, err := s.Load(t.Context(), k)
					require.NoError(t, err)
				}
				least = min(least, trips.Load()-before)
			}
			require.Equal(t, int64(10), least)
		})
	}
}

// counting returns the address of a line to a server that counts what clients send.
func counting(t *testing.T, server string, trips *atomic.Int64) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var lines sync.WaitGroup
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		lines.Wait()
	})
	lines.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil { // the test has ended
				return
			}
			upstream, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			lines.Go(func() { _, _ = io.Copy(client, upstream); _ = client.Close() })
			lines.Go(func() { _, _ = io.Copy(counter{upstream, trips}, client); _ = upstream.Close() })
		}
	})
	return listener.Addr().String()
}

// A counter counts what is written through it.
type counter struct {
	io.Writer
	n *atomic.Int64
}

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(1)
	return c.Writer.Write(b)
}
