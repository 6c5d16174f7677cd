package state

import (
	"crypto/sha256"
	"slices"
	"sync/atomic"

	"github.com/maypok86/otter/v2"

	"statelab/state/keys"
)

// verifiedCache remembers what credentials that have been verified hold, so that one
// that comes again need not be verified again. It gives the server memory for a
// state that it was not to hold, which is why it is off unless it is asked for.
//
// It keeps no credential, only a hash of each, together with the strategy's slug:
// what one strategy has accepted is nothing to another. It remembers what was
// true when the credential was made, that its signature is ours, and nothing
// that can change: dates, the denylist and whether its key is in force are asked
// about every time.
type verifiedCache[T any] struct {
	slug    string
	purpose keys.Purpose
	keys    *keys.Ring

	cache        *otter.Cache[[sha256.Size]byte, verifiedCredential[T]] // nil: it is off
	hits, misses atomic.Uint64
}

type verifiedCredential[T any] struct {
	content T
	key     string // the id of the key that it was made with
}

// newVerifiedCache returns a cache of at most c.CredentialCache credentials.
func newVerifiedCache[T any](c Config, purpose keys.Purpose) *verifiedCache[T] {
	o := &verifiedCache[T]{slug: c.Slug, purpose: purpose, keys: c.Keys}
	if c.CredentialCache > 0 {
		o.cache = otter.Must(&otter.Options[[sha256.Size]byte, verifiedCredential[T]]{MaximumSize: int(c.CredentialCache)})
	}
	return o
}

// open returns what a credential holds: as verify does, which returns the id of
// the key besides, or as it is remembered, if recheck says that it is good now.
func (o *verifiedCache[T]) open(credential string, verify func(string) (T, string, error), recheck func(T) error) (T, error) {
	if o.cache == nil {
		content, _, err := verify(credential)
		return content, err
	}
	var buf [4096 + 64]byte
	hash := sha256.Sum256(append(append(append(buf[:0], o.slug...), 0), credential...))
	if found, ok := o.cache.GetIfPresent(hash); ok && o.inForce(found.key) {
		o.hits.Add(1)
		return found.content, recheck(found.content)
	}
	o.misses.Add(1)
	content, key, err := verify(credential)
	if err == nil {
		o.cache.Set(hash, verifiedCredential[T]{content, key})
	}
	return content, err
}

func (o *verifiedCache[T]) inForce(id string) bool {
	return slices.ContainsFunc(o.keys.Verifying(o.purpose), func(k *keys.Key) bool { return k.ID == id })
}

// CacheLookups implements Caching.
func (o *verifiedCache[T]) CacheLookups() (hits, misses uint64) {
	return o.hits.Load(), o.misses.Load()
}
