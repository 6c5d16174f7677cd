package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3/lock"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/storetest"
)

func TestEveryBackEnd(t *testing.T) {
	t.Parallel()
	storetest.Each(t, storetest.Run)
}

func TestCounted(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB, o store.Options) (state.Store, []storetest.Spoil) {
		s := store.Counted(store.NewMemory(o), nil)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s, nil
	})
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "Memory", "file:x", "rediss", "http://u:sesame@localhost", "redis://u:sesame@localhost:x"} {
		_, err := store.Open(address, nil, store.Options{})
		require.Error(t, err, address)
		require.NotContains(t, err.Error(), "sesame")
	}
}

func record(kind state.Kind, subject string, expires state.Micros) state.Record {
	return state.Record{Kind: kind, Strategy: "session", Login: state.NewLogin(subject, subject, subject, "member"), Expires: expires}
}

// The sweep runs by itself, by the ticker of the bubble's clock.
func TestExpiredRecordsAreSweptWithinSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := store.NewMemory(store.Options{})
		defer func() { require.NoError(t, s.Close()) }()
		now := state.MicrosOf(time.Now())
		for i := range 1000 {
			life := time.Minute
			if i%2 == 0 {
				life = time.Hour
			}
			kind := state.KindLogin
			if i%4 == 1 {
				kind = state.KindCounter
			}
			require.NoError(t, s.Create(t.Context(), state.KeyOf(fmt.Sprint(i)), record(kind, fmt.Sprint(i%10), now.Add(life))))
		}
		time.Sleep(time.Minute - time.Second)
		require.Equal(t, 1000, s.Len())
		time.Sleep(6 * time.Second)
		require.Equal(t, 500, s.Len())
		time.Sleep(time.Hour)
		require.Zero(t, s.Len())
	})
}

func TestTheCapCountsWhatLives(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	s := store.NewMemory(store.Options{Now: func() time.Time { return now }, MaxRecords: 2})
	defer func() { require.NoError(t, s.Close()) }()
	soon := state.MicrosOf(now).Add(time.Minute)
	for round := range 3 {
		for i := range 2 {
			require.NoError(t, s.Create(t.Context(), state.KeyOf(fmt.Sprint(round, i)), record(state.KindLogin, "alice", soon)))
		}
		require.ErrorIs(t, s.Create(t.Context(), state.KeyOf("one more"), record(state.KindLogin, "alice", soon)), state.ErrFull)
		for _, kind := range []state.Kind{state.KindFamily, state.KindCounter, state.KindEnded, state.KindForeign} {
			require.ErrorIs(t, s.Create(t.Context(), state.KeyOf("one more"), record(kind, "", soon)), state.ErrFull, kind)
		}
		now, soon = now.Add(time.Minute), soon.Add(time.Minute)
		s.Sweep()
	}
}

func TestTheCapCountsBytes(t *testing.T) {
	t.Parallel()
	s := store.NewMemory(store.Options{MaxBytes: 10_000})
	defer func() { require.NoError(t, s.Close()) }()
	large := record(state.KindForeign, "", state.MicrosOf(time.Now()).Add(time.Hour))
	large.Foreign = make([]byte, 8_000)
	k, other := state.KeyOf("k"), state.KeyOf("other")
	for range 3 { // what was deleted takes no memory
		require.NoError(t, s.Create(t.Context(), k, large))
		require.ErrorIs(t, s.Create(t.Context(), other, large), state.ErrFull)
		small := large
		small.Foreign = nil
		require.NoError(t, s.Create(t.Context(), other, small))
		require.ErrorIs(t, s.Update(t.Context(), other, 1, large), state.ErrFull)
		require.NoError(t, s.Update(t.Context(), k, 1, small), "what shrinks fits")
		require.NoError(t, s.Update(t.Context(), other, 1, large))
		require.NoError(t, s.Delete(t.Context(), k))
		require.NoError(t, s.Delete(t.Context(), other))
	}
}

func TestTheCostOfARequestIsCounted(t *testing.T) {
	t.Parallel()
	s := store.Counted(store.NewMemory(store.Options{}), nil)
	defer func() { require.NoError(t, s.Close()) }()
	var cost store.Cost
	ctx := context.WithValue(t.Context(), store.CostKey, &cost)
	k, later := state.KeyOf("k"), state.MicrosOf(time.Now()).Add(time.Hour)
	require.NoError(t, s.Create(ctx, k, record(state.KindLogin, "alice", later)))
	_, err := s.Load(ctx, k)
	require.NoError(t, err)
	require.NoError(t, s.Update(ctx, k, 1, record(state.KindLogin, "alice", later)))
	_, err = s.BySubject(ctx, "alice")
	require.NoError(t, err)
	require.NoError(t, s.Delete(ctx, k))
	require.Equal(t, 2, cost.Reads)
	require.Equal(t, 3, cost.Writes)
	require.Positive(t, cost.Took)
}

// observed writes down what an observer is told.
type observed []string

func (all *observed) Observe(o store.Operation, r store.Result, _ time.Duration) {
	*all = append(*all, fmt.Sprint(o, " ", r))
}

func TestAnObserverIsToldWhatCameOfIt(t *testing.T) {
	t.Parallel()
	var told observed
	s := store.Counted(store.NewMemory(store.Options{MaxRecords: 1}), &told)
	defer func() { require.NoError(t, s.Close()) }()
	k, r := state.KeyOf("k"), record(state.KindLogin, "alice", state.MicrosOf(time.Now()).Add(time.Hour))
	require.NoError(t, s.Create(t.Context(), k, r))
	require.ErrorIs(t, s.Create(t.Context(), k, r), state.ErrExists)
	require.ErrorIs(t, s.Create(t.Context(), state.KeyOf("another"), r), state.ErrFull)
	require.ErrorIs(t, s.Update(t.Context(), k, 7, r), state.ErrConflict)
	_, err := s.Load(t.Context(), state.KeyOf("another"))
	require.ErrorIs(t, err, state.ErrNotFound)
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err = s.BySubject(gone, "alice")
	require.ErrorIs(t, err, context.Canceled)
	late, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	require.ErrorIs(t, s.Delete(late, k), context.DeadlineExceeded)
	require.Equal(t, observed{
		"create ok", "create exists", "create full", "update conflict", "load not_found", "by_subject canceled", "delete unavailable",
	}, told)
}

func TestTheDatabaseSaysWhatIsWrongWithItsPlace(t *testing.T) {
	t.Parallel()
	for address, says := range map[string]string{
		"mysql://u:sesame@host/db":       "sqlite:PATH",
		"postgres://u:sesame@host:x/db":  "sqlite:PATH",
		"sqlite:":                        "sqlite:PATH",
		"sqlite:" + t.TempDir() + "/a/b": "/a",
		"nonsense":                       "sqlite:PATH",
	} {
		_, err := store.OpenDatabase(t.Context(), address)
		require.ErrorContains(t, err, says, address)
		require.NotContains(t, err.Error(), "sesame")
	}
}

func TestOddFileNamesAreFileNames(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/a b?c#d%41.db"
	for range 2 { // the second time it exists
		db, err := store.OpenDatabase(t.Context(), "sqlite:"+path)
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

	opened := make(chan *store.Database)
	go func() {
		db, err := store.OpenDatabase(t.Context(), address)
		assert.NoError(t, err)
		opened <- db
	}()
	require.Eventually(t, func() bool {
		var asked bool
		err := other.QueryRow(t.Context(),
			`SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database()
				AND query LIKE '%pg_try_advisory_lock%' AND state = 'idle'`).Scan(&asked)
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

// In Redis, a subject's index has keys of its own.
func TestASpoiledListKeepsNobodyFromLoggingIn(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	s, err := store.NewRedis(server.Address, store.Options{Patience: time.Minute})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	client := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(server.Address, "redis://")})
	defer func() { require.NoError(t, client.Close()) }()
	for _, key := range []string{"statelab:strategies:{alice}", "statelab:live:{alice}:session", "statelab:revoked:{alice}:session"} {
		require.NoError(t, client.Set(t.Context(), key, "\xff", 0).Err())
	}
	logins, err := s.Logins(t.Context(), state.LoginQuery{Subject: "alice", Strategy: "session"})
	require.NoError(t, err)
	require.Empty(t, logins)

	entries, err := s.BySubject(t.Context(), "alice")
	require.NoError(t, err)
	require.Empty(t, entries)
	later := state.MicrosOf(time.Now()).Add(time.Hour)
	require.NoError(t, s.Create(t.Context(), state.KeyOf("k"), record(state.KindLogin, "alice", later)))
	entries, err = s.BySubject(t.Context(), "alice")
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

// BenchmarkLoad is what a request pays for a login that the server keeps.
func BenchmarkLoad(b *testing.B) {
	storetest.Each(b, func(b *testing.B, open storetest.Open) {
		s, _ := open(b, store.Options{})
		now := state.MicrosOf(time.Now())
		k, r := state.KeyOf("benchmark"), record(state.KindLogin, "01M807CMZT1DVTWSRYZMWSFTV1", now.Add(time.Hour))
		r.Login.ID, r.Login.IssuedAt, r.Login.ExpiresAt, r.LastSeen = k.String(), now, now.Add(8*time.Hour), now
		r.Rotation = state.Rotation{Current: [32]byte{1, 2, 3}, Salt: [16]byte{4}}
		require.NoError(b, s.Create(b.Context(), k, r))
		b.ReportAllocs()
		for b.Loop() {
			_, err := s.Load(b.Context(), k)
			require.NoError(b, err)
		}
	})
}
