package sqlstore_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"statelab/state/store/sqlstore"
	"statelab/state/store/storetest"
)

// What is made in a schema of its own is nowhere else, and leaves with it. Behind a PgBouncer
// that does not hand search_path on there is no such schema: the tables would be made among
// those of others.
func TestASchemaOfItsOwn(t *testing.T) {
	t.Parallel()
	direct := storetest.Database(t)
	conn, err := pgx.Connect(t.Context(), direct)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	schemas := func() (n int) {
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'statelab%'`).Scan(&n))
		return n
	}

	own, drop, err := sqlstore.NewSchema(t.Context(), direct)
	require.NoError(t, err)
	require.Equal(t, 1, schemas())
	inside, err := pgx.Connect(t.Context(), own)
	require.NoError(t, err)
	_, err = inside.Exec(t.Context(), `CREATE TABLE mine (n int)`)
	require.NoError(t, err)
	require.NoError(t, inside.Close(t.Context()))
	_, err = conn.Exec(t.Context(), `SELECT * FROM mine`)
	require.Error(t, err, "others do not see it")
	require.NoError(t, drop())
	require.Zero(t, schemas())

	ignoring := storetest.PgBouncer(t, direct, "ignore_startup_parameters = search_path")
	_, _, err = sqlstore.NewSchema(t.Context(), ignoring.Address)
	require.ErrorContains(t, err, "name the PostgreSQL server itself")
	require.Zero(t, schemas())
	refusing := storetest.PgBouncer(t, direct)
	_, _, err = sqlstore.NewSchema(t.Context(), refusing.Address)
	require.ErrorContains(t, err, "search_path")
	require.Zero(t, schemas())
}
