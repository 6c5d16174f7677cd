package browser

import (
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/tests/harness"
)

const wrongPassword = "queen of hearts"

func TestAWrongPasswordIsExplained(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.types("password", wrongPassword)
		v.acts("login")
		v.shows("session", fields{"status": "401", "code": "bad_login", "sentence": v.word("code.bad_login"), "user": ""})
		require.Equal(t, "refused", v.answer("session"))
		require.Contains(t, v.text("[data-live]"), "bad_login")
		require.Empty(t, v.done())
		for _, slug := range []string{"cookie", "token"} {
			v.shows(slug, fields{"status": "–", "code": "", "sentence": v.phrase("spared", "slug", "session")})
			require.Equal(t, v.phrase("spared", "slug", "session"), v.text(lane(slug, "ol")))
			require.Empty(t, v.answer(slug))
		}

		v.clicks(testid("account-alice"))
		v.acts("login")
		v.outcome("done")
		v.types("password", wrongPassword)
		v.acts("login")
		v.shows("session", fields{"status": "401", "code": "bad_login"})
		v.showsAll(fields{"user": "Alice"}) // the login from before goes on
		v.reloads()
		v.shows("session", fields{"status": "200", "user": "Alice"})
	})
}

// answer is what the page says of the answer of a column: "done", "refused" or "".
func (v *visitor) answer(slug string) string {
	v.t.Helper()
	return js[string](v, `document.querySelector('[data-row=answer] td[data-strategy=`+slug+`]').dataset.outcome`)
}

// Each wrong password counts against the account, and ten lock it. So one column is
// asked first, and the others not at all if it refuses.
func TestOneWrongPasswordDoesNotLockTheAccount(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.addsAll()
		v.types("password", wrongPassword)
		v.asks()
		v.acts("login")
		var logins []string
		for _, sent := range v.asks() {
			if len(sent) > 6 && sent[len(sent)-6:] == "/login" {
				logins = append(logins, sent)
			}
		}
		require.Equal(t, []string{"POST /" + harness.Strategies[0] + "/login"}, logins)
		v.clicks(testid("account-alice"))
		v.acts("login")
		v.showsAll(fields{"status": "200", "user": "Alice"})
		v.outcome("done")
	})
}

func TestALockedAccountSaysForHowLongAndCanBeUnlocked(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.types("password", wrongPassword)
		for range 11 {
			v.acts("login")
		}
		wait := map[string]string{"en": "15 min", "ko": "15분"}[v.language]
		v.shows("session", fields{"status": "429", "code": "too_many_attempts", "sentence": v.phrase("code.too_many_attempts", "wait", wait)})
		require.Equal(t, []string{v.word("lift")}, v.texts(testid("lift")))
		v.clicks(testid("account-alice"))
		v.acts("login")
		v.shows("session", fields{"status": "429"})
		v.clicks(testid("lift"))
		v.showsAll(fields{"status": "200", "user": "Alice"})
		require.Empty(t, v.texts(testid("lift")))
		require.True(t, js[bool](v, `document.activeElement.matches('[data-act=login]')`), "the focus is not lost")
	})
}

// A server that is no classroom has no reset: it says for how long, and no more.
func TestAServiceOffersNoUnlock(t *testing.T) {
	s := harness.NewServer(t, func(c *api.Config) { c.Classroom = false })
	v := browser(t).visit(t, s, "en")
	s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": harness.Carol, "password": harness.CarolPassword, "display_name": "Carol"}).Is(http.StatusCreated)
	v.opens("/")
	require.Empty(t, v.texts(testid("tab-attacker")+","+testid("tab-levers")+","+testid("caches-write")))
	require.Len(t, v.texts(testid("lesson")+" option"), 1)
	v.types("username", harness.Carol)
	v.types("password", harness.CarolPassword)
	v.acts("login")
	v.showsAll(fields{"status": "200"})
	v.opensTab("xray")
	require.Zero(t, js[int](v, `[...document.querySelectorAll('.ray [data-send]')].filter((e) => e.checkVisibility()).length`))
	v.types("password", wrongPassword)
	for range 11 {
		v.acts("login")
	}
	v.shows("session", fields{"status": "429", "code": "too_many_attempts"})
	require.Empty(t, v.texts(testid("lift")))
}

func TestAServerThatIsGoneIsNoLogout(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.acts("login")
		block := func(yes bool) {
			call(v, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: []*network.BlockPattern{{URLPattern: v.origin + "/*", Block: yes}}})
		}
		block(true)
		v.acts("profile")
		v.showsAll(fields{"status": "–", "code": "unreachable", "sentence": v.word("code.unreachable"), "user": "Alice"})
		require.NotContains(t, v.done(), "profile")
		require.NotContains(t, v.done(), "end")
		v.clicks(testid("language-ko"), testid("language-en")) // needs no server
		block(false)
		v.acts("profile")
		v.showsAll(fields{"status": "200", "user": "Alice"})
	})
}
