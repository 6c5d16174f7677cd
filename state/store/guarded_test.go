package store_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/storetest"
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

func (s *slowSubjects) Logins(ctx context.Context, _ state.LoginQuery) ([]state.LoginHead, error) {
	return nil, s.wait(ctx)
}

func (s *slowSubjects) EndSubject(ctx context.Context, _ state.Ending) (int, error) {
	return 0, s.wait(ctx)
}

func TestASlowSubjectRestsNoStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := memory.New(store.Options{})
		defer func() { require.NoError(t, kept.Close()) }()
		slow := &slowSubjects{Store: kept}
		s := store.Guarded(slow, store.Options{})
		k, r := state.KeyOf("k"), storetest.Record(state.KindLogin, "alice", state.MicrosOf(time.Now()).Add(time.Hour))
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

// late is a store of which some operations take longer than any caller waits.
type late struct {
	state.Store
	reads, writes atomic.Bool
	of            state.Key // only those of this key, unless it is zero
}

func (s *late) wait(ctx context.Context, on *atomic.Bool, k state.Key) error {
	if on.Load() && (s.of == (state.Key{}) || s.of == k) {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (s *late) Load(ctx context.Context, k state.Key) (state.Record, error) {
	if err := s.wait(ctx, &s.reads, k); err != nil {
		return state.Record{}, err
	}
	return s.Store.Load(ctx, k)
}

func (s *late) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	if err := s.wait(ctx, &s.writes, k); err != nil {
		return err
	}
	return s.Store.Update(ctx, k, rev, r)
}

// onLate runs a test over a guarded store with one record, which was read once.
func onLate(t *testing.T, test func(t *testing.T, slow *late, s state.Store, k state.Key, r state.Record)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := memory.New(store.Options{})
		defer func() { require.NoError(t, kept.Close()) }()
		slow := &late{Store: kept}
		s := store.Guarded(slow, store.Options{})
		k := state.KeyOf("k")
		require.NoError(t, s.Create(t.Context(), k, storetest.Record(state.KindLogin, "alice", state.MicrosOf(time.Now()).Add(time.Hour))))
		r, err := s.Load(t.Context(), k)
		require.NoError(t, err)
		test(t, slow, s, k, r)
	})
}

// On a process with much to do one operation may come late. That is no outage for the
// requests whose operations succeed meanwhile.
func TestALateOperationBesideOthersRestsNoStore(t *testing.T) {
	onLate(t, func(t *testing.T, slow *late, s state.Store, k state.Key, r state.Record) {
		slow.of = state.KeyOf("slow")
		slow.reads.Store(true)
		slow.writes.Store(true)
		var both sync.WaitGroup
		for range 3 {
			both.Go(func() { _, err := s.Load(t.Context(), slow.of); require.ErrorIs(t, err, context.DeadlineExceeded) })
			both.Go(func() { require.ErrorIs(t, s.Update(t.Context(), slow.of, 1, r), context.DeadlineExceeded) })
		}
		for range 200 { // two seconds
			<-time.After(10 * time.Millisecond)
			got, err := s.Load(t.Context(), k)
			require.NoError(t, err)
			require.NoError(t, s.Update(t.Context(), k, got.Rev, got))
		}
		both.Wait()
	})
}

// A store that hangs has its rest after the first operation that it does not answer.
func TestAStoreThatHangsIsNoticedAtOnce(t *testing.T) {
	onLate(t, func(t *testing.T, slow *late, s state.Store, k state.Key, r state.Record) {
		slow.reads.Store(true)
		_, err := s.Load(t.Context(), k)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		start := time.Now()
		_, err = s.Load(t.Context(), k)
		require.ErrorIs(t, err, state.ErrUnavailable)
		require.ErrorIs(t, s.Update(t.Context(), k, r.Rev, r), state.ErrUnavailable)
		require.Zero(t, time.Since(start))
	})
}

// A store that is locked against writing is read all the time. The second write that it
// does not answer stops the writes, and no read.
func TestAStoreThatIsLockedIsNoticedAtTheSecondWrite(t *testing.T) {
	onLate(t, func(t *testing.T, slow *late, s state.Store, k state.Key, r state.Record) {
		slow.writes.Store(true)
		for range 2 {
			reading := time.AfterFunc(100*time.Millisecond, func() {
				_, err := s.Load(t.Context(), k)
				require.NoError(t, err)
			})
			require.ErrorIs(t, s.Update(t.Context(), k, r.Rev, r), context.DeadlineExceeded)
			require.False(t, reading.Stop())
		}
		require.ErrorIs(t, s.Update(t.Context(), k, r.Rev, r), state.ErrUnavailable)
		_, err := s.Load(t.Context(), k)
		require.NoError(t, err)
	})
}
