package harness

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"statelab/auth"
	"statelab/state"
)

// Strategies are the columns that every matrix runs over.
var Strategies = state.Slugs()

// A promise is what holds for a strategy, whatever the server is told.
type promise struct {
	state.Traits
	state.Mount
	Carriage func(*http.Request) state.Carriage
	Cookie   string // its name without TLS, or what it would be
	Page     bool   // it has one of its own
}

// Promises are those of all strategies, by slug.
var Promises = sync.OnceValue(func() map[string]promise {
	all := map[string]promise{}
	for _, d := range state.Definitions() {
		s, err := state.New(state.Config{Slug: d.Slug, Store: FaultyStore{}, Rand: rand.NewChaCha8([32]byte{})}) // it draws nothing
		if err != nil {
			panic(err)
		}
		_, page := s.(state.Paged)
		p := promise{Traits: s.Traits(), Mount: d.Mount, Carriage: s.Carriage, Cookie: "statelab_" + d.Slug, Page: page}
		if p.Transport == state.TransportCookie {
			p.Cookie = s.Carriage(new(http.Request)).Name
		}
		all[d.Slug] = p
	}
	return all
})

// Shared are the strategies that several nodes can serve, and one node after
// another: those whose state is not in the memory of one process.
var Shared = slices.DeleteFunc(slices.Clone(Strategies), func(slug string) bool { return Promises()[slug].KeptIn == state.PlaceProcess })

// Instant are those of them of which each node knows at once what another did.
var Instant = slices.DeleteFunc(slices.Clone(Shared), func(slug string) bool { return Promises()[slug].StaleSeconds > 0 })

// Forgets lets the time pass after which a strategy looks up again what it has
// remembered, if it has.
func (s *Server) Forgets(t testing.TB, slug string) {
	t.Helper()
	s.Clock.Advance(time.Duration(s.Traits(t, slug).StaleSeconds) * time.Second)
}

// ForgetsFailures lets the time pass in which failed sign-ins count: a server that lives
// through all strategies would throttle the last of them.
func (s *Server) ForgetsFailures() { s.Clock.Advance(auth.ThrottleWindow) }

// Asks says whether a store is asked about each request, once what is remembered is
// too old.
func Asks(traits state.Traits) bool {
	return traits.NeedsSharedStore && traits.KeptIn != state.PlaceProcess
}

// Outlives says whether a login lives on in the next process, if that one has the
// same database and the same keys, and a store in memory.
func Outlives(traits state.Traits) bool {
	return traits.SurvivesRestart != state.SurvivesWithStore && traits.SurvivesRestart != string(state.PlaceProcess)
}

// CookieName is the name of a strategy's cookie without TLS.
func CookieName(slug string) string { return Promises()[slug].Cookie }

// The demo accounts, and their passwords.
const (
	Alice           = "alice"
	AlicePassword   = "wonderland"
	Bob             = "bob"
	BobPassword     = "cheshire-cat"
	Teacher         = "teacher"
	TeacherPassword = "queen-of-hearts"
)

// Each runs a test once for every strategy.
func Each(t *testing.T, f func(t *testing.T, slug string)) {
	for _, slug := range Strategies {
		t.Run(slug, func(t *testing.T) { f(t, slug) })
	}
}

// Object is a JSON object in a request.
type Object map[string]any
