package auth_test

import (
	"errors"
	"runtime"
	"sync"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"

	"statelab/auth"
)

// slow is a hash that takes about a tenth of a second, and its memory.
var slow = argon2id.Params{Memory: 19 * 1024, Iterations: 6, Parallelism: 1, SaltLength: 16, KeyLength: 32}

// However many passwords come at once, few are hashed, and the memory stays flat. It runs
// alone, in a process that holds little else: the collector lets as much garbage lie
// about as is alive.
func TestHashesBesideEachOtherAreBounded(t *testing.T) {
	const callers, mib = 200, 1 << 20
	hasher := auth.NewArgon2id(slow)
	runtime.GC()
	var base, now runtime.MemStats
	runtime.ReadMemStats(&base)
	peak, done := uint64(0), make(chan struct{})
	var sampling sync.WaitGroup
	sampling.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapInuse)
				runtime.Gosched()
			}
		}
	})
	var mu sync.Mutex
	answered, overloaded := 0, 0
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			ok, _, err := hasher.Compare(t.Context(), "not the password", "")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && !ok:
				answered++
			case errors.Is(err, auth.ErrOverloaded):
				overloaded++
			}
		})
	}
	wg.Wait()
	close(done)
	sampling.Wait()
	require.Equal(t, callers, answered+overloaded, "every caller gets one of two answers")
	require.Positive(t, answered)
	require.GreaterOrEqual(t, overloaded, callers-64-answered, "the queue has an end")
	limit := base.HeapInuse + uint64(float64(runtime.GOMAXPROCS(0))*19*mib*2.5) + 16*mib
	require.Less(t, peak, limit, "%d MiB for %d processors", peak/mib, runtime.GOMAXPROCS(0))

	ok, _, err := hasher.Compare(t.Context(), "not the password", "") // the flood has left nothing behind
	require.NoError(t, err)
	require.False(t, ok)
}
