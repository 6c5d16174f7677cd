package tests

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
)

// attacks are what somebody can try who has no password: each with the trait that
// stands against it, and what it takes to see whether it works.
var attacks = map[string]struct {
	stands func(state.Traits) bool
	try    func(t testing.TB, s *server, slug string) (works bool)
}{
	"forgery": {func(tr state.Traits) bool { return tr.TamperProof }, func(t testing.TB, s *server, slug string) bool {
		c := s.login(t, slug, alice, alicePassword)
		return c.hold(forged(c.held())).get("profile").number("state.credits") == 999
	}},
	"rollback": {func(tr state.Traits) bool { return tr.RollbackProof }, func(t testing.TB, s *server, slug string) bool {
		c := s.login(t, slug, alice, alicePassword)
		old := c.copy()
		c.post("spend", object{"amount": 30}).is(http.StatusOK)
		return old.get("profile").number("state.credits") == 100
	}},
	"replay after a logout": {func(tr state.Traits) bool { return tr.Revocable }, func(t testing.TB, s *server, slug string) bool {
		c := s.login(t, slug, alice, alicePassword)
		thief := c.copy()
		c.post("logout", nil).is(http.StatusNoContent)
		return thief.opens(alice)
	}},
	// The thief has a credential of their own, plants it, and waits.
	"fixation": {func(tr state.Traits) bool { return tr.RenewsID }, func(t testing.TB, s *server, slug string) bool {
		thief := s.login(t, slug, bob, bobPassword)
		thief.copy().post("login", credentials{alice, alicePassword}).is(http.StatusOK)
		return thief.opens(alice)
	}},
	// The browser brings back what was ended, as curl does from an old jar.
	"an ended identifier": {func(tr state.Traits) bool { return tr.RenewsID }, func(t testing.TB, s *server, slug string) bool {
		c := s.login(t, slug, alice, alicePassword)
		thief, victim := c.copy(), c.copy()
		c.post("logout", nil).is(http.StatusNoContent)
		victim.post("login", credentials{bob, bobPassword}).is(http.StatusOK)
		return thief.opens(bob)
	}},
	"an identifier that was made up": {func(tr state.Traits) bool { return tr.StrictID || tr.Holder == state.HolderClient }, func(t testing.TB, s *server, slug string) bool {
		thief := s.client(t, slug).hold("made-up")
		thief.copy().post("login", credentials{alice, alicePassword}).is(http.StatusOK)
		return thief.opens(alice)
	}},
	"theft by a script": {func(tr state.Traits) bool { return tr.HTTPOnly }, func(t testing.TB, s *server, slug string) bool {
		a := s.client(t, slug).post("login", credentials{alice, alicePassword}).is(http.StatusOK)
		for _, cookie := range a.cookies {
			if !cookie.HttpOnly {
				return true
			}
		}
		return a.text("credential.access_token") != "" // whatever a script has done with it
	}},
	"a login for ever": {func(tr state.Traits) bool { return tr.Expires }, func(t testing.TB, s *server, slug string) bool {
		thief := s.login(t, slug, alice, alicePassword)
		s.clock.advance(10 * 365 * 24 * time.Hour)
		return thief.opens(alice)
	}},
}

// opens says whether a credential opens the login of this user.
func (c *client) opens(username string) bool {
	c.t.Helper()
	return c.get("profile").text("user.username") == username
}

// forged is a credential with more credits in it, wherever it can be read.
func forged(credential string) string {
	parts := strings.Split(credential, ".")
	for i, part := range parts {
		if text := decoded(part); strings.Contains(text, `"credits":100`) {
			parts[i] = base64Of([]byte(strings.Replace(text, `"credits":100`, `"credits":999`, 1)))
		}
	}
	return strings.Replace(strings.Join(parts, "."), "%22credits%22%3A100", "%22credits%22%3A999", 1)
}

// Each attack works exactly where a trait says so, with a denylist or without.
func TestAttacks(t *testing.T) {
	for name, options := range map[string][]option{"": nil, "with a denylist": {withDenylist}} {
		s := newServer(t, options...)
		each(t, func(t *testing.T, slug string) {
			for what, attack := range attacks {
				t.Run(what+name, func(t *testing.T) {
					require.Equal(t, !attack.stands(s.traits(t, slug)), attack.try(t, s, slug))
				})
			}
		})
	}
}
