package tests

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Here many clients at once do to the program, as it is built, what it is not
// made for. What one message may be is in hostile_test.go.

// calm starts the program and returns it with somebody who is logged in. It has
// not hashed a password yet, which takes more memory than all the rest.
func calm(t *testing.T, dir string, env []string, args ...string) (*process, *client) {
	t.Helper()
	args = append([]string{"--listen", "localhost:0", "--log-level", "error"}, args...)
	p := start(t, dir, env, args...)
	c := p.client("cookie") // which outlives a restart
	c.do("POST", "/accounts", object{"username": carol, "password": carolPassword}).is(http.StatusCreated)
	c.post("login", credentials{carol, carolPassword}).is(http.StatusOK)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.ends())
	p = start(t, dir, env, args...)
	c.s = &server{url: p.base, canary: p.canary}
	return p, c
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s*(\d+) kB$`)

// peak is the most memory that the program has ever held, in MiB.
func (p *process) peak() int {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	match := highWater.FindSubmatch(text)
	require.NotNil(p.t, match)
	kib, err := strconv.Atoi(string(match[1]))
	require.NoError(p.t, err)
	return kib >> 10
}

// others are done, and requires each one to be answered promptly.
func (c *client) while(others func()) {
	c.t.Helper()
	over := make(chan struct{})
	go func() {
		defer close(over)
		others()
	}()
	var took []time.Duration
	for done := false; !done; {
		a := c.get("profile").is(http.StatusOK)
		took = append(took, a.took)
		select {
		case <-over:
			done = true
		default:
		}
	}
	slices.Sort(took)
	c.t.Logf("%d visits meanwhile: median %s, p99 %s, slowest %s", len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	require.Less(c.t, took[len(took)-1], prompt)
}

// who is logged in waiting. How long their visits take is for tests/load.
func TestALoginFloodIsBounded(t *testing.T) {
	dir := t.TempDir()
	serviceKeys(t, dir)
	p, c := calm(t, dir, []string{"GOMAXPROCS=2"}, "--no-classroom", "--trusted-proxy", "127.0.0.1/32")
	const hashing, hash, slack = 2, 19, 2.5 // MiB; as tests/load has it
	memory := p.peak()

	const clients, rounds = 200, 3
	var mu sync.Mutex
	answers := map[string]int{}
	c.while(func() {
		for round := range rounds {
			var all sync.WaitGroup
			for i := range clients {
				all.Go(func() {
					b := p.client("session")
					b.send = header("X-Forwarded-For", fmt.Sprintf("198.51.%d.%d", round, i))
					username := carol
					if i%2 == 1 {
						username = fmt.Sprint("nobody", i)
					}
					a := b.post("login", credentials{username, wrong})
					mu.Lock()
					defer mu.Unlock()
					answers[fmt.Sprint(a.status, " ", a.code())]++
				})
			}
			all.Wait()
		}
	})
	t.Log(answers)
	require.Positive(t, answers["401 bad_login"])
	require.Positive(t, answers["503 overloaded"])
	require.Equal(t, clients*rounds, answers["401 bad_login"]+answers["503 overloaded"]+answers["429 too_many_attempts"], answers)
	t.Logf("memory: %d MiB before, %d at most", memory, p.peak())
	require.LessOrEqual(t, p.peak(), memory+int(hashing*hash*slack))

	again := p.client("session")
	again.send = header("X-Forwarded-For", "203.0.113.1")
	again.post("login", credentials{carol, carolPassword}).is(http.StatusOK)
}
