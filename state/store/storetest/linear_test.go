package storetest

import (
	"context"
	"testing"

	"github.com/anishathalye/porcupine"

	"statelab/state"
	"statelab/state/store"
)

// careless updates whatever revision is there.
type careless struct{ state.Store }

func (s careless) Update(ctx context.Context, k state.Key, _ int64, r state.Record) error {
	now, err := s.Load(ctx, k)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, k, now.Rev, r)
}

// resurrecting creates what it cannot update.
type resurrecting struct{ state.Store }

func (s resurrecting) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	if err := s.Store.Update(ctx, k, rev, r); err != nil {
		return s.Create(ctx, k, r)
	}
	return nil
}

// A check that cannot fail would show nothing.
func TestABrokenStoreIsNotLinearizable(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(state.Store) state.Store{
		"one that ignores the revision":           func(s state.Store) state.Store { return careless{s} },
		"one that re-creates what was deleted":    func(s state.Store) state.Store { return resurrecting{s} },
		"and one that is not, for the difference": func(s state.Store) state.Store { return s },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newTestClock()
			s, _ := openMemory(t, store.Options{Now: clock.Now})
			history := crowd(t, broken(s), clock)
			want := broken(s) == s
			if got := porcupine.CheckOperations(recordModel, history); got != want {
				t.Fatalf("linearizable: %t, want %t", got, want)
			}
		})
	}
}
