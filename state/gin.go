package state

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/gob"
	"errors"
	"fmt"
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
//   - setting RenewKey before Save renews the identifier, for every change of
//     privilege, and so does setting another OwnerKey, for logins;
//   - a session that could not be read because the store failed is not written
//     over: Save returns the error, and the cookie stays good;
//   - Save returns ErrConflict instead of overwriting what another request has
//     saved, or bringing back what it has ended, meanwhile, and an error that
//     wraps ErrUnavailable where the store failed, and a *UnstorableError for
//     encoded values over StateLimit: the old ones stay;
//   - Save with Options{MaxAge: -1} deletes the record, the values, and the cookie
//     with the attributes that it was set with. The session is then a new one with the
//     options of the store: what is set and saved after it begins another record;
//   - the record expires on the server: MaxAge after the last Save, or
//     DefaultIdle where MaxAge is 0, a cookie that ends with the browser. With
//     Idle it expires that long after the last request instead.
//
// Values are encoded with encoding/gob, as by the stores of gin-contrib.
type GinStore struct {
	store   Store
	slug    string // keeps its records apart from those of others
	options sessions.Options
	idle    time.Duration // 0: a record lives as long as its cookie
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

type ownerKey struct{}

// OwnerKey names the account that a session belongs to, as a string: set it at the login,
// session.Set(state.OwnerKey, accountID), and EndOwner finds the session. A session that
// gets another owner gets another identifier too, as if RenewKey were set.
var OwnerKey any = ownerKey{}

// A recordReference ties the values of a session to their record. It travels in the
// values, since gorilla's Session has no other field for it, and is not stored.
type recordReference struct {
	credential string
	key        Key
	record     Record // as it was read or written last
	failed     error  // the record could not be read; else nil
}

type recordKey struct{}

// loginKey names the Login that a strategy of statelab keeps in a session. The record
// has it in its own field, where whatever works on logins finds it.
type loginKey struct{}

// unread is the ID of a session that the store could not read. It names no record.
const unread = "unread"

// foreignSlug keeps the records of other applications apart from strategies'.
const foreignSlug = "gin"

// NewGinStore returns a GinStore over store. Its cookies are HttpOnly,
// SameSite=Lax, on path "/" and end with the browser until Options says
// otherwise. Options replaces all attributes: name those that are to stay. Over TLS use
// Options{Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: true}.
func NewGinStore(store Store) *GinStore {
	return &GinStore{
		store: store, slug: foreignSlug, now: time.Now, random: rand.Reader,
		options: sessions.Options{Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode},
	}
}

// Options replaces the attributes of the cookies that sessions begin with.
func (s *GinStore) Options(o ginsessions.Options) { s.options = *o.ToGorillaOptions() }

// Idle makes records expire after d without a request, in place of MaxAge after the last
// Save: a session that is used goes on, however long its cookie lives. New writes at most
// once a minute that a session is in use.
func (s *GinStore) Idle(d time.Duration) { s.idle = d }

// scope keeps sessions apart: the value of one cookie means nothing under the name of
// another, such as that of administrators. A strategy has one cookie, whose name depends
// on TLS.
func (s *GinStore) scope(name string) string {
	if s.slug != foreignSlug {
		return s.slug
	}
	return s.slug + "/" + name
}

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
		o, rec, err := open(r.Context(), s.store, s.scope(name), c.Value)
		if err != nil {
			if errors.Is(err, ErrUnavailable) {
				// Middleware logs the error and goes on. What it saves must not
				// take the place of a record that is only out of reach.
				// The ID says so where Clear removes values.
				session.ID = unread
				session.Values[recordKey{}] = &recordReference{failed: err}
				return session, err
			}
			continue
		}
		values := make(map[any]any)
		if len(rec.Foreign) > 0 && gob.NewDecoder(bytes.NewReader(rec.Foreign)).Decode(&values) != nil {
			continue // of types that this program does not know
		}
		if s.idle > 0 {
			touch(r.Context(), s.store, o.key, &rec, MicrosOf(s.now()), s.idle)
		}
		values[recordKey{}] = &recordReference{credential: c.Value, key: o.key, record: rec}
		if rec.Login.Subject != "" {
			values[OwnerKey] = rec.Login.Subject
		}
		if rec.Kind == KindLogin {
			values[loginKey{}] = rec.Login
		}
		session.Values, session.ID, session.IsNew = values, o.key.String(), false
		return session, nil
	}
	return session, nil
}

// Save keeps the session's values and sets its cookie.
func (s *GinStore) Save(r *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	ctx := r.Context()
	held, known := session.Values[recordKey{}].(*recordReference)
	if known && held.failed != nil {
		return held.failed
	}
	if session.ID == unread {
		return fmt.Errorf("%w: the session was not read", ErrUnavailable)
	}
	if session.Options.MaxAge < 0 {
		return s.end(ctx, w, session)
	}
	rec, err := s.record(session)
	if err != nil {
		return err
	}
	_, renew := session.Values[RenewKey]
	if known && rec.Login.Subject == held.record.Login.Subject && (!renew || rec.Kind == KindLogin) {
		return s.update(ctx, w, session, held, rec, renew)
	}
	credential, k, rotation, err := mint(s.random, s.scope(session.Name()))
	if err != nil {
		return err
	}
	rec.Rotation, rec.Login.ID, rec.Login.IssuedAt = rotation, k.String(), rec.LastSeen
	if err := failed(s.store.Create(ctx, k, rec)); err != nil {
		return err
	}
	if err := s.leave(ctx, session.ID, held); err != nil {
		// Also if the client has left meanwhile, or the request has no time any more.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
		defer cancel()
		return errors.Join(err, failed(s.store.Delete(ctx, k)))
	}
	rec.Rev, session.ID = 1, k.String()
	s.hold(w, session, &recordReference{credential: credential, key: k, record: rec})
	return nil
}

// leave ends the record with an id, because a successor takes its place. It returns
// ErrConflict if another request has changed or ended the record since it was read:
// then its values must not go on in the successor.
func (s *GinStore) leave(ctx context.Context, id string, held *recordReference) error {
	k, ok := ParseKey(id)
	if !ok {
		return nil
	}
	if held == nil { // the values were cleared
		return failed(s.store.Delete(ctx, k))
	}
	last := held.record
	last.Revoke()
	if _, err := s.change(ctx, held, last); err != nil {
		return err
	}
	_ = s.store.Delete(ctx, k) // it opens nothing any more
	return nil
}

// change replaces the record as it was read, and returns its new revision. Of one that
// has ended since, the new one would bring the old values back, in the cookie of an answer
// that comes after the logout's. A request that has only written that the session is in
// use makes no conflict.
func (s *GinStore) change(ctx context.Context, held *recordReference, rec Record) (rev int64, err error) {
	rev = held.record.Rev
	err = s.store.Update(ctx, held.key, rev, rec)
	if errors.Is(err, ErrConflict) && rec.Kind == KindForeign {
		var found Record
		if found, err = s.store.Load(ctx, held.key); err == nil {
			if found.Rotation != held.record.Rotation || !bytes.Equal(found.Foreign, held.record.Foreign) {
				return 0, ErrConflict
			}
			rev = found.Rev
			err = s.store.Update(ctx, held.key, rev, rec)
		}
	}
	if errors.Is(err, ErrNotFound) {
		return 0, ErrConflict
	}
	return rev + 1, failed(err)
}

// update replaces the record that the session was read from. A strategy's login keeps its
// id when it is renewed: the secret of its identifier is replaced in the same record.
func (s *GinStore) update(
	ctx context.Context, w http.ResponseWriter, session *sessions.Session, held *recordReference, rec Record, renew bool,
) (err error) {
	credential, before := held.credential, held.record
	rec.Rotation, rec.Login.ID, rec.Login.IssuedAt = before.Rotation, before.Login.ID, before.Login.IssuedAt
	if renew {
		credential = credential[:secretChars] + rec.Rotation.renew(credential[secretChars:], rec.LastSeen)
	}
	if rec.Rev, err = s.change(ctx, held, rec); err != nil {
		return err
	}
	s.hold(w, session, &recordReference{credential: credential, key: held.key, record: rec})
	return nil
}

// EndOwner ends the sessions of an owner that exist by now, on every node that shares
// the store: for a password that has changed, an account that is closed, or a logout
// everywhere. Only the session with the ID except goes on; "" ends all. It returns how
// many have ended. The error wraps ErrUnavailable where the store failed.
func (s *GinStore) EndOwner(ctx context.Context, owner, except string) (ended int, err error) {
	if owner == "" {
		return 0, nil // sessions without an owner stay
	}
	ended, err = s.store.EndSubject(ctx, Ending{
		Subject: owner, Strategy: s.slug, Until: MicrosOf(s.now()), Except: except, Delete: true, Kind: KindForeign,
	})
	return ended, failed(err)
}

// record returns the record that holds the session's values.
func (s *GinStore) record(session *sessions.Session) (Record, error) {
	values := make(map[any]any, len(session.Values))
	for k, v := range session.Values {
		switch k.(type) {
		case recordKey, loginKey, renewKey, ownerKey:
		default:
			values[k] = v
		}
	}
	owner, named := session.Values[OwnerKey].(string)
	if set := session.Values[OwnerKey]; set != nil && !named {
		return Record{}, fmt.Errorf("state: OwnerKey is a %T and not a string", set)
	}
	var buf bytes.Buffer
	if len(values) > 0 {
		if err := gob.NewEncoder(&buf).Encode(values); err != nil {
			return Record{}, err
		}
	}
	if size := buf.Len(); size > StateLimit {
		return Record{}, &UnstorableError{Limit: StateLimit, Size: size}
	}
	life := cmp.Or(s.idle, time.Duration(session.Options.MaxAge)*time.Second, DefaultIdle)
	now := MicrosOf(s.now())
	rec := Record{
		Kind: KindForeign, Strategy: s.slug, Foreign: buf.Bytes(), LastSeen: now,
		Login: Login{Subject: owner}, // it has no end that use does not move
	}
	if l, ok := session.Values[loginKey{}].(Login); ok {
		rec.Kind, rec.Login = KindLogin, l
	}
	rec.Expires = until(now, life, rec.Login)
	return rec, nil
}

// hold ties the session to its record from now on, and sets the cookie.
func (s *GinStore) hold(w http.ResponseWriter, session *sessions.Session, held *recordReference) {
	delete(session.Values, RenewKey)
	session.Values[recordKey{}] = held
	put(w, sessions.NewCookie(session.Name(), held.credential, session.Options))
}

// end deletes the record, the values and the cookie. Options{MaxAge: -1} alone would lose
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
	options.Path = cmp.Or(session.Options.Path, options.Path)
	options.Domain = cmp.Or(session.Options.Domain, options.Domain)
	options.HttpOnly = options.HttpOnly || session.Options.HttpOnly
	options.SameSite = cmp.Or(session.Options.SameSite, options.SameSite)
	options.Secure = options.Secure || session.Options.Secure // a name with a prefix needs it (RFC 6265bis, 4.1.3)
	put(w, sessions.NewCookie(session.Name(), "", &options))
	fresh := s.options
	session.Options, session.ID, session.IsNew = &fresh, "", true
	clear(session.Values)
	return nil
}
