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
	"statelab/state/store/memory"
	"statelab/tests/harness"
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
	t.Parallel()
	inModes(t, []mode{denylisted, cached}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			if !s.Traits(t, slug).Expires {
				return // it does not end, as its own tests show
			}
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			life := c.Lives()
			// Every ten minutes a request, as a thief would do to stay in.
			for used := time.Duration(0); used+10*time.Minute < life; used += 10 * time.Minute {
				s.Clock.Advance(10 * time.Minute)
				c.Get("profile").Is(http.StatusOK)
			}
			s.Clock.Advance(10 * time.Minute)
			c.Get("profile").Is(http.StatusUnauthorized, over(s.Traits(t, slug), "expired"))
			c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusUnauthorized, over(s.Traits(t, slug), "expired"))
		})
	})
}

func TestExpiryIsExact(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			if traits := s.Traits(t, slug); traits.Slides || !traits.Expires {
				return // idleness ends it earlier, or nothing does, covered by other tests
			}
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			s.Clock.Advance(c.Lives() - time.Second)
			c.Get("profile").Is(http.StatusOK)
			s.Clock.Advance(time.Second)
			c.Get("profile").Is(http.StatusUnauthorized, "expired") // RFC 7519, 4.1.4: on or after
		})
	})
}

func TestIdlenessEndsWhatTheServerHolds(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			traits := s.Traits(t, slug)
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			if !traits.Slides {
				if c.Lives() > 16*time.Minute {
					s.Clock.Advance(16 * time.Minute)
					c.Get("profile").Is(http.StatusOK)
				}
				return
			}
			for range 3 {
				s.Clock.Advance(14 * time.Minute)
				c.Get("profile").Is(http.StatusOK)
			}
			s.Clock.Advance(15 * time.Minute)
			c.Get("profile").Is(http.StatusUnauthorized, "unknown_session")
		})
	})
}

func TestUseIsWrittenAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			if !s.Traits(t, slug).Slides {
				return // nothing is written, its reads are counted by TestInspectionHoldsToTheTraits
			}
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			writes := func() int64 { return c.Get("inspect").Is(http.StatusOK).Number("cost.store_writes") }
			require.Zero(t, writes())
			s.Clock.Advance(59 * time.Second)
			require.Zero(t, writes())
			s.Clock.Advance(time.Second)
			require.Equal(t, int64(1), writes())
			require.Zero(t, writes())
			seen := c.Get("logins").At("logins").([]any)[0].(map[string]any)["last_seen"]
			require.Equal(t, s.Clock.Now().Format(time.RFC3339), seen)
		})
	})
}

func TestNoRequestMovesTheEnd(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			end := c.Get("profile").Text("expires_at")
			s.Clock.Advance(5 * time.Minute)
			require.Equal(t, end, c.Get("profile").Text("expires_at"))
			require.Equal(t, end, c.Patch(harness.Object{"theme": "dark"}).Text("expires_at"))
			require.Equal(t, end, c.Renewed().Text("expires_at"))
		})
	})
}

func TestLoginNeverAdoptsWhatTheRequestCarried(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted, cached}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			if !s.Traits(t, slug).RenewsID {
				return // it does, as experiment E10 shows
			}
			thief := s.Login(t, slug, harness.Bob, harness.BobPassword)
			victim := thief.Copy() // bob's credential, planted into alice's browser
			victim.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
			require.NotEqual(t, thief.Held(), victim.Held())
			require.Equal(t, "alice", victim.Get("profile").Text("user.username"))

			a := thief.Get("profile")
			if s.Traits(t, slug).Revocable {
				a.Is(http.StatusUnauthorized, over(s.Traits(t, slug), "revoked"))
			} else {
				require.Equal(t, "bob", a.Text("user.username"))
			}
			if s.Traits(t, slug).Listable {
				thief.Renew().Is(http.StatusUnauthorized) // the login that was replaced has ended
			}
		})
	})
}

func TestAnUnknownIdentifierCreatesNothing(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			if !s.Traits(t, slug).StrictID && s.Traits(t, slug).Holder == state.HolderServer {
				return // it does, as its own tests show
			}
			before := s.Records(t)
			for _, planted := range []string{"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "x", "", "a.b.c"} {
				c := s.Client(t, slug)
				c.Cookies[harness.CookieName(slug)] = planted
				c.Get("profile").Is(http.StatusUnauthorized)
				c.Get("inspect").Is(http.StatusUnauthorized)
			}
			for range 100 {
				s.Client(t, slug).Get("profile").Is(http.StatusUnauthorized, "no_credential")
			}
			require.Equal(t, before, s.Records(t))
		})
	})
}

func TestACopyAfterLogout(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted, cached}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			traits := s.Traits(t, slug)
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			thief := c.Copy()
			c.Post("logout", nil).Is(http.StatusNoContent)
			if traits.Revocable {
				thief.Get("profile").Is(http.StatusUnauthorized, over(traits, "revoked"))
				thief.Renew().Is(http.StatusUnauthorized, over(traits, "revoked"))
				return
			}
			thief.Get("profile").Is(http.StatusOK)
			if traits.Listable {
				thief.Patch(harness.Object{"theme": "dark"}).Is(http.StatusUnauthorized, "revoked")
				thief.Renew().Is(http.StatusUnauthorized, "revoked")
				thief.Get("profile").Is(http.StatusOK)
			}
			s.Clock.Advance(state.DefaultLifetimes().SessionMax)
			if traits.Expires {
				thief.Get("profile").Is(http.StatusUnauthorized, "expired")
			} else {
				thief.Get("profile").Is(http.StatusOK)
			}
		})
	})
}

func TestAnOldCopyComesBackWhereTheClientHoldsTheState(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted, cached}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			old := c.Copy()
			c.Post("spend", harness.Object{"amount": 30}).Is(http.StatusOK)
			want := int64(100)
			if s.Traits(t, slug).RollbackProof {
				want = 70
			}
			require.Equal(t, want, old.Get("profile").Number("state.credits"))
			require.Equal(t, int64(70), c.Get("profile").Number("state.credits"))
		})
	})
}

func TestLogoutEverywhere(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			traits := s.Traits(t, slug)
			devices := []*harness.Client{s.Login(t, slug, harness.Alice, harness.AlicePassword), s.Login(t, slug, harness.Alice, harness.AlicePassword), s.Login(t, slug, harness.Alice, harness.AlicePassword)}
			bystander := s.Login(t, slug, harness.Bob, harness.BobPassword)
			if !traits.Everywhere {
				devices[0].Post("logout", harness.Object{"everywhere": true}).Is(http.StatusNotImplemented, "not_supported_by_strategy")
				require.NotEmpty(t, devices[0].Cookies)
				devices[0].Get("profile").Is(http.StatusOK)
				return
			}
			devices[0].Post("logout", harness.Object{"everywhere": true}).Is(http.StatusNoContent)
			for _, d := range devices[1:] {
				d.Renew().Is(http.StatusUnauthorized)
				if traits.Revocable {
					d.Get("profile").Is(http.StatusUnauthorized, over(traits, "revoked"))
				}
			}
			bystander.Get("profile").Is(http.StatusOK)
			bystander.Renewed()
		})
	})
}

func TestAnExpiredAccessTokenCanStillLogOut(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			for _, everywhere := range []bool{false, true} {
				c, other := s.Login(t, slug, harness.Alice, harness.AlicePassword), s.Login(t, slug, harness.Alice, harness.AlicePassword)
				body := harness.Object{"everywhere": everywhere, "refresh_token": c.Refresh}
				if c.Refresh == "" {
					c.Post("logout", harness.Object{"refresh_token": "x"}).Is(http.StatusBadRequest, "malformed_json")
					return
				}
				s.Clock.Advance(time.Hour)
				c.Post("logout", harness.Object{"everywhere": everywhere}).Is(http.StatusUnauthorized, "expired")
				c.Post("logout", body).Is(http.StatusNoContent)
				c.Renew().Is(http.StatusUnauthorized, "revoked")
				if everywhere {
					other.Renew().Is(http.StatusUnauthorized, "revoked")
				} else {
					other.Renewed()
				}
			}
		})
	})
}

func TestAnotherPasswordEndsTheOtherLogins(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		harness.Each(t, func(t *testing.T, slug string) {
			s := harness.NewServer(t, with)
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			var others []*harness.Client
			for _, other := range harness.Strategies {
				others = append(others, s.Login(t, other, harness.Alice, harness.AlicePassword))
			}
			bystander := s.Login(t, slug, harness.Bob, harness.BobPassword)
			change := func(current, next string) *harness.Answer {
				return c.Route("PUT", "password", harness.Object{"current_password": current, "new_password": next})
			}
			a := change("wrong password", "through the looking glass").Is(http.StatusUnprocessableEntity, "validation_failed")
			require.Equal(t, "/current_password", a.At("errors").([]any)[0].(map[string]any)["pointer"])
			a = change(harness.AlicePassword, "short").Is(http.StatusUnprocessableEntity, "validation_failed")
			require.Equal(t, "/new_password", a.At("errors").([]any)[0].(map[string]any)["pointer"])
			s.Login(t, slug, harness.Alice, harness.AlicePassword)

			change(harness.AlicePassword, "through the looking glass").Is(http.StatusNoContent)
			c.Get("profile").Is(http.StatusOK)
			c.Renewed()
			for _, other := range others {
				traits := s.Traits(t, other.Slug)
				if traits.Revocable && traits.Everywhere {
					other.Get("profile").Is(http.StatusUnauthorized)
				}
				if traits.Listable {
					other.Renew().Is(http.StatusUnauthorized)
				}
			}
			bystander.Get("profile").Is(http.StatusOK)
			s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusUnauthorized, "bad_login")
			s.Login(t, slug, harness.Alice, "through the looking glass")
		})
	})
}

func TestRefreshReplacesTheCredential(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted, cached}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			traits := s.Traits(t, slug)
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			if !traits.RenewsID {
				c.Renewed()
				return
			}
			old := c.Copy()
			s.Clock.Advance(time.Second)
			c.Renewed()
			require.NotEqual(t, old.Held(), c.Held())
			if traits.Holder == state.HolderServer {
				old.Get("profile").Is(http.StatusUnauthorized, over(traits, "revoked"))
				old.Renew().Is(http.StatusUnauthorized, "unknown_session")
				c.Get("profile").Is(http.StatusOK) // an old one ends nothing
			}
			c.Get("profile").Is(http.StatusOK)
			c.Renewed()
		})
	})
}

func TestParallelChangesOfOneLogin(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			var wg sync.WaitGroup
			for range 20 {
				tab := c.Copy()
				wg.Go(func() { tab.Post("spend", harness.Object{"amount": 1}).Is(http.StatusOK) })
			}
			wg.Wait()
			if s.Traits(t, slug).Versioned {
				a := c.Get("profile")
				require.Equal(t, int64(80), a.Number("state.credits"), "no update is lost")
				require.Equal(t, int64(21), a.Number("version"))
			}
		})
	})
}

func TestAChangeMustNotProlongAToken(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		families(t, s, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			s.Clock.Advance(10 * time.Minute)
			renews := c.Renews()
			a := c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
			if c.Bearer() {
				require.Equal(t, int64(300), a.Number("credential.expires_in"))
			}
			require.Empty(t, a.Text("credential.refresh_token"))
			require.Equal(t, renews, c.Renews())
			s.Clock.Advance(5 * time.Minute)
			c.Get("profile").Is(http.StatusUnauthorized, "expired")
			require.Equal(t, "dark", c.Renewed().Text("state.theme"), "a refresh signs from the family's state")
		})
	})
}

func TestRoleIsReadAgainAtRefresh(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			_, err := s.Config.Database.ExecContext(t.Context(), `UPDATE accounts SET role = 'member' WHERE username = $1`, harness.Alice)
			require.NoError(t, err)
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			_, err = s.Config.Database.ExecContext(t.Context(), `UPDATE accounts SET role = 'admin' WHERE username = $1`, harness.Alice)
			require.NoError(t, err)
			c.Get("members").Is(http.StatusForbidden, "forbidden")
			tag := c.Get("profile").Header.Get("ETag")
			if renewed := c.Renewed().Text("user.role"); !s.Traits(t, slug).RenewsID {
				require.Equal(t, "member", renewed, "until the next login")
				require.Equal(t, "admin", c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK).Text("user.role"))
				return
			}
			require.Equal(t, "admin", c.Get("profile").Text("user.role"))
			c.Get("members").Is(http.StatusOK)
			require.NotEqual(t, tag, c.Get("profile").Header.Get("ETag"), "a role is no change of state, and changes the tag")
		})
	})
}

func TestWhoHasNoAccountIsNotRefreshed(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Bob, harness.BobPassword)
			_, err := s.Config.Database.ExecContext(t.Context(), `DELETE FROM accounts WHERE username = $1`, harness.Bob)
			require.NoError(t, err)
			if !s.Traits(t, slug).RenewsID {
				c.Renewed() // nobody asks whether there is an account
				require.NoError(t, s.AddDemoAccounts(t.Context()))
				return
			}
			c.Renew().Is(http.StatusUnauthorized, "revoked")
			require.NoError(t, s.AddDemoAccounts(t.Context()))
			c.Renew().Is(http.StatusUnauthorized) // a new account of that name inherits nothing
		})
	})
}

func TestTheCapOnLoginsNeverEvicts(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		harness.Each(t, func(t *testing.T, slug string) {
			s := harness.NewServer(t, with, func(c *api.Config) {
				require.NoError(t, c.Store.Close())
				c.Store = memory.New(store.Options{Now: c.Now, MaxRecords: 3})
			})
			var live []*harness.Client
			for range 3 {
				live = append(live, s.Login(t, slug, harness.Alice, harness.AlicePassword))
			}
			a := s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
			if traits := s.Traits(t, slug); traits.Listable && traits.KeptIn == state.PlaceStore {
				a.Is(http.StatusServiceUnavailable, "overloaded")
			} else {
				a.Is(http.StatusOK)
			}
			for _, c := range live {
				c.Get("profile").Is(http.StatusOK)
			}
		})
	})
}

func TestSurvivalOfARestart(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			config := s.Config
			config.Store = memory.New(store.Options{Now: s.Clock.Now}) // memory is lost, keys are kept
			t.Cleanup(func() { require.NoError(t, config.Store.Close()) })
			c.Server = harness.StartServer(t, config, s.Clock)
			a := c.Get("profile")
			if traits := s.Traits(t, slug); harness.Outlives(traits) {
				a.Is(http.StatusOK)
			} else {
				a.Is(http.StatusUnauthorized, over(traits, "revoked"))
			}
		})
	})
}

func TestOneStrategysCredentialIsNothingToAnother(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted, cached}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			from := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			for _, other := range harness.Strategies {
				if other == slug {
					continue
				}
				a := s.Client(t, other).Hold(from.Held()).Get("profile")
				require.Equal(t, http.StatusUnauthorized, a.Status)
				require.Contains(t, []string{"bad_signature", "unknown_session"}, a.Code())
			}
		})
	})
}
