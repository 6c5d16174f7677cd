package tests

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
)

// An interruptedHasher does something else, once, when it has compared.
type interruptedHasher struct {
	auth.Hasher
	then atomic.Pointer[func()]
}

func (h *interruptedHasher) Compare(ctx context.Context, password, hash string) (ok, outdated bool, err error) {
	ok, outdated, err = h.Hasher.Compare(ctx, password, hash)
	if then := h.then.Swap(nil); then != nil {
		(*then)()
	}
	return ok, outdated, err
}

// Whoever has given the right password while the account was changed is told
// that it is wrong, and holds no login that the change could not have ended.
func TestASignInThatIsOvertaken(t *testing.T) {
	h := &interruptedHasher{Hasher: cheapHasher()}
	s := newServer(t, func(c *api.Config) { c.Hasher = h })
	operator := auth.New(auth.Config{Database: s.config.Database, Now: s.clock.Now})
	each(t, func(t *testing.T, slug string) {
		owner := s.login(t, slug, bob, bobPassword)
		password, another := bobPassword, "another bob entirely"
		overtaken := func(change func()) {
			h.then.Store(&change)
			a := s.client(t, slug).post("login", credentials{bob, password}).is(http.StatusUnauthorized, "bad_login")
			require.Empty(t, a.cookies)
		}
		overtaken(func() {
			owner.route("PUT", "password", object{"current_password": password, "new_password": another}).is(http.StatusNoContent)
		})
		password = another
		if s.traits(t, slug).Listable {
			require.Len(t, owner.get("logins").at("logins"), 1)
		}
		overtaken(func() { require.NoError(t, operator.SetRole(t.Context(), bob, auth.RoleAdmin)) })
		overtaken(func() { require.NoError(t, operator.Disable(t.Context(), bob)) })
		require.NoError(t, operator.Enable(t.Context(), bob))
		s.login(t, slug, bob, password)
		overtaken(func() { require.NoError(t, operator.Remove(t.Context(), bob)) })
		require.NoError(t, s.AddDemoAccounts(t.Context()))
	})
}

// An operator's clock may be ahead or behind: what was done last is followed all
// the same, and whoever is out has no login, whenever it began.
func TestOperatorsWithOtherClocks(t *testing.T) {
	t.Parallel()
	s := newServer(t, withDenylist)
	operator := func(ahead time.Duration) *auth.Accounts {
		return auth.New(auth.Config{Database: s.config.Database, Now: func() time.Time { return s.clock.Now().Add(ahead) }})
	}
	logins := func(username, password string) (all []*client) {
		for _, slug := range strategies {
			if s.traits(t, slug).Everywhere {
				all = append(all, s.login(t, slug, username, password))
			}
		}
		return all
	}
	alices, bobs := logins(alice, alicePassword), logins(bob, bobPassword)
	require.NoError(t, operator(time.Hour).SetRole(t.Context(), alice, auth.RoleAdmin))
	soonOut(t, alices)
	s.clock.advance(time.Second)
	for _, c := range logins(alice, alicePassword) {
		require.Equal(t, s.clock.Now().Format(time.RFC3339), c.get("profile").is(http.StatusOK).text("issued_at")) // and not in an hour
	}
	require.NoError(t, operator(-time.Hour).Disable(t.Context(), bob))
	soonOut(t, bobs)
}

// A store that is down keeps no login in another one from its end.
func TestAnEndingThatOneStoreCannotKeep(t *testing.T) {
	each(t, func(t *testing.T, slug string) {
		down := new(faulty)
		s := newServer(t, func(c *api.Config) { c.Store = faultyStore{c.Store, down} })
		if s.traits(t, slug).KeptIn != state.PlaceDatabase {
			return
		}
		c := s.login(t, slug, bob, bobPassword)
		down.breakWith(errDown)
		require.NoError(t, auth.New(auth.Config{Database: s.config.Database, Now: s.clock.Now}).Disable(t.Context(), bob))
		soonOut(t, []*client{c})
	})
}
