// Package web holds what a browser shows: the page at /, the small page of each
// strategy at /{s}/, the guides, and the script modules, styles and words
// (English and Korean) they use. There is no build step: the browser gets what is
// in this folder, and the guides, which are Markdown, as HTML.
//
// The package knows no strategy. It is handed slugs and traits, and the script
// builds one panel from each, so that a further strategy appears on the page
// without a change here.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"strings"
)

// ContentSecurityPolicy is the policy under which the documents work: nothing
// but our own files, and nobody frames them. A value of the profile that looked
// like markup would stay text even if the script forgot to treat it so.
const ContentSecurityPolicy = ownFilesOnly + "frame-ancestors 'none'"

// FramedPolicy is that of the pages of strategies: the page at / frames them,
// since what a script can read of a cookie is seen inside the cookie's path.
const FramedPolicy = ownFilesOnly + "frame-ancestors 'self'"

const ownFilesOnly = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'; "

//go:embed *.js *.css *.svg words/*.json guide/*.md
var assets embed.FS

//go:embed *.html
var documents embed.FS

// Assets are the files to serve below /web/, by the names the documents use:
// "app.js", "words/ko.json", "guide/ko.md".
var Assets fs.FS = assets

// Page is what the documents show of the server behind them.
type Page struct {
	Version  string
	Language string    // of the first rendering, as Language chose it; "" is "en". The visitor can switch.
	Columns  []Column  // every strategy mounted, in the order of the panels
	Accounts []Account // demo accounts to offer, the first filled in; none outside the classroom

	Policies  []string // under which the catalogue is cached, in order
	Classroom bool     // shows what a classroom has besides: a thief, an attacker's inbox, levers
	Settings  any      // the lifetimes that a classroom can set, with their bounds
}

// Column is one strategy: the path it is mounted at, and its traits, which are
// handed to the script as JSON.
type Column struct {
	Slug   string `json:"slug"`
	Traits any    `json:"traits"`
}

// Account is a demo account whose password is meant to be public.
type Account struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Role     string `json:"role"`
}

// Index writes the document of GET /. Nothing is written when it returns an
// error.
func Index(w io.Writer, p Page) error {
	return render(w, "index.html", p, p.Columns)
}

// Strategy writes the document of GET /{slug}/. Nothing is written when it
// returns an error, which it does for a slug that is no column of p.
func Strategy(w io.Writer, p Page, slug string) error {
	for _, column := range p.Columns {
		if column.Slug == slug {
			return render(w, "strategy.html", p, []Column{column})
		}
	}
	return fmt.Errorf("web: no column %q", slug)
}

// Language picks "ko" or "en" from an Accept-Language header: the first one
// named, since browsers list them in order of preference.
func Language(accept string) string {
	for part := range strings.SplitSeq(accept, ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(part), ";")
		primary, _, _ := strings.Cut(strings.ToLower(tag), "-")
		if _, known := languages[primary]; known {
			return primary
		}
	}
	return "en"
}

// ETag returns the strong validator of an asset, a hash of its content, or ""
// if there is no such asset. With it, assets are served "Cache-Control:
// no-cache": a browser asks each time, mostly hears 304, and never runs the
// script of an older binary.
func ETag(name string) string {
	return etags[name]
}

// ContentType returns the media type of an asset. It does not depend on the
// machine's own tables, which differ between systems and would serve a Korean
// guide without its charset.
func ContentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".json":
		return "application/json"
	case ".svg":
		return "image/svg+xml"
	default:
		return "text/markdown; charset=utf-8" // guides, to clients that do not take HTML: browsers get Guide
	}
}

// Both tables are computed from the embedded files, so a fault in one is a
// fault of the build: it panics at start, and in every test.
var (
	etags     = hashes()
	languages = map[string]*template.Template{"en": parse("en"), "ko": parse("ko")}
)

func hashes() map[string]string {
	tags := map[string]string{}
	err := fs.WalkDir(assets, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := assets.ReadFile(name)
		sum := sha256.Sum256(content)
		tags[name] = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
		return err
	})
	if err != nil {
		panic(err)
	}
	return tags
}

// parse prepares the documents in one language. They name words by key, as the
// script does when the visitor switches.
func parse(language string) *template.Template {
	text, err := assets.ReadFile("words/" + language + ".json")
	if err != nil {
		panic(err)
	}
	words := map[string]string{}
	if err := json.Unmarshal(text, &words); err != nil {
		panic(err)
	}
	word := func(key string) (string, error) {
		if text, ok := words[key]; ok {
			return text, nil
		}
		return "", fmt.Errorf("web: words/%s.json has no %q", language, key)
	}
	return template.Must(template.New("").Funcs(template.FuncMap{"word": word}).ParseFS(documents, "*.html"))
}

func render(w io.Writer, document string, p Page, columns []Column) error {
	if p.Language == "" {
		p.Language = "en"
	}
	translated, known := languages[p.Language]
	if !known {
		return fmt.Errorf("web: no words in %q", p.Language)
	}
	data, err := json.Marshal(columns) // which escapes what could end a script
	if err != nil {
		return fmt.Errorf("web: traits: %w", err)
	}
	var out bytes.Buffer
	tabs := []string{"wire", "xray", "charts", "caches"}
	if p.Classroom {
		tabs = []string{"wire", "experiments", "xray", "charts", "caches", "attacker", "levers"}
	}
	if err := translated.ExecuteTemplate(&out, document, struct {
		Page
		Shown     []Column    // the columns of this document
		JSON      template.JS // the same, for the script
		Acts      []string    // what a learner can do after a login
		Tabs      []string
		ThiefActs []string
		Spans     []string // by which the clock is moved
		Needs     []string // by which the experiments leave some strategies
	}{
		p, columns, template.JS(data), // #nosec G203 -- escaped above
		[]string{"profile", "theme", "cart", "spend", "refresh", "logout"}, tabs,
		[]string{"copy", "restore", "use", "forge"}, []string{"1m", "16m", "8h", "168h"},
		[]string{"logout", "storeless", "large", "nodes", "csrf", "mobile"},
	}); err != nil {
		return fmt.Errorf("web: %s: %w", document, err)
	}
	_, err = out.WriteTo(w)
	return err
}
