package tests

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// guideLanguages are the languages that there is a guide in.
var guideLanguages = []string{"en", "ko"}

func guideText(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile(harness.Root(filepath.Join("api", "web", "guide", language+".md")))
	require.NoError(t, err)
	return string(text)
}

// The commands of each guide are executed as they stand, in one shell. The
// paragraph after a block names the statuses of its answers, in order.
func TestGuideCommands(t *testing.T) {
	t.Parallel()
	for _, language := range guideLanguages {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			harness.NeedShell(t)
			p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0")
			dir := t.TempDir()
			require.NoError(t, os.Symlink(harness.Root("tests"), filepath.Join(dir, "tests")))
			script := "set -e\n"
			var promised []string
			blocks := regexp.MustCompile("(?s)```bash\n(.*?)```\n\n([^\n]*)").FindAllStringSubmatch(guideText(t, language), -1)
			for _, block := range blocks {
				if strings.Contains(block[1], "curl ") {
					script += "echo @@@\n" + block[1]
					promised = append(promised, fmt.Sprint(statusesIn("`(\\d{3})\\b[^`]*`", block[2])))
				}
			}
			require.Greater(t, len(promised), 12)
			cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.ReplaceAll(script, "http://localhost:8080", p.Base))
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			for i, answers := range strings.Split(string(out), "@@@\n")[1:] {
				require.Equal(t, promised[i], fmt.Sprint(statusesIn(`HTTP/1.1 (\d{3})`, answers)), "block %d:\n%s", i+1, answers)
			}
		})
	}
}

func statusesIn(pattern, text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// The bytes in the guides' comparison are those that a server measures.
func TestGuideComparisonIsMeasured(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	row := ""
	for _, slug := range []string{"session", "cookie", "token"} {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		row += fmt.Sprintf(" %d |", c.Get("inspect").Number("carried.bytes"))
	}
	for _, language := range guideLanguages {
		require.Contains(t, guideText(t, language), " |"+row+"\n", language)
	}
}

// Every link of the guides leads somewhere: to a document that a browser gets
// from a classroom, with columns that exist.
func TestGuideLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)|<(http[^>\s]+)>`)
	for _, language := range guideLanguages {
		links := link.FindAllStringSubmatch(guideText(t, language), -1)
		require.Greater(t, len(links), 50)
		for _, m := range links {
			target, err := url.Parse("http://localhost:8080/web/guide/" + language + ".md")
			require.NoError(t, err)
			target, err = target.Parse(m[1] + m[2])
			require.NoError(t, err, m[0])
			require.Equal(t, "localhost:8080", target.Host, m[0])
			answer, _ := open(t, s.URL+target.EscapedPath(), "localhost", "text/html")
			require.Equal(t, http.StatusOK, answer.StatusCode, m[0])
			require.Contains(t, answer.Header.Get("Content-Type"), "text/html", m[0])
			if strings.HasPrefix(target.Fragment, "lang=") {
				place, err := url.ParseQuery(target.Fragment)
				require.NoError(t, err, m[0])
				require.Equal(t, language, place.Get("lang"), m[0])
				for slug := range strings.SplitSeq(place.Get("s"), ",") {
					require.Contains(t, append([]string{"", "localStorage"}, harness.Strategies...), slug, m[0])
				}
			}
		}
	}
}

// open asks for a document, under a name of the server's.
func open(t *testing.T, address, host, accept string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	r.Host = host
	r.Header.Set("Accept", accept)
	answer, err := harness.Transport.RoundTrip(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer, string(body)
}

// A guide names the address by which the reader has come. A reader at 127.0.0.1
// is led to localhost, where the page is. Other clients get the Markdown.
func TestGuideNamesTheAddressOfTheRequest(t *testing.T) {
	t.Parallel()
	address := harness.NewServer(t).URL + "/web/guide/en.md"
	for _, host := range []string{"localhost:4711", "[::1]:4711"} {
		answer, body := open(t, address, host, "text/html")
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.Contains(t, answer.Header.Get("Content-Security-Policy"), "script-src 'self';")
		require.Equal(t, "no-store", answer.Header.Get("Cache-Control"))
		require.Contains(t, body, "jar http://"+host+"/session/profile")
		require.NotContains(t, body, "localhost:8080")
	}
	moved, _ := open(t, address, "127.0.0.1:4711", "text/html")
	require.Equal(t, http.StatusTemporaryRedirect, moved.StatusCode)
	require.Equal(t, "http://localhost:4711/web/guide/en.md", moved.Header.Get("Location"))
	markdown, text := open(t, address, "localhost:4711", "*/*")
	require.Equal(t, "text/markdown; charset=utf-8", markdown.Header.Get("Content-Type"))
	require.Equal(t, guideText(t, "en"), text)
}
