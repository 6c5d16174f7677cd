package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
)

// memoryCommand makes this program print how many bytes a login takes in statelab's memory
// store, among so many. It is for its own use only.
const memoryCommand = "memory"

// compareMemory prints how many bytes of memory a login takes in the store of each peer that
// keeps logins in its memory.
func (b bench) compareMemory(ctx context.Context) error {
	golang, node, err := b.buildPeers(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	n := strconv.Itoa(b.memory)
	w := tabwriter.NewWriter(b.stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "store\tbytes of a login among %s\t\n", n)
	for _, c := range []struct {
		name    string
		command []string
	}{
		{"statelab session", []string{self, memoryCommand, n}},
		{"scs", []string{golang, memoryCommand, "scs", n}},
		{"Fiber session", []string{golang, memoryCommand, "fiber-session", n}},
		{"gin-contrib memstore", []string{golang, memoryCommand, "memstore", n}},
		{"Express session", []string{"node", "--expose-gc", "--max-old-space-size=4096", node, memoryCommand, n}},
	} {
		if node == "" && c.command[0] == "node" {
			continue
		}
		command := exec.CommandContext(ctx, c.command[0], c.command[1:]...) // #nosec G204 -- programs of ours
		command.Stderr = b.stderr
		text, err := command.Output()
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(w, "%s\t%s\t\n", c.name, strings.TrimSpace(string(text)))
	}
	return w.Flush()
}

// keepLogins prints how many bytes a login takes in the store of the session strategy, where
// each login belongs to an account of its own.
func keepLogins(number string, stdout io.Writer) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	s := memory.New(store.Options{MaxRecords: n, MaxBytes: math.MaxInt64})
	defer func() { _ = s.Close() }()
	begun := now()
	before := heap()
	for i := range n {
		k := state.KeyOf(fmt.Sprint(i))
		l := state.NewLogin(fmt.Sprintf("%026d", i), fmt.Sprintf("user-%d", i), fmt.Sprintf("User %d", i), strings.Clone("member"))
		l.ID, l.IssuedAt = k.String(), state.MicrosOf(begun)
		l.ExpiresAt = l.IssuedAt.Add(8 * time.Hour)
		r := state.Record{Kind: state.KindLogin, Strategy: "session", Login: l, LastSeen: l.IssuedAt, Expires: l.ExpiresAt}
		_, _ = rand.Read(r.Rotation.Current[:]) // it never fails
		_, _ = rand.Read(r.Rotation.Salt[:])
		if err := s.Create(context.Background(), k, r); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "%.0f\n", float64(heap()-before)/float64(n))
	return nil
}

// heap returns how many bytes are in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one has swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) // #nosec G115 -- bytes of memory
}
