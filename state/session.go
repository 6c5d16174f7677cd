package state

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"
)

// session keeps the login on the server, in a Store. The client holds an
// opaque random credential in a cookie.
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
	jar
	ledger
}

var (
	_ Strategy  = (*session)(nil)
	_ Lister    = (*session)(nil)
	_ Ender     = (*session)(nil)
	_ Inspector = (*session)(nil)
)

// NewSession returns the strategy that keeps logins in c.Store.
func NewSession(c Config) Strategy {
	end := func(ctx context.Context, _ string, k Key) error { return c.Store.Delete(ctx, k) }
	return &session{c, newJar(c), newLedger(c, KindLogin, end, 10*time.Second)}
}

func (s *session) Traits() Traits {
	return Traits{
		Holder: HolderServer, KeptIn: s.Place, Transport: TransportCookie, ProtectedBy: ProtectedByRandomness,
		TamperProof: true, RollbackProof: true, Revocable: true, Listable: true, Everywhere: true, Slides: true,
		HTTPOnly: true, SameSite: true, StrictID: true, RenewsID: true, Expires: true, Versioned: true,
		SurvivesRestart: string(s.Place), NeedsSharedStore: true, SentByBrowser: true,
	}
}

// touchEvery is how often, at most, a read writes that the login is in use.
func (s *session) touchEvery() time.Duration { return min(time.Minute, s.SessionIdle/4) }

// until returns the moment at which a login that is used now ends.
func (s *session) until(now Micros, l Login) Micros {
	return min(now.Add(s.SessionIdle), l.ExpiresAt)
}

func (s *session) Start(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	credential, k, rotation, err := mint(s.Rand, s.Slug)
	if err != nil {
		return Login{}, Credential{}, err
	}
	now := s.now()
	l.ID, l.IssuedAt, l.ExpiresAt = k.String(), now, now.Add(s.SessionMax)
	rec := Record{
		Kind: KindLogin, Strategy: s.Slug, Login: l, Rotation: rotation, LastSeen: now, Expires: s.until(now, l),
	}
	if err := l.storable(); err != nil {
		return Login{}, Credential{}, err
	}
	var old []Key
	for presented := range s.values(r) { // garbage is no obstacle
		switch o, _, err := open(r.Context(), s.Store, s.Slug, presented); {
		case err == nil:
			old = append(old, o.key)
		case !errors.Is(err, ErrUnknown):
			return Login{}, Credential{}, err
		}
	}
	if err := s.replace(r.Context(), old, k, rec, now); err != nil {
		return Login{}, Credential{}, err
	}
	c, err := s.set(w, r, credential, s.SessionMax)
	return l, c, err
}

// presented returns the record that r's cookie opens.
func (s *session) presented(r *http.Request) (opaque, Record, error) {
	credential, err := s.value(r)
	if err != nil {
		return opaque{}, Record{}, err
	}
	return open(r.Context(), s.Store, s.Slug, credential)
}

func (s *session) Load(r *http.Request) (Login, error) {
	o, rec, err := s.presented(r)
	if err != nil {
		return Login{}, err
	}
	if now := s.now(); now.Sub(rec.LastSeen) >= s.touchEvery() {
		rec.LastSeen, rec.Expires = now, s.until(now, rec.Login)
		// A lost race means that another request has touched it, and a store
		// that can be read but not written must not end reading.
		if s.Store.Update(r.Context(), o.key, rec.Rev, rec) == nil {
			rec.Rev++
		}
	}
	rec.Login.rev = rec.Rev
	return rec.Login, nil
}

func (s *session) Save(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	o, rec, err := s.presented(r)
	if err == nil {
		err = l.storable()
	}
	if err != nil {
		return Login{}, Credential{}, err
	}
	rec.Login = l
	switch err := s.Store.Update(r.Context(), o.key, l.rev, rec); {
	case errors.Is(err, ErrNotFound):
		return Login{}, Credential{}, ErrUnknown
	case err != nil:
		return Login{}, Credential{}, failed(err)
	}
	return l, s.unchanged(r), nil
}

// unchanged describes the credential that the client keeps holding.
func (s *session) unchanged(r *http.Request) Credential {
	name := s.CookieName(r)
	return Credential{Kind: TransportCookie, Name: name, Bytes: len(name) + len("=") + opaqueChars}
}

func (s *session) Refresh(w http.ResponseWriter, r *http.Request, _ string) (Login, Credential, error) {
	credential, err := s.value(r)
	if err != nil {
		return Login{}, Credential{}, err
	}
	o, ok := parseOpaque(s.Slug, credential)
	if !ok {
		return Login{}, Credential{}, ErrUnknown
	}
	now := s.now()
	// No overlap: the old credential is dead at once. It is simply unknown, as
	// any other wrong one, and ends nothing.
	rec, successor, err := rotate(r.Context(), s.Store, o, now, 0, func(rec *Record) (err error) {
		rec.LastSeen, rec.Expires = now, s.until(now, rec.Login)
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
	c, err := s.set(w, r, credential[:secretChars]+successor, rec.Login.ExpiresAt.Sub(now))
	return rec.Login, c, err
}

func (s *session) End(w http.ResponseWriter, r *http.Request, _ string) (Login, error) {
	o, rec, err := s.presented(r)
	if err == nil {
		err = failed(s.Store.Delete(r.Context(), o.key))
	}
	if !errors.Is(err, ErrUnavailable) {
		s.clear(w, r) // a dead credential is no use to the client either
	}
	return rec.Login, err
}

func (s *session) Inspect(r *http.Request) (Inspection, error) {
	_, rec, err := s.presented(r)
	if err != nil {
		return Inspection{}, err
	}
	value, _ := s.value(r)
	held, err := s.describe(rec)
	return Inspection{Carried: s.carried(r, value, s.Traits()), Held: held}, err
}
