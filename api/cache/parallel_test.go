package cache_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"statelab/api/cache"
)

// 500 clients that ask for the same at once are one computation.
func TestParallelMissesAreComputedOnce(t *testing.T) {
	t.Parallel()
	eachStore(t, func(t *testing.T, open func() cache.Store) {
		started, release := make(chan struct{}, 500), make(chan struct{})
		a := newApp(t, cache.Config{Store: open()}, func(c *gin.Context) {
			started <- struct{}{}
			<-release
			c.Header("Cache-Control", "max-age=60")
			c.String(200, "once")
		})
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				if w := a.get("/"); w.Body.String() != "once" || w.Code != 200 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
			})
		}
		<-started
		close(release)
		all.Wait()
		require.EqualValues(t, 1, a.calls.Load())
		require.Equal(t, 1, a.seen[cache.Miss])
		require.Equal(t, 499, a.seen[cache.Hit]+a.seen[cache.Collapsed])
	})
}

// What turns out to be one client's alone is not shared with those that wait for it.
func TestPrivateAnswersAreNotShared(t *testing.T) {
	t.Parallel()
	for _, control := range []string{"private", "no-store", "max-age=0", "max-age=60\nSet-Cookie: a=b", "max-age=60\nVary: *"} {
		var n atomic.Int64
		release := make(chan struct{})
		a := newApp(t, cache.Config{}, func(c *gin.Context) {
			me := n.Add(1)
			<-release
			for i, h := range strings.Split("Cache-Control: "+control, "\n") {
				name, value, _ := strings.Cut(h, ": ")
				if i == 0 {
					c.Header(name, value)
				} else {
					c.Writer.Header().Add(name, value)
				}
			}
			c.String(200, "%d", me)
		})
		var mu sync.Mutex
		got := map[string]bool{}
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				w := a.get("/")
				mu.Lock()
				defer mu.Unlock()
				got[w.Body.String()] = true
			})
		}
		require.Eventually(t, func() bool { return n.Load() == 1 }, patience, time.Millisecond)
		close(release)
		all.Wait()
		require.Len(t, got, 20, control)
	}
}

// Those who ask for another variant do not get the one that they have waited for.
func TestParallelVariants(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	a := newApp(t, cache.Config{}, func(c *gin.Context) {
		<-release
		c.Header("Cache-Control", "max-age=60")
		c.Header("Vary", "Accept-Language")
		c.String(200, c.GetHeader("Accept-Language"))
	})
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			language := fmt.Sprint("x-", i%4)
			if w := a.get("/", "Accept-Language: "+language); w.Body.String() != language {
				t.Errorf("%s got %s", language, w.Body)
			}
		})
	}
	close(release)
	all.Wait()
	require.LessOrEqual(t, a.calls.Load(), int64(8))
}

// fullStore is a Store that has no room. It counts who has looked.
type fullStore struct {
	cache.Store
	looks *atomic.Int64
}

func (s fullStore) Get(ctx context.Context, k cache.Key) (*cache.Entry, cache.Generation, error) {
	s.looks.Add(1)
	return s.Store.Get(ctx, k)
}

func (fullStore) Set(context.Context, cache.Key, cache.Generation, *cache.Entry) error {
	return errDown
}

// Where nothing can be kept, those who have waited for another variant do not wait
// for each other as well.
func TestParallelVariantsOfAFullStore(t *testing.T) {
	t.Parallel()
	const waiting = 8
	var looks, inside atomic.Int64
	var once sync.Once
	release, together := make(chan struct{}), make(chan struct{})
	a := newApp(t, cache.Config{Store: fullStore{cache.NewMemory(0), &looks}}, func(c *gin.Context) {
		c.Header("Cache-Control", "max-age=60")
		c.Header("Vary", "X-Who")
		if c.GetHeader("X-Who") == "first" {
			<-release
		} else {
			if inside.Add(1) == 2 {
				once.Do(func() { close(together) })
			}
			select {
			case <-together:
			case <-time.After(patience):
				t.Error("one after the other")
			}
			inside.Add(-1)
		}
		c.String(200, c.GetHeader("X-Who"))
	})
	var all sync.WaitGroup
	all.Go(func() { a.get("/", "X-Who: first") })
	require.Eventually(t, func() bool { return a.calls.Load() == 1 }, patience, time.Millisecond)
	before := looks.Load()
	for i := range waiting {
		all.Go(func() {
			who := strconv.Itoa(i)
			if w := a.get("/", "X-Who: "+who); w.Body.String() != who {
				t.Errorf("%s got %s", who, w.Body)
			}
		})
	}
	require.Eventually(t, func() bool { return looks.Load() == before+waiting }, patience, time.Millisecond)
	close(release)
	all.Wait()
}

// The computation goes on when the client leaves that has begun it, and a client
// that leaves does not wait.
func TestClientsThatLeave(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	a := newApp(t, cache.Config{}, func(c *gin.Context) {
		close(started)
		<-release
		require.NoError(t, c.Request.Context().Err())
		c.Header("Cache-Control", "max-age=60")
		c.String(200, "done")
	})
	ask := func(ctx context.Context) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		a.engine.ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
		return w
	}
	first, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { ask(first) })
	<-started
	leave()
	second, leaveToo := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		ask(second)
	}()
	leaveToo()
	<-gone
	all.Go(func() {
		if w := ask(t.Context()); w.Body.String() != "done" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	close(release)
	all.Wait()
	require.EqualValues(t, 1, a.calls.Load())
}
