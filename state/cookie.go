package state

import (
	"context"
	"errors"
	"net/http"

	"github.com/go-json-experiment/json"

	"statelab/state/keys"
)

// cookie lets the client hold the whole login in a cookie; the server keeps
// nothing but a key, and with a denylist what has ended. The codec decides what
// the client can do with it.
//
// What the client holds, it can also put back: an older copy verifies as well
// as the newest, until its date of expiry. That date is inside the value,
// where the client cannot change it, and is judged by the server's clock.
type cookie struct {
	Config
	jar
	codec    codec
	denylist denylist
	*opened[payload]
	traits Traits
}

// payload is what the value of a cookie says.
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
func NewSignedCookie(c Config) Strategy {
	return newCookie(c, signed{c.Slug, c.Keys}, keys.CookieSigning, ProtectedBySignature)
}

// NewSealedCookie returns the strategy whose cookie can neither be read nor be
// edited by its holder.
func NewSealedCookie(c Config) Strategy {
	return newCookie(c, sealed{c.Slug, c.Keys}, keys.CookieSealing, ProtectedByEncryption)
}

func newCookie(c Config, codec codec, purpose keys.Purpose, protection string) *cookie {
	return &cookie{c, newJar(c), codec, newDenylist(c, c.SessionMax), newOpened[payload](c, purpose), Traits{
		Holder: HolderClient, Transport: TransportCookie, ProtectedBy: protection,
		Readable: protection != ProtectedByEncryption, TamperProof: true, Revocable: c.Denylist, Everywhere: c.Denylist,
		HTTPOnly: true, SameSite: true, StrictID: true, RenewsID: true, Expires: true,
		SurvivesRestart: SurvivesWithKey, NeedsSharedStore: c.Denylist, NeedsSharedKey: true, SentByBrowser: true,
		LimitBytes: CookieLimit,
	}}
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
	for presented := range s.values(r) { // garbage is no obstacle
		if old, err := s.open(presented); err == nil {
			if err := s.denylist.end(r.Context(), old.Login); err != nil {
				return Login{}, Credential{}, err
			}
		}
	}
	return s.hand(w, r, l, value)
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
	c, err := s.set(w, r, value, l.ExpiresAt.Sub(s.now()))
	return l, c, err
}

func (s *cookie) Save(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
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
func (s *cookie) open(value string) (payload, error) {
	return s.opened.open(value, s.verify, s.live)
}

// live returns ErrExpired if a login is past its date.
func (s *cookie) live(p payload) error {
	if s.now() >= p.ExpiresAt {
		return ErrExpired
	}
	return nil
}

// verify returns what a value holds, and the id of the key that made it.
func (s *cookie) verify(value string) (p payload, key string, err error) {
	text, key, err := s.codec.decode(value)
	if err != nil {
		return payload{}, "", err
	}
	if json.Unmarshal(text, &p, json.RejectUnknownMembers(true)) != nil || !p.complete() {
		return payload{}, "", ErrBadSignature // of a form that this version does not make
	}
	return p, key, s.live(p)
}

func (s *cookie) Load(r *http.Request) (Login, error) {
	value, err := s.value(r)
	if err != nil {
		return Login{}, err
	}
	p, err := s.open(value)
	if err != nil {
		return Login{}, err
	}
	return p.Login, s.denylist.check(r.Context(), p.Login)
}

// Refresh makes the value anew, with the active key and with the role as it is now. The
// login ends when it would have ended (OWASP ASVS 5.0, 7.3.2): if a refresh moved the
// end, a stolen cookie would live for as long as the thief refreshes it.
func (s *cookie) Refresh(w http.ResponseWriter, r *http.Request, _ string) (Login, Credential, error) {
	l, err := s.Load(r)
	if err != nil {
		return Login{}, Credential{}, err
	}
	if l.Role, err = s.role(r.Context(), l.Subject); err != nil {
		return Login{}, Credential{}, err
	}
	renewed, c, err := s.save(w, r, payload{Login: l, RenewedAt: s.now()})
	if tooLarge := (*TooLargeError)(nil); errors.As(err, &tooLarge) {
		return s.Save(w, r, l) // the largest state has no room for RenewedAt
	}
	return renewed, c, err
}

// End asks the client to forget. Without a denylist that is all it can do:
// whoever kept a copy keeps the login until it expires. A cookie that could not be
// judged stays where it is.
func (s *cookie) End(w http.ResponseWriter, r *http.Request, _ string) (Login, error) {
	l, err := s.Load(r)
	if err == nil {
		err = s.denylist.end(r.Context(), l)
	}
	if !errors.Is(err, ErrUnavailable) && !errors.Is(err, keys.ErrNoKey) {
		s.clear(w, r)
	}
	return l, err
}

// EndAll implements Ender.
func (s *cookie) EndAll(ctx context.Context, subject, except string, until Micros) error {
	return s.denylist.endAll(ctx, subject, except, until)
}

// ConfirmEnd implements EndConfirmer.
func (s *cookie) ConfirmEnd(ctx context.Context, subject string, until Micros) error {
	return s.denylist.confirm(ctx, subject, until)
}

func (s *cookie) Inspect(r *http.Request) (Inspection, error) {
	if _, err := s.Load(r); err != nil {
		return Inspection{}, err
	}
	value, _ := s.value(r)
	carried := s.carried(r, value, s.traits)
	carried.Decoded, _ = s.open(value) // Load has opened it
	return Inspection{Carried: carried}, nil
}
