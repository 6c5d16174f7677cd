package harness_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// What a server waits for is its own time, however busy the machine is.
func TestAWaitIsMeasuredWhole(t *testing.T) {
	w := harness.StartWatch()
	<-time.After(300 * time.Millisecond)
	require.GreaterOrEqual(t, w.Took(), 100*time.Millisecond)
}

// While all that the machine has is taken, the watch shows less than a clock.
func TestWhatOthersTakeIsNotCounted(t *testing.T) {
	w, start := harness.StartWatch(), time.Now()
	var all sync.WaitGroup
	for range 16 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for time.Since(start) < 500*time.Millisecond {
				runtime.KeepAlive(w)
			}
		})
	}
	all.Wait()
	clock := time.Since(start)
	require.Less(t, w.Took(), clock-clock/10)
}
