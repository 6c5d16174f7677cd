package tests

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/tests/harness"
)

// attacks are what somebody can try who has no password: each with the trait that
// stands against it, and what it takes to see whether it works.
var attacks = map[string]struct {
	stands func(state.Traits) bool
	try    func(t testing.TB, s *harness.Server, slug string) (works bool)
}{
	"forgery": {func(tr state.Traits) bool { return tr.TamperProof }, func(t testing.TB, s *harness.Server, slug string) bool {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		return c.Hold(forged(c.Held())).Get("profile").Number("state.credits") == 999
	}},
	"rollback": {func(tr state.Traits) bool { return tr.RollbackProof }, func(t testing.TB, s *harness.Server, slug string) bool {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		old := c.Copy()
		c.Post("spend", harness.Object{"amount": 30}).Is(http.StatusOK)
		return old.Get("profile").Number("state.credits") == 100
	}},
	"replay after a logout": {func(tr state.Traits) bool { return tr.Revocable }, func(t testing.TB, s *harness.Server, slug string) bool {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		thief := c.Copy()
		c.Post("logout", nil).Is(http.StatusNoContent)
		return thief.Opens(harness.Alice)
	}},
	// The thief has a credential of their own, plants it, and waits.
	"fixation": {func(tr state.Traits) bool { return tr.RenewsID }, func(t testing.TB, s *harness.Server, slug string) bool {
		thief := s.Login(t, slug, harness.Bob, harness.BobPassword)
		thief.Copy().Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		return thief.Opens(harness.Alice)
	}},
	// The browser brings back what was ended, as curl does from an old jar.
	"an ended identifier": {func(tr state.Traits) bool { return tr.RenewsID }, func(t testing.TB, s *harness.Server, slug string) bool {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		thief, victim := c.Copy(), c.Copy()
		c.Post("logout", nil).Is(http.StatusNoContent)
		victim.Post("login", harness.Credentials(harness.Bob, harness.BobPassword)).Is(http.StatusOK)
		return thief.Opens(harness.Bob)
	}},
	"an identifier that was made up": {func(tr state.Traits) bool { return tr.StrictID || tr.Holder == state.HolderClient }, func(t testing.TB, s *harness.Server, slug string) bool {
		thief := s.Client(t, slug).Hold("made-up")
		thief.Copy().Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		return thief.Opens(harness.Alice)
	}},
	"theft by a script": {func(tr state.Traits) bool { return tr.HTTPOnly }, func(t testing.TB, s *harness.Server, slug string) bool {
		a := s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		for _, cookie := range a.Cookies {
			if !cookie.HttpOnly {
				return true
			}
		}
		return a.Text("credential.access_token") != "" // whatever a script has done with it
	}},
	"a login for ever": {func(tr state.Traits) bool { return tr.Expires }, func(t testing.TB, s *harness.Server, slug string) bool {
		thief := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		s.Clock.Advance(10 * 365 * 24 * time.Hour)
		return thief.Opens(harness.Alice)
	}},
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

// decoded is what a part of a credential says in base64url, or "".
func decoded(part string) string {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return ""
	}
	return string(text)
}

// Each attack works exactly where a trait says so, with a denylist or without.
func TestAttacks(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]harness.Option{"": nil, "with a denylist": {withDenylist}} {
		s := harness.NewServer(t, options...)
		harness.Each(t, func(t *testing.T, slug string) {
			for what, attack := range attacks {
				t.Run(what+name, func(t *testing.T) {
					require.Equal(t, !attack.stands(s.Traits(t, slug)), attack.try(t, s, slug))
				})
			}
		})
	}
}
