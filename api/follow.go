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
	// logins take long to end does not delay the others.
	maxEndings = 32
	// maxConfirmed is how many endings a look confirms: it takes turns. A store that was
	// emptied lacks all of them, and one that is missing has all of them confirmed.
	maxConfirmed = 32
)

// followed are the endings that this process has applied. Servers that take over from
// each other in one process share it.
type followed struct {
	mu      sync.Mutex
	all     bool              // what operators did before the start has been applied, however old
	done    map[string]ending // of each account, the newest that has been applied
	running map[string]bool   // accounts that a worker works on
	waiting []task            // what the workers take next, in this order
	applied []task            // what the last look found applied, to be confirmed if a store was emptied
	turn    int               // where the next look goes on to confirm
	workers int
}

// An ending has been applied to the logins that began by the moment until.
type ending struct {
	at    time.Time // of the operator's change
	until state.Micros
}

// A task is an ending to apply, or, if it was applied, to confirm and to repeat if a store
// has lost it.
type task struct {
	auth.Ending
	applied bool
	until   state.Micros // of one that was applied
}

func newFollowed() *followed {
	return &followed{done: map[string]ending{}, running: map[string]bool{}}
}

// follow ends the logins of accounts that an operator has changed, until ctx ends.
func (s *Server) follow(ctx context.Context) {
	tick := time.NewTicker(s.config.FollowEvery)
	defer tick.Stop()
	for {
		s.endChanged(ctx, s.config.Process.followed)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// endChanged has workers apply what is new, the newest first, and confirm that what was applied is
// still in the stores: one that was emptied would let copies in again that clients hold.
func (s *Server) endChanged(ctx context.Context, f *followed) {
	// Logins that began before the longest lifetime have expired by themselves. Older
	// endings are read until they are applied once: the lifetimes may have been longer.
	now, _ := s.operatorsNow()
	since := now.Add(-max(s.config.SessionMax, s.config.RefreshTTL) - time.Minute)
	f.mu.Lock()
	if !f.all {
		since = time.Time{}
	}
	f.mu.Unlock()
	endings, err := s.accounts.EndingsSince(ctx, since)
	if err != nil {
		return // readiness names the database
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := make(map[string]ending, len(endings))
	f.waiting, f.applied = nil, nil
	for _, e := range endings {
		if done := f.done[e.AccountID]; done.at.Equal(e.At) {
			kept[e.AccountID] = done
			f.applied = append(f.applied, task{Ending: e, applied: true, until: done.until})
		} else {
			f.waiting = append(f.waiting, task{Ending: e})
		}
	}
	f.done = kept
	f.all = f.all || len(f.waiting) == 0
	for range min(maxConfirmed, len(f.applied)) {
		f.turn++
		f.waiting = append(f.waiting, f.applied[f.turn%len(f.applied)])
	}
	s.startWorkers(ctx, f)
}

// startWorkers starts as many workers as there are tasks, up to maxEndings. The caller holds
// the lock.
func (s *Server) startWorkers(ctx context.Context, f *followed) {
	for range min(maxEndings-f.workers, len(f.waiting)) {
		f.workers++
		s.stopped.Go(func() {
			for {
				t, ok := f.take(ctx)
				if !ok {
					return
				}
				s.handle(ctx, f, t)
			}
		})
	}
}

// take returns the next task of a worker, which ends if there is none. An account that
// another worker works on is left out: the next look returns to it.
func (f *followed) take(ctx context.Context) (task, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ctx.Err() == nil && len(f.waiting) > 0 {
		t := f.waiting[0]
		f.waiting = f.waiting[1:]
		if applied := f.done[t.AccountID].at.Equal(t.At); !f.running[t.AccountID] && applied == t.applied {
			f.running[t.AccountID] = true
			return t, true
		}
	}
	f.workers--
	return task{}, false
}

// handle applies an ending, or confirms it.
func (s *Server) handle(ctx context.Context, f *followed, t task) {
	bounded, cancel := context.WithTimeout(ctx, endingTimeout)
	defer cancel()
	event, until := "account_changed", s.untilOf(t.Ending)
	ends := !t.applied
	if t.applied && s.isForgotten(bounded, t.AccountID, t.until) {
		event, ends = "account_change_repeated", true
	}
	var err error
	if ends {
		err = s.endAll(bounded, t.AccountID, "", until)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.running, t.AccountID)
	if !ends {
		return
	}
	if t.applied { // then the others may be missing too
		f.waiting = append(f.waiting, f.applied...)
		f.applied = nil
		s.startWorkers(ctx, f)
	}
	if err == nil {
		f.done[t.AccountID] = ending{at: t.At, until: until}
		s.AuditLine(ctx, event, slog.String("subject", t.AccountID), slog.Time("at", t.At))
	}
}

// untilOf returns the moment by which the logins began that an ending is about.
func (s *Server) untilOf(e auth.Ending) state.Micros {
	// An account that is disabled or removed has no login, whenever it began. Of the
	// others those go on that began later. An operator's clock may be ahead of ours or
	// behind.
	until, ahead := s.operatorsNow()
	if !e.Out && e.At.Before(until) {
		until = e.At
	}
	return state.MicrosOf(until.Add(ahead))
}

// operatorsNow returns the time by which operators work, and how far the time by which
// logins begin is ahead of it: a lesson moves the clock of the server alone.
func (s *Server) operatorsNow() (now time.Time, ahead time.Duration) {
	if e := s.config.Extension; e != nil {
		ahead = e.Ahead()
	}
	return s.config.Now().Add(-ahead), ahead
}

// isForgotten says whether a store does not know any more that logins of clients have
// ended. A store that does not answer says nothing.
func (s *Server) isForgotten(ctx context.Context, subject string, until state.Micros) bool {
	for _, g := range s.groups {
		if r, ok := g.Strategy.(state.EndConfirmer); ok {
			if err := r.ConfirmEnd(ctx, subject, until); errors.Is(err, state.ErrUnknown) {
				return true
			}
		}
	}
	return false
}
