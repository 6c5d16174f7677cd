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
	"statelab/tests/harness"
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
	t.Parallel()
	h := &interruptedHasher{Hasher: harness.CheapHasher()}
	s := harness.NewServer(t, func(c *api.Config) { c.Hasher = h })
	operator := auth.New(auth.Config{Database: s.Config.Database, Now: s.Clock.Now})
	harness.Each(t, func(t *testing.T, slug string) {
		owner := s.Login(t, slug, harness.Bob, harness.BobPassword)
		password, another := harness.BobPassword, "another bob entirely"
		overtaken := func(change func()) {
			h.then.Store(&change)
			a := s.Client(t, slug).Post("login", harness.Credentials(harness.Bob, password)).Is(http.StatusUnauthorized, "bad_login")
			require.Empty(t, a.Cookies)
		}
		overtaken(func() {
			owner.Route("PUT", "password", harness.Object{"current_password": password, "new_password": another}).Is(http.StatusNoContent)
		})
		password = another
		if s.Traits(t, slug).Listable {
			require.Len(t, owner.Get("logins").At("logins"), 1)
		}
		overtaken(func() { require.NoError(t, operator.SetRole(t.Context(), harness.Bob, auth.RoleAdmin)) })
		overtaken(func() { require.NoError(t, operator.Disable(t.Context(), harness.Bob)) })
		require.NoError(t, operator.Enable(t.Context(), harness.Bob))
		s.Login(t, slug, harness.Bob, password)
		overtaken(func() { require.NoError(t, operator.Remove(t.Context(), harness.Bob)) })
		require.NoError(t, s.AddDemoAccounts(t.Context()))
	})
}

// An operator's clock may be ahead or behind: what was done last is followed all
// the same, and whoever is out has no login, whenever it began.
func TestOperatorsWithOtherClocks(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withDenylist, harness.Following)
	operator := func(ahead time.Duration) *auth.Accounts {
		return auth.New(auth.Config{Database: s.Config.Database, Now: func() time.Time { return s.Clock.Now().Add(ahead) }})
	}
	logins := func(username, password string) (all []*harness.Client) {
		for _, slug := range harness.Strategies {
			if s.Traits(t, slug).Everywhere {
				all = append(all, s.Login(t, slug, username, password))
			}
		}
		return all
	}
	alices, bobs := logins(harness.Alice, harness.AlicePassword), logins(harness.Bob, harness.BobPassword)
	require.NoError(t, operator(time.Hour).SetRole(t.Context(), harness.Alice, auth.RoleAdmin))
	soonOut(t, alices)
	s.Clock.Advance(time.Second)
	for _, c := range logins(harness.Alice, harness.AlicePassword) {
		require.Equal(t, s.Clock.Now().Format(time.RFC3339), c.Get("profile").Is(http.StatusOK).Text("issued_at")) // and not in an hour
	}
	require.NoError(t, operator(-time.Hour).Disable(t.Context(), harness.Bob))
	soonOut(t, bobs)
}

// A store that is down keeps no login in another one from its end.
func TestAnEndingThatOneStoreCannotKeep(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, slug string) {
		down := new(harness.Faulty)
		s := harness.NewServer(t, func(c *api.Config) { c.Store = harness.FaultyStore{Store: c.Store, Faulty: down} }, harness.Following)
		if s.Traits(t, slug).KeptIn != state.PlaceDatabase {
			return
		}
		c := s.Login(t, slug, harness.Bob, harness.BobPassword)
		down.BreakWith(harness.ErrDown)
		require.NoError(t, auth.New(auth.Config{Database: s.Config.Database, Now: s.Clock.Now}).Disable(t.Context(), harness.Bob))
		soonOut(t, []*harness.Client{c})
	})
}
