package lab

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// source is the code of the package as it is written, without its tests.
type source struct {
	files     []*ast.File
	functions map[string]*ast.FuncDecl // not methods
	constants map[string]string        // of texts
}

func readSource(t *testing.T) *source {
	t.Helper()
	s := &source{functions: map[string]*ast.FuncDecl{}, constants: map[string]string{}}
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		s.files = append(s.files, file)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				s.functions[f.Name.Name] = f
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
				if text, ok := literal(v.Values[0]); ok {
					s.constants[v.Names[0].Name] = text
				}
			}
			return true
		})
	}
	return s
}

// walk visits each node of the package with the name of the function that it is in, or "".
func (s *source) walk(visit func(in string, n ast.Node)) {
	for _, file := range s.files {
		for _, d := range file.Decls {
			in := ""
			if f, ok := d.(*ast.FuncDecl); ok {
				in = f.Name.Name
			}
			ast.Inspect(d, func(n ast.Node) bool {
				visit(in, n)
				return true
			})
		}
	}
}

// literal returns the text of an expression that is one.
func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}

// called is the name of the function or method that an expression calls, or "".
func called(e ast.Expr) (name string, args []ast.Expr) {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return "", nil
	}
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name, call.Args
	case *ast.SelectorExpr:
		return f.Sel.Name, call.Args
	}
	return "", nil
}

// assigned calls found with each value that the code assigns to an element of a member.
func (s *source) assigned(member string, found func(in string, value ast.Expr)) {
	s.walk(func(in string, n ast.Node) {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Lhs) != len(a.Rhs) {
			return
		}
		for i, left := range a.Lhs {
			element, ok := left.(*ast.IndexExpr)
			if !ok {
				continue
			}
			if of, ok := element.X.(*ast.SelectorExpr); ok && of.Sel.Name == member {
				found(in, a.Rhs[i])
			}
		}
	})
}

// reasons are the words that the code can put into Result.Why.
func (s *source) reasons(t *testing.T) []string {
	t.Helper()
	words := map[string]bool{}
	s.assigned("Why", func(in string, value ast.Expr) {
		word, ok := literal(value)
		require.True(t, ok || in == "notApplicable", "%s gives a reason that is no literal", in)
		if ok {
			words[word] = true
		}
	})
	s.walk(func(in string, n ast.Node) {
		e, ok := n.(ast.Expr)
		if !ok {
			return
		}
		name, args := called(e)
		if name != "need" && name != "notApplicable" {
			return
		}
		word, ok := literal(args[len(args)-1])
		require.True(t, ok || in == "on" || in == "needs", "%s gives a reason that is no literal", in)
		if ok {
			words[word] = true
		}
	})
	return slices.Sorted(maps.Keys(words))
}

// values are the words that the code can put into Result.Values: literals, what a
// function returns that an assignment calls, edits, and what an attacker plants.
func (s *source) values() []string {
	words := map[string]bool{"": true, "true": true, "false": true} // an empty text or list, and what is yes or no
	add := func(e ast.Expr) {
		if text, ok := literal(e); ok {
			words[text] = true
		} else if name, ok := e.(*ast.Ident); ok && s.constants[name.Name] != "" {
			words[s.constants[name.Name]] = true
		}
	}
	s.assigned("Values", func(_ string, value ast.Expr) {
		add(value)
		if name, _ := called(value); s.functions[name] != nil {
			ast.Inspect(s.functions[name], func(n ast.Node) bool {
				if r, ok := n.(*ast.ReturnStmt); ok {
					add(r.Results[0])
				}
				return true
			})
		}
	})
	ast.Inspect(s.functions["fixation"], func(n ast.Node) bool {
		if plant, ok := n.(*ast.CompositeLit); ok && len(plant.Elts) == 2 {
			add(plant.Elts[0])
		}
		return true
	})
	token := "eyJhbGciOiJFZERTQSJ9.eyJyb2xlIjoibWVtYmVyIn0.c2lnbmF0dXJl"
	for _, credential := range []string{"{%22role%22:%22member%22}", token, "abcdefghi"} {
		for _, e := range edits(credential, strings.NewReplacer("member", "admin"), []byte("a public key")) {
			words[e.does] = true
		}
	}
	return slices.Sorted(maps.Keys(words))
}

// isWritten requires that a text is there in both languages.
func isWritten(t *testing.T, of string, text Text) {
	t.Helper()
	hangul := func(s string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return unicode.Is(unicode.Hangul, r) })
	}
	require.NotEmpty(t, strings.TrimSpace(text.En), of)
	require.False(t, hangul(text.En), of)
	require.True(t, hangul(text.Ko) || text.Ko == text.En, "%s is not in Korean", of) // a term of the field is the same in both
}

// areWritten requires a text for each word, in both languages, and no other text.
func areWritten(t *testing.T, of string, texts map[string]Text, words []string) {
	t.Helper()
	require.ElementsMatch(t, words, slices.Collect(maps.Keys(texts)), of)
	for word, text := range texts {
		isWritten(t, of+" "+word, text)
	}
}

// TestEveryWordHasItsText compares words.yaml with the code, in both directions.
func TestEveryWordHasItsText(t *testing.T) {
	t.Parallel()
	w, s := AllWords(), readSource(t)
	columns := map[string]bool{"strategy": true, "pays_with": true, "mark": true}
	for _, e := range Experiments() {
		for _, c := range e.Columns {
			columns[c] = true
		}
	}
	areWritten(t, "column", w.Columns, slices.Collect(maps.Keys(columns)))
	areWritten(t, "mark", w.Marks, []string{Good, Bad, Partly, Neutral, Measured, Blocked, Succeeds, NotApplicable})
	areWritten(t, "why", w.Why, s.reasons(t))
	areWritten(t, "value", w.Values, s.values())
	var rows []string
	for slug, strategy := range w.Strategies {
		isWritten(t, slug, strategy.Title)
		isWritten(t, slug, strategy.PaysWith)
		if strings.HasPrefix(slug, "cache/") {
			rows = append(rows, slug)
		}
	}
	require.ElementsMatch(t, policies, rows)
}

// TestEveryExperimentIsExplained requires the texts of each experiment, and that none is
// left of an experiment that is gone.
func TestEveryExperimentIsExplained(t *testing.T) {
	t.Parallel()
	var ids []string
	for _, e := range Experiments() {
		ids = append(ids, e.ID)
		w := AllWords().Experiments[e.ID]
		isWritten(t, e.ID, w.Question)
		require.True(t, strings.HasSuffix(w.Question.En, "?") && strings.HasSuffix(w.Question.Ko, "?"), e.ID)
		isWritten(t, e.ID, w.Lesson)
		require.LessOrEqual(t, strings.Count(w.Lesson.En+" ", ". "), 3, "%s: a lesson has three sentences at most", e.ID)
		require.GreaterOrEqual(t, len(w.Steps), 2, e.ID)
		for _, step := range w.Steps {
			isWritten(t, e.ID, step)
		}
		require.NotEmpty(t, w.Refs, e.ID)
		require.NotEmpty(t, w.Curl, e.ID)
	}
	require.ElementsMatch(t, ids, slices.Collect(maps.Keys(AllWords().Experiments)))
}

// TestHeadsOfTablesAreNarrow keeps a table inside a terminal. A Korean letter is two
// columns wide.
func TestHeadsOfTablesAreNarrow(t *testing.T) {
	t.Parallel()
	for column, head := range AllWords().Columns {
		for _, text := range []string{head.En, head.Ko} {
			width := 0
			for _, r := range text {
				width++
				if unicode.Is(unicode.Hangul, r) {
					width++
				}
			}
			require.LessOrEqual(t, width, 18, "%s: %s", column, text)
		}
	}
	for _, column := range []string{"same_keys", "new_keys"} {
		require.Contains(t, AllWords().Columns[column].En, strconv.Itoa(devices))
		require.Contains(t, AllWords().Columns[column].Ko, strconv.Itoa(devices))
	}
}
