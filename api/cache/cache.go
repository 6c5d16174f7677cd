// Package cache keeps the answers to public requests, as a cache that serves many
// has to (RFC 9111): in the process or in a Redis that several nodes share. It is
// a middleware for any Gin application.
//
// What it is there for is what it never does: it keeps no answer to a request that
// carried a credential, and no answer that sets a cookie, since the next one to ask
// for the URI is somebody else.
package cache

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

// Config says what a Cache does. The zero value keeps nothing, and says so.
type Config struct {
	Name  string // in Cache-Status, a token; zero: "cache"
	Store Store  // zero: every request goes to its handler

	// TTL is how long an answer stays fresh that does not say so by itself; zero:
	// it is not kept. Answers say so with s-maxage, max-age or Expires.
	TTL time.Duration
	// Jitter shortens each lifetime by a random part of at most this, between 0
	// and 1, so that what was computed together is not stale together.
	Jitter float64
	// MaxBody is the longest body that is kept, in bytes; zero: 1 MiB. An answer is
	// held back until it is whole or longer than this.
	MaxBody int
	// Timeout bounds a computation, which goes on when its client leaves, since
	// others may wait for it; zero: 10 s. A stream, which is nobody else's, has no
	// bound and ends with its client.
	Timeout time.Duration
	// Keeping bounds how long the store may take to keep an answer, after it was
	// computed; zero: a second.
	Keeping time.Duration
	// Credentials are the names of headers that say who asks, besides Cookie and
	// Authorization, such as X-Api-Key.
	Credentials []string

	Now  func() time.Time // zero: time.Now
	Rand func() float64   // for Jitter, from 0 to below 1; zero: rand.Float64

	// Failed answers a request that has waited for the computation of another one,
	// if that panicked or answered 5xx; zero: it computes by itself.
	Failed gin.HandlerFunc
	// Observe is told what came of each GET and HEAD; zero: nobody is.
	Observe func(Outcome)
}

// Outcome is what came of a request.
type Outcome string

// The outcomes.
const (
	Hit       Outcome = "hit"       // answered by the cache
	Collapsed Outcome = "collapsed" // answered with what another request has computed meanwhile
	Miss      Outcome = "miss"      // there was nothing that fits
	Stale     Outcome = "stale"     // there was, and it was too old
	Refused   Outcome = "refused"   // the request did not want what there was
	Bypass    Outcome = "bypass"    // the cache kept out of it
)

// Outcomes are all of them.
func Outcomes() []Outcome { return []Outcome{Hit, Collapsed, Miss, Stale, Refused, Bypass} }

// Cache is a cache of answers in front of handlers. Its method Handle is the
// middleware; one Cache serves any number of routes.
type Cache struct {
	config  Config
	mu      sync.Mutex
	flights map[flightKey]*flight
}

// New returns a Cache.
func New(config Config) *Cache {
	if config.Name == "" {
		config.Name = "cache"
	}
	if config.MaxBody == 0 {
		config.MaxBody = 1 << 20
	}
	if config.Timeout == 0 {
		config.Timeout = 10 * time.Second
	}
	if config.Keeping == 0 {
		config.Keeping = time.Second
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Rand == nil {
		config.Rand = rand.Float64
	}
	config.Credentials = append([]string{"Cookie", "Authorization"}, config.Credentials...)
	for i, name := range config.Credentials {
		config.Credentials[i] = http.CanonicalHeaderKey(name)
	}
	slices.Sort(config.Credentials)
	config.Credentials = slices.Compact(config.Credentials) // each is looked up with each request
	return &Cache{config: config, flights: map[flightKey]*flight{}}
}

// Invalidate makes every answer under the paths, which are not percent-encoded, be
// computed anew, whatever its query: for what changes an answer without being a request for its path. After it
// no computation that began before is kept. An error means that the store has
// failed, and will forget as soon as it is back.
func (c *Cache) Invalidate(ctx context.Context, paths ...string) error {
	if c.config.Store == nil {
		return nil
	}
	return c.config.Store.Invalidate(ctx, paths...)
}

// Handle is the middleware.
func (c *Cache) Handle(g *gin.Context) {
	r := g.Request
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions, http.MethodTrace:
		return
	default:
		c.unsafe(g)
		return
	}
	asked := parseDirectives(r.Header["Cache-Control"])
	switch {
	case c.config.Store == nil:
		c.bypass(g, "absent")
	case c.identifies(r):
		c.bypass(g, "credential")
	case len(r.Header["If-Match"]) > 0 || len(r.Header["If-Unmodified-Since"]) > 0:
		c.bypass(g, "precondition") // these are for the handler (RFC 9111, 4.3.2)
	case asked.has("no-store"):
		c.bypass(g, "no-store")
	case g.Writer.Written():
		c.bypass(g, "written") // the handler's is only a part of the answer
	case r.ContentLength != 0:
		c.bypass(g, "body") // it may choose the answer, and is in no key
	default:
		for done := false; !done; {
			done = c.serve(g, asked)
		}
	}
}

// identifies says whether the request carries anything that says who asks. What it
// is answered may be for nobody else; and what others were answered may be wrong
// for it (RFC 9111, 3.5, which speaks of Authorization only).
func (c *Cache) identifies(r *http.Request) bool {
	for _, name := range c.config.Credentials {
		if len(r.Header[name]) > 0 {
			return true
		}
	}
	return r.TLS != nil && len(r.TLS.PeerCertificates) > 0
}

// bypass hands the request on, and what is kept stays as it is.
func (c *Cache) bypass(g *gin.Context, detail string) {
	c.observe(Bypass)
	c.forward(g, "fwd=bypass; detail="+detail)
	g.Next()
}

func (c *Cache) observe(o Outcome) {
	if c.config.Observe != nil {
		c.config.Observe(o)
	}
}

// forward says why the handler is asked (RFC 9211). A cache behind this one, in
// the handler, has spoken before.
func (c *Cache) forward(g *gin.Context, params string) {
	h := g.Writer.Header()
	h["Cache-Status"] = append(slices.Clip(h["Cache-Status"]), c.config.Name+"; "+params)
}

// unsafe hands on a request that may change something. If it does, the answers of
// its URI are void, and so are those that it names in Location and
// Content-Location (RFC 9111, 4.4), before the client hears of it.
func (c *Cache) unsafe(g *gin.Context) {
	if c.config.Store == nil {
		return
	}
	w := &notifier{ResponseWriter: g.Writer, before: func(status int) {
		if status < http.StatusOK || status >= http.StatusBadRequest {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(g.Request.Context()), c.config.Keeping)
		defer cancel()
		_ = c.Invalidate(ctx, touched(g.Request, g.Writer.Header())...) // the store will, when it is back
	}}
	g.Writer = w
	defer func() { g.Writer = w.ResponseWriter }()
	g.Next()
	w.begin() // an answer without a body begins when all handlers are done
}

// touched are the paths that the answer to an unsafe request makes void. Those of
// other hosts are none of its business.
func touched(r *http.Request, h http.Header) []string {
	paths := []string{r.URL.Path}
	for _, name := range []string{"Location", "Content-Location"} {
		u, err := r.URL.Parse(h.Get(name))
		if h.Get(name) == "" || err != nil || u.Host != "" && u.Host != r.Host {
			continue
		}
		paths = append(paths, u.Path)
	}
	return paths
}

// lookup finds what is kept for the request, and under which key. A note leads to
// the variant that the request's headers choose.
func (c *Cache) lookup(r *http.Request) (k Key, e *Entry, g Generation, varied bool, err error) {
	k = keyOf(r.URL)
	e, g, err = c.config.Store.Get(r.Context(), k)
	if err != nil || e == nil || !e.isNote() {
		return k, e, g, false, err
	}
	k.Variant = variant(k.Variant, e.Vary, r)
	e, g, err = c.config.Store.Get(r.Context(), k)
	return k, e, g, true, err
}

// keyOf takes a path decoded, so that a change is one of the path however it was
// written (RFC 3986, 6.2.2.2). Another spelling has entries of its own, since to a
// handler %2F may be no slash.
func keyOf(u *url.URL) Key {
	if u.RawPath != "" {
		return Key{u.Path, "\n" + u.RawPath + "?" + u.RawQuery}
	}
	return Key{u.Path, u.RawQuery}
}

// serve answers a request, or returns false if it is to be tried once more.
func (c *Cache) serve(g *gin.Context, asked directives) (done bool) {
	k, e, generation, varied, err := c.lookup(g.Request)
	if err != nil {
		c.bypass(g, "unavailable")
		return true
	}
	why, outcome := c.judge(e, asked, varied)
	if why == "" {
		c.observe(Hit)
		age, status := e.hit(c.config.Name, c.config.Now())
		c.answer(g, e, age, status)
		return true
	}
	if g.Request.Method == http.MethodHead || len(g.Request.Header["Range"]) > 0 {
		c.observe(outcome) // what it gets is no whole answer: nothing to keep
		c.forward(g, why)
		g.Next()
		return true
	}
	if outcome == Refused { // what others wait for may have begun before it asked
		c.observe(outcome)
		c.compute(g, generation, e, why, newFlight())
		return true
	}
	f, first := c.join(flightKey{k, generation})
	if !first {
		return c.wait(g, f, generation, why, outcome)
	}
	// Another one may have landed between the look and the start.
	again, e, now, varied, err := c.lookup(g.Request)
	if why, outcome = c.judge(e, asked, varied); again != k || now != generation || err != nil || why == "" {
		f.result = landedEmpty
		c.land(f)
		return false
	}
	c.observe(outcome)
	c.compute(g, generation, e, why, f)
	return true
}

// wait answers a request with what the computation f brings for all, if it does.
func (c *Cache) wait(g *gin.Context, f *flight, generation Generation, why string, outcome Outcome) (done bool) {
	select {
	case <-f.done:
	case <-g.Request.Context().Done(): // the client has left
		g.AbortWithStatus(http.StatusServiceUnavailable)
		return true
	}
	switch {
	case f.result == landedShared && f.variant == variant("", f.names, g.Request):
		c.observe(Collapsed)
		c.answer(g, f.entry, nil, []string{c.config.Name + "; " + why + "; collapsed"})
	case f.result == landedEmpty, f.result == landedShared && !f.lost: // the latter was for other headers
		return false
	case f.result == landedFailed && c.config.Failed != nil:
		c.observe(Collapsed)
		c.forward(g, why+"; collapsed")
		g.Abort()
		c.config.Failed(g)
	default: // it was one request's alone, or one variant's, so each computes its own
		c.observe(outcome)
		c.compute(g, generation, nil, why, newFlight())
	}
	return true
}

// judge says why an entry cannot answer, in the words of RFC 9211, or "" if it can.
func (c *Cache) judge(e *Entry, asked directives, varied bool) (why string, outcome Outcome) {
	if e == nil {
		if varied {
			return "fwd=vary-miss", Miss
		}
		return "fwd=uri-miss", Miss
	}
	now := c.config.Now()
	left := e.left(now)
	if left <= 0 {
		return "fwd=stale", Stale
	}
	if asked == nil {
		return "", Hit
	}
	// What clients ask of a cache they may (RFC 9111, 5.2.1).
	limit, limited := asked.seconds("max-age")
	least, _ := asked.seconds("min-fresh")
	if asked.has("no-cache") || limited && e.age(now) > limit || left < least {
		return "fwd=request", Refused
	}
	return "", Hit
}

// conditional are the headers that ask for a part of an answer, or for none.
var conditional = []string{"If-None-Match", "If-Modified-Since", "Range", "If-Range"}

// compute asks the handler, keeps what may be kept, and answers.
func (c *Cache) compute(g *gin.Context, generation Generation, stale *Entry, why string, f *flight) {
	client, writer := g.Request, g.Writer
	defer c.land(f)
	// The computation is everybody's who waits for it, so it goes on when this
	// client leaves, and asks for the whole answer, or what is newer than the
	// entry.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(client.Context()))
	defer cancel(nil)
	bound := time.AfterFunc(c.config.Timeout, func() { cancel(context.DeadlineExceeded) })
	defer bound.Stop()
	r := unconditional(client.WithContext(ctx))
	validates := stale != nil && validate(r.Header, stale.Header)
	before := maps.Clone(writer.Header())
	w := &recorder{ResponseWriter: writer, status: writer.Status(), size: writer.Size(), limit: c.config.MaxBody, releasing: func() {
		c.forward(g, why)
		f.result = landedAlone
		c.land(f) // nobody is to wait for a stream, so it is the client's, for as long as that listens
		if bound.Stop() {
			context.AfterFunc(client.Context(), func() { cancel(context.Cause(client.Context())) })
		}
	}}
	g.Request, g.Writer = r, w
	f.result = landedFailed // unless it comes to an end
	func() {
		defer func() { g.Request, g.Writer = client, writer }()
		g.Next()
	}()
	if w.released {
		return
	}
	if w.status < http.StatusInternalServerError {
		f.result = landedAlone
	}
	if validates && w.status == http.StatusNotModified {
		w.begin() // the answer to the cache, which has asked
	}
	if !w.Written() { // no handler has answered: middleware outside, or Gin, still may
		writer.WriteHeader(w.status)
		c.forward(g, why)
		return
	}
	w.restore()
	now, status, header, body := c.config.Now(), w.status, made(before, writer.Header()), w.body
	if validates && status == http.StatusNotModified {
		why += "; fwd-status=304"
		status, header, body = stale.refreshed(header)
		apply(writer.Header(), header)
	}
	// Judged is all that the answer says, whoever has set it.
	life, names, ok := c.storable(status, writer.Header(), now)
	if ok && isWhole(header, body) {
		e := &Entry{Status: status, Header: header, Body: body, Made: now, Age: ageOf(writer.Header(), now), Fresh: life}
		delete(header, "Age") // each answer has its own
		if c.share(client, generation, e, names, f) {
			why += "; stored"
		}
	}
	// Whoever waits need not wait for this client to read.
	c.land(f)
	c.forward(g, why)
	if status == http.StatusOK && notModified(client, writer.Header()) {
		sendNotModified(writer)
		return
	}
	send(writer, status, body, client.Method, before["Content-Encoding"] != nil)
}

// share stores an entry and has f hand it to the requests that wait for it. It reports
// whether the entry is stored.
func (c *Cache) share(client *http.Request, generation Generation, e *Entry, names []string, f *flight) bool {
	err := c.keep(client, generation, e, names)
	f.lost = err != nil && !errors.Is(err, ErrSuperseded)
	if e.Fresh > 0 {
		f.result, f.entry, f.names, f.variant = landedShared, e, names, variant("", names, client)
	}
	return err == nil
}

// unconditional gives r headers of its own, without those that ask for a part of the answer.
func unconditional(r *http.Request) *http.Request {
	r.Header = maps.Clone(r.Header)
	for _, name := range conditional {
		delete(r.Header, name)
	}
	return r
}
