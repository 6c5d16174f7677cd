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
	if !seen.In() {
		r.notApplicable("one_server")
		r.Why["stale_s"] = "one_server"
		return
	}
	r.costs(seen.Answer)
	b.stale(r, time.Second, func() (bool, Answer) {
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
	if b.Target.Strategy == "cache/redis" && strings.Contains(first.Header.Get("Cache-Status"), "bypass") {
		r.notApplicable("no_redis")
		r.Why["stale_s"] = "no_redis"
		return
	}
	again := reader.do("read it if it has changed", read, nil, "If-None-Match", second.Header.Get("ETag"))
	r.Values["not_modified"] = again.Status == http.StatusNotModified
	r.costs(second)
	sku, price := second.text("/items/0/sku"), second.text("/items/0/price")
	writer.do("change a price", Request{Method: http.MethodPatch, Path: path + "/" + sku, JSON: map[string]any{"price": 4321}}, nil)
	if found := maxAge.FindStringSubmatch(second.Header.Get("Cache-Control")); found != nil && found[1] != "0" {
		seconds, _ := strconv.Atoi(found[1]) // the reader's browser does not ask before that
		r.StaleS = number(float64(seconds))
		r.Mark = Partly
		return
	}
	b.stale(r, time.Second, func() (bool, Answer) {
		answer := reader.do("read the catalogue", read, nil)
		return answer.text("/items/0/price") == price, answer
	})
}

// stale notes for how long the old answer comes, in steps of the clock.
func (b *Bench) stale(r *Result, step time.Duration, old func() (bool, Answer)) {
	lasted := time.Duration(0)
	is, answer := old()
	for ; is && lasted < time.Hour; lasted += step {
		b.quietly(func() {
			b.Levers.Advance(step)
			is, answer = old()
		})
	}
	if lasted > 0 {
		b.note("classroom", "advance the clock by "+lasted.String()+", asking every second")
		_, answer = old()
	}
	r.answers(answer)
	r.StaleS = number(lasted.Seconds())
	r.Mark = Good
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
