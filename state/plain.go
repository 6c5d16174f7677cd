package state

import (
	"net/url"
	"strings"
)

// NewPlainCookie returns the strategy whose cookie anybody can read and write: a
// lesson, and nothing to build on. It is what an application does that trusts
// what it finds in a cookie, and it is served in the classroom alone.
//
//   - Whoever holds the cookie can make it say that they are an admin, or
//     somebody else, or have a million credits, until the year 9999.
//   - Scripts can read it, since it is not HttpOnly.
//   - Nothing can end it, with or without a denylist: a login that was ended goes
//     on under an id that its holder makes up.
//
// SameSite is Lax as everywhere: a lesson on forgery is not one on requests from
// other sites.
func NewPlainCookie(c Config, t Transport) Strategy {
	c.Denylist, c.CredentialCache = false, 0
	s := newCookie(c, t, plain{}, "", ProtectedByNone)
	s.traits.TamperProof, s.traits.StrictID = false, false
	s.traits.SurvivesRestart, s.traits.NeedsSharedKey = SurvivesAlways, false
	return s
}

// InReadableCookie returns the transport of a cookie that scripts can read: it is not
// HttpOnly.
func InReadableCookie(c Config) Transport {
	t := newCookieTransport(c, "")
	t.plain.HTTPOnly, t.secure.HTTPOnly = false, false
	return t
}

// plain is the payload in the form of encodeURIComponent, which is readable in
// the developer tools of a browser, and has no character that cookies cannot have.
type plain struct{}

func (plain) encode(payload []byte) (string, error) {
	return strings.ReplaceAll(url.QueryEscape(string(payload)), "+", "%20"), nil
}

func (plain) decode(value string) ([]byte, string, error) {
	payload, err := url.PathUnescape(value)
	if err != nil {
		return nil, "", ErrBadSignature
	}
	return []byte(payload), "", nil
}
