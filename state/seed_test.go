package state_test

import (
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/state"
)

// Every visitor costs a record, whether they bring an identifier or not, until
// there is no more room; those who have one live on.
func TestTheTutorialKeepsARecordOfEveryVisitor(t *testing.T) {
	t.Parallel()
	s := newStrategy(t, "seed")
	visit := func(i int) error {
		r := httptest.NewRequest("GET", "/", nil)
		if i%2 == 0 {
			r.Header.Set("Cookie", fmt.Sprint("sessionid=planted", i))
		}
		_, err := s.Load(r)
		return err
	}
	for i := range 10_000 {
		require.NotErrorIs(t, visit(i), state.ErrFull)
	}
	require.ErrorIs(t, visit(10_000), state.ErrFull)
	require.ErrorIs(t, visit(10_001), state.ErrFull)
	_, _, err := s.Start(httptest.NewRecorder(), httptest.NewRequest("POST", "/", nil), state.NewLogin("01M807", "alice", "Alice", "member"))
	require.ErrorIs(t, err, state.ErrFull)

	require.ErrorIs(t, visit(0), state.ErrUnknown)
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Cookie", "sessionid=planted0")
	_, _, err = s.Start(httptest.NewRecorder(), r, state.NewLogin("01M807", "alice", "Alice", "member"))
	require.NoError(t, err)
	require.NoError(t, visit(0), "who planted it is in")
}
