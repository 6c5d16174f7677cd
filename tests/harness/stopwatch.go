package harness

import (
	"sync"
	"time"
)

// pulse is how often the process looks whether it is being kept waiting.
const pulse = 10 * time.Millisecond

var held struct {
	mu    sync.Mutex
	timer *time.Timer   // nil until the first question
	last  time.Time     // when the process was last woken
	late  time.Duration // how much later than asked for, over all ticks
}

// heldUp returns for how long the process has been kept waiting since it began to look:
// a timer fires later than it was asked to by as much as a goroutine that serves a
// request waits for its turn.
func heldUp(now time.Time) time.Duration {
	held.mu.Lock()
	defer held.mu.Unlock()
	if held.timer == nil {
		held.last, held.timer = now, time.AfterFunc(pulse, wake)
	}
	return held.late + max(0, now.Sub(held.last)-pulse)
}

func wake() {
	held.mu.Lock()
	defer held.mu.Unlock()
	now := time.Now()
	held.late += max(0, now.Sub(held.last)-pulse)
	held.last = now
	held.timer.Reset(pulse)
}

// A Stopwatch measures how long something takes, less what the machine keeps this process
// waiting for: other processes on the same cores, a disk, a paused virtual machine. Tests
// that a server answers in time hold on a busy machine with it, and their limits stay what
// the documentation says.
type Stopwatch struct {
	start time.Time
	held  time.Duration
}

// StartWatch returns a stopwatch that runs.
func StartWatch() Stopwatch {
	now := time.Now()
	return Stopwatch{now, heldUp(now)}
}

// Took returns the time since StartWatch in which this process had its turn: at most what a
// clock shows, and the same on a machine that does nothing else.
func (w Stopwatch) Took() time.Duration {
	now := time.Now()
	return now.Sub(w.start) - max(0, heldUp(now)-w.held)
}
