package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A contender is a server of the comparison with peers: a strategy of statelab, a store of
// gin-contrib/sessions, or a peer out of the directory peers, in Go or on Node.js.
type contender struct {
	kind, name string
	strategy   string   // of statelab
	flags      []string // for statelab
	store      string   // of gin-contrib/sessions, as for -stores
	golang     string   // a peer in Go
	node       string   // a peer on Node.js
}

// The ways of keeping a login, each with statelab first.
const (
	inMemory = "session in memory"
	inSQLite = "session in SQLite"
	inCookie = "cookie"
	inHS256  = "token, HS256"
	inEdDSA  = "token, EdDSA"
)

var contenders = []contender{
	{kind: inMemory, name: "statelab session", strategy: "session"},
	{kind: inMemory, name: "gin-contrib memstore", store: "memory"},
	{kind: inMemory, name: "scs", golang: "scs"},
	{kind: inMemory, name: "Fiber session", golang: "fiber-session"},
	{kind: inMemory, name: "Fastify session", node: "fastify-session"},
	{kind: inMemory, name: "Express session", node: "express-session"},
	{kind: inSQLite, name: "statelab session-db", strategy: "session-db"},
	{kind: inCookie, name: "statelab cookie", strategy: "cookie"},
	{kind: inCookie, name: "statelab cookie-sealed", strategy: "cookie-sealed"},
	{kind: inCookie, name: "gin-contrib cookie", store: "cookie"},
	{kind: inCookie, name: "Fastify secure-session", node: "fastify-secure-session"},
	{kind: inHS256, name: "statelab token", strategy: "token", flags: []string{"--token-alg=HS256"}},
	{kind: inHS256, name: "golang-jwt alone", golang: "golang-jwt-HS256"},
	{kind: inHS256, name: "gin-jwt", golang: "gin-jwt"},
	{kind: inHS256, name: "echo-jwt", golang: "echo-jwt"},
	{kind: inHS256, name: "Fastify jwt", node: "fastify-jwt"},
	{kind: inEdDSA, name: "statelab token", strategy: "token", flags: []string{"--token-alg=EdDSA"}},
	{kind: inEdDSA, name: "golang-jwt alone", golang: "golang-jwt-EdDSA"},
}

// comparePeers measures all contenders in one run, each against the limit. The limit gets
// the requests of the contender and answers as the session strategy does.
func (b bench) comparePeers(ctx context.Context) error {
	golang, node, err := b.buildPeers(ctx)
	if err != nil {
		return err
	}
	what, limits, stop, err := b.limits(ctx)
	defer stop()
	if err != nil {
		return err
	}
	var pairs []*pair
	for _, c := range contenders {
		if c.node != "" && node == "" {
			continue
		}
		p, err := b.contend(ctx, c, what, golang, node)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		defer p.stop()
		slug := cmp.Or(c.strategy, "session")
		visits, a, err := b.logIn(ctx, p.addr, slug)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if c.strategy == "" && !answersAs(a, what.Answer) {
			return fmt.Errorf("%s answers %v %s, and statelab %v %s", c.name, a.Header, a.Body, what.Answer.Header, what.Answer.Body)
		}
		limit := target{process: limits[0].process}
		for _, v := range visits {
			request := bytes.Replace(v.request, []byte("/"+slug+"/"), []byte("/session/"), 1)
			limit.visits = append(limit.visits, visit{request: request, body: what.Answer.Body})
		}
		pairs = append(pairs, &pair{name: c.kind + ": " + c.name, servers: [2]target{{p, visits}, limit}})
	}
	pairs = append(pairs, &pair{name: "A/A", servers: [2]target{limits[1], limits[0]}})
	if err := b.measure(ctx, pairs); err != nil {
		return err
	}
	return b.print(pairs)
}

// buildPeers returns the program of the peers in Go, and that of the peers on Node.js, or ""
// if their packages are not installed.
func (b bench) buildPeers(ctx context.Context) (golang, node string, err error) {
	directory, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "statelab/tests/load").Output()
	if err != nil {
		return "", "", fmt.Errorf("finding the peers: %w; run it inside the module", err)
	}
	source := filepath.Join(strings.TrimSpace(string(directory)), "peers")
	golang = filepath.Join(b.dir, "peers-in-go")
	build := exec.CommandContext(ctx, "go", "build", "-C", source, "-o", golang, ".") // #nosec G204 -- a module of ours
	build.Stderr = b.stderr
	if err := build.Run(); err != nil {
		return "", "", fmt.Errorf("building the peers: %w", err)
	}
	packages, err := filepath.Abs(os.Getenv("STATELAB_NODE_MODULES"))
	if err != nil {
		return "", "", err
	}
	if _, err := os.Stat(filepath.Join(packages, "fastify")); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(b.stdout, "without the peers on Node.js: STATELAB_NODE_MODULES names no directory with fastify")
		return golang, "", nil
	}
	// Node.js looks for packages beside the program.
	node = filepath.Join(b.dir, "peers.mjs")
	text, err := os.ReadFile(filepath.Join(source, "peers.mjs")) // #nosec G304 -- ours
	if err == nil {
		err = errors.Join(os.WriteFile(node, text, 0o600), os.Symlink(packages, filepath.Join(b.dir, "node_modules")))
	}
	return golang, node, err
}

// limits starts the limit twice, for what a session of statelab answers.
func (b bench) limits(ctx context.Context) (what task, limits [2]target, stop func(), err error) {
	var started []*process
	stop = func() {
		for _, p := range started {
			p.stop()
		}
	}
	model, err := b.statelab(ctx, "model")
	if err != nil {
		return task{}, limits, stop, err
	}
	defer model.stop()
	visits, a, err := b.logIn(ctx, model.addr, "session")
	what = task{Path: profilePath("session"), Answer: a}
	for i := range limits {
		if err == nil {
			limits[i], err = b.beside(ctx, what, visits)
		}
		if err == nil {
			started = append(started, limits[i].process)
		}
	}
	return what, limits, stop, err
}

// contend starts a contender.
func (b bench) contend(ctx context.Context, c contender, what task, golang, node string) (*process, error) {
	if c.strategy != "" {
		return b.statelab(ctx, strings.ReplaceAll(c.kind+c.name, " ", "-"), c.flags...)
	}
	what.Store = c.store
	switch {
	case c.store != "":
		return b.serve(ctx, what)
	case c.golang != "":
		return b.serve(ctx, what, golang, c.golang)
	default:
		return b.serve(ctx, what, "node", node, c.node)
	}
}

// answersAs says whether an answer is the same as another one, but for headers that a
// framework adds.
func answersAs(a, other answer) bool {
	for name, lines := range other.Header {
		if !slices.Equal(a.Header[http.CanonicalHeaderKey(name)], lines) {
			return false
		}
	}
	return bytes.Equal(a.Body, other.Body)
}
