package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// tabs presses Tab until what a selector finds has the focus, which every stop
// must show.
func (v *visitor) tabs(selector string) {
	v.t.Helper()
	for range 90 {
		v.presses(kb.Tab)
		require.True(v.t, js[bool](v, `(() => {
			const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
			return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
		})()`), "the focus cannot be seen")
		if js[bool](v, fmt.Sprintf("document.activeElement.matches(%q)", selector)) {
			return
		}
	}
	v.t.Fatalf("Tab does not reach %s", selector)
}

func TestTheKeyboardIsEnough(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.presses(kb.Tab)
		require.True(t, js[bool](v, `document.activeElement.matches('.skip') && document.activeElement.getBoundingClientRect().top >= 0`))
		v.tabs(testid("username"))
		v.presses(harness.Bob)
		v.tabs(testid("password"))
		v.presses(harness.BobPassword + kb.Enter)
		v.settles()
		v.showsAll(fields{"status": "200", "user": "Bob"})
		v.tabs(testid("act-spend"))
		v.presses(" ")
		v.settles()
		v.showsAll(fields{"status": "200", "credits": "70 credits"})
		v.tabs(testid("act-logout"))
		v.presses(kb.Enter)
		v.settles()
		v.showsAll(fields{"status": "204"})

		v.tabs(".scroller")
		v.tabs(head("cookie", "[data-hide]"))
		v.presses(kb.Enter)
		require.Equal(t, []string{"session", "token"}, v.columns())
		v.presses(kb.Enter) // on the menu, where the focus has gone
		v.tabs(`[data-add="cookie-sealed"]`)
		v.presses(" ")
		require.Equal(t, []string{"session", "cookie-sealed", "token"}, v.columns())
		v.presses(kb.Escape)
		require.True(t, js[bool](v, `!document.querySelector('.menu').open && document.activeElement.matches('.menu summary')`))

		v.tabs("[role=tab]")
		require.Equal(t, "wire", js[string](v, `document.activeElement.dataset.tab`))
		for _, tab := range []string{"experiments", "xray", "charts", "caches", "attacker", "levers", "wire"} {
			v.presses(kb.ArrowRight)
			require.Equal(t, tab, js[string](v, `document.activeElement.dataset.tab`))
			require.Equal(t, []string{tab}, v.openTabs())
		}
		v.presses(kb.ArrowLeft)
		require.Equal(t, []string{"levers"}, v.openTabs())
		v.settles()
		v.tabs(testid("advance-16m"))
		v.presses(kb.Enter)
		v.until(`document.querySelector('[data-field=clock]').textContent.includes('16 min')`)
		v.tabs(testid("lever-reset"))
		v.presses(" ")
		v.settles()

		v.does(`document.querySelector('.skip').focus()`)
		v.presses(kb.Enter)
		require.Equal(t, "board", js[string](v, `document.activeElement.id`))
		require.Equal(t, "#s=session,cookie-sealed,token&open=levers", js[string](v, `location.hash`), "the address is the page's state")
		v.tabs(testid("more-facts"))
		v.presses(kb.Enter)
		v.does(`document.querySelector('.skip').focus()`)
		v.tabs(testid("keep-local"))
		v.presses(" ")
		v.until(`document.querySelector('[data-keep-local]').checked`)
	})
}

// appearances are what the page must look good in.
var appearances = []appearance{{1280, "light"}, {1280, "dark"}, {375, "light"}, {375, "dark"}}

// violations are what axe-core finds in a page.
const violations = `axe.run(document, {resultTypes: ['violations']}).then(({violations}) => violations.flatMap(
	({id, help, nodes}) => nodes.map(({target, failureSummary}) => [id, help, target, failureSummary].join(': '))))`

// axe is the script of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	path := os.Getenv("STATELAB_AXE")
	harness.Need(t, "axe", path != "", "no axe-core: STATELAB_AXE names no axe.min.js")
	script, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(script)
}

// isAccessible requires that axe-core, which the page has been given, finds
// nothing in it, and that nothing sticks out.
func (v *visitor) isAccessible(a appearance) {
	v.t.Helper()
	v.looks(a)
	require.Empty(v.t, js[[]string](v, violations), "%v", a)
	require.LessOrEqual(v.t, js[int](v, `document.documentElement.scrollWidth`), a.width, "these stick out: %v",
		js[[]string](v, fmt.Sprintf(`[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > %d).map((e) => e.outerHTML.slice(0, 90))`, a.width)))
}

// Every tab is accessible in both colours, before a login, after it, after a refusal
// and on a phone.
func TestEveryTabIsAccessible(t *testing.T) {
	script, chromium := axe(t), browser(t)
	for _, language := range both {
		for _, tab := range []string{"wire", "experiments", "xray", "charts", "caches", "attacker", "levers"} {
			t.Run(language+"/"+tab, func(t *testing.T) {
				t.Parallel()
				v := chromium.visit(t, harness.NewServer(t), language)
				v.opens("/#open=" + tab)
				v.framesLoad()
				v.does(script)
				for _, a := range appearances[:2] {
					v.isAccessible(a)
				}
				v.acts("login", "theme")
				v.showsMore()
				v.opensAll()
				v.usesTab(tab)
				for _, a := range appearances {
					v.isAccessible(a)
				}
				if tab == "wire" {
					v.looks(appearances[0])
					v.clicks(".menu summary")
					v.acts("spend", "spend", "spend", "spend")
					v.clicks(".menu summary")
					v.outcome("refused")
					v.isAccessible(appearances[0])
				}
				v.looks(appearances[0])
				v.acts("logout")
				v.isAccessible(appearances[0])
				v.isAccessible(appearances[3])
			})
		}
	}
}

func TestTheStrategysPageIsAccessible(t *testing.T) {
	script, chromium := axe(t), browser(t)
	for _, language := range both {
		v := chromium.visit(t, harness.NewServer(t), language)
		v.opens("/cookie/")
		v.does(script)
		v.isAccessible(appearances[0])
		v.acts("login", "theme")
		v.isAccessible(appearances[0])
		v.isAccessible(appearances[3])
	}
}

// TestPictures writes the first screen after a login, in both languages, light and
// dark, into the directory that STATELAB_PICTURES names. The README shows one of them.
func TestPictures(t *testing.T) {
	dir := os.Getenv("STATELAB_PICTURES")
	if dir == "" {
		return // it checks nothing
	}
	require.NoError(t, os.MkdirAll(dir, 0o750))
	chromium := browser(t)
	for _, language := range both {
		v := chromium.visit(t, harness.NewServer(t), language)
		v.opens("/")
		v.acts("login")
		for _, scheme := range []string{"light", "dark"} {
			v.looks(appearance{1280, scheme})
			v.sized(1280, 720)
			v.does(`document.activeElement.blur(); scrollTo(0, 0)`)
			call(v, page.BringToFront, cdp.Empty{}) // a tab in the background is not drawn
			picture, err := run(v, chromedp.CaptureScreenshot())
			require.NoError(t, err)
			file := fmt.Sprintf("first-screen-%s-%s.png", language, scheme)
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), picture, 0o600))
		}
	}
}
