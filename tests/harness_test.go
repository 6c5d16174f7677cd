// Package tests tries statelab from outside, through its HTTP contract.
//
// Every answer of the whole run passes the same checks, in client.do: the
// headers that all answers carry, the shape of problems, and openapi.yaml.
package tests

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/go-json-experiment/json"
	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	cryptorand "crypto/rand"
	stdjson "encoding/json"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
	"statelab/state/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		_ = os.RemoveAll(built)
		os.Exit(status)
	}))
}

// strategies are the columns that every matrix runs over.
var strategies = state.Slugs()

// A promise is what holds for a strategy, whatever the server is told.
type promise struct {
	state.Definition
	state.Traits
	cookie string // its name without TLS, or what it would be
	page   bool   // it has one of its own
}

// promises are those of all strategies, by slug.
var promises = sync.OnceValue(func() map[string]promise {
	all := map[string]promise{}
	for _, d := range state.Definitions() {
		s, err := state.New(state.Config{Slug: d.Slug, Store: faultyStore{}, Rand: cryptorand.Reader})
		if err != nil {
			panic(err)
		}
		_, page := s.(state.Paged)
		p := promise{d, s.Traits(), "statelab_" + d.Slug, page}
		if namer, ok := s.(state.CookieBased); ok {
			p.cookie = namer.CookieName(httptest.NewRequest("GET", "/", nil))
		}
		all[d.Slug] = p
	}
	return all
})

// shared are the strategies that several nodes can serve, and one node after
// another: those whose state is not in the memory of one process.
var shared = slices.DeleteFunc(slices.Clone(strategies), func(slug string) bool { return promises()[slug].KeptIn == state.PlaceProcess })

// instant are those of them of which each node knows at once what another did.
var instant = slices.DeleteFunc(slices.Clone(shared), func(slug string) bool { return promises()[slug].StaleSeconds > 0 })

// forgets lets the time pass after which a strategy looks up again what it has
// remembered, if it has.
func (s *server) forgets(t testing.TB, slug string) {
	t.Helper()
	s.clock.advance(time.Duration(s.traits(t, slug).StaleSeconds) * time.Second)
}

// asks says whether a store is asked about each request, once what is remembered is
// too old.
func asks(traits state.Traits) bool {
	return traits.NeedsSharedStore && traits.KeptIn != state.PlaceProcess
}

// outlives says whether a login lives on in the next process, if that one has the
// same database and the same keys, and a store in memory.
func outlives(traits state.Traits) bool {
	return traits.SurvivesRestart != state.SurvivesWithStore && traits.SurvivesRestart != string(state.PlaceProcess)
}

// cookieName is the name of a strategy's cookie without TLS.
func cookieName(slug string) string { return promises()[slug].cookie }

// The demo accounts.
const (
	alice, alicePassword     = "alice", "wonderland"
	bob, bobPassword         = "bob", "cheshire-cat"
	teacher, teacherPassword = "teacher", "queen-of-hearts"
)

// A clock stands still until a test moves it. The server's own goes by it.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	server *api.Clock
}

func newClock() *clock {
	c := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	c.server = api.NewClock(c.Now)
	return c
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// cheapHasher costs next to nothing, so that tests can sign in a lot.
func cheapHasher() auth.Hasher {
	return auth.NewArgon2id(argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
}

// statelab is what main serves: in the classroom with its levers.
type statelab interface {
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
func newStatelab(t testing.TB, config api.Config, c *clock) statelab {
	t.Helper()
	var s statelab
	var err error
	if config.Classroom {
		ahead := c.server
		if config.Now == nil { // the real one
			ahead = api.NewClock(nil)
		}
		s, err = api.NewClassroom(config, ahead, func() state.Store { return store.NewMemory(store.Options{Now: ahead.Now}) })
	} else {
		s, err = api.New(config)
	}
	require.NoError(t, err)
	return s
}

// A server is statelab on a loopback port, with stores, keys and a clock of its
// own.
type server struct {
	statelab
	config api.Config
	clock  *clock
	url    string
	canary *canary
}

// option changes what a server is made of.
type option func(*api.Config)

// defaults change every server that is started while they are set.
var defaults []option

// newServer starts a server that ends with the test.
func newServer(t testing.TB, options ...option) *server {
	t.Helper()
	c := newClock()
	ring, err := keys.Generate(cryptorand.Reader, c.Now())
	require.NoError(t, err)
	db := newDatabase(t)
	config := api.Config{
		Database: db.DB, Store: store.NewMemory(store.Options{Now: c.server.Now}), DatabaseStore: newSQL(t, db, c.server.Now), Keys: ring,
		Hasher: cheapHasher(), Now: c.server.Now, OpenAPI: specificationText(t), Version: "test", Classroom: true,
	}
	for _, o := range append(defaults, options...) {
		o(&config)
	}
	t.Cleanup(func() { require.NoError(t, config.Store.Close()) })
	return startServer(t, config, c)
}

// startServer serves what a config is made of, as after a restart.
func startServer(t testing.TB, config api.Config, c *clock) *server {
	t.Helper()
	watched, w := config, newCanary(config.Logger)
	watched.Logger = w.logger
	s := newStatelab(t, watched, c)
	if config.Classroom {
		require.NoError(t, s.AddDemoAccounts(t.Context()))
	}
	h := httptest.NewServer(s)
	served := &server{s, config, c, h.URL, w}
	t.Cleanup(func() {
		h.Close()
		require.Empty(t, w.leaks(w.log.String()), "a credential is in the log")
		require.Empty(t, w.leaks(served.exposition()), "a credential is in the metrics")
		require.NoError(t, s.Close())
	})
	return served
}

// overTLS is the same server at an address with HTTPS and HTTP/2.
func (s *server) overTLS(t testing.TB) *server {
	t.Helper()
	h := httptest.NewUnstartedServer(s)
	h.EnableHTTP2 = true
	h.StartTLS()
	t.Cleanup(h.Close)
	return &server{s.statelab, s.config, s.clock, h.URL, s.canary}
}

// newDatabase returns an empty database with its tables.
func newDatabase(t testing.TB) *store.Database {
	t.Helper()
	db, err := store.OpenDatabase(t.Context(), "sqlite::memory:", api.Migrations()...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// newSQL returns a store in a database, which ends with the test.
func newSQL(t testing.TB, db *store.Database, now func() time.Time) *store.SQL {
	t.Helper()
	s := store.NewSQL(db, store.Options{Now: now})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// A client holds what one browser or one curl holds: cookies, and tokens.
type client struct {
	t       testing.TB
	s       *server
	slug    string
	cookies map[string]string
	paths   map[string]string // of cookies, where they have one
	access  string
	refresh string
	send    func(*http.Request) // changes requests before they go
}

func (s *server) client(t testing.TB, slug string) *client {
	return &client{t: t, s: s, slug: slug, cookies: map[string]string{}, paths: map[string]string{}}
}

// login returns a client that has logged in.
func (s *server) login(t testing.TB, slug, username, password string) *client {
	t.Helper()
	c := s.client(t, slug)
	c.post("login", credentials{username, password}).is(http.StatusOK)
	return c
}

type credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// copy is a thief's: it has the credentials as they are now.
func (c *client) copy() *client {
	d := *c
	d.cookies, d.paths = maps.Clone(c.cookies), maps.Clone(c.paths)
	return &d
}

// held is the credential that the client's next request carries.
func (c *client) held() string {
	if c.bearer() {
		return c.access
	}
	return c.cookies[c.cookieName()]
}

// renews is what the client's next refresh carries besides: a refresh token, in
// the body or in a cookie of its own, or "".
func (c *client) renews() string {
	return cmp.Or(c.refresh, c.cookies[c.renewalName()])
}

// hold gives the client a credential in the place of the one that it holds.
func (c *client) hold(credential string) *client {
	if c.bearer() {
		c.access = credential
	} else {
		c.cookies[c.cookieName()] = credential
	}
	return c
}

// lives is how long a credential is good that the client was just given.
func (c *client) lives() time.Duration {
	if c.renews() != "" {
		return state.DefaultLifetimes().AccessTTL
	}
	return state.DefaultLifetimes().SessionMax
}

// cookieName is the name of the strategy's cookie where the client asks.
func (c *client) cookieName() string {
	if strings.HasPrefix(c.s.url, "https://") {
		return "__Host-" + cookieName(c.slug)
	}
	return cookieName(c.slug)
}

// renewalName is the name of the cookie that a renewal takes, where there is one.
func (c *client) renewalName() string {
	if strings.HasPrefix(c.s.url, "https://") {
		return "__Secure-" + cookieName(c.slug) + "_refresh"
	}
	return cookieName(c.slug) + "_refresh"
}

// bearer says whether the strategy's credential travels in a header.
func (c *client) bearer() bool { return promises()[c.slug].Transport == state.TransportBearer }

// traits returns the traits that the server publishes for a strategy.
func (s *server) traits(t testing.TB, slug string) state.Traits {
	t.Helper()
	var index api.Index
	require.NoError(t, json.Unmarshal(s.client(t, "").do("GET", "/", nil).body, &index))
	for _, strategy := range index.Strategies {
		if strategy.Slug == slug {
			return strategy.Traits
		}
	}
	t.Fatalf("no strategy %q in the index", slug)
	return state.Traits{}
}

func (c *client) get(route string) *answer            { return c.route("GET", route, nil) }
func (c *client) post(route string, body any) *answer { return c.route("POST", route, body) }
func (c *client) patch(body any) *answer              { return c.route("PATCH", "profile", body) }

// renew refreshes the login in the way of its strategy.
func (c *client) renew() *answer { return c.post("refresh", renewal(c)) }

// renewed does so and requires that it worked, or that it changed nothing where a
// strategy cannot.
func (c *client) renewed() *answer {
	c.t.Helper()
	a := c.renew()
	if promises()[c.slug].RenewsID {
		return a.is(http.StatusOK)
	}
	a.is(http.StatusNotImplemented, "not_supported_by_strategy")
	return c.get("profile").is(http.StatusOK)
}

// renewal is the body of a request that refreshes what the client holds.
func renewal(c *client) any {
	if c.refresh != "" {
		return object{"refresh_token": c.refresh}
	}
	return nil
}

// route asks a route of the client's strategy.
func (c *client) route(method, route string, body any) *answer {
	c.t.Helper()
	return c.do(method, "/"+c.slug+"/"+route, body)
}

// raw is a body that is sent as it is; other bodies are encoded as JSON.
type raw string

// do sends a request with what the client holds, checks what holds for every
// answer, and keeps what the answer gives to hold.
func (c *client) do(method, path string, body any, change ...func(*http.Request)) *answer {
	c.t.Helper()
	a, err := c.try(method, path, body, change...)
	require.NoError(c.t, err)
	return a
}

// try does the same where the server may end before it has answered.
func (c *client) try(method, path string, body any, change ...func(*http.Request)) (*answer, error) {
	c.t.Helper()
	var content io.Reader
	var text []byte
	switch b := body.(type) {
	case nil:
	case raw:
		text = []byte(b)
	default:
		var err error
		text, err = json.Marshal(b)
		require.NoError(c.t, err)
	}
	if body != nil {
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.s.url+path, content)
	require.NoError(c.t, err)
	if content != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(c.cookies)) {
		if strings.HasPrefix(path, c.paths[name]) {
			pairs = append(pairs, name+"="+c.cookies[name])
		}
	}
	if len(pairs) > 0 {
		r.Header.Set("Cookie", strings.Join(pairs, "; "))
	}
	if c.access != "" {
		r.Header.Set("Authorization", "Bearer "+c.access)
	}
	if c.send != nil {
		c.send(r)
	}
	for _, f := range change {
		f(r)
	}
	c.s.canary.sees(r, string(text))
	a, err := exchange(c.t, r)
	if err != nil {
		return nil, err
	}
	c.keep(a)
	if a.status >= 400 {
		require.Empty(c.t, c.s.canary.leaks(string(a.body)), "a credential is in an error: %s", a.body)
	}
	return a, nil
}

// transport keeps no connection, so that no test leaves one behind. The
// certificates that it meets are the tests' own.
var transport = &http.Transport{
	DisableKeepAlives: true, ForceAttemptHTTP2: true,
	TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // #nosec G402 -- as above
}

// exchange sends a request and checks the answer.
func exchange(t testing.TB, r *http.Request) (*answer, error) {
	t.Helper()
	start := time.Now()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{t: t, status: resp.StatusCode, proto: resp.Proto, header: resp.Header, body: body, cookies: resp.Cookies(), took: time.Since(start)}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") && len(body) > 0 {
		require.NoError(t, json.Unmarshal(body, &a.json), "%s %s: %s", r.Method, r.URL.Path, body)
	}
	a.check(r)
	return a, nil
}

// keep does what a browser and an application do with an answer.
func (c *client) keep(a *answer) {
	for _, cookie := range a.cookies {
		if cookie.MaxAge < 0 {
			delete(c.cookies, cookie.Name)
		} else {
			c.cookies[cookie.Name], c.paths[cookie.Name] = cookie.Value, cookie.Path
		}
	}
	if token := a.text("credential.access_token"); token != "" {
		c.access = token
	}
	if token := a.text("credential.refresh_token"); token != "" {
		c.refresh = token
	}
	for _, held := range append(slices.Collect(maps.Values(c.cookies)), c.access, c.refresh) {
		c.s.canary.remember(held, tail)
	}
}

// An answer is what came back.
type answer struct {
	t       testing.TB
	status  int
	proto   string
	header  http.Header
	body    []byte
	json    any
	cookies []*http.Cookie
	took    time.Duration
}

// at returns the value at a dotted path of the body, or nil.
func (a *answer) at(path string) any {
	v := a.json
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func (a *answer) text(path string) string  { s, _ := a.at(path).(string); return s }
func (a *answer) number(path string) int64 { f, _ := a.at(path).(float64); return int64(f) }
func (a *answer) code() string             { return a.text("code") }

// is requires a status, and for a problem its code.
func (a *answer) is(status int, code ...string) *answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s", a.body)
	if len(code) > 0 {
		require.Equal(a.t, code[0], a.code(), "%s", a.body)
	}
	return a
}

// leaks are words that no answer of ours has a reason to contain.
var leaks = []string{"goroutine ", "panic:", ".go:", "SELECT ", "sqlite", "sql:", "argon2", "/root/", "/home/"}

// check is what holds for every answer of the whole run.
func (a *answer) check(r *http.Request) {
	t, what := a.t, r.Method+" "+r.URL.Path
	t.Helper()
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		require.Equal(t, []string{want}, a.header[name], what)
	}
	require.Empty(t, a.header.Get("Clear-Site-Data"), "%s would log out of the other strategies too", what)
	require.Regexp(t, `^[0-9a-z]{16}$`, a.header.Get("X-Request-Id"), what)
	require.Regexp(t, `^auth;dur=[0-9.]+, store;dur=[0-9.]+, handler;dur=[0-9.]+$`, a.header.Get("Server-Timing"), what)
	require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'", what)
	ancestors := "'none'"
	if slug, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); rest == "" && slices.Contains(strategies, slug) && r.Method != "POST" && a.status < 400 {
		ancestors = "'self'" // the page at / shows those of strategies
	}
	require.Contains(t, a.header.Get("Content-Security-Policy"), "frame-ancestors "+ancestors, what)

	// Behind a proxy the test says which of both it expects.
	transport, secure := a.header["Strict-Transport-Security"]
	if secure {
		require.Equal(t, []string{"max-age=31536000; includeSubDomains"}, transport, what)
	}
	if r.Header["X-Forwarded-Proto"] == nil {
		require.Equal(t, r.URL.Scheme == "https", secure, what)
	}
	slug, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	names := map[string]bool{}
	for _, cookie := range a.cookies {
		require.False(t, names[cookie.Name], "%s sets %s twice", what, cookie.Name)
		names[cookie.Name] = true
		require.LessOrEqual(t, len(cookie.Name)+len(cookie.Value), state.CookieLimit, what)
		traits := promises()[slug].Traits
		require.Equal(t, traits.HTTPOnly, cookie.HttpOnly, what)
		require.Equal(t, traits.SameSite, cookie.SameSite == http.SameSiteLaxMode, what)
		require.Empty(t, cookie.Domain, what)
		if !traits.SameSite {
			continue // whose engine chooses name and path by itself
		}
		name, host := strings.CutPrefix(cookie.Name, "__Host-")
		name, renewal := strings.CutPrefix(name, "__Secure-")
		require.Equal(t, secure, cookie.Secure, what)
		require.Equal(t, secure, host || renewal, what)
		if host {
			require.Equal(t, "/", cookie.Path, what)
		} else {
			require.Equal(t, "/"+strings.ReplaceAll(strings.TrimPrefix(name, "statelab_"), "_", "/"), cookie.Path, what)
		}
	}
	carried := len(r.Header["Cookie"])+len(r.Header["Authorization"]) > 0
	if slices.Contains(strategies, slug) || a.status >= 400 || slug == "cache" && carried {
		require.Equal(t, []string{"no-store"}, a.header["Cache-Control"], what)
	}
	if slug == "cache" { // what others may be given next has nothing of anybody
		require.Empty(t, a.cookies, what)
		if kept := a.header.Get("Cache-Status"); carried && a.status < 400 && r.Method != http.MethodPatch {
			require.Contains(t, kept, "; fwd=bypass; ", what)
		}
	}
	if a.status >= 400 {
		require.Empty(t, a.cookies[:min(len(a.cookies), a.setCount())], "%s sets a credential although it failed", what)
		if r.Method != "HEAD" {
			a.checkProblem(r)
		}
	}
	if r.Method != "HEAD" && a.status >= 400 {
		for _, leak := range leaks {
			require.NotContains(t, string(a.body), leak, what)
		}
	}
	a.checkSpecification(r)
}

// setCount is how many cookies the answer sets, those it clears apart.
func (a *answer) setCount() int {
	n := 0
	for _, cookie := range a.cookies {
		if cookie.MaxAge >= 0 {
			n++
		}
	}
	return n
}

// checkProblem holds an error to RFC 9457 and to the headers that its status
// demands.
func (a *answer) checkProblem(r *http.Request) {
	t, what := a.t, r.Method+" "+r.URL.Path
	t.Helper()
	require.Equal(t, "application/problem+json; charset=utf-8", a.header.Get("Content-Type"), what)
	require.Equal(t, int64(a.status), a.number("status"), what)
	require.Equal(t, "urn:statelab:problem:"+a.code(), a.text("type"), what)
	require.NotEmpty(t, a.text("title"), what)
	require.NotEmpty(t, a.text("detail"), what)
	require.Equal(t, a.header.Get("X-Request-Id"), a.text("request_id"), what)
	switch a.status {
	case http.StatusUnauthorized:
		require.NotEmpty(t, a.header.Get("WWW-Authenticate"), what)
	case http.StatusMethodNotAllowed:
		require.NotEmpty(t, a.header.Get("Allow"), what)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		require.Regexp(t, `^[1-9][0-9]*$`, a.header.Get("Retry-After"), what)
	}
}

// specificationText returns openapi.yaml.
func specificationText(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("../openapi.yaml")
	require.NoError(t, err)
	return text
}

// contract is openapi.yaml: the router finds what a request is, and schemas are
// compiled once for the whole run.
type contract struct {
	routers.Router
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by the pointer to each
}

// specification is openapi.yaml, loaded once for the run.
var specification = sync.OnceValues(func() (*contract, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromFile("../openapi.yaml")
	if err != nil {
		return nil, err
	}
	doc.Servers = nil // the tests' ports differ
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		return nil, err
	}
	if text, err = yaml.YAMLToJSON(text); err != nil {
		return nil, err
	}
	all, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	return &contract{Router: router, compiler: compiler, schemas: map[string]*jsonschema.Schema{}}, compiler.AddResource("openapi.json", all)
})

// holds returns what is wrong with a value by the schema at a pointer.
func (c *contract) holds(pointer string, value any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.schemas[pointer] == nil {
		schema, err := c.compiler.Compile("openapi.json" + pointer)
		if err != nil {
			return err
		}
		c.schemas[pointer] = schema
	}
	return c.schemas[pointer].Validate(value)
}

// answers returns what is wrong with an answer to a route: its status, a header
// that must be there, or its body.
func (c *contract) answers(route *routers.Route, status int, header http.Header, body []byte) error {
	response := route.Operation.Responses.Status(status)
	if response == nil {
		return fmt.Errorf("the status %d is not described", status)
	}
	at := response.Ref
	if at == "" {
		at = "#/paths/" + escaped(route.Path) + "/" + strings.ToLower(route.Method) + "/responses/" + strconv.Itoa(status)
	}
	for name, described := range response.Value.Headers {
		value, there := header[http.CanonicalHeaderKey(name)]
		if !there {
			if described.Value.Required {
				return fmt.Errorf("the header %s is missing", name)
			}
			continue
		}
		where := described.Ref
		if where == "" {
			where = at + "/headers/" + escaped(name)
		}
		var v any = value[0]
		if described.Value.Schema.Value.Type.Is("integer") {
			v = stdjson.Number(value[0])
		}
		if err := c.holds(where+"/schema", v); err != nil {
			return fmt.Errorf("the header %s: %w", name, err)
		}
	}
	if len(response.Value.Content) == 0 {
		return nil // or a few words for clients that do not follow
	}
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return err
	}
	content := response.Value.Content.Get(mediaType)
	if content == nil {
		return fmt.Errorf("the type %s is not described", mediaType)
	}
	if !strings.HasSuffix(mediaType, "json") || content.Schema == nil {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return c.holds(at+"/content/"+escaped(mediaType)+"/schema", value)
}

// escaped writes a name as a part of a JSON pointer in a URL's fragment.
func escaped(name string) string {
	name = strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
	return strings.ReplaceAll(strings.ReplaceAll(name, "{", "%7B"), "}", "%7D")
}

// checkSpecification holds an answer to openapi.yaml. Requests that it does not
// know, such as those to no route, are not its subject.
func (a *answer) checkSpecification(r *http.Request) {
	t := a.t
	t.Helper()
	c, err := specification()
	require.NoError(t, err)
	probe := r.Clone(context.Background())
	if probe.Method == http.MethodHead {
		return // every GET answers HEAD, which has no body to look at
	}
	route, _, err := c.FindRoute(probe)
	if err == nil && a.code() == "not_found" && route.Operation.Responses.Status(http.StatusNotFound) == nil {
		slug, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		require.True(t, slices.ContainsFunc(state.Definitions(), func(d state.Definition) bool {
			return d.Slug == slug && d.Mount != state.MountAlways
		}), "%s %s is in openapi.yaml and not there", r.Method, r.URL.Path)
		return // a group that is not mounted
	}
	if err != nil {
		require.Contains(t, []int{400, 403, 404, 405, 414, 421, 431}, a.status,
			"%s %s is answered and not in openapi.yaml", r.Method, r.URL.Path)
		return
	}
	require.NoError(t, c.answers(route, a.status, a.header, a.body), "%s %s: %s", r.Method, r.URL.Path, a.body)
}
