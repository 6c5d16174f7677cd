package tests

import (
	"bytes"
	"database/sql"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"statelab/api/lab"
	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

func TestAComparisonIsShownInEachFormatAndLanguage(t *testing.T) {
	t.Parallel()
	table, stderr, status := compare(t, "replay-after-logout", "--strategy", "session,token")
	require.Zero(t, status)
	require.Empty(t, stderr, "a pipe gets no progress")
	require.Regexp(t, `(?m)^session +✔ .* 0 s +unknown_session +1/0`, table)
	require.Regexp(t, `(?m)^token +✘ .* 15 min +expired +0/0`, table)
	require.Regexp(t, `(?m)^token \+denylist +✔ .* 0 s +revoked +1/0`, table)

	korean, _, status := compare(t, "E07", "--strategy", "token", "--lang", "ko")
	require.Zero(t, status)
	require.Regexp(t, `(?m)^token +✘ .* 15분 `, korean)

	markdown, _, status := compare(t, "E07", "--strategy", "token", "--format", "markdown")
	require.Zero(t, status)
	require.Regexp(t, `(?m)^\| token \| ✘ .* \| 15 min \| expired \| 0/0 \|`, markdown)

	report, _ := compared(t, "E07", "--strategy", "token,session,token")
	require.Equal(t, []string{"session", "token"}, []string{report.Strategies[0].ID, report.Strategies[1].ID}, "each once, in the order of comparison")
	require.Len(t, report.Strategies, 2)
	report, _ = compared(t, "E07", "--strategy", "token")
	require.Equal(t, "compare/1", report.Schema)
	require.NotEmpty(t, report.Run.Commit)
	require.Equal(t, []string{"memory", "sqlite"}, []string{report.Run.Store, report.Run.Database})
	require.Len(t, report.Experiments, 1)
	require.InDelta(t, 900, *report.Experiments[0].Results[0].LivedS, 0)
}

func TestTheExchangesAreShownWithoutCredentials(t *testing.T) {
	t.Parallel()
	shown, _, status := compare(t, "E07", "--strategy", "token,session", "--wire")
	require.Zero(t, status)
	require.Contains(t, shown, "    POST /token/login HTTP/1.1\n")
	require.Contains(t, shown, "    Authorization: Bearer eyJh…\n")
	require.Regexp(t, `(?m)^    Cookie: statelab_session=....…$`, shown)
	require.NotContains(t, shown, harness.AlicePassword)
	require.NotRegexp(t, `eyJ[\w-]{20}|statelab_session=[\w-]{20}`, shown)
}

// TestAComparisonOnRedisAndPostgres requires what the stores decide to be as expected on
// them, and the stores to be as before in the end.
func TestAComparisonOnRedisAndPostgres(t *testing.T) {
	t.Parallel()
	address, server := storetest.Database(t), storetest.Redis(t)
	db, err := sql.Open("pgx", address)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	schemas := func() (n int) {
		t.Helper()
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_namespace`).Scan(&n))
		return n
	}
	before := schemas()
	report, _ := compared(t, "E15", "E16", "--strategy", "session,session-db", "--store", server.Address, "--database", address)
	require.Equal(t, []string{"redis", "postgres"}, []string{report.Run.Store, report.Run.Database})
	require.EqualValues(t, 5, report.Experiments[0].Results[0].Values["same_keys"], "the logins are in Redis")
	require.Equal(t, before, schemas(), "the schemas of the private servers are gone")
	var tables int
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`).Scan(&tables))
	require.Zero(t, tables, "what the database has besides is not touched")

	for range 2 { // the second run finds the keys of the first
		report, _ = compared(t, "E21", "--store", server.Address)
		last := report.Experiments[0].Results[len(report.Experiments[0].Results)-1]
		require.Equal(t, "cache/redis", last.Strategy)
		require.True(t, *last.AsExpected)
	}
	options, err := redis.ParseURL(server.Address)
	require.NoError(t, err)
	client := redis.NewClient(options)
	defer func() { require.NoError(t, client.Close()) }()
	keys, err := client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.NotEmpty(t, keys)
	for _, key := range keys {
		// -1: it never expires. -2: it has expired since it was listed.
		require.NotEqual(t, time.Duration(-1), client.TTL(t.Context(), key).Val(), "%s expires", key)
	}
}

// A store that is down is named before anything runs.
func TestAComparisonOverADeadStoreIsRefused(t *testing.T) {
	t.Parallel()
	host := fmt.Sprint("127.0.0.1:", storetest.FreePort(t))
	for flag, scheme := range map[string]string{"--store": "redis", "--cache": "redis", "--database": "postgres"} {
		out, stderr, status := compare(t, "E07", flag, scheme+"://"+host)
		require.Equal(t, 2, status)
		require.Empty(t, out)
		if scheme == "postgres" {
			require.Regexp(t, `^statelab: --database: .*connection refused\n$`, stderr)
		} else {
			require.Contains(t, stderr, flag+": it does not answer")
		}
	}
}

func TestAnInterruptedComparisonEndsAndShowsNothing(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	cmd := harness.Command(t, t.TempDir(), nil, "compare", "--database", "postgres://"+l.Addr().String()+"/db")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	require.NoError(t, cmd.Start())
	conn, err := l.Accept() // the first private server asks its database, which does not answer
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait()
	require.Equal(t, 1, cmd.ProcessState.ExitCode())
	require.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
	require.Contains(t, stderr.String(), "interrupted")
	require.Empty(t, out.String())
}

// TestVariablesOfAServerDoNotChooseTheStores requires a shell that is prepared for a
// server to run the experiments elsewhere.
func TestVariablesOfAServerDoNotChooseTheStores(t *testing.T) {
	t.Parallel()
	cmd := harness.Command(t, t.TempDir(), []string{"STATELAB_STORE=redis://127.0.0.1:1", "STATELAB_DATABASE=sqlite:accounts.db"},
		"compare", "E15", "--strategy", "session")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "store memory, database sqlite")
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
