package fault

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/api/cache"
	"statelab/state/store/redisstore"
	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// withRedis has the policy redis keep answers at the address, and wait for them: the
// machine may be busy.
func withRedis(t testing.TB, address string) harness.Option {
	return redisWithin(t, address, time.Minute)
}

// redisWithin does so with so much patience; zero: as in service.
func redisWithin(t testing.TB, address string, patience time.Duration) harness.Option {
	return func(c *api.Config) {
		client, err := redisstore.NewClient(address)
		require.NoError(t, err)
		c.CacheMemory = cache.NewMemory(0)
		shared := cache.NewRedis(client, "statelab:cache:", c.CacheMemory, patience)
		c.CacheShared = shared
		t.Cleanup(func() {
			require.NoError(t, shared.Close())
			require.NoError(t, client.Close())
		})
	}
}

func TestTheCatalogueUnderEachPolicy(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.Client(t, "")
	require.Equal(t, []string{"none", "http", "memory", "redis"}, api.CachePolicies())
	var first []byte
	for _, policy := range api.CachePolicies() {
		a := c.Do("GET", harness.CatalogPath(policy), nil).Is(http.StatusOK)
		require.EqualValues(t, harness.FirstPrice, a.Price())
		require.Equal(t, "statelab-"+policy, strings.Split(a.Header.Get("Cache-Status"), ";")[0])
		require.Empty(t, a.Header.Get("Age"))
		again := c.Do("GET", harness.CatalogPath(policy), nil).Is(http.StatusOK)
		if slices.Contains(harness.Kept, policy) {
			a.Says("fwd=uri-miss; stored")
			again.Says("hit")
			require.Equal(t, "0", again.Header.Get("Age"))
			require.Equal(t, a.Body, again.Body)
			require.Equal(t, a.Header.Get("ETag"), again.Header.Get("ETag"))
			require.Equal(t, "public, max-age=0, s-maxage=30", again.Header.Get("Cache-Control"))
		} else {
			a.Says("fwd=bypass; detail=absent")
			again.Says("fwd=bypass; detail=absent")
		}
		require.NotEqual(t, a.Header.Get("X-Request-Id"), again.Header.Get("X-Request-Id"))
		if first == nil {
			first = a.Body
		}
		if policy != "http" { // the clock stands still
			require.Equal(t, first, a.Body)
		}

		head := c.Do("HEAD", harness.CatalogPath(policy), nil).Is(http.StatusOK)
		require.Empty(t, head.Body)
		for _, name := range []string{"Content-Length", "Content-Type", "Cache-Control", "ETag"} {
			require.Equal(t, again.Header.Get(name), head.Header.Get(name), "%s: %s", policy, name)
		}
	}
	// A policy whose cache was not configured.
	a := harness.NewServer(t).Client(t, "").Catalog("redis").Is(http.StatusOK).Says("fwd=bypass; detail=absent")
	require.EqualValues(t, harness.FirstPrice, a.Price())
	c.Do("GET", "/cache/lru/catalog", nil).Is(http.StatusNotFound, "not_found")
	c.Do("GET", "/cache/memory/catalog/SKU-0001", nil).Is(http.StatusMethodNotAllowed, "method_not_allowed")
	c.Do("POST", "/cache/memory/catalog", harness.Object{}).Is(http.StatusMethodNotAllowed, "method_not_allowed")
	c.Catalog("memory", "Accept: text/html").Is(http.StatusNotAcceptable, "not_acceptable")
	// Parts there are none, and preconditions are about changes.
	for _, policy := range api.CachePolicies() {
		for _, header := range []string{"Range: bytes=0-9", "Range: bytes=999999999-", `If-Match: "x"`, "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"} {
			require.EqualValues(t, harness.FirstPrice, c.Catalog(policy, header).Is(http.StatusOK).Price(), header)
		}
	}
}

// What is kept ends by the clock of the lesson, and says why it is asked for again.
func TestCachedAnswersEnd(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.Client(t, "")
	for _, policy := range harness.Kept {
		a := c.Catalog(policy)
		s.Clock.Advance(harness.LeastTTL - time.Second)
		b := c.Catalog(policy).Says("hit")
		require.Equal(t, "26", b.Header.Get("Age"))
		require.Equal(t, a.Generated(), b.Generated())
		s.Clock.Advance(harness.CatalogTTL - harness.LeastTTL + time.Second)
		b = c.Catalog(policy).Says("fwd=stale; stored")
		require.NotEqual(t, a.Generated(), b.Generated())
		require.NotEqual(t, a.Header.Get("ETag"), b.Header.Get("ETag"), "other bytes, another validator")
		c.Do("POST", "/classroom/clock", harness.Object{"advance": "31s"}).Is(http.StatusOK)
		c.Catalog(policy).Says("fwd=stale; stored")
		s.Clock.Advance(time.Second)
		c.Catalog(policy, "Cache-Control: no-cache").Says("fwd=request; stored")
		c.Catalog(policy, "Cache-Control: no-store").Says("fwd=bypass; detail=no-store")
		c.Catalog(policy).Says("hit")
		c.Catalog(policy + "?page=2").Says("hit")
	}
}

// A client that has an answer already is told so: under http as long as nothing has
// changed, whenever it asks.
func TestValidators(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.Client(t, "")
	for _, policy := range append(harness.Kept, "http") {
		a := c.Catalog(policy)
		tag := a.Header.Get("ETag")
		require.Regexp(t, `^"[0-9]+\.[0-9a-z]+"$`, tag, "it is strong")
		for _, condition := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
			b := c.Catalog(policy, "If-None-Match: "+condition).Is(http.StatusNotModified)
			require.Empty(t, b.Body)
			require.Equal(t, tag, b.Header.Get("ETag"))
			require.Equal(t, a.Header.Get("Cache-Control"), b.Header.Get("Cache-Control"))
			require.NotEmpty(t, b.Header.Get("Cache-Status"))
		}
		require.Equal(t, http.StatusOK, c.Catalog(policy, `If-None-Match: "x"`).Status)
		s.Clock.Advance(time.Hour)
		want := http.StatusOK // it has been computed anew
		if policy == "http" {
			want = http.StatusNotModified
		}
		require.Equal(t, want, c.Catalog(policy, "If-None-Match: "+tag).Status, policy)
		c.Costs("none", 4200)
		require.EqualValues(t, 4200, c.Catalog(policy, "If-None-Match: "+tag).Is(http.StatusOK).Price())
		c.Do("POST", "/classroom/reset", nil).Is(http.StatusNoContent)
	}
}

// A change under any policy is seen under all of them at once.
func TestAChangeIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.Client(t, "")
	price := int64(1000)
	for _, through := range api.CachePolicies() {
		for _, policy := range harness.Kept {
			c.Catalog(policy)
			c.Catalog(policy + "?page=2")
			c.Catalog(policy).Says("hit")
		}
		price++
		a := c.Costs(through, price).Is(http.StatusOK)
		require.Equal(t, harness.Object{"sku": "SKU-0001", "name": "Amber bamboo bag", "price": float64(price)}, harness.Object(a.JSON.(map[string]any)))
		for _, policy := range api.CachePolicies() {
			require.Equal(t, price, c.Catalog(policy).Price(), "changed through %s, read through %s", through, policy)
			require.Equal(t, price, c.Catalog(policy+"?page=2").Price())
		}
	}
	// What changes nothing voids nothing.
	for _, policy := range harness.Kept {
		c.Costs(policy, 0).Is(http.StatusUnprocessableEntity, "validation_failed")
		c.Do("PATCH", harness.CatalogPath(policy)+"/SKU-9999", harness.Object{"price": 1}).Is(http.StatusNotFound, "not_found")
		c.Catalog(policy).Says("hit")
	}
}

// Two people, somebody without a login and a hundred strangers at once never get
// what was answered to another one, in whatever order they come.
func TestNobodyGetsAnothersAnswer(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withRedis(t, storetest.Redis(t).Address))
	who := map[string]*harness.Client{"alice": s.Client(t, ""), "bob": s.Client(t, ""), "nobody": s.Client(t, ""), "carol": s.Client(t, "")}
	who["alice"].Send = harness.Setting("Cookie: " + harness.CookieName("session") + "=" + s.Login(t, "session", harness.Alice, harness.AlicePassword).Held())
	who["bob"].Send = harness.Setting("Cookie: " + harness.CookieName("session") + "=" + s.Login(t, "session", harness.Bob, harness.BobPassword).Held())
	who["carol"].Access = s.Login(t, "token", harness.Alice, harness.AlicePassword).Held()
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
	for _, policy := range harness.Kept {
		for _, order := range orders {
			s.Clock.Advance(time.Minute) // what there was is stale
			strangers := 0
			for _, name := range order {
				status := who[name].Catalog(policy).Is(http.StatusOK).Kept()
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
		who["nobody"].Do("POST", "/classroom/restart", nil)
		who["nobody"].Costs(policy, 5000)
		var all sync.WaitGroup
		var mu sync.Mutex
		seen := map[string]int{}
		for i := range 103 {
			all.Go(func() {
				name := "nobody"
				if i%40 == 0 { // few, since each of them is computed
					name = []string{"alice", "bob", "carol"}[i/40]
				}
				status := who[name].Catalog(policy).Is(http.StatusOK).Kept()
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
	t.Parallel()
	s := harness.NewServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.Client(t, "")
	for _, policy := range harness.Kept {
		c.Catalog(policy)
	}
	c.Do("PUT", "/classroom/settings", harness.Object{"session_idle": "10m"}).Is(http.StatusOK)
	for _, policy := range harness.Kept {
		c.Catalog(policy).Says("hit") // the process is the same
	}
	c.Do("POST", "/classroom/restart", nil).Is(http.StatusNoContent)
	c.Catalog("memory").Says("fwd=uri-miss; stored")
	c.Catalog("redis").Says("hit")

	c.Costs("http", 4200)
	for _, policy := range harness.Kept {
		require.EqualValues(t, 4200, c.Catalog(policy).Price())
	}
	c.Do("POST", "/classroom/clock", harness.Object{"advance": "1h"})
	c.Do("POST", "/classroom/reset", nil).Is(http.StatusNoContent)
	for _, policy := range api.CachePolicies() {
		a := c.Catalog(policy)
		require.EqualValues(t, harness.FirstPrice, a.Price(), policy)
		require.Equal(t, s.Clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"), a.Generated(), policy)
	}
	c.Catalog("redis").Says("hit")
}

// A database that is down makes a 503, and what is kept is served as long as it is
// fresh.
func TestTheCatalogueWithoutItsDatabase(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withRedis(t, storetest.Redis(t).Address))
	c := s.Client(t, "")
	for _, policy := range harness.Kept {
		c.Catalog(policy)
	}
	require.NoError(t, s.Config.Database.Close())
	for _, policy := range api.CachePolicies() {
		if slices.Contains(harness.Kept, policy) {
			require.EqualValues(t, harness.FirstPrice, c.Catalog(policy).Says("hit").Price())
		} else {
			c.Catalog(policy).Is(http.StatusServiceUnavailable, "store_unavailable")
		}
		c.Costs(policy, 1).Is(http.StatusServiceUnavailable, "store_unavailable")
	}
	s.Clock.Advance(harness.CatalogTTL)
	for _, policy := range harness.Kept {
		c.Catalog(policy).Is(http.StatusServiceUnavailable, "store_unavailable")
	}
	// Many at once wait for one that fails, and each hears of it as a problem of its own.
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if a := c.Catalog("memory"); a.Status != http.StatusServiceUnavailable || a.Took > harness.Prompt {
				t.Errorf("%d after %s", a.Status, a.Took)
			}
		})
	}
	all.Wait()
}

// A Redis that is down or hangs makes the policy slower and nothing else; when it
// is back, so is the cache, and no old answer with it.
func TestTheCatalogueWithoutItsRedis(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	s := harness.NewServer(t, redisWithin(t, server.Address, 0))
	c := s.Client(t, "")
	price := int64(harness.FirstPrice)
	for name, fault := range map[string]struct{ begin, end func() }{
		"down": {server.Kill, server.Start}, "hanging": {server.Pause, server.Resume},
	} {
		c.Catalog("redis")
		c.Catalog("redis").Says("hit")
		fault.begin()
		for range 5 {
			a := c.Catalog("redis").Is(http.StatusOK).Says("fwd=bypass; detail=unavailable")
			require.Less(t, a.Took, harness.Prompt, name)
		}
		c.Catalog("memory").Is(http.StatusOK)
		price++
		a := c.Costs("redis", price).Is(http.StatusOK)
		require.Less(t, a.Took, harness.Prompt, name)
		require.Equal(t, price, c.Catalog("redis").Price())
		require.Equal(t, price, c.Catalog("memory").Price())
		fault.end()
		require.Eventually(t, func() bool {
			a := c.Catalog("redis")
			require.Equal(t, price, a.Price(), "an old answer has come back with Redis, which was %s", name)
			return strings.Contains(a.Header.Get("Cache-Status"), "; hit")
		}, harness.Recovery, 10*time.Millisecond, name)
	}
}

// A change through one node is seen at once there, and on the others within a tenth
// of a second: under redis since they share what is kept, under memory by a message.
func TestAChangeReachesTheOtherNodes(t *testing.T) {
	t.Parallel()
	address := storetest.Redis(t).Address
	a := harness.NewServer(t, withRedis(t, address))
	b := harness.NewServer(t, withRedis(t, address), func(c *api.Config) { c.Database = a.Config.Database })
	here, there := a.Client(t, ""), b.Client(t, "")
	var took []time.Duration
	for i := range int64(10) {
		for _, policy := range harness.Kept {
			there.Catalog(policy)
			there.Catalog(policy).Says("hit")
		}
		holds := func() bool {
			e, _, err := b.Config.CacheMemory.Get(t.Context(), cache.Key{Path: harness.CatalogPath("memory")})
			require.NoError(t, err)
			return e != nil
		}
		require.True(t, holds())
		here.Costs("memory", 4000+i).Is(http.StatusOK)
		changed := harness.StartWatch()
		for holds() {
			require.Less(t, changed.Took(), 5*time.Second)
			runtime.Gosched()
		}
		took = append(took, changed.Took())
		for _, policy := range harness.Kept {
			require.Equal(t, 4000+i, here.Catalog(policy).Price())
			require.Equal(t, 4000+i, there.Catalog(policy).Price())
		}
	}
	slices.Sort(took)
	t.Logf("seen on the other node after %s, at the worst %s", took[len(took)/2], took[len(took)-1])
	require.Less(t, took[len(took)/2], 100*time.Millisecond)
	// What one node has computed, the other one need not.
	here.Costs("redis", 9000)
	here.Catalog("redis").Says("fwd=uri-miss; stored")
	there.Catalog("redis").Says("hit")
}

// What a request says that chooses no answer makes no other one: else a stranger
// could fill the Redis that the logins are in.
func TestStrangersDoNotFillTheCache(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withRedis(t, storetest.Redis(t).Address), func(c *api.Config) { c.AllowOrigins = []string{"http://one.test"} })
	c := s.Client(t, "")
	for _, policy := range harness.Kept {
		c.Catalog(policy).Says("fwd=uri-miss; stored")
		for i := range 5 {
			query := fmt.Sprintf("%s?x=%d", policy, i)
			c.Catalog(query).Says("hit")
			c.Catalog(query, fmt.Sprintf("Origin: http://%d.test", i), fmt.Sprint("Accept-Language: ", i)).Says("hit")
		}
		require.Equal(t, "http://one.test", c.Catalog(policy, "Origin: http://one.test").Says("hit").Header.Get("Access-Control-Allow-Origin"))
	}
}

// The flag is real: by default nodes share what they keep in the Redis of their
// logins.
func TestTheCacheOfAProgram(t *testing.T) {
	t.Parallel()
	address := storetest.Redis(t).Address
	for name, args := range map[string][]string{"by the flag": {"--cache", address}, "by the store": {"--store", address}} {
		a := harness.Start(t, t.TempDir(), nil, append([]string{"--listen", "localhost:0"}, args...)...)
		b := harness.Start(t, t.TempDir(), []string{"STATELAB_CACHE=" + address}, "--listen", "localhost:0")
		a.Client("").Do("POST", "/classroom/reset", nil).Is(http.StatusNoContent)
		require.Contains(t, a.Client("").Catalog("redis").Is(http.StatusOK).Kept(), "; stored", name)
		b.Client("").Catalog("redis").Is(http.StatusOK).Says("hit")
	}
	alone := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0", "--store", address, "--cache", "none")
	alone.Client("").Catalog("redis").Is(http.StatusOK).Says("fwd=bypass; detail=absent")
}
