package state_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/state"
)

// recorded are the strategies that keep a record for each login.
var recorded = []string{"session", "session-db", "session-cached", "token", "token-cookie"}

// limited returns a strategy whose accounts have at most n live logins, and what
// it says has ended.
func limited(t testing.TB, slug string, n int) (state.Strategy, state.Config, *[]string) {
	t.Helper()
	c := newConfig(t, slug)
	var mu sync.Mutex
	var ended []string
	c.LoginsPerAccount, c.Denylist = n, true
	c.Limited = func(_ context.Context, l state.Login) {
		mu.Lock()
		defer mu.Unlock()
		ended = append(ended, l.ID)
	}
	s, err := state.New(c)
	require.NoError(t, err)
	return s, c, &ended
}

func ids(t testing.TB, s state.Strategy) []string {
	t.Helper()
	infos, err := s.(state.Lister).Logins(t.Context(), "01M807")
	require.NoError(t, err)
	var all []string
	for _, in := range infos {
		all = append(all, in.ID)
	}
	return all
}

func TestTheNextLoginEndsTheOldest(t *testing.T) {
	t.Parallel()
	for _, slug := range recorded {
		t.Run(slug, func(t *testing.T) {
			s, _, ended := limited(t, slug, 3)
			var begun []*http.Request
			var want []string
			for range 5 {
				r := carrying(t, s)
				l, err := s.Load(r)
				require.NoError(t, err)
				begun, want = append(begun, r), append(want, l.ID)
			}
			require.Equal(t, want[2:], ids(t, s))
			require.Equal(t, want[:2], *ended, "what has ended is told once, the oldest first")
			for i, r := range begun {
				_, err := s.Load(r)
				require.Equal(t, i >= 2, err == nil, "login %d: %v", i, err)
			}

			// A login in the place of one that the client has takes no other place.
			w := httptest.NewRecorder()
			_, _, err := s.Start(w, begun[3], state.NewLogin("01M807", "alice", "Alice", "member"))
			require.NoError(t, err)
			require.Len(t, ids(t, s), 3)
			require.Len(t, *ended, 2)
			_, err = s.Load(begun[2])
			require.NoError(t, err)

			// Another account has a limit of its own.
			_, _, err = s.Start(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), state.NewLogin("02", "bob", "Bob", "member"))
			require.NoError(t, err)
			require.Len(t, *ended, 2)
		})
	}
}

func TestTheLimitHoldsAfterManyLoginsAtOnce(t *testing.T) {
	t.Parallel()
	for _, slug := range recorded {
		for _, n := range []int{1, 4} {
			s, _, _ := limited(t, slug, n)
			var wg sync.WaitGroup
			for range 32 {
				wg.Go(func() {
					_, _, err := s.Start(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), state.NewLogin("01M807", "alice", "Alice", "member"))
					require.NoError(t, err)
				})
			}
			wg.Wait()
			carrying(t, s) // one that was dated before another and stored after it waits for the next login
			require.Len(t, ids(t, s), n, slug)
		}
	}
}

// blind is a store that cannot list logins.
type blind struct {
	state.Store
	err error
}

func (b *blind) Logins(ctx context.Context, q state.LoginQuery) ([]state.Entry, error) {
	if b.err != nil {
		return nil, b.err
	}
	return b.Store.Logins(ctx, q)
}

// Without the list a login would be beyond the limit, and nothing would end it.
func TestALoginThatCannotCountTheOthersDoesNotBegin(t *testing.T) {
	t.Parallel()
	for _, slug := range recorded {
		t.Run(slug, func(t *testing.T) {
			c := newConfig(t, slug)
			store := &blind{Store: c.Store}
			c.Store = store
			s, err := state.New(c)
			require.NoError(t, err)
			r := carrying(t, s)
			store.err = errDown
			w := httptest.NewRecorder()
			_, _, err = s.Start(w, r, state.NewLogin("01M807", "alice", "Alice", "member"))
			require.ErrorIs(t, err, state.ErrUnavailable)
			require.Empty(t, w.Header())
			store.err = nil
			_, err = s.Load(r)
			require.NoError(t, err, "the login that the client has goes on")
			require.Len(t, ids(t, s), 1)
		})
	}
}

func TestEndedFamiliesHaveALimit(t *testing.T) {
	t.Parallel()
	for _, slug := range []string{"token", "token-cookie"} {
		t.Run(slug, func(t *testing.T) {
			s, c, _ := limited(t, slug, 1)
			var refreshed []func() error
			for range 103 { // each ends the one before
				w := httptest.NewRecorder()
				_, credential, err := s.Start(w, httptest.NewRequest("POST", "/", nil), state.NewLogin("01M807", "alice", "Alice", "member"))
				require.NoError(t, err)
				refreshed = append(refreshed, func() error {
					r := httptest.NewRequest("POST", "/", nil)
					for _, c := range w.Result().Cookies() {
						r.AddCookie(c)
					}
					_, _, err := s.Refresh(httptest.NewRecorder(), r, credential.RefreshToken)
					return err
				})
			}
			ended := func() int {
				all, err := c.Store.Logins(t.Context(), state.LoginQuery{Subject: "01M807", Strategy: slug, Ended: true})
				require.NoError(t, err)
				return len(all)
			}
			require.Equal(t, 100, ended())
			require.ErrorIs(t, refreshed[0](), state.ErrUnknown)
			require.ErrorIs(t, refreshed[1](), state.ErrUnknown)
			require.ErrorIs(t, refreshed[2](), state.ErrRevoked)
			require.NoError(t, refreshed[102]())
			require.NoError(t, s.(state.Ender).EndAll(t.Context(), "01M807", "", state.MicrosOf(c.Now())))
			require.Equal(t, 100, ended(), "a logout of all counts too")
			require.ErrorIs(t, refreshed[2](), state.ErrUnknown)
		})
	}
}

// What a node remembers of a login is forgotten when all end.
func TestAnEndingOfAllReachesWhatIsRemembered(t *testing.T) {
	t.Parallel()
	s := newStrategy(t, "session-cached")
	r := carrying(t, s)
	_, err := s.Load(r)
	require.NoError(t, err)
	require.NoError(t, s.(state.Ender).EndAll(t.Context(), "01M807", "", state.MicrosOf(newConfig(t, "session").Now())))
	_, err = s.Load(r)
	require.ErrorIs(t, err, state.ErrUnknown)
}
