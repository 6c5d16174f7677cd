package tests

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/state/store"
)

// over is the code with which a strategy refuses a login that is over: a server
// that held it has forgotten which one it was, of a client-held one it can say
// why.
func over(traits state.Traits, why string) string {
	if traits.Holder == state.HolderServer {
		return "unknown_session"
	}
	return why
}

func TestAbsoluteExpiryIsJudgedByTheServer(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		if !s.traits(t, slug).Expires {
			return // it does not end, as TestAttacks shows
		}
		c := s.login(t, slug, alice, alicePassword)
		life := c.lives()
		// Every ten minutes a request, as a thief would do to stay in.
		for used := time.Duration(0); used+10*time.Minute < life; used += 10 * time.Minute {
			s.clock.advance(10 * time.Minute)
			c.get("profile").is(http.StatusOK)
		}
		s.clock.advance(10 * time.Minute)
		c.get("profile").is(http.StatusUnauthorized, over(s.traits(t, slug), "expired"))
		c.patch(object{"theme": "dark"}).is(http.StatusUnauthorized, over(s.traits(t, slug), "expired"))
	})
}

func TestExpiryIsExact(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		if traits := s.traits(t, slug); traits.Slides || !traits.Expires {
			return // idleness ends it earlier, or nothing does, covered by other tests
		}
		c := s.login(t, slug, alice, alicePassword)
		s.clock.advance(c.lives() - time.Second)
		c.get("profile").is(http.StatusOK)
		s.clock.advance(time.Second)
		c.get("profile").is(http.StatusUnauthorized, "expired") // RFC 7519, 4.1.4: on or after
	})
}

func TestIdlenessEndsWhatTheServerHolds(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		traits := s.traits(t, slug)
		c := s.login(t, slug, alice, alicePassword)
		if !traits.Slides {
			if c.lives() > 16*time.Minute {
				s.clock.advance(16 * time.Minute)
				c.get("profile").is(http.StatusOK)
			}
			return
		}
		for range 3 {
			s.clock.advance(14 * time.Minute)
			c.get("profile").is(http.StatusOK)
		}
		s.clock.advance(15 * time.Minute)
		c.get("profile").is(http.StatusUnauthorized, "unknown_session")
	})
}

func TestUseIsWrittenAtMostOnceAMinute(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		if !s.traits(t, slug).Slides {
			return // nothing is written, its reads are counted by TestInspectionHoldsToTheTraits
		}
		c := s.login(t, slug, alice, alicePassword)
		writes := func() int64 { return c.get("inspect").is(http.StatusOK).number("cost.store_writes") }
		require.Zero(t, writes())
		s.clock.advance(59 * time.Second)
		require.Zero(t, writes())
		s.clock.advance(time.Second)
		require.Equal(t, int64(1), writes())
		require.Zero(t, writes())
		seen := c.get("logins").at("logins").([]any)[0].(map[string]any)["last_seen"]
		require.Equal(t, s.clock.Now().Format(time.RFC3339), seen)
	})
}

func TestReadsNeverMoveTheEnd(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		end := c.get("profile").text("expires_at")
		s.clock.advance(5 * time.Minute)
		require.Equal(t, end, c.get("profile").text("expires_at"))
		require.Equal(t, end, c.patch(object{"theme": "dark"}).text("expires_at"))
		renewed := c.renewed().text("expires_at")
		if s.traits(t, slug).Holder == state.HolderClient && c.renews() == "" {
			require.Greater(t, renewed, end, "a refresh of a cookie starts a new life")
		} else {
			require.Equal(t, end, renewed)
		}
	})
}

func TestLoginNeverAdoptsWhatTheRequestCarried(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		if !s.traits(t, slug).RenewsID {
			return // it does, as TestAttacks shows
		}
		thief := s.login(t, slug, bob, bobPassword)
		victim := thief.copy() // bob's credential, planted into alice's browser
		victim.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
		require.NotEqual(t, thief.held(), victim.held())
		require.Equal(t, "alice", victim.get("profile").text("user.username"))

		a := thief.get("profile")
		if s.traits(t, slug).Revocable {
			a.is(http.StatusUnauthorized, over(s.traits(t, slug), "revoked"))
		} else {
			require.Equal(t, "bob", a.text("user.username"))
		}
		if s.traits(t, slug).Listable {
			thief.renew().is(http.StatusUnauthorized) // the login that was replaced has ended
		}
	})
}

func TestAnUnknownIdentifierCreatesNothing(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		if !s.traits(t, slug).StrictID && s.traits(t, slug).Holder == state.HolderServer {
			return // it does, as its own tests show
		}
		before := s.records(t)
		for _, planted := range []string{"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "x", "", "a.b.c"} {
			c := s.client(t, slug)
			c.cookies[cookieName(slug)] = planted
			c.get("profile").is(http.StatusUnauthorized)
			c.get("inspect").is(http.StatusUnauthorized)
		}
		for range 100 {
			s.client(t, slug).get("profile").is(http.StatusUnauthorized, "no_credential")
		}
		require.Equal(t, before, s.records(t))
	})
}

func TestACopyAfterLogout(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		traits := s.traits(t, slug)
		c := s.login(t, slug, alice, alicePassword)
		thief := c.copy()
		c.post("logout", nil).is(http.StatusNoContent)
		if traits.Revocable {
			thief.get("profile").is(http.StatusUnauthorized, over(traits, "revoked"))
			thief.renew().is(http.StatusUnauthorized, over(traits, "revoked"))
			return
		}
		thief.get("profile").is(http.StatusOK)
		if traits.Listable {
			thief.patch(object{"theme": "dark"}).is(http.StatusUnauthorized, "revoked")
			thief.renew().is(http.StatusUnauthorized, "revoked")
			thief.get("profile").is(http.StatusOK)
		}
		s.clock.advance(state.DefaultLifetimes().SessionMax)
		if traits.Expires {
			thief.get("profile").is(http.StatusUnauthorized, "expired")
		} else {
			thief.get("profile").is(http.StatusOK)
		}
	})
}

func TestAnOldCopyComesBackWhereTheClientHoldsTheState(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		old := c.copy()
		c.post("spend", object{"amount": 30}).is(http.StatusOK)
		want := int64(100)
		if s.traits(t, slug).RollbackProof {
			want = 70
		}
		require.Equal(t, want, old.get("profile").number("state.credits"))
		require.Equal(t, int64(70), c.get("profile").number("state.credits"))
	})
}

func TestLogoutEverywhere(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		traits := s.traits(t, slug)
		devices := []*client{s.login(t, slug, alice, alicePassword), s.login(t, slug, alice, alicePassword), s.login(t, slug, alice, alicePassword)}
		bystander := s.login(t, slug, bob, bobPassword)
		if !traits.Everywhere {
			devices[0].post("logout", object{"everywhere": true}).is(http.StatusNotImplemented, "not_supported_by_strategy")
			require.NotEmpty(t, devices[0].cookies)
			devices[0].get("profile").is(http.StatusOK)
			return
		}
		devices[0].post("logout", object{"everywhere": true}).is(http.StatusNoContent)
		for _, d := range devices[1:] {
			d.renew().is(http.StatusUnauthorized)
			if traits.Revocable {
				d.get("profile").is(http.StatusUnauthorized, over(traits, "revoked"))
			}
		}
		bystander.get("profile").is(http.StatusOK)
		bystander.renewed()
	})
}

func TestAnExpiredAccessTokenCanStillLogOut(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		for _, everywhere := range []bool{false, true} {
			c, other := s.login(t, slug, alice, alicePassword), s.login(t, slug, alice, alicePassword)
			body := object{"everywhere": everywhere, "refresh_token": c.refresh}
			if c.refresh == "" {
				c.post("logout", object{"refresh_token": "x"}).is(http.StatusBadRequest, "malformed_json")
				return
			}
			s.clock.advance(time.Hour)
			c.post("logout", object{"everywhere": everywhere}).is(http.StatusUnauthorized, "expired")
			c.post("logout", body).is(http.StatusNoContent)
			c.renew().is(http.StatusUnauthorized, "revoked")
			if everywhere {
				other.renew().is(http.StatusUnauthorized, "revoked")
			} else {
				other.renewed()
			}
		}
	})
}

func TestAnotherPasswordEndsTheOtherLogins(t *testing.T) {
	each(t, func(t *testing.T, slug string) {
		s := newServer(t)
		c := s.login(t, slug, alice, alicePassword)
		var others []*client
		for _, other := range strategies {
			others = append(others, s.login(t, other, alice, alicePassword))
		}
		bystander := s.login(t, slug, bob, bobPassword)
		change := func(current, next string) *answer {
			return c.route("PUT", "password", object{"current_password": current, "new_password": next})
		}
		a := change("wrong password", "through the looking glass").is(http.StatusUnprocessableEntity, "validation_failed")
		require.Equal(t, "/current_password", a.at("errors").([]any)[0].(map[string]any)["pointer"])
		a = change(alicePassword, "short").is(http.StatusUnprocessableEntity, "validation_failed")
		require.Equal(t, "/new_password", a.at("errors").([]any)[0].(map[string]any)["pointer"])
		s.login(t, slug, alice, alicePassword)

		change(alicePassword, "through the looking glass").is(http.StatusNoContent)
		c.get("profile").is(http.StatusOK)
		c.renewed()
		for _, other := range others {
			traits := s.traits(t, other.slug)
			if traits.Revocable && traits.Everywhere {
				other.get("profile").is(http.StatusUnauthorized)
			}
			if traits.Listable {
				other.renew().is(http.StatusUnauthorized)
			}
		}
		bystander.get("profile").is(http.StatusOK)
		s.client(t, slug).post("login", credentials{alice, alicePassword}).is(http.StatusUnauthorized, "bad_login")
		s.login(t, slug, alice, "through the looking glass")
	})
}

func TestRefreshReplacesTheCredential(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		traits := s.traits(t, slug)
		c := s.login(t, slug, alice, alicePassword)
		if !traits.RenewsID {
			c.renewed()
			return
		}
		old := c.copy()
		s.clock.advance(time.Second)
		c.renewed()
		require.NotEqual(t, old.held(), c.held())
		if traits.Holder == state.HolderServer {
			old.get("profile").is(http.StatusUnauthorized, over(traits, "revoked"))
			old.renew().is(http.StatusUnauthorized, "unknown_session")
			c.get("profile").is(http.StatusOK) // an old one ends nothing
		}
		c.get("profile").is(http.StatusOK)
		c.renewed()
	})
}

// families are the strategies with refresh tokens.
func families(t *testing.T, s *server, f func(t *testing.T, slug string)) {
	n := 0
	for _, slug := range strategies {
		if s.login(t, slug, alice, alicePassword).renews() != "" {
			n++
			t.Run(slug, func(t *testing.T) { f(t, slug) })
		}
	}
	require.NotZero(t, n)
}

func TestRefreshTokensAndTheirOverlap(t *testing.T) {
	s := newServer(t)
	families(t, s, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		first := c.copy()
		c.renewed()
		second := c.copy()

		s.clock.advance(9 * time.Second)
		late := first.copy()
		late.renewed()
		require.Equal(t, second.renews(), late.renews(), "the same successor within the overlap")

		s.clock.advance(time.Second)
		first.renew().is(http.StatusUnauthorized, "reuse_detected")
		second.renew().is(http.StatusUnauthorized, "revoked")
		first.renew().is(http.StatusUnauthorized, "revoked")
		if s.traits(t, slug).Revocable {
			second.get("profile").is(http.StatusUnauthorized, "revoked")
		} else {
			second.get("profile").is(http.StatusOK) // the access token lives until it expires
		}
		s.clock.advance(state.DefaultLifetimes().AccessTTL)
		second.get("profile").is(http.StatusUnauthorized, "expired")
	})
}

func TestAGrandparentIsReuseEvenWithinTheOverlap(t *testing.T) {
	s := newServer(t)
	families(t, s, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		first := c.copy()
		c.renewed()
		c.renewed()
		first.renew().is(http.StatusUnauthorized, "reuse_detected")
		c.renew().is(http.StatusUnauthorized, "revoked")
	})
}

func TestAFamilyEndsHoweverOftenItIsRenewed(t *testing.T) {
	s := newServer(t)
	families(t, s, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		start := s.clock.Now()
		for s.clock.Now().Sub(start) < state.DefaultLifetimes().RefreshTTL-time.Hour {
			s.clock.advance(time.Hour)
			c.renewed()
		}
		require.LessOrEqual(t, c.renewed().number("credential.expires_in"), int64(3600))
		s.clock.advance(time.Hour)
		c.renew().is(http.StatusUnauthorized, "unknown_session")
		c.get("profile").is(http.StatusUnauthorized, "expired")
	})
}

func TestTwentyParallelRefreshesHaveOneSuccessor(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		traits := s.traits(t, slug)
		if !traits.RenewsID {
			return // nothing is renewed
		}
		c := s.login(t, slug, alice, alicePassword)
		tabs := make([]*client, 20)
		answers := make([]*answer, len(tabs))
		var wg sync.WaitGroup
		for i := range tabs {
			tabs[i] = c.copy()
			wg.Go(func() { answers[i] = tabs[i].renew() })
		}
		wg.Wait()
		won := map[string]bool{}
		for i, a := range answers {
			switch {
			case a.status == http.StatusOK && c.renews() != "":
				won[tabs[i].renews()] = true
			case a.status == http.StatusOK:
				won[tabs[i].cookies[cookieName(slug)]] = true
				tabs[i].get("profile").is(http.StatusOK)
			default:
				require.Equal(t, state.HolderServer, traits.Holder, "%s", a.body)
				a.is(http.StatusUnauthorized, "unknown_session")
			}
		}
		if traits.RollbackProof || c.renews() != "" {
			require.Len(t, won, 1)
		}
	})
}

func TestParallelChangesOfOneLogin(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		var wg sync.WaitGroup
		for range 20 {
			tab := c.copy()
			wg.Go(func() { tab.post("spend", object{"amount": 1}).is(http.StatusOK) })
		}
		wg.Wait()
		if s.traits(t, slug).Versioned {
			a := c.get("profile")
			require.Equal(t, int64(80), a.number("state.credits"), "no update is lost")
			require.Equal(t, int64(21), a.number("version"))
		}
	})
}

func TestAChangeMustNotProlongAToken(t *testing.T) {
	s := newServer(t)
	families(t, s, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		s.clock.advance(10 * time.Minute)
		renews := c.renews()
		a := c.patch(object{"theme": "dark"}).is(http.StatusOK)
		if c.bearer() {
			require.Equal(t, int64(300), a.number("credential.expires_in"))
		}
		require.Empty(t, a.text("credential.refresh_token"))
		require.Equal(t, renews, c.renews())
		s.clock.advance(5 * time.Minute)
		c.get("profile").is(http.StatusUnauthorized, "expired")
		require.Equal(t, "dark", c.renewed().text("state.theme"), "a refresh signs from the family's state")
	})
}

func TestRoleIsReadAgainAtRefresh(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		_, err := s.config.Database.ExecContext(t.Context(), `UPDATE accounts SET role = 'member' WHERE username = $1`, alice)
		require.NoError(t, err)
		c := s.login(t, slug, alice, alicePassword)
		_, err = s.config.Database.ExecContext(t.Context(), `UPDATE accounts SET role = 'admin' WHERE username = $1`, alice)
		require.NoError(t, err)
		c.get("members").is(http.StatusForbidden, "forbidden")
		tag := c.get("profile").header.Get("ETag")
		if renewed := c.renewed().text("user.role"); !s.traits(t, slug).RenewsID {
			require.Equal(t, "member", renewed, "until the next login")
			require.Equal(t, "admin", c.post("login", credentials{alice, alicePassword}).is(http.StatusOK).text("user.role"))
			return
		}
		require.Equal(t, "admin", c.get("profile").text("user.role"))
		c.get("members").is(http.StatusOK)
		require.NotEqual(t, tag, c.get("profile").header.Get("ETag"), "a role is no change of state, and changes the tag")
	})
}

func TestWhoHasNoAccountIsNotRefreshed(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, bob, bobPassword)
		_, err := s.config.Database.ExecContext(t.Context(), `DELETE FROM accounts WHERE username = $1`, bob)
		require.NoError(t, err)
		if !s.traits(t, slug).RenewsID {
			c.renewed() // nobody asks whether there is an account
			require.NoError(t, s.AddDemoAccounts(t.Context()))
			return
		}
		c.renew().is(http.StatusUnauthorized, "revoked")
		require.NoError(t, s.AddDemoAccounts(t.Context()))
		c.renew().is(http.StatusUnauthorized) // a new account of that name inherits nothing
	})
}

func TestTheCapOnLoginsNeverEvicts(t *testing.T) {
	s := newServer(t, func(c *api.Config) {
		require.NoError(t, c.Store.Close())
		c.Store = store.NewMemory(store.Options{Now: c.Now, MaxLogins: 3})
	})
	each(t, func(t *testing.T, slug string) {
		var live []*client
		for range 3 {
			live = append(live, s.login(t, slug, alice, alicePassword))
		}
		a := s.client(t, slug).post("login", credentials{alice, alicePassword})
		if traits := s.traits(t, slug); traits.Holder == state.HolderServer && traits.KeptIn == state.PlaceStore {
			a.is(http.StatusServiceUnavailable, "overloaded")
		} else {
			a.is(http.StatusOK)
		}
		for _, c := range live {
			c.get("profile").is(http.StatusOK)
		}
	})
}

func TestSurvivalOfARestart(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		config := s.config
		config.Store = store.NewMemory(store.Options{Now: s.clock.Now}) // memory is lost, keys are kept
		t.Cleanup(func() { require.NoError(t, config.Store.Close()) })
		c.s = startServer(t, config, s.clock)
		a := c.get("profile")
		if traits := s.traits(t, slug); outlives(traits) {
			a.is(http.StatusOK)
		} else {
			a.is(http.StatusUnauthorized, over(traits, "revoked"))
		}
	})
}

func TestOneStrategysCredentialIsNothingToAnother(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		from := s.login(t, slug, alice, alicePassword)
		for _, other := range strategies {
			if other == slug {
				continue
			}
			a := s.client(t, other).hold(from.held()).get("profile")
			require.Equal(t, http.StatusUnauthorized, a.status)
			require.Contains(t, []string{"bad_signature", "unknown_session"}, a.code())
		}
	})
}
