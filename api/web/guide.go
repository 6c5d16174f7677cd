package web

import (
	"bytes"
	"fmt"
	"html"
	"html/template"
	"io"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

// writtenOrigin is the server's origin as the guides write it: the one of a
// server that was started without flags. A rendered guide names the real one.
const writtenOrigin = "http://localhost:8080"

// plainOrigin matches origins that mean nothing to HTML and nothing to a shell.
// The host comes from the request, and the guide puts it into commands that
// readers paste into a terminal.
var plainOrigin = regexp.MustCompile(`^https?://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$`)

// GuideLanguage returns the language of the guide that an asset is the text of,
// or "" if the asset is no guide.
func GuideLanguage(name string) string {
	for language := range languages {
		if name == guideFile(language) {
			return language
		}
	}
	return ""
}

func guideFile(language string) string { return "guide/" + language + ".md" }

// Guide writes the guide in p.Language as an HTML document whose commands and
// links name origin, such as "http://localhost:9000". If origin is not a plain
// one, the document keeps the origin that the Markdown has. Nothing is written
// when Guide returns an error.
func Guide(w io.Writer, p Page, origin string) error {
	guide, ok := guides()[p.Language]
	if !ok {
		return fmt.Errorf("web: no guide in %q", p.Language)
	}
	if !plainOrigin.MatchString(origin) {
		origin = writtenOrigin
	}
	named := func(text string) template.HTML {
		text = strings.ReplaceAll(text, writtenOrigin, html.EscapeString(origin))
		return template.HTML(text) // #nosec G203 -- goldmark has escaped our own file, and the origin is a plain one
	}
	var out bytes.Buffer
	err := languages[p.Language].ExecuteTemplate(&out, "guide.html", struct {
		Page
		Title    string
		Opening  template.HTML // the title and what stands before the list of sections
		Contents template.HTML // that list
		Text     template.HTML
	}{p, guide.title, named(guide.opening), named(guide.contents), named(guide.text)})
	if err != nil {
		return fmt.Errorf("web: guide.html: %w", err)
	}
	_, err = out.WriteTo(w)
	return err
}

// A guide is a rendered guide that still names writtenOrigin.
type guide struct{ title, opening, contents, text string }

// guides returns the guides by language. They are rendered at the first use. A
// guide that cannot be rendered is a fault of the build, and panics.
var guides = sync.OnceValue(func() map[string]guide {
	all := map[string]guide{}
	for language := range languages {
		source, err := assets.ReadFile(guideFile(language))
		if err != nil {
			panic(err)
		}
		all[language] = renderGuide(source)
	}
	return all
})

// renderGuide renders Markdown. The list before the first section is the table of
// contents: the page shows it beside the text or, on a phone, after the opening.
func renderGuide(source []byte) guide {
	markdown := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	document := markdown.Parser().Parse(text.NewReader(source), parser.WithContext(parser.NewContext(parser.WithIDs(headingIDs{}))))
	var contents ast.Node
	title := ""
	for node := document.FirstChild(); node != nil && contents == nil; node = node.NextSibling() {
		switch n := node.(type) {
		case *ast.Heading:
			if n.Level == 1 {
				title = string(n.Lines().Value(source))
			}
		case *ast.List:
			contents = n
		}
	}
	render := func(node ast.Node) string {
		var out bytes.Buffer
		if err := markdown.Renderer().Render(&out, source, node); err != nil {
			panic(err)
		}
		return linked.ReplaceAllString(framed.Replace(out.String()), `<h$1 id="$2"><a href="#$2">$3</a></h$1>`)
	}
	g := guide{title: title}
	if contents != nil {
		opening := ast.NewDocument()
		for contents.PreviousSibling() != nil {
			opening.AppendChild(opening, document.FirstChild())
		}
		document.RemoveChild(document, contents)
		g.opening, g.contents = render(opening), render(contents)
	}
	g.text = render(document)
	return g
}

// framed completes what goldmark writes: a table scrolls in a frame of its own.
// Text cannot contain these tags, because goldmark escapes it.
var framed = strings.NewReplacer(
	"<table>", `<div class="scrolls"><table>`, "</table>", "</table></div>",
	"<th>", `<th scope="col">`,
)

// linked matches headings below the title, which become links to themselves.
var linked = regexp.MustCompile(`<h([23]) id="([^"]+)">(.*?)</h[23]>`)

// headingIDs makes the ids of headings, as Git hosts do, so that a link to a
// section works on both: letters of any script in lower case, digits, and a
// hyphen for each space. A repeated id is a mistake that the tests find.
type headingIDs struct{}

// Generate implements parser.IDs.
func (headingIDs) Generate(heading []byte, _ ast.NodeKind) []byte {
	return []byte(strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(string(heading))))
}

// Put implements parser.IDs.
func (headingIDs) Put([]byte) {}
