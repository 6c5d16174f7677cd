package tests

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	cryptorand "crypto/rand"

	"statelab/api"
	"statelab/api/cache"
	"statelab/auth"
	"statelab/state/store"
	"statelab/state/store/storetest"
)

// catalogTTL is how long the catalogue may be kept, and least how long of that a
// cache of ours keeps it at least.
const (
	catalogTTL = 30 * time.Second
	leastTTL   = 27 * time.Second
)

// withRedis has the policy redis keep answers at the address, as main does.
func withRedis(t testing.TB, address string) option {
	return func(c *api.Config) {
		client, err := store.RedisClient(address)
		require.NoError(t, err)
		c.CacheMemory = cache.NewMemory(0)
		shared := cache.NewRedis(client, "statelab:cache:", c.CacheMemory)
		c.CacheShared = shared
		t.Cleanup(func() {
			require.NoError(t, shared.Close())
			require.NoError(t, client.Close())
		})
	}
}

// kept are the policies under which a server keeps answers itself.
var kept = []string{"memory", "redis"}

// catalogPath is where the catalogue is under a policy, which may have a query.
func catalogPath(policy string) string {
	name, query, asks := strings.Cut(policy, "?")
	if asks {
		query = "?" + query
	}
	return "/cache/" + name + "/catalog" + query
}

// catalog asks for the catalogue under a policy. The answer is looked at in a hurry:
// TestTheCatalogueUnderEachPolicy holds all 120 KB of it to the contract.
func (c *client) catalog(policy string, headers ...string) *answer {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.s.url+catalogPath(policy), nil)
	require.NoError(c.t, err)
	if c.access != "" {
		r.Header.Set("Authorization", "Bearer "+c.access)
	}
	if c.send != nil {
		c.send(r)
	}
	setting(headers...)(r)
	start := time.Now()
	back, err := transport.RoundTrip(r)
	require.NoError(c.t, err)
	defer func() { _ = back.Body.Close() }()
	body, err := io.ReadAll(back.Body)
	require.NoError(c.t, err)
	require.Empty(c.t, back.Cookies())
	a := &answer{t: c.t, status: back.StatusCode, header: back.Header, body: body, took: time.Since(start)}
	if a.status >= 400 {
		require.NoError(c.t, json.Unmarshal(body, &a.json))
		a.check(r)
	}
	return a
}

// setting sets the headers of a request, given as "Name: value".
func setting(headers ...string) func(*http.Request) {
	return func(r *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
	}
}

// begins are the moment and the first item of a catalogue.
var begins = regexp.MustCompile(`^\{"generated_at":"([^"]+)","items":\[\{"sku":"SKU-0001","name":"Amber bamboo bag","price":([0-9]+)\}`)

// price is what an answer says that the first item costs.
func (a *answer) price() int64 {
	a.t.Helper()
	found := begins.FindSubmatch(a.body)
	require.NotNil(a.t, found, "%d %s", a.status, a.body[:min(len(a.body), 200)])
	price, err := strconv.ParseInt(string(found[2]), 10, 64)
	require.NoError(a.t, err)
	return price
}

// generated is when an answer says that it was computed.
func (a *answer) generated() string {
	a.t.Helper()
	found := begins.FindSubmatch(a.body)
	require.NotNil(a.t, found)
	return string(found[1])
}

// kept is what the policy's cache says of an answer, its seconds apart.
func (a *answer) kept() string {
	_, status, _ := strings.Cut(a.header.Get("Cache-Status"), "; ")
	status, _, _ = strings.Cut(status, "; ttl=")
	return status
}

const firstPrice = 8419

// says requires it.
func (a *answer) says(want string) *answer {
	a.t.Helper()
	require.Equal(a.t, want, a.kept())
	return a
}

// costs gives the first item another price.
func (c *client) costs(policy string, price int64) *answer {
	c.t.Helper()
	return c.do("PATCH", catalogPath(policy)+"/SKU-0001", object{"price": price})
}

func TestTheCatalogueUnderEachPolicy(t *testing.T) {
	s := newServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.client(t, "")
	require.Equal(t, []string{"none", "http", "memory", "redis"}, api.CachePolicies())
	var first []byte
	for _, policy := range api.CachePolicies() {
		a := c.do("GET", catalogPath(policy), nil).is(http.StatusOK)
		require.EqualValues(t, firstPrice, a.price())
		require.Equal(t, "statelab-"+policy, strings.Split(a.header.Get("Cache-Status"), ";")[0])
		require.Empty(t, a.header.Get("Age"))
		again := c.do("GET", catalogPath(policy), nil).is(http.StatusOK)
		if slices.Contains(kept, policy) {
			a.says("fwd=uri-miss; stored")
			again.says("hit")
			require.Equal(t, "0", again.header.Get("Age"))
			require.Equal(t, a.body, again.body)
			require.Equal(t, a.header.Get("ETag"), again.header.Get("ETag"))
			require.Equal(t, "public, max-age=0, s-maxage=30", again.header.Get("Cache-Control"))
		} else {
			a.says("fwd=bypass; detail=absent")
			again.says("fwd=bypass; detail=absent")
		}
		require.NotEqual(t, a.header.Get("X-Request-Id"), again.header.Get("X-Request-Id"))
		if first == nil {
			first = a.body
		}
		if policy != "http" { // the clock stands still
			require.Equal(t, first, a.body)
		}

		head := c.do("HEAD", catalogPath(policy), nil).is(http.StatusOK)
		require.Empty(t, head.body)
		for _, name := range []string{"Content-Length", "Content-Type", "Cache-Control", "ETag"} {
			require.Equal(t, again.header.Get(name), head.header.Get(name), "%s: %s", policy, name)
		}
	}
	// A policy whose cache was not configured.
	a := newServer(t).client(t, "").catalog("redis").is(http.StatusOK).says("fwd=bypass; detail=absent")
	require.EqualValues(t, firstPrice, a.price())
	c.do("GET", "/cache/lru/catalog", nil).is(http.StatusNotFound, "not_found")
	c.do("GET", "/cache/memory/catalog/SKU-0001", nil).is(http.StatusMethodNotAllowed, "method_not_allowed")
	c.do("POST", "/cache/memory/catalog", object{}).is(http.StatusMethodNotAllowed, "method_not_allowed")
	c.catalog("memory", "Accept: text/html").is(http.StatusNotAcceptable, "not_acceptable")
	// Parts there are none, and preconditions are about changes.
	for _, policy := range api.CachePolicies() {
		for _, header := range []string{"Range: bytes=0-9", "Range: bytes=999999999-", `If-Match: "x"`, "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"} {
			require.EqualValues(t, firstPrice, c.catalog(policy, header).is(http.StatusOK).price(), header)
		}
	}
}

// What is kept ends by the clock of the lesson, and says why it is asked for again.
func TestCachedAnswersEnd(t *testing.T) {
	s := newServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.client(t, "")
	for _, policy := range kept {
		a := c.catalog(policy)
		s.clock.advance(leastTTL - time.Second)
		b := c.catalog(policy).says("hit")
		require.Equal(t, "26", b.header.Get("Age"))
		require.Equal(t, a.generated(), b.generated())
		s.clock.advance(catalogTTL - leastTTL + time.Second)
		b = c.catalog(policy).says("fwd=stale; stored")
		require.NotEqual(t, a.generated(), b.generated())
		require.NotEqual(t, a.header.Get("ETag"), b.header.Get("ETag"), "other bytes, another validator")
		c.do("POST", "/classroom/clock", object{"advance": "31s"}).is(http.StatusOK)
		c.catalog(policy).says("fwd=stale; stored")
		s.clock.advance(time.Second)
		c.catalog(policy, "Cache-Control: no-cache").says("fwd=request; stored")
		c.catalog(policy, "Cache-Control: no-store").says("fwd=bypass; detail=no-store")
		c.catalog(policy).says("hit")
		c.catalog(policy + "?page=2").says("hit")
	}
}

// A client that has an answer already is told so: under http as long as nothing has
// changed, whenever it asks.
func TestValidators(t *testing.T) {
	s := newServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.client(t, "")
	for _, policy := range append(kept, "http") {
		a := c.catalog(policy)
		tag := a.header.Get("ETag")
		require.Regexp(t, `^"[0-9]+\.[0-9a-z]+"$`, tag, "it is strong")
		for _, condition := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			b := c.catalog(policy, "If-None-Match: "+condition).is(http.StatusNotModified)
			require.Empty(t, b.body)
			require.Equal(t, tag, b.header.Get("ETag"))
			require.Equal(t, a.header.Get("Cache-Control"), b.header.Get("Cache-Control"))
			require.NotEmpty(t, b.header.Get("Cache-Status"))
		}
		require.Equal(t, http.StatusOK, c.catalog(policy, `If-None-Match: "x"`).status)
		s.clock.advance(time.Hour)
		want := http.StatusOK // it has been computed anew
		if policy == "http" {
			want = http.StatusNotModified
		}
		require.Equal(t, want, c.catalog(policy, "If-None-Match: "+tag).status, policy)
		c.costs("none", 4200)
		require.EqualValues(t, 4200, c.catalog(policy, "If-None-Match: "+tag).is(http.StatusOK).price())
		c.do("POST", "/classroom/reset", nil).is(http.StatusNoContent)
	}
}

// A change under any policy is seen under all of them at once.
func TestAChangeIsSeenAtOnce(t *testing.T) {
	s := newServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.client(t, "")
	price := int64(1000)
	for _, through := range api.CachePolicies() {
		for _, policy := range kept {
			c.catalog(policy)
			c.catalog(policy + "?page=2")
			c.catalog(policy).says("hit")
		}
		price++
		a := c.costs(through, price).is(http.StatusOK)
		require.Equal(t, object{"sku": "SKU-0001", "name": "Amber bamboo bag", "price": float64(price)}, object(a.json.(map[string]any)))
		for _, policy := range api.CachePolicies() {
			require.Equal(t, price, c.catalog(policy).price(), "changed through %s, read through %s", through, policy)
			require.Equal(t, price, c.catalog(policy+"?page=2").price())
		}
	}
	// What changes nothing voids nothing.
	for _, policy := range kept {
		c.costs(policy, 0).is(http.StatusUnprocessableEntity, "validation_failed")
		c.do("PATCH", catalogPath(policy)+"/SKU-9999", object{"price": 1}).is(http.StatusNotFound, "not_found")
		c.catalog(policy).says("hit")
	}
}

func TestPricesThatAreNone(t *testing.T) {
	s := newServer(t)
	c := s.client(t, "")
	for body, want := range map[string]string{
		`{"price":0}`: "validation_failed", `{"price":-1}`: "validation_failed", `{"price":100000001}`: "validation_failed",
		`{"price":9223372036854775807}`: "validation_failed",
		`{"price":1.5}`:                 "malformed_json", `{"price":"1"}`: "malformed_json", `{"price":null}`: "malformed_json", `{"price":1e3,"x":1}`: "malformed_json",
		`{"Price":1}`: "malformed_json", `{"price":1,"price":2}`: "malformed_json", `[1]`: "malformed_json", `{"price":9223372036854775808}`: "malformed_json",
		`{}`: "invalid_request",
	} {
		a := c.do("PATCH", catalogPath("none")+"/SKU-0001", raw(body))
		require.Equal(t, want, a.code(), body)
		if want == "validation_failed" {
			require.Equal(t, "/price", a.json.(map[string]any)["errors"].([]any)[0].(map[string]any)["pointer"])
		}
	}
	c.do("PATCH", catalogPath("none")+"/SKU-0001", raw(`{"price":1}`), setting("Content-Type: text/plain")).is(http.StatusUnsupportedMediaType)
	for _, sku := range []string{"sku-0001", "SKU-0001%20", "SKU-00010", "%27%20OR%201=1", strings.Repeat("x", 3000)} {
		c.do("PATCH", catalogPath("none")+"/"+sku, object{"price": 1}).is(http.StatusNotFound, "not_found")
	}
	require.EqualValues(t, firstPrice, c.catalog("none").price())
	for _, price := range []int64{1, 100_000_000} {
		require.Equal(t, price, c.costs("none", price).is(http.StatusOK).number("price"))
	}
}

// In the classroom anybody may change a price, but no page of another origin; where
// others are served, an admin by a token, and nobody by a cookie, which a browser
// sends whoever asks it to.
func TestWhoMayChangeAPrice(t *testing.T) {
	s := newServer(t)
	s.client(t, "").do("PATCH", catalogPath("none")+"/SKU-0001", object{"price": 1}, setting("Origin: http://evil.test", "Sec-Fetch-Site: cross-site")).
		is(http.StatusForbidden, "csrf_blocked")
	require.EqualValues(t, firstPrice, s.client(t, "").catalog("none").price())

	s = serviceWithPeople(t)
	try := func(c *client) *answer { return c.costs("memory", 4200) }
	a := try(s.client(t, "")).is(http.StatusUnauthorized, "no_credential")
	require.Contains(t, a.header.Get("WWW-Authenticate"), "Bearer")
	bad := s.client(t, "")
	bad.access = "x.y.z"
	try(bad).is(http.StatusUnauthorized, "bad_signature")
	for _, slug := range []string{"session", "cookie", "cookie-sealed"} {
		c := s.login(t, slug, "boss", "the password of the boss")
		c.get("members").is(http.StatusOK)
		carry := c.held()
		other := s.client(t, "")
		other.send = setting("Cookie: " + cookieName(slug) + "=" + carry)
		try(other).is(http.StatusUnauthorized, "no_credential")
	}
	try(s.login(t, "token", "clerk", "the password of the clerk")).is(http.StatusForbidden, "forbidden")
	admin := s.login(t, "token", "boss", "the password of the boss")
	require.EqualValues(t, firstPrice, s.client(t, "").catalog("memory").price())
	try(admin).is(http.StatusOK)
	require.EqualValues(t, 4200, s.client(t, "").catalog("memory").price())
	admin.do("PATCH", catalogPath("memory")+"/SKU-9999", object{"price": 1}).is(http.StatusNotFound, "not_found")
	admin.costs("memory", 0).is(http.StatusUnprocessableEntity, "validation_failed")
}

// serviceWithPeople starts a service with an admin and a member.
func serviceWithPeople(t *testing.T, options ...option) *server {
	t.Helper()
	s := newServer(t, append(options, func(c *api.Config) { c.Classroom = false })...)
	operator := auth.New(auth.Config{Database: s.config.Database, Hasher: cheapHasher(), Now: s.clock.Now, Rand: cryptorand.Reader})
	for _, who := range [][3]string{{"boss", "the password of the boss", "admin"}, {"clerk", "the password of the clerk", "member"}} {
		_, err := operator.Add(t.Context(), who[0], who[1], who[0], who[2])
		require.NoError(t, err)
	}
	return s
}

// Two people, somebody without a login and a hundred strangers at once never get
// what was answered to another one, in whatever order they come.
func TestNobodyGetsAnothersAnswer(t *testing.T) {
	s := newServer(t, withRedis(t, storetest.Redis(t).Address))
	who := map[string]*client{"alice": s.client(t, ""), "bob": s.client(t, ""), "nobody": s.client(t, ""), "carol": s.client(t, "")}
	who["alice"].send = setting("Cookie: " + cookieName("session") + "=" + s.login(t, "session", alice, alicePassword).held())
	who["bob"].send = setting("Cookie: " + cookieName("session") + "=" + s.login(t, "session", bob, bobPassword).held())
	who["carol"].access = s.login(t, "token", alice, alicePassword).held()
	var orders [][]string
	for _, first := range []string{"alice", "bob", "nobody"} {
		for _, second := range []string{"alice", "bob", "nobody"} {
			for _, third := range []string{"alice", "bob", "nobody"} {
				if first != second && second != third && first != third {
					orders = append(orders, []string{first, second, third, "carol", first})
				}
			}
		}
	}
	for _, policy := range kept {
		for _, order := range orders {
			s.clock.advance(time.Minute) // what there was is stale
			strangers := 0
			for _, name := range order {
				status := who[name].catalog(policy).is(http.StatusOK).kept()
				switch {
				case name != "nobody":
					require.Equal(t, "fwd=bypass; detail=credential", status)
				case strangers > 0:
					require.Equal(t, "hit", status)
				default:
					require.Contains(t, status, "; stored")
					strangers++
				}
			}
		}
		// All at once, to an empty cache.
		who["nobody"].do("POST", "/classroom/restart", nil)
		who["nobody"].costs(policy, 5000)
		var all sync.WaitGroup
		var mu sync.Mutex
		seen := map[string]int{}
		for i := range 103 {
			all.Go(func() {
				name := "nobody"
				if i%40 == 0 { // few, since each of them is computed
					name = []string{"alice", "bob", "carol"}[i/40]
				}
				status := who[name].catalog(policy).is(http.StatusOK).kept()
				mu.Lock()
				defer mu.Unlock()
				seen[status]++
			})
		}
		all.Wait()
		require.Equal(t, 3, seen["fwd=bypass; detail=credential"], "%v", seen)
		require.Equal(t, 1, seen["fwd=uri-miss; stored"], "%v", seen)
		require.Equal(t, 99, seen["hit"]+seen["fwd=uri-miss; collapsed"], "%v", seen)
	}
}

// What a restart loses and a reset takes back.
func TestLeversOfTheCache(t *testing.T) {
	s := newServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.client(t, "")
	for _, policy := range kept {
		c.catalog(policy)
	}
	c.do("PUT", "/classroom/settings", object{"session_idle": "10m"}).is(http.StatusOK)
	for _, policy := range kept {
		c.catalog(policy).says("hit") // the process is the same
	}
	c.do("POST", "/classroom/restart", nil).is(http.StatusNoContent)
	c.catalog("memory").says("fwd=uri-miss; stored")
	c.catalog("redis").says("hit")

	c.costs("http", 4200)
	for _, policy := range kept {
		require.EqualValues(t, 4200, c.catalog(policy).price())
	}
	c.do("POST", "/classroom/clock", object{"advance": "1h"})
	c.do("POST", "/classroom/reset", nil).is(http.StatusNoContent)
	for _, policy := range api.CachePolicies() {
		a := c.catalog(policy)
		require.EqualValues(t, firstPrice, a.price(), policy)
		require.Equal(t, s.clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"), a.generated(), policy)
	}
	c.catalog("redis").says("hit")
}

// Hits and misses are counted, and nothing that a client chooses is a label.
func TestCacheMetrics(t *testing.T) {
	s := newServer(t)
	c := s.client(t, "")
	for range 3 {
		c.catalog("memory")
	}
	c.do("GET", catalogPath("memory")+"?x=FINDME", nil)
	s.clock.advance(time.Minute)
	c.catalog("memory")
	c.catalog("memory", "Cache-Control: no-cache")
	c.catalog("memory", "Cookie: a=b")
	c.catalog("redis")
	text := s.exposition()
	for labels, want := range map[string]int{
		`outcome="hit",policy="memory"`: 3, `outcome="miss",policy="memory"`: 1, `outcome="stale",policy="memory"`: 1, `outcome="refused",policy="memory"`: 1,
		`outcome="bypass",policy="memory"`: 1, `outcome="collapsed",policy="memory"`: 0, `outcome="bypass",policy="redis"`: 1, `outcome="hit",policy="none"`: 0,
	} {
		require.Contains(t, text, fmt.Sprintf("statelab_cache_total{%s} %d\n", labels, want))
	}
	require.NotContains(t, text, "FINDME")
}

// A database that is down makes a 503, and what is kept is served as long as it is
// fresh.
func TestTheCatalogueWithoutItsDatabase(t *testing.T) {
	s := newServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.client(t, "")
	for _, policy := range kept {
		c.catalog(policy)
	}
	require.NoError(t, s.config.Database.Close())
	for _, policy := range api.CachePolicies() {
		if slices.Contains(kept, policy) {
			require.EqualValues(t, firstPrice, c.catalog(policy).says("hit").price())
		} else {
			c.catalog(policy).is(http.StatusServiceUnavailable, "store_unavailable")
		}
		c.costs(policy, 1).is(http.StatusServiceUnavailable, "store_unavailable")
	}
	s.clock.advance(catalogTTL)
	for _, policy := range kept {
		c.catalog(policy).is(http.StatusServiceUnavailable, "store_unavailable")
	}
	// Many at once wait for one that fails, and each hears of it as a problem of its own.
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if a := c.catalog("memory"); a.status != http.StatusServiceUnavailable || a.took > prompt {
				t.Errorf("%d after %s", a.status, a.took)
			}
		})
	}
	all.Wait()
}

// A change whose end is not known may have been made: nothing is kept that would
// hide it.
func TestAChangeInDoubtVoidsWhatIsKept(t *testing.T) {
	s := newServer(t)
	c := s.client(t, "")
	for _, statement := range []string{ // a commit that fails
		`CREATE TABLE parents (id INTEGER PRIMARY KEY)`,
		`CREATE TABLE children (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)`,
		`CREATE TRIGGER orphan AFTER UPDATE ON catalog_state BEGIN INSERT INTO children VALUES (1); END`,
	} {
		_, err := s.config.Database.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	for name, change := range map[string]func() *answer{
		"a price": func() *answer { return c.costs("memory", 4200) },
		"a reset": func() *answer { return c.do("POST", "/classroom/reset", nil) },
	} {
		c.catalog("memory")
		c.catalog("memory").says("hit")
		change().is(http.StatusServiceUnavailable, "store_unavailable")
		require.Equal(t, "fwd=uri-miss; stored", c.catalog("memory").kept(), name)
	}
}

// A Redis that is down or hangs makes the policy slower and nothing else; when it
// is back, so is the cache, and no old answer with it.
func TestTheCatalogueWithoutItsRedis(t *testing.T) {
	server := storetest.Redis(t)
	s := newServer(t, withRedis(t, server.Address))
	c := s.client(t, "")
	price := int64(firstPrice)
	for name, fault := range map[string]struct{ begin, end func() }{
		"down": {server.Kill, server.Start}, "hanging": {server.Pause, server.Resume},
	} {
		c.catalog("redis")
		c.catalog("redis").says("hit")
		fault.begin()
		for range 5 {
			a := c.catalog("redis").is(http.StatusOK).says("fwd=bypass; detail=unavailable")
			require.Less(t, a.took, prompt, name)
		}
		c.catalog("memory").is(http.StatusOK)
		price++
		a := c.costs("redis", price).is(http.StatusOK)
		require.Less(t, a.took, prompt, name)
		require.Equal(t, price, c.catalog("redis").price())
		require.Equal(t, price, c.catalog("memory").price())
		fault.end()
		require.Eventually(t, func() bool {
			a := c.catalog("redis")
			require.Equal(t, price, a.price(), "an old answer has come back with Redis, which was %s", name)
			return strings.Contains(a.header.Get("Cache-Status"), "; hit")
		}, recovery, 10*time.Millisecond, name)
	}
}

// A change through one node is seen at once there, and on the others within a tenth
// of a second: under redis since they share what is kept, under memory by a message.
func TestAChangeReachesTheOtherNodes(t *testing.T) {
	address := storetest.Redis(t).Address
	a := newServer(t, withRedis(t, address))
	b := newServer(t, withRedis(t, address), func(c *api.Config) { c.Database = a.config.Database })
	here, there := a.client(t, ""), b.client(t, "")
	var took []time.Duration
	for i := range int64(10) {
		for _, policy := range kept {
			there.catalog(policy)
			there.catalog(policy).says("hit")
		}
		holds := func() bool {
			e, _, err := b.config.CacheMemory.Get(t.Context(), cache.Key{Path: catalogPath("memory")})
			require.NoError(t, err)
			return e != nil
		}
		require.True(t, holds())
		here.costs("memory", 4000+i).is(http.StatusOK)
		changed := time.Now()
		for holds() {
			require.Less(t, time.Since(changed), 5*time.Second)
			runtime.Gosched()
		}
		took = append(took, time.Since(changed))
		for _, policy := range kept {
			require.Equal(t, 4000+i, here.catalog(policy).price())
			require.Equal(t, 4000+i, there.catalog(policy).price())
		}
	}
	slices.Sort(took)
	t.Logf("seen on the other node after %s, at the worst %s", took[len(took)/2], took[len(took)-1])
	require.Less(t, took[len(took)/2], 100*time.Millisecond)
	// What one node has computed, the other one need not.
	here.costs("redis", 9000)
	here.catalog("redis").says("fwd=uri-miss; stored")
	there.catalog("redis").says("hit")
}

// Where a page of another origin may read answers, what is kept for one origin is
// not handed to another.
func TestCachedAnswersAndOrigins(t *testing.T) {
	const one, two = "http://one.test", "http://two.test"
	s := newServer(t, func(c *api.Config) { c.AllowOrigins = []string{one, two} })
	c := s.client(t, "")
	for range 2 {
		for _, origin := range []string{one, two, ""} {
			var headers []string
			if origin != "" {
				headers = append(headers, "Origin: "+origin)
			}
			a := c.catalog("memory", headers...).is(http.StatusOK)
			require.Equal(t, origin, a.header.Get("Access-Control-Allow-Origin"))
		}
	}
	require.Len(t, c.catalog("memory", "Origin: "+one).header["Access-Control-Allow-Origin"], 1)
	c.catalog("memory", "Origin: "+one).says("hit")
}

// What a request says that chooses no answer makes no other one: else a stranger
// could fill the Redis that the logins are in.
func TestStrangersDoNotFillTheCache(t *testing.T) {
	s := newServer(t, withRedis(t, storetest.Redis(t).Address), func(c *api.Config) { c.AllowOrigins = []string{"http://one.test"} })
	c := s.client(t, "")
	for _, policy := range kept {
		c.catalog(policy).says("fwd=uri-miss; stored")
		for i := range 5 {
			query := fmt.Sprintf("%s?x=%d", policy, i)
			c.catalog(query).says("hit")
			c.catalog(query, fmt.Sprintf("Origin: http://%d.test", i), fmt.Sprint("Accept-Language: ", i)).says("hit")
		}
		require.Equal(t, "http://one.test", c.catalog(policy, "Origin: http://one.test").says("hit").header.Get("Access-Control-Allow-Origin"))
	}
}

// The flag is real: by default nodes share what they keep in the Redis of their
// logins.
func TestTheCacheOfAProgram(t *testing.T) {
	address := storetest.Redis(t).Address
	for name, args := range map[string][]string{"by the flag": {"--cache", address}, "by the store": {"--store", address}} {
		a := start(t, t.TempDir(), nil, append([]string{"--listen", "localhost:0"}, args...)...)
		b := start(t, t.TempDir(), []string{"STATELAB_CACHE=" + address}, "--listen", "localhost:0")
		a.client("").do("POST", "/classroom/reset", nil).is(http.StatusNoContent)
		require.Contains(t, a.client("").catalog("redis").is(http.StatusOK).kept(), "; stored", name)
		b.client("").catalog("redis").is(http.StatusOK).says("hit")
	}
	alone := start(t, t.TempDir(), nil, "--listen", "localhost:0", "--store", address, "--cache", "none")
	alone.client("").catalog("redis").is(http.StatusOK).says("fwd=bypass; detail=absent")
}
