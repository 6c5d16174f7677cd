package state_test

import (
	"cmp"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/storetest"
)

// Of twenty callers that refresh with one credential at the same instant, all
// that succeed get one successor, round after round, and it works. It takes some
// seconds of the processors: each round is twenty writes to a real server.
func TestParallelRefreshesHaveOneSuccessor(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, open storetest.Open) {
		for _, d := range state.Definitions() {
			c := newConfig(t, d.Slug)
			// No time passes, or on a busy machine the overlap could end within a round.
			now := time.Now()
			c.Now = func() time.Time { return now }
			c.Store, _ = open(t, store.Options{Now: c.Now})
			s, err := state.New(c)
			require.NoError(t, err)
			if s.Traits().KeptIn != state.PlaceStore { // nothing is replaced, or it is one of the others over again
				continue
			}
			t.Run(d.Slug, func(t *testing.T) { refreshInParallel(t, s) })
		}
	})
}

func refreshInParallel(t *testing.T, s state.Strategy) {
	const callers, rounds = 20, 200
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/", nil)
	_, credential, err := s.Start(w, r, state.NewLogin("01M807", "alice", "Alice", "member"))
	require.NoError(t, err)
	refresh := credential.RefreshToken // or "": the credential renews itself
	started := w.Result().Cookies()
	for _, c := range started {
		r.AddCookie(c)
	}
	bearer := s.Carriage(r)
	if credential.AccessToken != "" {
		bearer.Attach(r.Header, credential.AccessToken)
	}
	for range rounds {
		var mu sync.Mutex
		var wg sync.WaitGroup
		successors := map[string]int{}
		for range callers {
			wg.Go(func() {
				w := httptest.NewRecorder()
				_, c, err := state.OpenAndRefresh(s, w, r, refresh)
				successor := cmp.Or(c.RefreshToken, c.AccessToken)
				for _, cookie := range w.Result().Cookies() {
					successor = cookie.Name + "=" + cookie.Value
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
			if s.Traits().Holder == state.HolderClient {
				require.Equal(t, callers, n, "everybody within the overlap is served")
			} else {
				require.Equal(t, 1, n, "without an overlap one wins")
			}
			switch {
			case refresh != "":
				refresh = successor
			case credential.AccessToken != "":
				bearer.Attach(r.Header, successor)
			default:
				r.Header.Set("Cookie", successor)
				if len(started) > 1 { // the access token of the same login goes with it
					r.AddCookie(started[0])
				}
			}
		}
	}
}
