package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

const (
	floodRounds = 5

	pace    = 2 * time.Millisecond // between two visits of the observer
	flights = 64                   // of its visits at once

	// A hash takes 19 MiB. Go's collector lets the heap double before it
	// collects, and half a hash more is for what happens meanwhile.
	hashMiB = 19
	slack   = 2.5
)

// flood measures what many logins at once do to a server's memory, and to
// somebody who is logged in already.
func (b bench) flood(ctx context.Context) error {
	// The first start hashes the passwords of the demo accounts. The second one
	// finds them and has hashed nothing yet when its base is read. Its log is of
	// no interest: it says of each refusal that it was one.
	first, err := b.statelab(ctx, "flood")
	if err != nil {
		return err
	}
	first.stop()
	b.stderr = io.Discard
	server, err := b.statelab(ctx, "flood")
	if err != nil {
		return err
	}
	defer server.stop()
	base, err := server.peak()
	if err != nil {
		return err
	}
	v, _, err := logIn(ctx, server.addr, "session")
	if err != nil {
		return err
	}
	quiet, err := observe(ctx, server.addr, v, func() error { return wait(ctx, time.Second) })
	if err != nil {
		return err
	}

	fmt.Fprintf(b.stdout, "%d logins at once, %d rounds, log level %s\n\n", b.logins, floodRounds, logLevel)
	w := tabwriter.NewWriter(b.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "round\t200\t503\ttook\tVmHWM after, MiB\tprofile p50\tp99\tmax\tof visits\t")
	line(w, "before", nil, 0, base, quiet)
	all := map[int]int{}
	var latencies []time.Duration
	var peak float64
	begin := now()
	for round := range floodRounds {
		var answers map[int]int
		start := now()
		l, err := observe(ctx, server.addr, v, func() (err error) {
			answers, err = b.logInAtOnce(ctx, server.addr)
			return err
		})
		if err != nil {
			return err
		}
		took := now().Sub(start)
		if peak, err = server.peak(); err != nil {
			return err
		}
		line(w, fmt.Sprint(round+1), answers, took, peak, l)
		for status, n := range answers {
			all[status] += n
		}
		latencies = append(latencies, l...)
	}
	slices.Sort(latencies)
	line(w, "all", all, now().Sub(begin), peak, latencies)
	if err := w.Flush(); err != nil {
		return err
	}
	b.judge(base, peak)
	return nil
}

// line prints what came of a round, with the latencies of the visits during it.
func line(w io.Writer, name string, answers map[int]int, took time.Duration, peak float64, l []time.Duration) {
	at := func(percent int) time.Duration { return l[(len(l)-1)*percent/100].Round(10 * time.Microsecond) }
	fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%.1f\t%s\t%s\t%s\t%d\t\n", name, answers[http.StatusOK],
		answers[http.StatusServiceUnavailable], took.Round(10*time.Millisecond), peak, at(50), at(99), at(100), len(l))
}

// judge compares the memory at the peak with what the hashes explain, in MiB.
func (b bench) judge(base, peak float64) {
	hashers := runtime.GOMAXPROCS(0) // as in the server, which has our environment
	bound := base + float64(hashers)*hashMiB*slack
	verdict := "within"
	if peak > bound {
		verdict = "ABOVE"
	}
	fmt.Fprintf(b.stdout, "\nat most %d hash at once; bound %.1f + %d x %d x %.1f = %.1f MiB; %.1f is %s it\n",
		hashers, base, hashers, hashMiB, slack, bound, peak, verdict)
}

// logInAtOnce sends all logins at the same time and counts the answers by
// status. The server may refuse with 503 what it has no time for.
func (b bench) logInAtOnce(ctx context.Context, addr string) (map[int]int, error) {
	statuses, errs := make([]int, b.logins), make([]error, b.logins)
	var all sync.WaitGroup
	for i := range b.logins {
		all.Go(func() {
			var a answer
			statuses[i], a, errs[i] = fetch(ctx, addr, login(addr, "session"))
			if s := statuses[i]; errs[i] == nil && s != http.StatusOK && s != http.StatusServiceUnavailable {
				errs[i] = fmt.Errorf("a login is answered %d: %s", s, a.Body)
			}
		})
	}
	all.Wait()
	count := map[int]int{}
	for _, s := range statuses {
		count[s]++
	}
	return count, errors.Join(errs...)
}

// observe makes visits at a steady pace while meanwhile runs, each over a
// connection that is free, and returns their latencies, sorted. The pace does
// not wait for answers, which would spare a slow server the visits that it is
// slow for (coordinated omission).
func observe(ctx context.Context, addr string, v visit, meanwhile func() error) ([]time.Duration, error) {
	free := make(chan *conn, flights)
	for range flights {
		c, err := dial(ctx, addr, 5*time.Minute)
		if err != nil {
			return nil, err
		}
		defer func() { _ = c.Close() }()
		free <- c
	}
	over := make(chan error, 1)
	go func() { over <- meanwhile() }()
	var (
		mu        sync.Mutex
		latencies []time.Duration
		failed    error
		flying    sync.WaitGroup
	)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case err := <-over:
			flying.Wait()
			slices.Sort(latencies)
			return latencies, errors.Join(err, failed)
		case <-tick.C:
		}
		begin := now()
		c := <-free
		flying.Go(func() {
			err := c.do(v)
			took := now().Sub(begin)
			free <- c
			mu.Lock()
			defer mu.Unlock()
			latencies, failed = append(latencies, took), cmp.Or(failed, err)
		})
	}
}

// wait returns after d, or with the error of ctx.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
