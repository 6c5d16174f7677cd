package auth

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// work is a kind of hashing. Each kind waits in a queue of its own, so that a
// flood of one kind does not refuse the other.
type work int

const (
	signIn   work = iota // a password is compared
	register             // a new password is hashed: a registration or a password change
	works                // how many kinds there are
)

// maxInRow is how many sign-ins start in a row while a registration could start
// instead. Sign-ins come first, and the next permit after that many goes to the
// registration: a flood of sign-ins does not refuse registrations either.
const maxInRow = 3

// A gate bounds how much work runs at once, and how much waits for it. Hashing
// takes 19 MiB a password, so the bound keeps memory flat in a flood. It is safe
// for concurrent use.
type gate struct {
	permits  int           // how much work runs at once
	limits   [works]int    // how many of the permits each kind may hold
	places   int           // in the queue of each kind
	patience time.Duration // how long one waits

	mu      sync.Mutex // guards what follows
	running [works]int
	queues  [works][]chan struct{} // the oldest first; closed when its work may start
	inRow   int                    // sign-ins started in a row while a registration could have
}

// newGate returns a gate with this many permits. Registrations hold at most half
// of them, and at least one, so that a sign-in starts at once although any number
// of registrations wait.
func newGate(permits int) *gate {
	return &gate{
		permits: permits, limits: [works]int{signIn: permits, register: max(permits/2, 1)},
		places: maxQueued, patience: maxPatience,
	}
}

// enter waits for a permit, the oldest work of a kind first. The permit is held
// until leave is called. Errors: ErrOverloaded if the queue of this kind is full,
// or if patience or ctx's deadline ends; context.Canceled.
func (g *gate) enter(ctx context.Context, kind work) error {
	g.mu.Lock()
	if g.canStart(kind) { // then no work of this kind waits: leave would have started it
		g.running[kind]++
		g.mu.Unlock()
		return nil
	}
	if len(g.queues[kind]) >= g.places {
		g.mu.Unlock()
		return ErrOverloaded
	}
	started := make(chan struct{})
	g.queues[kind] = append(g.queues[kind], started)
	g.mu.Unlock()

	patience := time.NewTimer(g.patience)
	defer patience.Stop()
	err := ErrOverloaded
	select {
	case <-started:
		return nil
	case <-patience.C:
	case <-ctx.Done():
		if err = ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
			err = ErrOverloaded // the request has no time any more, and spent it here
		}
	}
	if !g.giveUp(kind, started) { // the permit came at the same moment
		g.leave(kind)
	}
	return err
}

// giveUp takes work out of its queue. It reports whether the work was in it.
func (g *gate) giveUp(kind work, started chan struct{}) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.queues[kind], started)
	if i < 0 {
		return false
	}
	g.queues[kind] = slices.Delete(g.queues[kind], i, i+1)
	return true
}

// leave gives a permit back, and starts what waits for it.
func (g *gate) leave(kind work) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running[kind]--
	for {
		next, ok := g.next()
		if !ok {
			return
		}
		close(g.queues[next][0])
		g.queues[next] = slices.Delete(g.queues[next], 0, 1)
		g.running[next]++
	}
}

// next returns the kind of work that starts next, if any can.
func (g *gate) next() (kind work, ok bool) {
	ready := func(kind work) bool { return len(g.queues[kind]) > 0 && g.canStart(kind) }
	toSignIn, toRegister := ready(signIn), ready(register)
	switch {
	case toRegister && (!toSignIn || g.inRow >= maxInRow):
		g.inRow = 0
		return register, true
	case toSignIn && toRegister:
		g.inRow++
	}
	return signIn, toSignIn
}

// canStart reports whether a permit is free for this kind of work.
func (g *gate) canStart(kind work) bool {
	return g.running[signIn]+g.running[register] < g.permits && g.running[kind] < g.limits[kind]
}

// busy returns how much work runs, and how much waits.
func (g *gate) busy() (running, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running[signIn] + g.running[register], len(g.queues[signIn]) + len(g.queues[register])
}
