package state

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

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

// The kinds of records. All of them count against a store's cap.
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

// Bytes of memory: a string in a slice, and a login in Ended.
const (
	stringHeader = 16
	endedBytes   = 64
)

// VariableBytes returns about how many bytes of memory the record takes beyond those of one
// with short texts, which are the same for all and depend on where it is.
func (r *Record) VariableBytes() int64 {
	l := &r.Login
	n := len(l.Nickname) + len(l.Note) + len(r.Foreign)
	for _, item := range l.Cart {
		n += len(item) + stringHeader
	}
	if r.Ended != nil {
		n += len(r.Ended.Logins) * endedBytes
	}
	return int64(n)
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

// Revoke ends the login of a record that stays to say so. Only whose login it
// was and its dates stay: the state and the hashes of the secrets go.
func (r *Record) Revoke() {
	l := r.Login
	*r = Record{
		Kind: r.Kind, Strategy: r.Strategy, Expires: r.Expires, Rev: r.Rev, Rotation: Rotation{Revoked: true},
		Login: Login{ID: l.ID, Subject: l.Subject, IssuedAt: l.IssuedAt, ExpiresAt: r.Expires},
	}
}

// Entry is a record with its key.
type Entry struct {
	Key Key
	Record
}

// A LoginHead is what a store answers about a login without reading its state, which
// may be large.
type LoginHead struct {
	Key       Key    // its text is the id of the login
	IssuedAt  Micros // the login began
	LastSeen  Micros // of the record
	ExpiresAt Micros // the login ends by then, however much it is used; 0: use moves its end
}

// HeadOf returns the head of the login in a record.
func HeadOf(k Key, r *Record) LoginHead {
	return LoginHead{Key: k, IssuedAt: r.Login.IssuedAt, LastSeen: r.LastSeen, ExpiresAt: r.Login.ExpiresAt}
}

// A LoginQuery names logins of a subject in one strategy.
type LoginQuery struct {
	Subject, Strategy string
	// Ended asks for the logins that were revoked and whose records stay to say
	// so; else it asks for the live ones.
	Ended bool
	// Skip leaves out so many of the newest. With 100 the answer is what a subject
	// has beyond 100 logins, with 0 it is all of them.
	Skip int
}

// An Ending names logins of a subject in one strategy that end.
type Ending struct {
	Subject, Strategy string
	// Ended names the logins that were revoked before, whose records only Delete
	// can end once more; else it names the live ones.
	Ended bool
	// Until is the last moment at which the logins began.
	Until Micros
	// Except is the id of a login that goes on, or "". The id of a login is the
	// key of its record.
	Except string
	// Delete removes the records. Else they stay until they expire, as
	// Record.Revoke leaves them, and have the Kind.
	Delete bool
	Kind   Kind
}

// Document returns the parts of the document that Record.Revoke leaves of a
// login that e ends, for a store that writes it without reading the record.
// Between them stand its key, its IssuedAt, and twice its Expires.
func (e Ending) Document() (parts [5]string, err error) {
	var quoted [3][]byte
	for i, text := range []string{string(e.Kind), e.Strategy, e.Subject} {
		if quoted[i], err = json.Marshal(text); err != nil {
			return parts, err
		}
	}
	return [5]string{
		fmt.Sprintf(`{"v":%d,"kind":%s,"strategy":%s,"login":{"sub":%s,"sid":"`, recordVersion, quoted[0], quoted[1], quoted[2]),
		`","issued_at":`, `,"expires_at":`, `},"rotation":{"revoked":true},"expires":`, `}`,
	}, nil
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
	// Create keeps a new record, or returns ErrExists, or ErrFull for a record
	// above the cap: a live record is never evicted for a new one.
	Create(ctx context.Context, k Key, r Record) error
	// Load returns the record with its Rev, or ErrNotFound.
	Load(ctx context.Context, k Key) (Record, error)
	// Update replaces the record if its revision is still rev, which becomes
	// rev+1, else it returns ErrConflict. It returns ErrFull for a record that would
	// grow above the cap. It returns ErrNotFound if the record is gone: it never
	// re-creates what a logout has deleted. A record keeps its kind, its strategy,
	// its subject and the moment at which its login began.
	Update(ctx context.Context, k Key, rev int64, r Record) error
	// Delete removes the record. It is no error if there is none.
	Delete(ctx context.Context, k Key) error
	// BySubject returns the records that have not expired and whose login belongs
	// to the subject, in all strategies, by an index and not by a scan.
	BySubject(ctx context.Context, subject string) ([]Entry, error)
	// Logins returns the logins that q names, by an index and not by a scan: the
	// one that began first is the first, and of two that began in one moment the
	// order is the same for every caller. To have none is no error. It reads no
	// states, so a record may be listed that Load cannot read.
	Logins(ctx context.Context, q LoginQuery) ([]LoginHead, error)
	// EndSubject ends the logins that e names, as one operation of the back end
	// where it has one, and returns how many there were. To have none is no error.
	// After an error any of them may have ended.
	EndSubject(ctx context.Context, e Ending) (ended int, err error)
	// Ping returns nil if the store can serve requests.
	Ping(ctx context.Context) error
	// Close frees what the store holds. It is called once, after the last use.
	Close() error
}

// until returns the moment at which a login that is used now ends, if idle ends it.
func until(now Micros, idle time.Duration, l Login) Micros {
	if l.ExpiresAt == 0 {
		return now.Add(idle)
	}
	return min(now.Add(idle), l.ExpiresAt)
}

// touch writes that the login of a record is in use, at most once a minute and four times
// in idle. A lost race means that another request has written it, and a store that can be
// read but not written must not end reading.
func touch(ctx context.Context, s Store, k Key, rec *Record, now Micros, idle time.Duration) {
	if now.Sub(rec.LastSeen) < min(time.Minute, idle/4) {
		return
	}
	rec.LastSeen, rec.Expires = now, until(now, idle, rec.Login)
	if s.Update(ctx, k, rec.Rev, *rec) == nil {
		rec.Rev++
	}
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
