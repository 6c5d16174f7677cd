package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/state/store"
)

// withDenylist makes what clients hold revocable.
func withDenylist(c *api.Config) { c.Denylist = true }

// The rules of a login's life hold with a denylist too, under traits that
// promise more.
func TestWithADenylist(t *testing.T) {
	defaults = []option{withDenylist}
	defer func() { defaults = nil }()
	for name, rule := range map[string]func(*testing.T){
		"TestAbsoluteExpiryIsJudgedByTheServer":             TestAbsoluteExpiryIsJudgedByTheServer,
		"TestExpiryIsExact":                                 TestExpiryIsExact,
		"TestIdlenessEndsWhatTheServerHolds":                TestIdlenessEndsWhatTheServerHolds,
		"TestUseIsWrittenAtMostOnceAMinute":                 TestUseIsWrittenAtMostOnceAMinute,
		"TestReadsNeverMoveTheEnd":                          TestReadsNeverMoveTheEnd,
		"TestLoginNeverAdoptsWhatTheRequestCarried":         TestLoginNeverAdoptsWhatTheRequestCarried,
		"TestAnUnknownIdentifierCreatesNothing":             TestAnUnknownIdentifierCreatesNothing,
		"TestACopyAfterLogout":                              TestACopyAfterLogout,
		"TestAnOldCopyComesBackWhereTheClientHoldsTheState": TestAnOldCopyComesBackWhereTheClientHoldsTheState,
		"TestLogoutEverywhere":                              TestLogoutEverywhere,
		"TestAnExpiredAccessTokenCanStillLogOut":            TestAnExpiredAccessTokenCanStillLogOut,
		"TestAnotherPasswordEndsTheOtherLogins":             TestAnotherPasswordEndsTheOtherLogins,
		"TestRefreshReplacesTheCredential":                  TestRefreshReplacesTheCredential,
		"TestRefreshTokensAndTheirOverlap":                  TestRefreshTokensAndTheirOverlap,
		"TestAGrandparentIsReuseEvenWithinTheOverlap":       TestAGrandparentIsReuseEvenWithinTheOverlap,
		"TestAFamilyEndsHoweverOftenItIsRenewed":            TestAFamilyEndsHoweverOftenItIsRenewed,
		"TestParallelChangesOfOneLogin":                     TestParallelChangesOfOneLogin,
		"TestAChangeMustNotProlongAToken":                   TestAChangeMustNotProlongAToken,
		"TestRoleIsReadAgainAtRefresh":                      TestRoleIsReadAgainAtRefresh,
		"TestWhoHasNoAccountIsNotRefreshed":                 TestWhoHasNoAccountIsNotRefreshed,
		"TestTheCapOnLoginsNeverEvicts":                     TestTheCapOnLoginsNeverEvicts,
		"TestSurvivalOfARestart":                            TestSurvivalOfARestart,
		"TestOneStrategysCredentialIsNothingToAnother":      TestOneStrategysCredentialIsNothingToAnother,
		"TestListingLogins":                                 TestListingLogins,
		"TestAnOutageDoesNotStopWhoHoldsTheState":           TestAnOutageDoesNotStopWhoHoldsTheState,
		"TestALoginThatFailedLeavesNothingBehind":           TestALoginThatFailedLeavesNothingBehind,
		"TestAnOutageOnTheWayLogsNobodyOut":                 TestAnOutageOnTheWayLogsNobodyOut,
		"TestAnOutageOnTheWayChangesNoPassword":             TestAnOutageOnTheWayChangesNoPassword,
		"TestALogoutEverywhereCanBeRepeated":                TestALogoutEverywhereCanBeRepeated,
	} {
		t.Run(name, rule)
	}
}

// heldByClients runs a test for each strategy whose state the client holds.
func heldByClients(t *testing.T, s *server, f func(t *testing.T, slug string)) {
	t.Helper()
	each(t, func(t *testing.T, slug string) {
		if traits := s.traits(t, slug); traits.Holder == state.HolderClient && strict(traits) {
			f(t, slug)
		}
	})
}

func TestADenylistTakesOneLookUpForEachRequest(t *testing.T) {
	s := newServer(t, withDenylist)
	each(t, func(t *testing.T, slug string) {
		if traits := s.traits(t, slug); !traits.Everywhere {
			return // a denylist is nothing to it, as TestAttacks shows
		}
		c := s.login(t, slug, alice, alicePassword)
		other := s.login(t, slug, alice, alicePassword)
		for range 2 { // while there is nothing on the list, and then
			s.forgets(t, slug)
			a := c.get("inspect").is(http.StatusOK)
			require.Equal(t, int64(1), a.number("cost.store_reads"))
			require.Equal(t, int64(0), a.number("cost.store_writes"))
			require.Equal(t, true, a.at("traits.revocable"))
			require.Equal(t, true, a.at("traits.everywhere"))
			require.Equal(t, true, a.at("traits.needs_shared_store"))
			if other.cookies != nil {
				other.post("logout", nil).is(http.StatusNoContent)
				other.cookies = nil
			}
		}
	})
}

// Logging out everywhere ends what was, to the microsecond, and nothing later.
func TestEverywhereEndsWhatWasAndNothingLater(t *testing.T) {
	s := newServer(t, withDenylist)
	each(t, func(t *testing.T, slug string) {
		if !s.traits(t, slug).Everywhere {
			return // nothing can end it
		}
		before := s.login(t, slug, alice, alicePassword)
		s.clock.advance(time.Microsecond)
		s.login(t, slug, alice, alicePassword).post("logout", object{"everywhere": true}).is(http.StatusNoContent)
		before.get("profile").is(http.StatusUnauthorized)
		s.login(t, slug, alice, alicePassword).get("profile").is(http.StatusOK) // in the same microsecond
		s.clock.advance(-time.Minute)                                           // on a node whose clock is behind
		late := s.login(t, slug, alice, alicePassword)
		late.get("profile").is(http.StatusOK)
		s.clock.advance(time.Minute)
		late.get("profile").is(http.StatusOK)
		before.get("profile").is(http.StatusUnauthorized)
	})
}

// A denylist forgets a login when its last copy has expired, and not before.
func TestADenylistForgetsWhatHasExpired(t *testing.T) {
	s := newServer(t, withDenylist)
	heldByClients(t, s, func(t *testing.T, slug string) {
		c := s.login(t, slug, bob, bobPassword)
		s.clock.advance(time.Minute)
		c.renewed()
		thief, records := c.copy(), s.records(t)
		c.post("logout", nil).is(http.StatusNoContent)
		for range 24 * 8 {
			s.clock.advance(time.Hour)
			require.Equal(t, http.StatusUnauthorized, thief.get("profile").status)
		}
		s.config.Store.(*store.Memory).Sweep()
		require.LessOrEqual(t, s.records(t), records)
	})
}

// Whoever ends very many logins has them summed up: the list stays short, all
// that were ended stay so, and what is newer lives.
func TestADenylistStaysShort(t *testing.T) {
	s := newServer(t, withDenylist)
	heldByClients(t, s, func(t *testing.T, slug string) {
		var thieves []*client
		oldest := s.login(t, slug, alice, alicePassword)
		for range 200 {
			s.clock.advance(time.Second)
			c := s.login(t, slug, alice, alicePassword)
			thieves = append(thieves, c.copy())
			c.post("logout", nil).is(http.StatusNoContent)
		}
		newest := s.login(t, slug, alice, alicePassword)
		for _, thief := range thieves {
			thief.get("profile").is(http.StatusUnauthorized, "revoked")
		}
		newest.get("profile").is(http.StatusOK)
		if !s.traits(t, slug).Listable { // only then a list is all there is
			oldest.get("profile").is(http.StatusUnauthorized, "revoked")
			rec, err := s.config.Store.Load(t.Context(), state.KeyOf("ended", slug, newest.get("profile").text("user.id")))
			require.NoError(t, err)
			require.LessOrEqual(t, len(rec.Ended.Logins), 64)
		}
	})
}

// The login that ended all others ends too, and stays so however many follow it.
func TestWhatWasSparedAndThenEndedStaysSo(t *testing.T) {
	s := newServer(t, withDenylist)
	heldByClients(t, s, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		thief := c.copy()
		c.post("logout", object{"everywhere": true}).is(http.StatusNoContent)
		for range 100 {
			s.clock.advance(time.Second)
			s.login(t, slug, alice, alicePassword).post("logout", nil).is(http.StatusNoContent)
		}
		thief.get("profile").is(http.StatusUnauthorized, "revoked")
	})
}
