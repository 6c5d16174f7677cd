package tests

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/state/keys"
	"statelab/tests/harness"
	"statelab/tests/seeded"
)

// pairedCookies runs a test for each strategy that keeps a refresh token in a cookie
// beside that of the access token, over HTTP and over HTTPS: the names and the paths
// of the cookies differ.
func pairedCookies(t *testing.T, s *harness.Server, f func(t *testing.T, s *harness.Server, slug string)) {
	t.Helper()
	families(t, s, func(t *testing.T, slug string) {
		if s.Client(t, slug).Bearer() {
			return // its refresh token comes in the body
		}
		t.Run("http", func(t *testing.T) { f(t, s, slug) })
		t.Run("https", func(t *testing.T) { f(t, s.OverTLS(t), slug) })
	})
}

// A cookie can be planted by a page of a sibling domain or by an attacker on a line
// without TLS. A planted refresh cookie must not make the client renew the login of
// another account.
func TestARefreshCookieIsBoundToTheAccessCookie(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted, cached}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		pairedCookies(t, s, func(t *testing.T, s *harness.Server, slug string) {
			lifetimes := state.DefaultLifetimes()
			bob := s.Login(t, slug, harness.Bob, harness.BobPassword)
			second := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			foreign, err := keys.Generate(seeded.Reader(t), s.Clock.Now())
			require.NoError(t, err)
			stranger := harness.StartServer(t, withKeys(s.Config, foreign), s.Clock).Login(t, slug, harness.Alice, harness.AlicePassword)

			for name, test := range map[string]struct {
				access func(c *harness.Client) // changes the access cookie
				status int
				code   string
			}{
				"no access cookie":      {func(c *harness.Client) { delete(c.Cookies, c.CookieName()) }, http.StatusUnauthorized, "no_credential"},
				"an empty one":          {func(c *harness.Client) { c.Hold("") }, http.StatusUnauthorized, "no_credential"},
				"one that is no token":  {func(c *harness.Client) { c.Hold("x") }, http.StatusUnauthorized, "bad_signature"},
				"one that was edited":   {func(c *harness.Client) { c.Edit() }, http.StatusUnauthorized, "bad_signature"},
				"one of an unknown key": {func(c *harness.Client) { c.Hold(stranger.Held()) }, http.StatusUnauthorized, "bad_signature"},
				"a refresh token":       {func(c *harness.Client) { c.Hold(c.Renews()) }, http.StatusUnauthorized, "bad_signature"},
				"another account's":     {func(c *harness.Client) { c.Hold(bob.Held()) }, http.StatusUnauthorized, "unknown_session"},
				"another login's":       {func(c *harness.Client) { c.Hold(second.Held()) }, http.StatusUnauthorized, "unknown_session"},
				"two that differ":       {func(c *harness.Client) { c.Hold(c.Held() + "; " + c.CookieName() + "=" + bob.Held()) }, http.StatusBadRequest, "ambiguous_credential"},
			} {
				for _, expired := range []bool{false, true} {
					t.Run(name+map[bool]string{false: ", valid", true: ", expired"}[expired], func(t *testing.T) {
						c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
						if expired {
							s.Clock.Advance(lifetimes.AccessTTL)
							c.Get("profile").Is(http.StatusUnauthorized, "expired")
						}
						planted := c.Copy()
						test.access(planted)
						a := planted.Renew().Is(test.status, test.code)
						require.Empty(t, a.Header["Set-Cookie"])

						s.Clock.Advance(lifetimes.RefreshOverlap) // a refresh token that was used up is reuse from now on
						require.Equal(t, harness.Alice, c.Renewed().Text("user.username"))
						c.Get("profile").Is(http.StatusOK)
					})
				}
			}
			for _, c := range []*harness.Client{bob, second} {
				c.Renewed() // neither family was ended
			}
		})
	})
}

// The access cookie stays in the browser until the login ends, however long ago its
// token has expired: without it the login could not be renewed.
func TestBothCookiesLiveAsLongAsTheLogin(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	pairedCookies(t, s, func(t *testing.T, s *harness.Server, slug string) {
		lifetimes := state.DefaultLifetimes()
		c := s.Client(t, slug)
		a := c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		for left := lifetimes.RefreshTTL; left > 0; left -= 24 * time.Hour {
			require.Len(t, a.Cookies, 2)
			for _, cookie := range a.Cookies {
				require.Equal(t, int(left/time.Second), cookie.MaxAge, cookie.Name)
				require.True(t, strings.HasPrefix("/"+slug+"/refresh", cookie.Path), cookie.Path)
			}
			a = c.Patch(harness.Object{"nickname": "Al"}).Is(http.StatusOK)
			require.Len(t, a.Cookies, 1)
			require.Equal(t, int(left/time.Second), a.Cookies[0].MaxAge)
			if s.Clock.Advance(24 * time.Hour); left > 24*time.Hour {
				a = c.Renewed()
			}
		}
		c.Renew().Is(http.StatusUnauthorized, "unknown_session")
	})
}

// A refresh renews the credential and the role of a login. The login ends when it
// would have ended (OWASP ASVS 5.0, 7.3.2): otherwise a stolen cookie would live for
// as long as the thief refreshes it.
func TestALoginEndsHoweverOftenItIsRefreshed(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted, cached}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			traits := s.Traits(t, slug)
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			if !traits.Expires || c.Renews() != "" {
				return // it does not end, or TestAFamilyEndsHoweverOftenItIsRenewed tests it
			}
			const step = 10 * time.Minute // a session ends after 15 minutes without a request
			before := c.Get("profile")
			for left := state.DefaultLifetimes().SessionMax - step; left > 0; left -= step {
				s.Clock.Advance(step)
				a := c.Renewed()
				for _, member := range []string{"issued_at", "expires_at"} {
					require.Equal(t, before.Text(member), a.Text(member), member)
				}
				for _, cookie := range a.Cookies {
					require.Equal(t, int(left/time.Second), cookie.MaxAge, "the browser forgets the cookie when the login ends")
				}
			}
			const rest = 400 * time.Millisecond
			s.Clock.Advance(step - rest)
			for _, cookie := range c.Renewed().Cookies {
				require.Equal(t, 1, cookie.MaxAge, "without Max-Age the browser would keep the cookie until it closes")
			}
			s.Clock.Advance(rest)
			c.Renew().Is(http.StatusUnauthorized, over(traits, "expired"))
			c.Get("profile").Is(http.StatusUnauthorized, over(traits, "expired"))
		})
	})
}

// withKeys returns c with other keys.
func withKeys(c api.Config, ring *keys.Ring) api.Config {
	c.Keys = ring
	return c
}
