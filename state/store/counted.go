package store

import (
	"context"
	"errors"
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

// An Operation is one of those that a state.Store is asked for.
type Operation int

// The operations.
const (
	Create Operation = iota
	Load
	Update
	Delete
	BySubject
	Logins
	EndSubject
	Operations // is how many there are
)

func (o Operation) String() string {
	return [Operations]string{"create", "load", "update", "delete", "by_subject", "logins", "end_subject"}[o]
}

// A Result is what came of an operation.
type Result int

// The results. Those of a healthy store come first.
const (
	OK Result = iota
	NotFound
	Conflict
	Exists
	Full
	Canceled // the client has left, which says nothing of the store
	Unavailable
	Results // is how many there are
)

func (r Result) String() string {
	return [Results]string{"ok", "not_found", "conflict", "exists", "full", "canceled", "unavailable"}[r]
}

func resultOf(err error) Result {
	if err == nil {
		return OK
	}
	for i, word := range [...]error{state.ErrNotFound, state.ErrConflict, state.ErrExists, state.ErrFull, context.Canceled} {
		if errors.Is(err, word) {
			return NotFound + Result(i)
		}
	}
	return Unavailable
}

// An Observer is told of every operation of a store. It is called by many
// goroutines at once, and must not make them wait.
type Observer interface {
	Observe(o Operation, r Result, took time.Duration)
}

// Counted returns a store that adds each operation to the Cost of its context
// and tells the observer of it, if there is one.
func Counted(s state.Store, o Observer) state.Store { return counted{s, o} }

type counted struct {
	state.Store
	observer Observer
}

// done notes an operation that began at start.
func (s counted) done(ctx context.Context, start time.Time, o Operation, err error) {
	took := time.Since(start)
	if c, ok := ctx.Value(CostKey).(*Cost); ok {
		if o == Load || o == BySubject || o == Logins {
			c.Reads++
		} else {
			c.Writes++
		}
		c.Took += took
	}
	if s.observer != nil {
		s.observer.Observe(o, resultOf(err), took)
	}
}

func (s counted) Create(ctx context.Context, k state.Key, r state.Record) error {
	start := time.Now()
	err := s.Store.Create(ctx, k, r)
	s.done(ctx, start, Create, err)
	return err
}

func (s counted) Load(ctx context.Context, k state.Key) (state.Record, error) {
	start := time.Now()
	r, err := s.Store.Load(ctx, k)
	s.done(ctx, start, Load, err)
	return r, err
}

func (s counted) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	start := time.Now()
	err := s.Store.Update(ctx, k, rev, r)
	s.done(ctx, start, Update, err)
	return err
}

func (s counted) Delete(ctx context.Context, k state.Key) error {
	start := time.Now()
	err := s.Store.Delete(ctx, k)
	s.done(ctx, start, Delete, err)
	return err
}

func (s counted) BySubject(ctx context.Context, subject string) ([]state.Entry, error) {
	start := time.Now()
	all, err := s.Store.BySubject(ctx, subject)
	s.done(ctx, start, BySubject, err)
	return all, err
}

func (s counted) Logins(ctx context.Context, q state.LoginQuery) ([]state.LoginHead, error) {
	start := time.Now()
	all, err := s.Store.Logins(ctx, q)
	s.done(ctx, start, Logins, err)
	return all, err
}

func (s counted) EndSubject(ctx context.Context, e state.Ending) (int, error) {
	start := time.Now()
	n, err := s.Store.EndSubject(ctx, e)
	s.done(ctx, start, EndSubject, err)
	return n, err
}
