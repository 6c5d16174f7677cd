package api

import (
	"context"
	"log/slog"
	"time"

	"statelab/state"
)

// Operators change accounts in the database, from the command line and on any
// node. A server looks there every followEvery, so that it reaches everybody
// within five seconds and needs no channel of its own.
const (
	followEvery = 2 * time.Second
	// followOverlap is how long a change may take from its date to its commit.
	followOverlap = time.Minute
)

// A follower has the logins end whose accounts an operator has changed.
type follower struct {
	*Server
	since time.Time            // what is older has been done
	done  map[string]time.Time // of each account, the newest that has been done
}

// follow looks until ctx ends. What a store does not let it do, it tries again.
func (f *follower) follow(ctx context.Context) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		f.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look ends what has to end by now.
func (f *follower) look(ctx context.Context) {
	endings, err := f.accounts.EndingsSince(ctx, f.since)
	if err != nil {
		return // readiness tells of the database
	}
	for _, e := range endings {
		if f.done[e.AccountID].Equal(e.At) {
			continue
		}
		// Who is out has no login, whenever it began; of the others those go on
		// that began later. An operator's clock may be ahead of ours or behind.
		until := f.config.Now()
		if !e.Out && e.At.Before(until) {
			until = e.At
		}
		if err := f.endAll(ctx, e.AccountID, "", state.MicrosOf(until)); err != nil {
			return
		}
		f.auditLine(ctx, "account_changed", slog.String("subject", e.AccountID), slog.Time("at", e.At))
		f.done[e.AccountID] = e.At
		f.since = e.At.Add(-followOverlap)
	}
	for id, at := range f.done {
		if at.Before(f.since) {
			delete(f.done, id)
		}
	}
}
