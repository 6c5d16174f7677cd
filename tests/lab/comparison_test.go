package lab_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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

// TestComparisonTable makes the documents' comparisons from what all experiments find on all
// strategies. Run with STATELAB_UPDATE=readme to write them.
func TestComparisonTable(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, harness.Strategies, slices.Concat(comparisonGroups...), "each strategy is in one group")
	report := everything(t)
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
