package state

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/memstore"
	"github.com/go-json-experiment/json"
	gorilla "github.com/gorilla/sessions"
)

// ginSession keeps the login on the server through the interface of
// gin-contrib/sessions, as a Gin application does. It is two strategies, whose fields
// say what differs.
//
// session-gin uses [GinStore], and keeps the promises of the strategy session.
//
// session-stock follows the README of gin-contrib/sessions and is served in the
// classroom alone. Nothing of it is broken on purpose. It is what comes of an example
// that leaves these questions open:
//
//   - The identifier survives the login: an attacker who plants an identifier has the
//     victim's login after it (session fixation).
//   - An identifier that a logout has ended is good again after the next login of a
//     client that still sends it, and so is every copy.
//   - Nothing expires on the server, and nothing can be ended from another place.
//     The cookie's signature is good for 30 days of the machine's own clock.
//   - Each request writes the whole record: of two changes at once, one is lost.
//   - The role stays what it was until the next login: the server cannot find the
//     records of a user.
//   - The cookie is neither HttpOnly nor SameSite, and its path is all of the site.
//   - The process stores it: a restart logs every user out, and another server knows
//     none of them.
type ginSession struct {
	Config
	Transport  // with the attributes of the cookie, which the library writes
	loginIndex // of the records with owners
	engine     sessions.Store
	owned      bool          // the engine is a GinStore: its records have an owner and a revision
	renews     bool          // a login, and a refresh, give a new identifier
	expires    bool          // the server has an end for each login
	count      *atomic.Int64 // of records in a memstore, which deletes none by itself
}

var (
	_ Strategy  = (*ginSession)(nil)
	_ Lister    = (*ginSession)(nil)
	_ Ender     = (*ginSession)(nil)
	_ Inspector = (*ginSession)(nil)
)

// NewGinSession returns the strategy that keeps logins in c.Store through a GinStore.
func NewGinSession(c Config, t Transport) Strategy {
	store := &GinStore{store: c.Store, slug: c.Slug, idle: c.SessionIdle, now: c.Now, random: c.Rand}
	return &ginSession{
		Config: c, Transport: t, loginIndex: newSessionIndex(c), engine: store, owned: true, renews: true, expires: true,
	}
}

// maxKept bounds the records that a strategy keeps in the process without an end.
const maxKept = 10_000

// stockMemory is what an application has that follows the README.
type stockMemory struct {
	store sessions.Store
	count atomic.Int64
}

// NewStockSession returns the strategy that keeps logins in gin-contrib's memstore.
func NewStockSession(c Config, t Transport) Strategy {
	memory := kept(c, func() *stockMemory {
		secret := make([]byte, 32)
		_, _ = c.Rand.Read(secret) // crypto/rand never fails; the README has "secret" here
		return &stockMemory{store: memstore.NewStore(secret)}
	})
	return &ginSession{Config: c, Transport: t, engine: memory.store, count: &memory.count}
}

func (s *ginSession) Traits() Traits {
	return traitsOf(s.Transport, Traits{
		Holder: HolderServer, KeptIn: s.Place, ProtectedBy: ProtectedByRandomness,
		TamperProof: true, RollbackProof: true, Revocable: true, StrictID: true,
		Listable: s.owned, Everywhere: s.owned, Versioned: s.owned, Slides: s.owned, RenewsID: s.renews, Expires: s.expires,
		SurvivesRestart: string(s.Place), NeedsSharedStore: true,
	})
}

// InStockCookie returns the transport in the cookie that the library reads and writes.
// Its name is the same with TLS and without, and its path is the library's default.
func InStockCookie(c Config) Transport { return firstCookie{bareCookie("statelab_"+c.Slug, "/")} }

// firstCookie is a cookie of which the first of two counts, as in http.Request.Cookie.
type firstCookie struct{ *inCookie }

// Read implements Transport.
func (t firstCookie) Read(r *http.Request) (string, error) {
	c, err := r.Cookie(t.Carriage(r).Name)
	if err != nil {
		return "", ErrNoCredential
	}
	return c.Value, nil
}

// Start begins a session of its own. Without renewal it begins the login in the session
// that the client brought, if the server has ever made it.
func (s *ginSession) Start(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	l.IssuedAt = s.now()
	if !s.renews {
		return s.adopt(w, r, l)
	}
	old, err := s.presented(r.Context(), s.All(r))
	if err != nil {
		return Login{}, Credential{}, err
	}
	l.ExpiresAt = l.IssuedAt.Add(s.SessionMax)
	session := gorilla.NewSession(s.engine, s.Carriage(r).Name)
	answer := unsent{} // until the old logins have ended
	l, credential, err := s.save(answer, r, session, l)
	if err != nil {
		return Login{}, Credential{}, err
	}
	k, _ := ParseKey(session.ID)
	if err := s.endOthers(r.Context(), old, k, l.Subject, l.IssuedAt); err != nil {
		return Login{}, Credential{}, err
	}
	for _, cookie := range answer["Set-Cookie"] {
		w.Header().Add("Set-Cookie", cookie)
	}
	return l, credential, nil
}

// adopt begins the login in the session that r carries. No record of memstore has an
// end: ExpiresAt is when the browser is to forget.
func (s *ginSession) adopt(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	session, err := s.engine.New(r, s.Carriage(r).Name)
	if err != nil {
		session.ID = "" // of a cookie that this server did not sign
	}
	if session.IsNew && s.count.Add(1) > maxKept {
		s.count.Add(-1)
		return Login{}, Credential{}, ErrFull
	}
	if l.ID, err = newSecret(s.Rand); err != nil {
		return Login{}, Credential{}, err
	}
	l.ExpiresAt = l.IssuedAt.Add(time.Duration(session.Options.MaxAge) * time.Second)
	return s.save(w, r, session, l)
}

// save writes the session with the login, and its cookie.
func (s *ginSession) save(w http.ResponseWriter, r *http.Request, session *gorilla.Session, l Login) (Login, Credential, error) {
	if err := l.storable(); err != nil {
		return Login{}, Credential{}, err
	}
	carriage, life := s.Carriage(r), l.ExpiresAt.Sub(s.now())
	seconds := session.Options.MaxAge // the library's
	if s.expires {
		seconds = maxAge(life)
	}
	session.Options = optionsOf(carriage, seconds)
	if s.owned {
		session.Values[OwnerKey], session.Values[loginKey{}] = l.Subject, l
	} else { // memstore copies values with encoding/gob, which knows texts
		text, err := json.Marshal(l)
		if err != nil {
			return Login{}, Credential{}, err
		}
		session.Values[stockLoginKey] = string(text)
	}
	if err := session.Save(r, w); err != nil {
		return Login{}, Credential{}, err
	}
	if held, ok := session.Values[recordKey{}].(*recordReference); ok {
		return held.record.Login, carriage.describe(held.credential, life), nil
	}
	set := w.Header()["Set-Cookie"]
	pair, _, _ := strings.Cut(set[len(set)-1], ";")
	return l, carriage.describe(strings.TrimPrefix(pair, carriage.Prefix), life), nil
}

// optionsOf returns the options of a cookie that travels as c says. MaxAge is in seconds,
// and a negative one deletes the cookie.
func optionsOf(c Carriage, maxAge int) *gorilla.Options {
	return &gorilla.Options{Path: c.Path, MaxAge: maxAge, Secure: c.Secure, HttpOnly: c.HTTPOnly, SameSite: c.SameSite}
}

// stockLoginKey names the login among the values of a session in memstore.
const stockLoginKey = "login"

// loginOf returns the login that a session has.
func loginOf(session *gorilla.Session) (l Login, ok bool) {
	if l, ok = session.Values[loginKey{}].(Login); ok {
		return l, true
	}
	text, _ := session.Values[stockLoginKey].(string)
	return l, json.Unmarshal([]byte(text), &l) == nil
}

// Load asks the store itself: sessions.Default logs its error and goes on with an empty
// session, so that an outage looks like a logout.
func (s *ginSession) Load(r *http.Request) (Held, error) {
	credential, err := s.Read(r)
	if err != nil {
		return Held{}, err
	}
	session, err := s.engine.New(r, s.Carriage(r).Name)
	if errors.Is(err, ErrUnavailable) {
		return Held{}, err
	}
	l, ok := loginOf(session)
	held, owned := session.Values[recordKey{}].(*recordReference)
	if !ok || owned && held.credential != credential { // net/http drops quotes around a value
		return Held{}, ErrUnknown
	}
	return Held{Login: l, credential: credential, session: session}, nil
}

// Save writes the session. The library always writes its cookie too; a GinStore keeps the
// identifier, so that cookie would only repeat what the client has.
func (s *ginSession) Save(w http.ResponseWriter, r *http.Request, h Held, l Login) (Login, Credential, error) {
	if s.owned {
		w = unsent{}
	}
	return s.save(w, r, h.session, l)
}

// unsent is a ResponseWriter for headers that no client gets.
type unsent http.Header

func (u unsent) Header() http.Header       { return http.Header(u) }
func (unsent) Write(p []byte) (int, error) { return len(p), nil }
func (unsent) WriteHeader(int)             {}

// Open implements Strategy.
func (s *ginSession) Open(r *http.Request, _ string) (Held, error) { return s.Load(r) }

// Refresh gives the session another identifier. Without renewal it returns
// ErrNotSupported.
func (s *ginSession) Refresh(w http.ResponseWriter, r *http.Request, h Held) (Login, Credential, error) {
	if !s.renews {
		return Login{}, Credential{}, ErrNotSupported
	}
	for range attempts {
		role, err := s.role(r.Context(), h.Subject)
		if errors.Is(err, ErrRevoked) { // the account is gone, and its logins with it
			err = cmp.Or(s.End(unsent{}, r, h), err)
		}
		if err != nil {
			return Login{}, Credential{}, err
		}
		l := h.Login
		l.Role = role
		h.session.Values[RenewKey] = true
		l, credential, err := s.save(w, r, h.session, l)
		if !errors.Is(err, ErrConflict) {
			return l, credential, err
		}
		if h, err = s.Load(r); err != nil { // another request has renewed it, or ended it
			return Login{}, Credential{}, err
		}
	}
	return Login{}, Credential{}, ErrConflict
}

// End deletes the record. In session-stock the identifier stays good for another one.
func (s *ginSession) End(w http.ResponseWriter, r *http.Request, h Held) error {
	h.session.Options = optionsOf(s.Carriage(r), -1) // and not Options{MaxAge: -1}, which would lose the path
	if err := h.session.Save(r, w); err != nil {
		return err
	}
	if s.count != nil {
		s.count.Add(-1)
	}
	return nil
}

// Inspect implements Inspector.
func (s *ginSession) Inspect(r *http.Request, h Held) (Inspection, error) {
	in := Inspection{Carried: s.Carriage(r).carried(h.credential, s.Traits())}
	if held, ok := h.session.Values[recordKey{}].(*recordReference); ok {
		var err error
		in.Held, err = s.describe(held.record)
		return in, err
	}
	text, _ := h.session.Values[stockLoginKey].(string)
	in.Held = &StoredRecord{Store: string(s.Place), Bytes: len(text), Record: map[string]any{"login": h.Login}}
	return in, nil
}
