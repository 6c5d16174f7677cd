package state

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"statelab/state/keys"
)

// token keeps the login in a signed access token (RFC 7519, profile of RFC
// 9068). It is verified without asking anybody and therefore lives until it
// expires. How it comes to the client and back is its carrier's.
//
// An opaque refresh token renews it. Each use replaces it (RFC 9700, 4.14.2),
// and using an old one ends the family that descends from one login. So the
// server holds a record after all: the family, with the state that the next
// access token is signed from.
type token struct {
	Config
	ledger
	*opened[claims]
	carrier carrier
	parser  *jwt.Parser
	method  jwt.SigningMethod
	purpose keys.Purpose
}

// A carrier brings tokens to the client and back.
type carrier interface {
	// access returns the access token that r carries, or else ErrNoCredential or
	// ErrAmbiguous.
	access(r *http.Request) (string, error)
	// fits returns a *TooLargeError for an access token that cannot be carried.
	fits(r *http.Request, access string) error
	// hand gives the client what it has to hold from now on. An access token
	// comes without a refresh token where the one that the client has stays good.
	hand(w http.ResponseWriter, r *http.Request, t tokens) Credential
	// carried describes an access token for an Inspection.
	carried(r *http.Request, access string, t Traits) Carried
}

// tokens are what a login is handed out as.
type tokens struct {
	access  string
	refresh string        // or ""
	lives   time.Duration // of the access token
	ends    time.Duration // until the login does
}

var (
	_ Strategy  = (*token)(nil)
	_ Lister    = (*token)(nil)
	_ Ender     = (*token)(nil)
	_ Inspector = (*token)(nil)
	_ Caching   = (*token)(nil)
	_ Presenter = bearerToken{}
)

// Issuer is the iss claim on every node, and clientID the client_id that RFC
// 9068, 2.2 requires.
const (
	Issuer   = "statelab"
	clientID = "statelab"
)

// tokenType keeps an access token from being taken for any other JWT (RFC
// 9068, 2.1; RFC 8725, 3.11).
const tokenType = "at+jwt"

// NewToken returns the strategy that signs access tokens with c.TokenAlg, "HS256"
// or else EdDSA, and has them sent in the Authorization header.
func NewToken(c Config) Strategy { return bearerToken{newToken(c, bearer{})} }

func newToken(c Config, carrier carrier) *token {
	s := &token{Config: c, carrier: carrier, method: jwt.SigningMethodEdDSA, purpose: keys.TokenEdDSA}
	if c.TokenAlg == jwt.SigningMethodHS256.Alg() {
		s.method, s.purpose = jwt.SigningMethodHS256, keys.TokenHS256
	}
	s.ledger = newLedger(c, KindFamily, s.revoke, 0)
	s.opened = newOpened[claims](c, s.purpose)
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
	return Traits{
		Holder: HolderClient, KeptIn: s.Place, Transport: TransportBearer, ProtectedBy: ProtectedBySignature,
		Readable: true, TamperProof: true, Revocable: s.Denylist, Listable: true, Everywhere: true,
		StrictID: true, RenewsID: true, Expires: true,
		SurvivesRestart: survives, NeedsSharedStore: s.Denylist, NeedsSharedKey: true, LimitBytes: TokenLimit,
	}
}

// claims are the payload of an access token: the login, and what RFC 9068, 2.2
// requires. Dates are whole seconds.
type claims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	ClientID  string `json:"client_id"`
	ID        string `json:"jti"`
	Issued    int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
	Login
}

// MarshalJSON and UnmarshalJSON bring the strict decoder into golang-jwt:
// duplicate claims, which parsers read differently, are refused (RFC 7519, 4).
func (c claims) MarshalJSON() ([]byte, error) {
	type plain claims
	return json.Marshal(plain(c))
}

func (c *claims) UnmarshalJSON(b []byte) error {
	type plain claims
	return json.Unmarshal(b, (*plain)(c))
}

func numericDate(seconds int64) (*jwt.NumericDate, error) {
	if seconds == 0 {
		return nil, nil //nolint:nilnil // absent, as jwt.Claims has it
	}
	return jwt.NewNumericDate(time.Unix(seconds, 0)), nil
}

func (c claims) GetExpirationTime() (*jwt.NumericDate, error) { return numericDate(c.Expires) }
func (c claims) GetIssuedAt() (*jwt.NumericDate, error)       { return numericDate(c.Issued) }
func (c claims) GetNotBefore() (*jwt.NumericDate, error)      { return numericDate(c.NotBefore) }
func (c claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c claims) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings{c.Audience}, nil }

// sign returns an access token for l that the carrier of r can carry and that
// expires at the given second.
func (s *token) sign(r *http.Request, l Login, expires int64) (tokens, error) {
	k, err := s.Keys.Active(s.purpose)
	if err != nil {
		return tokens{}, err
	}
	id, err := newSecret(s.Rand)
	if err != nil {
		return tokens{}, err
	}
	now := s.Now().Unix()
	if expires <= now {
		return tokens{}, ErrExpired
	}
	t := jwt.NewWithClaims(s.method, claims{
		Issuer: Issuer, Audience: s.Slug, ClientID: clientID, ID: id,
		Issued: now, NotBefore: now, Expires: expires, Login: l,
	})
	t.Header["typ"], t.Header["kid"] = tokenType, k.ID
	text, err := t.SignedString(s.signing(k))
	if err == nil {
		err = s.carrier.fits(r, text)
	}
	if err != nil {
		return tokens{}, err
	}
	return tokens{access: text, lives: time.Duration(expires-now) * time.Second, ends: l.ExpiresAt.Sub(s.now())}, nil
}

// signing and verifying return a key in the form that golang-jwt wants.
func (s *token) signing(k *keys.Key) any {
	if s.purpose == keys.TokenHS256 {
		return k.Secret()
	}
	return k.Signer()
}

func (s *token) verifying(k *keys.Key) any {
	if s.purpose == keys.TokenHS256 {
		return k.Secret()
	}
	return k.Public()
}

// header is what we look at in the header of a token. Key headers such as jku
// and jwk are never looked at (RFC 8725, 3.10).
type header struct {
	Type     string         `json:"typ"`
	ID       string         `json:"kid"`
	Critical jsontext.Value `json:"crit"`
}

// key finds the key of a token by its kid, after looking at what golang-jwt
// leaves to its user. It reads the header by the strict decoder: of two members
// with one name, parsers choose differently.
func (s *token) key(t *jwt.Token) (any, error) {
	encoded, _, _ := strings.Cut(t.Raw, ".")
	text, err := unbase64(encoded)
	if err != nil {
		return nil, err
	}
	var h header
	// An extension that must be understood is one that we do not (RFC 7515,
	// 4.1.11).
	if json.Unmarshal(text, &h) != nil || h.Type != tokenType || h.Critical != nil {
		return nil, ErrBadSignature
	}
	k, err := s.Keys.Find(s.purpose, h.ID)
	if err != nil {
		return nil, unmatched(err)
	}
	return s.verifying(k), nil
}

// parse verifies an access token. It returns keys.ErrNoKey where there is no key
// to tell by. With ErrExpired come the claims of a token that was good.
func (s *token) parse(text string) (claims, error) {
	// The decoder skips CR and LF, so that many spellings would be one token.
	if len(text) > TokenLimit || strings.ContainsFunc(text, notJOSE) {
		return claims{}, ErrBadSignature
	}
	return s.open(text, s.verify, s.timely)
}

// timely judges the dates of claims that were verified before, as the parser
// does.
func (s *token) timely(c claims) error {
	switch now := s.Now().Unix(); {
	case now >= c.Expires:
		return ErrExpired
	case now < c.NotBefore, now < c.Issued:
		return ErrNotYetValid
	}
	return nil
}

// verify returns the claims of a token that is good now, as parse does, and the
// id of the key that signed it.
func (s *token) verify(text string) (c claims, key string, err error) {
	t, err := s.parser.ParseWithClaims(text, &c, s.key)
	err = judged(err)
	switch {
	case err != nil && !errors.Is(err, ErrExpired): // what it claims may be anybody's
		return claims{}, "", err
	case c.ID == "" || c.Issued == 0 || c.NotBefore == 0 || c.ClientID != clientID || !c.complete():
		return claims{}, "", ErrBadSignature
	}
	key, _ = t.Header["kid"].(string)
	return c, key, err
}

// judged turns an error of golang-jwt into one of ours.
func judged(err error) error {
	switch {
	case err == nil, errors.Is(err, keys.ErrNoKey):
		return err
	case !isDate(err):
		return ErrBadSignature
	case errors.Is(err, jwt.ErrTokenExpired):
		return ErrExpired
	default:
		return ErrNotYetValid
	}
}

// isDate says whether nothing but a date is wrong with a token.
func isDate(err error) bool {
	for _, other := range []error{
		jwt.ErrTokenMalformed, jwt.ErrTokenUnverifiable, jwt.ErrTokenSignatureInvalid,
		jwt.ErrTokenInvalidAudience, jwt.ErrTokenInvalidIssuer, jwt.ErrTokenRequiredClaimMissing,
	} {
		if errors.Is(err, other) {
			return false
		}
	}
	return errors.Is(err, jwt.ErrTokenExpired) || errors.Is(err, jwt.ErrTokenNotValidYet) || errors.Is(err, jwt.ErrTokenUsedBeforeIssued)
}

// notJOSE says whether a character has no place in a token (RFC 7515, 7.1).
func notJOSE(r rune) bool {
	switch {
	case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
		return false
	}
	return true
}

// presented returns the claims of the access token that r carries.
func (s *token) presented(r *http.Request) (claims, error) {
	text, err := s.carrier.access(r)
	if err != nil {
		return claims{}, err
	}
	return s.parse(text)
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
		err = l.storable() // a carrier may take more than the server stores
	}
	if err != nil {
		return Login{}, Credential{}, err
	}
	t.refresh = refresh
	rec := Record{
		Kind: KindFamily, Strategy: s.Slug, Login: l, Rotation: rotation, LastSeen: now, Expires: l.ExpiresAt,
	}
	var old []Key
	if presented, err := s.presented(r); err == nil {
		if k, ok := ParseKey(presented.Login.ID); ok {
			old = append(old, k)
		}
	}
	if err := s.replace(r.Context(), old, k, rec, now); err != nil {
		return Login{}, Credential{}, err
	}
	return l, s.carrier.hand(w, r, t), nil
}

func (s *token) Load(r *http.Request) (Login, error) {
	c, err := s.presented(r)
	if err != nil {
		return Login{}, err
	}
	if s.Denylist {
		// The family that the token descends from is what knows whether it has
		// been ended: one look-up, and nothing else to keep.
		if _, _, err = s.byID(r.Context(), c.Login.ID); errors.Is(err, ErrUnknown) {
			err = ErrRevoked
		}
	}
	return c.Login, err
}

// Save signs l anew and keeps it for the next refresh; the last write wins,
// since the version that could tell is in the copy itself. The new token
// expires when the presented one would have: changing a nickname must not be a
// way to prolong a stolen token.
func (s *token) Save(w http.ResponseWriter, r *http.Request, l Login) (Login, Credential, error) {
	held, err := s.presented(r)
	if err != nil {
		return Login{}, Credential{}, err
	}
	t, err := s.sign(r, l, held.Expires)
	if err == nil {
		err = l.storable() // as in Start
	}
	if err != nil {
		return Login{}, Credential{}, err
	}
	if err := s.change(r.Context(), l.ID, func(rec *Record) { rec.Login = l }); err != nil {
		return Login{}, Credential{}, err
	}
	return l, s.carrier.hand(w, r, t), nil
}

// change updates the family of a login, however often others are faster. It
// returns ErrRevoked if the family has been ended.
func (s *token) change(ctx context.Context, id string, f func(*Record)) error {
	for range attempts {
		k, rec, err := s.byID(ctx, id)
		if errors.Is(err, ErrUnknown) {
			return ErrRevoked
		}
		if err != nil {
			return err
		}
		f(&rec)
		switch err = s.Store.Update(ctx, k, rec.Rev, rec); {
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
	if err := s.trim(ctx, subject, maxEndedLogins-1); err != nil {
		return err
	}
	err := s.change(ctx, k.String(), (*Record).Revoke)
	if errors.Is(err, ErrRevoked) {
		return nil
	}
	return err
}

// Refresh takes the refresh token presented.
func (s *token) Refresh(w http.ResponseWriter, r *http.Request, presented string) (Login, Credential, error) {
	o, ok := parseOpaque(s.Slug, presented)
	if !ok {
		return Login{}, Credential{}, ErrUnknown
	}
	// Without a signing key nothing may be used up.
	if _, err := s.Keys.Active(s.purpose); err != nil {
		return Login{}, Credential{}, err
	}
	now := s.now()
	rec, successor, err := rotate(r.Context(), s.Store, o, now, s.RefreshOverlap, func(rec *Record) (err error) {
		rec.LastSeen = now
		rec.Login.Role, err = s.role(r.Context(), rec.Login.Subject)
		return err
	})
	switch {
	case errors.Is(err, ErrReuse), errors.Is(err, ErrRevoked):
		// The server cannot tell the thief from the owner, so both are out; or
		// the account is gone.
		return rec.Login, Credential{}, cmp.Or(s.revoke(r.Context(), rec.Login.Subject, o.key), err)
	case err != nil:
		return Login{}, Credential{}, err
	}
	t, err := s.sign(r, rec.Login, s.expiry(now, rec.Login))
	if err != nil {
		return Login{}, Credential{}, err
	}
	t.refresh = presented[:secretChars] + successor
	return rec.Login, s.carrier.hand(w, r, t), nil
}

func (s *token) End(_ http.ResponseWriter, r *http.Request, _ string) (Login, error) {
	l, err := s.Load(r)
	if err != nil {
		return Login{}, err
	}
	return l, s.endLogin(r.Context(), l)
}

func (s *token) endLogin(ctx context.Context, l Login) error {
	k, ok := ParseKey(l.ID)
	if !ok {
		return ErrUnknown
	}
	return s.revoke(ctx, l.Subject, k)
}

func (s *token) Inspect(r *http.Request) (Inspection, error) {
	c, err := s.presented(r)
	if err != nil {
		return Inspection{}, err
	}
	text, _ := s.carrier.access(r)
	header, _, _ := strings.Cut(text, ".")
	decoded, _ := base64.RawURLEncoding.DecodeString(header) // verified with the rest
	in := Inspection{Carried: s.carrier.carried(r, text, s.Traits())}
	in.Carried.Decoded = map[string]any{"header": jsontext.Value(decoded), "claims": c}
	switch _, rec, err := s.byID(r.Context(), c.Login.ID); {
	case err == nil:
		in.Held, err = s.describe(rec)
		return in, err
	case errors.Is(err, ErrUnknown): // ended, though the access token lives on
		return in, nil
	default:
		return Inspection{}, err
	}
}

// bearerToken is a token that the client sends in the Authorization header. Its
// refresh token travels in bodies only.
type bearerToken struct{ *token }

// Present implements Presenter: for a logout everywhere by a client whose
// access token has expired. An old refresh token ends its family here too.
func (s bearerToken) Present(ctx context.Context, presented string) (Login, error) {
	o, ok := parseOpaque(s.Slug, presented)
	if !ok {
		return Login{}, ErrUnknown
	}
	rec, err := s.Store.Load(ctx, o.key)
	switch {
	case errors.Is(err, ErrNotFound):
		return Login{}, ErrUnknown
	case err != nil:
		return Login{}, failed(err)
	case rec.Rotation.Revoked:
		return Login{}, ErrRevoked
	case rec.Rotation.judge(o.secret, s.now(), s.RefreshOverlap) == stale:
		if err := s.revoke(ctx, rec.Login.Subject, o.key); err != nil {
			return Login{}, err
		}
		return rec.Login, ErrReuse
	}
	return rec.Login, nil
}

// End also takes a refresh token, so that a client whose access token has expired
// can still log out.
func (s bearerToken) End(w http.ResponseWriter, r *http.Request, presented string) (Login, error) {
	if presented == "" {
		return s.token.End(w, r, "")
	}
	l, err := s.Present(r.Context(), presented)
	if err != nil {
		return l, err
	}
	return l, s.endLogin(r.Context(), l)
}

// bearer is the carrier of RFC 6750.
type bearer struct{}

const bearerPrefix = "Bearer "

// access returns the token of the Authorization header (RFC 6750, 2.1). No
// other place counts: not the query, which ends in logs, and not the body.
func (bearer) access(r *http.Request) (string, error) {
	found := ""
	for _, line := range r.Header["Authorization"] {
		scheme, text, _ := strings.Cut(line, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			continue
		}
		if found != "" && found != text {
			return "", ErrAmbiguous
		}
		if found = text; text == "" {
			return "", ErrBadSignature
		}
	}
	if found == "" {
		return "", ErrNoCredential
	}
	return found, nil
}

func (bearer) fits(_ *http.Request, access string) error {
	if len(access) > TokenLimit {
		return &TooLargeError{Limit: TokenLimit, Size: len(access)}
	}
	return nil
}

func (bearer) hand(_ http.ResponseWriter, _ *http.Request, t tokens) Credential {
	return Credential{
		Kind: TransportBearer, AccessToken: t.access, TokenType: "Bearer", RefreshToken: t.refresh,
		ExpiresIn: int64(t.lives / time.Second), Bytes: len(bearerPrefix) + len(t.access),
	}
}

func (bearer) carried(_ *http.Request, access string, t Traits) Carried {
	return Carried{
		In: "authorization", Name: "Authorization", Bytes: len(bearerPrefix) + len(access), ValueMasked: Mask(access),
		ReadableWithoutKey: t.Readable, ProtectedBy: t.ProtectedBy,
	}
}
