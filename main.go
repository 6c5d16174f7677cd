// Statelab serves one login and profile contract through several ways of
// keeping the state of a login, so that they can be compared side by side.
package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
	"github.com/alexedwards/argon2id"
	"golang.org/x/term"

	"statelab/api"
	"statelab/api/attacker"
	"statelab/api/cache"
	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
	"statelab/state/store"

	cryptorand "crypto/rand"
)

//go:embed openapi.yaml
var openAPI []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}

// The exit statuses.
const (
	exitOK      = 0
	exitFailed  = 1 // it was started as asked and then failed
	exitRefused = 2 // it will not start this way
)

// run is the program: everything it reads and writes is handed in.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	var cli commands
	status := -1
	parser, err := kong.New(&cli, kong.Name("statelab"),
		kong.Description("Where should the state of a login live? Without a command, statelab serves the classroom.\n\n"+
			"Every flag has a variable: --session-max is STATELAB_SESSION_MAX. A flag wins."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { status = code }),
		kong.Resolvers(variables(getenv)), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(streams{stdin, stdout, stderr, getenv}, &cli))
	if err != nil {
		panic(err) // the commands below contradict each other
	}
	parsed, err := parser.Parse(args)
	if status >= 0 { // help was asked for and given
		return status
	}
	if err == nil {
		err = parsed.Run()
	}
	var refused *refusal
	var usage *kong.ParseError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &refused), errors.As(err, &usage):
		status = exitRefused
	default:
		status = exitFailed
	}
	_, _ = fmt.Fprintln(stderr, "statelab:", strings.ReplaceAll(err.Error(), "\n", " "))
	return status
}

// variables resolves flags that are not given from the environment.
func variables(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if v := getenv("STATELAB_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))); v != "" {
			return v, nil
		}
		return nil, nil
	})
}

// streams are what a command reads and writes besides its flags.
type streams struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
}

// A refusal says in one line why the program does not start, and what to do.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

type commands struct {
	Serve   serve          `cmd:"" default:"withargs" help:"Serve the contract (the default)."`
	Account accountCommand `cmd:"" help:"Add, change and list accounts. A running server follows within five seconds."`
	Keys    keysCommand    `cmd:"" help:"Make, list and rotate the keys that sign, seal and verify."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

type versionCommand struct{}

func (versionCommand) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, "statelab", version())
	return err
}

// version is the module's, or the revision it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value[:min(12, len(setting.Value))]
		}
	}
	return "devel"
}

// keysCommand is what an operator does with a key file.
type keysCommand struct {
	Init   keysInit   `cmd:"" help:"Make a key file for a service; one that exists is not overwritten."`
	List   keysList   `cmd:"" help:"List the keys, without their secrets."`
	Rotate keysRotate `cmd:"" help:"Make new keys that sign from now on; the previous ones verify."`
}

// keyFile is the flag that these commands share.
type keyFile struct {
	Keys string `default:"statelab.keys.json" placeholder:"FILE" help:"The key file (${default})."`
}

type keysInit struct{ keyFile }

func (c keysInit) Run(s streams) error {
	return listed(s.out)(keys.Init(c.Keys, cryptorand.Reader, time.Now()))
}

type keysList struct {
	keyFile
	Public bool `help:"Print a key file for servers that only verify tokens: public keys, nothing secret."`
}

func (c keysList) Run(s streams) error {
	ring, err := keys.Load(c.Keys)
	if err == nil && c.Public {
		return ring.WritePublic(s.out)
	}
	return listed(s.out)(ring, err)
}

type keysRotate struct {
	keyFile
	DropPrevious bool `help:"Drop the previous keys: what clients hold of cookies and tokens ends at once."`
}

func (c keysRotate) Run(s streams) error {
	return listed(s.out)(keys.Rotate(c.Keys, cryptorand.Reader, time.Now(), c.DropPrevious))
}

// listed prints the keys of a file, or refuses what was asked for.
func listed(w io.Writer) func(*keys.Ring, error) error {
	return func(ring *keys.Ring, err error) error {
		if err != nil {
			return refuse("%v", err)
		}
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "ID\tPURPOSE\tCREATED\tUSE")
		for _, k := range ring.All() {
			does := "verifies"
			if active, err := ring.Active(k.Purpose); err == nil && active == k {
				does = "signs"
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", k.ID, k.Purpose, k.Created.Format(time.RFC3339), does)
		}
		return table.Flush()
	}
}

// serve has the flags of the server. Those whose default depends on the
// classroom or on other variables are empty until settle.
type serve struct {
	Listen          string        `placeholder:"ADDRESS" help:"Address to serve on (localhost:8080); the classroom serves loopback only, a service also takes the variable PORT."`
	Database        string        `placeholder:"URL" help:"Where accounts are kept: sqlite:PATH or postgres://... (sqlite:statelab-classroom.db; for a service DATABASE_URL or sqlite:statelab.db)."`
	Store           string        `placeholder:"URL" help:"Where logins are kept: memory, database, redis://... or rediss://... (memory; a service also takes the variable REDIS_URL)."`
	Keys            string        `placeholder:"FILE" help:"The key file (statelab-classroom.keys.json, which the classroom makes if it is missing; for a service statelab.keys.json)."`
	Classroom       bool          `default:"true" negatable:"" help:"Serve the classroom: demo accounts, this machine only (the default). Without it, statelab is a service for others."`
	Strategies      []string      `default:"session,cookie,cookie-sealed,token" placeholder:"SLUG" help:"The strategies to mount (${default}, which always are); the classroom mounts all."`
	TLSCert         string        `name:"tls-cert" placeholder:"FILE" help:"The certificate to serve HTTPS with, PEM, with its chain (none). A renewed file is picked up."`
	TLSKey          string        `name:"tls-key" placeholder:"FILE" help:"The key of --tls-cert, PEM (none)."`
	TrustedProxy    []string      `placeholder:"CIDR" help:"Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, such as 10.0.0.0/8 (none)."`
	AllowOrigin     []string      `placeholder:"ORIGIN" help:"Origins whose pages may use the API with credentials, such as http://localhost:5173 (none)."`
	SessionIdle     time.Duration `default:"15m" placeholder:"TIME" help:"A login held by the server ends after so long without a request (${default})."`
	SessionMax      time.Duration `default:"8h" placeholder:"TIME" help:"A session or a cookie ends after so long (${default})."`
	AccessTTL       time.Duration `name:"access-ttl" default:"15m" placeholder:"TIME" help:"An access token is valid for so long (${default})."`
	RefreshTTL      time.Duration `name:"refresh-ttl" default:"168h" placeholder:"TIME" help:"A token login ends after so long, however often it is refreshed (${default})."`
	RefreshOverlap  time.Duration `default:"10s" placeholder:"TIME" help:"The previous refresh token still returns the same successor for so long (${default})."`
	TokenAlg        string        `default:"EdDSA" enum:"EdDSA,HS256" help:"What signs access tokens: EdDSA or HS256 (${default})."`
	Revocation      string        `enum:",none,denylist" default:"" placeholder:"HOW" help:"Whether copies held by clients can be ended: none, or denylist, a look-up in the store with each request (none; for a service denylist)."`
	CredentialCache int           `default:"0" placeholder:"N" help:"How many verified credentials each client-held strategy may remember (${default}: each is verified each time)."`
	Cache           string        `placeholder:"URL" help:"Where nodes keep answers together, for the cache policy redis: redis://..., rediss://... or none (the Redis of --store, if there is one)."`
	Metrics         string        `placeholder:"ADDRESS" help:"Address to serve /metrics on, for Prometheus, such as localhost:9464 (none); the classroom serves loopback only."`
	Attacker        string        `placeholder:"ADDRESS" help:"Address to serve the attacker's pages on, another origin, such as 127.0.0.1:9090 (none); classroom and loopback only."`
	LogFormat       string        `default:"text" enum:"text,json" help:"The form of the log on standard error: text or json (${default})."`
	LogLevel        string        `default:"info" enum:"debug,info,warn,error" help:"The least level to log: debug, info, warn or error (${default}); a line for each request is info."`
}

// serviceDatabase has the accounts of a service that is told of no other.
const serviceDatabase = "sqlite:statelab.db"

// settle fills in what was given neither as a flag nor as its variable. Outside
// the classroom the variables that platforms set come first.
func (s *serve) settle(getenv func(string) string) {
	database, keyFile, revocation := "sqlite:statelab-classroom.db", "statelab-classroom.keys.json", "none"
	var listen, databaseURL, redisURL string
	if !s.Classroom {
		database, keyFile, revocation = serviceDatabase, "statelab.keys.json", "denylist"
		databaseURL, redisURL = getenv("DATABASE_URL"), getenv("REDIS_URL")
		if port := getenv("PORT"); port != "" {
			listen = ":" + port
		}
	}
	s.Listen = cmp.Or(s.Listen, listen, "localhost:8080")
	s.Database = cmp.Or(s.Database, databaseURL, database)
	s.Store = cmp.Or(s.Store, redisURL, "memory")
	s.Cache = cmp.Or(s.Cache, redisOf(s.Store), "none")
	s.Keys = cmp.Or(s.Keys, keyFile)
	s.Revocation = cmp.Or(s.Revocation, revocation)
}

// redisOf returns the address of a store if it is one of Redis, or "".
func redisOf(address string) string {
	if scheme, _, _ := strings.Cut(address, "://"); scheme != "redis" && scheme != "rediss" {
		return ""
	}
	return address
}

// check refuses what cannot work and what would not be safe.
func (s *serve) check() error {
	if err := state.CheckNames(s.Classroom, s.Strategies); err != nil {
		return refuse("--strategies: %v", err)
	}
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || !isPort(port) {
		return refuse("%q is no address to serve on: give --listen, or PORT, one such as localhost:8080, or 8080", s.Listen)
	}
	if s.Classroom && !isLoopback(s.Listen) {
		return refuse("--listen %s would show the classroom, with its published passwords, to others: use localhost, or --no-classroom", s.Listen)
	}
	if s.Classroom && len(s.TrustedProxy) > 0 {
		return refuse("--trusted-proxy: the classroom answers nobody behind a proxy: leave it out, or add --no-classroom")
	}
	if s.Cache != "none" && redisOf(s.Cache) == "" {
		return refuse("--cache: use redis://HOST:PORT, rediss://HOST:PORT or none")
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return refuse("--tls-cert and --tls-key belong together: give both or neither")
	}
	if s.Metrics != "" {
		if _, _, err := net.SplitHostPort(s.Metrics); err != nil {
			return refuse("--metrics %q is no address: use one such as localhost:9464", s.Metrics)
		}
		if s.Classroom && !isLoopback(s.Metrics) {
			return refuse("--metrics %s would show the classroom to others: use localhost", s.Metrics)
		}
	}
	if s.Attacker != "" {
		if !s.Classroom {
			return refuse("--attacker is for lessons: leave it out, or leave out --no-classroom")
		}
		if _, port, err := net.SplitHostPort(s.Attacker); err != nil || !isPort(port) {
			return refuse("--attacker %q is no address: use one such as 127.0.0.1:9090", s.Attacker)
		}
		if !isLoopback(s.Attacker) {
			return refuse("--attacker %s would show others what it steals: use 127.0.0.1", s.Attacker)
		}
	}
	for _, origin := range s.AllowOrigin {
		if err := api.CheckOrigin(origin); err != nil {
			return refuse("--allow-origin: %v", err)
		}
	}
	if err := api.CheckLimits(s.lifetimes(), s.CredentialCache); err != nil {
		return refuse("%v", err)
	}
	return nil
}

func (s *serve) lifetimes() state.Lifetimes {
	return state.Lifetimes{
		SessionIdle: s.SessionIdle, SessionMax: s.SessionMax,
		AccessTTL: s.AccessTTL, RefreshTTL: s.RefreshTTL, RefreshOverlap: s.RefreshOverlap,
	}
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// isLoopback says whether only this machine reaches what listens on the address.
func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address) // checked
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ring returns the keys. The classroom makes its own; a service never does, or
// a mistake in a path would log everybody out.
func (s *serve) ring() (*keys.Ring, error) {
	if s.Classroom {
		ring, err := keys.LoadOrCreate(s.Keys, cryptorand.Reader, time.Now())
		if err != nil {
			err = refuse("%v: name another file with --keys, or remove it to get a new one", err)
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
			log.Warn("the database does not answer; it is asked again with each request that needs it", slog.Any("error", err))
			return nil
		}
		if err != nil {
			err = fmt.Errorf("the demo accounts could not be made: %w", err)
		}
		return err
	}
	switch username, err := server.FindDemoAccount(ctx); {
	case err != nil: // the database may be down at the start; their passwords open nothing here
		log.Warn("could not look for demo accounts", slog.Any("error", err))
	case username != "":
		return refuse("the database holds the demo account %s with its published password: give --database another one, not a classroom's", username)
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
func (s *serve) server(config api.Config, clock *api.Clock, options store.Options) (server, error) {
	if !s.Classroom {
		return api.New(config)
	}
	var newStore func() state.Store
	if s.Store == "memory" {
		newStore = func() state.Store { return store.NewMemory(options) }
	}
	return api.NewClassroom(config, clock, newStore)
}

// caches returns what keeps answers: in the process, and together with other nodes,
// which is nil without a Redis.
func (s *serve) caches() (memory *cache.Memory, shared cache.Store, closeAll func(), err error) {
	memory = cache.NewMemory(0)
	if s.Cache == "none" {
		return memory, nil, func() {}, nil
	}
	client, err := store.RedisClient(s.Cache)
	if err != nil {
		return nil, nil, nil, err
	}
	redis := cache.NewRedis(client, "statelab:cache:", memory)
	return memory, redis, func() {
		_ = redis.Close()
		_ = client.Close()
	}, nil
}

// Run serves until ctx ends.
func (s *serve) Run(ctx context.Context, out streams) error {
	s.settle(out.getenv)
	if err := s.check(); err != nil {
		return err
	}
	proxies, err := api.ParseProxies(s.TrustedProxy)
	if err != nil {
		return refuse("--trusted-proxy: %v", err)
	}
	if out.getenv("GOGC") == "" {
		defer runtime.KeepAlive(spareCollections())
	}
	log := s.logger(out.err)
	var certificate *certificate
	if s.TLSCert != "" {
		if certificate, err = loadCertificate(s.TLSCert, s.TLSKey, log); err != nil {
			return refuse("--tls-cert, --tls-key: %v", err)
		}
	}
	db, err := store.OpenDatabase(ctx, s.Database, api.Migrations()...)
	if err != nil {
		return refuse("--database: %v", err)
	}
	defer func() { _ = db.Close() }()
	clock := api.NewClock(time.Now)
	options := store.Options{Now: clock.Now}
	database := store.Guarded(store.NewSQL(db, options))
	defer func() { _ = database.Close() }()
	logins, err := store.Open(s.Store, database, options)
	if err != nil {
		return refuse("--store: %v", err)
	}
	if logins != database {
		defer func() { _ = logins.Close() }()
	}
	if w, ok := logins.(store.Warner); ok {
		for _, warning := range w.Warnings(ctx) {
			log.Warn(warning)
		}
	}
	memory, shared, closeCache, err := s.caches()
	if err != nil {
		return refuse("--cache: %v", err)
	}
	defer closeCache()
	ring, err := s.ring()
	if err != nil {
		return err
	}
	watch := keys.NewWatch(ring, s.Keys, s.load(), time.Now, log)
	config := api.Config{
		Database: db.DB, Store: logins, DatabaseStore: database, CacheMemory: memory, CacheShared: shared, Keys: ring, Hasher: newHasher(out.getenv), Logger: log,
		OpenAPI: openAPI, Version: version(),
		Classroom: s.Classroom, Strategies: s.Strategies, TrustedProxies: proxies,
		AllowOrigins: s.AllowOrigin, TokenAlg: s.TokenAlg, Denylist: s.Revocation == "denylist", CredentialCache: s.CredentialCache,
		Checks: []api.Check{{Name: "keys", Ask: watch.Health}}, Lifetimes: s.lifetimes(),
	}
	var attackerListener net.Listener // until it is served, connections wait
	if s.Attacker != "" {
		if attackerListener, err = listen(ctx, "--attacker", s.Attacker); err != nil {
			return err
		}
		defer func() { _ = attackerListener.Close() }()
		config.Attacker = attacker.New(attackerListener.Addr(), clock.Now)
	}
	server, err := s.server(config, clock, options)
	if err != nil {
		return refuse("%v", err)
	}
	defer func() { _ = server.Close() }()
	if err := s.settleAccounts(ctx, server, log); err != nil {
		return err
	}
	listener, err := listen(ctx, "--listen", s.Listen)
	if err != nil {
		return err
	}
	base, beside := s.base(listener.Addr()), ""
	if s.Metrics != "" {
		listener, err := listen(ctx, "--metrics", s.Metrics)
		if err != nil {
			return err
		}
		beside += fmt.Sprintf("  metrics   http://%s/metrics\n", listener.Addr())
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", server.Metrics())
		defer serveBeside(ctx, listener, mux, log)()
	}
	if a := config.Attacker; a != nil {
		beside += fmt.Sprintf("  attacker  %s and %s\n", a.Origins()[0], a.Origins()[1])
		defer serveBeside(ctx, attackerListener, a.Against(server.Victim(base)), log)()
	}
	ctx, stop := follow(ctx, watch)
	defer stop()
	s.greet(out.out, base, beside)
	if certificate == nil && len(proxies) == 0 && !isLoopback(s.Listen) {
		log.Warn("others send their passwords here in plain HTTP: use --tls-cert, or a proxy with HTTPS and --trusted-proxy")
	}
	if !s.Classroom && s.Store == "memory" {
		log.Warn("a restart forgets the logins of --store memory, and which copies held by clients have been ended: use database, or redis")
	}
	return serveUntil(ctx, listener, certificate, server, log)
}

// listen opens the address that a flag names.
func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		err = fmt.Errorf("%w: stop what is listening there, or name another address with %s", err, flag)
	}
	return listener, err
}

// reloadEvery is how often the server looks whether its key file has changed.
// SIGHUP is faster, where there is such a signal.
const reloadEvery = 5 * time.Second

// follow keeps a ring up to date until ctx ends, or it is stopped. The context
// that it returns ends besides when the terminal is closed that the server was
// started in: the system sends SIGHUP for that too, and a server that nobody
// sees any more must not keep its port.
func follow(ctx context.Context, watch *keys.Watch) (_ context.Context, stop func()) {
	ctx, end := context.WithCancel(ctx)
	ours := !signal.Ignored(syscall.SIGHUP) && hasTerminal() // nohup ignores it
	signals, hangups, ticker := make(chan os.Signal, 1), make(chan os.Signal), time.NewTicker(reloadEvery)
	signal.Notify(signals, syscall.SIGHUP)
	go watch.Run(ctx, ticker.C, hangups)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case hangup := <-signals:
				if ours && !hasTerminal() {
					end()
					return
				}
				select {
				case hangups <- hangup:
				case <-ctx.Done():
				}
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		ticker.Stop()
		end()
	}
}

// hasTerminal says whether the process belongs to a terminal that is open.
func hasTerminal() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	return tty.Close() == nil
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

// accountCommand is what an operator does to accounts, in the database and beside
// the servers that use it.
type accountCommand struct {
	Database string `placeholder:"URL" help:"Where accounts are kept, as for a service (DATABASE_URL or sqlite:statelab.db)."`

	Add     addAccount     `cmd:"" help:"Add an account; its password is read from standard input."`
	Role    accountRole    `cmd:"" help:"Give an account another role, and end its logins."`
	Disable disableAccount `cmd:"" help:"Keep an account from signing in, and end its logins."`
	Enable  enableAccount  `cmd:"" help:"Let a disabled account sign in again."`
	Remove  removeAccount  `cmd:"" help:"Delete an account, and end its logins."`
	List    listAccounts   `cmd:"" help:"List all accounts."`
}

// AfterApply fills in the database that serve --no-classroom would use.
func (c *accountCommand) AfterApply(s streams) error { //nolint:unparam // kong's hooks return one
	c.Database = cmp.Or(c.Database, s.getenv("DATABASE_URL"), serviceDatabase)
	return nil
}

// open returns the accounts. Nobody signs in here, so nothing counts failures.
func (c *accountCommand) open(ctx context.Context) (*auth.Accounts, io.Closer, error) {
	db, err := store.OpenDatabase(ctx, c.Database, api.Migrations()...)
	if err != nil {
		return nil, nil, refuse("--database: %v", err)
	}
	return auth.New(auth.Config{
		Database: db.DB, Hasher: auth.NewArgon2id(auth.ProductionParams()), Now: time.Now, Rand: cryptorand.Reader,
		Published: api.PublishedPasswords(),
	}), db, nil
}

// do runs one change of the accounts.
func (c *accountCommand) do(ctx context.Context, f func(*auth.Accounts) error) error {
	accounts, closer, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }()
	err = f(accounts)
	var invalid *auth.InvalidError
	switch {
	case errors.As(err, &invalid):
		return refuse("%s", invalid.Reason)
	case errors.Is(err, auth.ErrNotFound):
		return refuse("there is no such account: see statelab account list")
	case errors.Is(err, auth.ErrUsernameTaken):
		return refuse("there is an account of this name")
	}
	return err
}

type account struct {
	Username string `arg:"" help:"Whose account it is."`
}

type addAccount struct {
	account
	DisplayName string `placeholder:"NAME" help:"The name to show; the username if it is left out."`
	Role        string `default:"member" enum:"member,admin" help:"member or admin (${default})."`
}

func (a *addAccount) Run(ctx context.Context, c *commands, s streams) error {
	password, err := s.secret("password: ")
	if err != nil {
		return err
	}
	return c.Account.do(ctx, func(accounts *auth.Accounts) error {
		_, err := accounts.Add(ctx, a.Username, password, cmp.Or(a.DisplayName, a.Username), a.Role)
		return err
	})
}

// secret reads a line that nobody is to see: not from an argument, which other
// users of the machine can read.
func (s streams) secret(prompt string) (string, error) {
	if f, ok := s.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(s.err, prompt)
		defer func() { _, _ = fmt.Fprintln(s.err) }()
		line, err := term.ReadPassword(int(f.Fd()))
		return string(line), err
	}
	line, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

type accountRole struct {
	account
	Role string `arg:"" help:"member or admin."`
}

func (a *accountRole) Run(ctx context.Context, c *commands) error {
	return c.Account.do(ctx, func(accounts *auth.Accounts) error { return accounts.SetRole(ctx, a.Username, a.Role) })
}

type disableAccount struct{ account }

func (a *disableAccount) Run(ctx context.Context, c *commands) error {
	return c.Account.do(ctx, func(accounts *auth.Accounts) error { return accounts.Disable(ctx, a.Username) })
}

type enableAccount struct{ account }

func (a *enableAccount) Run(ctx context.Context, c *commands) error {
	return c.Account.do(ctx, func(accounts *auth.Accounts) error { return accounts.Enable(ctx, a.Username) })
}

type removeAccount struct{ account }

func (a *removeAccount) Run(ctx context.Context, c *commands) error {
	return c.Account.do(ctx, func(accounts *auth.Accounts) error { return accounts.Remove(ctx, a.Username) })
}

type listAccounts struct{}

func (listAccounts) Run(ctx context.Context, c *commands, s streams) error {
	return c.Account.do(ctx, func(accounts *auth.Accounts) error {
		all, err := accounts.List(ctx)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "USERNAME\tROLE\tSTATUS\tDISPLAY NAME\tID")
		for _, a := range all {
			status := "enabled"
			if a.Disabled {
				status = "disabled"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Username, a.Role, status, a.DisplayName, a.ID)
		}
		return w.Flush()
	})
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
  docs      %[1]s/docs
  accounts  %[2]s
  try       curl -i -H 'Content-Type: application/json' -d '{"username":"%[3]s","password":"%[4]s"}' %[1]s/session/login
            200, a Set-Cookie: statelab_session=..., and the profile; the same for /cookie, /cookie-sealed and /token
%[5]s  stop      Ctrl-C
`, base, strings.Join(accounts, ", "), demo[0].Username, demo[0].Password, beside)
}

// How long things may take. The sum of the two last ones bounds a shutdown, and
// half a second more for each listener besides.
const (
	readHeaderTimeout = 5 * time.Second // slow headers (slowloris)
	readTimeout       = 10 * time.Second
	writeTimeout      = 15 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 32 << 10
	drainNotice       = 500 * time.Millisecond // for whoever polls /readyz, before connections are refused
	drainTimeout      = 10 * time.Second       // for requests in flight
)

// garbageFloor is how much garbage may lie about before it is collected,
// however little is alive, in bytes.
const garbageFloor = 16 << 20

// spareCollections keeps the collector from running every few hundred requests:
// a small server has 2 MB alive, and Go collects at 4. It returns a block to
// keep: the collector takes it for alive, and the system gives no memory for it,
// since nobody touches it. A higher GOGC would do the same until more is alive;
// its percentage, meant for 2 MB, lets hundreds pass once there are 40.
func spareCollections() []byte { return make([]byte, garbageFloor) }

// smallHeap is how much may be alive besides hashes, in bytes, for garbage to be
// collected after each one: that takes some milliseconds, and a hash takes 50.
const smallHeap = 2 * garbageFloor

// collectSpent returns a function that collects what a hash leaves behind. Go
// alone would wait until that is as much as is alive, the memory of the hashes
// that run included, and hold twice as many. Where much else is alive, as much
// garbage is nothing new.
func collectSpent(params argon2id.Params) func() {
	hashes := uint64(runtime.GOMAXPROCS(0)) * uint64(params.Memory) << 10 // #nosec G115 -- not negative
	return func() {
		alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		if metrics.Read(alive); alive[0].Value.Uint64() < hashes+garbageFloor+smallHeap {
			runtime.GC()
		}
	}
}

// newHasher returns the hasher of a server. GOGC in the environment wins over
// what is done here about garbage.
func newHasher(getenv func(string) string) *auth.Argon2id {
	params := auth.ProductionParams()
	h := auth.NewArgon2id(params)
	if getenv("GOGC") == "" {
		h.Spent = collectSpent(params)
	}
	return h
}

// A certificate is a pair of files. When they have changed, the next handshake
// reads them anew, so that a renewal needs no restart.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate // the newest that could be read
	stamps [2]time.Time     // of the files when they were last read; zero: missing
}

// loadCertificate returns an error that says which file is at fault.
func loadCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// read reads the files if they have changed since they were last read, be it
// with success: what is wrong with them is told once.
func (c *certificate) read() error {
	var stamps [2]time.Time
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			stamps[i] = info.ModTime()
		}
	}
	if c.pair != nil && stamps == c.stamps {
		return nil
	}
	c.stamps = stamps
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("%s and %s are no certificate with its key: %w", c.certFile, c.keyFile, err)
	}
	c.pair = &pair
	return nil
}

// get is a tls.Config.GetCertificate. Files that cannot be read, or do not
// belong together because only one has been renewed so far, leave it at the
// certificate that it has.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.read(); err != nil {
		c.log.Warn("the certificate stays as it was", slog.Any("error", err))
	}
	return c.pair, nil
}

// newHTTP returns the server of a listener.
func newHTTP(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),

		DisableGeneralOptionsHandler: true, // OPTIONS * is answered as everything else
	}
}

// serveBeside serves what has a listener of its own until stop is called: last of
// all, so that metrics tell of the end too.
func serveBeside(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) (stop func()) {
	h := newHTTP(handler, log)
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	return func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainNotice)
		defer cancel()
		if h.Shutdown(grace) != nil {
			_ = h.Close() // whoever is slow here comes again
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			log.Error("a listener was not served to the end", slog.Any("address", listener.Addr()), slog.Any("error", err))
		}
	}
}

// serveUntil serves on the listener, by TLS if there is a certificate, until ctx
// ends; then /readyz turns 503, requests in flight finish, and it returns nil.
func serveUntil(ctx context.Context, listener net.Listener, cert *certificate, server server, log *slog.Logger) error {
	h := newHTTP(server, log)
	served := make(chan error, 1)
	serve := h.Serve
	if cert != nil {
		h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
		serve = func(l net.Listener) error { return h.ServeTLS(l, "", "") }
	}
	go func() { served <- serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	log.Info("draining")
	server.Drain()
	h.SetKeepAlivesEnabled(false)
	<-time.After(drainNotice)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := h.Shutdown(grace); err != nil {
		return fmt.Errorf("requests were still in flight after %s: %w", drainTimeout, errors.Join(err, h.Close()))
	}
	return nil
}
