package state_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
)

// eachEnder runs a test for each strategy that can end logins from afar, with a
// denylist and with a request that carries a login.
func eachEnder(t *testing.T, f func(t *testing.T, s state.Strategy, ender state.Ender, r *http.Request, l state.Login)) {
	t.Helper()
	for _, slug := range state.Slugs() {
		c := newConfig(t, slug)
		c.Denylist = true
		s, err := state.New(c)
		require.NoError(t, err)
		if !s.Traits().Everywhere {
			continue
		}
		ender, ok := s.(state.Ender)
		require.True(t, ok)
		t.Run(slug, func(t *testing.T) {
			r := carrying(t, s)
			l, err := s.Load(r)
			require.NoError(t, err)
			f(t, s, ender, r, l.Login)
		})
	}
}

// Whoever changes the password just after an operator has changed the role keeps
// this login from the one ending, and not from the other, although that one
// arrives later.
func TestWhatOneEndingSparesAnotherMayEnd(t *testing.T) {
	t.Parallel()
	eachEnder(t, func(t *testing.T, s state.Strategy, ender state.Ender, r *http.Request, l state.Login) {
		var err error
		role := l.IssuedAt.Add(time.Second)
		require.NoError(t, ender.EndAll(t.Context(), l.Subject, l.ID, role.Add(time.Second)))
		_, err = s.Load(r)
		require.NoError(t, err)
		require.NoError(t, ender.EndAll(t.Context(), l.Subject, "", role))
		_, err = s.Load(r)
		require.Error(t, err)
	})
}

// A change of the password that was under way when the login was ended does not
// bring it back.
func TestWhoHasEndedIsNotSpared(t *testing.T) {
	t.Parallel()
	eachEnder(t, func(t *testing.T, s state.Strategy, ender state.Ender, r *http.Request, l state.Login) {
		var err error
		require.NoError(t, ender.EndAll(t.Context(), l.Subject, "another", l.IssuedAt))
		require.NoError(t, ender.EndAll(t.Context(), l.Subject, l.ID, l.IssuedAt.Add(time.Second)))
		_, err = s.Load(r)
		require.Error(t, err)
	})
}

// A login that has ended is remembered until its last copy has expired, also if
// logins live for a shorter time by then, and if a renewal was under way.
func TestADenylistRemembersForAsLongAsACopyLives(t *testing.T) {
	t.Parallel()
	for _, slug := range []string{"cookie", "cookie-sealed"} {
		t.Run(slug, func(t *testing.T) {
			now := time.Unix(1_800_000_000, 0)
			c := newConfig(t, slug)
			c.Denylist, c.Now = true, func() time.Time { return now }
			kept := memory.New(store.Options{Now: c.Now})
			t.Cleanup(func() { require.NoError(t, kept.Close()) })
			c.Store = kept
			long, err := state.New(c)
			require.NoError(t, err)
			r := carrying(t, long)

			shorter := c
			shorter.SessionMax = time.Hour
			short, err := state.New(shorter)
			require.NoError(t, err)
			_, err = state.OpenAndEnd(short, httptest.NewRecorder(), r, "")
			require.NoError(t, err)
			now = now.Add(2 * time.Hour)
			_, err = short.Load(r)
			require.ErrorIs(t, err, state.ErrRevoked)

			r = carrying(t, long)
			c.Roles = func(context.Context, string) (string, error) { // takes a second, and meanwhile
				_, err := state.OpenAndEnd(long, httptest.NewRecorder(), r, "")
				now = now.Add(time.Second)
				return "member", err
			}
			slow, err := state.New(c)
			require.NoError(t, err)
			w := httptest.NewRecorder()
			_, _, err = state.OpenAndRefresh(slow, w, r, "")
			require.NoError(t, err)
			renewed := httptest.NewRequest("GET", "/", nil)
			renewed.AddCookie(w.Result().Cookies()[0])
			_, err = long.Load(renewed)
			require.ErrorIs(t, err, state.ErrRevoked)
			now = now.Add(c.SessionMax - time.Second) // the list has forgotten it
			_, err = long.Load(renewed)
			require.Error(t, err)
		})
	}
}
