package store

import (
	"context"
	"time"

	"statelab/state"
)

// Cost is what the stores were asked to do for one request.
type Cost struct {
	Reads, Writes int
	Took          time.Duration
}

type costKey struct{}

// CostKey is the key under which a request's context holds its *Cost. Requests
// are served by one goroutine each, so a Cost needs no lock.
var CostKey any = costKey{}

// Counted returns a store that adds each operation to the Cost of its context.
func Counted(s state.Store) state.Store { return counted{s} }

type counted struct{ state.Store }

// spend notes an operation that began at start.
func spend(ctx context.Context, start time.Time, reads, writes int) {
	if c, ok := ctx.Value(CostKey).(*Cost); ok {
		c.Reads += reads
		c.Writes += writes
		c.Took += time.Since(start)
	}
}

func (s counted) Create(ctx context.Context, k state.Key, r state.Record) error {
	defer spend(ctx, time.Now(), 0, 1)
	return s.Store.Create(ctx, k, r)
}

func (s counted) Load(ctx context.Context, k state.Key) (state.Record, error) {
	defer spend(ctx, time.Now(), 1, 0)
	return s.Store.Load(ctx, k)
}

func (s counted) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	defer spend(ctx, time.Now(), 0, 1)
	return s.Store.Update(ctx, k, rev, r)
}

func (s counted) Delete(ctx context.Context, k state.Key) error {
	defer spend(ctx, time.Now(), 0, 1)
	return s.Store.Delete(ctx, k)
}

func (s counted) BySubject(ctx context.Context, subject string) ([]state.Entry, error) {
	defer spend(ctx, time.Now(), 1, 0)
	return s.Store.BySubject(ctx, subject)
}
