package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain makes the test's program the server beside statelab, when it is
// started as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == taskCommand {
		main()
		return
	}
	os.Exit(m.Run())
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
	bin := filepath.Join(t.TempDir(), "statelab")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "statelab").CombinedOutput() // #nosec G204 -- our own module
	require.NoError(t, err, string(out))
	for name, c := range map[string]struct{ args, lines []string }{
		"strategies":  {nil, []string{"session", "cookie", "cookie-sealed", "token EdDSA", "token HS256", "token-cookie", "session-db", "seed", "A/A"}},
		"one of them": {[]string{"-only", "cookie"}, []string{"cookie", "A/A"}},
		"stores":      {[]string{"-stores", "memory"}, []string{"session, memory", "A/A, memory"}},
		"caches":      {[]string{"-caches", "none,memory"}, []string{"none", "none 304", "memory", "memory 304", "A/A"}},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout bytes.Buffer
			args := append([]string{"-bin", bin, "-slices", "1", "-seconds", "0.1", "-conns", "2"}, c.args...)
			require.NoError(t, run(t.Context(), args, nil, &stdout, os.Stderr))
			for _, line := range c.lines { // requests, CPU, the limit's, and the ratio, each but the first with its spread
				require.Regexp(t, `(?m)^ *`+line+` +[1-9]\d* +[\d.]+ +\(.*\) +[\d.]+ +\(.*\) +\d+\.\d\d +\(`, stdout.String())
			}
		})
	}
}

func TestBadArgumentsAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-slices", "0"}, {"-seconds", "11"}, {"-conns", "513"}, {"-logins", "-1"}, {"more"}, {"-none"}} {
		require.Error(t, run(t.Context(), args, nil, new(bytes.Buffer), new(bytes.Buffer)), args)
	}
}
