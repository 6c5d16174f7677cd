package browser

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// spoken are the words that a visitor sees or hears, without what the contract
// spells the same in every language: names, codes, values and requests.
const spoken = `(() => {
	const same = 'script, style, template, noscript, code, pre, .wordmark, [href="/openapi.yaml"], [data-language], .accounts button, ' +
		'[data-field=user], [data-field=code], thead a, .lane h3, .ray h3, .curl .slug, .lanes li p:not(.way):not(.none), [data-row=credential] code, ' +
		'figure svg text, figure th, title:not([data-word]), .single h1, .crumbs, [data-live], footer p:last-child, option:not([data-word]), ' +
		'[data-copies] b, .records b, .exchanges b, .refs li, [data-field=inbox_where] a, [data-field=inbox_books] a, [data-field=pulled]:not(:empty)';
	const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
	const texts = [];
	while (walk.nextNode()) {
		if (walk.currentNode.data.trim() && !walk.currentNode.parentElement.closest(same)) texts.push(walk.currentNode.data.trim());
	}
	texts.push(...[...document.querySelectorAll('[data-testid=lesson] option')].map((option) => option.textContent));
	for (const named of document.querySelectorAll('[aria-label], [title], [placeholder], [alt]')) {
		texts.push(...['aria-label', 'title', 'placeholder', 'alt'].map((name) => named.getAttribute(name)).filter(Boolean));
	}
	return texts;
})()`

var (
	hangul = regexp.MustCompile(`\p{Hangul}`)
	latin  = regexp.MustCompile(`[A-Za-z]{2}`)
)

// looksSpoken requires that all words on the page are of the visitor's language, and
// returns them.
func (v *visitor) looksSpoken() []string {
	v.t.Helper()
	require.Equal(v.t, v.language, js[string](v, `document.documentElement.lang`))
	texts := js[[]string](v, spoken)
	for _, text := range texts {
		for _, part := range append(strings.Fields(text), text) {
			if _, isKey := words()[v.language][part]; isKey && (part == text || strings.Contains(part, ".")) {
				v.t.Fatalf("%q shows a key instead of its text", text)
			}
		}
		if v.language == "en" {
			require.NotRegexp(v.t, hangul, text)
		} else if latin.MatchString(text) {
			require.Regexp(v.t, hangul, text, "left in English")
		}
	}
	return texts
}

// switches goes to the other language.
func (v *visitor) switches() {
	v.t.Helper()
	v.language = map[string]string{"en": "ko", "ko": "en"}[v.language]
	v.clicks(testid("language-" + v.language))
	for _, language := range both {
		require.Equal(v.t, fmt.Sprint(language == v.language),
			js[string](v, fmt.Sprintf(`document.querySelector('%s').ariaPressed`, testid("language-"+language))))
	}
}

// bothWays looks at the words, in the other language too, and back again. What the
// last act has changed is not said again in another language.
func (v *visitor) bothWays() {
	v.t.Helper()
	v.looksSpoken()
	v.switches()
	v.switches()
	before := v.looksSpoken()
	v.switches()
	require.Len(v.t, v.looksSpoken(), len(before))
	v.switches()
	require.Equal(v.t, before, v.looksSpoken(), "back again")
}

func TestTheLanguageCanBeSwitchedAtAnyMoment(t *testing.T) {
	onPage(t, english, func(_ *testing.T, v *visitor) {
		v.toggles("cookie-sealed", "cookie-plain", "localStorage")
		v.showsMore()
		for _, moment := range [][]string{
			nil, {"login"}, {"theme"}, {"spend"}, {"spend", "spend", "spend"}, {"refresh"}, {"logout"}, {"refresh"}, {"profile"},
		} {
			v.acts(moment...)
			if slices.Contains(moment, "theme") {
				v.opensAll()
			}
			v.bothWays()
		}
		v.acts("login")
		v.reloads()
		v.looksSpoken() // with the note that a token was lost
	})
}

func TestEveryTabSpeaksOneLanguage(t *testing.T) {
	onPage(t, english, func(_ *testing.T, v *visitor) {
		for _, tab := range []string{"wire", "experiments", "xray", "charts", "caches", "attacker", "levers"} {
			v.opensTab(tab)
			v.bothWays()
		}
		v.acts("login", "cart")
		v.opensTab("xray")
		v.bothWays()
		for _, slug := range []string{"session", "cookie"} { // changed by one character, and not edited
			v.clicks(ray(slug, "[data-send]"))
			v.until(fmt.Sprintf(`document.querySelector(%q).textContent`, ray(slug, "[data-field=told]")))
		}
		v.bothWays()
		v.opensTab("charts")
		v.bothWays()
		v.opensTab("caches")
		v.clicks(testid("caches-write"))
		v.looksSpoken() // its times go on
		v.switches()
		v.looksSpoken()
		v.opensTab("experiments")
		v.usesTab("experiments")
		v.bothWays()
		v.opensTab("attacker")
		v.clicks(testid("thief-copy"), testid("thief-use"), testid("inbox-plant"))
		v.bothWays()
		v.clicks(testid("thief-forge"))
		v.acts("logout")
		v.bothWays()
		v.opensTab("levers")
		v.clicks(testid("lever-role"), testid("lever-store"))
		v.bothWays()
	})
}

func TestEachStrategysPageSpeaksOneLanguage(t *testing.T) {
	onPage(t, english, func(_ *testing.T, v *visitor) {
		for _, slug := range harness.Strategies {
			if harness.Promises()[slug].Page {
				continue // it speaks one language
			}
			v.opens("/" + slug + "/#lang=" + v.language)
			v.bothWays()
			v.acts("login")
			v.bothWays()
		}
	})
}
