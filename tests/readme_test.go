package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// varying are the parts of an answer that differ from run to run.
var varying = []struct {
	expr *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\r`), ""},
	{regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`), "ULID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z`), "TIME"},
	{regexp.MustCompile(`(?m)^Age: \d+$|ttl=\d+$`), "SECONDS"},
	{regexp.MustCompile(`"request_id":"[0-9a-z]{16}"`), `"request_id":"ID"`},
	{regexp.MustCompile(`(?m)^[0-9a-f]{8}  `), "KEY       "},
	{regexp.MustCompile(`(?m)^measured .*$`), "measured"},
	{regexp.MustCompile(`(statelab_\w+)=[\w.-]+`), "$1=VALUE"},
}

func steady(text string) string {
	for _, v := range varying {
		text = v.expr.ReplaceAllString(text, v.as)
	}
	return strings.TrimSpace(text)
}

// transcripts runs every console block of a text, command by command, as a reader
// who pastes them does, and compares each answer with the printed one. It returns
// the number of commands.
func transcripts(t *testing.T, text, base string) int {
	t.Helper()
	harness.NeedShell(t)
	program := harness.Script(t)
	dir, setup := t.TempDir(), ""
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for _, step := range regexp.MustCompile(`(?m)^\$ `).Split(block[1], -1)[1:] {
			command, printed, _ := strings.Cut(step, "\n")
			command = strings.NewReplacer("http://localhost:8080", base, "go run .", program, "./statelab", program).Replace(command)
			if strings.Contains(command, "=$(") {
				setup += command + "\n" // a variable of the shell, for the lines after it
				continue
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-c", setup+command)
			cmd.Dir = dir
			out, err := cmd.Output()
			require.NoError(t, err, command)
			require.Equal(t, steady(printed), steady(string(out)), command)
			commands++
		}
	}
	return commands
}

// TestTranscripts runs the console blocks of each document against a server of its own.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	least := map[string]int{"README.md": 6, "api/README.md": 5, "api/OPERATING.md": 11, "api/cache/README.md": 9}
	for path, text := range harness.Documents(t) {
		if !strings.Contains(text, "```console\n") {
			require.Zero(t, least[path], path)
			continue
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0")
			require.GreaterOrEqual(t, transcripts(t, text, p.Base), least[path])
		})
	}
}

// TestFlagsAreDocumented compares the table of flags with what the program offers, in
// both directions.
func TestFlagsAreDocumented(t *testing.T) {
	t.Parallel()
	help, err := harness.Command(t, t.TempDir(), nil, "serve", "--help").Output()
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| `(--[a-z-]+)` \\| `(STATELAB_[A-Z_]+)` \\| .* \\| (.*) \\|$").FindAllStringSubmatch(harness.Document(t, "api/OPERATING.md"), -1)
	documented := map[string]bool{}
	flat := regexp.MustCompile(`\s+`).ReplaceAllString(string(help), " ")
	for _, row := range rows {
		documented[row[1]] = true
		require.Equal(t, "STATELAB_"+strings.ToUpper(strings.ReplaceAll(row[1][2:], "-", "_")), row[2])
		require.Contains(t, flat, row[1][2:])
		if standard := strings.Trim(row[3], "`"); standard != "true" {
			require.Contains(t, flat, "("+standard, row[1])
		}
	}
	for _, flag := range regexp.MustCompile(`(?m)^ {2,}(?:-\w, )?--(?:\[no-\])?([a-z-]+)`).FindAllStringSubmatch(string(help), -1) {
		if flag[1] != "help" {
			require.True(t, documented["--"+flag[1]], "--%s is not documented", flag[1])
		}
	}
	require.NotEmpty(t, documented)
}

// TestLinksLeadSomewhere follows every relative link of every document, its anchor included.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	documents := harness.Documents(t)
	for path, text := range documents {
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			if strings.Contains(link[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(link[1], "#")
			target := path
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(path), file))
			}
			_, err := os.Stat(harness.Root(target))
			require.NoError(t, err, "%s links to %s", path, link[1])
			if anchor != "" {
				require.Contains(t, anchors(documents[target]), anchor, "%s links to %s", path, link[1])
			}
		}
	}
}

// anchors are the names by which a Git host links to the headings of a document.
func anchors(text string) []string {
	var names []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-")
		names = append(names, regexp.MustCompile(`[^\p{L}\p{N}_-]`).ReplaceAllString(name, ""))
	}
	return names
}

// TestTheReadmeIsShort keeps the way in short: what explains more stands beside what it explains.
func TestTheReadmeIsShort(t *testing.T) {
	t.Parallel()
	text := harness.Document(t, "README.md")
	require.LessOrEqual(t, len(strings.Fields(text)), 1800, "words")
	require.LessOrEqual(t, strings.Count(text, "\n"), 220, "lines")
}

// TestTheSessionStoreIsImportedAsDocumented compiles the application of state/README.md
// with the go.mod that stands there, in a module of its own. It builds no driver of a store
// that it does not use.
func TestTheSessionStoreIsImportedAsDocumented(t *testing.T) {
	t.Parallel()
	text := harness.Document(t, "state/README.md")
	dir := t.TempDir()
	write := func(name, pattern string) {
		block := regexp.MustCompile(pattern).FindStringSubmatch(text)
		require.NotNil(t, block, name)
		content := strings.Replace(block[1], "=> ../statelab", "=> "+harness.Root("."), 1)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	write("main.go", "(?s)```go\n(package main.*?)```")
	write("go.mod", "(?s)```\n(module .*?)```")
	tidy(t, filepath.Join(dir, "go.mod"))
	sums, err := os.ReadFile(harness.Root("go.sum"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600))
	command := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	command("vet", "-mod=mod", ".")
	packages := command("list", "-mod=mod", "-deps", ".")
	require.Contains(t, packages, "statelab/state/store/memory\n")
	for _, driver := range []string{"database/sql", "modernc.org/", "github.com/jackc/", "github.com/pressly/", "github.com/redis/"} {
		require.NotContains(t, packages, "\n"+driver)
	}
}

// tidy adds what go mod tidy would add to a go.mod that requires statelab: what statelab
// requires itself. Tests do not ask a proxy, and Go reads no more than these modules then.
func tidy(t *testing.T, file string) {
	t.Helper()
	own, err := os.ReadFile(harness.Root("go.mod"))
	require.NoError(t, err)
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	for _, block := range regexp.MustCompile(`(?s)require \(.*?\n\)`).FindAll(own, -1) {
		_, err = fmt.Fprintf(f, "\n%s\n", block)
		require.NoError(t, err)
	}
	require.NoError(t, f.Close())
}
