package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/argon2id"

	"statelab/api"
	"statelab/api/cache"
	"statelab/api/classroom"
	"statelab/api/lab"
	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/redisstore"
	"statelab/state/store/sqlstore"
)

// privateServers start the servers that experiments run on: classrooms on loopback ports,
// with stores, keys and a clock of their own.
type privateServers struct {
	OpenAPI                []byte
	Database, Store, Cache string // addresses as the flags have them
	Times                  Times

	migrating sync.Mutex // PostgreSQL lets one migrate at a time, and the next ask again after a second
}

// Laboratory returns one whose private servers have their logins in memory and their
// accounts in a database in memory.
func Laboratory(openAPI []byte) *lab.Laboratory {
	return (&privateServers{OpenAPI: openAPI, Database: "sqlite::memory:", Store: "memory", Times: DefaultTimes()}).laboratory()
}

func (p *privateServers) laboratory() *lab.Laboratory {
	return &lab.Laboratory{
		Start: p.start, Strategies: state.Slugs(), Commit: version(),
		Store: scheme(p.Store), Database: scheme(p.Database), SharedCache: p.Cache != "",
	}
}

// patient is how long a private server waits for its stores: an experiment is about no
// outage, and a busy machine is none.
const patient = time.Minute

// A privateServer is one of them.
type privateServer struct {
	made   *privateServers
	config api.Config
	clock  *classroom.Clock
	url    string
	cache  string // prefix of what it keeps in the Redis of the cache
	end    closers
}

// cheapHasher spends nothing on passwords that are published: an experiment measures
// what comes after the login.
func cheapHasher() auth.Hasher {
	return auth.NewArgon2id(argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
}

// start is a lab.Factory.
func (p *privateServers) start(ctx context.Context) (lab.Server, error) {
	clock := classroom.NewClock(time.Now)
	s := &privateServer{made: p, clock: clock, cache: "statelab:lab:" + rand.Text() + ":"}
	options := store.Options{Now: clock.Now, Patience: patient}
	address := p.Database
	if scheme(address) == "postgres" { // what the database has besides is not touched
		own, drop, err := sqlstore.NewSchema(ctx, address)
		if err != nil {
			return nil, fmt.Errorf("--database: %w", err)
		}
		address = own
		s.end.later(drop)
	}
	p.migrating.Lock()
	db, err := sqlstore.OpenDatabase(ctx, address, api.Migrations()...)
	p.migrating.Unlock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--database: %w", err), s.Close())
	}
	s.end.later(db.Close)
	database := store.Guarded(sqlstore.New(db, options), options)
	s.end.later(database.Close)
	ring, err := keys.Generate(rand.Reader, time.Now())
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.config = api.Config{
		Database: db.DB, DatabaseStore: database, Keys: ring, Hasher: cheapHasher(), OpenAPI: p.OpenAPI, Classroom: true,
		Patience: patient, RequestPatience: patient, FollowEvery: time.Hour, // what a lever does to an account is no operator's change
	}
	return s, s.serve(ctx, nil)
}

// Node starts a server beside s.
func (s *privateServer) Node(ctx context.Context, n lab.Node) (lab.Server, error) {
	other := &privateServer{made: s.made, config: s.config, clock: s.clock, cache: s.cache}
	other.config.Process = api.Process{}
	if n.PublicKeysOnly {
		other.config.Keys = s.config.Keys.Verifier()
	}
	var shared state.Store
	if n.SharedStore {
		shared = s.config.Store
	}
	return other, other.serve(ctx, shared)
}

// serve gives the server a store of logins, unless it has another's, and a port.
func (s *privateServer) serve(ctx context.Context, shared state.Store) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	options := store.Options{Now: s.clock.Now, Patience: patient}
	s.config.Store = shared
	if shared == nil {
		if s.config.Store, err = openLogins(s.made.Store, s.config.DatabaseStore, options); err != nil {
			return fmt.Errorf("--store: %w", err)
		}
		if s.config.Store != s.config.DatabaseStore {
			s.end.later(s.config.Store.Close)
		}
	}
	s.config.CacheMemory = cache.NewMemory(0)
	if s.made.Cache != "" {
		client, err := redisstore.NewClient(s.made.Cache)
		if err != nil {
			return fmt.Errorf("--cache: %w", err)
		}
		redis := cache.NewRedis(client, s.cache, s.config.CacheMemory, patient)
		s.config.CacheShared = redis
		s.end.later(func() error { return errors.Join(redis.Close(), client.Close()) })
	}
	var newStore func() state.Store
	if s.made.Store == "memory" {
		newStore = func() state.Store { return memory.New(options) }
	}
	server, err := classroom.New(s.config, classroom.Config{Clock: s.clock, NewStore: newStore})
	if err != nil {
		return err
	}
	s.end.later(server.Close)
	if err := server.AddDemoAccounts(ctx); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.url = "http://" + listener.Addr().String()
	h := &http.Server{Handler: server, ReadHeaderTimeout: s.made.Times.ReadHeader, MaxHeaderBytes: maxHeaderBytes}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Serve(listener)
	}()
	s.end.later(func() error {
		err := h.Close()
		<-done
		return err
	})
	return nil
}

// URL implements lab.Server.
func (s *privateServer) URL() string { return s.url }

// Close implements lab.Server.
func (s *privateServer) Close() error { return s.end.close() }
