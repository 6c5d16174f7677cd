package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"statelab/api"
	"statelab/api/attacker"
	"statelab/api/cache"
	"statelab/api/classroom"
	"statelab/state"
	"statelab/state/keys"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/redisstore"
	"statelab/state/store/sqlstore"
)

// Run serves until ctx ends.
func (s *serve) Run(ctx context.Context, out streams, p Program) error {
	s.settle(out.getenv)
	if err := s.check(); err != nil {
		return err
	}
	defer runtime.KeepAlive(spareCollections(out.getenv))
	var end closers
	defer func() { _ = end.close() }() // the process ends anyway
	log, clock := s.logger(out.err), classroom.NewClock(time.Now)
	certificate, err := s.certificate(log)
	if err != nil {
		return err
	}
	options := store.Options{Now: clock.Now, Patience: p.Times.Store}
	config, watch, err := s.config(ctx, p, options, log, &end)
	if err != nil {
		return err
	}
	room := classroom.Config{Clock: clock}
	var attackerListener listeners // until it is served, connections wait
	if s.Attacker != noAttacker {
		if attackerListener, err = s.listenAttacker(ctx); err != nil {
			return err
		}
		end.later(attackerListener.Close)
		room.Attacker = attacker.New(attackerListener.Addr(), clock.Now)
	}
	server, err := s.server(config, room, options)
	if err != nil {
		return refuse("%v", err)
	}
	end.later(server.Close)
	if err := s.settleAccounts(ctx, server, log); err != nil {
		return err
	}
	listener, err := listen(ctx, "--listen", s.Listen)
	if err != nil {
		return err
	}
	base, beside := s.base(listener.Addr()), ""
	if len(s.ClassroomHost) > 0 {
		beside = fmt.Sprintf("  WARNING   every client that reaches %s, or %s, can use the published passwords and change this classroom\n",
			strings.Join(s.ClassroomHost, " or "), listener.Addr())
	}
	if s.Metrics != "" {
		listener, err := listen(ctx, "--metrics", s.Metrics)
		if err != nil {
			return err
		}
		beside += fmt.Sprintf("  metrics   http://%s/metrics\n", listener.Addr())
		defer serveBeside(ctx, listener, s.metricsOf(server), p.Times, log)()
	}
	if a := room.Attacker; a != nil {
		beside += fmt.Sprintf("  attacker  %s and %s: pages of other sites, for lessons\n", a.Origins()[0], a.Origins()[1])
		defer serveBeside(ctx, attackerListener, a.Against(server.Victim(base)), p.Times, log)()
	}
	ctx, stop := follow(ctx, watch, p.Times.ReloadKeys)
	defer stop()
	s.greet(out.out, base, beside)
	s.warn(log)
	return serveUntil(ctx, listener, certificate, server, p.Times, log)
}

// closers end what a server has begun, the last one first.
type closers []func() error

func (c *closers) later(f func() error) { *c = append(*c, f) }

// close ends them all, and returns what went wrong.
func (c *closers) close() (err error) {
	for _, f := range slices.Backward(*c) {
		err = errors.Join(err, f())
	}
	return err
}

// certificate returns the one of --tls-cert, or nil.
func (s *serve) certificate(log *slog.Logger) (*certificate, error) {
	if s.TLSCert == "" {
		return nil, nil //nolint:nilnil // the server speaks plain HTTP
	}
	c, err := loadCertificate(s.TLSCert, s.TLSKey, log)
	if err != nil {
		return nil, refuse("--tls-cert, --tls-key: %v", err)
	}
	return c, nil
}

// config opens what the flags name, and returns what a server is made of. The watch
// follows the key file.
func (s *serve) config(
	ctx context.Context, p Program, options store.Options, log *slog.Logger, end *closers,
) (api.Config, *keys.Watch, error) {
	proxies, err := api.ParseProxies(s.TrustedProxy)
	if err != nil {
		return api.Config{}, nil, refuse("--trusted-proxy: %v", err)
	}
	db, err := sqlstore.OpenDatabase(ctx, s.Database, api.Migrations()...)
	if err != nil {
		return api.Config{}, nil, refuseDatabase(err, s.Classroom)
	}
	end.later(db.Close)
	database := store.Guarded(sqlstore.New(db, options), options)
	end.later(database.Close)
	logins, err := openLogins(s.Store, database, options)
	if err != nil {
		return api.Config{}, nil, refuse("--store: %v", err)
	}
	if logins != database {
		end.later(logins.Close)
	}
	own, shared, closeCache, err := s.caches()
	if err != nil {
		return api.Config{}, nil, refuse("--cache: %v", err)
	}
	end.later(closeCache)
	warnings := warningsOf(logins, shared, log)
	warnings(ctx)
	ring, err := s.ring(p.Rand)
	if err != nil {
		return api.Config{}, nil, err
	}
	watch := keys.NewWatch(ring, s.Keys, s.load(), time.Now, log)
	return api.Config{
		Database: db.DB, Store: logins, DatabaseStore: database, CacheMemory: own, CacheShared: shared,
		Keys: ring, Hasher: p.Hasher, Rand: p.Rand, Logger: log,
		OpenAPI: p.OpenAPI, Patience: p.Times.Accounts, RequestPatience: p.Times.Request, FollowEvery: p.Times.FollowAccounts, Version: version(),
		Classroom: s.Classroom, ClassroomHosts: s.ClassroomHost, Strategies: s.Strategies, TrustedProxies: proxies, AllowOrigins: s.AllowOrigin,
		TokenAlg: s.TokenAlg, Denylist: s.Revocation == "denylist", Limits: s.Limits,
		Checks: []api.Check{{Name: "keys", Ask: watch.Health}}, Warnings: warnings,
	}, watch, nil
}

// warningsOf returns what lists what works in part only. The log has each warning once.
func warningsOf(logins state.Store, shared cache.Store, log *slog.Logger) func(context.Context) []string {
	var said sync.Map
	say := func(warning string) {
		if _, again := said.LoadOrStore(warning, true); !again {
			log.Warn(warning)
		}
	}
	redis, _ := shared.(*cache.Redis)
	if redis != nil {
		redis.Report(say)
	}
	return func(ctx context.Context) (all []string) {
		if w, ok := logins.(store.Warner); ok {
			all = w.Warnings(ctx)
		}
		for _, warning := range all {
			say(warning)
		}
		if redis != nil {
			all = append(all, redis.Warnings()...)
		}
		return all
	}
}

// warn says what works and is seldom meant.
func (s *serve) warn(log *slog.Logger) {
	if s.TLSCert == "" && len(s.TrustedProxy) == 0 && !isLoopback(s.Listen) {
		log.Warn("clients send their passwords to this server in plain HTTP: use --tls-cert, or an HTTPS proxy with --trusted-proxy")
	}
	if !s.Classroom && s.Store == "memory" {
		log.Warn("--store memory loses all logins and the denylist at a restart: use --store database, or --store redis://HOST:PORT")
	}
}

// refuseDatabase says why a database cannot be used, and what to do about one that
// another version has made: a classroom's holds nothing that is worth keeping.
func refuseDatabase(err error, classroom bool) error {
	switch {
	case !errors.Is(err, sqlstore.ErrOtherTables):
		return refuse("--database: %v", err)
	case classroom:
		return refuse("--database: %v: delete it, and the next start makes a new one", err)
	}
	return refuse("--database: %v: run the version that made it, or give --database another one", err)
}

// metricsOf is what the listener of --metrics serves. In the classroom it answers
// this machine alone, also where the classroom has further names.
func (s *serve) metricsOf(server server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", server.Metrics())
	if s.Classroom {
		return api.OnlyLocal(mux)
	}
	return mux
}

// ring returns the keys. The classroom makes its own; a service never does, or
// a mistake in a path would log everybody out.
func (s *serve) ring(random io.Reader) (*keys.Ring, error) {
	if s.Classroom {
		ring, err := keys.LoadOrCreate(s.Keys, random, time.Now())
		if err != nil {
			err = refuse("%v: choose another file with --keys, or delete this one so that the server makes a new one", err)
		}
		return ring, err
	}
	ring, err := s.load()(s.Keys)
	if err != nil {
		err = refuse("%v", err)
	}
	return ring, err
}

// load reads a key file: a service takes only what is fit for one.
func (s *serve) load() func(path string) (*keys.Ring, error) {
	if s.Classroom {
		return keys.Load
	}
	return keys.LoadService
}

// settleAccounts makes the demo accounts in the classroom, and elsewhere refuses
// to start beside them.
func (s *serve) settleAccounts(ctx context.Context, server server, log *slog.Logger) error {
	if s.Classroom {
		err := server.AddDemoAccounts(ctx)
		if errors.Is(err, state.ErrUnavailable) && !strings.HasPrefix(s.Database, "sqlite:") { // a file does not come back by itself
			log.Warn("the database does not answer: the server tries again with each request that needs it", slog.Any("error", err))
			return nil
		}
		if err != nil {
			err = fmt.Errorf("the server could not make the demo accounts: %w", err)
		}
		return err
	}
	switch username, err := server.FindDemoAccount(ctx); {
	case err != nil: // the database may be down at the start; their passwords open nothing here
		log.Warn("the server could not check the database for demo accounts", slog.Any("error", err))
	case username != "":
		return refuse("the database has the demo account %s with its published password: "+
			"choose a database with --database that no classroom uses", username)
	}
	return nil
}

// A server is one that stays as it was started, or a classroom.
type server interface {
	http.Handler
	AddDemoAccounts(ctx context.Context) error
	FindDemoAccount(ctx context.Context) (string, error)
	Metrics() http.Handler
	Victim(origin string) attacker.Victim
	Drain()
	Close() error
}

// server returns what the flags ask for. A classroom's restart loses what is in
// memory.
func (s *serve) server(config api.Config, room classroom.Config, options store.Options) (server, error) {
	if !s.Classroom {
		return api.New(config)
	}
	if s.Store == "memory" {
		room.NewStore = func() state.Store { return memory.New(options) }
	}
	room.Laboratory = Laboratory(config.OpenAPI)
	return classroom.New(config, room)
}

// caches returns what keeps answers: in the process, and together with other nodes,
// which is nil without a Redis.
func (s *serve) caches() (own *cache.Memory, shared cache.Store, closeAll func() error, err error) {
	own = cache.NewMemory(0)
	if s.Cache == "none" {
		return own, nil, func() error { return nil }, nil
	}
	client, err := redisstore.NewClient(s.Cache)
	if err != nil {
		return nil, nil, nil, err
	}
	redis := cache.NewRedis(client, "statelab:cache:", own, 0)
	return own, redis, func() error { return errors.Join(redis.Close(), client.Close()) }, nil
}

func (s *serve) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel)) // one of the enum
	options := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// base is the origin by which users open what listens on an address.
func (s *serve) base(addr net.Addr) string {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip.IsLoopback() || ip.IsUnspecified() {
		host = "localhost"
	}
	if s.TLSCert != "" {
		return "https://" + net.JoinHostPort(host, port)
	}
	return "http://" + net.JoinHostPort(host, port)
}

// greet says where to begin, and in lines of their own what listens beside.
func (s *serve) greet(w io.Writer, base, beside string) {
	if !s.Classroom {
		_, _ = fmt.Fprintf(w, `statelab: a service, without the classroom
  page      %[1]s
  docs      %[1]s/docs
  ready     %[1]s/readyz
%[2]s  stop      Ctrl-C
`, base, beside)
		return
	}
	demo := api.DemoAccounts()
	var accounts []string
	for _, d := range demo {
		accounts = append(accounts, fmt.Sprintf("%s / %s (%s)", d.Username, d.Password, d.Role))
	}
	_, _ = fmt.Fprintf(w, `statelab: where should the state of a login live?
  page      %[1]s
  guide     %[1]s/web/guide/en.md (English), %[1]s/web/guide/ko.md (Korean)
  docs      %[1]s/docs
  accounts  %[2]s
  try       curl -i -H 'Content-Type: application/json' -d '{"username":"%[3]s","password":"%[4]s"}' %[1]s/session/login
            the answer is 200 with Set-Cookie: statelab_session=... and the profile; /cookie, /cookie-sealed and /token work too
%[5]s  stop      Ctrl-C
`, base, strings.Join(accounts, ", "), demo[0].Username, demo[0].Password, beside)
}
