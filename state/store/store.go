// Package store has what the stores of records share: their options, and the decorators that
// guard a store and count what it does. Each store is a package of its own, so that a program
// builds the drivers of those alone that it imports: memory, sqlstore and redisstore. Package
// storetest has the conformance suite that each of them passes.
package store

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"statelab/state"
)

// Options are what every store is made with.
type Options struct {
	// Now is the clock that expiry is judged by; the zero value is time.Now.
	Now func() time.Time
	// MaxRecords caps the records of a memory store, of every kind; zero means
	// memory.DefaultMaxRecords.
	MaxRecords int
	// MaxBytes caps the memory that its records take; zero means
	// memory.DefaultMaxBytes.
	MaxBytes int64
	// Patience is how long one operation may take before it counts as an outage, and
	// how long Redis may take for a command, a connection or a place in the pool; zero
	// means less than a second, as a request needs it.
	Patience time.Duration
}

// A Warner can tell what is wrong with the way its back end is set up.
type Warner interface {
	// Warnings returns a sentence for each thing, without credentials. There is
	// none where the back end is down or does not say.
	Warnings(ctx context.Context) []string
}

// Oldest sorts logins as state.Store lists them, by when they began and then by their keys,
// and returns all but the newest ones, of which it leaves out skip.
func Oldest(all []state.LoginHead, skip int) []state.LoginHead {
	slices.SortFunc(all, func(a, b state.LoginHead) int {
		return cmp.Or(cmp.Compare(a.IssuedAt, b.IssuedAt), bytes.Compare(a.Key[:], b.Key[:]))
	})
	return all[:max(0, len(all)-skip)]
}
