package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/state/keys"

	cryptorand "crypto/rand"
)

// withCredentialCache has client-held strategies remember what they have
// verified.
func withCredentialCache(c *api.Config) { c.CredentialCache = 1000 }

// remembered returns a client whose credential the server has verified before.
func remembered(t *testing.T, s *server, slug string) *client {
	t.Helper()
	c := s.login(t, slug, alice, alicePassword)
	for range 3 {
		c.get("profile").is(http.StatusOK)
	}
	return c
}

// A credential that is remembered is refused whenever it would be if it were not.
func TestACredentialThatIsRememberedIsStillJudged(t *testing.T) {
	s := newServer(t, withCredentialCache, withDenylist)
	heldByClients(t, s, func(t *testing.T, slug string) {
		t.Run("expiry", func(t *testing.T) {
			c := remembered(t, s, slug)
			s.clock.advance(state.DefaultLifetimes().SessionMax)
			c.get("profile").is(http.StatusUnauthorized, "expired")
		})
		t.Run("a clock that is behind", func(t *testing.T) {
			c := remembered(t, s, slug)
			s.clock.advance(-2 * time.Second)
			defer s.clock.advance(2 * time.Second)
			if c.bearer() {
				c.get("profile").is(http.StatusUnauthorized, "not_yet_valid")
			} else {
				c.get("profile").is(http.StatusOK) // its value has no such date
			}
		})
		t.Run("logout", func(t *testing.T) {
			c := remembered(t, s, slug)
			thief := c.copy()
			c.post("logout", nil).is(http.StatusNoContent)
			thief.get("profile").is(http.StatusUnauthorized, "revoked")
		})
		t.Run("logout everywhere", func(t *testing.T) {
			c := remembered(t, s, slug)
			s.login(t, slug, alice, alicePassword).post("logout", object{"everywhere": true}).is(http.StatusNoContent)
			c.get("profile").is(http.StatusUnauthorized, "revoked")
		})
		t.Run("removal of its key", func(t *testing.T) {
			c := remembered(t, s, slug)
			others, err := keys.Generate(cryptorand.Reader, s.clock.Now())
			require.NoError(t, err)
			mine := s.config.Keys.All()
			s.config.Keys.Replace(others.All()...)
			c.get("profile").is(http.StatusUnauthorized, "bad_signature")
			s.config.Keys.Replace(append(others.All(), mine...)...) // it verifies, and signs no more
			c.get("profile").is(http.StatusOK)
			s.config.Keys.Replace(mine...)
		})
		t.Run("another strategy", func(t *testing.T) {
			c := remembered(t, s, slug)
			for _, other := range strategies {
				if other == slug {
					continue
				}
				o := s.client(t, other)
				if o.bearer() {
					o.access = c.held()
				} else {
					o.cookies["statelab_"+other] = c.held()
				}
				require.Equal(t, http.StatusUnauthorized, o.get("profile").status)
			}
		})
		t.Run("one character", func(t *testing.T) {
			c := remembered(t, s, slug)
			c.edit()
			c.get("profile").is(http.StatusUnauthorized, "bad_signature")
		})
	})
}

// What is remembered is what the credential holds, and not what came of it.
func TestAnOldCopyThatIsRememberedIsTheOldCopy(t *testing.T) {
	s := newServer(t, withCredentialCache)
	heldByClients(t, s, func(t *testing.T, slug string) {
		c := remembered(t, s, slug)
		old := c.copy()
		c.patch(object{"cart": []string{"a"}}).is(http.StatusOK)
		c.patch(object{"cart": []string{"b", "c"}}).is(http.StatusOK)
		require.Equal(t, []any{"b", "c"}, c.get("profile").at("state.cart"))
		require.Empty(t, old.get("profile").at("state.cart"))
	})
}

// The rules of a login's life hold with the cache too.
func TestWithACredentialCache(t *testing.T) {
	defaults = []option{withCredentialCache}
	defer func() { defaults = nil }()
	for name, rule := range map[string]func(*testing.T){
		"TestAbsoluteExpiryIsJudgedByTheServer":             TestAbsoluteExpiryIsJudgedByTheServer,
		"TestACopyAfterLogout":                              TestACopyAfterLogout,
		"TestAnOldCopyComesBackWhereTheClientHoldsTheState": TestAnOldCopyComesBackWhereTheClientHoldsTheState,
		"TestLoginNeverAdoptsWhatTheRequestCarried":         TestLoginNeverAdoptsWhatTheRequestCarried,
		"TestOneStrategysCredentialIsNothingToAnother":      TestOneStrategysCredentialIsNothingToAnother,
		"TestRefreshReplacesTheCredential":                  TestRefreshReplacesTheCredential,
		"TestWithoutAKeyNothingIsUsedUp":                    TestWithoutAKeyNothingIsUsedUp,
	} {
		t.Run(name, rule)
	}
}
