package tests

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/storetest"
)

// Promises about a dependency that fails, kept against real servers: no answer
// takes longer than prompt, and all is well again within recovery.
const (
	prompt   = 2 * time.Second
	recovery = 5 * time.Second
)

// promptly answers a request and requires that it took no longer than that.
func promptly(t *testing.T, f func() *answer) *answer {
	t.Helper()
	start := time.Now()
	a := f()
	require.Less(t, time.Since(start), prompt)
	return a
}

// running runs statelab with its logins in the store at the address, and its
// accounts in the database at another, by the real clock.
func running(t *testing.T, database, logins string) *server {
	t.Helper()
	return newServer(t, func(c *api.Config) {
		require.NoError(t, c.Store.Close())
		c.Now = nil
		db, err := store.OpenDatabase(t.Context(), database, store.Migrations{Table: "accounts_version", Files: auth.Migrations()})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		c.Database, c.DatabaseStore = db.DB, store.Guarded(newSQL(t, db, nil))
		c.Store, err = store.Open(logins, c.DatabaseStore, store.Options{})
		require.NoError(t, err)
	})
}

// outage requires what holds while places are away: errors that say so, nothing
// lost at the client, and everybody else served.
func (s *server) outage(t *testing.T, clients map[string]*client, away ...state.Place) {
	t.Helper()
	for slug, c := range clients {
		traits := s.traits(t, slug)
		held := c.held()
		gone := slices.Contains(away, traits.KeptIn)
		if traits.Holder == state.HolderClient || !gone {
			promptly(t, func() *answer { return c.get("profile") }).is(http.StatusOK)
		} else {
			promptly(t, func() *answer { return c.get("profile") }).is(http.StatusServiceUnavailable, "store_unavailable")
			promptly(t, func() *answer { return c.patch(object{"theme": "dark"}) }).is(http.StatusServiceUnavailable, "store_unavailable")
		}
		if gone {
			promptly(t, c.renew).is(http.StatusServiceUnavailable, "store_unavailable")
			promptly(t, func() *answer { return c.post("logout", nil) }).is(http.StatusServiceUnavailable, "store_unavailable")
		}
		require.Equal(t, held, c.held())
	}
	a := promptly(t, func() *answer { return s.client(t, "").do("GET", "/readyz", nil) }).is(http.StatusServiceUnavailable, "store_unavailable")
	require.NotContains(t, string(a.body), "127.0.0.1")
	s.client(t, "").do("GET", "/healthz", nil).is(http.StatusOK)
}

func (s *server) loginAll(t *testing.T) map[string]*client {
	t.Helper()
	clients := map[string]*client{}
	for _, slug := range strategies {
		clients[slug] = s.login(t, slug, alice, alicePassword)
	}
	return clients
}

// recovers waits until the server is ready again.
func (s *server) recovers(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return s.client(t, "").do("GET", "/readyz", nil).status == http.StatusOK }, recovery, 20*time.Millisecond)
}

func TestARedisThatHangs(t *testing.T) {
	redis := storetest.Redis(t)
	s := running(t, "sqlite::memory:", redis.Address)
	clients := s.loginAll(t)
	redis.Pause()
	s.outage(t, clients, state.PlaceStore)
	redis.Resume()
	s.recovers(t)
	for _, c := range clients {
		c.get("profile").is(http.StatusOK)
		c.renew().is(http.StatusOK)
	}
}

func TestARedisThatDies(t *testing.T) {
	redis := storetest.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	s := running(t, "sqlite::memory:", redis.Address)
	clients := s.loginAll(t)
	redis.Kill()
	s.outage(t, clients, state.PlaceStore)
	redis.Start()
	s.recovers(t)
	for _, c := range clients {
		c.get("profile").is(http.StatusOK) // with appendfsync always, what was acknowledged is there
	}
}

func TestARedisThatForgets(t *testing.T) {
	redis := storetest.Redis(t)
	s := running(t, "sqlite::memory:", redis.Address)
	clients := s.loginAll(t)
	redis.Kill()
	redis.Start()
	s.recovers(t)
	for slug, c := range clients {
		if s.traits(t, slug).SurvivesRestart == state.SurvivesWithStore {
			c.get("profile").is(http.StatusUnauthorized, "unknown_session")
		} else {
			c.get("profile").is(http.StatusOK)
		}
	}
	s.loginAll(t)
}

func TestAPostgresThatHangs(t *testing.T) {
	postgres := storetest.Postgres(t)
	s := running(t, postgres.Address, "database")
	clients := s.loginAll(t)
	postgres.Pause()
	s.outage(t, clients, state.PlaceStore, state.PlaceDatabase)
	promptly(t, func() *answer { return s.client(t, "cookie").post("login", credentials{alice, alicePassword}) }).
		is(http.StatusServiceUnavailable, "store_unavailable")
	postgres.Resume()
	s.recovers(t)
	for _, c := range clients {
		c.get("profile").is(http.StatusOK)
		c.renew().is(http.StatusOK)
	}
}

func TestAPostgresThatDies(t *testing.T) {
	postgres := storetest.Postgres(t)
	s := running(t, postgres.Address, "database")
	clients := s.loginAll(t)
	for range 2 {
		postgres.Kill()
		s.outage(t, clients, state.PlaceStore, state.PlaceDatabase)
		promptly(t, func() *answer { return s.client(t, "cookie").post("login", credentials{alice, alicePassword}) }).
			is(http.StatusServiceUnavailable, "store_unavailable")
		postgres.Start()
		s.recovers(t)
		for _, c := range clients {
			c.get("profile").is(http.StatusOK) // what was acknowledged is there
			c.renew().is(http.StatusOK)
		}
	}
}

func TestAPostgresThatIsDownAtTheStart(t *testing.T) {
	postgres := storetest.Postgres(t)
	postgres.Stop()
	db, err := store.OpenDatabase(t.Context(), postgres.Address, store.Migrations{Table: "accounts_version", Files: auth.Migrations()})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.Error(t, db.PingContext(t.Context()))
	postgres.Start()
	require.Eventually(t, func() bool { return db.PingContext(t.Context()) == nil }, recovery, 20*time.Millisecond)
	_, err = db.ExecContext(t.Context(), `SELECT username FROM accounts`)
	require.NoError(t, err, "its tables were made as soon as it answered")
}
