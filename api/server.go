// Package api serves statelab's contract over HTTP: the same login and profile
// behind every strategy, each in a route group of its own.
package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/goccy/go-yaml"
	"github.com/golang-jwt/jwt/v5"

	"statelab/api/attacker"
	"statelab/api/cache"
	"statelab/api/catalog"
	"statelab/api/rest"
	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
	"statelab/state/store"
)

// Config is everything that a server is made of. What tests and lessons vary is
// here; nothing is read from the environment or kept in a global.
type Config struct {
	Database      *sql.DB       // of accounts and catalogue, as sqlstore.OpenDatabase returns it with Migrations
	Store         state.Store   // of logins, refresh families and counts of failed sign-ins and registrations
	DatabaseStore state.Store   // the same in the database, for strategies that are placed there
	Process       Process       // what the process keeps without a store; zero: nothing yet
	Strategies    []string      // slugs of those to mount besides those that always are
	CacheMemory   *cache.Memory // what the process keeps of answers; zero: nothing yet
	CacheShared   cache.Store   // what nodes keep together; zero: that policy keeps nothing

	// Classroom opens what only learners may see: every strategy, the weak ones too, and
	// the demo accounts. It answers this machine alone, besides ClassroomHosts. The zero
	// value is a service for others, where none of that exists.
	Classroom bool
	// ClassroomHosts are names besides localhost by which the classroom answers, such as
	// that of a cloud editor's proxy. Clients that reach one can use the published passwords.
	ClassroomHosts []string
	TrustedProxies []netip.Prefix // whose X-Forwarded-For and -Proto are believed; zero: nobody's

	Keys   *keys.Ring
	Hasher auth.Hasher // zero: argon2id with auth.ProductionParams

	Now    func() time.Time // zero: time.Now
	Rand   io.Reader        // zero: crypto/rand; must be cryptographically secure
	Logger *slog.Logger     // zero: no log

	// Of its Lifetimes, zero is state.DefaultLifetimes, and of LoginsPerAccount state.DefaultLoginsPerAccount.
	state.Limits
	TokenAlg      string        // "EdDSA" (the zero value) or "HS256"
	Denylist      bool          // logins that clients hold can be ended, for a look-up with each request
	SameSite      http.SameSite // of the strategies' cookies; zero: Lax
	NoOriginCheck bool          // strategies take requests from pages of any origin: a lesson
	NoSizeCheck   bool          // strategies set cookies that browsers drop for their size: a lesson
	AllowOrigins  []string      // whose pages may use the API with credentials; zero: only our own
	OpenAPI       []byte        // openapi.yaml
	Version       string        // of the program
	Checks        []Check       // what /readyz asks besides the database and the store
	// Warnings returns a sentence for each thing that works in part only; zero: none. It
	// is called for each request of /readyz and /metrics.
	Warnings        func(context.Context) []string
	Patience        time.Duration // of one statement about accounts or the catalogue; zero: their DefaultPatience
	RequestPatience time.Duration // of all that a request waits for; zero: DefaultRequestPatience
	FollowEvery     time.Duration // how often the database is asked what operators have changed; zero: DefaultFollowEvery

	Extension Extension // what a classroom adds; nil: nothing
}

// Check is a part that a server depends on. Ask returns what is wrong with it,
// for the log alone, within a second.
type Check struct {
	Name string
	Ask  func(context.Context) error
}

// Server is an http.Handler that serves the contract. Whoever made the store
// and the database closes them, after the server.
type Server struct {
	config   Config
	log      *slog.Logger
	accounts *auth.Accounts
	counter  *counter
	store    state.Store
	groups   []*Group
	catalog  *catalog.Catalog
	catalogs []*cachedCatalog // the catalog under each policy
	metrics  *metrics
	csrf     *http.CrossOriginProtection
	engine   *gin.Engine
	draining atomic.Bool
	stop     context.CancelFunc
	stopped  sync.WaitGroup
}

// complete returns the config with its zero fields filled in.
func (c Config) complete() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Hasher == nil {
		c.Hasher = auth.NewArgon2id(auth.ProductionParams())
	}
	if c.Lifetimes == (state.Lifetimes{}) {
		c.Lifetimes = state.DefaultLifetimes()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.TokenAlg = cmp.Or(c.TokenAlg, jwt.SigningMethodEdDSA.Alg())
	c.LoginsPerAccount = cmp.Or(c.LoginsPerAccount, state.DefaultLoginsPerAccount)
	c.FollowEvery = cmp.Or(c.FollowEvery, DefaultFollowEvery)
	c.RequestPatience = cmp.Or(c.RequestPatience, DefaultRequestPatience)
	if c.CacheMemory == nil {
		c.CacheMemory = cache.NewMemory(0)
	}
	return c
}

// New wires a server. It is cheap. The caller closes it after its last request.
func New(config Config) (*Server, error) {
	config = config.complete()
	gin.SetMode(gin.ReleaseMode) // a global of Gin's; in debug mode it prints every route
	s := &Server{config: config, log: config.Logger, metrics: newMetrics(config)}
	s.store = store.Counted(config.Store, s.metrics.operationsOf(""))
	if err := s.allowOrigins(); err != nil {
		return nil, err
	}
	if err := state.CheckNames(config.Classroom, config.Strategies); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	if err := s.config.Process.complete(config.Rand); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	// From here on nothing fails: the counter holds what Close has to free.
	s.counter = newCounter(s.store, config.Now)
	var published []string
	if !config.Classroom {
		published = PublishedPasswords()
	}
	s.accounts = auth.New(auth.Config{
		Database: config.Database, Hasher: config.Hasher, Counter: s.counter,
		Now: config.Now, Rand: config.Rand, Patience: config.Patience, Published: published,
		LimitRegistrations: !config.Classroom,
	})
	if err := s.mount(); err != nil {
		return nil, err
	}
	s.catalog = catalog.New(config.Database, config.Now, config.Patience)
	for _, p := range policies {
		s.catalogs = append(s.catalogs, s.newCachedCatalog(p))
	}
	s.engine = s.routes()
	s.metrics.serve(s.groups, s.Routes())
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.stopped.Go(func() { s.follow(ctx) })
	return s, nil
}

// allowOrigins makes one list of origins feed both checks: whose pages may read answers,
// and whose requests may change something.
func (s *Server) allowOrigins() error {
	s.csrf = http.NewCrossOriginProtection()
	for _, name := range s.config.ClassroomHosts { // the proxy may have rewritten Host
		for _, origin := range []string{"https://" + name, "http://" + name} {
			if err := s.csrf.AddTrustedOrigin(origin); err != nil {
				return fmt.Errorf("api: a name of the classroom: %w", err)
			}
		}
	}
	for _, origin := range s.config.AllowOrigins {
		if err := CheckOrigin(origin); err != nil {
			return fmt.Errorf("api: %w", err)
		}
		if err := s.csrf.AddTrustedOrigin(origin); err != nil {
			return fmt.Errorf("api: allowed origin: %w", err)
		}
	}
	return nil
}

// mount makes the strategies that the server has.
func (s *Server) mount() error {
	config := s.config
	stores := map[state.Place]state.Store{state.PlaceStore: config.Store, state.PlaceDatabase: config.DatabaseStore}
	for _, d := range state.Definitions() {
		if !d.Mounted(config.Classroom, config.Strategies) {
			continue
		}
		var counted state.Store // nil at PlaceProcess
		if kept := stores[d.Place]; kept != nil {
			counted = store.Counted(kept, s.metrics.operationsOf(d.Slug))
		}
		strategy, err := state.New(state.Config{
			Slug: d.Slug, Store: counted, Keys: config.Keys, Roles: s.role, Now: config.Now, Rand: config.Rand,
			Limits: config.Limits, TokenAlg: config.TokenAlg, Denylist: config.Denylist,
			SameSite: config.SameSite, NoSizeCheck: config.NoSizeCheck, Process: config.Process.strategies,
			Limited:  func(ctx context.Context, subject, id string) { s.limited(ctx, d.Slug, subject, id) },
			Replaced: func(ctx context.Context, ended state.Login) { s.replaced(ctx, d.Slug, ended) },
		})
		if err != nil {
			return err
		}
		if r, ok := strategy.(state.Remembering); ok {
			counted = r.Records()
		}
		s.groups = append(s.groups, &Group{Server: s, Slug: d.Slug, Store: counted, Strategy: strategy, Traits: strategy.Traits()})
	}
	return nil
}

// routes is every route that there is.
func (s *Server) routes() *gin.Engine { //nolint:funlen // every route on one screen
	e := gin.New()
	e.HandleMethodNotAllowed, e.RedirectTrailingSlash, e.RedirectFixedPath = true, false, false
	e.UseRawPath = true          // /session%2Fprofile is not /session/profile
	_ = e.SetTrustedProxies(nil) // place finds out where a request comes from
	e.Use(s.note, s.recover)
	if s.config.Classroom {
		e.Use(s.onlyLocal)
	}
	e.Use(s.preflight)
	if origins := s.config.AllowOrigins; len(origins) > 0 {
		e.Use(s.shareWith(origins))
	}
	e.Use(s.onlyShort, s.onlySameOrigin)
	e.NoRoute(s.nothing("not_found", "GET / lists what the server has."))
	e.NoMethod(s.nothing("method_not_allowed", "The header Allow lists the methods of this route."))

	Read(e, "/", s.index)
	Read(e, "/web/*name", s.asset)
	Read(e, "/openapi.yaml", s.specification("application/yaml", func(text []byte) ([]byte, error) { return text, nil }))
	Read(e, "/openapi.json", s.specification("application/json", yaml.YAMLToJSON))
	docs := s.docs(documentation())
	Read(e, "/docs", docs)
	Read(e, "/docs/*name", docs)
	Read(e, "/.well-known/jwks.json", s.JSON(s.jwks))
	Read(e, "/healthz", s.JSON(s.health))
	Read(e, "/readyz", s.JSON(s.ready))
	if s.config.Classroom { // a service has a listener of its own for them
		Read(e, "/metrics", gin.WrapH(s.Metrics()))
	}
	e.POST("/accounts", s.onlyJSON, s.bounded, s.JSON(s.register))

	extension := s.config.Extension
	if extension != nil {
		extension.AddRoutes(s, e, e.Group("", s.onlyJSON))
	}

	for _, sh := range s.catalogs {
		r := e.Group(sh.path(), s.onlyJSON)
		Read(r, "", s.plain, sh.cache.Handle, sh.read)
		r.PATCH("/:sku", s.JSON(sh.price))
	}

	for _, g := range s.groups {
		pages := e.Group("/"+g.Slug, g.note)
		if paged, ok := g.Strategy.(state.Paged); ok {
			Read(pages, "/", g.ownPage(paged))
			pages.POST("/", s.bounded, g.form)
		} else {
			Read(pages, "/", g.page)
		}
		r := pages.Group("", s.onlyJSON)
		Read(r, "/profile", s.JSON(g.profile))
		r = r.Group("", s.bounded)
		r.POST("/login", s.JSON(g.login))
		r.PATCH("/profile", s.JSON(g.patch))
		r.POST("/spend", s.JSON(g.spend))
		r.POST("/refresh", s.JSON(g.refresh))
		r.POST("/logout", s.JSON(g.logout))
		Read(r, "/logins", s.JSON(g.logins))
		r.DELETE("/logins/:id", s.JSON(g.endLogin))
		r.PUT("/password", s.JSON(g.password))
		Read(r, "/members", s.JSON(g.members))
		Read(r, "/inspect", s.JSON(g.inspect))
		if extension != nil {
			extension.AddRoutesOf(g, pages, r)
		}
	}
	return e
}

// Route is a method and a path with parameters, as Gin writes them.
type Route struct{ Method, Path string }

// Routes returns every route that the server answers.
func (s *Server) Routes() []Route {
	var all []Route
	for _, r := range s.engine.Routes() {
		all = append(all, Route{r.Method, r.Path})
	}
	return all
}

// Victim is what an attacker knows of the server, which it reaches at an origin.
func (s *Server) Victim(origin string) attacker.Victim {
	v := attacker.Victim{Origin: origin}
	for _, g := range s.groups {
		_, form := g.Strategy.(state.Paged)
		v.Targets = append(v.Targets, attacker.Target{Slug: g.Slug, Form: form})
	}
	bob := DemoAccounts()[1]
	v.Username, v.Password = bob.Username, bob.Password
	return v
}

// JSON makes a handler of a function that returns a status and a body, or an
// error. A nil body is an answer without one.
func (s *Server) JSON(f func(*gin.Context) (int, any, error)) gin.HandlerFunc {
	return func(c *gin.Context) {
		switch status, body, err := f(c); {
		case err != nil:
			s.Fail(c, err)
		case body == nil:
			c.Status(status)
			c.Writer.WriteHeaderNow()
		default:
			rest.Write(c.Writer, status, body)
		}
	}
}

// role is a state.Roles over the accounts.
func (s *Server) role(ctx context.Context, subject string) (string, error) {
	a, err := s.accounts.Account(ctx, subject)
	if errors.Is(err, auth.ErrNotFound) {
		return "", state.ErrNotFound
	}
	return a.Role, err
}

// endPatience bounds the endings that one request waits for, in all strategies together.
// Each operation by subject may take longer than a request has, and gives the store no
// rest: without this bound each strategy would wait anew for a store that hangs.
const endPatience = 800 * time.Millisecond

// endOthers ends every login of l's owner but l itself, wherever logins can be
// ended.
func (s *Server) endOthers(ctx context.Context, l state.Login) error {
	ctx, cancel := outlasting(ctx)
	defer cancel()
	ctx, end := context.WithTimeout(ctx, endPatience)
	defer end()
	return s.endAll(ctx, l.Subject, l.ID, state.MicrosOf(s.config.Now()))
}

// endAll ends the subject's logins that began by the moment until, but for the
// one with the id except, in every strategy that can. One whose store fails does
// not keep the others from it.
func (s *Server) endAll(ctx context.Context, subject, except string, until state.Micros) error {
	var failed error
	for _, g := range s.groups {
		if ender, ok := g.ender(); ok {
			failed = errors.Join(failed, ender.EndAll(ctx, subject, except, until))
		}
	}
	return failed
}

// Close frees what the server itself holds.
func (s *Server) Close() error {
	s.stop()
	s.stopped.Wait()
	return s.counter.own.Close()
}

// Drain makes /readyz answer 503 from now on, so that no new work is sent here.
func (s *Server) Drain() { s.draining.Store(true) }
