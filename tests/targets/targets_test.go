// Package targets runs the experiments on servers that we did not write: each is a target
// file and the few lines that use a library as its documentation shows.
package targets

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api/lab"
	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// A column is a server of the grid. The part of its name after a hyphen goes to the server.
var columns = []string{"tutorial", "flask", "django", "express", "express-keep", "gin", "gin-memstore", "session", "cookie", "token"}

// rows are the experiments that have a verdict without a lever.
var rows = []string{
	"readable", "tamper", "rollback", "deletion", "replay-after-logout",
	"everywhere", "fixation", "csrf", "refresh-reuse", "lost-update",
}

const gridMarker = "<!-- grid: made by TestServersThatWeDidNotWrite -->\n"

func TestServersThatWeDidNotWrite(t *testing.T) {
	t.Parallel()
	harness.Need(t, "targets", harness.Targets(), "no Flask, no Django or no Express")
	experiments, unknown := lab.Find(rows)
	require.Empty(t, unknown)
	statelab := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0")
	var mu sync.Mutex
	reports := map[string]*lab.Report{}
	t.Run("run", func(t *testing.T) {
		for _, name := range columns {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				target := read(t, name)
				if target.Base = statelab.Base; len(commands[kind(name)]) > 0 {
					target.Base = "http://" + start(t, name)
				}
				report, err := new(lab.Laboratory).Run(t.Context(), lab.Plan{Experiments: experiments, Targets: []*lab.Target{target}})
				require.NoError(t, err)
				harness.StepsInKorean(t, report)
				mu.Lock()
				defer mu.Unlock()
				reports[name] = report
			})
		}
	})
	if t.Failed() {
		return
	}
	var grid strings.Builder
	grid.WriteString("| | " + strings.Join(columns, " | ") + " |\n|---" + strings.Repeat("|---", len(columns)) + "|\n")
	for i, experiment := range experiments {
		grid.WriteString("| " + experiment.ID + " " + experiment.Name)
		for _, name := range columns {
			grid.WriteString(" | " + verdict(t, &reports[name].Experiments[i].Results[0]))
		}
		grid.WriteString(" |\n")
	}
	harness.HoldTables(t, "tests/targets/README.md", gridMarker, grid.String())
}

// The example of the document is a target file.
func TestExampleOfATargetFile(t *testing.T) {
	t.Parallel()
	_, rest, _ := strings.Cut(harness.Document(t, "tests/targets/README.md"), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	path := filepath.Join(t.TempDir(), "shop.yaml")
	require.NoError(t, os.WriteFile(path, []byte(example), 0o600))
	target, err := lab.ReadTarget(path)
	require.NoError(t, err)
	require.Equal(t, "my shop", target.Name)
	require.NotNil(t, target.LogoutEverywhere)
}

// verdict is what a cell of the grid says. A foreign result is compared with nothing, and
// names standards where it is bad.
func verdict(t *testing.T, r *lab.Result) string {
	t.Helper()
	require.Nil(t, r.Error, "%v", r.Wire)
	require.Nil(t, r.AsExpected)
	require.Nil(t, r.Expected)
	lost, isLost := r.Values["lost"].(bool)
	switch {
	case isLost && lost:
		require.Equal(t, []string{"ASVS 15.4.1"}, r.Violates)
		return "✘ lost"
	case isLost:
		return "✔ kept"
	case r.Attack == lab.Succeeds && r.Mark == lab.Partly:
		return "◐ succeeds"
	case r.Attack == lab.Succeeds:
		require.Equal(t, lab.Bad, r.Mark)
		return "✘ succeeds"
	case r.Attack == lab.Blocked:
		require.Empty(t, r.Violates)
		return "✔ blocked"
	}
	require.NotEmpty(t, r.Why["attack"])
	return "–"
}

// kind is the server of a column, without its variant.
func kind(name string) string {
	file, _, _ := strings.Cut(name, "-")
	return file
}

// read reads the target file of a column.
func read(t *testing.T, name string) *lab.Target {
	t.Helper()
	target, err := lab.ReadTarget(kind(name) + ".yaml")
	require.NoError(t, err)
	target.Name = name
	return target
}

// commands start the servers that we did not write, and are followed by a port and a
// variant or a folder.
var commands = map[string][]string{
	"tutorial": {harness.Python, "tutorial.py"},
	"flask":    {harness.Python, "flask_app.py"},
	"django":   {harness.Python, "django_app.py"},
	"express":  {"node", "express.js"},
	"gin":      {"./gin"},
}

// start runs a server on a free port until the test ends, and returns its address.
func start(t *testing.T, name string) string {
	t.Helper()
	port := strconv.Itoa(storetest.FreePort(t))
	address := net.JoinHostPort("127.0.0.1", port)
	line := commands[kind(name)]
	_, last, _ := strings.Cut(name, "-")
	switch kind(name) {
	case "django":
		last = t.TempDir()
	case "gin":
		program := filepath.Join(t.TempDir(), "gin")
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, line[0]).CombinedOutput()
		require.NoError(t, err, "%s", out)
		line = []string{program}
	}
	args := append(line[1:len(line):len(line)], port, last)
	cmd := exec.CommandContext(t.Context(), line[0], args...) // #nosec G204 -- one of commands
	log := new(harness.SyncBuffer)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "NODE_PATH="+os.Getenv("STATELAB_NODE_MODULES"), "PYTHONDONTWRITEBYTECODE=1")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, log.String())
		}
	})
	require.Eventually(t, func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		return err == nil && c.Close() == nil
	}, time.Minute, 50*time.Millisecond, "%s does not start", name)
	return address
}
