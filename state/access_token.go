package state

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"statelab/state/keys"
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

// leeway is by how many seconds the clock of the node that signed may be ahead (RFC 7519,
// 4.1.5). It counts for iat and nbf only, so the getters give it: golang-jwt's WithLeeway
// would have every token live longer as well.
const leeway = 2

func numericDate(seconds, leeway int64) (*jwt.NumericDate, error) {
	if seconds == 0 {
		return nil, nil //nolint:nilnil // absent, as jwt.Claims has it
	}
	return jwt.NewNumericDate(time.Unix(seconds-leeway, 0)), nil
}

func (c claims) GetExpirationTime() (*jwt.NumericDate, error) { return numericDate(c.Expires, 0) }
func (c claims) GetIssuedAt() (*jwt.NumericDate, error)       { return numericDate(c.Issued, leeway) }
func (c claims) GetNotBefore() (*jwt.NumericDate, error)      { return numericDate(c.NotBefore, leeway) }
func (c claims) GetIssuer() (string, error)                   { return c.Issuer, nil }
func (c claims) GetSubject() (string, error)                  { return c.Subject, nil }
func (c claims) GetAudience() (jwt.ClaimStrings, error)       { return jwt.ClaimStrings{c.Audience}, nil }

// sign returns an access token for l that the client of r can send back and that
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
		err = s.Fits(r, text)
	}
	if err != nil {
		return tokens{}, err
	}
	return tokens{access: text, lives: Lives{time.Duration(expires-now) * time.Second, l.ExpiresAt.Sub(s.now())}}, nil
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
func (s *token) parse(text string) (*claims, error) {
	// The decoder skips CR and LF, so that many spellings would be one token.
	if len(text) > TokenLimit || strings.ContainsFunc(text, notJOSE) {
		return nil, ErrBadSignature
	}
	return s.open(text, s.verify, s.timely)
}

// timely judges the dates of claims that were verified before, as the parser
// does.
func (s *token) timely(c *claims) error {
	switch now := s.Now().Unix(); {
	case now >= c.Expires:
		return ErrExpired
	case now < c.NotBefore-leeway, now < c.Issued-leeway:
		return ErrNotYetValid
	}
	return nil
}

// verify returns the claims of a token that is good now, as parse does, and the
// id of the key that signed it.
func (s *token) verify(text string) (*claims, string, error) {
	c := new(claims)
	t, err := s.parser.ParseWithClaims(text, c, s.key)
	err = judged(err)
	switch {
	case err != nil && !errors.Is(err, ErrExpired): // an attacker may have written what it claims
		return nil, "", err
	case c.ID == "" || c.Issued == 0 || c.NotBefore == 0 || c.ClientID != clientID || !c.complete():
		return nil, "", ErrBadSignature
	}
	key, _ := t.Header["kid"].(string)
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
