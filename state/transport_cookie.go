package state

import (
	"cmp"
	"iter"
	"net/http"
	"strings"
	"time"
)

// inCookie is the Transport in a cookie. Writing and clearing share the attributes,
// because a browser removes a cookie only if name, path and domain are those that it
// was set with.
type inCookie struct {
	plain, secure Carriage // without TLS, and over it
	unsized       bool     // it is set though browsers drop it
}

var _ Transport = (*inCookie)(nil)

// InCookie returns the transport of a strategy's HttpOnly cookie.
func InCookie(c Config) Transport { return newCookieTransport(c, "") }

// newCookieTransport returns the transport in a cookie that is sent to one route of
// the strategy, or to all for "".
//
// Over TLS the __Host- prefix makes browsers refuse the cookie from any other host or
// without Secure (RFC 6265bis, 4.1.3.2). It demands the path "/", so the cookie of one
// route has the prefix __Secure- instead. Without TLS the path is the strategy's, so
// that a request shows the cookie of one strategy only.
func newCookieTransport(c Config, route string) *inCookie {
	plain := Carriage{
		Kind: TransportCookie, Header: "Cookie", Name: "statelab_" + c.Slug, Scheme: "Cookie", Path: "/" + c.Slug,
		HTTPOnly: true, SameSite: cmp.Or(c.SameSite, http.SameSiteLaxMode), SentByBrowser: true, Limit: CookieLimit,
	}
	secure := plain
	secure.Secure, secure.Name, secure.Path = true, "__Host-"+plain.Name, "/"
	if route != "" {
		plain.Name, plain.Path = plain.Name+"_"+route, plain.Path+"/"+route
		secure.Name, secure.Path = "__Secure-"+plain.Name, plain.Path
	}
	plain.Prefix, secure.Prefix = plain.Name+"=", secure.Name+"="
	return &inCookie{plain: plain, secure: secure, unsized: c.NoSizeCheck}
}

func (t *inCookie) of(r *http.Request) *Carriage {
	if Secure(r) {
		return &t.secure
	}
	return &t.plain
}

// Carriage implements Transport.
func (t *inCookie) Carriage(r *http.Request) Carriage { return *t.of(r) }

// browsersForget is the longest life that browsers grant a cookie (RFC
// 6265bis, 5.5: 400 days).
const browsersForget = 400 * 24 * time.Hour

// Write implements Transport. Max-Age tells the browser when to forget; the server
// judges expiry by itself. The cookie lives as long as the login: then the server can
// say that an access token has expired, where it would see no token at all.
func (t *inCookie) Write(w http.ResponseWriter, r *http.Request, value string, l Lives) (Credential, error) {
	if err := t.Fits(r, value); err != nil {
		return Credential{}, err
	}
	c := t.of(r)
	put(w, c.Cookie(value, maxAge(l.Login)))
	return c.describe(value, l.Credential), nil
}

// maxAge is the attribute Max-Age, in seconds. In the last half second of a login a whole
// second is sent: zero would leave Max-Age out, and the browser would keep the cookie
// until it closes.
func maxAge(life time.Duration) int {
	return int(max(min(life, browsersForget), time.Second).Round(time.Second) / time.Second)
}

// Fits implements Transport. Browsers count name and value.
func (t *inCookie) Fits(r *http.Request, value string) error {
	if size := len(t.of(r).Name) + len(value); size > CookieLimit && !t.unsized {
		return &TooLargeError{Limit: CookieLimit, Size: size}
	}
	return nil
}

// Clear implements Transport.
func (t *inCookie) Clear(w http.ResponseWriter, r *http.Request) {
	put(w, t.of(r).Cookie("", -1))
}

// put sets a cookie in place of one of the same name that the answer holds
// already: an answer must not set one name twice (RFC 6265bis, 4.1.1).
func put(w http.ResponseWriter, c *http.Cookie) {
	h := w.Header()
	kept := h["Set-Cookie"][:0:0]
	for _, line := range h["Set-Cookie"] {
		if !strings.HasPrefix(line, c.Name+"=") {
			kept = append(kept, line)
		}
	}
	h["Set-Cookie"] = append(kept, c.String())
}

// All implements Transport.
func (t *inCookie) All(r *http.Request) iter.Seq[string] {
	return func(yield func(string) bool) { t.each(r, yield) }
}

// each calls f with every value, until f returns false. It reads the header by itself:
// net/http would allocate every cookie of the request, and drops all of them without a
// word past 3,000.
func (t *inCookie) each(r *http.Request, f func(string) bool) {
	prefix := t.of(r).Prefix
	for _, line := range r.Header["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			if value, ok := strings.CutPrefix(strings.Trim(pair, " \t"), prefix); ok && !f(value) {
				return
			}
		}
	}
}

// Read implements Transport. The order of cookies with one name means nothing (RFC
// 6265, 4.2.2), so choosing one of two would be guessing.
func (t *inCookie) Read(r *http.Request) (string, error) {
	var s single
	t.each(r, s.add)
	if s.err == nil && s.value == "" {
		return "", ErrNoCredential
	}
	return s.value, s.err
}
