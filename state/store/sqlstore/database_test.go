package sqlstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3/lock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"statelab/state/store/sqlstore"
	"statelab/state/store/storetest"
)

func TestTheDatabaseSaysWhatIsWrongWithItsPlace(t *testing.T) {
	t.Parallel()
	for address, says := range map[string]string{
		"mysql://u:sesame@host/db":       "sqlite:PATH",
		"postgres://u:sesame@host:x/db":  "sqlite:PATH",
		"sqlite:":                        "sqlite:PATH",
		"sqlite:" + t.TempDir() + "/a/b": "/a",
		"nonsense":                       "sqlite:PATH",
	} {
		_, err := sqlstore.OpenDatabase(t.Context(), address)
		require.ErrorContains(t, err, says, address)
		require.NotContains(t, err.Error(), "sesame")
	}
}

func TestOddFileNamesAreFileNames(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/a b?c#d%41.db"
	for range 2 { // the second time it exists
		db, err := sqlstore.OpenDatabase(t.Context(), "sqlite:"+path)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		require.FileExists(t, path)
	}
}

// The database asks for the lock once a second, so this test takes a second.
func TestADatabaseWaitsForTheNodeThatMigrates(t *testing.T) {
	t.Parallel()
	address := storetest.Database(t) + storetest.Patient
	other, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Close(context.WithoutCancel(t.Context()))) }()
	_, err = other.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, lock.DefaultLockID)
	require.NoError(t, err)

	opened := make(chan *sqlstore.Database)
	go func() {
		db, err := sqlstore.OpenDatabase(t.Context(), address)
		assert.NoError(t, err)
		opened <- db
	}()
	require.Eventually(t, func() bool {
		var asked bool
		err := other.QueryRow(t.Context(),
			`SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database()
				AND query LIKE '%pg_try_advisory_xact_lock%' AND state = 'idle in transaction'`).Scan(&asked)
		return err == nil && asked
	}, time.Minute, 10*time.Millisecond, "it does not ask")
	_, err = other.Exec(t.Context(), `SELECT pg_advisory_unlock($1)`, lock.DefaultLockID)
	require.NoError(t, err)
	db := <-opened
	defer func() { require.NoError(t, db.Close()) }()
	var version int
	require.NoError(t, other.QueryRow(t.Context(), `SELECT max(version_id) FROM records_version`).Scan(&version))
	require.Positive(t, version, "it is up to date before its first use")
}

// A database that another version has made is refused at once: a server over it would
// start, and fail at each login.
func TestTablesOfAnotherVersionAreRefused(t *testing.T) {
	t.Parallel()
	for kind, address := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + t.TempDir() + "/x.db" },
		"postgres": func(t *testing.T) string { return storetest.Database(t) + storetest.Patient },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			address := address(t)
			for _, change := range []string{`SELECT 1`, `ALTER TABLE records RENAME COLUMN strategy TO slug`} {
				db, err := sqlstore.OpenDatabase(t.Context(), address)
				require.NoError(t, err)
				_, err = db.ExecContext(t.Context(), change)
				require.NoError(t, err)
				require.NoError(t, db.Close())
			}
			_, err := sqlstore.OpenDatabase(t.Context(), address)
			require.ErrorIs(t, err, sqlstore.ErrOtherTables)
		})
	}
}
