package browser

import (
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// The two lines for an application of another origin are tried on other ports.
func TestReadmeSinglePageApplication(t *testing.T) {
	t.Parallel()
	block := regexp.MustCompile("(?s)## From a single-page application.*?```sh\ngo run \\. (.*?)\ngo run ./tests/spa\n```").FindStringSubmatch(harness.Document(t, "api/README.md"))
	require.NotNil(t, block)
	p := harness.Start(t, t.TempDir(), nil, append(strings.Fields(block[1]), "--listen", "localhost:0")...)
	front := string(buildFrontEnd(t))
	help, err := exec.CommandContext(t.Context(), front, "-help").CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(help), `"`+strings.TrimPrefix(harness.AllowedOrigin, "http://")+`"`)
	require.Contains(t, string(help), `"http://localhost:8080"`)

	page := harness.Launch(t, exec.CommandContext(t.Context(), front, "-listen", "localhost:0", "-api", p.Base))
	page.Serves()
	get := func(address, origin string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		require.NoError(t, err)
		r.Header.Set("Origin", origin)
		answer, err := harness.Transport.RoundTrip(r)
		require.NoError(t, err)
		t.Cleanup(func() { _ = answer.Body.Close() })
		return answer
	}
	document := get(page.Base+"/", "")
	text, err := io.ReadAll(document.Body)
	require.NoError(t, err)
	require.Contains(t, string(text), `data-api="`+p.Base+`"`)
	require.Contains(t, document.Header.Get("Content-Security-Policy"), "connect-src "+p.Base+";")
	require.Equal(t, harness.AllowedOrigin, get(p.Base+"/healthz", harness.AllowedOrigin).Header.Get("Access-Control-Allow-Origin"))
}
