package api

import (
	"io"
	"sync/atomic"

	"statelab/state"
)

// A Process is what a server keeps in the memory of its process, and hands on to the
// server that takes over from it there. The zero value has nothing yet.
type Process struct {
	salt       [16]byte // of the fingerprints in the audit trail
	strategies *state.Process
	followed   *followed
	hints      *hints
	demo       *atomic.Bool // the demo accounts are still to be made
}

// complete fills in what p has not yet.
func (p *Process) complete(random io.Reader) error {
	if p.demo == nil {
		p.demo = new(atomic.Bool)
	}
	if p.strategies == nil {
		p.strategies = new(state.Process)
	}
	if p.hints == nil {
		p.hints = &hints{origin: map[string]bool{}}
	}
	if p.followed != nil {
		return nil
	}
	p.followed = newFollowed()
	_, err := io.ReadFull(random, p.salt[:])
	return err
}

// Restarted returns what a restart of the program leaves: which demo accounts are
// missing, and which origins the log has named.
func (p Process) Restarted() Process { return Process{demo: p.demo, hints: p.hints} }

// Emptied returns p without what the strategies keep.
func (p Process) Emptied() Process {
	p.strategies = nil
	return p
}
