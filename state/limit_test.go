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
var recorded = []string{"session", "session-db", "session-cached", "session-bearer", "session-gin", "token", "token-cookie"}

// limited returns a strategy whose accounts have at most n live logins, and what
// it says has ended.
func limited(t testing.TB, slug string, n int) (state.Strategy, state.Config, *[]string) {
	t.Helper()
	c := newConfig(t, slug)
	var mu sync.Mutex
	var ended []string
	c.LoginsPerAccount, c.Denylist = int64(n), true
	c.Limited = func(_ context.Context, _, id string) {
		mu.Lock()
		defer mu.Unlock()
		ended = append(ended, id)
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

func (b *blind) Logins(ctx context.Context, q state.LoginQuery) ([]state.LoginHead, error) {
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
					_, _, err := state.OpenAndRefresh(s, httptest.NewRecorder(), r, credential.RefreshToken)
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

// gathered is a store where so many ends of logins come to the same moment: each waits
// for the others before it writes.
type gathered struct {
	state.Store
	all *sync.WaitGroup
}

func (s gathered) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	if r.Rotation.Revoked {
		s.all.Done()
		s.all.Wait()
	}
	return s.Store.Update(ctx, k, rev, r)
}

func TestEndedFamiliesHaveALimitAfterManyLogoutsAtOnce(t *testing.T) {
	t.Parallel()
	for _, slug := range []string{"token", "token-cookie"} {
		t.Run(slug, func(t *testing.T) {
			const atOnce = 20
			c := newConfig(t, slug)
			plain, err := state.New(c)
			require.NoError(t, err)
			logout := func(s state.Strategy, r *http.Request) {
				_, err := state.OpenAndEnd(s, httptest.NewRecorder(), r, "")
				require.NoError(t, err)
			}
			for range 95 {
				logout(plain, carrying(t, plain))
			}
			var all, done sync.WaitGroup
			all.Add(atOnce)
			stored := c.Store
			c.Store = gathered{stored, &all}
			s, err := state.New(c)
			require.NoError(t, err)
			for range atOnce {
				r := carrying(t, plain)
				done.Go(func() { logout(s, r) })
			}
			done.Wait()
			ended, err := stored.Logins(t.Context(), state.LoginQuery{Subject: "01M807", Strategy: slug, Ended: true})
			require.NoError(t, err)
			require.LessOrEqual(t, len(ended), 100)
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

// undeletable is a store that cannot delete, and counts the attempts.
type undeletable struct {
	state.Store
	attempts int
}

func (s *undeletable) Delete(context.Context, state.Key) error {
	s.attempts++
	return errDown
}

// After the limit was lowered many logins are over it. A store that fails with one of
// them is not asked to end the others: a login would wait for it with each.
func TestEndingsOverTheLimitStopAtAFailure(t *testing.T) {
	t.Parallel()
	c := newConfig(t, "session")
	s, err := state.New(c)
	require.NoError(t, err)
	for range 5 {
		carrying(t, s)
	}
	broken := &undeletable{Store: c.Store}
	c.Store, c.LoginsPerAccount = broken, 1
	lowered, err := state.New(c)
	require.NoError(t, err)
	carrying(t, lowered) // the login has begun all the same
	require.Equal(t, 1, broken.attempts)
	require.Len(t, ids(t, s), 6)
	c.Store = broken.Store
	again, err := state.New(c)
	require.NoError(t, err)
	carrying(t, again)
	require.Len(t, ids(t, s), 1, "the next login ends what is still over the limit")
}
