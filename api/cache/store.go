package cache

import (
	"context"
	"errors"
)

// A Key names an answer: a path, decoded, and within it the query and the headers
// that have chosen the answer. What changes a path invalidates all that is under it.
type Key struct{ Path, Variant string }

// A Generation is what a path is at between two invalidations.
type Generation struct {
	number uint64
	text   string
}

// ErrSuperseded is returned for an answer that was asked for before the last
// invalidation, so that it may say what was true before.
var ErrSuperseded = errors.New("cache: the path has been invalidated meanwhile")

// A Store keeps entries. It is safe for concurrent use and honours ctx. It may
// lose an entry at any moment, and judges no expiry: whoever asks does.
type Store interface {
	// Get returns the entry under the key, or nil if there is none, and the
	// path's generation: to be read before an answer is computed, and handed to
	// Set with it. An error means that the store has failed.
	Get(ctx context.Context, k Key) (*Entry, Generation, error)
	// Set keeps the entry under the key if the path is still at the generation;
	// else it returns ErrSuperseded. That is what keeps a slow reader from putting
	// back what a write has just made untrue.
	Set(ctx context.Context, k Key, g Generation, e *Entry) error
	// Invalidate ends the generation of each path: when it returns, nothing that
	// was computed before is found. Where the store cannot be reached, it does so
	// as soon as it can, before it finds anything else, and returns an error.
	Invalidate(ctx context.Context, paths ...string) error
}
