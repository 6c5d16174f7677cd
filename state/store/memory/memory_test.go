package memory_test

import (
	"fmt"
	"math"
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

func TestMemoryKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Each(t, storetest.Run, "memory")
}

// The sweep runs by itself, by the ticker of the bubble's clock.
func TestExpiredRecordsAreSweptWithinSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(store.Options{})
		defer func() { require.NoError(t, s.Close()) }()
		now := state.MicrosOf(time.Now())
		for i := range 1000 {
			life := time.Minute
			if i%2 == 0 {
				life = time.Hour
			}
			kind := state.KindLogin
			if i%4 == 1 {
				kind = state.KindCounter
			}
			require.NoError(t, s.Create(t.Context(), state.KeyOf(fmt.Sprint(i)), storetest.Record(kind, fmt.Sprint(i%10), now.Add(life))))
		}
		// gone returns when no more than so many records are left, since they were made.
		begun := time.Now()
		gone := func(left int) time.Duration {
			for s.Len() > left && time.Since(begun) < 2*time.Hour {
				require.Contains(t, []int{1000, 500}, s.Len(), "the sweep removes what has expired, and nothing else")
				<-time.After(time.Second)
				synctest.Wait() // for a sweep that has begun in this second
			}
			require.Equal(t, left, s.Len())
			return time.Since(begun)
		}
		for _, c := range []struct {
			left int
			life time.Duration
		}{{500, time.Minute}, {0, time.Hour}} {
			took := gone(c.left)
			require.GreaterOrEqual(t, took, c.life)
			require.LessOrEqual(t, took, c.life+6*time.Second)
		}
	})
}

func TestTheCapCountsWhatLives(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	s := memory.New(store.Options{Now: func() time.Time { return now }, MaxRecords: 2})
	defer func() { require.NoError(t, s.Close()) }()
	soon := state.MicrosOf(now).Add(time.Minute)
	for round := range 3 {
		for i := range 2 {
			require.NoError(t, s.Create(t.Context(), state.KeyOf(fmt.Sprint(round, i)), storetest.Record(state.KindLogin, "alice", soon)))
		}
		require.ErrorIs(t, s.Create(t.Context(), state.KeyOf("one more"), storetest.Record(state.KindLogin, "alice", soon)), state.ErrFull)
		for _, kind := range []state.Kind{state.KindFamily, state.KindCounter, state.KindEnded, state.KindForeign} {
			require.ErrorIs(t, s.Create(t.Context(), state.KeyOf("one more"), storetest.Record(kind, "", soon)), state.ErrFull, kind)
		}
		now, soon = now.Add(time.Minute), soon.Add(time.Minute)
		s.Sweep()
	}
}

func TestTheCapCountsBytes(t *testing.T) {
	t.Parallel()
	s := memory.New(store.Options{MaxBytes: 10_000})
	defer func() { require.NoError(t, s.Close()) }()
	large := storetest.Record(state.KindForeign, "", state.MicrosOf(time.Now()).Add(time.Hour))
	large.Foreign = make([]byte, 8_000)
	k, other := state.KeyOf("k"), state.KeyOf("other")
	for range 3 { // what was deleted takes no memory
		require.NoError(t, s.Create(t.Context(), k, large))
		require.ErrorIs(t, s.Create(t.Context(), other, large), state.ErrFull)
		small := large
		small.Foreign = nil
		require.NoError(t, s.Create(t.Context(), other, small))
		require.ErrorIs(t, s.Update(t.Context(), other, 1, large), state.ErrFull)
		require.NoError(t, s.Update(t.Context(), k, 1, small), "what shrinks fits")
		require.NoError(t, s.Update(t.Context(), other, 1, large))
		require.NoError(t, s.Delete(t.Context(), k))
		require.NoError(t, s.Delete(t.Context(), other))
	}
}

func TestWhatGoesIsCountedNoMore(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	s := memory.New(store.Options{Now: func() time.Time { return now }})
	defer func() { require.NoError(t, s.Close()) }()
	record := func(subject string) state.Record {
		kind := state.KindLogin
		if subject == "revoke" {
			kind = state.KindFamily
		}
		r := storetest.Record(kind, subject, state.MicrosOf(now).Add(time.Minute))
		r.Login.Cart, r.Login.Note = []string{"tea", "cake"}, "a note"
		return r
	}
	ends := map[string]func(state.Key){
		"delete": func(k state.Key) { require.NoError(t, s.Delete(t.Context(), k)) },
		"end":    func(state.Key) { endSubject(t, s, state.Ending{Subject: "end", Delete: true}) },
		"revoke": func(k state.Key) {
			endSubject(t, s, state.Ending{Subject: "revoke", Kind: state.KindFamily})
			require.NoError(t, s.Delete(t.Context(), k))
		},
		"sweep": func(state.Key) {
			now = now.Add(time.Minute)
			s.Sweep()
		},
		"give way": func(k state.Key) {
			now = now.Add(time.Minute)
			require.NoError(t, s.Create(t.Context(), k, record("give way")))
			require.NoError(t, s.Delete(t.Context(), k))
		},
	}
	for name, end := range ends {
		k := state.KeyOf(name)
		require.NoError(t, s.Create(t.Context(), k, record(name)))
		changed := record(name)
		changed.Login.Nickname, changed.Login.Cart, changed.Rotation.RotatedAt = "Queen of Hearts", nil, 1
		require.NoError(t, s.Update(t.Context(), k, 1, changed))
		require.Positive(t, s.Bytes())
		end(k)
		require.Zero(t, s.Bytes(), name)
		require.Zero(t, s.Len(), name)
	}
	require.Zero(t, s.LiveLogins())
}

func endSubject(t *testing.T, s *memory.Store, e state.Ending) {
	t.Helper()
	e.Strategy, e.Until = "session", math.MaxInt64
	n, err := s.EndSubject(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

// How long a sweep takes for a part of the records, at a million of which one in a hundred
// has expired. Run with -benchtime 1x.
func BenchmarkSweepBatch(b *testing.B) {
	var now atomic.Int64
	s := memory.New(store.Options{Now: func() time.Time { return time.UnixMicro(now.Load()) }})
	defer func() { require.NoError(b, s.Close()) }()
	for i := range 1_000_000 {
		r := storetest.Record(state.KindLogin, fmt.Sprint(i), 2)
		if i%100 == 0 {
			r.Expires = 1
		}
		require.NoError(b, s.Create(b.Context(), state.KeyOf(fmt.Sprint(i)), r))
	}
	now.Store(1)
	start := time.Now()
	for b.Loop() {
		s.Sweep()
	}
	b.ReportMetric(time.Since(start).Seconds()*1000/256, "mean-ms") // a shard after the other
}
