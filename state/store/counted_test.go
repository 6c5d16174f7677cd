package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/storetest"
)

func TestCounted(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB, o store.Options) (state.Store, []storetest.Spoil) {
		s := store.Counted(memory.New(o), nil)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s, nil
	})
}

func TestTheCostOfARequestIsCounted(t *testing.T) {
	t.Parallel()
	s := store.Counted(memory.New(store.Options{}), nil)
	defer func() { require.NoError(t, s.Close()) }()
	var cost store.Cost
	ctx := context.WithValue(t.Context(), store.CostKey, &cost)
	k, later := state.KeyOf("k"), state.MicrosOf(time.Now()).Add(time.Hour)
	require.NoError(t, s.Create(ctx, k, storetest.Record(state.KindLogin, "alice", later)))
	_, err := s.Load(ctx, k)
	require.NoError(t, err)
	require.NoError(t, s.Update(ctx, k, 1, storetest.Record(state.KindLogin, "alice", later)))
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
	s := store.Counted(memory.New(store.Options{MaxRecords: 1}), &told)
	defer func() { require.NoError(t, s.Close()) }()
	k, r := state.KeyOf("k"), storetest.Record(state.KindLogin, "alice", state.MicrosOf(time.Now()).Add(time.Hour))
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
