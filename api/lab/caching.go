package lab

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// policies are the rows of E21 besides the strategies: the catalogue, cached in four ways.
var policies = []string{"cache/none", "cache/http", "cache/memory", "cache/redis"}

// caching is E21: how long something that has changed is still answered as it was.
func caching(b *Bench, r *Result) {
	if strings.HasPrefix(b.Target.Strategy, "cache/") {
		catalogue(b, r)
		return
	}
	other := b.node(Node{SharedStore: true})
	alice := b.Alice()
	elsewhere := alice.Copy("alice at the other server").At(other)
	elsewhere.Profile() // which may keep it from now on
	alice.Change("theme", "dark")
	elsewhere.Restore(alice.Keep())
	seen := elsewhere.Profile()
	switch {
	case !seen.In() && b.Traits.KeptIn == "process":
		r.notApplicable("one_server")
		r.Why["stale_s"] = "one_server"
		return
	case !seen.In():
		b.fail("the other server does not know the login: it answered %d", seen.Status)
	}
	r.costs(seen.Answer)
	b.stale(r, func() (bool, Answer) {
		seen := elsewhere.Profile()
		return elsewhere.field(seen.Answer, "theme") != "dark", seen.Answer
	})
}

var maxAge = regexp.MustCompile(`(?:^|[, ])max-age=(\d+)`)

// catalogue reads and changes the catalogue under one policy.
func catalogue(b *Bench, r *Result) {
	path := "/" + b.Target.Strategy + "/catalog"
	read := Request{Path: path}
	other := b.node(Node{SharedStore: true})
	reader, writer := b.agent("a reader at the other server", User{}).At(other), b.agent("the shop", User{})
	first := reader.do("read the catalogue", read, nil)
	second := reader.do("read it again", read, nil)
	r.answers(first, second)
	r.Values["hit"] = strings.Contains(second.Header.Get("Cache-Status"), "hit")
	if b.Target.Strategy == "cache/redis" && !b.sharedCache {
		r.notApplicable("no_redis")
		r.Why["stale_s"] = "no_redis"
		return
	}
	again := reader.do("read it if it has changed", read, nil, "If-None-Match", second.Header.Get("ETag"))
	r.Values["not_modified"] = again.Status == http.StatusNotModified
	r.costs(second)
	sku, price := second.text("/items/0/sku"), second.text("/items/0/price")
	change := Request{Method: http.MethodPatch, Path: path + "/" + sku, JSON: map[string]any{"price": 4321}}
	if answer := writer.do("change a price", change, nil); !answer.OK() {
		b.fail("the price is not changed: the server answered %d", answer.Status)
	}
	if found := maxAge.FindStringSubmatch(second.Header.Get("Cache-Control")); found != nil && found[1] != "0" {
		seconds, _ := strconv.Atoi(found[1]) // the reader's browser does not ask before that
		b.Levers.Advance(time.Duration(seconds) * time.Second)
		if now := reader.do("read the catalogue", read, nil); now.text("/items/0/price") == price {
			b.fail("the price is not changed after %d s", seconds)
		}
		r.StaleS = number(float64(seconds))
		r.Mark = Partly
		return
	}
	old := func() (bool, Answer) {
		answer := reader.do("read the catalogue", read, nil)
		return answer.text("/items/0/price") == price, answer
	}
	if b.sharedCache {
		b.awaitMessage(old)
	}
	b.stale(r, old)
}

// A message between servers takes real time, whatever the clock that the experiment advances.
const (
	messagePatience = time.Second
	messagePace     = 10 * time.Millisecond
)

// awaitMessage returns when an answer is no longer old, or after messagePatience.
func (b *Bench) awaitMessage(old func() (bool, Answer)) {
	b.quietly(func() {
		for end := time.Now().Add(messagePatience); time.Now().Before(end) && b.ctx.Err() == nil; after(b.ctx, messagePace) {
			if is, _ := old(); !is {
				return
			}
		}
	})
}

// stale notes for how many seconds the old answer comes, an hour at most.
func (b *Bench) stale(r *Result, old func() (bool, Answer)) {
	lasted := time.Duration(0)
	is, answer := old()
	for ; is && lasted < time.Hour; lasted += time.Second {
		b.quietly(func() {
			b.Levers.Advance(time.Second)
			is, answer = old()
		})
	}
	if lasted > 0 {
		b.note("classroom", "advance the clock by "+lasted.String()+", asking every second")
		_, answer = old()
	}
	r.answers(answer)
	if is {
		r.Mark, r.Why["stale_s"] = Bad, "no_end_seen"
		return
	}
	r.StaleS, r.Mark = number(lasted.Seconds()), Good
	if lasted > 0 {
		r.Mark = Partly
	}
}

func expectCaching(b *Bench) Expected {
	switch b.Target.Strategy {
	case "cache/none":
		return Expected{"stale_s": 0, "hit": false}
	case "cache/http":
		return Expected{"stale_s": between(1, 60), "not_modified": true}
	case "cache/memory":
		if b.sharedCache {
			return Expected{"stale_s": between(0, 1), "hit": true}
		}
		return Expected{"stale_s": between(1, 60), "hit": true}
	case "cache/redis":
		return Expected{"stale_s": between(0, 1), "hit": true}
	}
	return Expected{"stale_s": between(0, float64(b.Traits.StaleSeconds))}
}
