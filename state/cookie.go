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
	*opened[Login]
	traits Traits
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
	return &cookie{c, newJar(c), codec, newDenylist(c, c.SessionMax), newOpened[Login](c, purpose), Traits{
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
	value, err := s.encode(l)
	if err != nil {
		return Login{}, Credential{}, err
	}
	for presented := range s.values(r) { // garbage is no obstacle
		if old, err := s.open(presented); err == nil {
			if err := s.denylist.end(r.Context(), old); err != nil {
				return Login{}, Credential{}, err
			}
		}
	}
	return s.hand(w, r, l, value)
}

// encode returns the value that holds l.
func (s *cookie) encode(l Login) (string, error) {
	payload, err := json.Marshal(l)
	if err != nil {
		return "", err
	}
	return s.codec.encode(payload)
}

// hand gives the client the value that holds l.
func (s *cookie) hand(w http.ResponseWriter, r *http.Request, l Login, value string) (Login, Credential, error) {
	c, err := s.set(w, r, value, l.ExpiresAt.Sub(s.now()))
	return l, c, err
}

func (s *cookie) Save(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	value, err := s.encode(l)
	if err != nil {
		return Login{}, Credential{}, err
	}
	return s.hand(w, r, l, value)
}

// open returns the login that a value holds, whether or not it has been ended.
func (s *cookie) open(value string) (Login, error) {
	return s.opened.open(value, s.verify, s.live)
}

// live returns ErrExpired if a login is past its date.
func (s *cookie) live(l Login) error {
	if s.now() >= l.ExpiresAt {
		return ErrExpired
	}
	return nil
}

// verify returns the login that a value holds, and the id of the key that made
// it.
func (s *cookie) verify(value string) (l Login, key string, err error) {
	payload, key, err := s.codec.decode(value)
	if err != nil {
		return Login{}, "", err
	}
	if json.Unmarshal(payload, &l, json.RejectUnknownMembers(true)) != nil || !l.complete() {
		return Login{}, "", ErrBadSignature // of a form that this version does not make
	}
	return l, key, s.live(l)
}

func (s *cookie) Load(r *http.Request) (Login, error) {
	value, err := s.value(r)
	if err != nil {
		return Login{}, err
	}
	l, err := s.open(value)
	if err != nil {
		return Login{}, err
	}
	return l, s.denylist.check(r.Context(), l)
}

func (s *cookie) Refresh(w http.ResponseWriter, r *http.Request, _ string) (Login, Credential, error) {
	now := s.now() // before the look at the denylist, which forgets a login when what was made by then has expired
	l, err := s.Load(r)
	if err != nil {
		return Login{}, Credential{}, err
	}
	if l.Role, err = s.role(r.Context(), l.Subject); err != nil {
		return Login{}, Credential{}, err
	}
	l.ExpiresAt = now.Add(s.SessionMax)
	return s.Save(w, r, l)
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
	l, err := s.Load(r)
	if err != nil {
		return Inspection{}, err
	}
	value, _ := s.value(r)
	carried := s.carried(r, value, s.traits)
	carried.Decoded = l
	return Inspection{Carried: carried}, nil
}
