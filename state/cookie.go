package state

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json"

	"statelab/state/keys"
)

// cookie lets the client hold the whole login in its credential; the server keeps
// nothing but a key, and with a denylist what has ended. The codec decides what
// the client can do with it.
//
// What the client holds, it can also put back: an older copy verifies as well
// as the newest, until its date of expiry. That date is inside the value,
// where the client cannot change it, and is judged by the server's clock.
type cookie struct {
	Config
	Transport
	codec    codec
	denylist denylist
	*verifiedCache[*payload]
	traits Traits
}

// payload is what the value of a credential says.
type payload struct {
	Login
	// RenewedAt is when a refresh made the value. It makes the value of a refresh
	// another one, although nothing of the login has changed.
	RenewedAt Micros `json:"renewed_at,omitzero"`
}

var (
	_ Strategy     = (*cookie)(nil)
	_ Ender        = (*cookie)(nil)
	_ EndConfirmer = (*cookie)(nil)
	_ Inspector    = (*cookie)(nil)
	_ Caching      = (*cookie)(nil)
)

// NewSignedCookie returns the strategy whose cookie can be read by its holder
// and not be edited.
func NewSignedCookie(c Config, t Transport) Strategy {
	return newCookie(c, t, signed{c.Slug, c.Keys}, keys.CookieSigning, ProtectedBySignature)
}

// NewSealedCookie returns the strategy whose cookie can neither be read nor be
// edited by its holder.
func NewSealedCookie(c Config, t Transport) Strategy {
	return newCookie(c, t, sealed{c.Slug, c.Keys}, keys.CookieSealing, ProtectedByEncryption)
}

func newCookie(c Config, t Transport, codec codec, purpose keys.Purpose, protection string) *cookie {
	return &cookie{c, t, codec, newDenylist(c, c.SessionMax), newVerifiedCache[*payload](c, purpose), traitsOf(t, Traits{
		Holder: HolderClient, ProtectedBy: protection,
		Readable: protection != ProtectedByEncryption, TamperProof: true, Revocable: c.Denylist, Everywhere: c.Denylist,
		StrictID: true, RenewsID: true, Expires: true,
		SurvivesRestart: SurvivesWithKey, NeedsSharedStore: c.Denylist, NeedsSharedKey: true,
	})}
}

func (s *cookie) Traits() Traits { return s.traits }

func (s *cookie) Start(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	id, err := newSecret(s.Rand)
	if err != nil {
		return Login{}, Credential{}, err
	}
	begin, err := s.denylist.begin(r.Context(), l.Subject)
	if err != nil {
		return Login{}, Credential{}, err
	}
	l.ID, l.IssuedAt, l.ExpiresAt = id, begin, begin.Add(s.SessionMax)
	value, err := s.encode(payload{Login: l})
	if err != nil {
		return Login{}, Credential{}, err
	}
	if err := s.endPresented(r, l.Subject); err != nil {
		return Login{}, Credential{}, err
	}
	return s.hand(w, r, l, value)
}

// endPresented ends the logins that r carries, each once, because a login of the subject
// takes their place. A copy of a login that has ended changes nothing: it may be in the
// hands of a thief.
func (s *cookie) endPresented(r *http.Request, subject string) error {
	if !s.denylist.on {
		return nil
	}
	var seen []string
	for presented := range s.All(r) {
		old, err := s.open(presented)
		if err != nil || slices.Contains(seen, old.ID) {
			continue // garbage is no obstacle
		}
		seen = append(seen, old.ID)
		if err = s.denylist.check(r.Context(), old.Login); errors.Is(err, ErrRevoked) {
			continue
		}
		if err == nil {
			err = s.denylist.end(r.Context(), old.Login)
		}
		if err != nil {
			return err
		}
		if s.Replaced != nil && old.Subject != subject {
			s.Replaced(r.Context(), old.Login)
		}
	}
	return nil
}

// encode returns the value that holds p.
func (s *cookie) encode(p payload) (string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	return s.codec.encode(text)
}

// hand gives the client the value that holds l.
func (s *cookie) hand(w http.ResponseWriter, r *http.Request, l Login, value string) (Login, Credential, error) {
	lives := l.ExpiresAt.Sub(s.now())
	c, err := s.Write(w, r, value, Lives{lives, lives})
	return l, c, err
}

func (s *cookie) Save(w http.ResponseWriter, r *http.Request, _ Held, l Login) (Login, Credential, error) {
	return s.save(w, r, payload{Login: l})
}

// save gives the client a value that holds p.
func (s *cookie) save(w http.ResponseWriter, r *http.Request, p payload) (Login, Credential, error) {
	value, err := s.encode(p)
	if err != nil {
		return Login{}, Credential{}, err
	}
	return s.hand(w, r, p.Login, value)
}

// open returns what a value holds, whether or not the login has been ended.
func (s *cookie) open(value string) (*payload, error) {
	return s.verifiedCache.open(value, s.verify, s.live)
}

// live returns ErrExpired if a login is past its date.
func (s *cookie) live(p *payload) error {
	if s.now() >= p.ExpiresAt {
		return ErrExpired
	}
	return nil
}

// verify returns what a value holds, and the id of the key that made it.
func (s *cookie) verify(value string) (*payload, string, error) {
	text, key, err := s.codec.decode(value)
	if err != nil {
		return nil, "", err
	}
	p := new(payload)
	if json.Unmarshal(text, p, json.RejectUnknownMembers(true)) != nil || !p.complete() {
		return nil, "", ErrBadSignature // of a form that this version does not make
	}
	return p, key, s.live(p)
}

func (s *cookie) Load(r *http.Request) (Held, error) {
	value, err := s.Read(r)
	if err != nil {
		return Held{}, err
	}
	p, err := s.open(value)
	if err != nil {
		return Held{}, err
	}
	return Held{Login: p.Login, credential: value, decoded: p}, s.denylist.check(r.Context(), p.Login)
}

func (s *cookie) Open(r *http.Request, _ string) (Held, error) { return s.Load(r) }

// Refresh makes the value anew, with the active key and with the role as it is now. The
// login ends when it would have ended (OWASP ASVS 5.0, 7.3.2): if a refresh moved the
// end, a stolen cookie would live for as long as the thief refreshes it.
func (s *cookie) Refresh(w http.ResponseWriter, r *http.Request, h Held) (Login, Credential, error) {
	l := h.Login
	var err error
	if l.Role, err = s.role(r.Context(), l.Subject); err != nil {
		return Login{}, Credential{}, err
	}
	renewed, c, err := s.save(w, r, payload{Login: l, RenewedAt: s.now()})
	if tooLarge := (*TooLargeError)(nil); errors.As(err, &tooLarge) {
		return s.Save(w, r, h, l) // the largest state has no room for RenewedAt
	}
	return renewed, c, err
}

// End clears the client's credential. Without a denylist that is all it can do: a copy
// keeps the login until it expires.
func (s *cookie) End(w http.ResponseWriter, r *http.Request, h Held) error {
	if err := s.denylist.end(r.Context(), h.Login); err != nil {
		return err
	}
	s.Clear(w, r)
	return nil
}

// EndAll implements Ender.
func (s *cookie) EndAll(ctx context.Context, subject, except string, until Micros) error {
	return s.denylist.endAll(ctx, subject, except, until)
}

// ConfirmEnd implements EndConfirmer.
func (s *cookie) ConfirmEnd(ctx context.Context, subject string, until Micros) error {
	return s.denylist.confirm(ctx, subject, until)
}

func (s *cookie) Inspect(r *http.Request, h Held) (Inspection, error) {
	carried := s.Carriage(r).carried(h.credential, s.traits)
	carried.Decoded = h.decoded
	return Inspection{Carried: carried}, nil
}
