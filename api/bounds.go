package api

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"statelab/auth"
	"statelab/state"
)

// The bounds that are not of package auth.
const (
	boundLogins     auth.Bound = "logins"     // live logins of an account: the oldest has ended
	boundState      auth.Bound = "state"      // bytes of a state that the server stores
	boundCredential auth.Bound = "credential" // bytes of a credential that the client stores
	boundMemory     auth.Bound = "memory"     // records and bytes in the store memory
	boundConflicts  auth.Bound = "conflicts"  // tries of a change of one login
)

// refusingFor is how long /readyz names a bound after it has refused a request. It is
// longer than a load balancer waits between two questions.
const refusingFor = 10 * time.Second

// serverWide are the bounds that refuse every client and not one account or one
// address: only they say something of the server as a whole.
var serverWide = []auth.Bound{boundMemory, auth.BoundSignInQueue, auth.BoundRegistrationQueue}

// refusalCounter counts what the bounds refuse, and remembers when those of the server as a
// whole last did.
type refusalCounter struct {
	now      func() time.Time
	counters map[auth.Bound]prometheus.Counter
	last     map[auth.Bound]*atomic.Int64 // of those in serverWide, in microseconds since 1970
}

func newRefusalCounter(now func() time.Time) (*refusalCounter, prometheus.Collector) {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "statelab_refusals_total",
		Help: "Requests that a bound has refused, by bound; for the bound logins, logins that have ended for a newer one.",
	}, []string{"bound"})
	r := &refusalCounter{now: now, counters: map[auth.Bound]prometheus.Counter{}, last: map[auth.Bound]*atomic.Int64{}}
	for _, b := range []auth.Bound{
		boundLogins, boundState, boundCredential, boundMemory, boundConflicts,
		auth.BoundAccount, auth.BoundAddress, auth.BoundRegistrations, auth.BoundPasswordChanges,
		auth.BoundSignInsOfAddress, auth.BoundHashesOfAddress, auth.BoundSignInQueue, auth.BoundRegistrationQueue,
	} {
		r.counters[b] = vec.WithLabelValues(string(b)) // a first one must not look like none before it
	}
	for _, b := range serverWide {
		r.last[b] = new(atomic.Int64)
	}
	return r, vec
}

// add counts a refusal by a bound of the list above.
func (r *refusalCounter) add(b auth.Bound) {
	r.counters[b].Inc()
	if last, ok := r.last[b]; ok {
		last.Store(r.now().UnixMicro())
	}
}

// lately returns the bounds of the server as a whole that have refused a request
// within refusingFor.
func (r *refusalCounter) lately() []auth.Bound {
	return slices.DeleteFunc(slices.Clone(serverWide), func(b auth.Bound) bool {
		return r.now().Sub(time.UnixMicro(r.last[b].Load())) >= refusingFor
	})
}

// boundOf returns the bound that an error comes from, or false.
func boundOf(err error) (auth.Bound, bool) {
	var (
		throttled  *auth.ThrottledError
		overloaded *auth.OverloadedError
		tooLarge   *state.TooLargeError
		unstored   *state.UnstorableError
	)
	switch {
	case errors.As(err, &throttled):
		return throttled.Bound, true
	case errors.As(err, &overloaded):
		return overloaded.Bound, true
	case errors.As(err, &tooLarge):
		return boundCredential, true
	case errors.As(err, &unstored):
		return boundState, true
	case errors.Is(err, state.ErrFull):
		return boundMemory, true
	case errors.Is(err, state.ErrConflict):
		return boundConflicts, true
	}
	return "", false
}
