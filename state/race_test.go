package state_test

import (
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/storetest"
)

// Of twenty callers that refresh with one credential at the same instant, all
// that succeed get one successor, round after round, and it works.
func TestParallelRefreshesHaveOneSuccessor(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 10
	}
	storetest.Each(t, func(t *testing.T, open storetest.Open) {
		for _, slug := range state.Slugs() {
			t.Run(slug, func(t *testing.T) {
				c := newConfig(t, slug)
				c.Store, _ = open(t, store.Options{})
				s, err := state.New(c)
				require.NoError(t, err)
				refreshInParallel(t, s, rounds)
			})
		}
	})
}

func refreshInParallel(t *testing.T, s state.Strategy, rounds int) {
	const callers = 20
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/", nil)
	_, credential, err := s.Start(w, r, state.NewLogin("01M807", "alice", "Alice", "member"))
	require.NoError(t, err)
	if !s.Traits().RollbackProof && credential.RefreshToken == "" {
		t.Skip("nothing is replaced: every copy lives on")
	}
	refresh := credential.RefreshToken
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	for range rounds {
		var mu sync.Mutex
		var wg sync.WaitGroup
		successors := map[string]int{}
		for range callers {
			wg.Go(func() {
				w := httptest.NewRecorder()
				_, c, err := s.Refresh(w, r, refresh)
				successor := c.RefreshToken
				for _, cookie := range w.Result().Cookies() {
					successor = cookie.String()
				}
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					require.ErrorIs(t, err, state.ErrUnknown)
					require.Empty(t, successor)
					return
				}
				successors[successor]++
			})
		}
		wg.Wait()
		require.Len(t, successors, 1)
		for successor, n := range successors {
			if refresh != "" {
				require.Equal(t, callers, n, "everybody within the overlap is served")
				refresh = successor
				continue
			}
			require.Equal(t, 1, n, "without an overlap one wins")
			r.Header.Set("Cookie", successor)
		}
	}
}
