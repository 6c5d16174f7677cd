// Package bilingual reads HTML templates whose words stand in them in English and
// in Korean, side by side: {{t "Inbox" "받은 편지함"}}. It is for small pages that a
// server renders; the page at /, whose script switches languages, has tables.
package bilingual

import (
	"html/template"
	"io/fs"
)

// Languages are those that pages exist in, as web.Language chooses them.
var Languages = []string{"en", "ko"}

// Pages parses files once for each language. They are embedded, so what is wrong
// with them is a fault of the build: it panics at start, and in every test.
func Pages(files fs.FS, patterns ...string) map[string]*template.Template {
	pages := map[string]*template.Template{}
	for i, language := range Languages {
		t := func(words ...string) string { return words[i] }
		pages[language] = template.Must(template.New(language).Funcs(template.FuncMap{"t": t}).ParseFS(files, patterns...))
	}
	return pages
}
