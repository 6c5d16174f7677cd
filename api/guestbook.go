package api

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"statelab/api/bilingual"
	"statelab/api/rest"
	"statelab/api/web"
)

// maxLines bounds how many lines a strategy's guestbook keeps: the oldest go.
const maxLines = 100

// A guestbook is what users of a classroom have called themselves, by strategy. It
// is in memory alone, so that a restart forgets it.
type guestbook struct {
	mu    sync.Mutex
	lines map[string][]guestbookLine // by slug, the oldest first
}

// guestbookLine is one nickname as it was written. Its type keeps html/template
// from escaping it, which is the hole that the guestbook is there to show.
type guestbookLine struct {
	Username string
	Nickname template.HTML
}

// sign adds a user's nickname.
func (g *guestbook) sign(slug, username, nickname string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	line := guestbookLine{username, template.HTML(nickname)} //nolint:gosec // G203: the lesson, see column.guestbook
	g.lines[slug] = append(g.lines[slug], line)
	if over := len(g.lines[slug]) - maxLines; over > 0 {
		g.lines[slug] = slices.Delete(g.lines[slug], 0, over)
	}
}

// read returns the lines of a strategy, the newest first.
func (g *guestbook) read(slug string) []guestbookLine {
	g.mu.Lock()
	defer g.mu.Unlock()
	lines := slices.Clone(g.lines[slug])
	slices.Reverse(lines)
	return lines
}

//go:embed guestbook.html
var guestbookFile embed.FS

var guestbookPages = bilingual.Pages(guestbookFile, "*.html")

// guestbook answers with the nicknames that have been written with this strategy,
// unescaped. It is the one page here that lets in what users have written (OWASP
// Cross Site Scripting Prevention, "Output Encoding", left out on purpose), so that
// a classroom can see what a script in a page takes from each strategy, and what it
// does without taking anything. Its policy lets inline scripts run, and scripts be
// loaded from the attacker and tell it what they have found: from nowhere else.
// Everything else keeps its strict policy, and outside the classroom there is no
// such page.
//
// Scripts in it are of one origin with all pages here, and there is no keeping them
// in: their reach is part of the lesson. Nobody needs a login to look.
func (col *column) guestbook(c *gin.Context) {
	l, err := col.load(c)
	if err != nil && rest.FaultOf(err).Status() != http.StatusUnauthorized {
		col.fail(c, err) // a store that is down makes nobody a stranger
		return
	}
	language := web.Language(c.GetHeader("Accept-Language"))
	var b bytes.Buffer
	if err := guestbookPages[language].ExecuteTemplate(&b, "guestbook.html", struct {
		Language, Slug, Username string
		Lines                    []guestbookLine
	}{language, col.slug, l.Username, col.config.guests.read(col.slug)}); err != nil {
		col.fail(c, err)
		return
	}
	attacker := ""
	if a := col.config.Attacker; a != nil {
		attacker = " " + strings.Join(a.Origins(), " ")
	}
	h := c.Writer.Header()
	h["Content-Type"] = headerHTML
	h["Content-Security-Policy"] = []string{"default-src 'none'; script-src 'unsafe-inline'" + attacker + "; connect-src 'self'" + attacker +
		"; img-src 'self'" + attacker + "; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
	h.Add("Vary", "Accept-Language")
	c.Writer.WriteHeader(http.StatusOK)
	_, _ = b.WriteTo(c.Writer)
}
