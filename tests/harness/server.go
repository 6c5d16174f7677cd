package harness

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/api/attacker"
	"statelab/api/classroom"
	"statelab/api/command"
	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/sqlstore"
	"statelab/tests/seeded"
)

// A clock stands still until a test moves it. The server's own goes by it.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	server *classroom.Clock
}

func newClock() *clock {
	c := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	c.server = classroom.NewClock(c.Now)
	return c
}

// Now returns where the clock stands.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock.
func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// CheapHasher costs next to nothing, so that tests can sign in a lot.
func CheapHasher() auth.Hasher {
	return auth.NewArgon2id(argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
}

// Statelab is what main serves: in the classroom with its levers.
type Statelab interface {
	http.Handler
	Routes() []api.Route
	Metrics() http.Handler
	AddDemoAccounts(ctx context.Context) error
	FindDemoAccount(ctx context.Context) (string, error)
	Drain()
	Close() error
}

// newStatelab makes what a config and a clock describe. A restart of a classroom
// loses its store.
func newStatelab(t testing.TB, config api.Config, c *clock, a *attacker.Attacker) Statelab {
	t.Helper()
	var s Statelab
	var err error
	if config.Classroom {
		ahead := c.server
		if config.Now == nil { // the real one
			ahead = classroom.NewClock(nil)
		}
		s, err = classroom.New(config, classroom.Config{
			Clock: ahead, Attacker: a, NewStore: func() state.Store { return memory.New(store.Options{Now: ahead.Now}) },
			Laboratory: command.Laboratory(config.OpenAPI),
		})
	} else {
		s, err = api.New(config)
	}
	require.NoError(t, err)
	return s
}

// A Server is statelab on a loopback port, with stores, keys and a clock of its
// own.
type Server struct {
	Statelab
	Config   api.Config
	Attacker *attacker.Attacker // of its classroom; nil: none
	Clock    *clock
	URL      string
	Canary   *canary

	transport *http.Transport // of its clients; nil: Transport
}

// At is the same server, reached by another address.
func (s *Server) At(url string) *Server {
	d := *s
	d.URL, d.transport = url, nil
	return &d
}

// keep has the server's clients keep their connections until the test ends.
func (s *Server) keep(t testing.TB) {
	s.transport = newTransport()
	s.transport.DisableKeepAlives = false
	t.Cleanup(s.transport.CloseIdleConnections)
}

// Option changes what a server is made of.
type Option func(*api.Config)

// Impatient has a server wait for its database for Impatience, and for all that a request
// needs as long as in service.
func Impatient(c *api.Config) { c.Patience, c.RequestPatience = Impatience, api.DefaultRequestPatience }

// Following has a server ask often what operators have changed.
func Following(c *api.Config) { c.FollowEvery = briskly }

// NewServer starts a server that ends with the test.
func NewServer(t testing.TB, options ...Option) *Server {
	t.Helper()
	return NewServerBeside(t, nil, options...)
}

// NewServerBeside starts a server that ends with the test. Its classroom has an attacker at the
// address; nil: none.
func NewServerBeside(t testing.TB, address net.Addr, options ...Option) *Server {
	t.Helper()
	c := newClock()
	ring := newKeys(t, c.Now())
	db := NewDatabase(t)
	config := api.Config{
		Database: db.DB, Store: memory.New(store.Options{Now: c.server.Now}), DatabaseStore: NewSQL(t, db, c.server.Now), Keys: ring,
		Hasher: CheapHasher(), Rand: seeded.Reader(t), Now: c.server.Now, OpenAPI: SpecificationText(t), Version: "test", Classroom: true, Patience: patience,
		RequestPatience: patience,
	}
	for _, o := range options {
		o(&config)
	}
	t.Cleanup(func() { require.NoError(t, config.Store.Close()) })
	var a *attacker.Attacker
	if address != nil {
		a = attacker.New(address, config.Now)
	}
	return startServer(t, config, c, a)
}

// newKeys returns keys whose ids have a letter each, so that an id in capitals is
// another one.
func newKeys(t testing.TB, now time.Time) *keys.Ring {
	t.Helper()
	random := seeded.Reader(t)
	for {
		ring, err := keys.Generate(random, now)
		require.NoError(t, err)
		if !slices.ContainsFunc(ring.All(), func(k *keys.Key) bool { return strings.ToUpper(k.ID) == k.ID }) {
			return ring
		}
	}
}

// StartServer serves what a config is made of, as after a restart.
func StartServer(t testing.TB, config api.Config, c *clock) *Server {
	t.Helper()
	return startServer(t, config, c, nil)
}

func startServer(t testing.TB, config api.Config, c *clock, a *attacker.Attacker) *Server {
	t.Helper()
	watched, w := config, newCanary(config.Logger)
	watched.Logger = w.Logger
	s := newStatelab(t, watched, c, a)
	if config.Classroom {
		require.NoError(t, s.AddDemoAccounts(t.Context()))
	}
	h := httptest.NewServer(s)
	served := &Server{Statelab: s, Config: config, Attacker: a, Clock: c, URL: h.URL, Canary: w}
	t.Cleanup(func() {
		h.Close()
		require.Empty(t, w.Leaks(w.Log.String()), "a credential is in the log")
		require.Empty(t, w.Leaks(served.Exposition()), "a credential is in the metrics")
		require.NoError(t, s.Close())
	})
	served.keep(t)
	return served
}

// OverTLS is the same server at an address with HTTPS and HTTP/2.
func (s *Server) OverTLS(t testing.TB) *Server {
	t.Helper()
	h := httptest.NewUnstartedServer(s)
	h.EnableHTTP2 = true
	h.StartTLS()
	t.Cleanup(h.Close)
	over := s.At(h.URL)
	over.keep(t)
	return over
}

// NewDatabase returns an empty database with its tables.
func NewDatabase(t testing.TB) *sqlstore.Database {
	t.Helper()
	require.NoError(t, migrateOnce())
	db, err := sqlstore.OpenDatabase(t.Context(), "sqlite::memory:", api.Migrations()...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// NewSQL returns a store in a database, which ends with the test.
func NewSQL(t testing.TB, db *sqlstore.Database, now func() time.Time) *sqlstore.Store {
	t.Helper()
	s := sqlstore.New(db, store.Options{Now: now})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// Everything is all that the server keeps: of the user, and of everybody in the
// database.
func (s *Server) Everything(t testing.TB, subject string) []string {
	t.Helper()
	var all []string
	for _, st := range []state.Store{s.Config.Store, s.Config.DatabaseStore} {
		entries, err := st.BySubject(t.Context(), subject)
		require.NoError(t, err)
		for _, e := range entries {
			all = append(all, fmt.Sprintf("%+v", e))
		}
	}
	rows, err := s.Config.Database.QueryContext(t.Context(), `SELECT username || display_name || role || password_hash FROM accounts`)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var row string
		require.NoError(t, rows.Scan(&row))
		all = append(all, row)
	}
	require.NoError(t, rows.Err())
	slices.Sort(all)
	return all
}
