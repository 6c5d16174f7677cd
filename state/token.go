package state

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"statelab/state/keys"
)

// token keeps the login in a signed access token (RFC 7519, profile of RFC
// 9068). It is verified without asking anybody and therefore lives until it
// expires.
//
// An opaque refresh token renews it. Each use replaces it (RFC 9700, 4.14.2),
// and using an old one ends the family that descends from one login. So the
// server holds a record after all: the family, with the state that the next
// access token is signed from.
type token struct {
	Config
	Transport // of the access token
	loginIndex
	*verifiedCache[*claims]
	renewal Transport // of the refresh token; nil: it travels in bodies
	parser  *jwt.Parser
	method  jwt.SigningMethod
	purpose keys.Purpose
}

// tokens are what a login is handed out as.
type tokens struct {
	access  string
	refresh string // or "": the one that the client has stays good
	lives   Lives  // of the access token
}

var (
	_ Strategy  = (*token)(nil)
	_ Lister    = (*token)(nil)
	_ Ender     = (*token)(nil)
	_ Inspector = (*token)(nil)
	_ Caching   = (*token)(nil)
)

// NewToken returns the strategy that signs access tokens with c.TokenAlg, "HS256"
// or else EdDSA. They travel by t, and refresh tokens in bodies.
func NewToken(c Config, t Transport) Strategy { return newToken(c, t, nil) }

// NewTokenCookie returns the strategy of NewToken with its refresh token in a cookie of
// its own, which only the request that renews carries. With both cookies HttpOnly the
// tokens are out of reach of scripts, as RFC 10017, OAuth 2.0 for Browser-Based
// Applications, would have it. The browser sends them by itself, so requests from other
// sites matter again.
func NewTokenCookie(c Config, t Transport) Strategy {
	return newToken(c, t, newCookieTransport(c, "refresh"))
}

func newToken(c Config, access, renewal Transport) *token {
	s := &token{Config: c, Transport: access, renewal: renewal, method: jwt.SigningMethodEdDSA, purpose: keys.TokenEdDSA}
	if c.TokenAlg == jwt.SigningMethodHS256.Alg() {
		s.method, s.purpose = jwt.SigningMethodHS256, keys.TokenHS256
	}
	s.loginIndex = newLoginIndex(c, KindFamily, s.revoke, 0)
	s.verifiedCache = newVerifiedCache[*claims](c, s.purpose)
	s.parser = jwt.NewParser(
		jwt.WithValidMethods([]string{s.method.Alg()}), // one algorithm, chosen by us (RFC 8725, 3.1)
		jwt.WithIssuer(Issuer),
		jwt.WithAudience(c.Slug), // another strategy's token is nothing here (RFC 8725, 3.9)
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(c.Now),
	)
	return s
}

func (s *token) Traits() Traits {
	survives := SurvivesWithKey
	if s.Denylist { // which is in the families
		survives = string(s.Place)
	}
	refresh := RefreshTokenBody
	if s.renewal != nil {
		refresh = RefreshTokenCookie
	}
	return traitsOf(s.Transport, Traits{
		Holder: HolderClient, RefreshToken: refresh, KeptIn: s.Place, ProtectedBy: ProtectedBySignature,
		Readable: true, TamperProof: true, Revocable: s.Denylist, Listable: true, Everywhere: true,
		StrictID: true, RenewsID: true, Expires: true,
		SurvivesRestart: survives, NeedsSharedStore: s.Denylist, NeedsSharedKey: true,
	})
}

// hand gives the client what it has to hold from now on.
func (s *token) hand(w http.ResponseWriter, r *http.Request, t tokens) (Credential, error) {
	credential, err := s.Write(w, r, t.access, t.lives)
	switch {
	case err != nil || t.refresh == "":
	case s.renewal != nil:
		_, err = s.renewal.Write(w, r, t.refresh, Lives{t.lives.Login, t.lives.Login})
	default:
		credential.RefreshToken = t.refresh
	}
	return credential, err
}

// presented returns the login in the access token that r carries, also with ErrExpired.
func (s *token) presented(r *http.Request) (Held, error) {
	text, err := s.Read(r)
	if err != nil {
		return Held{}, err
	}
	c, err := s.parse(text)
	if c == nil {
		return Held{}, err
	}
	return Held{Login: c.Login, credential: text, decoded: c, expires: c.Expires}, err
}

// expiry returns the second at which an access token of l, signed now, expires.
func (s *token) expiry(now Micros, l Login) int64 {
	return min(now.Add(s.AccessTTL), l.ExpiresAt).Time().Unix()
}

func (s *token) Start(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	refresh, k, rotation, err := mint(s.Rand, s.Slug)
	if err != nil {
		return Login{}, Credential{}, err
	}
	now := s.now()
	l.ID, l.IssuedAt, l.ExpiresAt = k.String(), now, now.Add(s.RefreshTTL)
	t, err := s.sign(r, l, s.expiry(now, l))
	if err == nil {
		err = l.storable() // the client may hold more than the server stores
	}
	if err != nil {
		return Login{}, Credential{}, err
	}
	t.refresh = refresh
	rec := Record{
		Kind: KindFamily, Strategy: s.Slug, Login: l, Rotation: rotation, LastSeen: now, Expires: l.ExpiresAt,
	}
	var old []Entry
	for value := range s.All(r) { // garbage is no obstacle
		presented, err := s.parse(value)
		if err != nil {
			continue
		}
		switch k, rec, err := s.byID(r.Context(), presented.Login.ID); {
		case err == nil && !slices.ContainsFunc(old, func(e Entry) bool { return e.Key == k }):
			old = append(old, Entry{Key: k, Record: rec})
		case err != nil && !errors.Is(err, ErrUnknown):
			return Login{}, Credential{}, err
		}
	}
	if err := s.replace(r.Context(), old, k, rec, now); err != nil {
		return Login{}, Credential{}, err
	}
	c, err := s.hand(w, r, t)
	return l, c, err
}

func (s *token) Load(r *http.Request) (Held, error) {
	h, err := s.presented(r)
	return s.current(r.Context(), h, err)
}

// current returns what presented has returned, or ErrRevoked if the login has ended. The
// family that the token descends from is what knows it: one look-up, and nothing else to
// keep.
func (s *token) current(ctx context.Context, h Held, err error) (Held, error) {
	if err != nil {
		return Held{}, err
	}
	if s.Denylist {
		if h.key, h.record, err = s.byID(ctx, h.ID); errors.Is(err, ErrUnknown) {
			err = ErrRevoked
		}
	}
	return h, err
}

// Save signs l anew and keeps it for the next refresh; the last write wins,
// since the version that could tell is in the copy itself. The new token
// expires when the presented one would have: changing a nickname must not be a
// way to prolong a stolen token.
func (s *token) Save(w http.ResponseWriter, r *http.Request, h Held, l Login) (Login, Credential, error) {
	t, err := s.sign(r, l, h.expires)
	if err == nil {
		err = l.storable() // as in Start
	}
	if err == nil {
		err = s.change(r.Context(), l.ID, h.record, func(rec *Record) { rec.Login = l })
	}
	if err != nil {
		return Login{}, Credential{}, err
	}
	c, err := s.hand(w, r, t)
	return l, c, err
}

// change updates the family of a login, however often others are faster. Rec is the
// record if it has been read before, or else zero. It returns ErrRevoked if the family
// has been ended.
func (s *token) change(ctx context.Context, id string, rec Record, f func(*Record)) error {
	k, ok := ParseKey(id)
	if !ok {
		return ErrRevoked
	}
	for i := range attempts {
		if i > 0 || rec.Rev == 0 {
			var err error
			if rec, err = s.byKey(ctx, k); errors.Is(err, ErrUnknown) {
				return ErrRevoked
			} else if err != nil {
				return err
			}
		}
		f(&rec)
		switch err := s.Store.Update(ctx, k, rec.Rev, rec); {
		case err == nil:
			return nil
		case !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound):
			return failed(err)
		}
	}
	return ErrConflict
}

// revoke ends a family of the subject. Its record stays until its end, without the state, so
// that a refresh token that turns up later is told what happened.
func (s *token) revoke(ctx context.Context, subject string, k Key) error {
	return s.revokeRecord(ctx, subject, k.String(), Record{})
}

// revokeRecord does what revoke does, with the record if it has been read before.
func (s *token) revokeRecord(ctx context.Context, subject, id string, rec Record) error {
	err := s.change(ctx, id, rec, (*Record).Revoke)
	if errors.Is(err, ErrRevoked) {
		return nil
	}
	if err == nil {
		s.trimEnded(ctx, subject)
	}
	return err
}

// Open takes a refresh token instead of the access token, so that a client whose access
// token has expired can refresh the login and end it. Where the refresh token has a
// cookie of its own, it takes an expired access token: the browser does not send the
// refresh token with a logout, and the login must not go on for that.
func (s *token) Open(r *http.Request, presented string) (Held, error) {
	if presented != "" {
		return s.openFamily(r.Context(), presented)
	}
	h, err := s.presented(r)
	if s.renewal != nil {
		_, missing := s.renewal.Read(r)
		if errors.Is(err, ErrExpired) || err == nil && missing == nil { // Refresh asks the family
			return h, nil
		}
	}
	return s.current(r.Context(), h, err)
}

// openFamily returns the login that a refresh token belongs to, without using the token
// up. An old one ends its family.
func (s *token) openFamily(ctx context.Context, presented string) (Held, error) {
	o, ok := parseOpaque(s.Slug, presented)
	if !ok {
		return Held{}, ErrUnknown
	}
	rec, err := s.Store.Load(ctx, o.key)
	h := Held{Login: rec.Login, credential: presented, key: o.key, record: rec}
	switch {
	case errors.Is(err, ErrNotFound):
		return Held{}, ErrUnknown
	case err != nil:
		return Held{}, failed(err)
	case rec.Rotation.Revoked:
		return h, ErrRevoked
	case rec.Rotation.judge(o.secret, s.now(), s.RefreshOverlap) == stale:
		// The server cannot tell the thief from the owner, so both are out.
		return h, cmp.Or(s.revokeRecord(ctx, h.Subject, h.ID, rec), ErrReuse)
	}
	return h, nil
}

// Refresh uses the refresh token of the login up. Where it travels in a cookie, a browser
// sends both cookies, and each can be planted alone: by a sibling domain, or by an
// attacker on a line without TLS (RFC 6265, 8.6). So it must belong to the login of the
// access token, or a planted one would put the client into the login of another account.
// That is compared before anything is used up: a refused request leaves both logins as
// they are.
func (s *token) Refresh(w http.ResponseWriter, r *http.Request, h Held) (Login, Credential, error) {
	presented := h.credential
	if s.renewal != nil {
		var err error
		if presented, err = s.renewal.Read(r); err != nil {
			return Login{}, Credential{}, err
		}
	}
	o, ok := parseOpaque(s.Slug, presented)
	if !ok || o.key.String() != h.ID {
		return Login{}, Credential{}, ErrUnknown
	}
	// Without a signing key nothing may be used up.
	if _, err := s.Keys.Active(s.purpose); err != nil {
		return Login{}, Credential{}, err
	}
	now := s.now()
	rec, successor, err := rotate(r.Context(), s.Store, o, h.record, now, s.RefreshOverlap, func(rec *Record) (err error) {
		rec.LastSeen = now
		rec.Login.Role, err = s.role(r.Context(), rec.Login.Subject)
		return err
	})
	switch {
	case errors.Is(err, ErrReuse), errors.Is(err, ErrRevoked):
		// As in openFamily; or the account is gone.
		return rec.Login, Credential{}, cmp.Or(s.revoke(r.Context(), rec.Login.Subject, o.key), err)
	case err != nil:
		return Login{}, Credential{}, err
	}
	t, err := s.sign(r, rec.Login, s.expiry(now, rec.Login))
	if err != nil {
		return Login{}, Credential{}, err
	}
	t.refresh = presented[:secretChars] + successor
	c, err := s.hand(w, r, t)
	return rec.Login, c, err
}

func (s *token) End(w http.ResponseWriter, r *http.Request, h Held) error {
	if err := s.revokeRecord(r.Context(), h.Subject, h.ID, h.record); err != nil {
		return err
	}
	s.Clear(w, r)
	return nil
}

// Clear implements Transport for both tokens, in this order: of two cookies that one
// answer clears, curl 7.88 forgets only the last.
func (s *token) Clear(w http.ResponseWriter, r *http.Request) {
	if s.renewal != nil {
		s.renewal.Clear(w, r)
	}
	s.Transport.Clear(w, r)
}

func (s *token) Inspect(r *http.Request, h Held) (Inspection, error) {
	header, _, _ := strings.Cut(h.credential, ".")
	decoded, _ := base64.RawURLEncoding.DecodeString(header) // verified with the rest
	in := Inspection{Carried: s.Carriage(r).carried(h.credential, s.Traits())}
	in.Carried.Decoded = map[string]any{"header": jsontext.Value(decoded), "claims": h.decoded}
	rec, err := h.record, error(nil)
	if rec.Rev == 0 {
		_, rec, err = s.byID(r.Context(), h.ID)
	}
	switch {
	case err == nil:
		in.Held, err = s.describe(rec)
		return in, err
	case errors.Is(err, ErrUnknown): // ended, though the access token lives on
		return in, nil
	default:
		return Inspection{}, err
	}
}
