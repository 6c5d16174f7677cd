package harness

import (
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api/lab"
)

var numbers = regexp.MustCompile(`\d[\dhms]*`)

// StepsInKorean requires that what agents of a report are called and do has its Korean, but
// for the names of users, and returns the keys of what it has met among the words.
func StepsInKorean(t *testing.T, report *lab.Report) []string {
	t.Helper()
	met := map[string]bool{}
	for _, o := range report.Experiments {
		for _, r := range o.Results {
			stepsOf(t, r, met)
		}
	}
	return slices.Collect(maps.Keys(met))
}

func stepsOf(t *testing.T, r lab.Result, met map[string]bool) {
	t.Helper()
	words := lab.AllWords().Steps
	for _, x := range r.Wire {
		for _, step := range []string{x.Who, x.Does} {
			if _, ok := words[step]; !ok {
				step = numbers.ReplaceAllString(step, "{n}")
			}
			if slices.Contains([]string{Alice, Bob, Teacher}, step) {
				continue
			}
			require.NotEmpty(t, words[step], step)
			met[step] = true
		}
	}
	for _, variant := range r.Variants {
		stepsOf(t, variant, met)
	}
}
