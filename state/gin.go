package state

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/gob"
	"errors"
	"io"
	"net/http"
	"time"

	ginsessions "github.com/gin-contrib/sessions"
	"github.com/gorilla/sessions"
)

// GinStore is a sessions.Store of gin-contrib/sessions over any Store: a
// drop-in for every Gin application that uses sessions.Sessions and
// sessions.Default. It keeps the promises of the session strategy:
//
//   - an identifier that the server did not make, or has ended, is never
//     adopted: saving then makes a new one;
//   - setting RenewKey before Save renews the identifier, for logins and every
//     other change of privilege;
//   - Save returns ErrConflict instead of overwriting what another request has
//     saved, or bringing back what it has ended, meanwhile, and an error that
//     wraps ErrUnavailable where the store failed, and a *UnstorableError for
//     encoded values over StateLimit: the old ones stay;
//   - Options{MaxAge: -1} deletes the record, and the cookie with the attributes
//     that it was set with;
//   - the record expires on the server: MaxAge after the last Save, or
//     DefaultIdle where MaxAge is 0, a cookie that ends with the browser.
//
// Values are encoded with encoding/gob, as by the stores of gin-contrib.
type GinStore struct {
	store   Store
	options sessions.Options
	now     func() time.Time
	random  io.Reader
}

var _ ginsessions.Store = (*GinStore)(nil)

// DefaultIdle is how long the record of a cookie without MaxAge is kept after
// the last Save.
const DefaultIdle = 24 * time.Hour

type renewKey struct{}

// RenewKey makes the next Save, if it is set to any value, renew the session's
// identifier and delete the old record (OWASP Session Management: Renew the
// Session ID After Any Privilege Level Change). The value itself is not kept.
var RenewKey any = renewKey{}

// grip is what ties the values of a session to their record. It travels in the
// values, since gorilla's Session has no other room, and is not kept.
type grip struct {
	credential string
	rev        int64
}

type gripKey struct{}

// foreignSlug keeps the records of other applications apart from strategies'.
const foreignSlug = "gin"

// NewGinStore returns a GinStore over store. Its cookies are HttpOnly,
// SameSite=Lax, on path "/" and end with the browser until Options says
// otherwise. Serve them over TLS with Options{Secure: true}.
func NewGinStore(store Store) *GinStore {
	return &GinStore{
		store: store, now: time.Now, random: rand.Reader,
		options: sessions.Options{Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode},
	}
}

// Options replaces the attributes of the cookies that sessions begin with.
func (s *GinStore) Options(o ginsessions.Options) { s.options = *o.ToGorillaOptions() }

// Get returns the session of this request, the same one for every call.
func (s *GinStore) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New returns the session that r carries, or else a new one. It never returns
// nil. The error wraps ErrUnavailable where the store could not say.
func (s *GinStore) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(s, name)
	options := s.options
	session.Options, session.IsNew = &options, true

	for _, c := range r.CookiesNamed(name) {
		o, rec, err := open(r.Context(), s.store, foreignSlug, c.Value)
		if err != nil {
			if errors.Is(err, ErrUnavailable) {
				return session, err
			}
			continue
		}
		values := make(map[any]any)
		if gob.NewDecoder(bytes.NewReader(rec.Foreign)).Decode(&values) != nil {
			continue // of types that this program does not know
		}
		values[gripKey{}] = grip{c.Value, rec.Rev}
		session.Values, session.ID, session.IsNew = values, o.key.String(), false
		return session, nil
	}
	return session, nil
}

// Save keeps the session's values and sets its cookie.
func (s *GinStore) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	ctx := r.Context()
	held, known := session.Values[gripKey{}].(grip)
	_, renew := session.Values[RenewKey]
	if session.Options.MaxAge < 0 {
		return s.end(ctx, w, session)
	}
	rec, err := s.record(session)
	if err != nil {
		return err
	}
	if known && !renew {
		o, _ := parseOpaque(foreignSlug, held.credential)
		rec.Rotation.Current = digestOf(o.secret)
		switch err := s.store.Update(ctx, o.key, held.rev, rec); {
		case errors.Is(err, ErrNotFound):
			// Ended since it was read. A new record would bring the old values
			// back, in the cookie of an answer that comes after the logout's.
			return ErrConflict
		case err != nil:
			return failed(err)
		}
		s.hold(w, session, grip{held.credential, held.rev + 1})
		return nil
	}
	credential, k, rotation, err := mint(s.random, foreignSlug)
	if err != nil {
		return err
	}
	rec.Rotation = rotation
	if err := failed(s.store.Create(ctx, k, rec)); err != nil {
		return err
	}
	if old, ok := ParseKey(session.ID); ok {
		if err := failed(s.store.Delete(ctx, old)); err != nil {
			return err
		}
	}
	session.ID = k.String()
	s.hold(w, session, grip{credential, 1})
	return nil
}

// record returns the record that holds the session's values.
func (s *GinStore) record(session *sessions.Session) (Record, error) {
	values := make(map[any]any, len(session.Values))
	for k, v := range session.Values {
		switch k.(type) {
		case gripKey, renewKey:
		default:
			values[k] = v
		}
	}
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(values); err != nil {
		return Record{}, err
	}
	if size := buf.Len(); size > StateLimit {
		return Record{}, &UnstorableError{Limit: StateLimit, Size: size}
	}
	life := DefaultIdle
	if session.Options.MaxAge > 0 {
		life = time.Duration(session.Options.MaxAge) * time.Second
	}
	now := MicrosOf(s.now())
	return Record{Kind: KindForeign, Strategy: foreignSlug, Foreign: buf.Bytes(), LastSeen: now, Expires: now.Add(life)}, nil
}

// hold ties the session to its record from now on, and sets the cookie.
func (s *GinStore) hold(w http.ResponseWriter, session *sessions.Session, g grip) {
	delete(session.Values, RenewKey)
	session.Values[gripKey{}] = g
	put(w, sessions.NewCookie(session.Name(), g.credential, session.Options))
}

// end deletes the record and the cookie. Options{MaxAge: -1} alone would lose
// the path and leave the cookie where it is, so what it leaves open is taken
// from the store's options.
func (s *GinStore) end(ctx context.Context, w http.ResponseWriter, session *sessions.Session) error {
	if k, ok := ParseKey(session.ID); ok {
		if err := failed(s.store.Delete(ctx, k)); err != nil {
			return err
		}
	}
	options := s.options
	options.MaxAge = -1
	if session.Options.Path != "" {
		options.Path = session.Options.Path
	}
	if session.Options.Domain != "" {
		options.Domain = session.Options.Domain
	}
	put(w, sessions.NewCookie(session.Name(), "", &options))
	return nil
}
