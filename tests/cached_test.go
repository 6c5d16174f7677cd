package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// remembering runs f for each strategy that goes by what it remembers, with a login
// at one of two nodes over one database, and the same login as the other node has
// just seen it.
func remembering(t *testing.T, f func(t *testing.T, here, there *harness.Client, stale time.Duration)) {
	t.Helper()
	for _, slug := range harness.Strategies {
		traits := harness.Promises()[slug]
		if traits.StaleSeconds == 0 {
			continue
		}
		t.Run(slug, func(t *testing.T) {
			s := harness.NewServer(t)
			here := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			there := here.Copy()
			there.Server = harness.StartServer(t, s.Config, s.Clock)
			there.Get("profile").Is(http.StatusOK)
			f(t, here, there, time.Duration(traits.StaleSeconds)*time.Second)
		})
	}
}

// Most requests ask nobody, and an inspection says how old its answer is.
func TestWhatIsRememberedIsNotLookedUp(t *testing.T) {
	t.Parallel()
	remembering(t, func(t *testing.T, here, there *harness.Client, stale time.Duration) {
		here.Server.Clock.Advance(stale)
		a := here.Get("inspect")
		require.Equal(t, int64(1), a.Number("cost.store_reads"))
		require.InDelta(t, 0, a.At("held.cached_seconds"), 1e-6)
		here.Server.Clock.Advance(stale / 2)
		a = here.Get("inspect")
		require.Equal(t, int64(0), a.Number("cost.store_reads"))
		require.InDelta(t, (stale / 2).Seconds(), a.At("held.cached_seconds"), 1e-6)
		require.Equal(t, "sqlite", a.Text("held.store"))
	})
}

// A logout counts at once where it was done, and on other nodes within the bound
// and not a moment later.
func TestALogoutIsSeenElsewhereWithinTheBound(t *testing.T) {
	t.Parallel()
	remembering(t, func(t *testing.T, here, there *harness.Client, stale time.Duration) {
		copied := here.Copy()
		here.Post("logout", nil).Is(http.StatusNoContent)
		copied.Get("profile").Is(http.StatusUnauthorized, "unknown_session")
		there.Get("profile").Is(http.StatusOK)
		there.Server.Clock.Advance(stale - time.Microsecond)
		there.Get("profile").Is(http.StatusOK)
		there.Server.Clock.Advance(time.Microsecond)
		there.Get("profile").Is(http.StatusUnauthorized, "unknown_session")
	})
}

// A change by who has an old record in mind is no lost update: it is made again, on
// the newest one.
func TestAChangeOfWhatIsStaleLosesNothing(t *testing.T) {
	t.Parallel()
	remembering(t, func(t *testing.T, here, there *harness.Client, _ time.Duration) {
		here.Post("spend", harness.Object{"amount": 30}).Is(http.StatusOK)
		require.Equal(t, int64(70), here.Get("profile").Number("state.credits"))
		require.Equal(t, int64(100), there.Get("profile").Number("state.credits"), "stale")
		require.Equal(t, int64(60), there.Post("spend", harness.Object{"amount": 10}).Is(http.StatusOK).Number("state.credits"))
		there.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
		require.Equal(t, int64(70), here.Get("profile").Number("state.credits"), "the other way round")
		require.Equal(t, "dark", here.Patch(harness.Object{"nickname": "A"}).Is(http.StatusOK).Text("state.theme"))
	})
}

// An end everywhere reaches the node that was asked at once.
func TestEverywhereIsAtOnceWhereItWasAsked(t *testing.T) {
	t.Parallel()
	remembering(t, func(t *testing.T, here, there *harness.Client, stale time.Duration) {
		other := here.Server.Login(t, here.Slug, harness.Alice, harness.AlicePassword)
		other.Get("profile").Is(http.StatusOK)
		here.Post("logout", harness.Object{"everywhere": true}).Is(http.StatusNoContent)
		other.Get("profile").Is(http.StatusUnauthorized, "unknown_session")
		there.Server.Clock.Advance(stale)
		there.Get("profile").Is(http.StatusUnauthorized, "unknown_session")
	})
}
