package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/state/keys"
	"statelab/tests/harness"
	"statelab/tests/seeded"
)

// withCredentialCache has client-held strategies remember what they have
// verified.
func withCredentialCache(c *api.Config) { c.CredentialCache = 1000 }

// remembered returns a client whose credential the server has verified before.
func remembered(t *testing.T, s *harness.Server, slug string) *harness.Client {
	t.Helper()
	c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
	for range 3 {
		c.Get("profile").Is(http.StatusOK)
	}
	return c
}

// A credential that is remembered is refused whenever it would be if it were not.
func TestACredentialThatIsRememberedIsStillJudged(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withCredentialCache, withDenylist)
	heldByClients(t, s, func(t *testing.T, slug string) {
		t.Run("expiry", func(t *testing.T) {
			c := remembered(t, s, slug)
			s.Clock.Advance(state.DefaultLifetimes().SessionMax)
			c.Get("profile").Is(http.StatusUnauthorized, "expired")
		})
		t.Run("a clock that is behind", func(t *testing.T) {
			c := remembered(t, s, slug)
			s.Clock.Advance(-3 * time.Second)
			defer s.Clock.Advance(3 * time.Second)
			if c.Renews() != "" {
				c.Get("profile").Is(http.StatusUnauthorized, "not_yet_valid")
			} else {
				c.Get("profile").Is(http.StatusOK) // its value has no such date
			}
		})
		t.Run("logout", func(t *testing.T) {
			c := remembered(t, s, slug)
			thief := c.Copy()
			c.Post("logout", nil).Is(http.StatusNoContent)
			thief.Get("profile").Is(http.StatusUnauthorized, "revoked")
		})
		t.Run("logout everywhere", func(t *testing.T) {
			c := remembered(t, s, slug)
			s.Login(t, slug, harness.Alice, harness.AlicePassword).Post("logout", harness.Object{"everywhere": true}).Is(http.StatusNoContent)
			c.Get("profile").Is(http.StatusUnauthorized, "revoked")
		})
		t.Run("removal of its key", func(t *testing.T) {
			c := remembered(t, s, slug)
			others, err := keys.Generate(seeded.Reader(t), s.Clock.Now())
			require.NoError(t, err)
			mine := s.Config.Keys.All()
			s.Config.Keys.Replace(others.All()...)
			c.Get("profile").Is(http.StatusUnauthorized, "bad_signature")
			s.Config.Keys.Replace(append(others.All(), mine...)...) // it verifies, and signs no more
			c.Get("profile").Is(http.StatusOK)
			s.Config.Keys.Replace(mine...)
		})
		t.Run("another strategy", func(t *testing.T) {
			c := remembered(t, s, slug)
			for _, other := range harness.Strategies {
				if other == slug {
					continue
				}
				require.Equal(t, http.StatusUnauthorized, s.Client(t, other).Hold(c.Held()).Get("profile").Status)
			}
		})
		t.Run("one character", func(t *testing.T) {
			c := remembered(t, s, slug)
			c.Edit()
			c.Get("profile").Is(http.StatusUnauthorized, "bad_signature")
		})
	})
}

// What is remembered is what the credential holds, and not what came of it.
func TestAnOldCopyThatIsRememberedIsTheOldCopy(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withCredentialCache)
	heldByClients(t, s, func(t *testing.T, slug string) {
		c := remembered(t, s, slug)
		old := c.Copy()
		c.Patch(harness.Object{"cart": []string{"a"}}).Is(http.StatusOK)
		c.Patch(harness.Object{"cart": []string{"b", "c"}}).Is(http.StatusOK)
		require.Equal(t, []any{"b", "c"}, c.Get("profile").At("state.cart"))
		require.Empty(t, old.Get("profile").At("state.cart"))
	})
}
