// Statelab serves one login and profile contract through several ways of
// keeping the state of a login, so that they can be compared side by side.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"statelab/api"
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
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// The exit statuses.
const (
	exitOK      = 0
	exitFailed  = 1 // it was started as asked and then failed
	exitRefused = 2 // it will not start this way
)

// run is the program: everything it reads and writes is handed in.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	var cli commands
	status := -1
	parser, err := kong.New(&cli, kong.Name("statelab"),
		kong.Description("Where should the state of a login live? Without a command, statelab serves the classroom.\n\n"+
			"Every flag has a variable: --session-max is STATELAB_SESSION_MAX. A flag wins."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { status = code }),
		kong.Resolvers(variables(getenv)), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(streams{stdout, stderr, getenv}))
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
	out, err io.Writer
	getenv   func(string) string
}

// A refusal says in one line why the program does not start, and what to do.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

type commands struct {
	Serve   serve          `cmd:"" default:"withargs" help:"Serve the contract (the default)."`
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

// serve has the flags of the server. Those whose default depends on the
// classroom or on other variables are empty until settle.
type serve struct {
	Listen         string        `placeholder:"ADDRESS" help:"Address to serve on (localhost:8080); the classroom serves loopback only, a service also takes the variable PORT."`
	Database       string        `placeholder:"URL" help:"Where accounts are kept: sqlite:PATH or postgres://... (sqlite:statelab-classroom.db; for a service DATABASE_URL or sqlite:statelab.db)."`
	Store          string        `placeholder:"URL" help:"Where logins are kept: memory, database, redis://... or rediss://... (memory; a service also takes the variable REDIS_URL)."`
	Keys           string        `placeholder:"FILE" help:"The key file (statelab-classroom.keys.json, which the classroom makes if it is missing; for a service statelab.keys.json)."`
	Classroom      bool          `default:"true" negatable:"" help:"Serve the classroom: demo accounts, this machine only (the default). Without it, statelab is a service for others."`
	Strategies     []string      `default:"session,cookie,cookie-sealed,token" placeholder:"SLUG" help:"The strategies to mount (${default}, which always are); the classroom mounts all."`
	TLSCert        string        `name:"tls-cert" placeholder:"FILE" help:"The certificate to serve HTTPS with, PEM, with its chain (none). A renewed file is picked up."`
	TLSKey         string        `name:"tls-key" placeholder:"FILE" help:"The key of --tls-cert, PEM (none)."`
	TrustedProxy   []string      `placeholder:"CIDR" help:"Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, such as 10.0.0.0/8 (none)."`
	AllowOrigin    []string      `placeholder:"ORIGIN" help:"Origins whose pages may use the API with credentials, such as http://localhost:5173 (none)."`
	SessionIdle    time.Duration `default:"15m" placeholder:"TIME" help:"A login held by the server ends after so long without a request (${default})."`
	SessionMax     time.Duration `default:"8h" placeholder:"TIME" help:"A session or a cookie ends after so long (${default})."`
	AccessTTL      time.Duration `name:"access-ttl" default:"15m" placeholder:"TIME" help:"An access token is valid for so long (${default})."`
	RefreshTTL     time.Duration `name:"refresh-ttl" default:"168h" placeholder:"TIME" help:"A token login ends after so long, however often it is refreshed (${default})."`
	RefreshOverlap time.Duration `default:"10s" placeholder:"TIME" help:"The previous refresh token still returns the same successor for so long (${default})."`
	TokenAlg       string        `default:"EdDSA" enum:"EdDSA,HS256" help:"What signs access tokens: EdDSA or HS256 (${default})."`
	Revocation     string        `default:"none" enum:"none,denylist" help:"Whether copies held by clients can be ended: none (${default})."`
	LogFormat      string        `default:"text" enum:"text,json" help:"The form of the log on standard error: text or json (${default})."`
	LogLevel       string        `default:"info" enum:"debug,info,warn,error" help:"The least level to log: debug, info, warn or error (${default}); a line for each request is info."`

	Later `group:"Not in this version:"`
}

// Later are the flags that are named already and refused until they work.
type Later struct {
	Metrics         string `hidden:""`
	Attacker        string `hidden:""`
	CredentialCache int    `hidden:""`
	Cache           string `hidden:""`
}

// settle fills in what was given neither as a flag nor as its variable. Outside
// the classroom the variables that platforms set come first.
func (s *serve) settle(getenv func(string) string) {
	database, keyFile := "sqlite:statelab-classroom.db", "statelab-classroom.keys.json"
	var listen, databaseURL, redisURL string
	if !s.Classroom {
		database, keyFile = "sqlite:statelab.db", "statelab.keys.json"
		databaseURL, redisURL = getenv("DATABASE_URL"), getenv("REDIS_URL")
		if port := getenv("PORT"); port != "" {
			listen = ":" + port
		}
	}
	s.Listen = cmp.Or(s.Listen, listen, "localhost:8080")
	s.Database = cmp.Or(s.Database, databaseURL, database)
	s.Store = cmp.Or(s.Store, redisURL, "memory")
	s.Keys = cmp.Or(s.Keys, keyFile)
}

// check refuses what this version cannot do and what would not be safe.
func (s *serve) check() error {
	if !reflect.ValueOf(s.Later).IsZero() {
		return refuse("--metrics, --attacker, --credential-cache and --cache are not in this version: leave them out")
	}
	if s.Revocation != "none" {
		return refuse("--revocation %s is not in this version: leave it out", s.Revocation)
	}
	if err := state.CheckNames(s.Classroom, s.Strategies); err != nil {
		return refuse("--strategies: %v", err)
	}
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || !isPort(port) {
		return refuse("%q is no address to serve on: give --listen, or PORT, one such as localhost:8080, or 8080", s.Listen)
	}
	if s.Classroom && !s.isLoopback() {
		return refuse("--listen %s would show the classroom, with its published passwords, to others: use localhost, or --no-classroom", s.Listen)
	}
	if s.Classroom && len(s.TrustedProxy) > 0 {
		return refuse("--trusted-proxy: the classroom answers nobody behind a proxy: leave it out, or add --no-classroom")
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return refuse("--tls-cert and --tls-key belong together: give both or neither")
	}
	for _, origin := range s.AllowOrigin {
		if err := api.CheckOrigin(origin); err != nil {
			return refuse("--allow-origin: %v", err)
		}
	}
	for name, d := range map[string]time.Duration{
		"session-idle": s.SessionIdle, "session-max": s.SessionMax, "access-ttl": s.AccessTTL, "refresh-ttl": s.RefreshTTL,
	} {
		if d < time.Second {
			return refuse("--%s %s is too short: use at least 1s", name, d)
		}
	}
	if s.RefreshOverlap < 0 || s.RefreshOverlap > time.Minute {
		return refuse("--refresh-overlap %s is out of range: use 0s to 1m, since a thief has as long", s.RefreshOverlap)
	}
	if s.AccessTTL > time.Hour {
		return refuse("--access-ttl %s is too long for a token that cannot be called back: use at most 1h", s.AccessTTL)
	}
	return nil
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// isLoopback says whether only this machine can reach the address.
func (s *serve) isLoopback() bool {
	host, _, _ := net.SplitHostPort(s.Listen) // checked
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
	ring, err := keys.Load(s.Keys)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = refuse("there is no key file %s: make one with statelab keys init --keys %[1]s", s.Keys)
	case err != nil:
		err = refuse("%v: name another file with --keys", err)
	}
	return ring, err
}

// settleAccounts makes the demo accounts in the classroom, and elsewhere refuses
// to start beside them.
func (s *serve) settleAccounts(ctx context.Context, server *api.Server, log *slog.Logger) error {
	if s.Classroom {
		if err := server.AddDemoAccounts(ctx); err != nil {
			return fmt.Errorf("the demo accounts could not be made: %w", err)
		}
		return nil
	}
	switch username, err := server.FindDemoAccount(ctx); {
	case err != nil: // the database may be down at the start; their passwords open nothing here
		log.Warn("could not look for demo accounts", slog.Any("error", err))
	case username != "":
		return refuse("the database holds the demo account %s with its published password: give --database another one, not a classroom's", username)
	}
	return nil
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
	log := s.logger(out.err)
	var certificate *certificate
	if s.TLSCert != "" {
		if certificate, err = loadCertificate(s.TLSCert, s.TLSKey, log); err != nil {
			return refuse("--tls-cert, --tls-key: %v", err)
		}
	}
	db, err := store.OpenDatabase(ctx, s.Database, store.Migrations{Table: "accounts_version", Files: auth.Migrations()})
	if err != nil {
		return refuse("--database: %v", err)
	}
	defer func() { _ = db.Close() }()
	database := store.Guarded(store.NewSQL(db, store.Options{}))
	defer func() { _ = database.Close() }()
	logins, err := store.Open(s.Store, database, store.Options{})
	if err != nil {
		return refuse("--store: %v", err)
	}
	if logins != database {
		defer func() { _ = logins.Close() }()
	}
	ring, err := s.ring()
	if err != nil {
		return err
	}
	server, err := api.New(api.Config{
		Database: db.DB, Store: logins, DatabaseStore: database, Keys: ring, Logger: log, OpenAPI: openAPI, Version: version(),
		Classroom: s.Classroom, Strategies: s.Strategies, TrustedProxies: proxies,
		AllowOrigins: s.AllowOrigin, TokenAlg: s.TokenAlg,
		Lifetimes: state.Lifetimes{
			SessionIdle: s.SessionIdle, SessionMax: s.SessionMax,
			AccessTTL: s.AccessTTL, RefreshTTL: s.RefreshTTL, RefreshOverlap: s.RefreshOverlap,
		},
	})
	if err != nil {
		return refuse("%v", err)
	}
	defer func() { _ = server.Close() }()
	if err := s.settleAccounts(ctx, server, log); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("%w: stop what is listening there, or name another address with --listen", err)
	}
	spareCollections(out.getenv)
	s.greet(out.out, listener.Addr())
	if certificate == nil && len(proxies) == 0 && !s.isLoopback() {
		log.Warn("others send their passwords here in plain HTTP: use --tls-cert, or a proxy with HTTPS and --trusted-proxy")
	}
	return serveUntil(ctx, listener, certificate, server, log)
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

// greet says where to begin.
func (s *serve) greet(w io.Writer, addr net.Addr) {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip.IsLoopback() || ip.IsUnspecified() {
		host = "localhost"
	}
	base := "http://" + net.JoinHostPort(host, port)
	if s.TLSCert != "" {
		base = "https://" + net.JoinHostPort(host, port)
	}
	if !s.Classroom {
		_, _ = fmt.Fprintf(w, `statelab: a service, without the classroom
  page      %[1]s
  docs      %[1]s/docs
  ready     %[1]s/readyz
  stop      Ctrl-C
`, base)
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
  stop      Ctrl-C
`, base, strings.Join(accounts, ", "), demo[0].Username, demo[0].Password)
}

// How long things may take. The sum of the two last ones bounds a shutdown.
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
// a small server has 2 MB alive, and Go collects at 4. A fixed higher GOGC would
// do the same and, with a million logins, multiply gigabytes; so the percentage
// is set anew at each collection, by a finalizer, from what is alive then. GOGC
// in the environment wins.
func spareCollections(getenv func(string) string) {
	if getenv("GOGC") != "" {
		return
	}
	type sentinel struct{ _ [16]byte }
	alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := 100
	var retune func(*sentinel)
	retune = func(*sentinel) {
		metrics.Read(alive)
		wanted := 100
		if bytes := alive[0].Value.Uint64(); bytes < garbageFloor {
			wanted = int(garbageFloor * 100 / max(bytes, 1<<20)) // #nosec G115 -- at most 1600
		}
		if wanted > percent*5/4 || wanted < percent*4/5 { // setting it stops the world
			percent = wanted
			debug.SetGCPercent(percent)
		}
		runtime.SetFinalizer(new(sentinel), retune)
	}
	retune(nil)
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

// serveUntil serves on the listener, by TLS if there is a certificate, until ctx
// ends; then /readyz turns 503, requests in flight finish, and it returns nil.
func serveUntil(ctx context.Context, listener net.Listener, cert *certificate, server *api.Server, log *slog.Logger) error {
	h := &http.Server{
		Handler:           server,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),

		DisableGeneralOptionsHandler: true, // OPTIONS * is answered as everything else
	}
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
