package api

import (
	"context"
	"errors"
	"time"

	"statelab/auth"
	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
)

// counter is an auth.Counter over a state.Store, so that all nodes count
// together. While the store is down each process counts for itself: a dead
// store must not be a way around the throttle.
type counter struct {
	shared, own state.Store
	now         func() time.Time
}

// maxOwnCounts bounds what a process counts for itself, beside everything in its stores.
const maxOwnCounts = 100_000

var _ auth.Counter = (*counter)(nil)

func newCounter(shared state.Store, now func() time.Time) *counter {
	return &counter{shared, memory.New(store.Options{Now: now, MaxRecords: maxOwnCounts}), now}
}

// Count implements auth.Counter.
func (n *counter) Count(ctx context.Context, key string) (int64, time.Time, error) {
	k := state.KeyOf("counter", key)
	own, err := n.load(ctx, n.own, k)
	if err != nil {
		return 0, time.Time{}, err
	}
	// A shared store that cannot be read has counted nothing that we know of,
	// and one that cannot be written has counted too little: what it has missed
	// is in our own.
	shared, _ := n.load(ctx, n.shared, k)
	return n.sum(own, shared)
}

// Add implements auth.Counter.
func (n *counter) Add(ctx context.Context, key string, window time.Duration) (int64, time.Time, error) {
	k := state.KeyOf("counter", key)
	shared, err := n.add(ctx, n.shared, k, window)
	if err == nil {
		own, err := n.load(ctx, n.own, k)
		if err != nil {
			return 0, time.Time{}, err
		}
		return n.sum(own, shared)
	}
	own, err := n.add(context.WithoutCancel(ctx), n.own, k, window) // counted, although the request has no time any more
	if err != nil {
		return 0, time.Time{}, err
	}
	shared, _ = n.load(ctx, n.shared, k)
	return n.sum(own, shared)
}

// sum adds up what two stores have counted.
func (n *counter) sum(own, shared state.Record) (int64, time.Time, error) {
	return own.Count + shared.Count, max(shared.Expires, own.Expires, state.MicrosOf(n.now())).Time(), nil
}

// load returns the record under k, or a zero one if there is none. Our own store does not
// make a request wait, so it answers after the deadline as well.
func (n *counter) load(ctx context.Context, s state.Store, k state.Key) (state.Record, error) {
	if s == n.own {
		ctx = context.WithoutCancel(ctx)
	}
	rec, err := s.Load(ctx, k)
	switch {
	case err == nil:
		return rec, nil
	case errors.Is(err, state.ErrNotFound):
		return state.Record{}, nil
	}
	return state.Record{}, err
}

// add counts one more event in one of the stores, and returns its record.
func (n *counter) add(ctx context.Context, s state.Store, k state.Key, window time.Duration) (added state.Record, err error) {
	err = state.Upsert(ctx, s, k, func(rec *state.Record) {
		if rec.Count++; rec.Count == 1 {
			rec.Kind, rec.Expires = state.KindCounter, state.MicrosOf(n.now()).Add(window)
		}
		added = *rec
	})
	return added, err
}
