package seeded_test

import (
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/seeded"
)

func eight(t testing.TB, r io.Reader) string {
	t.Helper()
	b := make([]byte, 8)
	_, err := io.ReadFull(r, b)
	require.NoError(t, err)
	return string(b)
}

// Two sources of one test differ, and so do those of two tests.
func TestSourcesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		seen[eight(t, seeded.Reader(t))] = true
	}
	t.Run("another test", func(t *testing.T) { seen[eight(t, seeded.Reader(t))] = true })
	require.Len(t, seen, 4)
}

// The seed that a failure prints repeats it, in whichever round of -count it came.
func TestAPrintedSeedRepeatsAFailure(t *testing.T) {
	if os.Getenv("SEEDED_TEST_FAILS") != "" {
		t.Fatalf("drew %x", eight(t, seeded.Reader(t)))
	}
	run := func(count, seed string) []string {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestAPrintedSeedRepeatsAFailure$", "-test.count", count) // #nosec G204 G702 -- this program
		cmd.Env = append(os.Environ(), "SEEDED_TEST_FAILS=1", seed)
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		return regexp.MustCompile(`drew \w+|STATELAB_TEST_SEED=\d+`).FindAllString(string(out), -1)
	}
	first := run("3", "STATELAB_TEST_SEED=5")
	require.Len(t, first, 6, "%s", strings.Join(first, "\n"))
	for i := 0; i < 6; i += 2 {
		require.Equal(t, first[i:i+2], run("1", first[i+1]))
	}
	require.NotEqual(t, first[0], first[2])
}
