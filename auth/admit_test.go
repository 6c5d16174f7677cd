package auth

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// busy returns a hasher all of whose permits are taken, as by clients that have
// left while their hashes go on.
func busy(t *testing.T) (h *Argon2id, release func()) {
	t.Helper()
	h = NewArgon2id(ProductionParams())
	leaving, leave := context.WithCancel(t.Context())
	for range cap(h.permits) {
		r, err := h.admit(leaving)
		require.NoError(t, err)
		release = r
	}
	leave()
	return h, release
}

func TestAPermitIsHeldUntilTheHashEnds(t *testing.T) {
	t.Parallel()
	h, release := busy(t)
	gone, leave := context.WithCancel(t.Context())
	leave()
	_, err := h.admit(gone)
	require.ErrorIs(t, err, context.Canceled, "those who have left hold their permits")
	release()
	again, err := h.admit(t.Context())
	require.NoError(t, err)
	again()
}

func TestWhatAHashLeavesBehindIsSpentBeforeTheNext(t *testing.T) {
	t.Parallel()
	h, release := busy(t)
	var hashing []int
	h.Spent = func() { hashing = append(hashing, len(h.permits)) }
	release()
	require.Equal(t, []int{cap(h.permits)}, hashing, "its permit is not free yet")
	require.Len(t, h.permits, cap(h.permits)-1)
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	h, _ := busy(t)
	h.patience = time.Millisecond
	_, err := h.admit(t.Context())
	require.ErrorIs(t, err, ErrOverloaded)
	require.Empty(t, h.queue, "whoever gave up makes room")
}

func TestAFullQueueAnswersAtOnce(t *testing.T) {
	t.Parallel()
	h, _ := busy(t)
	h.patience = time.Hour
	waiting, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range cap(h.queue) {
		wg.Go(func() {
			_, err := h.admit(waiting)
			require.ErrorIs(t, err, context.Canceled)
		})
	}
	require.Eventually(t, func() bool { return len(h.queue) == cap(h.queue) }, time.Minute, time.Millisecond)
	hashing, queued := h.Busy()
	require.Equal(t, []int{cap(h.permits), cap(h.queue)}, []int{hashing, queued})
	_, err := h.admit(t.Context()) // would wait for an hour
	require.ErrorIs(t, err, ErrOverloaded)
	leave()
	wg.Wait()
}
