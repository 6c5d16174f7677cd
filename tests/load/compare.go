package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"text/tabwriter"
	"time"
)

// A pair is one line of the table: two servers that get the same requests.
type pair struct {
	name     string
	servers  [2]target    // what is measured, and what it is measured against
	costs    [2][]float64 // of each slice, in microseconds of CPU time per request
	requests int          // to the first server
}

// compare measures every strategy against its limit.
func (b bench) compare(ctx context.Context) error {
	var pairs []*pair
	// The algorithm that signs tokens is an option of the whole server, so each
	// has its own. The second one is there for those tokens only.
	for i, algorithm := range []string{"EdDSA", "HS256"} {
		server, err := b.statelab(ctx, algorithm, "--token-alg="+algorithm)
		if err != nil {
			return err
		}
		defer server.stop()
		strategies, err := b.strategies(ctx, server.addr)
		if err != nil {
			return err
		}
		for _, s := range strategies {
			name := s.Slug
			if s.signs() {
				name += " " + algorithm
			} else if i > 0 {
				continue
			}
			visits, a, err := b.logIn(ctx, server.addr, s.Slug)
			if err != nil {
				return err
			}
			l, err := b.beside(ctx, task{Path: profilePath(s.Slug), Answer: a}, visits)
			if err != nil {
				return err
			}
			defer l.stop()
			pairs = append(pairs, &pair{name: name, servers: [2]target{{server, visits}, l}})
			if len(pairs) == 1 {
				second, err := b.beside(ctx, task{Path: profilePath(s.Slug), Answer: a}, visits)
				if err != nil {
					return err
				}
				defer second.stop()
				pairs = append(pairs, &pair{name: "A/A", servers: [2]target{second, l}})
			}
		}
		if !slices.ContainsFunc(strategies, strategy.signs) {
			break
		}
	}
	if err := b.measure(ctx, pairs); err != nil {
		return err
	}
	return b.print(append(pairs[:1:1], append(pairs[2:], pairs[1])...))
}

type strategy struct {
	Slug   string `json:"slug"`
	Traits struct {
		Transport string `json:"transport"`
	} `json:"traits"`
}

// signs says whether the strategy's credential is a signed token.
func (s strategy) signs() bool { return s.Traits.Transport == "bearer" }

// strategies returns those that a server says it has and that are asked for.
func (b bench) strategies(ctx context.Context, addr string) ([]strategy, error) {
	var index struct {
		Strategies []strategy `json:"strategies"`
	}
	if _, err := fetchJSON(ctx, addr, request("GET", addr, "/", "", ""), &index); err != nil {
		return nil, err
	}
	if b.only == nil {
		return index.Strategies, nil
	}
	var some []strategy
	for _, slug := range b.only {
		i := slices.IndexFunc(index.Strategies, func(s strategy) bool { return s.Slug == slug })
		if i < 0 {
			return nil, fmt.Errorf("there is no strategy %q", slug)
		}
		some = append(some, index.Strategies[i])
	}
	return some, nil
}

// logIn logs in for each connection, up to 64 times: a single login would be a
// single lock and a single cache line, which no real load is. It returns the
// answer to the first visit besides.
func (b bench) logIn(ctx context.Context, addr, slug string) (visits []visit, first answer, err error) {
	for i := range min(b.conns, 64) {
		v, a, err := logIn(ctx, addr, slug)
		if err != nil {
			return nil, answer{}, err
		}
		if i == 0 {
			first = a
		}
		visits = append(visits, v)
	}
	return visits, first, nil
}

// beside starts the server that does a task, and makes sure that it answers as
// statelab does. It gets the given visits; without any, it is logged in to.
func (b bench) beside(ctx context.Context, what task, visits []visit) (target, error) {
	p, err := b.serve(ctx, what)
	if err != nil {
		return target{}, err
	}
	if visits == nil {
		if visits, _, err = b.logIn(ctx, p.addr, "session"); err != nil {
			p.stop()
			return target{}, err
		}
	}
	switch _, same, err := fetch(ctx, p.addr, visits[0].request); {
	case err != nil:
		p.stop()
		return target{}, err
	case !reflect.DeepEqual(same, what.Answer):
		p.stop()
		return target{}, fmt.Errorf("it answers %v %s, and statelab %v %s", same.Header, same.Body, what.Answer.Header, what.Answer.Body)
	}
	t := target{process: p}
	for _, v := range visits {
		t.visits = append(t.visits, visit{request: v.request, body: what.Answer.Body})
	}
	return t, nil
}

// serve starts a program that does a task: a command line, or else this program.
func (b bench) serve(ctx context.Context, what task, command ...string) (*process, error) {
	if len(command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		command = []string{self, taskCommand}
	}
	text, err := json.Marshal(what)
	if err != nil {
		return nil, err
	}
	return start(ctx, b.dir, string(text), b.stderr, command[0], command[1:]...)
}

// measure runs the slices: in each round every pair once, both in random order.
func (b bench) measure(ctx context.Context, pairs []*pair) error {
	d := time.Duration(b.seconds * float64(time.Second))
	total := time.Duration(b.slices*len(pairs)*2) * d
	if total > longest {
		return fmt.Errorf("it would take %s, and the logins last for %s: ask for less", total, longest)
	}
	fmt.Fprintf(b.stdout, "%d pairs of slices of %s each, %d connections, log level %s: about %s\n\n",
		b.slices, d, b.conns, logLevel, total.Round(time.Second))
	for _, p := range pairs {
		for _, t := range p.servers { // what a first second costs is not typical
			if _, _, err := t.slice(ctx, b.conns, d/2); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	for range b.slices {
		for _, i := range rand.Perm(len(pairs)) {
			p := pairs[i]
			for _, side := range rand.Perm(len(p.servers)) {
				n, cost, err := p.servers[side].slice(ctx, b.conns, d)
				if err != nil {
					return fmt.Errorf("%s: %w", p.name, err)
				}
				p.costs[side] = append(p.costs[side], float64(cost.Nanoseconds())/1000/float64(n))
				if side == 0 {
					p.requests += n
				}
			}
		}
	}
	return nil
}

// print writes the table.
func (b bench) print(pairs []*pair) error {
	w := tabwriter.NewWriter(b.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "what\trequests\tCPU µs/request\t(min-max)\t"+b.against+" µs\t(min-max)\tratio\t(middle half)\t(min-max)\t")
	for _, p := range pairs {
		var ratios []float64
		for i, cost := range p.costs[0] {
			ratios = append(ratios, cost/p.costs[1][i])
		}
		ours, limit, ratio := spreadOf(p.costs[0]), spreadOf(p.costs[1]), spreadOf(ratios)
		fmt.Fprintf(w, "%s\t%d\t%.1f\t(%.1f-%.1f)\t%.1f\t(%.1f-%.1f)\t%.2f\t(%.2f-%.2f)\t(%.2f-%.2f)\t\n",
			p.name, p.requests, ours.median, ours.min, ours.max, limit.median, limit.min, limit.max,
			ratio.median, ratio.low, ratio.high, ratio.min, ratio.max)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(b.stdout, "\nratio: median of the pairs; A/A: %s against itself; load average now %s\n", b.against, loadAverage())
	return nil
}

// A spread is what is told of many values: the extremes, the quartiles and the
// median.
type spread struct{ min, low, median, high, max float64 }

func spreadOf(values []float64) spread {
	v := slices.Sorted(slices.Values(values))
	return spread{v[0], quantile(v, 0.25), quantile(v, 0.5), quantile(v, 0.75), v[len(v)-1]}
}

// quantile interpolates between the two sorted values beside the rank.
func quantile(sorted []float64, q float64) float64 {
	rank := q * float64(len(sorted)-1)
	i := int(rank)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (rank-float64(i))*(sorted[i+1]-sorted[i])
}
