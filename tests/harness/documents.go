package harness

import (
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Document returns the text of a document, by its path from the top of the repository.
func Document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(Root(path))
	require.NoError(t, err)
	return string(text)
}

// Documents returns every Markdown file of the repository, by its path.
func Documents(t *testing.T) map[string]string {
	t.Helper()
	documents := map[string]string{}
	require.NoError(t, fs.WalkDir(os.DirFS(Root(".")), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (path != "." && strings.HasPrefix(entry.Name(), ".") || entry.Name() == "node_modules"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".md"):
			documents[path] = Document(t, path)
		}
		return nil
	}))
	return documents
}

// HoldTables compares the tables of a document that follow a marker, one marker for each
// table, with those that a test has measured. With STATELAB_UPDATE=readme it writes them.
func HoldTables(t *testing.T, path, marker string, tables ...string) {
	t.Helper()
	parts := strings.Split(Document(t, path), marker)
	require.Len(t, parts, len(tables)+1, "%s has a marker for each table", path)
	for i, table := range tables {
		old, rest, _ := strings.Cut(parts[i+1], "\n\n")
		if os.Getenv("STATELAB_UPDATE") != "readme" {
			require.Equal(t, strings.Split(strings.TrimSpace(table), "\n"), strings.Split(old, "\n"), path)
		}
		parts[i+1] = table + "\n" + rest
	}
	if os.Getenv("STATELAB_UPDATE") == "readme" {
		require.NoError(t, os.WriteFile(Root(path), []byte(strings.Join(parts, marker)), 0o600))
	}
}
