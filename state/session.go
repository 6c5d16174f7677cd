package state

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"
)

// session keeps the login on the server, in a Store. The client holds an
// opaque random credential.
//
// It does by hand what the README of gin-contrib/sessions leaves open, each
// for a reason (GinStore offers the same to applications built on it):
//
//   - The credential is new at every login and its predecessor is deleted:
//     gin-contrib keeps the id of the cookie, so an id that was planted before
//     the login or ended by a logout comes to life (session fixation).
//   - A failing store is an error. sessions.Default logs it and carries on
//     with an empty session, so an outage looks like a logout.
//   - Writes compare a revision. Whole-record writes without one lose updates,
//     and a slow request can undo a logout.
//   - Expiry, idle and absolute, is the record's and judged by the server.
//     MaxAge alone only asks the browser to forget.
//   - The store keeps hashes: a dump of it logs nobody in.
type session struct {
	Config
	Transport
	loginIndex
}

var (
	_ Strategy  = (*session)(nil)
	_ Lister    = (*session)(nil)
	_ Ender     = (*session)(nil)
	_ Inspector = (*session)(nil)
)

// NewSession returns the strategy that keeps logins in c.Store. Its credential
// travels by t.
func NewSession(c Config, t Transport) Strategy { return newSession(c, t) }

func newSession(c Config, t Transport) *session { return &session{c, t, newSessionIndex(c)} }

// newSessionIndex returns the index of logins whose records are deleted at their end.
func newSessionIndex(c Config) loginIndex {
	end := func(ctx context.Context, _ string, k Key) error { return c.Store.Delete(ctx, k) }
	return newLoginIndex(c, KindLogin, end, 10*time.Second)
}

func (s *session) Traits() Traits {
	return traitsOf(s.Transport, Traits{
		Holder: HolderServer, KeptIn: s.Place, ProtectedBy: ProtectedByRandomness,
		TamperProof: true, RollbackProof: true, Revocable: true, Listable: true, Everywhere: true, Slides: true,
		StrictID: true, RenewsID: true, Expires: true, Versioned: true,
		SurvivesRestart: string(s.Place), NeedsSharedStore: true,
	})
}

func (s *session) Start(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	credential, k, rotation, err := mint(s.Rand, s.Slug)
	if err != nil {
		return Login{}, Credential{}, err
	}
	now := s.now()
	l.ID, l.IssuedAt, l.ExpiresAt = k.String(), now, now.Add(s.SessionMax)
	rec := Record{
		Kind: KindLogin, Strategy: s.Slug, Login: l, Rotation: rotation, LastSeen: now, Expires: until(now, s.SessionIdle, l),
	}
	if err := l.storable(); err != nil {
		return Login{}, Credential{}, err
	}
	old, err := s.presented(r.Context(), s.All(r))
	if err != nil {
		return Login{}, Credential{}, err
	}
	if err := s.replace(r.Context(), old, k, rec, now); err != nil {
		return Login{}, Credential{}, err
	}
	c, err := s.Write(w, r, credential, Lives{s.SessionMax, s.SessionMax})
	return l, c, err
}

func (s *session) Load(r *http.Request) (Held, error) {
	h, err := s.Open(r, "")
	if err != nil {
		return Held{}, err
	}
	touch(r.Context(), s.Store, h.key, &h.record, s.now(), s.SessionIdle)
	return h, nil
}

func (s *session) Save(_ http.ResponseWriter, r *http.Request, h Held, l Login) (Login, Credential, error) {
	if err := l.storable(); err != nil {
		return Login{}, Credential{}, err
	}
	h.record.Login = l
	switch err := s.Store.Update(r.Context(), h.key, h.record.Rev, h.record); {
	case errors.Is(err, ErrNotFound):
		return Login{}, Credential{}, ErrUnknown
	case err != nil:
		return Login{}, Credential{}, failed(err)
	}
	return l, s.Carriage(r).describe(h.credential, l.ExpiresAt.Sub(s.now())), nil
}

// Open returns the login whose record the credential opens.
func (s *session) Open(r *http.Request, _ string) (Held, error) {
	credential, err := s.Read(r)
	if err != nil {
		return Held{}, err
	}
	o, rec, err := open(r.Context(), s.Store, s.Slug, credential)
	return Held{Login: rec.Login, credential: credential, key: o.key, record: rec}, err
}

func (s *session) Refresh(w http.ResponseWriter, r *http.Request, h Held) (Login, Credential, error) {
	o := opaque{h.key, h.credential[secretChars:]}
	now := s.now()
	// No overlap: the old credential is dead at once. It is simply unknown, as
	// any other wrong one, and ends nothing.
	rec, successor, err := rotate(r.Context(), s.Store, o, h.record, now, 0, func(rec *Record) (err error) {
		rec.LastSeen, rec.Expires = now, until(now, s.SessionIdle, rec.Login)
		rec.Login.Role, err = s.role(r.Context(), rec.Login.Subject)
		return err
	})
	switch {
	case errors.Is(err, ErrReuse), errors.Is(err, ErrRevoked) && rec.Rotation.Revoked:
		return Login{}, Credential{}, ErrUnknown
	case errors.Is(err, ErrRevoked): // the account is gone, and its logins with it
		return Login{}, Credential{}, cmp.Or(failed(s.Store.Delete(r.Context(), o.key)), err)
	case err != nil:
		return Login{}, Credential{}, err
	}
	lives := rec.Login.ExpiresAt.Sub(now)
	c, err := s.Write(w, r, h.credential[:secretChars]+successor, Lives{lives, lives})
	return rec.Login, c, err
}

func (s *session) End(w http.ResponseWriter, r *http.Request, h Held) error {
	if err := s.Store.Delete(r.Context(), h.key); err != nil {
		return failed(err)
	}
	s.Clear(w, r)
	return nil
}

func (s *session) Inspect(r *http.Request, h Held) (Inspection, error) {
	held, err := s.describe(h.record)
	return Inspection{Carried: s.Carriage(r).carried(h.credential, s.Traits()), Held: held}, err
}
