package browser

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/tests/harness"
)

func TestTheWireShowsWhatTravels(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		require.Equal(t, slices.Repeat([]string{v.word("wire.nothing")}, 3), v.texts(".lane ol"))
		v.acts("profile")
		require.Contains(t, v.text(lane("session", ".request")), v.word("wire.none.cookie"))
		require.Contains(t, v.text(lane("token", ".request")), v.word("wire.none.bearer"))
		v.acts("login")
		for _, slug := range []string{"session", "cookie"} {
			login := v.text(lane(slug, "ol"))
			require.Contains(t, login, "POST /"+slug+"/login")
			require.Contains(t, login, `{"username":"alice","password":"•••"}`)
			require.Contains(t, login, "Set-Cookie: statelab_"+slug+"=…")
		}
		require.Contains(t, v.text(lane("token", ".answer")), `{"credential": {"access_token": "eyJ`)

		v.showsMore()
		v.clicks(testid("keep-local")) // so that the test can look at the token, too
		v.acts("profile")
		for _, slug := range []string{"session", "cookie"} {
			value := v.cookies(slug)[0].Value
			carried := "Cookie: " + harness.CookieName(slug) + "=" + value[:4] + "…"
			require.Contains(t, v.text(lane(slug, ".request")), carried)
			require.Equal(t, carried, v.field(slug, "carried"))
		}
		reads := v.phrase("way.cost", "reads", "1", "writes", "0")
		require.Equal(t, []string{v.word("way.store") + reads}, v.texts(lane("session", ".store")), "one look-up, between request and answer")
		require.Empty(t, v.texts(lane("cookie", ".store")))
		token := js[string](v, `JSON.parse(`+stored+`).access_token`)
		require.Contains(t, v.text(lane("token", ".request")), "Authorization: Bearer "+token[:6]+"…")
		require.NotContains(t, js[string](v, `document.documentElement.outerHTML`), token)
		v.acts("logout", "profile")
		require.Contains(t, v.text(lane("session", ".request")), v.word("wire.none.cookie"))
		require.Contains(t, v.text(lane("token", ".request")), v.word("wire.none.bearer"))
	})
}

func TestTheWireGoesStepByStep(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		steps := func(slug string) int { return len(v.texts(lane(slug, "li:not(.none)"))) }
		v.acts("login", "profile")
		require.Equal(t, []int{3, 2}, []int{steps("session"), steps("cookie")}, "request, store, answer; request, answer")
		v.clicks(testid("wire-first"))
		require.Equal(t, []int{1, 1}, []int{steps("session"), steps("cookie")})
		v.clicks(testid("wire-next"))
		require.Equal(t, []int{2, 2}, []int{steps("session"), steps("cookie")})
		v.clicks(testid("wire-next"))
		require.Equal(t, []int{3, 2}, []int{steps("session"), steps("cookie")})
		require.True(t, js[bool](v, `document.querySelector('[data-wire-next]').disabled`))
		v.acts("spend")
		require.Greater(t, steps("session"), 2, "a new act is shown as a whole")
	})
}

// The value is masked, its parts are named, and what can be read is decoded.
func TestTheXRayDecodesWhatCanBeRead(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.toggles("cookie-sealed")
		v.opensTab("xray")
		require.Equal(t, slices.Repeat([]string{v.word("inside.absent")}, 4), v.texts("[data-field=inside]"))
		v.acts("login")
		for slug, want := range map[string]struct {
			key   string
			parts []string
		}{
			"session": {"inside.random", []string{"random"}}, "cookie": {"inside.readable", []string{"payload", "signature"}},
			"cookie-sealed": {"inside.sealed", []string{"sealed"}}, "token": {"inside.readable", []string{"header", "payload", "signature"}},
		} {
			require.Equal(t, v.word(want.key), v.text(ray(slug, "[data-field=inside]")))
			var names []string
			for _, part := range want.parts {
				names = append(names, v.word("part."+part))
			}
			require.Equal(t, names, v.texts(ray(slug, ".legend mark")))
			decoded := js[string](v, fmt.Sprintf("(() => { const e = document.querySelector(%q); return e.checkVisibility() ? e.value : ''; })()", ray(slug, "textarea")))
			require.Equal(t, slug != "session", decoded != "", slug)
			if decoded != "" {
				require.Contains(t, decoded, `"preferred_username": "alice"`)
			}
		}
	})
}

// What is edited in the X-ray is sent at once, and the server says whether it believes it.
func TestTheXRaySendsWhatIsEdited(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.addsAll()
		v.acts("login")
		v.opensTab("xray")
		for _, slug := range harness.Strategies {
			traits := v.s.Traits(t, slug)
			if traits.Readable {
				v.does(fmt.Sprintf(`(() => { const text = document.querySelector(%q); text.value = text.value.replace('"credits": 100', '"credits": 100000'); })()`, ray(slug, "textarea")))
			}
			require.Equal(t, v.word(map[bool]string{true: "xray.send", false: "xray.garble"}[traits.Readable]), v.text(ray(slug, "[data-send]")))
			v.clicks(ray(slug, "[data-send]"))
			told := ray(slug, "[data-field=told]")
			v.until(fmt.Sprintf(`document.querySelector(%q).textContent`, told))
			mark := map[bool]string{true: "good", false: "bad"}[traits.TamperProof]
			require.Equal(t, []string{v.word("mark." + mark)}, js[[]string](v, fmt.Sprintf(`[...document.querySelectorAll(%q)].map((e) => e.ariaLabel)`, told+" .mark")), slug)
			if !traits.TamperProof && traits.Readable {
				require.Contains(t, v.text(told), map[string]string{"en": "100000", "ko": "100000"}[v.language])
			}
			v.clicks(ray(slug, "[data-undo]"))
			require.Empty(t, v.text(told))
		}
		_ = v.console() // the tutorial's page has no icon, and its policy refuses one
	})
}

// shownOf is a part of what the page shows of a token that script keeps: the beginning
// of a JWT, or the length of a random value.
func shownOf(traits state.Traits) string {
	if traits.Readable {
		return "eyJ"
	}
	return "(44"
}

// Between what script reads and what the browser sends stands HttpOnly.
func TestTheXRayShowsWhatAScriptReads(t *testing.T) {
	onPage(t, korean, func(t *testing.T, v *visitor) {
		v.addsAll()
		v.acts("login")
		v.opensTab("xray")
		for _, slug := range harness.Strategies {
			traits := v.s.Traits(t, slug)
			frame := fmt.Sprintf(`document.querySelector(%q)`, ray(slug, "iframe"))
			v.until(frame + `?.contentDocument?.readyState === 'complete' && ` + frame + `.contentWindow.location.pathname === '/` + slug + `/'`)
			sees := func() string { return v.text(ray(slug, "[data-field=script_sees]")) }
			switch {
			case !traits.SentByBrowser:
				require.Contains(t, sees(), shownOf(traits), "what script keeps, script can read")
			case traits.HTTPOnly:
				require.Equal(t, v.word("sees.nothing_httponly"), sees(), slug)
				require.Empty(t, js[string](v, frame+`.contentDocument.cookie.split('; ').filter((c) => c.startsWith('`+harness.CookieName(slug)+`=')).join()`))
			default:
				v.until(fmt.Sprintf(`document.querySelector(%q).textContent.includes('…')`, ray(slug, "[data-field=script_sees]")))
			}
			require.NotContains(t, v.text(ray(slug, "[data-field=value]")), v.word("carried.none."+traits.Transport))
			require.Equal(t, traits.Holder == state.HolderServer, v.field(slug, "store") != "" && traits.Holder == state.HolderServer, slug)
		}
		_ = v.console() // the tutorial's page has no icon, and its policy refuses one
	})
}

// A chart has the numbers of the table, and shows them as a table too.
func TestChartsShowTheSizesThatWereSent(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.opensTab("charts")
		v.acts("login", "cart")
		require.Equal(t, []int{2, 4}, js[[]int](v, `['server', 'client'].map((holder) => document.querySelectorAll('[data-chart=sizes] .dot.' + holder).length)`), "a point for each size")
		for _, slug := range v.columns() {
			sent, _, _ := strings.Cut(v.field(slug, "bytes_up"), map[string]string{"en": " ", "ko": "바"}[v.language])
			row := js[string](v, fmt.Sprintf(`[...document.querySelectorAll('[data-chart=sizes] tr')].find((row) => row.cells[0].textContent === %q).cells[1].textContent`, slug))
			require.Contains(t, row, "10 → "+sent)
			copied := js[string](v, fmt.Sprintf(`[...document.querySelectorAll('[data-chart=lives] tr')].find((row) => row.cells[0].textContent === %q).cells[1].textContent`, slug))
			require.Contains(t, v.field(slug, "copy"), copied)
		}
	})
}

func TestCurlLinesDoTheSame(t *testing.T) {
	harness.NeedShell(t)
	onPage(t, korean, func(t *testing.T, v *visitor) {
		v.toggles("cookie-sealed")
		v.toggles("session-bearer")
		script := map[string]string{}
		for _, act := range []string{"login", "profile", "theme", "spend", "refresh", "logout"} {
			v.acts(act)
			for _, slug := range v.columns() {
				script[slug] += v.text(lane(slug, "code")) + "\n"
			}
		}
		for slug, lines := range script {
			cmd := exec.CommandContext(t.Context(), "bash", "-c", lines)
			cmd.Dir = t.TempDir()
			out, err := cmd.Output()
			require.NoError(t, err, lines)
			statuses := regexp.MustCompile(`HTTP/1\.1 \d+`).FindAllString(string(out), -1)
			require.Equal(t, append(slices.Repeat([]string{"HTTP/1.1 200"}, 5), "HTTP/1.1 204"), statuses, "%s: %s\n%s", slug, lines, out)
			require.Contains(t, string(out), `"theme":"dark"`)
			require.Contains(t, string(out), `"credits":70`)
		}

		// The page of a strategy has the line at its end.
		v.opens("/cookie/")
		v.acts("theme")
		require.Equal(t, v.word("act.theme"), v.text("[data-curl-act]"))
		require.Contains(t, v.text("[data-curl-for=cookie] code"), " -X PATCH ")
	})
}

func TestCurlLinesAreCopied(t *testing.T) {
	onPage(t, korean, func(t *testing.T, v *visitor) {
		v.acts("login")
		// A browser without a window asks no one, and denies it.
		call(v, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
			Permission: &cdpbrowser.PermissionDescriptor{Name: "clipboard-write"}, Setting: cdpbrowser.PermissionSettingGranted,
			BrowserContextID: chromedp.FromContext(v.tab).BrowserContextID,
		})
		button := lane("token", ".curl-of button")
		v.clicks(button)
		v.until(fmt.Sprintf("document.querySelector(%q).textContent === %q", button, v.word("copied")))
		require.Equal(t, v.text(lane("token", "code")), js[string](v, `getSelection().toString()`))

		// Outside HTTPS and localhost a browser has no navigator.clipboard.
		v.acts("profile")
		v.does(`Object.defineProperty(navigator, 'clipboard', {value: undefined});
			document.addEventListener('copy', () => { globalThis.copied = String(getSelection()); })`)
		v.clicks(lane("cookie", ".curl-of button"))
		v.until(`globalThis.copied`)
		require.Equal(t, v.text(lane("cookie", "code")), js[string](v, `globalThis.copied`))
		v.until(fmt.Sprintf("document.querySelector(%q).textContent === %q", lane("cookie", ".curl-of button"), v.word("copied")))
	})
}
