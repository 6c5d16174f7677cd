package memory_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
)

// login returns the record of a login as the session strategy makes it, with texts of its
// own, as a database has returned them. Each account has so many of them.
func login(k state.Key, i, perAccount int, now state.Micros) state.Record {
	account := i / perAccount
	l := state.NewLogin(fmt.Sprintf("%026d", account), fmt.Sprintf("user-%d", account), fmt.Sprintf("User %d", account), strings.Clone(`member`))
	l.ID, l.IssuedAt, l.ExpiresAt = k.String(), now, now.Add(8*time.Hour)
	r := state.Record{Kind: state.KindLogin, Strategy: "session", Login: l, LastSeen: now, Expires: now.Add(time.Hour)}
	copy(r.Rotation.Current[:], k[:])
	copy(r.Rotation.Salt[:], k[:])
	return r
}

// heap returns how many bytes are in use after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what the first one has swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// fill makes n logins and returns how many bytes each takes.
func fill(t testing.TB, s *memory.Store, n, perAccount int, now state.Micros) float64 {
	t.Helper()
	before := heap()
	for i := range n {
		k := state.KeyOf(fmt.Sprint(i))
		require.NoError(t, s.Create(t.Context(), k, login(k, i, perAccount, now)))
	}
	return float64(int64(heap())-int64(before)) / float64(n)
}

// This test measures the memory of the process, so no other one runs beside it.
func TestALoginTakesAtMost450Bytes(t *testing.T) { //nolint:paralleltest // as above
	for _, perAccount := range []int{1, 10} {
		s := memory.New(store.Options{})
		each := fill(t, s, 100_000, perAccount, state.MicrosOf(time.Now()))
		require.Less(t, each, 450.0, "%d logins of each account", perAccount)
		require.Greater(t, each, 200.0, "they are there")
		require.InDelta(t, each, float64(s.Bytes())/100_000, 0.2*each, "what counts for the cap")
		require.NoError(t, s.Close())
	}
}

// BenchmarkMillion has the bytes of a login at a million of them, how long reads take
// beside those from a plain map, and what a sweep of all of them frees. Run with
// -benchtime 1x.
func BenchmarkMillion(b *testing.B) {
	for _, perAccount := range []int{1, 10} {
		b.Run(fmt.Sprintf("%d-per-account", perAccount), func(b *testing.B) {
			for b.Loop() {
				million(b, perAccount)
			}
		})
	}
}

func million(b *testing.B, perAccount int) {
	b.Helper()
	const few, many = 1000, 1_000_000
	var clock atomic.Int64
	clock.Store(time.Now().UnixNano())
	now := func() time.Time { return time.Unix(0, clock.Load()) }
	open := func(n int) (*memory.Store, float64) {
		s := memory.New(store.Options{Now: now})
		b.Cleanup(func() { require.NoError(b, s.Close()) })
		return s, fill(b, s, n, perAccount, state.MicrosOf(now()))
	}
	reads := func(s *memory.Store, n int) float64 {
		return p99(n, func(k state.Key) {
			_, err := s.Load(b.Context(), k)
			require.NoError(b, err)
		})
	}
	plain := func(n int) float64 {
		m := map[state.Key]*state.Record{}
		for i := range n {
			m[state.KeyOf(fmt.Sprint(i))] = new(state.Record)
		}
		return p99(n, func(k state.Key) { runtime.KeepAlive(m[k]) })
	}
	small, _ := open(few)
	large, each := open(many)
	b.ReportMetric(each, "B/login")
	atFew, atMany := reads(small, few), reads(large, many)
	b.ReportMetric(atMany, "p99-ns")
	b.ReportMetric((atMany/atFew)/(plain(many)/plain(few)), "p99-growth/map")

	before := heap()
	clock.Add(int64(2 * time.Hour))
	swept := make(chan struct{})
	go func() { large.Sweep(); close(swept) }()
	begun, longest := time.Now(), time.Duration(0)
	for i := 0; ; i++ {
		asked := time.Now()
		_, err := large.Load(b.Context(), state.KeyOf(fmt.Sprint(i%many)))
		longest = max(longest, time.Since(asked))
		require.ErrorIs(b, err, state.ErrNotFound)
		select {
		case <-swept:
			b.ReportMetric(time.Since(begun).Seconds()*1000, "sweep-ms")
			b.ReportMetric(longest.Seconds()*1000, "longest-read-ms")
			require.Zero(b, large.Len())
			b.ReportMetric(float64(int64(before)-int64(heap()))/many, "B-freed/login")
			return
		default:
		}
	}
}

// p99 returns the 99th percentile of the nanoseconds of a read.
func p99(n int, read func(state.Key)) float64 {
	draw := rand.New(rand.NewPCG(1, 2)) // #nosec G404 -- the same keys in each run
	took := make([]float64, 200_000)
	for i := range took {
		k := state.KeyOf(fmt.Sprint(draw.IntN(n)))
		begun := time.Now()
		read(k)
		took[i] = float64(time.Since(begun).Nanoseconds())
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}
