package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/storetest"
)

func TestEveryBackEnd(t *testing.T) { storetest.Each(t, storetest.Run) }

func TestCounted(t *testing.T) {
	storetest.Run(t, func(t *testing.T, o store.Options) (state.Store, []storetest.Spoil) {
		s := store.Counted(store.NewMemory(o))
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s, nil
	})
}

func TestOpenRefusesWhatItDoesNotKnow(t *testing.T) {
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
	now := time.Unix(1_800_000_000, 0)
	s := store.NewMemory(store.Options{Now: func() time.Time { return now }, MaxLogins: 2})
	defer func() { require.NoError(t, s.Close()) }()
	soon := state.MicrosOf(now).Add(time.Minute)
	for round := range 3 {
		for i := range 2 {
			require.NoError(t, s.Create(t.Context(), state.KeyOf(fmt.Sprint(round, i)), record(state.KindLogin, "alice", soon)))
		}
		require.ErrorIs(t, s.Create(t.Context(), state.KeyOf("one more"), record(state.KindLogin, "alice", soon)), state.ErrFull)
		require.NoError(t, s.Create(t.Context(), state.KeyOf("a count", fmt.Sprint(round)), record(state.KindCounter, "", soon)))
		now, soon = now.Add(time.Minute), soon.Add(time.Minute)
		s.Sweep()
	}
}

func TestTheCostOfARequestIsCounted(t *testing.T) {
	s := store.Counted(store.NewMemory(store.Options{}))
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

func TestTheDatabaseSaysWhatIsWrongWithItsPlace(t *testing.T) {
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
	path := t.TempDir() + "/a b?c#d%41.db"
	for range 2 { // the second time it exists
		db, err := store.OpenDatabase(t.Context(), "sqlite:"+path)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		require.FileExists(t, path)
	}
}

// In Redis, a subject's list is a key of its own.
func TestASpoiledListKeepsNobodyFromLoggingIn(t *testing.T) {
	server := storetest.Redis(t)
	s, err := store.NewRedis(server.Address, store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	client := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(server.Address, "redis://")})
	defer func() { require.NoError(t, client.Close()) }()
	require.NoError(t, client.Set(t.Context(), "statelab:subject:alice", "\xff", 0).Err())

	entries, err := s.BySubject(t.Context(), "alice")
	require.NoError(t, err)
	require.Empty(t, entries)
	later := state.MicrosOf(time.Now()).Add(time.Hour)
	require.NoError(t, s.Create(t.Context(), state.KeyOf("k"), record(state.KindLogin, "alice", later)))
	entries, err = s.BySubject(t.Context(), "alice")
	require.NoError(t, err)
	require.Len(t, entries, 1)
}
