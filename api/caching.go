package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"

	"statelab/api/cache"
	"statelab/api/catalog"
	"statelab/api/rest"
	"statelab/auth"
	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/sqlstore"
)

// catalogJitter takes up to a tenth off the 30 seconds for which servers may keep an
// answer, so that nodes do not compute all at once.
const catalogJitter = 0.1

// A policy is one way to keep the answers of the catalogue, for half a minute.
// Policies differ in this alone: the handler and what stands around it are the same.
type policy struct {
	name    string
	control string // the Cache-Control of an answer
	// stable says that the same catalogue is the same bytes, whenever it is read:
	// generated_at is then the moment of the last change, and else that of reading.
	// It takes this for a copy that a client holds to be good for ever.
	stable bool
	// kept returns where the server keeps answers, or nil.
	kept func(Config) cache.Store
}

func nowhere(Config) cache.Store { return nil }

// policies are all of them.
var policies = []policy{
	{"none", "no-store", false, nowhere},
	{"http", "public, max-age=30", true, nowhere},
	// Caches that serve many may keep it as long as we do, and no browser: there a
	// change is to be seen at once.
	{"memory", "public, max-age=0, s-maxage=30", false, func(c Config) cache.Store { return c.CacheMemory }},
	{"redis", "public, max-age=0, s-maxage=30", false, func(c Config) cache.Store { return c.CacheShared }},
}

// CachePolicies are the names of the policies that the catalogue is served under.
func CachePolicies() []string {
	var names []string
	for _, p := range policies {
		names = append(names, p.name)
	}
	return names
}

// A cachedCatalog is the catalogue under one policy.
type cachedCatalog struct {
	*Server
	policy
	cache       *cache.Cache
	credentials []string // the request headers that have them
}

// path is that of the catalog under the policy.
func (sh *cachedCatalog) path() string { return "/cache/" + sh.name + "/catalog" }

// newCachedCatalog puts a cache of the policy's kind in front of the catalogue.
func (s *Server) newCachedCatalog(p policy) *cachedCatalog {
	kept := p.kept(s.config)
	if kept != nil {
		kept = costly{kept}
	}
	credentials := append(s.credentialHeaders(true), s.credentialHeaders(false)...)
	return &cachedCatalog{s, p, cache.New(cache.Config{
		Name: "statelab-" + p.name, Store: kept, Jitter: catalogJitter, Now: s.config.Now, Observe: s.metrics.cacheOutcome(p.name),
		Credentials: credentials,
		Failed: func(c *gin.Context) {
			s.Fail(c, rest.Faultf("store_unavailable", "Another request for the same answer failed. Try again."))
		},
	}), credentials}
}

// costly adds what a cache takes to the cost of the request.
type costly struct{ cache.Store }

func (s costly) Get(ctx context.Context, k cache.Key) (*cache.Entry, cache.Generation, error) {
	start := time.Now()
	e, g, err := s.Store.Get(ctx, k)
	if c, ok := ctx.Value(store.CostKey).(*store.Cost); ok {
		c.Took += time.Since(start)
	}
	return e, g, err
}

// Catalog is the answer of GET /cache/{policy}/catalog.
type Catalog struct {
	GeneratedAt time.Time      `json:"generated_at,format:'2006-01-02T15:04:05.000Z07:00'"` // in UTC
	Items       []catalog.Item `json:"items"`
}

// catalogTag is the validator of an answer: which catalogue, and when it was made
// into one. Bytes that differ have another one (RFC 9110, 8.8.1: it is strong).
func catalogTag(v catalog.Version, generated time.Time) string {
	b := strconv.AppendInt([]byte{'"'}, v.Number, 10)
	b = strconv.AppendInt(append(b, '.'), generated.UnixMicro(), 36)
	return string(append(b, '"'))
}

// read answers with the catalog. Its headers say which caches may store the answer; the
// cache in front of it does so or not.
func (sh *cachedCatalog) read(c *gin.Context) {
	h, ctx := c.Writer.Header(), c.Request.Context()
	h["Cache-Control"] = []string{sh.control}
	if slices.ContainsFunc(sh.credentials, func(name string) bool { return len(c.Request.Header[name]) > 0 }) {
		h["Cache-Control"] = headerNoStore // nothing that was asked for with a credential is kept by anybody
	}
	if sh.stable { // then the version says whether the client has it already, at the cost of a row
		v, err := asking(c, func() (catalog.Version, error) { return sh.catalog.Version(ctx) })
		if err != nil {
			sh.Fail(c, noCatalog(err))
			return
		}
		if tag := catalogTag(v, v.WrittenAt); !cache.NoneMatch(c.Request, tag) {
			h["Etag"] = []string{tag}
			c.Writer.WriteHeader(http.StatusNotModified)
			c.Writer.WriteHeaderNow()
			return
		}
	}
	generated := sh.config.Now()
	var v catalog.Version
	items, err := asking(c, func() (items []catalog.Item, err error) {
		items, v, err = sh.catalog.Read(ctx)
		return items, err
	})
	if err != nil {
		sh.Fail(c, noCatalog(err))
		return
	}
	if sh.stable {
		generated = v.WrittenAt
	}
	body, err := json.Marshal(Catalog{generated.UTC(), items})
	if err != nil {
		panic(err) // a type of ours that cannot be encoded is a mistake in the program
	}
	h["Content-Type"], h["Etag"] = headerJSON, []string{catalogTag(v, generated)}
	http.ServeContent(c.Writer, c.Request, "", time.Time{}, bytes.NewReader(append(body, '\n')))
}

// asking notes what a question to the catalogue costs.
func asking[T any](c *gin.Context, f func() (T, error)) (T, error) {
	x, start := requestOf(c), time.Now()
	v, err := f()
	x.cost.Reads++
	x.cost.Took += time.Since(start)
	return v, err
}

// noCatalog turns an error of the catalogue into an outage.
func noCatalog(err error) error {
	return fmt.Errorf("%w: %w", rest.Faultf("store_unavailable", "The database of the catalogue does not answer. Try again."), err)
}

// plain has an answer be whole or not modified, and takes away what chooses none, so
// that it is in no key: a query, and the origin of a page, whose leave to read stands
// outside the cache. With one after the other of them a stranger could fill the
// Redis that also holds the logins.
func (s *Server) plain(c *gin.Context) {
	onlyWhole(c.Request)
	c.Request.URL.RawQuery = ""
	delete(c.Request.Header, "Origin")
}

// price gives an item another price. The policies show one catalogue, so all that
// any of them keeps is void.
func (sh *cachedCatalog) price(c *gin.Context) (int, any, error) {
	if err := sh.mayWrite(c); err != nil {
		return 0, nil, err
	}
	in, err := rest.Decode[struct {
		Price rest.Required[int64] `json:"price"`
	}](c, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	if in.Price.Value < catalog.MinPrice || in.Price.Value > catalog.MaxPrice {
		return 0, nil, rest.Invalid("/price", fmt.Sprintf("A price is from %d to %d, in the smallest unit.", catalog.MinPrice, catalog.MaxPrice))
	}
	x, start := requestOf(c), time.Now()
	item, err := sh.catalog.SetPrice(c.Request.Context(), c.Param("sku"), in.Price.Value)
	if err == nil || errors.Is(err, catalog.ErrInDoubt) {
		sh.dropCatalog(c.Request.Context())
	}
	x.cost.Writes++
	x.cost.Took += time.Since(start)
	switch {
	case errors.Is(err, catalog.ErrNotFound):
		return 0, nil, rest.Faultf("not_found", "The catalogue has no such item.")
	case err != nil:
		return 0, nil, noCatalog(err)
	}
	return http.StatusOK, item, nil
}

// mayWrite lets anybody write in the classroom, as long as it is no page of another
// origin, and elsewhere whoever sends an admin's token: a cookie would be sent by
// the browser, whoever asks it to.
func (s *Server) mayWrite(c *gin.Context) error {
	if s.config.Classroom {
		return nil
	}
	i := slices.IndexFunc(s.groups, func(g *Group) bool { return !g.Traits.SentByBrowser })
	g := s.groups[i] // one of those that are always mounted
	g.note(c)
	l, err := g.Load(c)
	if err == nil {
		err = onlyAdmin(l.Login)
	}
	return err
}

// onlyAdmin goes by the role in the login.
func onlyAdmin(l state.Login) error {
	if l.Role != auth.RoleAdmin {
		return rest.Faultf("forbidden", "This route needs the role %s. This login has the role %s.", auth.RoleAdmin, l.Role)
	}
	return nil
}

// dropCatalog voids what the caches keep of the catalogue, here and on other nodes.
// A cache that cannot be told is told when it is back, before it is asked.
func (s *Server) dropCatalog(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	var paths []string
	for _, sh := range s.catalogs {
		paths = append(paths, sh.path())
	}
	for _, sh := range s.catalogs {
		_ = sh.cache.Invalidate(ctx, paths...)
	}
}

// ResetCatalog gives every item its first price again.
func (s *Server) ResetCatalog(ctx context.Context) error {
	err := s.catalog.Reset(ctx)
	if err == nil || errors.Is(err, catalog.ErrInDoubt) {
		s.dropCatalog(ctx)
	}
	if err != nil {
		return noCatalog(err)
	}
	return nil
}

// Migrations are the tables that a server needs in its database.
func Migrations() []sqlstore.Migrations {
	return []sqlstore.Migrations{
		{Table: "accounts_version", Files: auth.Migrations()},
		{Table: "catalog_version", Files: catalog.Migrations()},
	}
}
