package classroom

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"statelab/api"
	"statelab/api/bilingual"
	"statelab/api/rest"
	"statelab/api/web"
)

// maxLines bounds how many lines a strategy's guestbook keeps: the oldest go.
const maxLines = 100

// A guestbook is what users of a classroom have called themselves, by strategy. It
// is in memory alone, so that a restart forgets it. The zero value is empty.
type guestbook struct{ lines sync.Map } // of *recent[guestbookLine] by slug

// guestbookLine is one nickname as it was written. Its type keeps html/template
// from escaping it, which is the hole that the guestbook is there to show.
type guestbookLine struct {
	Username string
	Nickname template.HTML
}

// of returns the lines of a strategy.
func (b *guestbook) of(slug string) *recent[guestbookLine] {
	lines, _ := b.lines.LoadOrStore(slug, &recent[guestbookLine]{limit: maxLines})
	return lines.(*recent[guestbookLine]) //nolint:forcetypeassert // nothing else is stored
}

// empty forgets all lines.
func (b *guestbook) empty() { b.lines.Clear() }

// Nicknamed implements api.Extension: the nickname is a new line of the guestbook.
func (room *Classroom) Nicknamed(slug, username, nickname string) {
	room.guests.of(slug).add(guestbookLine{username, template.HTML(nickname)}) //nolint:gosec // G203: the lesson, see Classroom.guestbook
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
func (room *Classroom) guestbook(c *gin.Context, g *api.Group) {
	l, err := g.Load(c)
	if err != nil && rest.FaultOf(err).Status() != http.StatusUnauthorized {
		g.Fail(c, err) // a store that is down makes no user a stranger
		return
	}
	attacker := ""
	if a := room.Attacker; a != nil {
		attacker = " " + strings.Join(a.Origins(), " ")
	}
	policy := "default-src 'none'; script-src 'unsafe-inline'" + attacker + "; connect-src 'self'" + attacker +
		"; img-src 'self'" + attacker + "; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	g.HTML(c, policy, func(b *bytes.Buffer) error {
		language := web.Language(c.GetHeader("Accept-Language"))
		return guestbookPages[language].ExecuteTemplate(b, "guestbook.html", struct {
			Language, Slug, Username string
			Lines                    []guestbookLine
		}{language, g.Slug, l.Username, room.guests.of(g.Slug).newest()})
	})
}
