package api

import (
	"context"
	"errors"
	"fmt"
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
	rec, err := n.shared.Load(ctx, k)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		rec, err = n.own.Load(ctx, k)
	}
	if errors.Is(err, state.ErrNotFound) {
		return 0, n.now(), nil
	}
	return rec.Count, rec.Expires.Time(), err
}

// Add implements auth.Counter.
func (n *counter) Add(ctx context.Context, key string, window time.Duration) (int64, time.Time, error) {
	k := state.KeyOf("counter", key)
	count, until, err := n.add(ctx, n.shared, k, window)
	if err != nil {
		return n.add(ctx, n.own, k, window)
	}
	return count, until, nil
}

// add counts by compare-and-swap, as often as others are faster.
func (n *counter) add(ctx context.Context, s state.Store, k state.Key, window time.Duration) (int64, time.Time, error) {
	for range 64 {
		rec, err := s.Load(ctx, k)
		switch {
		case errors.Is(err, state.ErrNotFound):
			rec = state.Record{Kind: state.KindCounter, Count: 1, Expires: state.MicrosOf(n.now()).Add(window)}
			err = s.Create(ctx, k, rec)
		case err == nil:
			rec.Count++
			err = s.Update(ctx, k, rec.Rev, rec)
		}
		switch {
		case err == nil:
			return rec.Count, rec.Expires.Time(), nil
		case !errors.Is(err, state.ErrExists) && !errors.Is(err, state.ErrConflict) && !errors.Is(err, state.ErrNotFound):
			return 0, time.Time{}, err
		}
	}
	return 0, time.Time{}, fmt.Errorf("%w: a counter is contended", state.ErrUnavailable)
}
