package browser

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/tests/harness"
)

func TestOneLoginGoesToEveryColumn(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		require.Equal(t, v.language, js[string](v, `document.documentElement.lang`))
		require.Equal(t, []string{"session", "cookie", "token"}, v.columns())
		v.showsAll(fields{"status": "", "code": "", "sentence": v.word("start"), "user": "", "reads": "–"})
		v.outcome("") // no act has been done yet
		v.showsMore()
		v.acts("login")
		v.showsAll(fields{
			"status": "200", "code": "", "sentence": "", "user": "Alice", "role": "",
			"theme": v.word("theme.light"), "credits": v.phrase("credits", "count", "100"), "version": "1", "note": "",
		})
		v.outcome("done")
		require.Equal(t, v.word("act.login")+": session 200, cookie 200, token 200", v.text("[data-live]"), "for a screen reader")
		v.acts("profile")
		require.Equal(t, "0", v.field("cookie", "reads"))
		require.Equal(t, "1", v.field("session", "reads"))
		require.Equal(t, v.word("held.nothing"), v.field("cookie", "held"))

		v.clicks(testid("account-teacher"))
		v.acts("login")
		v.showsAll(fields{"status": "200", "user": "Teacher", "role": v.word("role.admin")})
	})
}

// The page has nothing to ask for before a login: a question would be a 401, which
// browsers show as an error.
func TestNothingIsAskedBeforeTheFirstLogin(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.addsAll()
		for _, sent := range v.asks() {
			require.NotRegexp(t, `/(profile|inspect)$`, sent)
		}
		require.Empty(t, v.refusals())
		v.acts("login", "logout")
		require.Len(t, v.refusals(), len(harness.Strategies), "one question in each column, after the logout")
		v.reloads()
		require.Empty(t, v.refusals(), "a login that has ended is not asked for")
		v.acts("login")
		v.asks()
		v.reloads()
		require.Contains(t, v.asks(), "GET /session/profile", "a login that is there is")
	})
}

func TestColumnsAreAddedAndHidden(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.acts("login")
		v.clicks(".menu summary", `[data-add="cookie-sealed"]`)
		require.Equal(t, []string{"session", "cookie", "cookie-sealed", "token"}, v.columns())
		require.Equal(t, "cookie-sealed", js[string](v, `document.activeElement.dataset.add`), "the focus stays where it was")
		v.presses("\x1b")
		v.shows("cookie-sealed", fields{"status": "", "sentence": v.word("start")})
		v.acts("login")
		v.showsAll(fields{"status": "200", "user": "Alice"})

		v.clicks(head("token", "[data-hide]"))
		require.Equal(t, []string{"session", "cookie", "cookie-sealed"}, v.columns())
		require.True(t, js[bool](v, `document.activeElement.matches('.menu summary')`), "the focus is where the column can be brought back")
		v.toggles("token")
		v.shows("token", fields{"status": "200", "user": "Alice"}) // to hide is not to forget

		v.clicks(".menu summary", testid("first-columns"))
		require.Equal(t, []string{"session", "cookie", "token"}, v.columns())
		v.presses("\x1b")
		v.toggles("session", "cookie", "token")
		require.Equal(t, []string{"token"}, v.columns(), "the last column stays")
	})
}

func TestEveryActDoesTheSameInEveryColumn(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.toggles("cookie-sealed")
		v.showsMore()
		v.acts("login")
		v.acts("profile")
		v.showsAll(fields{"status": "200", "theme": "light", "version": "1"})
		v.acts("theme")
		v.showsAll(fields{"status": "200", "theme": "dark", "version": "2"})
		v.acts("spend")
		v.showsAll(fields{"status": "200", "credits": "70 credits", "version": "3"})
		v.acts("refresh")
		v.showsAll(fields{"status": "200", "theme": "dark", "credits": "70 credits", "version": "3"})
		v.outcome("done")

		v.acts("spend", "spend", "spend")
		v.showsAll(fields{"status": "409", "code": "insufficient_credits", "sentence": v.word("code.insufficient_credits"), "credits": "10 credits"})
		v.outcome("refused")

		v.acts("logout")
		v.showsAll(fields{"status": "204", "code": "", "sentence": v.word("done.204"), "user": "", "credits": "", "bytes_up": "0 bytes", "version": "–"})
		for _, slug := range v.columns() {
			if v.s.Traits(t, slug).Revocable {
				v.shows(slug, fields{"note": ""})
			} else {
				v.shows(slug, fields{"note": v.word("note.copy")})
			}
			require.Empty(t, v.cookies(slug))
		}
		v.acts("profile")
		v.showsAll(fields{"status": "401", "code": "no_credential", "sentence": v.word("code.no_credential")})
		v.outcome("refused")
	})
}

func TestClicksQueue(t *testing.T) {
	onPage(t, english, func(_ *testing.T, v *visitor) {
		v.showsMore()
		v.does("for (const act of ['login', 'theme', 'theme', 'spend', 'theme']) document.querySelector(`[data-act=${act}]`).click()")
		v.settles()
		v.showsAll(fields{"status": "200", "theme": "dark", "credits": "70 credits", "version": "5"})
	})
}

// What an act has changed is marked, and says what it was before.
func TestTheTableSaysWhatAnActHasChanged(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		was := func(slug string) []string {
			return v.texts(fmt.Sprintf("tr[data-row=sent] td[data-strategy=%q] .was", slug))
		}
		v.acts("login")
		before := v.field("cookie", "bytes_up")
		require.Equal(t, []string{v.phrase("was", "value", v.phrase("bytes", "count", "0"))}, was("session"))
		v.acts("cart")
		require.Empty(t, was("session"), "its size has not changed")
		require.Equal(t, []string{v.phrase("was", "value", before)}, was("cookie"))
		v.clicks(testid("language-" + map[string]string{"en": "ko", "ko": "en"}[v.language]))
		require.Empty(t, was("cookie"), "another language is no change")
	})
}

func TestAVanishedLoginCountsAsEnded(t *testing.T) {
	onPage(t, korean, func(t *testing.T, v *visitor) {
		v.acts("login")
		call(v, network.ClearBrowserCookies, cdp.Empty{}) // as a learner does in DevTools
		require.NotContains(t, v.done(), "end")
		v.acts("profile")
		v.shows("session", fields{"status": "401", "code": "no_credential", "user": ""})
		v.shows("token", fields{"status": "200"})
		require.Subset(t, v.done(), []string{"login", "profile", "end"})
	})
}

func TestAReloadLosesTheTokenAndSaysSo(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.acts("login")
		v.reloads()
		for _, slug := range []string{"session", "cookie"} {
			v.shows(slug, fields{"status": "200", "user": "Alice", "note": ""})
		}
		v.shows("token", fields{"status": "401", "code": "no_credential", "user": "", "note": v.word("note.reloaded")})
		require.True(t, js[bool](v, fmt.Sprintf("document.querySelector(%q).checkVisibility()", cell("token", "[data-field=note]"))))
		v.acts("login")
		v.shows("token", fields{"status": "200", "note": ""})
		v.acts("logout")
		v.reloads()
		v.shows("token", fields{"status": "", "sentence": v.word("start"), "note": ""}) // nothing was lost
	})
}

const stored = `localStorage.getItem('statelab.token')`

func TestTheTokenStaysInLocalStorageIfTheLearnerChoosesThat(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.showsMore()
		require.Equal(t, []string{v.word("keep.local")}, v.texts(".board .keeper"), "only where script has the choice, and labelled")
		v.acts("login")
		v.clicks(testid("keep-local"))
		require.Contains(t, js[string](v, stored), "eyJ")
		v.shows("token", fields{"script": v.word("script.storage")})
		v.reloads()
		v.showsAll(fields{"status": "200", "user": "Alice", "note": ""})
		require.True(t, js[bool](v, `document.querySelector('[data-keep-local]').checked`))
		v.acts("spend", "refresh")
		v.showsAll(fields{"status": "200", "credits": v.phrase("credits", "count", "70")})

		v.showsMore()
		v.clicks(testid("keep-local"))
		require.True(t, js[bool](v, stored+` === null`), "the choice can be taken back")
		v.acts("profile")
		v.shows("token", fields{"status": "200", "credits": v.phrase("credits", "count", "70")})
		v.clicks(testid("keep-local"))
		v.acts("logout")
		require.Zero(t, js[int](v, `localStorage.length`))
	})
}

func TestAnExpiredTokenRenewsItself(t *testing.T) {
	onPage(t, korean, func(t *testing.T, v *visitor) {
		v.acts("login")
		v.s.Clock.Advance(20 * time.Minute)
		v.acts("profile")
		v.shows("session", fields{"status": "401", "code": "unknown_session", "sentence": v.word("code.unknown_session")})
		v.shows("cookie", fields{"status": "200", "user": "Alice"})
		v.shows("token", fields{"status": "200", "user": "Alice"})
		require.Equal(t, []string{"GET /token/profile", "401 expired", "POST /token/refresh", "200", "GET /token/profile", "200"}, v.texts(lane("token", ".start")))
	})
}

// The page of each strategy is inside the path of its cookie.
func TestEachStrategyHasAPage(t *testing.T) {
	onPage(t, korean, func(t *testing.T, v *visitor) {
		rows := js[int](v, `document.querySelectorAll('.board tbody tr').length`)
		for _, slug := range harness.Strategies {
			traits := v.s.Traits(t, slug)
			if harness.Promises()[slug].Page {
				continue // it has tests of its own
			}
			v.opens("/" + slug + "/")
			require.Equal(t, []string{slug}, v.columns())
			require.Equal(t, slug, v.text("h1"))
			require.Equal(t, harness.Strategies, v.texts(".crumbs a"))
			require.Equal(t, rows, js[int](v, `[...document.querySelectorAll('.board tbody tr')].filter((row) => row.checkVisibility()).length`), "all facts")
			require.Equal(t, v.word("sees.nothing"), v.text(testid("script-sees")))
			require.Equal(t, v.word("inspect.none"), v.text(testid("inspection")))
			require.Equal(t, v.word("about."+traits.ProtectedBy+"."+traits.Transport), v.text("[data-about]"))

			v.acts("login", "spend")
			v.shows(slug, fields{"status": "200", "user": "Alice", "credits": v.phrase("credits", "count", "70")})
			require.Contains(t, v.text(testid("inspection")), `"carried"`)
			if traits.SentByBrowser {
				if traits.HTTPOnly {
					require.Equal(t, v.word("sees.nothing_httponly"), v.text(testid("script-sees")))
				} else {
					require.Contains(t, v.text(testid("script-sees")), harness.CookieName(slug)[:6]+"…")
				}
				require.Equal(t, "Cookie: "+harness.CookieName(slug)+"="+v.cookies(slug)[0].Value[:4]+"…", v.field(slug, "carried"))
			} else {
				require.Contains(t, v.text(testid("script-sees")), shownOf(traits), "what script keeps, script can read")
				shown, found := strings.CutPrefix(v.field(slug, "carried"), "Authorization: Bearer ")
				require.True(t, found)
				require.Contains(t, v.text(testid("script-sees")), shown, "it is the same token")
			}
			require.Equal(t, traits.Holder == state.HolderClient, strings.Contains(v.field(slug, "pays"), v.word("pays.bytes")), slug)
			require.Equal(t, traits.SentByBrowser && !traits.HTTPOnly, len(js[[]any](v, reachable)) > 0, "even where the path of the cookie is")
			v.acts("logout")
			require.Equal(t, v.word("sees.nothing"), v.text(testid("script-sees")))
		}
	})
}

// The access token of token-cookie lives as long as that of token; its login lives longer.
func TestTheLifeOfACopyIsThatOfItsCredential(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.addsAll()
		v.acts("login")
		minutes := v.field("token", "copy")
		require.Contains(t, minutes, "15")
		require.Equal(t, minutes, v.field("token-cookie", "copy"))
		require.Contains(t, v.field("cookie", "copy"), "8")

		v.s.Set(t, harness.Object{"access_ttl": "30s"})
		v.acts("login")
		require.Contains(t, v.field("token", "copy"), "30", "seconds are not rounded to a minute")
		require.Equal(t, v.field("token", "copy"), v.field("token-cookie", "copy"))
	})
}

func TestTheOtherNameOfThisMachineLeadsToThePage(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.goes(v.s.URL + "/#lang=ko")
		v.settles()
		require.Equal(t, v.origin+"/#lang=ko", js[string](v, `location.href`))
	})
}

func TestTheAddressSaysWhatIsShown(t *testing.T) {
	onPage(t, korean, func(t *testing.T, v *visitor) {
		hash := func() string { return js[string](v, `location.hash`) }
		const other = "en"
		require.Empty(t, hash())
		v.clicks(testid("language-" + other))
		require.Equal(t, "#lang="+other, hash())
		v.toggles("cookie-sealed")
		require.Equal(t, "#lang="+other+"&s=session,cookie,cookie-sealed,token", hash())
		v.clicks(head("session", "[data-hide]"), head("token", "[data-hide]"))
		require.Equal(t, "#lang="+other+"&s=cookie,cookie-sealed", hash())
		v.opensTab("charts")
		require.Equal(t, "#lang="+other+"&s=cookie,cookie-sealed&open=charts", hash())
		v.reloads()
		require.Equal(t, []string{"cookie", "cookie-sealed"}, v.columns())
		require.Equal(t, []string{"charts"}, v.openTabs())
		require.Equal(t, other, js[string](v, `document.documentElement.lang`))

		v.does(`location.hash = '#lang=` + v.language + `&s=token,nonsense,session&open=thief'`)
		v.until(`document.documentElement.lang === '` + v.language + `' && !document.querySelector('#panel-attacker').hidden`)
		v.settles()
		require.Equal(t, []string{"session", "token"}, v.columns(), "in the page's order")

		v.goes("about:blank")
		v.opens("/#lang=" + other + "&s=cookie")
		require.Equal(t, []string{"cookie"}, v.columns(), "a link that was shared")
		require.Equal(t, []string{"wire"}, v.openTabs())
		v.loads(chromedp.Click(chromedp.CSS(head("cookie", "a"))))
		v.settles()
		require.Equal(t, "/cookie/", js[string](v, `location.pathname`))
		require.Equal(t, other, js[string](v, `document.documentElement.lang`), "the language goes along")
	})
}

// openTabs are the tabs whose panel is shown and which say that it is: one.
func (v *visitor) openTabs() []string {
	v.t.Helper()
	shown := js[[]string](v, `[...document.querySelectorAll('[role=tabpanel]')].filter((e) => e.checkVisibility()).map((e) => e.id.replace('panel-', ''))`)
	require.Equal(v.t, shown, js[[]string](v, `[...document.querySelectorAll('[role=tab][aria-selected=true]')].map((e) => e.dataset.tab)`))
	return shown
}

// done are the steps of the chosen lesson that are ticked.
func (v *visitor) done() []string {
	v.t.Helper()
	return js[[]string](v, `[...document.querySelectorAll('[data-step][data-done=true]')].map((e) => e.dataset.step)`)
}

func TestExercisesAreTickedByWhatHappens(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.sized(1280, 720)
		state := func(key string) []string { return slices.Repeat([]string{"(" + v.word(key) + ")"}, 4) }
		for _, step := range []string{"login", "profile", "end", "headers"} {
			v.clicks(fmt.Sprintf(`[data-step=%q]`, step))
		}
		v.acts("profile")
		require.Empty(t, v.done(), "neither a click on a step nor a refusal ticks it")
		require.Equal(t, state("step.open"), v.texts("[data-step] .unseen"))
		v.acts("login")
		require.Equal(t, []string{"login"}, v.done())
		v.acts("profile")
		require.Equal(t, []string{"login", "profile"}, v.done(), "the header is on the page, but below the screen")
		v.acts("logout")
		require.Equal(t, []string{"login", "profile"}, v.done(), "a logout is seen by what answers afterwards")
		v.acts("profile")
		require.Equal(t, []string{"login", "profile", "end"}, v.done())
		v.scrollsTo(lane("session", "li"))
		require.Equal(t, []string{"login", "profile", "end"}, v.done(), "a request without a credential is not the one to see")
		v.acts("login", "profile")
		v.scrollsTo(lane("cookie", "li"))
		v.until(`document.querySelector('[data-step=headers]').dataset.done === 'true'`)
		require.Equal(t, state("step.done"), v.texts("[data-step] .unseen"))
		require.Equal(t, v.word("lesson.tutorial.learned"), v.text("[data-field=learned]"))
		v.reloads()
		require.Len(t, v.done(), 4, "a reload is part of the lesson")
	})
}

// scrollsTo brings something into the middle of the screen. A tab in the background
// does not hear of it by itself.
func (v *visitor) scrollsTo(selector string) {
	v.t.Helper()
	v.does(fmt.Sprintf(`document.querySelector(%q).scrollIntoView({block: 'center'})`, selector))
	v.does(`dispatchEvent(new Event('scroll'))`)
}
