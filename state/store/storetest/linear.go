package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anishathalye/porcupine"

	"statelab/state"
)

// An operation on one record, as it was asked for.
type operation struct {
	key   int
	name  string // create, load, update or delete
	rev   int64  // what update compares
	value int64  // what create and update write, different each time
}

// An outcome is what a store answered. Load fills in the revision and the value.
type outcome struct {
	err        error
	rev, value int64
}

// A register is one record in the model: nothing, or a value at a revision.
type register struct {
	live       bool
	rev, value int64
}

// recordModel says what one record does when nobody else is there. A history is
// linearizable if its operations can be put into an order that this explains
// and that keeps apart what did not overlap.
var recordModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		var keys [][]porcupine.Operation
		for _, o := range history {
			in, _ := o.Input.(operation)
			for len(keys) <= in.key {
				keys = append(keys, nil)
			}
			keys[in.key] = append(keys[in.key], o)
		}
		return keys
	},
	Init: func() any { return register{} },
	Step: func(before, input, output any) (bool, any) {
		r, _ := before.(register)
		in, _ := input.(operation)
		out, _ := output.(outcome)
		after, answer := r.after(in)
		return answer == out, after
	},
}

// after returns what an operation makes of a record, and what it answers.
func (r register) after(o operation) (register, outcome) {
	switch {
	case o.name == "delete":
		return register{}, outcome{}
	case o.name == "create" && r.live:
		return r, outcome{err: state.ErrExists}
	case o.name == "create":
		return register{live: true, rev: 1, value: o.value}, outcome{}
	case !r.live:
		return r, outcome{err: state.ErrNotFound}
	case o.name == "load":
		return r, outcome{rev: r.rev, value: r.value}
	case r.rev != o.rev:
		return r, outcome{err: state.ErrConflict}
	}
	return register{live: true, rev: r.rev + 1, value: o.value}, outcome{}
}

// run asks a store for an operation. An answer that no healthy store gives is
// returned as it is.
func (o operation) run(ctx context.Context, s state.Store, k state.Key, r state.Record) outcome {
	r.Count = o.value
	var err error
	switch o.name {
	case "create":
		err = s.Create(ctx, k, r)
	case "load":
		var got state.Record
		if got, err = s.Load(ctx, k); err == nil {
			return outcome{nil, got.Rev, got.Count}
		}
	case "update":
		err = s.Update(ctx, k, o.rev, r)
	case "delete":
		err = s.Delete(ctx, k)
	}
	for _, word := range []error{state.ErrExists, state.ErrNotFound, state.ErrConflict} {
		if errors.Is(err, word) {
			return outcome{err: word}
		}
	}
	return outcome{err: err}
}

// crowd lets 64 callers at once create, read, update and delete a few records,
// and returns what they asked and were told. Half of them believe the revision
// that they have read last, the others guess.
//
// They wait for each other after every second operation: what may be in any
// order stays few, or the search for an order would take for ever on a machine
// that is busy.
func crowd(t *testing.T, s state.Store, clock *testClock) []porcupine.Operation {
	const rounds, callers, each = 12, 64, 2
	var now, values atomic.Int64 // a clock that only orders
	var random [callers]*rand.Rand
	for caller := range callers {
		random[caller] = rand.New(rand.NewPCG(1, uint64(caller))) // #nosec G404 G115 -- the same each time
	}
	var histories [callers][]porcupine.Operation
	var read [callers][records]int64
	for range rounds {
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for range each {
					o := draw(random[caller])
					if o.name == "create" || o.name == "update" {
						o.value = values.Add(1)
					}
					if o.name == "update" && caller%2 == 1 {
						o.rev = read[caller][o.key]
					}
					k, r := clock.login("alice", fmt.Sprint(o.key))
					call := now.Add(1)
					answer := o.run(t.Context(), s, k, r)
					histories[caller] = append(histories[caller], porcupine.Operation{
						ClientId: caller, Input: o, Call: call, Output: answer, Return: now.Add(1),
					})
					if o.name == "load" {
						read[caller][o.key] = answer.rev
					}
				}
			})
		}
		wg.Wait()
	}
	return slices.Concat(histories[:]...)
}

// records is how many the callers share.
const records = 8

// draw returns an operation on one of them. An update guesses the revision.
func draw(random *rand.Rand) operation {
	o := operation{key: random.IntN(records)}
	switch n := random.IntN(10); {
	case n < 4:
		o.name = "load"
	case n < 7:
		o.name, o.rev = "update", 1+random.Int64N(3)
	case n < 9:
		o.name = "create"
	default:
		o.name = "delete"
	}
	return o
}

func isLinearizable(t *testing.T, s state.Store, clock *testClock) {
	history := crowd(t, s, clock)
	seen := map[string]int{}
	for _, o := range history {
		in, _ := o.Input.(operation)
		out, _ := o.Output.(outcome)
		seen[fmt.Sprint(in.name, ": ", out.err)]++
		switch out.err {
		case nil, state.ErrExists, state.ErrNotFound, state.ErrConflict: //nolint:errorlint // run has unwrapped them
		default:
			t.Fatalf("%s: nobody knows what it has done: %v", in.name, out.err)
		}
	}
	if len(seen) < 8 { // each operation, and each of its answers
		t.Fatalf("the callers have not met: %v", seen)
	}
	if !porcupine.CheckOperations(recordModel, history) {
		t.Fatal("no order of these operations explains all answers")
	}
}
