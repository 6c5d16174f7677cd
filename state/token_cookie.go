package state

import (
	"errors"
	"net/http"

	"statelab/state/keys"
)

// cookieToken is a token that travels in an HttpOnly cookie: out of reach of
// scripts, as RFC 10017, OAuth 2.0 for Browser-Based Applications, would have
// it, and sent by the browser by itself, so that requests from other sites
// matter again. The refresh token has a cookie of its own, which only the
// request that renews carries.
type cookieToken struct {
	*token
	cookieCarrier
}

var (
	_ Strategy    = (*cookieToken)(nil)
	_ Lister      = (*cookieToken)(nil)
	_ Ender       = (*cookieToken)(nil)
	_ Inspector   = (*cookieToken)(nil)
	_ CookieBased = (*cookieToken)(nil)
	_ Caching     = (*cookieToken)(nil)
)

// NewTokenCookie returns the strategy that keeps the token of NewToken in a
// cookie.
func NewTokenCookie(c Config) Strategy {
	carrier := cookieCarrier{newJar(c), newJar(c)}
	carrier.renewal.route = "refresh"
	return &cookieToken{newToken(c, carrier), carrier}
}

func (s *cookieToken) Traits() Traits {
	t := s.token.Traits()
	t.Transport, t.SentByBrowser, t.LimitBytes = TransportCookie, true, CookieLimit
	t.HTTPOnly, t.SameSite = true, true
	return t
}

// Refresh takes the refresh token of the login that the access token belongs to, an
// expired access token too, and no other. A browser sends both cookies, and each can
// be planted alone: by a sibling domain, or by an attacker on a line without TLS (RFC
// 6265, 8.6). Without this check a planted refresh cookie would put the client into
// the login of another account. It compares before anything is used up: a refused
// request leaves both logins as they are.
func (s *cookieToken) Refresh(w http.ResponseWriter, r *http.Request, _ string) (Login, Credential, error) {
	access, err := s.presented(r)
	if err != nil && !errors.Is(err, ErrExpired) {
		return Login{}, Credential{}, err
	}
	presented, err := s.renewal.value(r)
	if err != nil {
		return Login{}, Credential{}, err
	}
	if o, ok := parseOpaque(s.Slug, presented); !ok || o.key.String() != access.Login.ID {
		return Login{}, Credential{}, ErrUnknown
	}
	return s.token.Refresh(w, r, presented)
}

// End also takes an access token that has expired: the browser holds the refresh
// token back from a logout, and a login must not go on for want of it.
func (s *cookieToken) End(w http.ResponseWriter, r *http.Request, _ string) (Login, error) {
	l, err := s.Load(r)
	if errors.Is(err, ErrExpired) {
		c, _ := s.presented(r)
		l, err = c.Login, nil
	}
	if err == nil {
		err = s.endLogin(r.Context(), l)
	}
	if !errors.Is(err, ErrUnavailable) && !errors.Is(err, keys.ErrNoKey) {
		// In this order: of two cookies that one answer clears, curl 7.88 forgets only
		// the last.
		s.renewal.clear(w, r)
		s.clear(w, r)
	}
	return l, err
}

// cookieCarrier carries the access token in the cookie of the strategy and the
// refresh token in one that is sent to the route that takes it.
type cookieCarrier struct {
	jar
	renewal jar
}

func (c cookieCarrier) access(r *http.Request) (string, error) { return c.value(r) }

func (c cookieCarrier) fits(r *http.Request, access string) error { return c.jar.fits(r, access) }

func (c cookieCarrier) hand(w http.ResponseWriter, r *http.Request, t tokens) Credential {
	// Browsers keep the access token beyond its own date, so that the server can
	// say that it has expired, and is not told of no token at all.
	credential, _ := c.set(w, r, t.access, t.ends) // it fits
	if t.refresh != "" {
		_, _ = c.renewal.set(w, r, t.refresh, t.ends)
	}
	return credential
}
