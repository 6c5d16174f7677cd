package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"statelab/api/attacker"
	"statelab/state"
	"statelab/state/keys"
)

// A Clock goes as another one does, ahead of it by as much as a lesson has
// moved it.
type Clock struct {
	base  func() time.Time
	ahead atomic.Int64 // nanoseconds
}

// NewClock returns a Clock that is not ahead of base; zero: time.Now.
func NewClock(base func() time.Time) *Clock {
	if base == nil {
		base = time.Now
	}
	return &Clock{base: base}
}

// Now returns the time.
func (c *Clock) Now() time.Time { return c.base().Add(c.offset()) }

// real returns the time without what a lesson has added.
func (c *Clock) real() time.Time { return c.base() }

func (c *Clock) offset() time.Duration { return time.Duration(c.ahead.Load()) }

// Classroom is an http.Handler that serves the contract and, besides, the levers
// that change its server while it runs. Each change builds another server over
// the same stores, and requests under way finish on the one that they began on.
type Classroom struct {
	started  Config // what reset goes back to
	clock    *Clock
	newStore func() state.Store // nil: the store outlives the process

	pulling sync.Mutex        // one lever at a time: it guards what follows
	roles   map[string]string // of accounts whose role a lever has changed, by username: the one before

	copies copies    // of credentials, in the hands of a thief
	forged forgedLog // requests of other origins

	mu      sync.RWMutex // guards what follows, for a moment
	serving *serving
	drained bool
	closing sync.WaitGroup // servers that finish what they have begun
}

// serving is a server with the requests that it has not answered.
type serving struct {
	*Server
	requests sync.WaitGroup
	own      state.Store // that it leaves behind when it goes; nil: none
}

// NewClassroom returns a classroom with the server that config describes. The
// stores go by the same clock, and so will the server. If newStore is given, a
// restart loses the store, and it makes the next one.
func NewClassroom(config Config, clock *Clock, newStore func() state.Store) (*Classroom, error) {
	c := &Classroom{clock: clock, newStore: newStore, roles: map[string]string{}}
	config.Classroom, config.Now, config.classroom, config.Process = true, clock.Now, c, new(state.Process)
	s, err := New(config)
	if err != nil {
		return nil, err
	}
	c.started, c.serving = s.config, &serving{Server: s}
	return c, nil
}

// enter returns the server in force, which lives until the request is done.
func (c *Classroom) enter() *serving {
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.serving.requests.Add(1)
	return c.serving
}

// server returns the server in force.
func (c *Classroom) server() *Server {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.serving.Server
}

// ServeHTTP implements http.Handler.
func (c *Classroom) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := c.enter()
	defer s.requests.Done()
	s.ServeHTTP(w, r)
}

// replace puts a server with another config in the place of the one in force.
// The caller holds pulling.
func (c *Classroom) replace(config Config) error {
	s, err := New(config)
	if err != nil {
		return err
	}
	next := &serving{Server: s}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.serving
	s.demo.Store(old.demo.Load())
	s.draining.Store(c.drained)
	if config.Store == old.config.Store {
		next.own, old.own = old.own, nil
	} else {
		next.own = config.Store
	}
	c.serving = next
	if config.Keys != old.config.Keys {
		s.auditLine(context.Background(), "key_change", slog.Any("keys", config.Keys.All()))
	}
	c.closing.Go(func() {
		old.requests.Wait()
		_ = old.close()
	})
	return nil
}

// close closes the server and the store that is its own.
func (s *serving) close() error {
	err := s.Close()
	if s.own != nil {
		_ = s.own.Close()
	}
	return err
}

// emptied is the config of a new process, with a new store if each has its own.
func (c *Classroom) emptied(config Config) Config {
	config.Process, config.guests = new(state.Process), nil
	if c.newStore != nil {
		config.Store = c.newStore()
	}
	return config
}

// newKeys returns a ring of new keys, and with it the previous ones if those
// still verify. It is a ring of its own: the key file knows nothing of lessons,
// and what the file does to the ring that follows it is not undone by one.
func (c *Classroom) newKeys(config Config, previous ...*keys.Key) (*keys.Ring, error) {
	ring, err := keys.Generate(config.Rand, c.clock.Now())
	if err == nil {
		ring.Replace(append(ring.All(), previous...)...)
	}
	return ring, err
}

// Routes returns every route that the classroom answers.
func (c *Classroom) Routes() []Route { return c.server().Routes() }

// Victim is Server.Victim.
func (c *Classroom) Victim(origin string) attacker.Victim { return c.server().Victim(origin) }

// Metrics answers with what the server in force has counted.
func (c *Classroom) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := c.enter()
		defer s.requests.Done()
		s.Metrics().ServeHTTP(w, r)
	})
}

// Drain makes /readyz answer 503 from now on, whatever lever is pulled.
func (c *Classroom) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drained = true
	c.serving.Drain()
}

// AddDemoAccounts is Server.AddDemoAccounts.
func (c *Classroom) AddDemoAccounts(ctx context.Context) error {
	return c.server().AddDemoAccounts(ctx)
}

// FindDemoAccount is Server.FindDemoAccount.
func (c *Classroom) FindDemoAccount(ctx context.Context) (string, error) {
	return c.server().FindDemoAccount(ctx)
}

// Close frees what the classroom itself holds, after its last request. The store
// that it was started with belongs to whoever made it.
func (c *Classroom) Close() error {
	c.closing.Wait()
	return c.serving.close()
}
