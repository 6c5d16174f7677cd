package fault

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// Behind a PgBouncer that gives each transaction another session, statelab needs no
// parameter of its own, also with one that ignores statement_timeout instead of refusing it.
func TestAPostgresBehindPgBouncer(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"refuses statement_timeout": nil,
		"ignores statement_timeout": {"ignore_startup_parameters = statement_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct := storetest.Database(t)
			address := storetest.PgBouncer(t, direct, lines...).Address
			dir := t.TempDir()
			args := []string{"--listen", "localhost:0", "--store", "database", "--database", address, "--keys", dir + "/keys.json"}
			var nodes [2]*harness.Process
			for i := range nodes {
				nodes[i] = harness.Start(t, dir, nil, args...)
			}
			var all sync.WaitGroup
			for _, p := range nodes {
				for _, slug := range []string{"session", "token"} {
					c := p.Client(slug)
					c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
					c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
					c.Renew().Is(http.StatusOK)
					for range 10 {
						all.Go(func() {
							for range 4 {
								c.Get("profile").Is(http.StatusOK)
							}
						})
					}
				}
			}
			all.Wait()
			c := nodes[1].Client("session")
			c.Post("login", harness.Credentials(harness.Bob, harness.BobPassword)).Is(http.StatusOK)
			c.At(nodes[0]).Post("logout", nil).Is(http.StatusNoContent)
			c.Get("profile").Is(http.StatusUnauthorized)
			nodes[0].Client("").Costs("none", 4321).Is(http.StatusOK)
			require.EqualValues(t, 4321, nodes[1].Client("").Catalog("none").Price())

			conn, err := pgx.Connect(t.Context(), direct)
			require.NoError(t, err)
			defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
			var locks int
			require.NoError(t, conn.QueryRow(t.Context(),
				`SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database AND datname = current_database() WHERE locktype = 'advisory'`).Scan(&locks))
			require.Zero(t, locks, "a lock that is left in a session of the pool")
		})
	}
}

// A PgBouncer that comes and goes is an outage as any other one.
func TestAPgBouncerThatIsDown(t *testing.T) {
	t.Parallel()
	pooler := storetest.PgBouncer(t, storetest.Database(t))
	pooler.Kill()
	p := harness.Start(t, t.TempDir(), []string{harness.Patience(t, harness.Hasty())}, "--listen", "localhost:0", "--database", pooler.Address, "--store", "database")
	c := p.Client("session")
	c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Unavailable("store_unavailable")
	pooler.Start()
	recovers := func() {
		t.Helper()
		require.Eventually(t, func() bool {
			return c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Status == http.StatusOK
		}, harness.Recovery, harness.Recovery/100)
	}
	recovers()
	pooler.Kill()
	c.Get("profile").Unavailable("store_unavailable")
	pooler.Start()
	recovers()
	pooler.Pause()
	c.Get("profile").Unavailable("store_unavailable")
	pooler.Resume()
	recovers()
}
