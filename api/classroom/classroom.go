// Package classroom is what only learners on one machine may have: a clock to move, keys
// to rotate, settings to change while the server runs, a thief, a guestbook and a reset.
// It adds its routes to a server of package api, which does not know it.
package classroom

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/api"
	"statelab/api/attacker"
	"statelab/api/lab"
	"statelab/api/rest"
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

func (c *Clock) offset() time.Duration { return time.Duration(c.ahead.Load()) }

// Config is what a classroom is made of besides its server.
type Config struct {
	Clock      *Clock             // of the server, and of the stores
	Attacker   *attacker.Attacker // the other origin of the lessons; nil: none
	Laboratory *lab.Laboratory    // runs the experiments, on servers of its own
	NewStore   func() state.Store // makes the store that a restart begins with; nil: the store outlives the process
}

// Classroom is an http.Handler that serves the contract and, besides, the levers
// that change its server while it runs. Each change builds another server over
// the same stores, and requests under way finish on the one that they began on.
type Classroom struct {
	Config
	started api.Config // what reset goes back to

	pulling sync.Mutex        // one lever at a time: it guards what follows
	roles   map[string]string // of accounts whose role a lever has changed, by username: the one before

	copies recent[*copied]       // credentials in the hands of a thief
	forged recent[ForgedRequest] // requests of other origins
	guests guestbook
	runner *lab.Runner

	mu      sync.RWMutex // guards what follows, for a moment
	serving *serving
	drained bool
	closing sync.WaitGroup // servers that finish what they have begun
}

// serving is a server with the requests that it has not answered.
type serving struct {
	*api.Server
	requests sync.WaitGroup
	own      state.Store // that it leaves behind when it goes; nil: none
}

// New returns a classroom around the server that a config describes. The server goes by
// the clock of the classroom.
func New(server api.Config, config Config) (*Classroom, error) {
	room := &Classroom{
		Config: config, roles: map[string]string{},
		copies: recent[*copied]{limit: maxCopies}, forged: recent[ForgedRequest]{limit: maxForged},
		runner: lab.NewRunner(config.Laboratory),
	}
	server.Classroom, server.Now, server.Extension = true, config.Clock.Now, room
	s, err := api.New(server)
	if err != nil {
		return nil, err
	}
	room.started, room.serving = s.Config(), &serving{Server: s}
	return room, nil
}

var _ api.Extension = (*Classroom)(nil)

// Ahead implements api.Extension: operators do not work by the clock of the lessons.
func (room *Classroom) Ahead() time.Duration { return room.Clock.offset() }

// AddRoutes implements api.Extension.
func (room *Classroom) AddRoutes(s *api.Server, pages, r gin.IRoutes) {
	r.POST("/classroom/clock", s.JSON(lever(room, rest.Decode, room.advance)))
	r.POST("/classroom/restart", s.JSON(lever(room, rest.DecodeOptional, room.restart)))
	r.POST("/classroom/keys/rotate", s.JSON(lever(room, rest.DecodeOptional, room.rotate)))
	r.PUT("/classroom/accounts/:username/role", s.JSON(lever(room, rest.Decode, room.role)))
	api.Read(r, "/classroom/store/:strategy", s.JSON(room.held))
	r.DELETE("/classroom/store/:strategy/:id", s.JSON(room.drop))
	api.Read(r, "/classroom/settings", s.JSON(room.settings))
	r.PUT("/classroom/settings", s.JSON(room.set))
	api.Read(r, "/classroom/copies", s.JSON(room.shown))
	r.POST("/classroom/copies/:id/send", s.JSON(room.send))
	api.Read(r, "/classroom/forged", s.JSON(room.forgeries))
	api.Read(r, "/classroom/inbox", s.JSON(room.inbox))
	r.DELETE("/classroom/inbox", s.JSON(room.emptyInbox))
	r.POST("/classroom/reset", s.JSON(room.reset))
	api.Read(r, "/classroom/experiments", s.JSON(room.experiments))
	api.Read(r, "/classroom/experiments/:id", s.JSON(room.experiment))
	r.POST("/classroom/experiments/run", s.JSON(room.runExperiments))
	api.Read(r, "/classroom/experiments/run", s.JSON(room.progress))
	r.POST("/classroom/experiments/:id/run", s.JSON(room.runExperiment))
	api.Read(pages, "/classroom/compare", room.compare(s))
}

// AddRoutesOf implements api.Extension.
func (room *Classroom) AddRoutesOf(g *api.Group, pages, r gin.IRoutes) {
	api.Read(pages, "/guestbook", func(c *gin.Context) { room.guestbook(c, g) })
	r.POST("/copy", g.JSON(func(c *gin.Context) (int, any, error) { return room.copy(c, g) }))
	r.POST("/restore", g.JSON(func(c *gin.Context) (int, any, error) { return room.restore(c, g) }))
}

// enter returns the server in force, which lives until the request is done.
func (room *Classroom) enter() *serving {
	room.mu.RLock()
	defer room.mu.RUnlock()
	room.serving.requests.Add(1)
	return room.serving
}

// server returns the server in force.
func (room *Classroom) server() *api.Server {
	room.mu.RLock()
	defer room.mu.RUnlock()
	return room.serving.Server
}

// ServeHTTP implements http.Handler.
func (room *Classroom) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := room.enter()
	defer s.requests.Done()
	s.ServeHTTP(w, r)
}

// replace puts a server with another config in the place of the one in force.
// The caller holds pulling.
func (room *Classroom) replace(config api.Config) error {
	s, err := api.New(config)
	if err != nil {
		return err
	}
	next := &serving{Server: s}
	room.mu.Lock()
	defer room.mu.Unlock()
	old := room.serving
	if room.drained {
		s.Drain()
	}
	before := old.Config()
	if config.Store == before.Store {
		next.own, old.own = old.own, nil
	} else {
		next.own = config.Store
	}
	room.serving = next
	if config.Keys != before.Keys {
		s.AuditLine(context.Background(), "key_change", slog.Any("keys", config.Keys.All()))
	}
	room.closing.Go(func() {
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

// empty puts a server in the place of the one in force for which nothing has been kept
// in memory, with a new store if each process has its own. The caller holds pulling.
func (room *Classroom) empty(config api.Config, process api.Process) error {
	config.Process = process
	if room.NewStore != nil {
		config.Store = room.NewStore()
	}
	err := room.replace(config)
	if err == nil {
		room.guests.empty()
	}
	return err
}

// newKeys returns a ring of new keys, and with it the previous ones if those
// still verify. It is a ring of its own: the key file knows nothing of lessons,
// and what the file does to the ring that follows it is not undone by one.
func (room *Classroom) newKeys(config api.Config, previous ...*keys.Key) (*keys.Ring, error) {
	ring, err := keys.Generate(config.Rand, room.Clock.Now())
	if err == nil {
		ring.Replace(append(ring.All(), previous...)...)
	}
	return ring, err
}

// Routes returns every route that the classroom answers.
func (room *Classroom) Routes() []api.Route { return room.server().Routes() }

// Victim is Server.Victim.
func (room *Classroom) Victim(origin string) attacker.Victim { return room.server().Victim(origin) }

// Metrics answers with what the server in force has counted.
func (room *Classroom) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := room.enter()
		defer s.requests.Done()
		s.Metrics().ServeHTTP(w, r)
	})
}

// Drain makes /readyz answer 503 from now on, whatever lever is pulled, and ends a run of
// experiments: requests that wait for it are answered.
func (room *Classroom) Drain() {
	room.runner.Stop()
	room.mu.Lock()
	defer room.mu.Unlock()
	room.drained = true
	room.serving.Drain()
}

// AddDemoAccounts is Server.AddDemoAccounts.
func (room *Classroom) AddDemoAccounts(ctx context.Context) error {
	return room.server().AddDemoAccounts(ctx)
}

// FindDemoAccount is Server.FindDemoAccount.
func (room *Classroom) FindDemoAccount(ctx context.Context) (string, error) {
	return room.server().FindDemoAccount(ctx)
}

// Close frees what the classroom itself holds, after its last request. The store
// that it was started with belongs to the caller of New.
func (room *Classroom) Close() error {
	room.runner.Close()
	room.closing.Wait()
	return room.serving.close()
}
