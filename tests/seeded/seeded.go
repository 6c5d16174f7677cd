// Package seeded gives tests randomness that a later run can repeat.
//
// A run draws one seed, or takes it from the variable STATELAB_TEST_SEED. Every
// test that has drawn something and fails prints the assignment that repeats it.
package seeded

import (
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
)

// variable names the seed of a run, a decimal number.
const variable = "STATELAB_TEST_SEED"

// seed is the seed of this run.
var seed = sync.OnceValue(func() uint64 {
	if text := os.Getenv(variable); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			panic(fmt.Sprintf("%s=%q is no number from 0 to 2^64-1", variable, text))
		}
		return n
	}
	var b [8]byte
	_, _ = cryptorand.Read(b[:])                    // never fails
	return uint64(binary.LittleEndian.Uint32(b[:])) // short enough to type
})

// draws counts what each test has drawn, by its name.
var draws = struct {
	sync.Mutex
	round map[string]uint64 // how often the test has ended: go test -count repeats it
	calls map[string]uint64 // sources that it has taken in this round
}{round: map[string]uint64{}, calls: map[string]uint64{}}

// Reader returns a source of random bytes that depends on the seed, the name of
// the test, and how many sources the test has taken before. It is safe for
// concurrent use. It is no secure source outside tests.
func Reader(t testing.TB) io.Reader { return &reader{source: source(t)} }

// Rand returns a generator with the same dependencies. It is for one goroutine.
func Rand(t testing.TB) *rand.Rand { return rand.New(source(t)) } // #nosec G404 -- it must be repeatable

// source returns the next source of a test. In round n the test draws what the
// first round of seed+n draws, so one seed repeats a failure of any round.
func source(t testing.TB) *rand.ChaCha8 {
	name := t.Name()
	draws.Lock()
	defer draws.Unlock()
	call, now := draws.calls[name], seed()+draws.round[name]
	draws.calls[name]++
	if call == 0 {
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("%s=%d repeats what this test has drawn", variable, now)
			}
			draws.Lock()
			defer draws.Unlock()
			draws.round[name]++
			delete(draws.calls, name)
		})
	}
	return rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%d\n%d\n%s", now, call, name)))
}

// A reader makes a source safe for concurrent use.
type reader struct {
	mu     sync.Mutex
	source *rand.ChaCha8
}

func (r *reader) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source.Read(b)
}
