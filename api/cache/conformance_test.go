package cache_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/api/cache"
	"statelab/state/store/storetest"
)

// behindACache is a reverse proxy with the middleware in front, as somebody would
// put one before another server.
func behindACache(t *testing.T, config cache.Config, origin string) string {
	to, err := url.Parse(origin)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ErrorLog: log.New(io.Discard, "", 0), // the suite provokes errors
	}
	e := gin.New()
	e.UseRawPath = true
	e.NoRoute(cache.New(config).Handle, func(c *gin.Context) {
		c.Status(200) // Gin begins with 404 here
		proxy.ServeHTTP(c.Writer, c.Request)
	})
	s := httptest.NewServer(e)
	t.Cleanup(s.Close)
	return s.URL
}

// A group of the suite, with what came of its tests.
type group struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Tests []struct {
		ID     string   `json:"id"`
		Kind   string   `json:"kind"`  // required, optimal, or check: a question without a right answer
		Needs  []string `json:"needs"` // tests without which it says nothing
		Result string   `json:"result"`
	} `json:"tests"`
}

// deliberate are the tests that the middleware does not pass, by the beginnings of
// their names, and why it is to be so.
var deliberate = []struct{ tests, why string }{
	{"other-authorization-", "an answer to a request with Authorization is never stored, whatever its headers allow"},
	{"other-cookie", "a request with a Cookie bypasses the cache"},
	{"other-set-cookie", "an answer with a Set-Cookie is not stored"},
	{"headers-store-Set-Cookie", "the same"},
	{"304-etag-update-response-Set-Cookie", "the same"},
	{"vary-normalise-lang-", "headers are compared byte by byte, and not by their meaning"},
	{"heuristic-", "no lifetime is guessed: an answer without one is stored only if the cache was given a TTL"},
	{"conditional-lm-fresh-no-lm", "If-Modified-Since is compared with Last-Modified only"},
	{"method-POST", "an answer to a POST is not stored"},
	{"status-204-", "the test's proxy only sets this status, which in Gin is not an answer yet"},
	{"status-5", "an error of the server is not stored"},
	{"partial-store-partial-", "partial answers are not stored"},
	{"age-parse-", "an Age that is not a number is ignored, and of several the first counts, as RFC 9111, 5.1, says"},
	{"stale-close-", "the origin is down, and the suite takes the 502 of the test's proxy for a stored answer; it does so for every cache in its published results"},
	{"headers-store-Transfer-Encoding", "the origin sends a header that HTTP does not allow, and the test's proxy refuses it"},
}

// strict are the groups of which everything that is required has to be passed.
var strict = []string{"auth", "vary", "vary-parse", "cc-freshness", "cc-parse", "cc-response", "cc-request", "invalidation"}

// TestConformance runs the public conformance suite for HTTP caches. README.md has
// the results in a table; run with STATELAB_UPDATE=readme to write what it finds.
func TestConformance(t *testing.T) {
	t.Parallel()
	const marker = "<!-- results: made by TestConformance -->\n"
	before, found, ok := strings.Cut(readme(t), marker)
	require.True(t, ok)
	table, wrong := results(t)
	if os.Getenv("STATELAB_UPDATE") == "readme" {
		require.NoError(t, os.WriteFile("README.md", []byte(before+marker+table), 0o600))
	} else {
		require.Equal(t, found, table)
	}
	require.Empty(t, wrong)
}

// results runs the suite once. It returns a table, and the tests that have failed
// without an excuse.
func results(t *testing.T) (table string, wrong []string) {
	table, excused := "| group | required | optimal | questions answered yes |\n|---|---|---|---|\n", map[string]bool{}
	for _, g := range suite(t) {
		passed, all := map[string]int{}, map[string]int{}
		for _, test := range g.Tests {
			all[test.Kind]++
			if test.Result == "" {
				passed[test.Kind]++
				continue
			}
			i := slices.IndexFunc(deliberate, func(d struct{ tests, why string }) bool { return strings.HasPrefix(test.ID, d.tests) })
			if test.Kind != "check" && (i < 0 || test.Kind == "required" && slices.Contains(strict, g.ID)) {
				wrong = append(wrong, fmt.Sprintf("%s %s (%s): %s", g.ID, test.ID, test.Kind, test.Result))
			} else if i >= 0 {
				excused[deliberate[i].tests] = true
			}
		}
		name := strings.ReplaceAll(g.Name, "Respones", "Responses") //nolint:misspell // it is the suite's
		table += fmt.Sprintf("| %s | %s | %s | %s |\n", name,
			of(passed["required"], all["required"]), of(passed["optimal"], all["optimal"]), of(passed["check"], all["check"]))
	}
	table += "\nTests whose names begin as follows do not all pass, for the reason given:\n\n"
	for _, d := range deliberate {
		if !excused[d.tests] {
			wrong = append(wrong, d.tests+" passes, so that there is nothing to excuse")
		}
		table += "- `" + d.tests + "`: " + d.why + "\n"
	}
	return table, wrong
}

// suite runs all tests of the suite against the middleware.
func suite(t *testing.T) []group {
	modules := os.Getenv("STATELAB_NODE_MODULES")
	node, err := exec.LookPath("node")
	storetest.Need(t, "node", err == nil && modules != "", "install Node.js, and let STATELAB_NODE_MODULES name a node_modules with http-cache-tests")
	cmd := exec.CommandContext(t.Context(), node, "testdata/conformance.mjs")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var said strings.Builder
	cmd.Stderr = &said
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	port, err := lines.ReadString('\n')
	require.NoError(t, err, "%s", &said)
	// The clock of the cache is that of the suite: see conformance.mjs.
	began, moved := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), atomic.Int64{}
	now := func() time.Time { return began.Add(time.Duration(moved.Load()) * time.Millisecond) }
	base := behindACache(t, cache.Config{Store: cache.NewMemory(0), Now: now}, "http://127.0.0.1:"+strings.TrimSpace(port))
	_, err = fmt.Fprintln(in, base)
	require.NoError(t, err)
	var text []byte
	for {
		text, err = lines.ReadBytes('\n')
		require.NoError(t, err, "%s", &said)
		ms, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil { // the results
			break
		}
		moved.Add(ms)
		_, err = fmt.Fprintln(in, "moved")
		require.NoError(t, err)
	}
	require.NoError(t, cmd.Wait(), "%s", &said)
	var groups []group
	require.NoError(t, json.Unmarshal(text, &groups))
	require.Greater(t, len(groups), 20)
	return groups
}

func of(n, all int) string {
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", n, all)
}

func readme(t *testing.T) string {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	return string(text)
}
