package tests

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/tests/harness"
)

// "Nothing has changed; try again" has to be true of a password, too: otherwise
// the second try fails, and an attacker who knew the old password is still in.
func TestAPasswordChangeThatFailedHasChangedNothing(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"Load", "Update", "Delete", "EndSubject", "all"} {
		t.Run(operation, func(t *testing.T) {
			s, f := harness.NewFaultyServer(t)
			harness.Each(t, func(t *testing.T, slug string) {
				username := "user-" + slug
				s.Client(t, slug).Do("POST", "/accounts", harness.Object{"username": username, "password": "the first password"}).Is(http.StatusCreated)
				var others []*harness.Client
				for _, other := range harness.Strategies {
					others = append(others, s.Login(t, other, username, "the first password"))
				}
				c := s.Login(t, slug, username, "the first password")
				change := harness.Object{"current_password": "the first password", "new_password": "the second password"}

				if f.BreakWith(harness.ErrDown, operation); operation == "all" {
					f.BreakWith(harness.ErrDown)
				}
				a := c.Route("PUT", "password", change)
				f.Repair()
				if a.Status != http.StatusNoContent {
					a.Unavailable("store_unavailable")
					s.Login(t, slug, username, "the first password")
					s.Client(t, slug).Post("login", harness.Credentials(username, "the second password")).Is(http.StatusUnauthorized, "bad_login")
					c.Route("PUT", "password", change).Is(http.StatusNoContent)
				}
				c.Get("profile").Is(http.StatusOK)
				for _, other := range others {
					if traits := s.Traits(t, other.Slug); traits.Listable {
						other.Renew().Is(http.StatusUnauthorized)
					}
				}
				s.Login(t, slug, username, "the second password")
			})
		})
	}
}

// The same, when the store goes down in the middle: as long as the answer is no
// success, the first password is the password.
func TestAnOutageOnTheWayChangesNoPassword(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s, f := harness.NewFaultyServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			for most := range 16 {
				t.Run(fmt.Sprint("after ", most), func(t *testing.T) {
					username := fmt.Sprint("user-", slug, "-", most)
					s.Client(t, slug).Do("POST", "/accounts", harness.Object{"username": username, "password": "the first password"}).Is(http.StatusCreated)
					for _, other := range harness.Strategies {
						s.Login(t, other, username, "the first password")
					}
					c := s.Login(t, slug, username, "the first password")
					done := 0
					f.Set(func(context.Context, string) error {
						if done++; done > most {
							return harness.ErrDown
						}
						return nil
					})
					a := c.Route("PUT", "password", harness.Object{"current_password": "the first password", "new_password": "the second password"})
					f.Repair()
					now := "the second password"
					if a.Status != http.StatusNoContent {
						a.Unavailable("store_unavailable")
						now = "the first password"
					}
					c.Get("profile").Is(http.StatusOK)
					s.Login(t, slug, username, now)
				})
			}
		})
	})
}

// A login that begins with the old password while that is being changed, after
// its strategy has been swept, ends with it all the same.
func TestALoginBesideAPasswordChangeEndsWithThePassword(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t)
	var listable []string
	for _, slug := range harness.Strategies {
		if s.Traits(t, slug).Listable {
			listable = append(listable, slug)
		}
	}
	harness.Each(t, func(t *testing.T, slug string) {
		username := "user-" + slug
		s.Client(t, slug).Do("POST", "/accounts", harness.Object{"username": username, "password": "the first password"}).Is(http.StatusCreated)
		c, beside := s.Login(t, slug, username, "the first password"), s.Client(t, listable[0])
		sweeps := 0
		f.Set(func(_ context.Context, operation string) error {
			if operation == "EndSubject" {
				if sweeps++; sweeps == len(listable) {
					beside.Post("login", harness.Credentials(username, "the first password"))
				}
			}
			return nil
		})
		defer f.Repair()
		c.Route("PUT", "password", harness.Object{"current_password": "the first password", "new_password": "the second password"}).Is(http.StatusNoContent)
		require.NotEmpty(t, beside.Held(), "it did not begin: this proves nothing")
		beside.Renew().Is(http.StatusUnauthorized)
		c.Get("profile").Is(http.StatusOK)
	})
}

// A deafStore writes, and does not hear that it has.
type deafStore struct{ state.Store }

func (s deafStore) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	return errors.Join(s.Store.Update(ctx, k, rev, r), context.DeadlineExceeded)
}

// A change whose acknowledgement is lost is not called undone: it counts.
func TestAChangeInDoubtIsNotCalledUndone(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, func(c *api.Config) { c.Store = deafStore{c.Store} })
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	a := c.Patch(harness.Object{"note": "written"})
	a.Unavailable("store_unavailable")
	require.Contains(t, a.Text("detail"), "may have been made")
	require.Equal(t, "written", c.Get("profile").Text("state.note"))
	a = c.Renew()
	a.Unavailable("store_unavailable")
	require.Contains(t, a.Text("detail"), "may have been made")
	c.Get("profile").Is(http.StatusUnauthorized, "unknown_session") // the new id counts, which the client does not know
}
