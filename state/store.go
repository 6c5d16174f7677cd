package state

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/go-json-experiment/json"
)

// Key names a record in a Store. It is a truncated hash, so that a dump of the
// store shows no credential.
type Key [16]byte

// KeyOf returns the key for a list of words: the first 128 bits of the SHA-256
// of the words, each followed by a zero byte.
func KeyOf(words ...string) Key {
	var buf [128]byte
	b := buf[:0]
	for _, w := range words {
		b = append(append(b, w...), 0)
	}
	sum := sha256.Sum256(b)
	return Key(sum[:16])
}

// ParseKey reads what String has written.
func ParseKey(s string) (k Key, ok bool) {
	if len(s) != secretChars {
		return Key{}, false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(k[:], []byte(s))
	return k, err == nil && n == len(k)
}

// String returns the key in 22 characters of base64url.
func (k Key) String() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// Kind says what a record is.
type Kind string

// The kinds of records. Only logins count against a store's cap: they are what
// a visitor can make at will.
const (
	KindLogin   Kind = "login"   // a server-held login
	KindFamily  Kind = "family"  // a family of refresh tokens with its state
	KindCounter Kind = "counter" // a count that ends by itself
	KindEnded   Kind = "ended"   // which client-held logins of a subject are over
	KindForeign Kind = "foreign" // values of another application, see GinStore
)

// Record is what a Store keeps under a Key. It holds hashes of credentials,
// never credentials.
type Record struct {
	Kind     Kind     `json:"kind"`
	Strategy string   `json:"strategy,omitzero"` // the slug of the strategy that made it
	Login    Login    `json:"login,omitzero"`
	Rotation Rotation `json:"rotation,omitzero"`
	Count    int64    `json:"count,omitzero"`
	Ended    *Ended   `json:"ended,omitempty"`
	Foreign  []byte   `json:"foreign,omitempty"`
	LastSeen Micros   `json:"last_seen,omitzero"`
	Expires  Micros   `json:"expires"` // from then on the store does not know it

	// Rev is the store's revision of the record: Load fills it in, Update
	// compares it. It counts writes, unlike Login.Version, which counts changes
	// that the user made.
	Rev int64 `json:"-"`
}

// recordVersion is the version of the document that Encode writes.
const recordVersion = 1

type recordDocument struct {
	V int `json:"v"`
	Record
}

// Encode returns the record as a versioned JSON document: what stores outside
// the process keep.
func (r Record) Encode() ([]byte, error) {
	return json.Marshal(recordDocument{V: recordVersion, Record: r})
}

// DecodeRecord reads what Encode of this or an earlier version has written. It
// returns ErrNotFound for anything else: a record that nobody can read is as
// good as none, and must not keep its owner from logging in anew.
func DecodeRecord(doc []byte, rev int64) (Record, error) {
	var d recordDocument
	if err := json.Unmarshal(doc, &d); err != nil || d.V < 1 || d.V > recordVersion {
		return Record{}, ErrNotFound
	}
	d.Rev = rev
	return d.Record, nil
}

// revoke ends the login of a record that stays to say so. What its user had
// written into it goes.
func (r *Record) revoke() {
	l := r.Login
	r.Rotation.Revoked = true
	r.Login = Login{ID: l.ID, Subject: l.Subject, IssuedAt: l.IssuedAt, ExpiresAt: l.ExpiresAt}
}

// Entry is a record with its key.
type Entry struct {
	Key Key
	Record
}

// Store keeps records until they expire.
//
// Implementations are safe for concurrent use, honour the cancellation of ctx,
// and judge expiry by the clock that they were made with: from the moment
// Record.Expires on, a record is not found, whether or not it has been swept.
// An error that is none of those named here means that the store failed.
type Store interface {
	// Name says what the store is, in one word: "memory", "sqlite", "postgres"
	// or "redis".
	Name() string
	// Create keeps a new record, or returns ErrExists, or ErrFull for a login
	// above the cap: a live login is never evicted for a new one.
	Create(ctx context.Context, k Key, r Record) error
	// Load returns the record with its Rev, or ErrNotFound.
	Load(ctx context.Context, k Key) (Record, error)
	// Update replaces the record if its revision is still rev, which becomes
	// rev+1, else it returns ErrConflict. It returns ErrNotFound if the record is gone: it never
	// re-creates what a logout has deleted. A record keeps its kind and subject.
	Update(ctx context.Context, k Key, rev int64, r Record) error
	// Delete removes the record. It is no error if there is none.
	Delete(ctx context.Context, k Key) error
	// BySubject returns the live records whose login belongs to the subject,
	// by an index and not by a scan.
	BySubject(ctx context.Context, subject string) ([]Entry, error)
	// Ping returns nil if the store can serve requests.
	Ping(ctx context.Context) error
	// Close frees what the store holds. It is called once, after the last use.
	Close() error
}

// attempts bounds how often a lost race is run again. Whoever loses an update
// of a record finds it advanced, so more attempts are needed only while others
// keep writing.
const attempts = 64

// Upsert changes the record under k, or makes it out of a zero one, by
// compare-and-swap, as often as others are faster. It returns ErrConflict if
// they always are, or an error that wraps ErrUnavailable.
func Upsert(ctx context.Context, s Store, k Key, f func(*Record)) error {
	for range attempts {
		rec, err := s.Load(ctx, k)
		switch {
		case errors.Is(err, ErrNotFound):
			rec = Record{}
			f(&rec)
			err = s.Create(ctx, k, rec)
		case err == nil:
			f(&rec)
			err = s.Update(ctx, k, rec.Rev, rec)
		}
		if !errors.Is(err, ErrExists) && !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			return failed(err)
		}
	}
	return ErrConflict
}
