package state

import (
	"fmt"
	"io"
	"iter"
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
	Transport
	*seedMemory
}

// seedMemory is the tutorial's dictionary.
type seedMemory struct {
	mu       sync.Mutex
	sessions map[string]Login // by identifier; the zero Login: nobody has logged in
}

var (
	_ Strategy  = (*seed)(nil)
	_ Inspector = (*seed)(nil)
	_ Paged     = (*seed)(nil)
)

// NewSeed returns the strategy of the tutorial.
func NewSeed(c Config, t Transport) Strategy {
	return &seed{c, t, kept(c, func() *seedMemory { return &seedMemory{sessions: map[string]Login{}} })}
}

func (s *seed) Traits() Traits {
	return traitsOf(s.Transport, Traits{
		Holder: HolderServer, KeptIn: s.Place, ProtectedBy: ProtectedByRandomness,
		TamperProof: true, RollbackProof: true,
		SurvivesRestart: string(s.Place), NeedsSharedStore: true,
	})
}

// seedCookie is the tutorial's cookie: the same with TLS and without, and of any size.
type seedCookie struct{ *inCookie }

// InSeedCookie returns the transport in the tutorial's cookie.
func InSeedCookie(Config) Transport { return seedCookie{bareCookie("sessionid", "")} }

// bareCookie returns the transport in a cookie that has no attribute but a path, or
// not even that.
func bareCookie(name, path string) *inCookie {
	c := Carriage{
		Kind: TransportCookie, Header: "Cookie", Name: name, Prefix: name + "=", Scheme: "Cookie", Path: path,
		SentByBrowser: true, Limit: CookieLimit,
	}
	return &inCookie{plain: c, secure: c, unsized: true}
}

// All implements Transport.
func (t seedCookie) All(r *http.Request) iter.Seq[string] {
	return func(yield func(string) bool) {
		if id, err := t.Read(r); err == nil {
			yield(id)
		}
	}
}

// Read implements Transport as the tutorial reads the header: the value stands behind
// the first "sessionid=", and an empty one is one too.
func (t seedCookie) Read(r *http.Request) (string, error) {
	_, rest, found := strings.Cut(r.Header.Get("Cookie"), t.plain.Prefix)
	if !found {
		return "", ErrNoCredential
	}
	id, _, _ := strings.Cut(rest, ";")
	return id, nil
}

// Write implements Transport. The cookie lives until the browser closes.
func (t seedCookie) Write(w http.ResponseWriter, r *http.Request, value string, _ Lives) (Credential, error) {
	put(w, t.Carriage(r).Cookie(value, 0))
	return t.Carriage(r).describe(value, 0), nil
}

// id returns the identifier of r. Without one it makes one up.
func (s *seed) id(r *http.Request) (id string, carried bool, err error) {
	if id, err := s.Read(r); err == nil {
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
func (s *seed) keep(w http.ResponseWriter, r *http.Request, id string, carried bool, l Login) (Login, Credential, error) {
	if err := l.storable(); err != nil {
		return Login{}, Credential{}, err
	}
	s.mu.Lock()
	s.sessions[id] = l
	s.mu.Unlock()
	if carried {
		return l, s.Carriage(r).describe(id, 0), nil
	}
	c, err := s.Write(w, r, id, Lives{})
	return l, c, err
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
	return s.keep(w, r, id, carried, l)
}

func (s *seed) Load(r *http.Request) (Held, error) {
	id, carried, l, err := s.visit(r)
	switch {
	case err != nil:
		return Held{}, err
	case l.ID != "":
		return Held{Login: l, credential: id}, nil
	case carried:
		return Held{}, ErrUnknown
	}
	return Held{}, ErrNoCredential
}

func (s *seed) Save(w http.ResponseWriter, r *http.Request, h Held, l Login) (Login, Credential, error) {
	return s.keep(w, r, h.credential, true, l)
}

func (s *seed) Open(r *http.Request, _ string) (Held, error) { return s.Load(r) }

// Refresh returns ErrNotSupported: an identifier is for ever.
func (s *seed) Refresh(http.ResponseWriter, *http.Request, Held) (Login, Credential, error) {
	return Login{}, Credential{}, ErrNotSupported
}

// End asks the browser to forget the cookie, which is all that it does.
func (s *seed) End(w http.ResponseWriter, r *http.Request, _ Held) error {
	s.Clear(w, r)
	return nil
}

func (s *seed) Inspect(r *http.Request, h Held) (Inspection, error) {
	text, err := json.Marshal(h.Login)
	return Inspection{
		Carried: s.Carriage(r).carried(h.credential, s.Traits()),
		Held:    &StoredRecord{Store: string(s.Place), Bytes: len(text), Record: map[string]any{"login": h.Login}},
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
		if _, err := s.Write(w, r, id, Lives{}); err != nil {
			return "", err
		}
	}
	body := `<form method="post" action=""><input type="text" name="username" autocomplete="username"><input type="password" name="password" autocomplete="current-password"><input type="submit" value="Login"></form>`
	if l.ID != "" {
		body = "<h1>Welcome, " + l.DisplayName + "!</h1>"
	}
	return "<!doctype html><html lang=\"en\"><title>seed</title><body>" + body + "</body></html>", nil
}
