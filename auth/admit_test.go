package auth

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fullGate returns a gate whose permits are all taken by sign-ins, and where
// waiting has no end.
func fullGate(t *testing.T, permits int) *gate {
	t.Helper()
	g := newGate(permits)
	g.patience = time.Hour
	for range permits {
		require.NoError(t, g.enter(t.Context(), signIn))
	}
	return g
}

// wait has one more enter the gate, and returns when it is in the queue. The
// channel tells when it has started.
func wait(ctx context.Context, t *testing.T, g *gate, kind work) (started chan error) {
	t.Helper()
	queued := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.queues[kind])
	}
	before := queued()
	started = make(chan error, 1)
	go func() { started <- g.enter(ctx, kind) }()
	require.Eventually(t, func() bool { return queued() == before+1 }, time.Minute, time.Millisecond)
	return started
}

func TestAPermitIsHeldUntilTheHashEnds(t *testing.T) {
	t.Parallel()
	g := fullGate(t, 2)
	gone, leave := context.WithCancel(t.Context())
	leave()
	require.ErrorIs(t, g.enter(gone, signIn), context.Canceled, "a client that has left holds its permit")
	g.leave(signIn)
	require.NoError(t, g.enter(t.Context(), signIn))
}

func TestWhatAHashLeavesBehindIsSpentBeforeTheNext(t *testing.T) {
	t.Parallel()
	h := NewArgon2id(ProductionParams())
	release, err := h.admit(t.Context(), signIn)
	require.NoError(t, err)
	var hashing []int
	h.Spent = func() {
		running, _ := h.Busy()
		hashing = append(hashing, running)
	}
	release()
	require.Equal(t, []int{1}, hashing, "its permit is not free yet")
	running, _ := h.Busy()
	require.Zero(t, running)
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	g := fullGate(t, 2)
	g.patience = time.Millisecond
	for _, kind := range []work{signIn, register} {
		require.ErrorIs(t, g.enter(t.Context(), kind), ErrOverloaded)
	}
	_, waiting := g.busy()
	require.Zero(t, waiting, "what gave up makes room")
}

func TestAFullQueueAnswersAtOnce(t *testing.T) {
	t.Parallel()
	for _, kind := range []work{signIn, register} {
		g := fullGate(t, 2)
		waiting, leave := context.WithCancel(t.Context())
		var all []chan error
		for range maxQueued {
			all = append(all, wait(waiting, t, g, kind))
		}
		running, queued := g.busy()
		require.Equal(t, []int{2, maxQueued}, []int{running, queued})
		require.ErrorIs(t, g.enter(t.Context(), kind), ErrOverloaded) // would wait for an hour
		wait(waiting, t, g, 1-kind)                                   // the other kind has a queue of its own
		leave()
		for _, started := range all {
			require.ErrorIs(t, <-started, context.Canceled)
		}
	}
}

func TestASignInStartsAtOnceAlthoughRegistrationsWait(t *testing.T) {
	t.Parallel()
	for _, permits := range []int{2, 3, 4, 16} {
		g := newGate(permits)
		g.patience = time.Hour
		waiting, leave := context.WithCancel(t.Context())
		for range permits / 2 {
			require.NoError(t, g.enter(waiting, register))
		}
		for range 5 {
			wait(waiting, t, g, register)
		}
		gone, give := context.WithCancel(t.Context())
		give() // so that a sign-in which had to wait would fail
		for range permits - permits/2 {
			require.NoError(t, g.enter(gone, signIn), "%d permits", permits)
		}
		leave()
	}
}

// With one permit nothing can be reserved: the order alone decides.
func TestSignInsComeFirstAndRegistrationsGetTheirTurn(t *testing.T) {
	t.Parallel()
	g := fullGate(t, 1)
	var signIns, registrations []chan error
	for range 2 * maxInRow {
		registrations = append(registrations, wait(t.Context(), t, g, register))
		signIns = append(signIns, wait(t.Context(), t, g, signIn))
	}
	// A sign-in holds the permit; then come maxInRow of the queue, one
	// registration, and so on.
	last := signIn
	for turn := range 4 * maxInRow {
		g.leave(last)
		next, name := &signIns, "sign-in"
		last = signIn
		if turn%(maxInRow+1) == maxInRow || len(signIns) == 0 {
			next, name, last = &registrations, "registration", register
		}
		select {
		case err := <-(*next)[0]:
			require.NoError(t, err)
		case <-time.After(time.Minute):
			require.Fail(t, "another started", "turn %d should be a %s", turn, name)
		}
		*next = (*next)[1:]
	}
	require.Empty(t, signIns)
	require.Empty(t, registrations)
}

// A permit that comes while its taker gives up is not lost.
func TestNoPermitIsLost(t *testing.T) {
	t.Parallel()
	g := newGate(2)
	g.patience = time.Microsecond
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for range 200 {
				if kind := work(i % 2); g.enter(t.Context(), kind) == nil {
					g.leave(kind)
				}
			}
		})
	}
	wg.Wait()
	running, waiting := g.busy()
	require.Equal(t, []int{0, 0}, []int{running, waiting})
}

func TestOneAddressTakesHalfOfThePlacesAtMost(t *testing.T) {
	t.Parallel()
	s := newShares(BoundSignInsOfAddress)
	fill := func(address string) (n int) {
		for ; n < 100; n++ {
			if _, err := s.take(address); err != nil {
				require.ErrorIs(t, err, ErrOverloaded)
				break
			}
		}
		return n
	}
	require.Equal(t, 32, fill("192.0.2.1"))
	require.Equal(t, 16, fill("2001:db8::1"))
	require.Zero(t, fill("2001:db8::2"), "a client has a whole /64 to itself")
	require.Equal(t, 8, fill("2001:db8:0:1::1"))
	giveBack, err := s.take("192.0.2.2")
	require.NoError(t, err, "another address finds a place")
	giveBack()
}

func TestAnAddressWithoutSignInsTakesNoMemory(t *testing.T) {
	t.Parallel()
	s := newShares(BoundSignInsOfAddress)
	for i := range 1000 {
		giveBack, err := s.take(fmt.Sprint("192.0.2.", i))
		require.NoError(t, err)
		giveBack()
	}
	require.Empty(t, s.holders)
	require.Zero(t, s.held)
}
