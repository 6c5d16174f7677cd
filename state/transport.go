package state

import (
	"cmp"
	"iter"
	"net/http"
	"strings"
	"time"
)

// A Transport carries one credential between client and server. Who stores the state
// is another question: every strategy takes a Transport.
//
// Implementations are safe for concurrent use.
type Transport interface {
	// Carriage describes how the credential travels with r.
	Carriage(r *http.Request) Carriage
	// Read returns the value that r carries. It returns ErrNoCredential if there is
	// none, and ErrAmbiguous if two values differ.
	Read(r *http.Request) (string, error)
	// All yields every value that r carries, in order: a login ends them all.
	All(r *http.Request) iter.Seq[string]
	// Fits returns a *TooLargeError for a value that the client could not send back.
	// Call it before anything is stored.
	Fits(r *http.Request, value string) error
	// Write gives the client a value in place of the one that it has, and describes
	// it. It returns what Fits returns, and has then written nothing.
	Write(w http.ResponseWriter, r *http.Request, value string, l Lives) (Credential, error)
	// Clear removes the value from the client, if the server can do that.
	Clear(w http.ResponseWriter, r *http.Request)
}

// Lives are the remaining lifetimes of a credential and of its login. They differ for
// an access token, which a refresh replaces while the login goes on.
type Lives struct {
	Credential, Login time.Duration
}

// A Carriage describes how a credential travels, as data. Challenges, stolen copies,
// CORS and caches go by it, so that none of them asks which transport it has.
type Carriage struct {
	Kind   string // as in Traits.Transport
	Header string // the header of a request that has the credential
	Name   string // of the cookie; for other kinds, the Header again
	Prefix string // stands before the value in the Header
	Scheme string // of a challenge (RFC 9110, 11.3)

	// Attributes of a cookie.
	Path     string
	Secure   bool
	HTTPOnly bool // no script can read it (OWASP Session Management: HttpOnly Attribute)
	SameSite http.SameSite

	SentByBrowser bool // the browser attaches it by itself: cross-site requests matter
	Limit         int  // what it may measure, in bytes
}

// In names the place in a request: the header, in lower case.
func (c Carriage) In() string { return strings.ToLower(c.Header) }

// Bytes is what a value takes in the header, without the header's name.
func (c Carriage) Bytes(value string) int { return len(c.Prefix) + len(value) }

// Attach sets the header of an outgoing request.
func (c Carriage) Attach(h http.Header, value string) { h.Set(c.Header, c.Prefix+value) }

// Cookie returns a cookie with a value and the attributes of the carriage. MaxAge is in
// seconds: 0 lets it live until the browser closes, and less deletes it.
func (c Carriage) Cookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // a lesson has no attributes
		Name: c.Name, Value: value, Path: c.Path, MaxAge: maxAge, Secure: c.Secure, HttpOnly: c.HTTPOnly, SameSite: c.SameSite,
	}
}

// Challenge is the value of WWW-Authenticate that asks for the credential (RFC 9110,
// 11.6.1). The scheme Cookie is a draft's: Basic would open a dialog in browsers.
// Failure is an error of RFC 6750, 3.1, or "". A cookie's challenge names none.
func (c Carriage) Challenge(realm, failure string) string {
	text := c.Scheme + ` realm="` + realm + `"`
	switch {
	case c.Kind == TransportCookie:
		text += `, cookie-name="` + c.Name + `"`
	case failure != "":
		text += `, error="` + failure + `"`
	}
	return text
}

// describe tells the client about a value that it holds from now on, or goes on to hold.
// Life is what remains of the value's own lifetime.
func (c Carriage) describe(value string, life time.Duration) Credential {
	credential := Credential{Kind: c.Kind, Bytes: c.Bytes(value)}
	if c.Kind == TransportCookie {
		credential.Name = c.Name
	} else { // the client itself stores it (RFC 6749, 5.1)
		credential.AccessToken, credential.TokenType, credential.ExpiresIn = value, c.Scheme, max(1, int64(life/time.Second))
	}
	return credential
}

// carried describes a value for an Inspection. Its first characters are enough to
// recognise it and far too few to use it.
func (c Carriage) carried(value string, t Traits) Carried {
	return Carried{
		In: c.In(), Name: c.Name, Bytes: c.Bytes(value), ValueMasked: Mask(value),
		ReadableWithoutKey: t.Readable, ProtectedBy: t.ProtectedBy,
	}
}

// traitsOf fills in the traits that come from the transport.
func traitsOf(transport Transport, t Traits) Traits {
	c := transport.Carriage(new(http.Request))
	t.Transport, t.HTTPOnly, t.SameSite, t.SentByBrowser = c.Kind, c.HTTPOnly, c.SameSite != 0, c.SentByBrowser
	if t.Holder == HolderClient {
		t.LimitBytes = c.Limit
	}
	t.RefreshToken = cmp.Or(t.RefreshToken, RefreshTokenNone)
	return t
}

// single collects the values of a request that may differ in nothing.
type single struct {
	value string
	found bool
	err   error // ErrAmbiguous
}

// add takes one more value, and says whether it fits to those before.
func (s *single) add(value string) bool {
	if s.found && value != s.value {
		s.value, s.err = "", ErrAmbiguous
		return false
	}
	s.value, s.found = value, true
	return true
}

// Mask shows the first four characters of a credential, or fewer of a short one. A
// client may send anything; the result is UTF-8.
func Mask(value string) string {
	return strings.ToValidUTF8(value[:min(4, len(value)/4)], "\uFFFD") + "…"
}

type secureKey struct{}

// SecureKey is the key under which a request's context has a bool: whether the client
// came over TLS, to this server or to a trusted proxy in front of it.
var SecureKey any = secureKey{}

// Secure reports whether the client came over TLS. Without a value in the context, the
// connection of this server decides.
func Secure(r *http.Request) bool {
	if secure, ok := r.Context().Value(SecureKey).(bool); ok {
		return secure
	}
	return r.TLS != nil
}
