// Package harness starts statelab for tests and speaks its contract.
//
// A [Server] is statelab in this process, with a clock that stands still; a [Process]
// is the whole program. A [Client] holds what one browser or one curl holds. Every
// [Answer] passes the same checks: the headers that all answers carry, the form of
// problems, leaked text, and openapi.yaml.
package harness

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"statelab/api/command"
	"statelab/state/store/storetest"
	"statelab/tests/seeded"
)

// Main runs the tests of a package, and then what ends what they have shared; or the
// program, if this process was started as one by Command. It fails if a goroutine is
// left behind.
func Main(m *testing.M, ends ...func()) {
	if text := os.Getenv(programVariable); text != "" {
		os.Exit(runProgram(text))
	}
	// What tests leave behind is small: with fewer collections they take a tenth less.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	// Most tests wait for a process, a browser or a server most of the time.
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set(strconv.Itoa(4 * runtime.GOMAXPROCS(0))) // a number
	}
	goleak.VerifyTestMain(shared{storetest.StopAfter(m), ends},
		// A line that is stopped while it is repaired leaves one behind now and then; it
		// is no part of statelab.
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.Cleanup(func(status int) {
			_ = os.RemoveAll(built)
			os.Exit(status)
		}))
}

// shared are the tests of a package and what ends what they have shared.
type shared struct {
	storetest.Tests
	ends []func()
}

// Run implements goleak's TestingM.
func (s shared) Run() int {
	status := s.Tests.Run()
	for _, end := range s.ends {
		end()
	}
	return status
}

// programVariable makes a test binary run statelab. Its value is a JSON object, the
// settings of the program that no flag changes.
const programVariable = "STATELAB_TEST_PROGRAM"

// settings are what a test gives a program.
type settings struct {
	Seed    []byte        // of what it draws; empty: crypto/rand, as in service
	OpenAPI string        // the path of openapi.yaml
	Times   command.Times // zero: command.DefaultTimes
}

// Brisk are the times that programs of tests wait, unless the test is about them: what
// is looked at once a period is looked at often, and a drain begins at once.
func Brisk() command.Times {
	times := command.DefaultTimes()
	times.DrainNotice, times.ReloadKeys, times.FollowAccounts = briskly, briskly, briskly
	times.Accounts, times.Store, times.Request = patience, patience, patience
	return times
}

// Hasty are the times of programs whose database or store fails.
func Hasty() command.Times {
	times := Brisk()
	times.Accounts, times.Store, times.Request = Impatience, 0, 0
	return times
}

// patience is how long what does not fail may take: the machine may be busy.
const patience = time.Minute

// Impatience is how long programs and servers of tests about outages wait for an answer
// about an account. It leaves a busy machine time to keep the two seconds.
const Impatience = time.Second

// briskly is the period of what a server looks at again and again.
const briskly = 100 * time.Millisecond

// Patience is an element of the environment for Command: the program waits for these
// times, or as in service if they are zero.
func Patience(t *testing.T, times command.Times) string {
	t.Helper()
	seed := make([]byte, 32)
	_, err := io.ReadFull(seeded.Reader(t), seed)
	require.NoError(t, err)
	text, err := json.Marshal(settings{Seed: seed, OpenAPI: Root("openapi.yaml"), Times: times})
	require.NoError(t, err)
	return programVariable + "=" + string(text)
}

// runProgram runs statelab with a cheap hasher, and returns its exit status.
func runProgram(text string) int {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		panic(err)
	}
	spec, err := os.ReadFile(s.OpenAPI)
	if err != nil {
		panic(err)
	}
	program := command.Program{OpenAPI: spec, Hasher: CheapHasher(), Times: s.Times}
	if len(s.Seed) > 0 {
		program.Rand = &lockedReader{source: rand.NewChaCha8(sha256.Sum256(s.Seed))}
	}
	return program.Main()
}

// A lockedReader is a source that several goroutines may read.
type lockedReader struct {
	mu     sync.Mutex
	source *rand.ChaCha8
}

func (r *lockedReader) Read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.source.Read(b)
}

// Root returns the path of a file of the repository.
func Root(name string) string {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		panic("this program does not know its source")
	}
	return filepath.Join(filepath.Dir(here), "..", "..", filepath.FromSlash(name))
}
