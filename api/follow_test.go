package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/sqlstore"
	"statelab/tests/seeded"
)

// A remoteStore takes as long as one that is reached over a network, can be emptied, and can
// fail.
type remoteStore struct {
	state.Store

	mu    sync.Mutex
	memo  *memory.Store
	fails bool
	ended map[string]bool // subjects
}

const roundTrip = 5 * time.Millisecond

func newRemoteStore(t *testing.T) *remoteStore {
	t.Helper()
	s := &remoteStore{ended: map[string]bool{}}
	s.empty(t)
	return s
}

// empty deletes all records.
func (s *remoteStore) empty(t *testing.T) {
	t.Helper()
	m := memory.New(store.Options{})
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.memo = m
}

func (s *remoteStore) failing(fails bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = fails
}

// subjects returns those whose logins have ended.
func (s *remoteStore) subjects() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.ended))
}

func (s *remoteStore) reach() (*memory.Store, error) {
	<-time.After(roundTrip)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails {
		return nil, state.ErrUnavailable
	}
	return s.memo, nil
}

func (s *remoteStore) Name() string { return "redis" }

func (s *remoteStore) Create(ctx context.Context, k state.Key, r state.Record) error {
	m, err := s.reach()
	if err != nil {
		return err
	}
	return m.Create(ctx, k, r)
}

func (s *remoteStore) Load(ctx context.Context, k state.Key) (state.Record, error) {
	m, err := s.reach()
	if err != nil {
		return state.Record{}, err
	}
	return m.Load(ctx, k)
}

func (s *remoteStore) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	m, err := s.reach()
	if err != nil {
		return err
	}
	return m.Update(ctx, k, rev, r)
}

func (s *remoteStore) Logins(ctx context.Context, q state.LoginQuery) ([]state.LoginHead, error) {
	m, err := s.reach()
	if err != nil {
		return nil, err
	}
	return m.Logins(ctx, q)
}

func (s *remoteStore) EndSubject(ctx context.Context, e state.Ending) (int, error) {
	m, err := s.reach()
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	s.ended[e.Subject] = true
	s.mu.Unlock()
	return m.EndSubject(ctx, e)
}

// A lesson is an Extension that has moved the clock of the server, and adds nothing else.
type lesson time.Duration

func (l lesson) Ahead() time.Duration                       { return time.Duration(l) }
func (lesson) AddRoutes(*Server, gin.IRoutes, gin.IRoutes)  {}
func (lesson) AddRoutesOf(*Group, gin.IRoutes, gin.IRoutes) {}
func (lesson) Answered(*Server, *http.Request, int, string) {}
func (lesson) Nicknamed(string, string, string)             {}

// newFollowingServer returns a server that has just started, with an extension or none.
func newFollowingServer(t *testing.T, db *sqlstore.Database, ring *keys.Ring, logins state.Store, e Extension) *Server {
	t.Helper()
	config := Config{
		Database: db.DB, Store: logins, DatabaseStore: memory.New(store.Options{}), Keys: ring, OpenAPI: []byte("openapi: 3.1.0"),
		Denylist: true, Hasher: auth.NewArgon2id(argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}),
	}
	if e != nil {
		config.Classroom, config.Now, config.Extension = true, func() time.Time { return time.Now().Add(e.Ahead()) }, e
	}
	s, err := New(config)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, config.DatabaseStore.Close())
	})
	return s
}

// newParts returns what servers share before and after a restart.
func newParts(t *testing.T) (*sqlstore.Database, *keys.Ring) {
	t.Helper()
	ring, err := keys.Generate(seeded.Reader(t), time.Now())
	require.NoError(t, err)
	db, err := sqlstore.OpenDatabase(t.Context(), "sqlite::memory:", Migrations()...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, ring
}

// haveEnded writes down that operators have changed n other accounts, the last one at a
// moment, and returns their ids.
func haveEnded(t *testing.T, db *sqlstore.Database, n int, at time.Time) (ids []string) {
	t.Helper()
	for i := range n {
		id := fmt.Sprintf("account-%03d", i)
		_, err := db.ExecContext(t.Context(), `INSERT INTO endings (account_id, at) VALUES ($1, $2)`, id, at.UnixMicro()-int64(n-i))
		require.NoError(t, err)
		ids = append(ids, id)
	}
	return ids
}

// areOutSoon requires that callers are out within five seconds, of the clock of the test.
func areOutSoon(t *testing.T, callers ...*caller) {
	t.Helper()
	start := time.Now()
	for _, x := range callers {
		for x.ask(t, "GET", "profile", "").StatusCode != http.StatusUnauthorized {
			require.LessOrEqual(t, time.Since(start), 5*time.Second, x.slug)
			<-time.After(50 * time.Millisecond)
		}
	}
	t.Logf("out after %s", time.Since(start))
}

func TestAnAccountThatIsDisabledAfterARestartIsOutWithinFiveSecondsBesideManyOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, ring := newParts(t)
		logins := newRemoteStore(t)
		haveEnded(t, db, 300, time.Now().Add(-time.Hour))
		before := newFollowingServer(t, db, ring, logins, nil)
		var callers []*caller
		for _, slug := range []string{"session", "cookie", "cookie-sealed"} {
			callers = append(callers, newCaller(t, before, slug, "carol-"+slug))
		}
		before.stop()
		again := newFollowingServer(t, db, ring, logins, nil)
		<-time.After(time.Second)
		for _, x := range callers {
			x.Server = again
			require.NoError(t, again.accounts.Disable(t.Context(), x.username))
		}
		areOutSoon(t, callers...)
	})
}

func TestDisabledAccountsAreOutWithinFiveSecondsOfTheEmptyingOfAStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, ring := newParts(t)
		logins := newRemoteStore(t)
		s := newFollowingServer(t, db, ring, logins, nil)
		oldest := newCaller(t, s, "cookie", "carol")
		require.NoError(t, s.accounts.Disable(t.Context(), oldest.username))
		haveEnded(t, db, 300, time.Now().Add(time.Minute))
		newest := newCaller(t, s, "cookie-sealed", "dave")
		require.NoError(t, s.accounts.Disable(t.Context(), newest.username))
		<-time.After(time.Minute)
		areOutSoon(t, oldest, newest)
		for range 2 {
			logins.empty(t)
			require.Equal(t, http.StatusOK, oldest.ask(t, "GET", "profile", "").StatusCode, "the store knew it")
			areOutSoon(t, oldest, newest)
		}
	})
}

// The lifetimes may have been longer before the start.
func TestEndingsOlderThanALoginAreAllAppliedAfterAStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, ring := newParts(t)
		logins := newRemoteStore(t)
		ids := haveEnded(t, db, 100, time.Now().Add(-30*24*time.Hour))
		logins.failing(true)
		newFollowingServer(t, db, ring, logins, nil)
		<-time.After(3 * time.Second)
		require.Empty(t, logins.subjects())
		logins.failing(false)
		<-time.After(5 * time.Second)
		require.Equal(t, ids, logins.subjects())
	})
}

// A lesson moves the clock of the server and not that of the operators.
func TestEndingsAreFollowedHoweverFarTheLessonsClockIsAhead(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, time.Hour, 200 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			db, ring := newParts(t)
			s := newFollowingServer(t, db, ring, newRemoteStore(t), lesson(ahead))
			operator := auth.New(auth.Config{Database: db.DB, Now: time.Now})
			disabled := newCaller(t, s, "session", "carol")
			promoted := newCaller(t, s, "cookie", "dave")
			<-time.After(time.Second)
			require.NoError(t, operator.Disable(t.Context(), disabled.username))
			require.NoError(t, operator.SetRole(t.Context(), promoted.username, auth.RoleAdmin))
			areOutSoon(t, disabled, promoted)
			<-time.After(time.Second)
			require.Equal(t, http.StatusOK, promoted.login(t).StatusCode)
			again := newCaller(t, s, "cookie", "erin")
			<-time.After(10 * time.Second)
			require.Equal(t, http.StatusOK, again.ask(t, "GET", "profile", "").StatusCode)
		})
	}
}
