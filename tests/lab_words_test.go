package tests

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api/lab"
	"statelab/tests/harness"
)

// TestEveryStrategyHasTitleAndPrice compares the laboratory's texts with the strategies that
// there are.
func TestEveryStrategyHasTitleAndPrice(t *testing.T) {
	t.Parallel()
	slugs := slices.Collect(maps.Keys(lab.AllWords().Strategies))
	slugs = slices.DeleteFunc(slugs, func(slug string) bool { return strings.HasPrefix(slug, "cache/") })
	require.ElementsMatch(t, harness.Strategies, slugs)
}

// TestCurlLinesOfExperiments executes the lines by which a reader repeats an experiment, one
// experiment after the other on the same two servers, as a reader does. The comment at the
// end of a request says its status and may say what else the output has.
func TestCurlLinesOfExperiments(t *testing.T) {
	t.Parallel()
	harness.NeedShell(t)
	folder, dir := t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(harness.Root("tests"), filepath.Join(dir, "tests")))
	first := harness.Start(t, folder, nil, "--listen", "localhost:0")
	second := harness.Start(t, folder, nil, "--listen", "localhost:0")
	addresses := strings.NewReplacer("http://localhost:8080", first.Base, "http://localhost:8081", second.Base)
	for _, e := range lab.Experiments() {
		lines := lab.AllWords().Experiments[e.ID].Curl
		t.Run(e.ID, func(t *testing.T) { //nolint:paralleltest // some move the servers' clock
			script := ""
			for i, line := range lines {
				script += fmt.Sprintf("%s\necho; echo '@@@ %d' $?\n", addresses.Replace(line), i)
			}
			cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			rest, requests := string(out), 0
			for i, line := range lines {
				output, after, found := strings.Cut(rest, fmt.Sprintf("@@@ %d 0\n", i))
				require.True(t, found, "%s\n%s", line, rest)
				rest = after
				if strings.HasPrefix(line, "#") || !strings.Contains(line, "curl ") {
					continue
				}
				promise := regexp.MustCompile(`# (\d{3})(?:, (.+))?$`).FindStringSubmatch(line)
				require.NotNil(t, promise, "no status is promised: %s", line)
				require.Equal(t, promise[1:2], statusesIn(`(?m)^(?:HTTP/1\.1 )?(\d{3})\b`, output), "%s\n%s", line, output)
				require.Contains(t, output, promise[2], line)
				requests++
			}
			require.GreaterOrEqual(t, requests, 4)
		})
	}
}
