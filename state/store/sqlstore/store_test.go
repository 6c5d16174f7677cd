package sqlstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/sqlstore"
	"statelab/state/store/storetest"
)

func TestDatabasesKeepTheContract(t *testing.T) {
	t.Parallel()
	storetest.Each(t, storetest.Run, "sqlite", "postgres", "pgbouncer")
}

// onDatabases runs a test on an empty database of each kind.
func onDatabases(t *testing.T, test func(t *testing.T, db *sqlstore.Database)) {
	t.Parallel()
	for kind, address := range map[string]func(t *testing.T) string{
		"sqlite": func(t *testing.T) string { return "sqlite:" + t.TempDir() + "/x.db" },
		"postgres": func(t *testing.T) string {
			return storetest.Database(t) + storetest.Patient
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			db, err := sqlstore.OpenDatabase(t.Context(), address(t))
			require.NoError(t, err)
			defer func() { require.NoError(t, db.Close()) }()
			test(t, db)
		})
	}
}

// fill makes n records in one statement: one of so many expires at 1, the others
// at 2, and a hundredth of all belongs to alice.
func fill(t testing.TB, db *sqlstore.Database, n, oneOf int) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `
		WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < `+fmt.Sprint(n)+`)
		INSERT INTO records (key, subject, strategy, issued_at, last_seen, ends_at, revoked, rev, expires, document)
		SELECT substr('0000000000000000000000' || n, -22), CASE n % 100 WHEN 1 THEN 'alice' WHEN 2 THEN '' ELSE 'user' || n END, 'session', n, n, 2, FALSE, 1,
			CASE n % `+fmt.Sprint(oneOf)+` WHEN 0 THEN 1 ELSE 2 END, '{"v":1,"kind":"login","expires":2}' FROM i`)
	require.NoError(t, err)
}

func TestEveryReadIsOneIndexedStatement(t *testing.T) {
	onDatabases(t, func(t *testing.T, db *sqlstore.Database) {
		fill(t, db, 50_000, 100)
		_, err := db.ExecContext(t.Context(), `ANALYZE`)
		require.NoError(t, err)
		explain, scan := "EXPLAIN QUERY PLAN ", "SCAN "
		if db.Kind == "postgres" {
			explain, scan = "EXPLAIN ", "Seq Scan"
		}
		plan := func(query string, args ...any) string {
			rows, err := db.QueryContext(t.Context(), explain+query, args...)
			require.NoError(t, err)
			defer func() { _ = rows.Close() }()
			columns, err := rows.Columns()
			require.NoError(t, err)
			lines := ""
			for rows.Next() {
				line := make([]any, len(columns))
				for i := range line {
					line[i] = new(any)
				}
				require.NoError(t, rows.Scan(line...))
				lines += fmt.Sprintln(*line[len(line)-1].(*any)) // the last column is the text
			}
			require.NoError(t, rows.Err())
			return lines
		}
		require.Contains(t, plan(`SELECT count(document) FROM records`), scan, "a scan is seen")
		key := state.KeyOf("k").String()
		for _, c := range []struct {
			query, index string
			args         []any
		}{
			{sqlstore.LoadRecord, "", []any{key, int64(1)}}, // the primary key's, of which each database has its own name
			{sqlstore.LoadSubject, "records_by_subject", []any{"user1001", int64(1)}},
			{sqlstore.ListLogins, "records_by_subject", []any{"user1001", "session", false, int64(1), 100}},
			{sqlstore.DeleteLogins, "records_by_subject", []any{"user1001", "session", false, int64(1), "", int64(1)}},
			{sqlstore.RevokeLogins, "records_by_subject", []any{"user1001", "session", false, int64(1), "", int64(1), "", "", "", "", ""}},
			{sqlstore.DeleteExpired, "records_by_expiry", []any{int64(1), sqlstore.SweepBatch}},
		} {
			lines := plan(c.query, c.args...)
			require.NotContains(t, lines, scan, "%s\n%s", c.query, lines)
			require.Regexp(t, `(?i)index.*`+c.index, lines, c.query)
		}
	})
}

// A sweep takes several batches, and stops at what lives.
func TestASweepLeavesNothingThatHasExpired(t *testing.T) {
	onDatabases(t, func(t *testing.T, db *sqlstore.Database) {
		s := sqlstore.New(db, store.Options{Now: func() time.Time { return time.UnixMicro(1) }})
		defer func() { require.NoError(t, s.Close()) }()
		const oneOf = 10
		const all, expired = oneOf * (3*sqlstore.SweepBatch + 1), 3*sqlstore.SweepBatch + 1
		fill(t, db, all, oneOf)
		count := func(where string) (n int) {
			require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM records WHERE `+where).Scan(&n))
			return n
		}
		require.Equal(t, expired, count(`expires <= 1`))
		require.NoError(t, s.Sweep(t.Context()))
		require.Zero(t, count(`expires <= 1`))
		require.Equal(t, all-expired, count(`expires > 1`))
	})
}

// A list of logins is as cheap with large states as with small ones: it does not even
// notice that the documents are gone.
func TestAListOfLoginsReadsNoDocument(t *testing.T) {
	onDatabases(t, func(t *testing.T, db *sqlstore.Database) {
		s := sqlstore.New(db, store.Options{})
		defer func() { require.NoError(t, s.Close()) }()
		want := storetest.ThreeLogins(t, s, state.MicrosOf(time.Now()))
		_, err := db.ExecContext(t.Context(), `UPDATE records SET document = ''`)
		require.NoError(t, err)
		got, err := s.Logins(t.Context(), state.LoginQuery{Subject: "alice", Strategy: "session"})
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// How long a sweep keeps others from writing, at a million records of which one
// in a hundred has expired. Run with -benchtime 1x.
func BenchmarkSweepBatch(b *testing.B) {
	for kind, address := range map[string]func() string{
		"sqlite":   func() string { return "sqlite:" + b.TempDir() + "/x.db" },
		"postgres": func() string { return storetest.Database(b) + "&statement_timeout=0" },
	} {
		b.Run(kind, func(b *testing.B) {
			db, err := sqlstore.OpenDatabase(b.Context(), address())
			require.NoError(b, err)
			defer func() { require.NoError(b, db.Close()) }()
			fill(b, db, 1_000_000, 100)
			_, err = db.ExecContext(b.Context(), `ANALYZE`)
			require.NoError(b, err)
			var took []time.Duration
			for b.Loop() {
				for range 10_000 / sqlstore.SweepBatch {
					start := time.Now()
					_, err := db.ExecContext(b.Context(), sqlstore.DeleteExpired, 1, sqlstore.SweepBatch)
					took = append(took, time.Since(start))
					require.NoError(b, err)
				}
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "median-ms")
			b.ReportMetric(took[len(took)-1].Seconds()*1000, "worst-ms")
		})
	}
}
