package state

import (
	"cmp"
	"net/http"
	"strings"
	"time"
)

// A jar reads, sets and clears the one cookie of a strategy. Setting and
// clearing share their attributes, since a browser removes a cookie only if
// name, path and domain are those that it was set with.
type jar struct {
	slug     string
	route    string // the one route of the strategy that the cookie is sent to, or "" for all
	sameSite http.SameSite
	scripts  bool // may read it: it is not HttpOnly
	unsized  bool // it is set though browsers will drop it
}

func newJar(c Config) jar {
	return jar{slug: c.Slug, sameSite: cmp.Or(c.SameSite, http.SameSiteLaxMode), unsized: c.NoSizeCheck}
}

// Secure says whether the client came over TLS, to us or to a trusted proxy in
// front (package api then sets the scheme).
func Secure(r *http.Request) bool { return r.TLS != nil || r.URL.Scheme == "https" }

// CookieName returns the cookie's name. Over TLS the __Host- prefix makes browsers
// refuse it from any other host or without Secure (RFC 6265bis, 4.1.3.2). It
// demands the path "/", so a cookie for one route has to do with __Secure-.
func (j jar) CookieName(r *http.Request) string {
	name := "statelab_" + j.slug
	if j.route != "" {
		name += "_" + j.route
	}
	switch {
	case !Secure(r):
		return name
	case j.route != "":
		return "__Secure-" + name
	}
	return "__Host-" + name
}

// build returns the cookie with the attributes of this request. MaxAge tells
// the browser when to forget; the server judges expiry by itself.
func (j jar) build(r *http.Request, value string, maxAge time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: j.CookieName(r), Value: value,
		Path:     "/" + j.slug, // so that a request shows one strategy's cookie only
		MaxAge:   int(maxAge.Round(time.Second) / time.Second),
		HttpOnly: !j.scripts, // no script can read it (OWASP Session Management: HttpOnly Attribute)
		SameSite: j.sameSite,
	}
	c.Secure = Secure(r)
	switch {
	case j.route != "":
		c.Path += "/" + j.route
	case c.Secure:
		c.Path = "/" // __Host- demands it
	}
	return c
}

// Cookie implements CookieBased.
func (j jar) Cookie(r *http.Request, value string) *http.Cookie { return j.build(r, value, 0) }

// browsersForget is the longest life that browsers grant a cookie (RFC
// 6265bis, 5.5: 400 days).
const browsersForget = 400 * 24 * time.Hour

// set puts value into the client's cookie for d, or returns a *TooLargeError
// and sets nothing.
func (j jar) set(w http.ResponseWriter, r *http.Request, value string, d time.Duration) (Credential, error) {
	if err := j.fits(r, value); err != nil {
		return Credential{}, err
	}
	// In the last half second of a login a whole second is sent: zero would leave
	// Max-Age out, and the browser would keep the cookie until it closes.
	c := j.build(r, value, max(min(d, browsersForget), time.Second))
	put(w, c)
	return Credential{Kind: TransportCookie, Name: c.Name, Bytes: len(c.Name) + len("=") + len(c.Value)}, nil
}

// fits returns a *TooLargeError for a value that browsers would drop: they count
// name and value.
func (j jar) fits(r *http.Request, value string) error {
	if size := len(j.CookieName(r)) + len(value); size > CookieLimit && !j.unsized {
		return &TooLargeError{Limit: CookieLimit, Size: size}
	}
	return nil
}

// clear removes the client's cookie.
func (j jar) clear(w http.ResponseWriter, r *http.Request) {
	c := j.build(r, "", 0)
	c.MaxAge = -1
	put(w, c)
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

// values yields the values of the jar's cookie in r, in order. It reads the
// header by itself: net/http would allocate every cookie of the request, and
// drops all of them without a word past 3,000.
func (j jar) values(r *http.Request) func(yield func(string) bool) {
	name := j.CookieName(r)
	return func(yield func(string) bool) {
		for _, line := range r.Header["Cookie"] {
			for line != "" {
				var pair string
				pair, line, _ = strings.Cut(line, ";")
				pair = strings.Trim(pair, " \t")
				if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
					if !yield(pair[len(name)+1:]) {
						return
					}
				}
			}
		}
	}
}

// value returns the one value of the jar's cookie, ErrNoCredential, or
// ErrAmbiguous if there are two that differ: the order of cookies with one
// name means nothing (RFC 6265, 4.2.2), so choosing would be guessing.
func (j jar) value(r *http.Request) (string, error) {
	found, first := "", true
	for v := range j.values(r) {
		if !first && v != found {
			return "", ErrAmbiguous
		}
		found, first = v, false
	}
	if found == "" {
		return "", ErrNoCredential
	}
	return found, nil
}

// carried describes the jar's cookie for an Inspection.
func (j jar) carried(r *http.Request, value string, t Traits) Carried {
	return carriedCookie(j.CookieName(r), value, t)
}

// carriedCookie describes a cookie for an Inspection. Its first characters are
// enough to recognise it and far too few to use it.
func carriedCookie(name, value string, t Traits) Carried {
	return Carried{
		In: TransportCookie, Name: name, Bytes: len(name) + len("=") + len(value),
		ValueMasked: Mask(value), ReadableWithoutKey: t.Readable, ProtectedBy: t.ProtectedBy,
	}
}

// Mask shows the first four characters of a credential, or fewer of a short one. A
// client may send anything; what it returns is UTF-8.
func Mask(value string) string {
	return strings.ToValidUTF8(value[:min(4, len(value)/4)], "\uFFFD") + "…"
}
