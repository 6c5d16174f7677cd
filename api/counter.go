package api

import (
	"context"
	"errors"
	"time"

	"statelab/auth"
	"statelab/state"
	"statelab/state/store"
)

// counter is an auth.Counter over a state.Store, so that all nodes count
// together. While the store is down each process counts for itself: a dead
// store must not be a way around the throttle.
type counter struct {
	shared, own state.Store
	now         func() time.Time
}

var _ auth.Counter = (*counter)(nil)

func newCounter(shared state.Store, now func() time.Time) *counter {
	return &counter{shared, store.NewMemory(store.Options{Now: now}), now}
}

// Count implements auth.Counter.
func (n *counter) Count(ctx context.Context, key string) (int64, time.Time, error) {
	k := state.KeyOf("counter", key)
	own, err := n.own.Load(ctx, k)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return 0, time.Time{}, err
	}
	// A shared store that cannot be read has counted nothing that we know of,
	// and one that cannot be written has counted too little: what it has missed
	// is in our own.
	rec, err := n.shared.Load(ctx, k)
	if err != nil {
		rec = state.Record{}
	}
	return rec.Count + own.Count, max(rec.Expires, own.Expires, state.MicrosOf(n.now())).Time(), nil
}

// Add implements auth.Counter.
func (n *counter) Add(ctx context.Context, key string, window time.Duration) (int64, time.Time, error) {
	k := state.KeyOf("counter", key)
	if err := n.add(ctx, n.shared, k, window); err != nil {
		if err := n.add(ctx, n.own, k, window); err != nil {
			return 0, time.Time{}, err
		}
	}
	return n.Count(ctx, key)
}

// add counts one more event in one of the stores.
func (n *counter) add(ctx context.Context, s state.Store, k state.Key, window time.Duration) error {
	return state.Upsert(ctx, s, k, func(rec *state.Record) {
		if rec.Count++; rec.Count == 1 {
			rec.Kind, rec.Expires = state.KindCounter, state.MicrosOf(n.now()).Add(window)
		}
	})
}
