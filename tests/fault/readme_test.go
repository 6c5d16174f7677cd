package fault

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// TestTwoServersAsDocumented executes the recipe for several servers. Only the program,
// which is built already, and the addresses differ.
func TestTwoServersAsDocumented(t *testing.T) {
	t.Parallel()
	harness.NeedShell(t)
	block := regexp.MustCompile("(?s)## Several servers\n.*?```bash\n(.*?)```").FindStringSubmatch(harness.Document(t, "api/OPERATING.md"))
	require.NotNil(t, block)
	dir := t.TempDir()
	require.NoError(t, os.Symlink(harness.Script(t), filepath.Join(dir, "statelab")))
	script := strings.NewReplacer(
		"go build\n", "",
		"postgres://statelab@localhost/statelab", "'"+storetest.Database(t)+"'",
		"redis://localhost:6379", storetest.Redis(t).Address,
		"localhost:8081", fmt.Sprint("localhost:", storetest.FreePort(t)),
		"localhost:8082", fmt.Sprint("localhost:", storetest.FreePort(t)),
	).Replace(block[1])
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "trap 'kill $(jobs -p) 2>/dev/null' EXIT\n"+script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var want []string
	for _, m := range regexp.MustCompile(`(?m) # (\d{3})$`).FindAllStringSubmatch(block[1], -1) {
		want = append(want, m[1])
	}
	require.Equal(t, []string{"200", "200", "204", "401"}, want)
	require.Equal(t, want, regexp.MustCompile(`(?m)^\d{3}$`).FindAllString(string(out), -1), "%s", out)
}
