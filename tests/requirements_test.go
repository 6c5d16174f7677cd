package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"statelab/tests/harness"

	"github.com/stretchr/testify/require"
)

// testFunctions are the names of all functions in test files and in the harness, those
// of methods with their type in front, as in Answer.check.
func testFunctions(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	require.NoError(t, filepath.WalkDir(harness.Root("."), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") && filepath.Base(filepath.Dir(path)) != "harness" {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			switch {
			case ok && f.Recv == nil:
				names[f.Name.Name] = true
			case ok:
				of := f.Recv.List[0].Type
				if star, ok := of.(*ast.StarExpr); ok {
					of = star.X
				}
				if name, ok := of.(*ast.Ident); ok {
					names[name.Name+"."+f.Name.Name] = true
				}
			}
		}
		return nil
	}))
	return names
}

// Each row of README.md names tests that there are, or says why there is none.
func TestRequirementsNameTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	functions := testFunctions(t)
	rows, list, word := 0, regexp.MustCompile("^`[\\w.]+`(, `[\\w.]+`)*$"), regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w+|\bAnswer\.\w+`)
	_, tables, found := strings.Cut(string(text), "## What the standards ask")
	require.True(t, found)
	for line := range strings.Lines(tables) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| requirement |") {
			continue
		}
		rows++
		require.Len(t, cells, 3, line)
		for _, cell := range cells {
			require.NotEmpty(t, strings.TrimSpace(cell), line)
		}
		held := strings.TrimSpace(cells[2])
		reason, isReason := strings.CutPrefix(held, "– ")
		require.True(t, isReason && len(strings.Fields(reason)) > 3 || list.MatchString(held), line)
		names := word.FindAllString(held, -1)
		require.True(t, isReason || len(names) == strings.Count(held, "`")/2, "not all of these are tests: %s", line)
		for _, name := range names {
			require.True(t, functions[name], "there is no %s: %s", name, line)
		}
	}
	require.Greater(t, rows, 100)
}
