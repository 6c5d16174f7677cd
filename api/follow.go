package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"statelab/state"
)

// Operators change accounts in the database, from the command line and on any
// node. A server asks the database once a period, so that a change counts within
// five seconds and needs no channel of its own.
const (
	// DefaultFollowEvery is that period.
	DefaultFollowEvery = 2 * time.Second
	// followOverlap is how long a change may take from its date to its commit.
	followOverlap = time.Minute
)

// followed is what of that has been done. Servers that take over from each other
// in one process share it.
type followed struct {
	mu    sync.Mutex
	since time.Time            // what is older has been done
	done  map[string]time.Time // of each account, the newest that has been done
}

// follow has the logins end whose accounts an operator has changed, until ctx
// ends. What a store does not let it do, it tries again.
func (s *Server) follow(ctx context.Context) {
	tick := time.NewTicker(s.config.FollowEvery)
	defer tick.Stop()
	for {
		s.look(ctx, s.config.followed)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look ends what has to end by now.
func (s *Server) look(ctx context.Context, f *followed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	endings, err := s.accounts.EndingsSince(ctx, f.since)
	if err != nil {
		return // readiness tells of the database
	}
	for _, e := range endings {
		if f.done[e.AccountID].Equal(e.At) {
			continue
		}
		// Who is out has no login, whenever it began; of the others those go on
		// that began later. An operator's clock may be ahead of ours or behind.
		until := s.config.Now()
		if !e.Out && e.At.Before(until) {
			until = e.At
		}
		if err := s.endAll(ctx, e.AccountID, "", state.MicrosOf(until)); err != nil {
			return
		}
		s.auditLine(ctx, "account_changed", slog.String("subject", e.AccountID), slog.Time("at", e.At))
		f.done[e.AccountID] = e.At
		f.since = e.At.Add(-followOverlap)
	}
	for id, at := range f.done {
		if at.Before(f.since) {
			delete(f.done, id)
		}
	}
}
