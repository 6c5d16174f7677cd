package main

import (
	"bytes"
	"os"
	"runtime"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/stretchr/testify/require"

	"statelab/api/command"
	"statelab/auth"
)

// asStatelab is the variable that makes the test's program statelab.
const asStatelab = "STATELAB_TEST_LOAD_STATELAB"

// TestMain makes the test's program the servers that the tests start: statelab, with
// hashes that cost little, and the server beside it.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 2 && os.Args[1] == taskCommand:
		main()
	case os.Getenv(asStatelab) != "":
		cheap := argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}
		os.Exit(command.Program{OpenAPI: []byte("openapi: 3.1.0"), Hasher: auth.NewArgon2id(cheap)}.Main())
	default:
		os.Exit(m.Run())
	}
}

// What the numbers are is nobody's to promise. That there is one for everything
// that can be asked for is.
func TestEverythingIsMeasured(t *testing.T) {
	if runtime.GOOS != "linux" {
		if os.Getenv("STATELAB_TEST_REQUIRE") != "" {
			t.Fatal("STATELAB_TEST_REQUIRE is set, but there is no /proc as Linux has it")
		}
		t.Skip("skipped: there is no /proc as Linux has it")
	}
	bin, err := os.Executable()
	require.NoError(t, err)
	t.Setenv(asStatelab, "1")
	for name, c := range map[string]struct{ args, lines []string }{
		"strategies":  {nil, []string{"session", "cookie", "cookie-sealed", "token EdDSA", "token HS256", "token-cookie", "session-db", "seed", "A/A"}},
		"one of them": {[]string{"-only", "cookie"}, []string{"cookie", "A/A"}},
		"stores":      {[]string{"-stores", "memory"}, []string{"session, memory", "A/A, memory"}},
		"caches":      {[]string{"-caches", "none,memory"}, []string{"none", "none 304", "memory", "memory 304", "A/A"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout bytes.Buffer
			args := append([]string{"-bin", bin, "-slices", "1", "-seconds", "0.01", "-conns", "2"}, c.args...)
			require.NoError(t, run(t.Context(), args, nil, &stdout, os.Stderr))
			for _, line := range c.lines { // requests, CPU, the limit's, and the ratio, each but the first with its spread
				require.Regexp(t, `(?m)^ *`+line+` +[1-9]\d* +[\d.]+ +\(.*\) +[\d.]+ +\(.*\) +\d+\.\d\d +\(`, stdout.String())
			}
		})
	}
}

func TestBadArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-slices", "0"}, {"-seconds", "11"}, {"-seconds", "0.001"}, {"-conns", "513"}, {"-logins", "-1"}, {"more"}, {"-none"}} {
		require.Error(t, run(t.Context(), args, nil, new(bytes.Buffer), new(bytes.Buffer)), args)
	}
}
