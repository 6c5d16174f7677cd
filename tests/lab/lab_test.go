// Package lab_test runs the laboratory whole.
package lab_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/api/command"
	"statelab/api/lab"
	"statelab/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func laboratory(t *testing.T) *lab.Laboratory {
	t.Helper()
	return command.Laboratory(harness.SpecificationText(t))
}

// whole is what all experiments find on all strategies, once a test has asked for it.
var whole struct {
	once   sync.Once
	report *lab.Report
	err    error
}

// everything returns what all experiments find on all strategies. No test changes it.
func everything(t *testing.T) *lab.Report {
	t.Helper()
	l := laboratory(t)
	whole.once.Do(func() {
		whole.report, whole.err = l.Run(t.Context(), lab.Plan{Experiments: lab.Experiments()})
	})
	require.NoError(t, whole.err)
	return whole.report
}

// Every experiment finds for every strategy what its traits let expect, and gives a reason
// for each number that it does not have.
func TestEveryCellIsAsExpected(t *testing.T) {
	t.Parallel()
	report := everything(t)
	require.Len(t, report.Experiments, 16)
	require.Len(t, report.Strategies, 12)
	s := harness.NewServer(t)
	for _, strategy := range report.Strategies { // one number in the API, on the page and in each table
		a := s.Client(t, strategy.ID).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
		require.Equal(t, int64(strategy.Credential.Bytes), a.Number("credential.bytes"), strategy.ID)
	}
	for _, o := range report.Experiments {
		applied := 0
		eachResult(o.Results, func(r lab.Result) {
			require.Nil(t, r.Error, "%s %s: %v", o.ID, r.Strategy, r.Error)
			if r.AsExpected == nil {
				require.Equal(t, lab.NotApplicable, r.Attack, "%s %s", o.ID, r.Strategy)
				require.NotEmpty(t, r.Why["attack"], "%s %s", o.ID, r.Strategy)
				return
			}
			applied++
			for _, secret := range []string{"wonderland\"", "cheshire-cat", "queen-of-hearts"} {
				require.NotContains(t, encoded(t, r), secret, "%s %s", o.ID, r.Strategy)
			}
			require.Empty(t, r.Unexpected, "%s %s: found %v, expected %v", o.ID, r.Strategy, r.Values, r.Expected)
			require.NotEmpty(t, r.Wire)
			for _, x := range r.Wire {
				require.Equal(t, x.Response == "", x.Request == "", "%s %s: %s", o.ID, r.Strategy, x.Does)
			}
		})
		require.Positive(t, applied, o.ID)
		for _, column := range o.Columns {
			require.True(t, column == "store_cost" || strings.Contains(encoded(t, o.Results), `"`+column+`":`), "%s has no %s", o.ID, column)
		}
	}
}

// Two runs agree on everything that is no time.
func TestTwoRunsAgree(t *testing.T) {
	t.Parallel()
	l := laboratory(t)
	plan := lab.Plan{Experiments: lab.Experiments(), Strategies: []string{"session", "cookie", "token", "seed"}}
	var runs []string
	for range 2 {
		report, err := l.Run(t.Context(), plan)
		require.NoError(t, err)
		for _, o := range report.Experiments {
			withoutTimes(o.Results)
		}
		runs = append(runs, encoded(t, report.Experiments))
	}
	require.Equal(t, runs[0], runs[1])
}

// What agents are called, and do, has its Korean, and no other step has.
func TestEveryStepHasItsKorean(t *testing.T) {
	t.Parallel()
	taken := append(harness.StepsInKorean(t, everything(t)), "use what a visit gives") // no strategy of ours gives something to a visitor
	require.ElementsMatch(t, taken, slices.Collect(maps.Keys(lab.AllWords().Steps)))
}

// withoutTimes removes what differs from run to run: times, and what was exchanged, which
// has names that are random.
func withoutTimes(results []lab.Result) {
	for i := range results {
		results[i].ServerUS, results[i].Wire = nil, nil
		withoutTimes(results[i].Variants)
	}
}

func eachResult(results []lab.Result, f func(lab.Result)) {
	for _, r := range results {
		f(r)
		eachResult(r.Variants, f)
	}
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v, json.Deterministic(true))
	require.NoError(t, err)
	return string(b)
}

// In a classroom, a run answers with what it found, and touches no login of a learner.
func TestALearnerRunsAnExperiment(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	a := c.Do("POST", "/classroom/experiments/E07/run", harness.Object{"strategies": []string{"token", "session"}}).Is(http.StatusOK)
	var found lab.Outcome
	require.NoError(t, json.Unmarshal(a.Body, &found))
	require.Equal(t, "E07", found.ID)
	require.Len(t, found.Results, 2)
	require.Equal(t, "session", found.Results[0].Strategy, "in the order of comparison")
	require.Equal(t, lab.Succeeds, found.Results[1].Attack)
	c.Get("profile").Is(http.StatusOK)
	require.Len(t, c.Get("logins").At("logins"), 1)

	a = c.Do("GET", "/classroom/experiments/E07", nil).Is(http.StatusOK)
	require.NoError(t, json.Unmarshal(a.Body, &found))
	require.NotEmpty(t, found.Results[0].Wire)
	a = c.Do("GET", "/classroom/compare", nil).Is(http.StatusOK)
	require.Equal(t, lab.Schema, a.Text("schema"))
	require.Len(t, a.At("experiments"), 16)
	require.Len(t, a.At("strategies"), 2)
	require.NotContains(t, string(a.Body), `"request":`, "it has no exchanges")
	c.Do("GET", "/classroom/compare", nil, harness.Header("If-None-Match", a.Header.Get("Etag"))).Is(http.StatusNotModified)

	text := c.Do("GET", "/classroom/compare?lang=ko", nil, harness.Header("Accept", "text/plain")).Is(http.StatusOK)
	require.Contains(t, string(text.Body), "E07")
	text = c.Do("GET", "/classroom/compare", nil, harness.Header("Accept", "text/markdown")).Is(http.StatusOK)
	require.Contains(t, string(text.Body), "| session |")
	c.Do("GET", "/classroom/compare", nil, harness.Header("Accept", "image/png")).Is(http.StatusNotAcceptable, "not_acceptable")
	for accept, kind := range map[string]string{
		"*/*": "application/json", "text/*": "text/markdown", "application/json;q=0.5, text/plain": "text/plain",
		"text/*;q=0.3, text/plain;q=0.7": "text/plain", "text/plain;q=0.5, text/markdown;q=0.5": "text/markdown",
		"*/*, application/json;q=0": "text/markdown",
	} {
		answer := c.Do("GET", "/classroom/compare", nil, harness.Header("Accept", accept)).Is(http.StatusOK)
		require.Equal(t, kind+"; charset=utf-8", answer.Header.Get("Content-Type"), accept)
	}
	for _, lang := range []string{"", "fr", "KO"} {
		c.Do("GET", "/classroom/compare?lang="+lang, nil, harness.Header("Accept", "text/plain")).Is(http.StatusBadRequest, "invalid_request")
	}

	c.Do("POST", "/classroom/experiments/E99/run", nil).Is(http.StatusNotFound, "not_found")
	c.Do("GET", "/classroom/experiments/E99", nil).Is(http.StatusNotFound, "not_found")
	c.Do("POST", "/classroom/experiments/E07/run", harness.Object{"strategies": []string{"session", "none"}}).
		Is(http.StatusUnprocessableEntity, "validation_failed")
}

// There is one run at a time; a second client is told, and the levers still work.
func TestOneRunAtATime(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, "session")
	c.Do("POST", "/classroom/experiments/run", nil).Is(http.StatusAccepted)
	a := c.Do("POST", "/classroom/experiments/E03/run", nil).Is(http.StatusConflict, "busy")
	require.NotEmpty(t, a.Header.Get("Retry-After"))
	c.Do("POST", "/classroom/experiments/run", nil).Is(http.StatusConflict, "busy")
	require.Positive(t, c.Do("GET", "/classroom/experiments", nil).Is(http.StatusOK).Number("running.total"))
	c.Do("POST", "/classroom/clock", harness.Object{"advance": "1m"}).Is(http.StatusOK)
}
