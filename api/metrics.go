package api

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"statelab/api/cache"
	"statelab/state"
	"statelab/state/store"
)

// metrics is what one server counts, in a registry of its own. No label has a
// value that a client can choose: what it sends must not take up memory here.
type metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.HistogramVec
	operations *prometheus.HistogramVec
	signIns    *prometheus.CounterVec
	caches     *prometheus.CounterVec
	refusals   *refusalCounter
	routes     map[Route]*classes
	nothing    *classes // requests to no route
}

// classes has an observer of latency for each class of statuses, 2 for 2xx.
type classes [6]child

// A child is a metric with its labels, which is looked up once, when it is first
// needed: what has not happened has no line.
type child func() prometheus.Observer

func childOf(v *prometheus.HistogramVec, labels ...string) child {
	return sync.OnceValue(func() prometheus.Observer { return v.WithLabelValues(labels...) })
}

// buckets reach from an answer out of memory to one that a store has held up.
var buckets = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1, 2, 5}

// outcomes are the ways a sign-in can go, by the code of its answer. Any other
// code is one that the server is to blame for.
var outcomes = map[string]string{"": "ok", "bad_login": "bad_login", "too_many_attempts": "throttled", "overloaded": "overloaded"}

const outcomeUnavailable = "unavailable"

func newMetrics(config Config) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "statelab_request_seconds", Buckets: buckets,
			Help: "Time from a request to its answer, by strategy, route within it, method and class of status.",
		}, []string{"strategy", "route", "method", "status"}),
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "statelab_store_operation_seconds", Buckets: buckets,
			Help: "Time that a store took, by the strategy that asked it (the throttle has none), operation and result.",
		}, []string{"strategy", "operation", "result"}),
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "statelab_sign_ins_total",
			Help: "Sign-ins by strategy and outcome: " +
				"ok, bad_login, throttled, overloaded, or unavailable, where a store or a key was.",
		}, []string{"strategy", "outcome"}),
		caches: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "statelab_cache_total",
			Help: "Requests for what may be cached, by policy and outcome: hit, collapsed into another one's computation, " +
				"miss, stale, refused by the request, or bypass.",
		}, []string{"policy", "outcome"}),
	}
	var refused prometheus.Collector
	m.refusals, refused = newRefusalCounter(config.Now)
	m.registry.MustRegister(m.requests, m.operations, m.signIns, m.caches, refused,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.nothing = m.classesOf("", Route{})
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	// What a scrape would have to search for is left out: only a store that knows
	// by itself is asked.
	if s, ok := config.Store.(interface{ LiveLogins() int64 }); ok {
		gauge("statelab_live_logins", "Logins in the memory store.", func() float64 { return float64(s.LiveLogins()) })
	}
	if h, ok := config.Hasher.(interface{ Busy() (hashing, queued int) }); ok {
		gauge("statelab_hashes_in_flight", "Passwords that the server is hashing.", func() float64 {
			hashing, _ := h.Busy()
			return float64(hashing)
		})
		gauge("statelab_hashes_queued", "Passwords that wait to be hashed.", func() float64 {
			_, queued := h.Busy()
			return float64(queued)
		})
	}
	gauge("statelab_warnings", "What works in part only: the warnings of /readyz.", func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return float64(len(config.warnings(ctx)))
	})
	return m
}

func (m *metrics) classesOf(slug string, r Route) *classes {
	c := new(classes)
	for i, name := range [len(c)]string{"", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		c[i] = childOf(m.requests, slug, r.Path, r.Method, name)
	}
	return c
}

// serve prepares for the routes that the server answers.
func (m *metrics) serve(groups []*Group, routes []Route) {
	m.routes = make(map[Route]*classes, len(routes))
	for _, r := range routes {
		slug, within := "", r
		for _, g := range groups {
			if rest, ok := strings.CutPrefix(r.Path, "/"+g.Slug+"/"); ok {
				slug, within.Path = g.Slug, "/"+rest
			}
		}
		m.routes[r] = m.classesOf(slug, within)
	}
	for _, g := range groups {
		if c, ok := g.Strategy.(state.Caching); ok && g.config.CredentialCache > 0 {
			m.cacheOf(g.Slug, c)
		}
		m.signIns.WithLabelValues(g.Slug, outcomeUnavailable)
		for _, outcome := range outcomes { // a first one must not look like none before it
			m.signIns.WithLabelValues(g.Slug, outcome)
		}
	}
}

// cacheOf counts what a strategy that remembers credentials finds again.
func (m *metrics) cacheOf(slug string, c state.Caching) {
	for result, value := range map[string]func() uint64{
		"hit":  func() uint64 { hits, _ := c.CacheLookups(); return hits },
		"miss": func() uint64 { _, misses := c.CacheLookups(); return misses },
	} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "statelab_credential_cache_total", Help: "Look-ups in the cache of verified credentials, by result.",
			ConstLabels: prometheus.Labels{"strategy": slug, "result": result},
		}, func() float64 { return float64(value()) }))
	}
}

// cacheOutcome counts what came of requests to a policy's cache.
func (m *metrics) cacheOutcome(policy string) func(cache.Outcome) {
	counters := map[cache.Outcome]prometheus.Counter{}
	for _, o := range cache.Outcomes() { // a first one must not look like none before it
		counters[o] = m.caches.WithLabelValues(policy, string(o))
	}
	return func(o cache.Outcome) { counters[o].Inc() }
}

// request counts a request that has been answered.
func (m *metrics) request(x *request, method string, took time.Duration) {
	c, ok := m.routes[Route{method, x.route}]
	if !ok {
		c = m.nothing
	}
	c[max(x.status, http.StatusOK)/100]().Observe(took.Seconds())
}

// signIn counts a sign-in with this code in its answer, "" for none.
func (m *metrics) signIn(slug, code string) {
	outcome, ok := outcomes[code]
	if !ok {
		outcome = outcomeUnavailable
	}
	m.signIns.WithLabelValues(slug, outcome).Inc()
}

// operations is a store.Observer for one strategy.
type operations [store.Operations][store.Results]child

func (m *metrics) operationsOf(slug string) *operations {
	all := new(operations)
	for o := range store.Operations {
		for r := range store.Results {
			all[o][r] = childOf(m.operations, slug, o.String(), r.String())
		}
	}
	return all
}

// Observe implements store.Observer.
func (all *operations) Observe(o store.Operation, r store.Result, took time.Duration) {
	all[o][r]().Observe(took.Seconds())
}

// Metrics answers with what the server has counted, in the text format of
// Prometheus. It names no person and holds no credential.
func (s *Server) Metrics() http.Handler {
	return promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, DisableCompression: true})
}
