package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// reachable is everything that a script on this page could send elsewhere
// without asking the server.
const reachable = `(async () => [
	document.cookie, ...Object.values(localStorage), ...Object.values(sessionStorage),
	...await indexedDB.databases(), ...await caches.keys(),
].filter(Boolean))()`

func TestAScriptFindsNoCredentialThatIsHidden(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.addsAll()
		v.showsMore()
		v.acts("login", "theme", "refresh")
		var readable []string // the cookies that scripts can read, some of them on every page
		for _, p := range harness.Promises() {
			if !p.HTTPOnly {
				readable = append(readable, p.Cookie)
			}
		}
		for _, found := range js[[]string](v, reachable) {
			name, _, _ := strings.Cut(found, "=")
			require.Contains(t, readable, name)
		}
		require.NotContains(t, js[string](v, `JSON.stringify(history.state) + location.href`), "eyJ")
		for _, tab := range []string{"wire", "xray", "charts"} {
			v.opensTab(tab)
			for _, slug := range harness.Strategies {
				traits := v.s.Traits(t, slug)
				if traits.Transport != "cookie" {
					require.Empty(t, v.cookies(slug))
					continue
				}
				cookies := v.cookies(slug)
				require.Len(t, cookies, 1)
				require.Equal(t, traits.HTTPOnly, cookies[0].HTTPOnly)
				require.Equal(t, traits.SameSite, cookies[0].SameSite == network.CookieSameSiteLax)
				if traits.SameSite {
					require.Equal(t, "/"+slug, cookies[0].Path)
				}
				require.NotContains(t, js[string](v, `document.documentElement.outerHTML`), cookies[0].Value, "no projector shows a credential")
			}
		}
		_ = v.console() // the tutorial's page has no icon, and its policy refuses one
	})
}

// inject puts a script and an event handler into a page, as an attacker would
// who has found a way, and waits until both have had their chance.
const inject = `new Promise((resolve) => {
	globalThis.ran = 0;
	const image = new Image();
	image.setAttribute('onerror', 'ran++');
	image.addEventListener('error', resolve);
	const script = document.createElement('script');
	script.textContent = 'ran++';
	document.body.append(script, image);
	image.src = 'data:,';
}).then(() => ran)`

func TestNothingInlineRuns(t *testing.T) {
	onPage(t, korean, func(t *testing.T, v *visitor) {
		for _, path := range []string{"/", "/cookie/"} {
			v.opens(path)
			v.acts("login")
			require.Empty(t, v.console(), "the page needs nothing that the policy forbids")
			require.Zero(t, js[int](v, inject))
			said := v.console()
			require.Len(t, said, 2)
			for _, line := range said {
				require.Contains(t, line, "Content Security Policy")
			}
		}
		v.goes(elsewhere(t).As("localhost"))
		require.Equal(t, 2, js[int](v, inject), "where there is no policy, both run")
	})
}

func TestMarkupIsShownAsText(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		const hostile, username, password = `<img src=x onerror=ran=1>`, "mallory", "curious and curiouser"
		v.s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": username, "password": password, "display_name": hostile}).Is(http.StatusCreated)
		for path, slug := range map[string]string{"/": "cookie", "/session/": "session"} {
			v.opens(path)
			v.types("username", username)
			v.types("password", password)
			v.acts("login")
			v.showsAll(fields{"status": "200", "user": hostile})
			require.Equal(t, http.StatusOK, js[int](v, fmt.Sprintf(`fetch('/%s/profile', {
				method: 'PATCH', headers: {'Content-Type': 'application/json'}, body: JSON.stringify({nickname: %q}),
			}).then((answer) => answer.status)`, slug, hostile)))
			v.acts("profile")
			var shown, curl string
			if path == "/" {
				v.opensTab("xray")
				shown = js[string](v, fmt.Sprintf(`document.querySelector(%q).value`, ray(slug, "textarea")))
			} else {
				shown = v.text(testid("inspection"))
			}
			require.Contains(t, shown, hostile, "the nickname")
			v.types("username", hostile)
			v.types("password", hostile)
			v.acts("login")
			if path == "/" {
				v.opensTab("wire")
				require.Contains(t, v.text(lane("session", "ol")), hostile, "the first column is asked, and refuses")
				curl = v.text(lane(slug, "code"))
			} else {
				curl = v.text("[data-curl-for] code")
			}
			require.Equal(t, 1, strings.Count(curl, hostile), "the name, and not a password that is no demo account's: %s", curl)
			require.True(t, js[bool](v, `!document.querySelector('img, [onerror]') && typeof ran === 'undefined'`))
		}
	})
}

// TestAPageOfAStrategysOwnWorks: its form works, under a policy that lets a name
// reach nothing.
func TestAPageOfAStrategysOwnWorks(t *testing.T) {
	onPage(t, korean, func(t *testing.T, v *visitor) {
		const name = `<img src=x onerror="document.title='mine'">`
		v.s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": "mallory", "password": "twinkle twinkle", "display_name": name})
		for slug, p := range harness.Promises() {
			if !p.Page {
				continue
			}
			v.goes(v.origin + "/" + slug + "/")
			v.does(`document.querySelector('[name=username]').value = 'alice'; document.querySelector('[name=password]').value = 'wonderland'; document.querySelector('[type=submit]').click()`)
			v.until(`document.querySelector('h1')`)
			require.Equal(t, "Welcome, Alice!", v.text("h1"))
			require.Equal(t, harness.CookieName(slug)+"="+v.cookies(slug)[0].Value, js[string](v, `document.cookie`), "script can read it")

			planted := v.s.Client(t, slug).Hold(v.cookies(slug)[0].Value)
			planted.Post("login", harness.Credentials("mallory", "twinkle twinkle")).Is(http.StatusOK)
			v.goes(v.origin + "/" + slug + "/")
			require.Equal(t, 1, js[int](v, `document.querySelectorAll('h1 img').length`), "the name is markup")
			require.Equal(t, "seed", js[string](v, `document.title`), "and no script of it runs")
			require.NotEmpty(t, v.console(), "the browser says what it has refused")
		}
	})
}
