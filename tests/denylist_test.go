package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/state/store/memory"
	"statelab/tests/harness"
)

// withDenylist makes what clients hold revocable.
func withDenylist(c *api.Config) { c.Denylist = true }

// heldByClients runs a test for each strategy whose state the client holds.
func heldByClients(t *testing.T, s *harness.Server, f func(t *testing.T, slug string)) {
	t.Helper()
	harness.Each(t, func(t *testing.T, slug string) {
		if traits := s.Traits(t, slug); traits.Holder == state.HolderClient && harness.Strict(traits) {
			f(t, slug)
		}
	})
}

func TestADenylistTakesOneLookUpForEachRequest(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withDenylist)
	harness.Each(t, func(t *testing.T, slug string) {
		if traits := s.Traits(t, slug); !traits.Everywhere {
			return // a denylist is nothing to it, as TestAttacks shows
		}
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		other := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		for range 2 { // while there is nothing on the list, and then
			s.Forgets(t, slug)
			a := c.Get("inspect").Is(http.StatusOK)
			require.Equal(t, int64(1), a.Number("cost.store_reads"))
			require.Equal(t, int64(0), a.Number("cost.store_writes"))
			require.Equal(t, true, a.At("traits.revocable"))
			require.Equal(t, true, a.At("traits.everywhere"))
			require.Equal(t, true, a.At("traits.needs_shared_store"))
			if other.Cookies != nil {
				other.Post("logout", nil).Is(http.StatusNoContent)
				other.Cookies = nil
			}
		}
	})
}

// Logging out everywhere ends what was, to the microsecond, and nothing later.
func TestEverywhereEndsWhatWasAndNothingLater(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withDenylist)
	harness.Each(t, func(t *testing.T, slug string) {
		if !s.Traits(t, slug).Everywhere {
			return // nothing can end it
		}
		before := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		s.Clock.Advance(time.Microsecond)
		s.Login(t, slug, harness.Alice, harness.AlicePassword).Post("logout", harness.Object{"everywhere": true}).Is(http.StatusNoContent)
		before.Get("profile").Is(http.StatusUnauthorized)
		s.Login(t, slug, harness.Alice, harness.AlicePassword).Get("profile").Is(http.StatusOK) // in the same microsecond
		s.Clock.Advance(-time.Minute)                                                           // on a node whose clock is behind
		late := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		late.Get("profile").Is(http.StatusOK)
		s.Clock.Advance(time.Minute)
		late.Get("profile").Is(http.StatusOK)
		before.Get("profile").Is(http.StatusUnauthorized)
	})
}

// A denylist forgets a login when its last copy has expired, and not before.
func TestADenylistForgetsWhatHasExpired(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withDenylist)
	heldByClients(t, s, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Bob, harness.BobPassword)
		s.Clock.Advance(time.Minute)
		c.Renewed()
		thief, records := c.Copy(), s.Records(t)
		c.Post("logout", nil).Is(http.StatusNoContent)
		for range 24 * 8 {
			s.Clock.Advance(time.Hour)
			require.Equal(t, http.StatusUnauthorized, thief.Get("profile").Status)
		}
		s.Config.Store.(*memory.Store).Sweep()
		require.LessOrEqual(t, s.Records(t), records)
	})
}

// Whoever ends very many logins has them summed up: the list stays short, all
// that were ended stay so, and what is newer lives.
func TestADenylistStaysShort(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withDenylist)
	heldByClients(t, s, func(t *testing.T, slug string) {
		var thieves []*harness.Client
		oldest := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		for range 200 {
			s.Clock.Advance(time.Second)
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			thieves = append(thieves, c.Copy())
			c.Post("logout", nil).Is(http.StatusNoContent)
		}
		newest := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		for _, thief := range thieves {
			thief.Get("profile").Is(http.StatusUnauthorized, "revoked")
		}
		newest.Get("profile").Is(http.StatusOK)
		if !s.Traits(t, slug).Listable { // only then a list is all there is
			oldest.Get("profile").Is(http.StatusUnauthorized, "revoked")
			rec, err := s.Config.Store.Load(t.Context(), state.KeyOf("ended", slug, newest.Get("profile").Text("user.id")))
			require.NoError(t, err)
			require.LessOrEqual(t, len(rec.Ended.Logins), 64)
		}
	})
}

// The login that ended all others ends too, and stays so however many follow it.
func TestWhatWasSparedAndThenEndedStaysSo(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withDenylist)
	heldByClients(t, s, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		thief := c.Copy()
		c.Post("logout", harness.Object{"everywhere": true}).Is(http.StatusNoContent)
		for range 100 {
			s.Clock.Advance(time.Second)
			s.Login(t, slug, harness.Alice, harness.AlicePassword).Post("logout", nil).Is(http.StatusNoContent)
		}
		thief.Get("profile").Is(http.StatusUnauthorized, "revoked")
	})
}
