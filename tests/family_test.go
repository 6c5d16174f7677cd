package tests

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/tests/harness"
)

// families are the strategies with refresh tokens.
func families(t *testing.T, s *harness.Server, f func(t *testing.T, slug string)) {
	n := 0
	for _, slug := range harness.Strategies {
		if s.Login(t, slug, harness.Alice, harness.AlicePassword).Renews() != "" {
			n++
			t.Run(slug, func(t *testing.T) { f(t, slug) })
		}
	}
	require.NotZero(t, n)
}

func TestRefreshTokensAndTheirOverlap(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		families(t, s, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			first := c.Copy()
			c.Renewed()
			second := c.Copy()

			s.Clock.Advance(9 * time.Second)
			late := first.Copy()
			late.Renewed()
			require.Equal(t, second.Renews(), late.Renews(), "the same successor within the overlap")

			s.Clock.Advance(time.Second)
			first.Renew().Is(http.StatusUnauthorized, "reuse_detected")
			second.Renew().Is(http.StatusUnauthorized, "revoked")
			first.Renew().Is(http.StatusUnauthorized, "revoked")
			if s.Traits(t, slug).Revocable {
				second.Get("profile").Is(http.StatusUnauthorized, "revoked")
			} else {
				second.Get("profile").Is(http.StatusOK) // the access token lives until it expires
			}
			s.Clock.Advance(state.DefaultLifetimes().AccessTTL)
			second.Get("profile").Is(http.StatusUnauthorized, "expired")
		})
	})
}

func TestAGrandparentIsReuseEvenWithinTheOverlap(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		families(t, s, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			first := c.Copy()
			c.Renewed()
			c.Renewed()
			first.Renew().Is(http.StatusUnauthorized, "reuse_detected")
			c.Renew().Is(http.StatusUnauthorized, "revoked")
		})
	})
}

func TestAFamilyEndsHoweverOftenItIsRenewed(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		families(t, s, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			start := s.Clock.Now()
			for s.Clock.Now().Sub(start) < state.DefaultLifetimes().RefreshTTL-time.Hour {
				s.Clock.Advance(time.Hour)
				c.Renewed()
			}
			require.LessOrEqual(t, c.Renewed().Number("credential.expires_in"), int64(3600))
			s.Clock.Advance(time.Hour)
			c.Renew().Is(http.StatusUnauthorized, "unknown_session")
			c.Get("profile").Is(http.StatusUnauthorized, "expired")
		})
	})
}

func TestTwentyParallelRefreshesHaveOneSuccessor(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		traits := s.Traits(t, slug)
		if !traits.RenewsID {
			return // nothing is renewed
		}
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		tabs := make([]*harness.Client, 20)
		answers := make([]*harness.Answer, len(tabs))
		var wg sync.WaitGroup
		for i := range tabs {
			tabs[i] = c.Copy()
			wg.Go(func() { answers[i] = tabs[i].Renew() })
		}
		wg.Wait()
		won := map[string]bool{}
		for i, a := range answers {
			switch {
			case a.Status == http.StatusOK && c.Renews() != "":
				won[tabs[i].Renews()] = true
			case a.Status == http.StatusOK:
				won[tabs[i].Cookies[harness.CookieName(slug)]] = true
				tabs[i].Get("profile").Is(http.StatusOK)
			default:
				require.Equal(t, state.HolderServer, traits.Holder, "%s", a.Body)
				a.Is(http.StatusUnauthorized, "unknown_session")
			}
		}
		if traits.RollbackProof || c.Renews() != "" {
			require.Len(t, won, 1)
		}
	})
}
