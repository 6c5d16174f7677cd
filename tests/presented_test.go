package tests

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
	"statelab/tests/harness"
)

// repeatedly has a client send the credential of another client 20 times with each request.
func repeatedly(c, other *harness.Client) {
	var pairs []string
	for name, value := range other.Cookies {
		pairs = append(pairs, slices.Repeat([]string{name + "=" + value}, 20)...)
	}
	if len(pairs) > 0 {
		c.Send = harness.Header("Cookie", strings.Join(pairs, "; "))
		return
	}
	c.Send = harness.Header("Authorization", slices.Repeat([]string{"Bearer " + other.Access}, 20)...)
}

// signsInWith signs Bob in with the credential of another login beside the request.
func signsInWith(t *testing.T, s *harness.Server, other *harness.Client) {
	t.Helper()
	thief := s.Client(t, other.Slug)
	repeatedly(thief, other)
	thief.Post("login", harness.Credentials(harness.Bob, harness.BobPassword)).Is(http.StatusOK)
}

// A copy of a login that has ended may be in the hands of a thief. Presented at a sign-in to
// another account it ends nothing, adds nothing to the denylist and is not reported.
func TestASignInWithADeadCopyEndsNoOtherLogin(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withDenylist)
	harness.Each(t, func(t *testing.T, slug string) {
		if !s.Traits(t, slug).Revocable || !harness.Strict(s.Traits(t, slug)) {
			return
		}
		goesOn := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		subject := goesOn.Get("profile").Text("user.id")
		ended := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		dead := ended.Copy()
		ended.Post("logout", nil).Is(http.StatusNoContent)
		before := s.Everything(t, subject)
		list, _ := s.Keeper(t, slug).Load(t.Context(), state.EndedKey(slug, subject))
		for range 5 {
			s.Audited(t, func() { signsInWith(t, s, dead) }, "sign_in")
		}
		goesOn.Get("profile").Is(http.StatusOK)
		require.Equal(t, before, s.Everything(t, subject))
		after, _ := s.Keeper(t, slug).Load(t.Context(), state.EndedKey(slug, subject))
		require.Equal(t, list, after)
	})
}

// A sign-in ends the login that the client carried, however many copies it sends, with one
// line in the audit trail if it was the login of another account.
func TestASignInEndsThePresentedLoginOnce(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withDenylist)
	harness.Each(t, func(t *testing.T, slug string) {
		if !s.Traits(t, slug).Revocable || !harness.Strict(s.Traits(t, slug)) {
			return
		}
		goesOn := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		carried, login, _ := s.SignsIn(t, slug, harness.Alice, harness.AlicePassword)
		line := s.Audited(t, func() { signsInWith(t, s, carried) }, "revocation", "sign_in")[0]
		require.Equal(t, []any{"one", "sign_in", login, slug}, []any{line["of"], line["by"], line["ended"], line["strategy"]})
		require.Equal(t, goesOn.Get("profile").Is(http.StatusOK).Text("user.id"), line["subject"])
		carried.Get("profile").Is(http.StatusUnauthorized)

		carried = s.Login(t, slug, harness.Bob, harness.BobPassword)
		s.Audited(t, func() { signsInWith(t, s, carried) }, "sign_in") // in its own account
		carried.Get("profile").Is(http.StatusUnauthorized)
	})
}

// Copies of one login, and logins of other accounts, make no room for more logins than
// an account may have.
func TestPresentedCopiesDoNotRaiseTheLimitOfLogins(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withDenylist, func(c *api.Config) { c.LoginsPerAccount = 3 })
	harness.Each(t, func(t *testing.T, slug string) {
		if !s.Traits(t, slug).Listable {
			return
		}
		last := s.Login(t, slug, harness.Bob, harness.BobPassword)
		for n := range auth.MaxPerAccount {
			s.Clock.Advance(time.Microsecond)
			carried := last
			if n%2 == 1 {
				carried = s.Login(t, slug, harness.Alice, harness.AlicePassword)
			}
			c := s.Client(t, slug)
			repeatedly(c, carried)
			c.Post("login", harness.Credentials(harness.Bob, harness.BobPassword)).Is(http.StatusOK)
			last, c.Send = c, nil
			require.LessOrEqual(t, len(last.Get("logins").Is(http.StatusOK).At("logins").([]any)), 3)
		}
	})
}
