package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// opensGuide goes to the guide in the visitor's language.
func (v *visitor) opensGuide() {
	v.t.Helper()
	v.goes(v.origin + "/web/guide/" + v.language + ".md")
	v.until(`document.querySelector('.code button')`)
}

func TestGuideIsAccessible(t *testing.T) {
	script, chromium := axe(t), browser(t)
	for _, language := range both {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			v := chromium.visit(t, harness.NewServer(t), language)
			for _, a := range []appearance{{1440, "light"}, {1280, "dark"}, {390, "light"}, {390, "dark"}} {
				v.looks(a)
				v.opensGuide()
				v.does(script)
				v.until(`[...document.querySelectorAll('.scrolls')].every((e) => (e.tabIndex === 0) === e.scrollWidth > e.clientWidth)`)
				v.isAccessible(a)
			}
		})
	}
}

// Each block of code has a button that copies it, with the address in use, also
// where the browser has no navigator.clipboard.
func TestGuideCopiesCommands(t *testing.T) {
	chromium := browser(t)
	v := chromium.visit(t, harness.NewServer(t), "ko")
	v.opensGuide()
	require.Len(t, v.texts(".code button"), js[int](v, `document.querySelectorAll('pre').length`))
	v.does(`Object.defineProperty(navigator, 'clipboard', {value: undefined});
		document.addEventListener('copy', () => { globalThis.copied = String(getSelection()); })`)
	v.does(`document.querySelectorAll('.code button')[2].focus()`)
	v.presses("\r")
	v.until(`globalThis.copied`)
	command := js[string](v, `globalThis.copied`)
	require.True(t, strings.HasPrefix(command, "curl -i -b jar -c jar "), command)
	require.Contains(t, command, " "+v.origin+"/session/login")
	v.until(fmt.Sprintf(`document.querySelector('[data-live]').textContent === %q`, v.word("copied")))
}

// The switch of languages leads to the other guide, and each section can be
// linked to.
func TestGuideIsInBothLanguages(t *testing.T) {
	chromium := browser(t)
	v := chromium.visit(t, harness.NewServer(t), "en")
	v.opens("/")
	v.loads(chromedp.Click(chromedp.CSS(`a[data-guide]`)))
	require.Equal(t, v.origin+"/web/guide/en.md", js[string](v, `location.href`))
	v.loads(chromedp.Click(chromedp.CSS(`.languages [lang=ko]`)))
	require.Equal(t, "ko", js[string](v, `document.documentElement.lang`))
	v.until(`document.querySelector('.languages [lang=ko]').ariaCurrent === 'page'`)
	require.Empty(t, js[[]string](v, `[...document.querySelectorAll('.contents a')].map((a) => decodeURIComponent(a.hash.slice(1))).filter((id) => !document.getElementById(id))`))
}

// A link of the guide opens the columns and the tab that it speaks of.
func TestGuideLinksOpenTheirPlace(t *testing.T) {
	chromium := browser(t)
	v := chromium.visit(t, harness.NewServer(t), "ko")
	v.opensGuide()
	links := js[[]string](v, `[...new Set([...document.querySelectorAll('article a')].map((a) => a.href).filter((href) => href.includes('open=')))]`)
	require.Greater(t, len(links), 15)
	opened := map[string]bool{}
	for _, link := range links {
		tab := link[strings.LastIndex(link, "open=")+len("open="):]
		if opened[tab] {
			continue
		}
		opened[tab] = true
		v.goes("about:blank") // a link that differs in its fragment alone loads nothing
		v.goes(link)
		v.settles()
		require.Equal(t, []string{tab}, v.openTabs(), link)
		v.until(fmt.Sprintf(`document.querySelector('#tab-%s').getBoundingClientRect().top < innerHeight`, tab))
		require.Equal(t, "ko", js[string](v, `document.documentElement.lang`))
	}
	require.Len(t, opened, 7)
}

// Links that were shared before there were tabs still lead somewhere.
func TestOldNamesOfPlacesOpenATab(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		for name, tab := range map[string]string{"inside": "xray", "views": "xray", "thief": "attacker", "inbox": "attacker", "wire": "wire", "nonsense": "wire"} {
			v.goes("about:blank")
			v.opens("/#open=" + name)
			require.Equal(t, []string{tab}, v.openTabs(), name)
		}
	})
}
