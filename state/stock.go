package state

import (
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

// stock keeps the login on the server as the README of gin-contrib/sessions
// shows it, in the memstore of that package, behind that package's own interface.
// It is what the strategy session would be without the reasons that stand beside
// it, and it is served in the classroom alone. Nothing of it is broken on purpose:
// it is what comes of following an example that leaves the questions open.
//
//   - The identifier survives the login. Who plants one of their own has the
//     victim's login after it (session fixation), since nothing renews it.
//   - An identifier that a logout has ended comes back to life with the next login
//     of a client that still sends it, and with it every copy.
//   - Nothing expires on the server, and nothing can be ended from another place.
//     The cookie's signature is good for 30 days of the machine's own clock.
//   - Each request writes the whole record back: of two changes at once, one is
//     lost without a word.
//   - The role stays what it was until the next login: nobody can find the records
//     of a user.
//   - The cookie is neither HttpOnly nor SameSite, and its path is all of the site.
//   - The process holds it: a restart logs everybody out, and another node knows
//     nobody.
type stock struct {
	Config
	*stockMemory
	name string
}

// stockMemory is what an application has that follows the README.
type stockMemory struct {
	store sessions.Store
	kept  atomic.Int64 // records, of which memstore never forgets one by itself
}

var (
	_ Strategy    = (*stock)(nil)
	_ CookieBased = (*stock)(nil)
	_ Inspector   = (*stock)(nil)
)

// maxKept bounds what a strategy keeps in the process without an end.
const maxKept = 10_000

// NewStockSession returns the strategy that keeps logins in gin-contrib's
// memstore.
func NewStockSession(c Config) Strategy {
	memory := kept(c, func() *stockMemory {
		secret := make([]byte, 32)
		_, _ = c.Rand.Read(secret) // crypto/rand never fails; the README has "secret" here
		return &stockMemory{store: memstore.NewStore(secret)}
	})
	return &stock{Config: c, stockMemory: memory, name: "statelab_" + c.Slug}
}

func (s *stock) Traits() Traits {
	return Traits{
		Holder: HolderServer, KeptIn: s.Place, Transport: TransportCookie, ProtectedBy: ProtectedByRandomness,
		TamperProof: true, RollbackProof: true, Revocable: true, StrictID: true,
		SurvivesRestart: string(s.Place), NeedsSharedStore: true, SentByBrowser: true,
	}
}

// CookieName implements CookieBased. The name is the same with TLS and without.
func (s *stock) CookieName(*http.Request) string { return s.name }

// Cookie implements CookieBased.
func (s *stock) Cookie(_ *http.Request, value string) *http.Cookie {
	return gorilla.NewCookie(s.name, value, &gorilla.Options{Path: gorilla.NewSession(s.store, s.name).Options.Path})
}

// session returns the session of r, and its login. It is what sessions.Default
// gives: of two cookies the first, and where the cookie cannot be read, an empty
// session to go on with.
func (s *stock) session(r *http.Request) (*gorilla.Session, Login, error) {
	if _, err := r.Cookie(s.name); err != nil {
		return gorilla.NewSession(s.store, s.name), Login{}, ErrNoCredential
	}
	session, _ := s.store.New(r, s.name)
	text, _ := session.Values[loginKey].(string)
	var l Login
	if json.Unmarshal([]byte(text), &l) != nil {
		return session, Login{}, ErrUnknown
	}
	return session, l, nil
}

// loginKey is where the login is in a session's values, as text: gob, which copies
// them, would have to be told of any other type.
const loginKey = "login"

// save writes the whole session back, and sets its cookie again.
func (s *stock) save(w http.ResponseWriter, r *http.Request, session *gorilla.Session, l Login) (Login, Credential, error) {
	if err := l.storable(); err != nil {
		return Login{}, Credential{}, err
	}
	text, err := json.Marshal(l)
	if err != nil {
		return Login{}, Credential{}, err
	}
	session.Values[loginKey] = string(text)
	if err := session.Save(r, w); err != nil {
		return Login{}, Credential{}, err
	}
	set := w.Header()["Set-Cookie"]
	pair, _, _ := strings.Cut(set[len(set)-1], ";")
	return l, Credential{Kind: TransportCookie, Name: s.name, Bytes: len(pair)}, nil
}

// Start begins a login under the identifier that the client brought, if the server
// has ever made it.
func (s *stock) Start(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	session, err := s.store.New(r, s.name)
	if err != nil {
		session.ID = "" // of a cookie that is not ours
	}
	if session.IsNew {
		if s.kept.Add(1) > maxKept {
			s.kept.Add(-1)
			return Login{}, Credential{}, ErrFull
		}
	}
	if l.ID, err = newSecret(s.Rand); err != nil {
		return Login{}, Credential{}, err
	}
	l.IssuedAt = s.now()
	// No record of memstore has an end: this is when the browser is to forget.
	l.ExpiresAt = l.IssuedAt.Add(time.Duration(session.Options.MaxAge) * time.Second)
	return s.save(w, r, session, l)
}

func (s *stock) Load(r *http.Request) (Login, error) {
	_, l, err := s.session(r)
	return l, err
}

func (s *stock) Save(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	session, _, err := s.session(r)
	if err != nil {
		return Login{}, Credential{}, err
	}
	return s.save(w, r, session, l)
}

// Refresh returns ErrNotSupported for a login that is alive: there is no way to
// give it another identifier.
func (s *stock) Refresh(_ http.ResponseWriter, r *http.Request, _ string) (Login, Credential, error) {
	if _, err := s.Load(r); err != nil {
		return Login{}, Credential{}, err
	}
	return Login{}, Credential{}, ErrNotSupported
}

// End deletes the record. The identifier stays good for another one.
func (s *stock) End(w http.ResponseWriter, r *http.Request, _ string) (Login, error) {
	session, l, err := s.session(r)
	if errors.Is(err, ErrNoCredential) {
		return Login{}, err
	}
	session.Options.MaxAge = -1 // and not Options{MaxAge: -1}, which would lose the path
	if saved := session.Save(r, w); saved != nil {
		return Login{}, saved
	}
	if err == nil {
		s.kept.Add(-1)
	}
	return l, err
}

func (s *stock) Inspect(r *http.Request) (Inspection, error) {
	session, l, err := s.session(r)
	if err != nil {
		return Inspection{}, err
	}
	c, _ := r.Cookie(s.name)
	text, _ := session.Values[loginKey].(string)
	return Inspection{
		Carried: carriedCookie(s.name, c.Value, s.Traits()),
		Held:    &Held{Store: string(s.Place), Bytes: len(text), Record: map[string]any{"login": l}},
	}, nil
}
