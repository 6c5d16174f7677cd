package fault

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

func TestStartingWithNothingButTheProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := harness.StartReleased(t, dir, nil, "--listen", "localhost:0")
	require.LessOrEqual(t, strings.Count(p.Banner, "\n"), 9)
	for _, word := range []string{"/docs", "alice / wonderland", "teacher / queen-of-hearts", "curl", "Ctrl-C"} {
		require.Contains(t, p.Banner, word)
	}
	for _, slug := range harness.Strategies {
		p.Client(slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	}
	info, err := os.Stat(filepath.Join(dir, "statelab-classroom.keys.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.FileExists(t, filepath.Join(dir, "statelab-classroom.db"))
}

func TestTheFirstCurlLineAnswersAsPrinted(t *testing.T) {
	t.Parallel()
	harness.NeedShell(t)
	p := harness.StartReleased(t, t.TempDir(), nil, "--listen", "localhost:0")
	line := regexp.MustCompile(`try\s+(curl .*)`).FindStringSubmatch(p.Banner)
	require.NotNil(t, line)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", line[1]+" 2>/dev/null").Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "HTTP/1.1 200 OK")
	require.Contains(t, string(out), "Set-Cookie: statelab_session=")
}
