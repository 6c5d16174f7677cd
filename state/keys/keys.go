// Package keys holds the secrets that sign, seal and verify what clients hold.
//
// With client-held state the key is the database: whoever has it can write any
// record. So each purpose has keys of its own (NIST SP 800-57 part 1, 5.2: one
// key, one purpose), and several keys may stand beside each other: the first
// of a purpose makes new credentials, all of them verify old ones.
package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"
)

// Purpose says what a key is for. A key never serves two purposes.
type Purpose string

// The purposes, with the algorithm that each is bound to (RFC 8725, 3.1: a key
// is used with exactly one algorithm).
const (
	CookieSigning Purpose = "cookie-signing" // HMAC-SHA-256, RFC 2104
	CookieSealing Purpose = "cookie-sealing" // AES-256-GCM, NIST SP 800-38D
	TokenEdDSA    Purpose = "token-eddsa"    // Ed25519, RFC 8037
	TokenHS256    Purpose = "token-hs256"    // HMAC-SHA-256, RFC 7518, 3.2
)

// Purposes lists every purpose in the order of the key file.
func Purposes() []Purpose {
	return []Purpose{CookieSigning, CookieSealing, TokenEdDSA, TokenHS256}
}

// idBytes is the length of an id, which is written in hexadecimal digits.
const idBytes = 4

// secretBytes is the length of every secret: the hash length that RFC 7518,
// 3.2 demands of HMAC keys, an AES-256 key, and an Ed25519 seed.
const secretBytes = 32

// What a ring cannot do.
var (
	// ErrNoKey means that a ring has no key for a purpose, or none that signs:
	// nobody can say whether a credential is good.
	ErrNoKey = errors.New("keys: no key for this purpose")
	// ErrNoMatch means that it has keys, and that a credential was made with
	// none of them.
	ErrNoMatch = errors.New("keys: none of the keys fits")
)

// Key is one secret, or the public half of one, with its id and the moment it
// was made. It is immutable and safe for concurrent use.
type Key struct {
	ID      string
	Purpose Purpose
	Created time.Time

	secret []byte             // nil where only the public half is known
	aead   cipher.AEAD        // CookieSealing only
	signer ed25519.PrivateKey // TokenEdDSA only
	public ed25519.PublicKey  // TokenEdDSA only
}

// NewKey prepares a key of 32 secret bytes. Its id is derived from a hash of
// the secret, so that two keys cannot share one by mistake, and tells nothing
// about it.
func NewKey(purpose Purpose, secret []byte, created time.Time) (*Key, error) {
	if !slices.Contains(Purposes(), purpose) {
		return nil, fmt.Errorf("keys: unknown purpose %q", purpose)
	}
	if len(secret) != secretBytes {
		return nil, fmt.Errorf("keys: a %s key has %d bytes, want %d", purpose, len(secret), secretBytes)
	}
	id := sha256.Sum256(append([]byte("statelab key id\x00"+string(purpose)+"\x00"), secret...))
	k := &Key{ID: hex.EncodeToString(id[:idBytes]), Purpose: purpose, Created: created.UTC(), secret: slices.Clone(secret)}
	switch purpose {
	case CookieSealing:
		block, err := aes.NewCipher(secret)
		if err != nil {
			return nil, err
		}
		// The nonce is 96 random bits drawn by the cipher itself, so a repeated
		// nonce, which would break GCM, cannot be a programming error of ours.
		if k.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, err
		}
	case TokenEdDSA:
		k.signer = ed25519.NewKeyFromSeed(secret)
		k.public = ed25519.PublicKey(k.signer[ed25519.PublicKeySize:])
	}
	return k, nil
}

// newPublicKey prepares the public half of the TokenEdDSA key with this id. It
// verifies and cannot sign.
func newPublicKey(id string, public []byte, created time.Time) (*Key, error) {
	if b, err := hex.DecodeString(id); err != nil || len(b) != idBytes {
		return nil, fmt.Errorf("keys: %q is no id of a key", id)
	}
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("keys: a public %s key has %d bytes, want %d", TokenEdDSA, len(public), ed25519.PublicKeySize)
	}
	return &Key{ID: id, Purpose: TokenEdDSA, Created: created.UTC(), public: slices.Clone(public)}, nil
}

// Signs says whether the key can make credentials, and not only verify them.
func (k *Key) Signs() bool { return k.secret != nil }

// Secret returns the bytes of an HMAC key. The caller must not change them.
func (k *Key) Secret() []byte { return k.secret }

// AEAD returns the cipher of a CookieSealing key.
func (k *Key) AEAD() cipher.AEAD { return k.aead }

// Signer returns the private key of a TokenEdDSA key.
func (k *Key) Signer() ed25519.PrivateKey { return k.signer }

// Public returns the public half of a TokenEdDSA key.
func (k *Key) Public() ed25519.PublicKey { return k.public }

// String names the key without its secret, so that no log line can hold one.
func (k *Key) String() string { return string(k.Purpose) + ":" + k.ID }

// GoString keeps the secret out of %#v as well.
func (k *Key) GoString() string { return k.String() }

// Ring holds the keys in force. It is safe for concurrent use; each look-up
// sees one consistent set, also while Replace swaps it.
type Ring struct {
	set atomic.Pointer[set]
	// outdated is told of a set in which nothing fits, and may replace it. Nil
	// where there is no file to look at.
	outdated func(*set)
}

type set struct {
	byPurpose map[Purpose][]*Key // newest first
}

func newSet(keys []*Key) *set {
	s := &set{byPurpose: make(map[Purpose][]*Key)}
	for _, k := range keys {
		s.byPurpose[k.Purpose] = append(s.byPurpose[k.Purpose], k)
	}
	return s
}

func (s *set) active(p Purpose) (*Key, error) {
	if ks := s.byPurpose[p]; len(ks) > 0 && ks[0].Signs() {
		return ks[0], nil
	}
	return nil, ErrNoKey
}

func (s *set) matching(p Purpose, fits func(*Key) bool) (*Key, error) {
	for _, k := range s.byPurpose[p] {
		if fits(k) {
			return k, nil
		}
	}
	if len(s.byPurpose[p]) == 0 {
		return nil, ErrNoKey
	}
	return nil, ErrNoMatch
}

// NewRing makes a ring of keys; of each purpose the first one given signs, if it
// can.
func NewRing(keys ...*Key) *Ring {
	r := new(Ring)
	r.Replace(keys...)
	return r
}

// Generate makes a ring with one new key for each purpose out of random, which
// must be a cryptographically secure source.
func Generate(random io.Reader, now time.Time) (*Ring, error) {
	var all []*Key
	for _, p := range Purposes() {
		secret := make([]byte, secretBytes)
		if _, err := io.ReadFull(random, secret); err != nil {
			return nil, fmt.Errorf("keys: reading randomness: %w", err)
		}
		k, err := NewKey(p, secret, now)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return NewRing(all...), nil
}

// Replace swaps the whole set at once: requests under way finish with the keys
// they have looked up.
func (r *Ring) Replace(keys ...*Key) { r.set.Store(newSet(keys)) }

// Active returns the key that makes new credentials, or ErrNoKey.
func (r *Ring) Active(p Purpose) (*Key, error) { return r.set.Load().active(p) }

// Verifying returns the keys that old credentials may have been made with, the
// active one first. The caller must not change the slice.
func (r *Ring) Verifying(p Purpose) []*Key { return r.set.Load().byPurpose[p] }

// All returns every key, in the order of the key file.
func (r *Ring) All() []*Key {
	s := r.set.Load()
	var all []*Key
	for _, p := range Purposes() {
		all = append(all, s.byPurpose[p]...)
	}
	return all
}

// Matching returns the verifying key that a credential was made with, by trying
// them. It returns ErrNoMatch if that is none of them, and ErrNoKey if there
// is none to try. Before it says either, a ring that is watched looks for newer
// keys: the credential may come from another node, which was faster to learn of
// a rotation.
func (r *Ring) Matching(p Purpose, fits func(*Key) bool) (*Key, error) {
	tried := r.set.Load()
	k, err := tried.matching(p, fits)
	if err != nil && r.outdated != nil {
		r.outdated(tried)
		if now := r.set.Load(); now != tried {
			return now.matching(p, fits)
		}
	}
	return k, err
}

// Find is Matching by id. The id is only ever compared: a kid out of a token
// never becomes a path, a query or an address (RFC 8725, 3.10).
func (r *Ring) Find(p Purpose, id string) (*Key, error) {
	return r.Matching(p, func(k *Key) bool { return k.ID == id })
}

// Verifier returns a ring with the public keys of r alone: with it a node can verify tokens
// and sign none.
func (r *Ring) Verifier() *Ring {
	var public []*Key
	for _, k := range r.All() {
		if k.public != nil {
			public = append(public, &Key{ID: k.ID, Purpose: k.Purpose, public: k.public})
		}
	}
	return NewRing(public...)
}
