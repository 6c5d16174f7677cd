// Package store has the back ends of state.Store, one file each, and the
// decorator that counts what they do. Package storetest has the conformance
// suite that each of them passes.
package store

import (
	"fmt"
	"time"

	"statelab/state"
)

// Options are what every back end is made with.
type Options struct {
	// Now is the clock that expiry is judged by; the zero value is time.Now.
	Now func() time.Time
	// MaxLogins caps the live logins of a memory store; zero means
	// DefaultMaxLogins.
	MaxLogins int
}

// Open returns the store that url names. So far that is "memory".
func Open(url string, o Options) (state.Store, error) {
	switch url {
	case "memory":
		return NewMemory(o), nil
	}
	return nil, fmt.Errorf("there is no store %q in this version: use memory", url)
}
