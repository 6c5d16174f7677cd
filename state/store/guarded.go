package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"statelab/state"
)

// Guarded returns a store that bounds how long s may take, and that stops
// asking for a moment when s has failed: a request asks its store several
// times, and must not wait for a dead one each time. A store that cannot be
// written, since it is locked, full or a replica, can often be read: a write
// that failed stops writes only. What Guarded refuses by itself is an error that
// wraps state.ErrUnavailable.
//
// An operation that takes too long is no failure of the store as long as others
// succeed beside it: this process, its pool of connections or its turn may be
// busy. A read is held against the store unless another read has succeeded since
// it began, and a write unless another write has. Where only the other kind has,
// the second late one in a row is: a store that is locked can be read all the time.
func Guarded(s state.Store, o Options) state.Store {
	return &guarded{Store: s, timeout: cmp.Or(o.Patience, opTimeout)}
}

const (
	// opTimeout bounds one operation, unless Options.Patience does.
	opTimeout = 900 * time.Millisecond
	// restFor is how long a store that has failed is not asked. The next one
	// after that is the probe.
	restFor = 500 * time.Millisecond
)

type guarded struct {
	state.Store
	timeout       time.Duration // of one operation
	reads, writes rest
	unwritten     atomic.Bool // the last write has failed
}

// A rest is the moment until which a store is not asked, by the wall clock, in
// nanoseconds; zero if it may be asked. It counts what has succeeded.
type rest struct {
	atomic.Int64
	succeeded atomic.Uint64
	late      atomic.Bool // the last operation took too long
}

// wallClock is the real one: a lesson that moves its clock must not end an
// outage.
var wallClock = time.Now

var errResting = fmt.Errorf("%w: it failed a moment ago", state.ErrUnavailable)

// guard runs one operation. Of many that find the store rested, one probes it
// and the others go on resting until it has answered.
func (g *guarded) guard(ctx context.Context, its *rest, f func(context.Context) error) error {
	if until := its.Load(); until != 0 {
		now := wallClock().UnixNano()
		if now < until || !its.CompareAndSwap(until, now+int64(g.timeout)) {
			return errResting
		}
	}
	before, all := its.succeeded.Load(), g.succeeded()
	bounded, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	err := f(bounded)
	switch {
	case errors.Is(err, errLate): // neither an outage nor the end of one
	case !isOutage(err):
		its.Store(0)
		its.succeeded.Add(1)
		its.late.Store(false)
		if its == &g.writes {
			g.unwritten.Store(false)
		}
	case ctx.Err() != nil: // the client has left, or the request has no time any more
	case isLate(bounded, err) && (its.succeeded.Load() != before || g.succeeded() != all && !its.late.Swap(true)):
	default:
		g.rest(its)
	}
	return err
}

// succeeded counts the operations that have succeeded.
func (g *guarded) succeeded() uint64 { return g.reads.succeeded.Load() + g.writes.succeeded.Load() }

// rest gives the store its rest after an operation that failed: a read stops both kinds.
func (g *guarded) rest(its *rest) {
	until := wallClock().Add(restFor).UnixNano()
	g.writes.Store(until)
	if its == &g.reads {
		g.reads.Store(until)
	} else {
		g.unwritten.Store(true)
	}
}

// isLate reports whether an operation has failed for the time that it took: by the deadline
// of its context, or with an error whose method Timeout says so. Such an error comes from a
// connection, or from a store in which the operation has waited for one.
func isLate(ctx context.Context, err error) bool {
	var slow interface{ Timeout() bool }
	return errors.As(err, &slow) && slow.Timeout() || err != nil && ctx.Err() != nil
}

// guardSubject is guard for an operation by subject. That it takes too long says
// something of this subject, whose records may be many or large, and nothing of
// the store: the request fails, and the store gets no rest.
func (g *guarded) guardSubject(ctx context.Context, its *rest, f func(context.Context) error) error {
	var late error
	err := g.guard(ctx, its, func(ctx context.Context) error {
		err := f(ctx)
		if isLate(ctx, err) {
			late = fmt.Errorf("%w: %w", state.ErrUnavailable, err)
			return errLate
		}
		return err
	})
	if late != nil {
		return late
	}
	return err
}

// errLate stands for an operation that took too long for its subject.
var errLate = errors.New("store: an operation by subject took too long")

// isOutage says whether an error is none that a healthy store returns.
func isOutage(err error) bool {
	for _, word := range []error{nil, state.ErrNotFound, state.ErrConflict, state.ErrExists, state.ErrFull} {
		if errors.Is(err, word) {
			return false
		}
	}
	return true
}

func (g *guarded) Create(ctx context.Context, k state.Key, r state.Record) error {
	return g.guard(ctx, &g.writes, func(ctx context.Context) error { return g.Store.Create(ctx, k, r) })
}

func (g *guarded) Load(ctx context.Context, k state.Key) (r state.Record, err error) {
	err = g.guard(ctx, &g.reads, func(ctx context.Context) (err error) { r, err = g.Store.Load(ctx, k); return err })
	return r, err
}

func (g *guarded) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	return g.guard(ctx, &g.writes, func(ctx context.Context) error { return g.Store.Update(ctx, k, rev, r) })
}

func (g *guarded) Delete(ctx context.Context, k state.Key) error {
	return g.guard(ctx, &g.writes, func(ctx context.Context) error { return g.Store.Delete(ctx, k) })
}

func (g *guarded) BySubject(ctx context.Context, subject string) (all []state.Entry, err error) {
	err = g.guardSubject(ctx, &g.reads, func(ctx context.Context) (err error) { all, err = g.Store.BySubject(ctx, subject); return err })
	return all, err
}

func (g *guarded) Logins(ctx context.Context, q state.LoginQuery) (all []state.LoginHead, err error) {
	err = g.guardSubject(ctx, &g.reads, func(ctx context.Context) (err error) { all, err = g.Store.Logins(ctx, q); return err })
	return all, err
}

func (g *guarded) EndSubject(ctx context.Context, e state.Ending) (n int, err error) {
	err = g.guardSubject(ctx, &g.writes, func(ctx context.Context) (err error) { n, err = g.Store.EndSubject(ctx, e); return err })
	return n, err
}

// RefusesWrites reports whether the store failed at the last write. It may answer and
// be read all the same.
func (g *guarded) RefusesWrites() bool { return g.unwritten.Load() }

// Ping asks the store itself, whether or not it rests: readiness is not to be
// guessed. If it answers, its rest is over.
func (g *guarded) Ping(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	err := g.Store.Ping(bounded)
	if err == nil {
		g.reads.Store(0)
		g.writes.Store(0)
	}
	return err
}

// Warnings implements Warner. They are no operation: a store that cannot be
// asked gets no rest for it.
func (g *guarded) Warnings(ctx context.Context) []string {
	w, ok := g.Store.(Warner)
	if !ok {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	return w.Warnings(bounded)
}
