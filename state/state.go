// Package state answers where the state of a login lives.
//
// A [Strategy] keeps a [Login] between two requests: on the server behind an
// opaque credential, in a cookie that the client holds, or in a signed token.
// A [Store] is the server's side of it. Strategies differ in what they
// promise, and say so as data in their [Traits].
package state

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	gorilla "github.com/gorilla/sessions"
)

// Micros is a moment in microseconds since the Unix epoch. Integers compare
// and travel the same everywhere: in memory, in a database, in a cookie.
type Micros int64

// MicrosOf returns t in microseconds.
func MicrosOf(t time.Time) Micros { return Micros(t.UnixMicro()) }

// Time returns the moment as a time in UTC.
func (m Micros) Time() time.Time { return time.UnixMicro(int64(m)).UTC() }

// Add returns the moment d later.
func (m Micros) Add(d time.Duration) Micros { return m + Micros(d.Microseconds()) }

// Sub returns the time from o to m.
func (m Micros) Sub(o Micros) time.Duration { return time.Duration(m-o) * time.Microsecond }

// Login is the state that every strategy keeps from login to logout. Only who
// holds it differs.
//
// A Login is a value. Cart is shared between copies and is replaced, never
// changed in place.
type Login struct {
	// ID names this login to its owner (22 characters). It is no credential:
	// knowing it opens nothing.
	ID string `json:"sid"`
	// Subject, Username, DisplayName and Role are copies from the account,
	// made at login. A copy is a photograph: it shows the role of that moment.
	Subject     string `json:"sub"`
	Username    string `json:"preferred_username"`
	DisplayName string `json:"name"`
	Role        string `json:"role"`

	Theme    string   `json:"theme"`             // "light", "dark" or "system"
	Language string   `json:"language"`          // BCP 47
	Nickname string   `json:"nickname,omitzero"` // 0 to 64 characters
	Note     string   `json:"note,omitzero"`     // 0 to 256 characters
	Credits  int64    `json:"credits"`
	Cart     []string `json:"cart,omitempty"` // 0 to 200 items

	// Version counts the changes that the user made to this state, from 1.
	Version   int64  `json:"version"`
	IssuedAt  Micros `json:"issued_at"`
	ExpiresAt Micros `json:"expires_at"` // the absolute end, which reads never move
}

// complete says whether a login that a client has brought back has all that
// every login has. It may be signed and yet come from another version.
func (l *Login) complete() bool {
	return len(l.ID) == secretChars && !strings.ContainsFunc(l.ID, notJOSE) &&
		l.Subject != "" && l.Username != "" && l.DisplayName != "" && l.Role != "" && l.Theme != "" && l.Language != "" &&
		l.Credits >= 0 && l.Version >= 1 && l.IssuedAt > 0 && l.ExpiresAt > l.IssuedAt && l.ExpiresAt < endOfDates
}

// StateLimit is the largest state that a server stores, in bytes of the Login as
// a JSON document. What a strategy adds to it in a record, such as hashes and
// dates, does not count: the same state fits into every strategy that stores it.
const StateLimit = 24 << 10

// Bounds of a Login as a JSON document. A byte of text takes at most six, as a
// control character does, and an item of the cart has quotes and a comma.
const (
	escapedByte = len(`\u0000`)
	loginFixed  = 512 // names of members, numbers and dates
)

// storable returns a *UnstorableError for a state over StateLimit. It encodes
// only a state that its lengths do not show to fit.
func (l *Login) storable() error {
	text := len(l.ID) + len(l.Subject) + len(l.Username) + len(l.DisplayName) + len(l.Role) +
		len(l.Theme) + len(l.Language) + len(l.Nickname) + len(l.Note)
	for _, item := range l.Cart {
		text += len(item) + len(`"",`)
	}
	if text*escapedByte+loginFixed <= StateLimit {
		return nil
	}
	doc, err := json.Marshal(l)
	if err == nil && len(doc) > StateLimit {
		err = &UnstorableError{Limit: StateLimit, Size: len(doc)}
	}
	return err
}

// endOfDates is the first moment that RFC 3339 cannot write, the year 10000.
const endOfDates Micros = 253402300800e6

// What a new login starts with.
const (
	DefaultTheme    = "light"
	DefaultLanguage = "en"
	DefaultCredits  = 100
)

// NewLogin returns the state of a fresh login. The strategy adds its id and
// its dates.
func NewLogin(subject, username, displayName, role string) Login {
	return Login{
		Subject: subject, Username: username, DisplayName: displayName, Role: role,
		Theme: DefaultTheme, Language: DefaultLanguage, Credits: DefaultCredits, Version: 1,
	}
}

// Credential is what the client must hold from now on.
type Credential struct {
	Kind         string `json:"kind"`                   // "cookie" or "bearer"
	Name         string `json:"name,omitzero"`          // of the cookie
	AccessToken  string `json:"access_token,omitzero"`  // RFC 6749, 5.1
	TokenType    string `json:"token_type,omitzero"`    // "Bearer"
	ExpiresIn    int64  `json:"expires_in,omitzero"`    // seconds until the access token expires
	RefreshToken string `json:"refresh_token,omitzero"` // stands only in answers of login and refresh
	Bytes        int    `json:"bytes"`                  // what every further request carries for it
}

// Strategy keeps a login between requests. Route groups of the API differ only
// in the strategy behind them.
//
// Implementations are safe for concurrent use. They use net/http alone, so
// that they can be tried with httptest. Every method that needs a store fails
// with an error that wraps [ErrUnavailable] if the store failed, and has then
// set no cookie and cleared none.
type Strategy interface {
	// Transport carries the credential.
	Transport

	// Traits says what the strategy promises. It does not change while the
	// strategy lives.
	Traits() Traits

	// Start begins a new login with the state l and ends the login that r
	// carried, if any. It never adopts an identifier that came with r (OWASP
	// Session Management: Renew the Session ID After Any Privilege Level
	// Change). It returns the login with its id and dates. A credential that
	// would not fit is a [*TooLargeError], a state over StateLimit that the
	// server would store a [*UnstorableError].
	Start(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error)

	// Load returns the login that r carries, to use it. Having no ResponseWriter, it
	// cannot set a cookie: reading never changes what the client holds. Errors:
	// ErrNoCredential, ErrAmbiguous, ErrBadSignature, ErrUnknown, ErrExpired,
	// ErrNotYetValid, ErrRevoked.
	Load(r *http.Request) (Held, error)

	// Save keeps l, a changed copy of the login that Load returned for r as h. Where
	// the strategy can tell that another request has changed the login since, it
	// returns ErrConflict. A credential that would not fit is a
	// [*TooLargeError], and a state over StateLimit that the server would store
	// is a [*UnstorableError]; both leave the old state intact.
	Save(w http.ResponseWriter, r *http.Request, h Held, l Login) (Login, Credential, error)

	// Open returns the login that r carries, to refresh or to end it. Presented is a
	// refresh token out of the body if the trait RefreshToken is "body", or else "".
	// Besides Load's errors it returns ErrReuse for a refresh token that was used
	// before, together with the login that it has ended for that.
	Open(r *http.Request, presented string) (Held, error)

	// Refresh renews the login that Open returned for r: a new credential, the same
	// state. Its errors are those of Open.
	Refresh(w http.ResponseWriter, r *http.Request, h Held) (Login, Credential, error)

	// End ends the login that Open or Load returned for r, and clears its credential.
	End(w http.ResponseWriter, r *http.Request, h Held) error
}

// Held is a login that a request carries, with what the strategy has found on the way
// to it: the methods that follow neither read nor verify it again.
type Held struct {
	Login

	credential string           // as the request carries it
	key        Key              // of the record, which the strategy has read
	record     Record           // zero if it has read none
	decoded    any              // what the credential itself says
	expires    int64            // the second at which an access token expires
	session    *gorilla.Session // of a strategy behind gin-contrib/sessions
}

// Lister is a Strategy that can say which logins a subject has, since somebody
// on the server's side remembers them.
type Lister interface {
	// Logins returns the live logins of the subject, the oldest first.
	Logins(ctx context.Context, subject string) ([]LoginInfo, error)
	// EndLogin ends one of them, or returns ErrUnknown.
	EndLogin(ctx context.Context, subject, id string) error
}

// Ender is a Strategy that can end logins of a subject without seeing their
// credentials. It does so if its trait Everywhere says so.
type Ender interface {
	// EndAll ends the subject's logins that began by the moment until, but for
	// the one with the id except, which may be "".
	EndAll(ctx context.Context, subject, except string, until Micros) error
}

// EndConfirmer is a Strategy that writes down which logins have ended: if a store loses
// that record, copies that clients hold are good again.
type EndConfirmer interface {
	// ConfirmEnd returns nil if the store knows that the subject's logins that began by
	// the moment until have ended, ErrUnknown if it does not, or an error that wraps
	// ErrUnavailable.
	ConfirmEnd(ctx context.Context, subject string, until Micros) error
}

// LoginInfo describes one login of a subject to its owner.
type LoginInfo struct {
	ID                            string
	IssuedAt, LastSeen, ExpiresAt Micros
}

// Remembering is a Strategy that goes by records of its Store which it has read a
// moment ago.
type Remembering interface {
	// Records is the Store with what the strategy remembers of it: who reads or
	// changes records beside the strategy does so here.
	Records() Store
}

// Caching is a Strategy that may remember the credentials it has verified.
type Caching interface {
	// CacheLookups returns how many credentials were remembered and how many
	// were not. Both are 0 where nothing is remembered.
	CacheLookups() (hits, misses uint64)
}

// Paged is a Strategy with a page of its own, at the path where the others have the
// one that is the same for all. It has a form, which is sent to the page itself.
type Paged interface {
	// Page returns the page as HTML, and sets the cookies that come with it. Errors
	// as Load, but that nobody needs to be logged in.
	Page(w http.ResponseWriter, r *http.Request) (string, error)
}

// Inspector is a Strategy that can show a learner what a request carried and
// what the server holds for it. Both come without any secret.
type Inspector interface {
	// Inspect describes the login that Load returned for r.
	Inspect(r *http.Request, h Held) (Inspection, error)
}

// Inspection is what a request carried for a login, and what the server holds.
type Inspection struct {
	Carried Carried       `json:"carried"`
	Held    *StoredRecord `json:"held"`
}

// Carried describes a credential as it travelled.
type Carried struct {
	In                 string `json:"in"`           // "cookie" or "authorization"
	Name               string `json:"name"`         // of the cookie or the header
	Bytes              int    `json:"bytes"`        // as Credential.Bytes
	ValueMasked        string `json:"value_masked"` // never enough of it to use it
	Decoded            any    `json:"decoded"`      // nil where there is nothing to decode
	ReadableWithoutKey bool   `json:"readable_without_key"`
	ProtectedBy        string `json:"protected_by"` // as in Traits
}

// StoredRecord is the record that the server stores for a login.
type StoredRecord struct {
	Store  string `json:"store"` // "memory", "sqlite", "postgres" or "redis"
	Bytes  int    `json:"bytes"` // of the record as a document
	Record any    `json:"record"`
	// CachedSeconds is how old this is, where a node goes by what it remembers.
	CachedSeconds *float64 `json:"cached_seconds,omitempty"`
}

// Roles returns the role that a subject has now, or ErrNotFound if the subject
// has no account any more.
type Roles func(ctx context.Context, subject string) (role string, err error)

// digest is the form in which the server keeps a secret: it recognises the
// secret and cannot give it away.
type digest [sha256.Size]byte

func digestOf(secret string) digest { return sha256.Sum256([]byte(secret)) }

// secretChars is the length of one half of an opaque credential: 128 random
// bits (OWASP ASVS 5.0, 7.2.3) in base64url without padding.
const secretChars = 22

// newSecret draws 128 bits from random.
func newSecret(random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b[:]), nil
}
