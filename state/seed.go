package state

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
)

// seed keeps the login as a tutorial's first server does: a dictionary of sessions
// by identifier, and a cookie with nothing but the identifier. It stands behind the
// contract without a repair, and is served in the classroom alone. It is where the
// other strategies begin.
//
//   - Any identifier is adopted, whoever made it up, and kept at login (session
//     fixation).
//   - Every visitor gets a record, though they never log in.
//   - The cookie has no attributes: scripts read it, and requests from other sites
//     carry it where a browser's default lets them. Having no path either, it goes
//     to the folder of the route that set it, which is this strategy.
//   - Nothing expires, on the server or in the record.
//   - A logout only asks the browser to forget the cookie. The record stays, and
//     who has a copy stays in.
//   - The page writes the user's name as it is into its HTML.
//   - Of two cookies the first counts, and so does one whose name only ends alike.
type seed struct {
	Config
	*seedMemory
}

// seedMemory is the tutorial's dictionary.
type seedMemory struct {
	mu       sync.Mutex
	sessions map[string]Login // by identifier; the zero Login: nobody has logged in
}

var (
	_ Strategy    = (*seed)(nil)
	_ CookieBased = (*seed)(nil)
	_ Inspector   = (*seed)(nil)
	_ Paged       = (*seed)(nil)
)

// NewSeed returns the strategy of the tutorial.
func NewSeed(c Config) Strategy {
	return &seed{c, kept(c, func() *seedMemory { return &seedMemory{sessions: map[string]Login{}} })}
}

func (s *seed) Traits() Traits {
	return Traits{
		Holder: HolderServer, KeptIn: s.Place, Transport: TransportCookie, ProtectedBy: ProtectedByRandomness,
		TamperProof: true, RollbackProof: true,
		SurvivesRestart: string(s.Place), NeedsSharedStore: true, SentByBrowser: true,
	}
}

const seedCookie = "sessionid"

// CookieName implements CookieBased.
func (s *seed) CookieName(*http.Request) string { return seedCookie }

// Cookie implements CookieBased.
func (s *seed) Cookie(_ *http.Request, value string) *http.Cookie {
	return &http.Cookie{Name: seedCookie, Value: value} //nolint:gosec // without an attribute: that is the lesson
}

// id returns the identifier of r as the tutorial reads it: what stands behind the
// first "sessionid=". Without one it makes one up.
func (s *seed) id(r *http.Request) (id string, carried bool, err error) {
	if _, rest, found := strings.Cut(r.Header.Get("Cookie"), seedCookie+"="); found {
		id, _, _ = strings.Cut(rest, ";")
		return id, true, nil
	}
	var b [16]byte
	if _, err := io.ReadFull(s.Rand, b[:]); err != nil {
		return "", false, err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // a UUID of version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]), false, nil
}

// visit returns the session of r, which it makes if there is none.
func (s *seed) visit(r *http.Request) (id string, carried bool, l Login, err error) {
	if id, carried, err = s.id(r); err != nil {
		return "", false, Login{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, known := s.sessions[id]
	if !known {
		// The tutorial's dictionary grows until the machine has no memory left. Here
		// others live on the same machine.
		if len(s.sessions) >= maxKept {
			return "", false, Login{}, ErrFull
		}
		s.sessions[id] = l
	}
	return id, carried, l, nil
}

// keep puts a login into a session, and tells the client the identifier unless it
// has sent it.
func (s *seed) keep(w http.ResponseWriter, id string, carried bool, l Login) (Login, Credential, error) {
	if err := l.storable(); err != nil {
		return Login{}, Credential{}, err
	}
	s.mu.Lock()
	s.sessions[id] = l
	s.mu.Unlock()
	if !carried {
		tell(w, id, 0)
	}
	return l, Credential{Kind: TransportCookie, Name: seedCookie, Bytes: len(seedCookie) + len("=") + len(id)}, nil
}

// tell sets the client's cookie, or removes it where maxAge is negative.
func tell(w http.ResponseWriter, id string, maxAge int) {
	put(w, &http.Cookie{Name: seedCookie, Value: id, MaxAge: maxAge}) //nolint:gosec // as Cookie
}

func (s *seed) Start(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	id, carried, _, err := s.visit(r)
	if err != nil {
		return Login{}, Credential{}, err
	}
	if l.ID, err = newSecret(s.Rand); err != nil {
		return Login{}, Credential{}, err
	}
	l.IssuedAt, l.ExpiresAt = s.now(), endOfDates-1
	return s.keep(w, id, carried, l)
}

func (s *seed) Load(r *http.Request) (Login, error) {
	_, carried, l, err := s.visit(r)
	switch {
	case err != nil:
		return Login{}, err
	case l.ID != "":
		return l, nil
	case carried:
		return Login{}, ErrUnknown
	}
	return Login{}, ErrNoCredential
}

func (s *seed) Save(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	id, carried, _, err := s.visit(r)
	if err != nil {
		return Login{}, Credential{}, err
	}
	return s.keep(w, id, carried, l)
}

// Refresh returns ErrNotSupported for a login that is alive: an identifier is for
// ever.
func (s *seed) Refresh(_ http.ResponseWriter, r *http.Request, _ string) (Login, Credential, error) {
	if _, err := s.Load(r); err != nil {
		return Login{}, Credential{}, err
	}
	return Login{}, Credential{}, ErrNotSupported
}

// End asks the browser to forget the cookie, which is all that it does.
func (s *seed) End(w http.ResponseWriter, r *http.Request, _ string) (Login, error) {
	l, err := s.Load(r)
	if err == nil {
		tell(w, "", -1)
	}
	return l, err
}

func (s *seed) Inspect(r *http.Request) (Inspection, error) {
	l, err := s.Load(r)
	if err != nil {
		return Inspection{}, err
	}
	id, _, _ := s.id(r)
	text, err := json.Marshal(l)
	return Inspection{
		Carried: carriedCookie(seedCookie, id, s.Traits()),
		Held:    &Held{Store: string(s.Place), Bytes: len(text), Record: map[string]any{"login": l}},
	}, err
}

// Page implements Paged: the form, or a welcome to whoever has logged in, whatever
// their name does to the HTML.
func (s *seed) Page(w http.ResponseWriter, r *http.Request) (string, error) {
	id, carried, l, err := s.visit(r)
	if err != nil {
		return "", err
	}
	if !carried {
		tell(w, id, 0)
	}
	body := `<form method="post" action=""><input type="text" name="username" autocomplete="username"><input type="password" name="password" autocomplete="current-password"><input type="submit" value="Login"></form>`
	if l.ID != "" {
		body = "<h1>Welcome, " + l.DisplayName + "!</h1>"
	}
	return "<!doctype html><html lang=\"en\"><title>seed</title><body>" + body + "</body></html>", nil
}
