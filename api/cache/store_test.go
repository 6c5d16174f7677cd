package cache_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"statelab/api/cache"
	"statelab/state/store/storetest"
)

// eachStore runs a test on every back end. A new one joins with one line.
func eachStore(t *testing.T, test func(t *testing.T, open func() cache.Store)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, func() cache.Store { return cache.NewMemory(0) })
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, openRedis(t, storetest.Redis(t).Address))
	})
}

// newRedis returns a cache in Redis whose patience the machine does not exhaust,
// however busy it is.
func newRedis(t *testing.T, client redis.UniversalClient, prefix string, local *cache.Memory) *cache.Redis {
	s := cache.NewRedis(client, prefix, local, 0)
	s.SetTimes(patience, time.Now)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	<-s.Subscribed() // NewRedis does not wait for it on a busy machine
	return s
}

// redisClient asks the servers at an address as the program does, with more patience.
func redisClient(t *testing.T, address string) redis.UniversalClient {
	client := redis.NewUniversalClient(&redis.UniversalOptions{
		DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, PoolTimeout: patience,
		Addrs: strings.Split(strings.TrimPrefix(address, "redis://"), ","), ContextTimeoutEnabled: true, MaxRetries: -1,
	})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// openRedis returns what opens stores that have nothing in common.
func openRedis(t *testing.T, address string) func() cache.Store {
	n := 0
	return func() cache.Store {
		n++
		return newRedis(t, redisClient(t, address), fmt.Sprintf("test-%d:", n), nil)
	}
}

func entry(body string) *cache.Entry {
	return &cache.Entry{
		Status: 200, Header: map[string][]string{"X-Two": {"a", "b"}}, Body: []byte(body),
		Made: time.Date(2026, 1, 2, 3, 4, 5, 678000, time.UTC), Age: 3 * time.Second, Fresh: time.Minute, Vary: []string{"Accept"},
	}
}

func TestEveryStore(t *testing.T) {
	t.Parallel()
	eachStore(t, holdsToTheContract)
	t.Run("redis-cluster", func(t *testing.T) {
		t.Parallel()
		holdsToTheContract(t, openRedis(t, storetest.RedisCluster(t)))
	})
}

// holdsToTheContract is what every Store promises.
func holdsToTheContract(t *testing.T, open func() cache.Store) {
	s, ctx := open(), t.Context()
	k := cache.Key{Path: "/a", Variant: "x=1"}
	get := func(k cache.Key) (*cache.Entry, cache.Generation) {
		e, g, err := s.Get(ctx, k)
		require.NoError(t, err)
		return e, g
	}
	e, first := get(k)
	require.Nil(t, e)
	require.NoError(t, s.Set(ctx, k, first, entry("one\ntwo\x00\xff")))
	e, again := get(k)
	require.Equal(t, first, again)
	want := entry("one\ntwo\x00\xff")
	require.Equal(t, want.Body, e.Body)
	require.Equal(t, want.Header, e.Header)
	require.Equal(t, want.Vary, e.Vary)
	require.True(t, want.Made.Equal(e.Made))
	require.Equal(t, []any{want.Status, want.Age, want.Fresh}, []any{e.Status, e.Age, e.Fresh})

	for _, other := range []cache.Key{{Path: "/a"}, {Path: "/a", Variant: "x=2"}, {Path: "/ax=1"}, {Path: "/A", Variant: "x=1"}} {
		e, _ = get(other)
		require.Nil(t, e, "%+v", other)
	}

	_, elsewhere := get(cache.Key{Path: "/b"})
	require.NoError(t, s.Set(ctx, cache.Key{Path: "/b"}, elsewhere, entry("b")))
	require.NoError(t, s.Invalidate(ctx, "/a"))
	e, second := get(k)
	require.Nil(t, e, "what was invalidated is found")
	require.NotEqual(t, first, second)
	require.ErrorIs(t, s.Set(ctx, k, first, entry("old")), cache.ErrSuperseded)
	e, _ = get(k)
	require.Nil(t, e, "a reader that began before the write has put its answer back")
	require.NoError(t, s.Set(ctx, k, second, entry("new")))
	e, _ = get(k)
	require.Equal(t, "new", string(e.Body))
	e, _ = get(cache.Key{Path: "/b"})
	require.Equal(t, "b", string(e.Body), "another path is gone")

	require.NoError(t, s.Invalidate(ctx)) // nothing: it goes on keeping
	require.NoError(t, s.Set(ctx, k, second, entry("new")))
	require.NoError(t, s.Invalidate(ctx, "/a", "/b", "/nothing"))
	for _, k := range []cache.Key{k, {Path: "/b"}} {
		e, _ = get(k)
		require.Nil(t, e)
	}
	// A key may be as long as a request, and hold what a request can.
	long := cache.Key{Path: "/" + strings.Repeat("%7B", 2000), Variant: strings.Repeat("q={}\n", 1000)}
	_, g := get(long)
	require.NoError(t, s.Set(ctx, long, g, entry("long")))
	e, _ = get(long)
	require.Equal(t, "long", string(e.Body))
}

// After an invalidation has returned, no reader finds what was computed before it,
// however readers and writers meet.
func TestNoStoreBringsBackWhatWasBefore(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, open func() cache.Store) {
		s, ctx := open(), t.Context()
		k := cache.Key{Path: "/count"}
		// What a computation reads, and what of it has been acknowledged: a write is
		// when its invalidation has returned.
		var written, acknowledged atomic.Int64
		written.Store(200)
		done := make(chan struct{})
		var readers sync.WaitGroup
		var found atomic.Int64
		for range 2 {
			readers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					least := acknowledged.Load()
					e, g, err := s.Get(ctx, k)
					switch {
					case err != nil:
						t.Error(err)
						return
					case e == nil:
						_ = s.Set(ctx, k, g, &cache.Entry{Status: int(written.Load()), Fresh: time.Hour}) // or it is superseded
					case int64(e.Status) < least:
						t.Errorf("found %d, and %d had been acknowledged", e.Status, least)
						return
					default:
						found.Add(1)
					}
				}
			})
		}
		for n := int64(201); n <= 240; n++ {
			written.Store(n)
			require.NoError(t, s.Invalidate(ctx, k.Path))
			acknowledged.Store(n)
			for target := found.Load() + 2; found.Load() < target && !t.Failed(); { // somebody has found it
				runtime.Gosched()
			}
		}
		close(done)
		readers.Wait()
	})
}

// A Memory stays within its bounds, whatever is asked for.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const bound = 1 << 20
	m := cache.NewMemory(bound)
	body := strings.Repeat("x", 10<<10)
	for i := range 1000 {
		k := cache.Key{Path: "/", Variant: fmt.Sprint(i)}
		_, g, _ := m.Get(t.Context(), k)
		require.NoError(t, m.Set(t.Context(), k, g, entry(body)))
	}
	held := func() (n int) {
		for i := range 1000 {
			if e, _, _ := m.Get(t.Context(), cache.Key{Path: "/", Variant: fmt.Sprint(i)}); e != nil {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return held() <= bound/len(body) }, patience, 10*time.Millisecond)
	require.Positive(t, held())
	m.Clear()
	require.Zero(t, held())
}

// What Redis holds may be anybody's: nonsense is a miss, and is replaced.
func TestRedisHoldsNonsense(t *testing.T) {
	t.Parallel()
	client := redisClient(t, storetest.Redis(t).Address)
	s := newRedis(t, client, "x:", nil)
	k, ctx := cache.Key{Path: "/a"}, t.Context()
	_, g, err := s.Get(ctx, k)
	require.NoError(t, err)
	require.NoError(t, s.Set(ctx, k, g, entry("good")))
	keys, err := client.Keys(ctx, "x:*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 2)
	for _, key := range keys {
		whole, err := client.Get(ctx, key).Result()
		require.NoError(t, err)
		for name, spoil := range map[string]func() error{
			"gone":         func() error { return client.Del(ctx, key).Err() },
			"empty":        func() error { return client.Set(ctx, key, "", 0).Err() },
			"cut":          func() error { return client.Set(ctx, key, whole[:len(whole)/2], 0).Err() },
			"garbage":      func() error { return client.Set(ctx, key, whole[:len(whole)/4]+"\xff\n", 0).Err() },
			"another type": func() error { return errors.Join(client.Del(ctx, key).Err(), client.LPush(ctx, key, "x").Err()) },
		} {
			require.NoError(t, spoil(), name)
			e, g, err := s.Get(ctx, k)
			require.NoError(t, err, name)
			require.Nil(t, e, name)
			require.NoError(t, s.Set(ctx, k, g, entry("good")), name)
			e, _, err = s.Get(ctx, k)
			require.NoError(t, err, name)
			require.Equal(t, "good", string(e.Body), name)
		}
	}
}

// What one node invalidates is gone from the memory of the others, and whatever
// happens to the news, nothing old is found for longer than it is fresh.
func TestNodesHearOfInvalidations(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	type node struct {
		memory *cache.Memory
		redis  *cache.Redis
	}
	open := func() node {
		n := node{memory: cache.NewMemory(0)}
		n.redis = newRedis(t, redisClient(t, server.Address), "x:", n.memory)
		return n
	}
	a, b := open(), open()
	k, ctx := cache.Key{Path: "/a"}, t.Context()
	fill := func() cache.Generation {
		_, g, _ := b.memory.Get(ctx, k)
		require.NoError(t, b.memory.Set(ctx, k, g, entry("b")))
		return g
	}
	holds := func() bool { e, _, _ := b.memory.Get(ctx, k); return e != nil }
	heard := func() {
		t.Helper()
		require.Eventually(t, func() bool { return !holds() }, patience, time.Millisecond)
	}
	var slowest time.Duration
	for range 20 {
		g := fill()
		began := time.Now()
		require.NoError(t, a.redis.Invalidate(ctx, "/a"))
		heard()
		slowest = max(slowest, time.Since(began))
		require.ErrorIs(t, b.memory.Set(ctx, k, g, entry("old")), cache.ErrSuperseded, "a reader on another node has put it back")
	}
	t.Logf("the slowest of 20 took %s", slowest)

	// A node does not hear itself: what it computes after its own write stays.
	fill()
	require.NoError(t, b.redis.Invalidate(ctx, "/other"))
	require.True(t, holds())

	// News that get lost with the connection: with the next one the memory is empty.
	fill()
	server.Kill()
	require.Error(t, a.redis.Invalidate(ctx, "/a"))
	_, _, err := a.redis.Get(ctx, k)
	require.Error(t, err)
	require.True(t, holds(), "it cannot know yet")
	server.Start()
	heard()
	require.Eventually(t, func() bool { _, _, err := a.redis.Get(ctx, k); return err == nil }, patience, 5*time.Millisecond)
}

// A Redis that comes back from a snapshot brings nothing back that was invalidated
// after it.
func TestRedisFromASnapshot(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	client := redisClient(t, server.Address)
	s := newRedis(t, client, "x:", nil)
	k, ctx := cache.Key{Path: "/a"}, t.Context()
	_, g, err := s.Get(ctx, k)
	require.NoError(t, err)
	require.NoError(t, s.Set(ctx, k, g, entry("before")))
	require.NoError(t, client.Save(ctx).Err())
	require.NoError(t, s.Invalidate(ctx, "/a"))
	server.Kill()
	server.Start()
	require.Eventually(t, func() bool {
		e, _, err := s.Get(ctx, k)
		require.Nil(t, e)
		return err == nil
	}, patience, 5*time.Millisecond)
	keys, err := client.Keys(ctx, "x:*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 2, "the entry is there, and is not found")
	_, g, err = s.Get(ctx, k)
	require.NoError(t, err)
	require.NoError(t, s.Set(ctx, k, g, entry("after")))
	e, _, err := s.Get(ctx, k)
	require.NoError(t, err)
	require.Equal(t, "after", string(e.Body))
}

// A Redis that hangs is asked once, and then left alone for a moment; when it is
// back, it hears first of what has been invalidated meanwhile.
func TestRedisThatHangs(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	client := redisClient(t, server.Address)
	asked := new(asked)
	client.AddHook(asked)
	s := cache.NewRedis(client, "x:", nil, 0)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	var now atomic.Int64
	s.SetTimes(patience, func() time.Time { return time.Unix(0, 1+now.Load()) })
	k, ctx := cache.Key{Path: "/a"}, t.Context()
	_, g, err := s.Get(ctx, k)
	require.NoError(t, err)
	require.NoError(t, s.Set(ctx, k, g, entry("before")))
	server.Pause()
	s.SetTimes(50*time.Millisecond, func() time.Time { return time.Unix(0, 1+now.Load()) })
	before := asked.Load()
	for range 100 {
		_, _, err := s.Get(ctx, k)
		require.Error(t, err)
	}
	require.Equal(t, before+1, asked.Load(), "while Redis rests, it is not asked")
	now.Add(int64(cache.RedisRest))
	for range 100 {
		_, _, err := s.Get(ctx, k)
		require.Error(t, err)
	}
	require.Equal(t, before+2, asked.Load(), "after its rest it is asked once")
	require.Error(t, s.Invalidate(ctx, "/a"))
	require.Equal(t, before+2, asked.Load())
	server.Resume()
	require.Eventually(t, func() bool {
		now.Add(int64(cache.RedisRest))
		e, _, err := s.Get(ctx, k)
		require.Nil(t, e, "the write was not heard of first")
		return err == nil
	}, patience, time.Millisecond)
}

// asked counts the operations that a cache sends, without what the client itself
// sends over a new connection.
type asked struct{ atomic.Int64 }

func (*asked) DialHook(next redis.DialHook) redis.DialHook { return next }

func (n *asked) count(all ...redis.Cmder) {
	for _, c := range all {
		if strings.HasPrefix(c.Name(), "eval") || c.Name() == "publish" {
			n.Add(1)
		}
	}
}

func (n *asked) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, c redis.Cmder) error {
		n.count(c)
		return next(ctx, c)
	}
}

func (n *asked) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, all []redis.Cmder) error {
		n.count(all...)
		return next(ctx, all)
	}
}
