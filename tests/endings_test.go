package tests

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
	"statelab/tests/harness"
)

// A Redis that was emptied has lost which logins of clients have ended. What an operator
// has ended is in the database, and is written down again: a disabled admin stays out.
func TestAnOperatorsEndingIsRepeatedWhereItsRecordIsMissing(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withDenylist, harness.Following)
	operator := auth.New(auth.Config{Database: s.Config.Database, Now: s.Clock.Now})
	var copies []*harness.Client
	heldByClients(t, s, func(t *testing.T, slug string) {
		copies = append(copies, s.Login(t, slug, harness.Teacher, harness.TeacherPassword))
	})
	require.NotEmpty(t, copies)
	for i, c := range copies {
		copies[i] = c.In(t)
	}
	subject := copies[0].Get("profile").Is(http.StatusOK).Text("user.id")
	require.NoError(t, operator.Disable(t.Context(), harness.Teacher))
	soonOut(t, copies)
	for range 2 {
		for _, c := range copies {
			require.NoError(t, s.Config.Store.Delete(t.Context(), state.EndedKey(c.Slug, subject)))
		}
		soonOut(t, copies)
	}
}

// A hangingStore does not answer what is asked of one subject.
type hangingStore struct {
	state.Store
	subject atomic.Pointer[string]
}

func (s *hangingStore) EndSubject(ctx context.Context, e state.Ending) (int, error) {
	if hangs := s.subject.Load(); hangs != nil && e.Subject == *hangs {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return s.Store.EndSubject(ctx, e)
}

// An ending that takes long, since its account has very many logins, holds up no other.
func TestAnEndingHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	hanging := &hangingStore{}
	s := harness.NewServer(t, func(c *api.Config) { hanging.Store, c.Store = c.Store, hanging }, harness.Following)
	operator := auth.New(auth.Config{Database: s.Config.Database, Now: s.Clock.Now})
	slow, bystander := s.Login(t, "session", harness.Alice, harness.AlicePassword), s.Login(t, "session", harness.Bob, harness.BobPassword)
	subject := slow.Get("profile").Is(http.StatusOK).Text("user.id")
	hanging.subject.Store(&subject)
	require.NoError(t, operator.Disable(t.Context(), harness.Alice))
	require.NoError(t, operator.Disable(t.Context(), harness.Bob))
	soonOut(t, []*harness.Client{bystander})
	slow.Get("profile").Is(http.StatusOK) // its ending still hangs
}
