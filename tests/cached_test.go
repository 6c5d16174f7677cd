package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// remembering runs f for each strategy that goes by what it remembers, with a login
// at one of two nodes over one database, and the same login as the other node has
// just seen it.
func remembering(t *testing.T, f func(t *testing.T, here, there *client, stale time.Duration)) {
	t.Helper()
	for _, slug := range strategies {
		traits := promises()[slug]
		if traits.StaleSeconds == 0 {
			continue
		}
		t.Run(slug, func(t *testing.T) {
			s := newServer(t)
			here := s.login(t, slug, alice, alicePassword)
			there := here.copy()
			there.s = startServer(t, s.config, s.clock)
			there.get("profile").is(http.StatusOK)
			f(t, here, there, time.Duration(traits.StaleSeconds)*time.Second)
		})
	}
}

// Most requests ask nobody, and an inspection says how old its answer is.
func TestWhatIsRememberedIsNotLookedUp(t *testing.T) {
	remembering(t, func(t *testing.T, here, there *client, stale time.Duration) {
		here.s.clock.advance(stale)
		a := here.get("inspect")
		require.Equal(t, int64(1), a.number("cost.store_reads"))
		require.InDelta(t, 0, a.at("held.cached_seconds"), 1e-6)
		here.s.clock.advance(stale / 2)
		a = here.get("inspect")
		require.Equal(t, int64(0), a.number("cost.store_reads"))
		require.InDelta(t, (stale / 2).Seconds(), a.at("held.cached_seconds"), 1e-6)
		require.Equal(t, "sqlite", a.text("held.store"))
	})
}

// A logout counts at once where it was done, and on other nodes within the bound
// and not a moment later.
func TestALogoutIsSeenElsewhereWithinTheBound(t *testing.T) {
	remembering(t, func(t *testing.T, here, there *client, stale time.Duration) {
		copied := here.copy()
		here.post("logout", nil).is(http.StatusNoContent)
		copied.get("profile").is(http.StatusUnauthorized, "unknown_session")
		there.get("profile").is(http.StatusOK)
		there.s.clock.advance(stale - time.Microsecond)
		there.get("profile").is(http.StatusOK)
		there.s.clock.advance(time.Microsecond)
		there.get("profile").is(http.StatusUnauthorized, "unknown_session")
	})
}

// A change by who has an old record in mind is no lost update: it is made again, on
// the newest one.
func TestAChangeOfWhatIsStaleLosesNothing(t *testing.T) {
	remembering(t, func(t *testing.T, here, there *client, _ time.Duration) {
		here.post("spend", object{"amount": 30}).is(http.StatusOK)
		require.Equal(t, int64(70), here.get("profile").number("state.credits"))
		require.Equal(t, int64(100), there.get("profile").number("state.credits"), "stale")
		require.Equal(t, int64(60), there.post("spend", object{"amount": 10}).is(http.StatusOK).number("state.credits"))
		there.patch(object{"theme": "dark"}).is(http.StatusOK)
		require.Equal(t, int64(70), here.get("profile").number("state.credits"), "the other way round")
		require.Equal(t, "dark", here.patch(object{"nickname": "A"}).is(http.StatusOK).text("state.theme"))
	})
}

// An end everywhere reaches the node that was asked at once.
func TestEverywhereIsAtOnceWhereItWasAsked(t *testing.T) {
	remembering(t, func(t *testing.T, here, there *client, stale time.Duration) {
		other := here.s.login(t, here.slug, alice, alicePassword)
		other.get("profile").is(http.StatusOK)
		here.post("logout", object{"everywhere": true}).is(http.StatusNoContent)
		other.get("profile").is(http.StatusUnauthorized, "unknown_session")
		there.s.clock.advance(stale)
		there.get("profile").is(http.StatusUnauthorized, "unknown_session")
	})
}
