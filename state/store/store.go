// Package store has the back ends of state.Store, one file each, and the
// decorator that counts what they do. Package storetest has the conformance
// suite that each of them passes.
package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"statelab/state"
)

// Options are what every back end is made with.
type Options struct {
	// Now is the clock that expiry is judged by; the zero value is time.Now.
	Now func() time.Time
	// MaxRecords caps the records of a memory store, of every kind; zero means
	// DefaultMaxRecords.
	MaxRecords int
	// MaxBytes caps the memory that its records take; zero means DefaultMaxBytes.
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

// Open returns the store that address names: "memory"; "database", the one
// handed in; or an address of Redis as NewRedis reads it. The caller closes it.
func Open(address string, database state.Store, o Options) (state.Store, error) {
	scheme, _, _ := strings.Cut(address, "://")
	switch scheme {
	case "memory":
		return NewMemory(o), nil
	case "database":
		return database, nil
	case "redis", "rediss":
		s, err := NewRedis(address, o)
		if err != nil {
			return nil, err
		}
		return Guarded(s, o), nil
	}
	return nil, fmt.Errorf("there is no store %s: use memory, database, redis://HOST:PORT or rediss://HOST:PORT", scheme)
}
