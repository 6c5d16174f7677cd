package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/tests/harness"
)

// A check that cannot fail checks nothing.
func TestTheCanaryFindsWhatLeaks(t *testing.T) {
	t.Parallel()
	h := &harness.Talkative{Hasher: harness.CheapHasher()}
	s := harness.NewServer(t, func(c *api.Config) { c.Hasher = h })
	h.Log = s.Canary.Logger
	defer s.Canary.Forget()
	harness.Each(t, func(t *testing.T, slug string) {
		if s.Traits(t, slug).KeptIn == state.PlaceProcess {
			return // it renews nothing
		}
		s.ForgetsFailures()
		require.Empty(t, s.Canary.Leaks("statelab_"+slug+" Bearer "))
		c := s.Client(t, slug)
		c.Post("login", harness.Credentials(harness.Alice, harness.Wrong)).Is(http.StatusUnauthorized)
		require.Equal(t, []string{harness.Wrong[len(harness.Wrong)-harness.Tail:]}, s.Canary.Leaks(s.Canary.Log.String()))
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		require.Contains(t, s.Canary.Leaks(s.Canary.Log.String()), harness.AlicePassword)
		old := *c
		s.Clock.Advance(time.Minute) // or a token would be the same one
		c.Renew().Is(http.StatusOK)
		for _, held := range []string{old.Held(), old.Refresh, c.Held(), c.Refresh} {
			if held != "" {
				require.Len(t, s.Canary.Leaks("a text with "+held), 1)
				require.Len(t, s.Canary.Leaks(held[len(held)/2:]+" cut"), 1)
			}
		}
		s.Canary.Forget()
	})
}
