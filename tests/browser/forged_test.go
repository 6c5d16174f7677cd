package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// visitAttacked opens the tab Attacker of a page whose classroom has an attacker, with
// these columns.
func visitAttacked(t *testing.T, chromium program, language string, slugs ...string) *visitor {
	t.Helper()
	s, _ := harness.NewAttackedServer(t)
	v := chromium.visit(t, s, language)
	v.opens("/#open=attacker&s=" + strings.Join(slugs, ","))
	v.until(`document.querySelector('.grid .site code')?.textContent`)
	return v
}

// forges tries all forged requests, and returns the results by "site kind slug".
func (v *visitor) forges() map[string]string {
	v.t.Helper()
	v.clicks(testid("forge"))
	v.until(`!document.querySelector('[data-forged]').matches('[aria-busy=true]')`)
	return js[map[string]string](v, `Object.fromEntries([...document.querySelectorAll('[data-cell]')].map((cell) => [cell.dataset.cell, cell.dataset.result ?? '']))`)
}

// forgeries are the results that the traits of these strategies promise, with
// SameSite=Lax, and with or without the check of origins.
func (v *visitor) forgeries(checked bool, slugs ...string) map[string]string {
	v.t.Helper()
	want := map[string]string{}
	for _, slug := range slugs {
		p := harness.Promises()[slug]
		clears := len(v.s.Client(v.t, slug).Post("logout", nil).Cookies) > 0
		for site, sameSite := range map[string]bool{"cross-site": false, "same-site": true} {
			for kind, w := range map[string]way{"image": textFetch, "read": textFetch, "text": textFetch, "script": emptyFetch, "form": emptyForm} {
				stopped := []string{"good"}
				carried := carries(p.Traits, w, "Lax", sameSite)
				switch {
				case carried:
				case p.SentByBrowser:
					stopped = append(stopped, "same_site")
				default:
					stopped = append(stopped, "not_ambient")
				}
				reads := kind == "image" || kind == "read"
				switch {
				case checked && !reads:
					stopped = append(stopped, "origin_check")
				case carried && kind == "image":
					stopped = append(stopped, "no_effect")
				case carried && kind == "read":
					stopped = append(stopped, "cors")
				case carried && kind == "text":
					stopped = append(stopped, "json_only")
				case carried:
					stopped = []string{"bad", "lost"}
				case kind == "form" && clears:
					stopped = []string{"bad", "lost_by_answer"}
				}
				want[site+" "+kind+" "+slug] = strings.Join(stopped, " ")
			}
			want[site+" json "+slug] = "good preflight"
		}
	}
	return want
}

func TestTheGridShowsWhatStopsForgedRequests(t *testing.T) {
	chromium := browser(t)
	for _, language := range both {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			slugs := []string{"session", "cookie", "token"}
			v := visitAttacked(t, chromium, language, slugs...)
			for _, result := range v.forges() {
				require.Empty(t, result)
			}
			require.Equal(t, v.word("forged.first"), v.text("[data-field=forged_said]"))
			v.acts("login")
			require.Equal(t, v.forgeries(true, slugs...), v.forges())
			require.Equal(t, strings.ReplaceAll(v.word("forged.all_stopped"), "{tried}", "36"), v.text("[data-field=forged_said]"))
			v.bothWays()
			v.showsAll(fields{"status": "200", "version": "1"})

			v.opensTab("levers")
			v.clicks(`[data-setting=origin_check]`)
			v.opensTab("attacker")
			require.Equal(t, v.word("forged.settings"), v.text("[data-field=forged_said]"))
			require.Empty(t, v.texts("[data-result]"), "what was observed under other settings is gone")
		})
	}
}

// Every strategy is tried, and each forged form needs a page load of its own: some 15
// seconds on two cores.
func TestTheGridPutsBackWhatForgedRequestsChanged(t *testing.T) {
	v := visitAttacked(t, browser(t), "en", harness.Strategies...)
	v.s.Set(t, harness.Object{"origin_check": false})
	v.acts("login", "theme", "cart", "spend")
	require.Equal(t, v.forgeries(false, harness.Strategies...), v.forges())
	require.Regexp(t, "are logged in again", v.text("[data-field=forged_said]"))
	for _, slug := range harness.Strategies {
		if !harness.Promises()[slug].SentByBrowser {
			continue
		}
		a := v.holds(slug).Get("profile").Is(http.StatusOK)
		require.Equal(t, "dark", a.Text("state.theme"), slug)
		require.Equal(t, int64(70), a.Number("state.credits"), slug)
		require.Len(t, a.At("state.cart"), 10, slug)
	}

	// With another account in the form, the page cannot log in again, and says so.
	v.clicks(testid("account-bob"))
	v.forges()
	require.Regexp(t, "Press Log in", v.text("[data-field=forged_said]"))
	require.Equal(t, http.StatusUnauthorized, v.holds("session").Get("profile").Status)
}

// The grid can be used with a keyboard alone, and when it is full, it is accessible in
// both colors and fits on each screen.
func TestTheGridIsAccessible(t *testing.T) {
	script, chromium := axe(t), browser(t)
	for _, language := range both {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			v := visitAttacked(t, chromium, language, "session", "cookie", "token", "seed")
			v.s.Set(t, harness.Object{"origin_check": false})
			v.acts("login")
			v.does(`document.querySelector('[data-testid=thief-watch]').focus()`)
			v.tabs(testid("forge"))
			v.presses(kb.Enter)
			v.until(`document.querySelectorAll('[data-result]').length === 48 && !document.querySelector('[aria-busy=true]')`)
			v.does(script)
			for _, a := range appearances {
				v.isAccessible(a)
			}
			for _, size := range sizes {
				v.sized(size[0], size[1])
				require.Empty(t, js[[]string](v, fmt.Sprintf(broken, mostLines)), size)
				require.Empty(t, js[[]string](v, sideways), size)
			}
		})
	}
}

func TestWithoutAnAttackerTheGridSaysSo(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.acts("login")
		v.opensTab("attacker")
		v.forges()
		require.Equal(t, v.word("forged.off"), v.text("[data-field=forged_said]"))
	})
}

func TestTheGridSaysWhatHappenedToTheWindow(t *testing.T) {
	chromium := browser(t)
	for _, language := range both {
		v := visitAttacked(t, chromium, language, "session")
		v.acts("login")
		for said, window := range map[string]string{"forged.blocked": "null", "forged.closed": "({closed: true, location: {}, close() {}})"} {
			v.does("globalThis.open = () => " + window)
			v.forges()
			require.Equal(t, v.word(said), v.text("[data-field=forged_said]"))
		}
		v.showsAll(fields{"status": "200"})
	}
}
