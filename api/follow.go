package api

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"statelab/auth"
	"statelab/state"
)

// Operators change accounts in the database, from the command line and on any
// node. A server asks the database once a period, so that a change counts within
// five seconds and needs no channel of its own.
const (
	// DefaultFollowEvery is that period.
	DefaultFollowEvery = 2 * time.Second
	// endingTimeout bounds one attempt to apply an ending. The next look tries again.
	endingTimeout = 10 * time.Second
	// maxEndings is how many endings are applied at once, so that an account whose
	// logins take long to end does not hold up the others.
	maxEndings = 32
	// maxConfirmed is how many endings a look finds again in the stores: it takes turns.
	maxConfirmed = 100
)

// followed are the endings that this process has applied. Servers that take over from
// each other in one process share it.
type followed struct {
	mu      sync.Mutex
	all     bool              // the first look has read what operators did before the start
	done    map[string]ending // of each account, the newest that has been applied
	running map[string]bool   // accounts whose ending is being applied
	turn    int               // where the next look goes on to confirm
}

// An ending has been applied to the logins that began by the moment until.
type ending struct {
	at    time.Time // of the operator's change
	until state.Micros
}

func newFollowed() *followed {
	return &followed{done: map[string]ending{}, running: map[string]bool{}}
}

// follow ends the logins of accounts that an operator has changed, until ctx ends.
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

// look starts what has to end by now, and confirms that what has ended is still
// written down: a store that was emptied would let copies in again that clients hold.
func (s *Server) look(ctx context.Context, f *followed) {
	// Logins that began before the longest lifetime have expired by themselves. The first
	// look reads older endings too: the lifetimes may have been longer.
	since := s.config.Now().Add(-max(s.config.Lifetimes.SessionMax, s.config.Lifetimes.RefreshTTL) - time.Minute)
	f.mu.Lock()
	if !f.all {
		since = time.Time{}
	}
	f.mu.Unlock()
	endings, err := s.accounts.EndingsSince(ctx, since)
	if err != nil {
		return // readiness tells of the database
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = true
	applied := endings[:0:0]
	kept := make(map[string]ending, len(endings))
	for _, e := range endings {
		if done := f.done[e.AccountID]; done.at.Equal(e.At) {
			kept[e.AccountID] = done
			applied = append(applied, e)
		} else {
			s.begin(ctx, f, e, "account_changed")
		}
	}
	f.done = kept
	for range min(maxConfirmed, len(applied)) {
		f.turn++
		if e := applied[f.turn%len(applied)]; s.isForgotten(ctx, e.AccountID, kept[e.AccountID].until) {
			s.begin(ctx, f, e, "account_change_repeated")
		}
	}
}

// begin applies an ending beside the others. If too many are on their way, or this one
// is, a later look does. The caller holds the lock.
func (s *Server) begin(ctx context.Context, f *followed, e auth.Ending, event string) {
	if f.running[e.AccountID] || len(f.running) >= maxEndings {
		return
	}
	f.running[e.AccountID] = true
	s.stopped.Go(func() {
		bounded, cancel := context.WithTimeout(ctx, endingTimeout)
		defer cancel()
		until := s.untilOf(e)
		err := s.endAll(bounded, e.AccountID, "", until)
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.running, e.AccountID)
		if err == nil {
			f.done[e.AccountID] = ending{at: e.At, until: until}
			s.auditLine(ctx, event, slog.String("subject", e.AccountID), slog.Time("at", e.At))
		}
	})
}

// untilOf returns the moment by which the logins began that an ending is about.
func (s *Server) untilOf(e auth.Ending) state.Micros {
	// An account that is disabled or removed has no login, whenever it began. Of the
	// others those go on that began later. An operator's clock may be ahead of ours or
	// behind.
	until := s.config.Now()
	if !e.Out && e.At.Before(until) {
		until = e.At
	}
	return state.MicrosOf(until)
}

// isForgotten says whether a store does not know any more that logins of clients have
// ended. A store that does not answer says nothing.
func (s *Server) isForgotten(ctx context.Context, subject string, until state.Micros) bool {
	for _, col := range s.columns {
		if r, ok := col.strategy.(state.EndConfirmer); ok {
			if err := r.ConfirmEnd(ctx, subject, until); errors.Is(err, state.ErrUnknown) {
				return true
			}
		}
	}
	return false
}
