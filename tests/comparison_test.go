package tests

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/api/lab"
	"statelab/tests/harness"
)

// comparisonMarker stands before each table that TestComparisonTable makes.
const comparisonMarker = "<!-- comparison: made by TestComparisonTable -->\n"

// comparisonGroups are the strategies of the tables in state/README.md, one table each.
var comparisonGroups = [][]string{
	{"session", "session-db", "session-cached", "session-bearer", "token", "token-cookie"},
	{"cookie-plain", "cookie", "cookie-sealed"},
	{"session-gin", "session-stock", "seed"},
}

// shortComparison is the table of README.md: three strategies, and the facts that
// decide between them.
var shortComparison = struct{ slugs, facts []string }{
	[]string{"session", "cookie", "token"},
	[]string{"holder", "bytes_up", "store_reads", "readable", "replay", "everywhere", "csrf"},
}

// TestComparisonTable runs all experiments on all strategies, with the program, and makes
// the documents' comparisons from what they find. Run with STATELAB_UPDATE=readme to write
// them.
func TestComparisonTable(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, harness.Strategies, slices.Concat(comparisonGroups...), "each strategy is in one group")
	report, stderr := compared(t)
	require.Empty(t, stderr, "nothing is surprising, and no progress is written into a pipe")
	for _, strategy := range report.Strategies {
		traits := harness.Promises()[strategy.ID].Traits
		require.Equal(t, traits.Listable, strategy.Lists, strategy.ID)
		require.Equal(t, traits.HTTPOnly, slices.Contains(strategy.Credential.Attrs, "HttpOnly"), strategy.ID)
		require.Equal(t, traits.SentByBrowser, strings.HasPrefix(strategy.Credential.Where, "cookie"), strategy.ID)
	}
	var full []string
	for _, slugs := range comparisonGroups {
		full = append(full, report.Facts("en", slugs))
	}
	harness.HoldTables(t, "README.md", comparisonMarker, report.Facts("en", shortComparison.slugs, shortComparison.facts...))
	harness.HoldTables(t, "state/README.md", comparisonMarker, full...)
}

// compared runs statelab compare and returns its report, with what it wrote to standard error.
func compared(t *testing.T, args ...string) (report *lab.Report, stderr string) {
	t.Helper()
	out, stderr, status := compare(t, append(args, "--format", "json")...)
	require.Zero(t, status, stderr)
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	return report, stderr
}

// compare runs statelab compare.
func compare(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := harness.Command(t, t.TempDir(), nil, append([]string{"compare"}, args...)...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run()
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}
