package browser

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/tests/harness"
)

// overHim logs in as Bob in another tab of the same browser, as far as localStorage and
// the server can tell: the tokens of the other tab have a number of their own.
const overHim = `fetch('/token/login', {method: 'POST', headers: {'Content-Type': 'application/json'},
	body: '{"username":"bob","password":"cheshire-cat"}'}).then((answer) => answer.json()).then(({credential}) =>
	localStorage.setItem('statelab.token', JSON.stringify({...credential, login: 1})))`

// before has something happen before the page gets its next answer of a path.
func before(path, happens string) string {
	return fmt.Sprintf(`{
		const send = fetch;
		globalThis.fetch = async (url, ...rest) => {
			const answer = await send(url, ...rest);
			if (!String(url).endsWith(%q)) return answer;
			globalThis.fetch = send;
			return (%s) ?? answer;
		};
	}`, path, happens)
}

// A login that another tab has begun, or ended, is not undone by an answer of the login before.
func TestALateAnswerDoesNotUndoWhatAnotherTabDid(t *testing.T) {
	subject := func(v *visitor) string {
		return js[string](v, `JSON.parse(atob(`+stored+`.match(/"access_token":"[^.]*\.([^.]*)/)[1].replace(/-/g, '+').replace(/_/g, '/'))).sub`)
	}
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.showsMore()
		v.acts("login")
		v.clicks(testid("keep-local"))
		alice := subject(v)
		for act, path := range map[string]string{"theme": "/token/profile", "refresh": "/token/refresh", "logout": "/token/logout"} {
			v.types("username", harness.Alice)
			v.types("password", harness.AlicePassword)
			v.acts("login")
			require.Equal(t, alice, subject(v))
			v.does(before(path, `(await `+overHim+`)`))
			v.acts(act)
			require.NotEqual(t, alice, subject(v), "%s: the answer of the login before", act)
			v.acts("profile")
			v.shows("token", fields{"status": "200", "user": "Bob"})
		}
		v.acts("login")
		v.does(before("/token/profile", `localStorage.removeItem('statelab.token')`))
		v.acts("theme")
		require.True(t, js[bool](v, stored+` === null`), "the other tab has logged out")
	})
}

// Of two tabs that renew at once, one is refused. It goes on with what the other one got.
func TestARenewalThatLosesTheRaceGoesOnWithTheOtherTabs(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.showsMore()
		v.acts("login")
		v.clicks(testid("keep-local"))
		v.s.Clock.Advance(state.DefaultLifetimes().AccessTTL + time.Minute)
		v.does(before("/token/refresh", `(localStorage.setItem('statelab.token', JSON.stringify({...JSON.parse(`+stored+`), ...(await answer.json()).credential})),
			new Response('{"code":"reuse_detected"}', {status: 401, headers: {'Content-Type': 'application/problem+json'}}))`))
		v.acts("profile")
		v.shows("token", fields{"status": "200", "user": "Alice"})
		require.Equal(t, []string{"GET /token/profile", "401 expired", "POST /token/refresh", "401 reuse_detected", "GET /token/profile", "200"},
			v.texts(lane("token", ".start")))
	})
}

// A proxy in front may answer with a page of its own, or with nothing.
func TestAnAnswerOfAProxyEndsNoLogin(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.showsMore()
		v.acts("login")
		v.clicks(testid("keep-local"))
		for _, answer := range []struct {
			body   string
			status int
			shown  string
		}{
			{"<html>Bad Gateway", http.StatusBadGateway, "502"}, {"", http.StatusBadGateway, "502"}, {"<html>Who are you?", http.StatusUnauthorized, "401"},
			{"", http.StatusOK, "–"}, {"<html>Sign in", http.StatusOK, "–"}, {"null", http.StatusServiceUnavailable, "503"},
		} {
			v.does(fmt.Sprintf(`{
				const send = fetch;
				globalThis.send = send;
				globalThis.fetch = async () => new Response(%q, {status: %d});
			}`, answer.body, answer.status))
			v.acts("profile", "refresh")
			v.shows("token", fields{"status": answer.shown, "code": "unreachable"})
			v.acts("logout")
			v.does(`globalThis.fetch = globalThis.send`)
			v.acts("profile")
			v.showsAll(fields{"status": "200", "user": "Alice"})
		}
		v.reloads()
		v.showsAll(fields{"status": "200", "user": "Alice"})
	})
}
