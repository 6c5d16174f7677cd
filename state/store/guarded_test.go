package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
)

// slowSubjects is a store whose operations by subject take longer than anyone waits.
type slowSubjects struct {
	state.Store
	err error // or fail at once with this
}

func (s *slowSubjects) wait(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *slowSubjects) BySubject(ctx context.Context, _ string) ([]state.Entry, error) {
	return nil, s.wait(ctx)
}

func (s *slowSubjects) Logins(ctx context.Context, _ state.LoginQuery) ([]state.Entry, error) {
	return nil, s.wait(ctx)
}

func (s *slowSubjects) EndSubject(ctx context.Context, _ state.Ending) (int, error) {
	return 0, s.wait(ctx)
}

func TestASlowSubjectRestsNoStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory := store.NewMemory(store.Options{})
		defer func() { require.NoError(t, memory.Close()) }()
		slow := &slowSubjects{Store: memory}
		s := store.Guarded(slow, store.Options{})
		k, r := state.KeyOf("k"), record(state.KindLogin, "alice", state.MicrosOf(time.Now()).Add(time.Hour))
		require.NoError(t, s.Create(t.Context(), k, r))
		for name, operation := range map[string]func() error{
			"by subject": func() error { _, err := s.BySubject(t.Context(), "alice"); return err },
			"logins":     func() error { _, err := s.Logins(t.Context(), state.LoginQuery{}); return err },
			"ending":     func() error { _, err := s.EndSubject(t.Context(), state.Ending{}); return err },
		} {
			require.ErrorIs(t, operation(), state.ErrUnavailable, name)
			got, err := s.Load(t.Context(), k)
			require.NoError(t, err, "%s: others read", name)
			require.NoError(t, s.Update(t.Context(), k, got.Rev, got), "%s: others write", name)
		}

		slow.err = errors.New("connection refused")
		_, err := s.Logins(t.Context(), state.LoginQuery{})
		require.Error(t, err)
		_, err = s.Load(t.Context(), k)
		require.ErrorIs(t, err, state.ErrUnavailable, "an outage is one, whichever operation finds it")
	})
}
