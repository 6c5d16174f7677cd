package state_test

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/state"
)

// filled returns a login that has exactly size bytes as JSON. Its items are
// control characters, which take six bytes each.
func filled(t testing.TB, l state.Login, size int) state.Login {
	t.Helper()
	l.Cart = slices.Repeat([]string{strings.Repeat("\x01", 100)}, 30)
	doc, err := json.Marshal(l)
	require.NoError(t, err)
	l.Note = strings.Repeat("x", size-len(doc)-len(`,"note":""`))
	doc, err = json.Marshal(l)
	require.NoError(t, err)
	require.Len(t, doc, size)
	return l
}

func TestAStoredStateHasALimit(t *testing.T) {
	t.Parallel()
	for _, slug := range []string{"session", "session-db", "session-cached", "session-bearer", "session-gin", "session-stock", "seed"} {
		t.Run(slug, func(t *testing.T) {
			s := newStrategy(t, slug)
			r := carrying(t, s)
			before, err := s.Load(r)
			require.NoError(t, err)
			w := httptest.NewRecorder()
			_, _, err = s.Save(w, r, before, filled(t, before.Login, state.StateLimit+1))
			var tooLarge *state.UnstorableError
			require.ErrorAs(t, err, &tooLarge)
			require.Equal(t, &state.UnstorableError{Limit: state.StateLimit, Size: state.StateLimit + 1}, tooLarge)
			require.Empty(t, w.Header(), "no cookie is set")
			after, err := s.Load(r)
			require.NoError(t, err)
			require.Equal(t, before.Login, after.Login, "the old state is intact")

			_, _, err = s.Save(w, r, before, filled(t, before.Login, state.StateLimit))
			require.NoError(t, err, "the limit itself fits")

			_, _, err = s.Start(w, httptest.NewRequest("POST", "/", nil), filled(t, state.NewLogin("01M807", "alice", "Alice", "member"), state.StateLimit+1))
			require.ErrorAs(t, err, &tooLarge, "nor does a login begin with it")
		})
	}
}

// A cookie that the lesson on sizes lets grow is no way into the store.
func TestAFamilyStoresNoStateOverTheLimit(t *testing.T) {
	t.Parallel()
	c := newConfig(t, "token-cookie")
	c.NoSizeCheck = true
	s, err := state.New(c)
	require.NoError(t, err)
	r := carrying(t, s)
	l, err := s.Load(r)
	require.NoError(t, err)
	_, _, err = s.Save(httptest.NewRecorder(), r, l, filled(t, l.Login, state.StateLimit+1))
	var tooLarge *state.UnstorableError
	require.ErrorAs(t, err, &tooLarge)
	_, _, err = s.Save(httptest.NewRecorder(), r, l, filled(t, l.Login, state.StateLimit-1))
	require.NoError(t, err)
}

func TestAGinStoreStoresNoValuesOverTheLimit(t *testing.T) {
	t.Parallel()
	s, _ := newGinStore(t)
	r := httptest.NewRequest("GET", "/", nil)
	session, err := s.New(r, "app")
	require.NoError(t, err)
	session.Values["note"] = strings.Repeat("x", state.StateLimit)
	w := httptest.NewRecorder()
	var tooLarge *state.UnstorableError
	require.ErrorAs(t, s.Save(r, w, session), &tooLarge)
	require.Empty(t, w.Header())
	session.Values["note"] = strings.Repeat("x", state.StateLimit-100)
	require.NoError(t, s.Save(r, w, session))
}
