package browser

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// A frontEnd is the application of tests/spa, built.
type frontEnd string

func buildFrontEnd(t *testing.T) frontEnd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spa")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, harness.Root("tests/spa")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return frontEnd(path)
}

// serves serves the application on a port until the test ends, for the API of a
// visitor, who is sent there.
func (f frontEnd) serves(v *visitor, port int, slug string) {
	v.t.Helper()
	p := harness.Launch(v.t, exec.CommandContext(v.t.Context(), string(f), "-listen", fmt.Sprint("localhost:", port), "-api", v.origin)) // #nosec G204 -- built above
	p.Serves()
	v.goes(p.Base + "/?with=" + slug)
	v.settles()
}

// shown is what the application shows of its last act.
func (v *visitor) shown() fields {
	v.t.Helper()
	return js[fields](v, `Object.fromEntries([...document.querySelectorAll('[data-field]')].map((e) => [e.dataset.field, e.textContent]))`)
}

// isIn and isOut require that the application shows a profile, or its form.
func (v *visitor) isIn(name string) {
	v.t.Helper()
	require.Equal(v.t, name, v.shown()["user"])
	require.Equal(v.t, []bool{true, false}, js[[]bool](v, `[document.querySelector('[data-out]').hidden, document.querySelector('[data-in]').hidden]`))
}

func (v *visitor) isOut(code string) {
	v.t.Helper()
	shown := v.shown()
	require.Equal(v.t, []string{"", "", code}, []string{shown["user"], shown["credits"], shown["code"]})
	require.Equal(v.t, []bool{false, true}, js[[]bool](v, `[document.querySelector('[data-out]').hidden, document.querySelector('[data-in]').hidden]`))
}

// wire is what the application could read of its answers, the latest first:
// request, status with code, ETag, X-Request-Id, Server-Timing.
func (v *visitor) wire() [][]string {
	v.t.Helper()
	return js[[][]string](v, `[...document.querySelectorAll('tbody tr')].map((row) => [...row.children].map((cell) => cell.textContent.trim()))`)
}

// signsIn fills in the application's form.
func (v *visitor) signsIn() {
	v.t.Helper()
	v.types("username", harness.Alice)
	v.types("password", harness.AlicePassword)
	v.acts("login")
}

// count is how often something was asked.
func count(asked []string, what string) int {
	n := 0
	for _, one := range asked {
		if one == what {
			n++
		}
	}
	return n
}

// storage is everything that a script of the page could find kept by the browser.
const storage = `(async () => [...Object.keys(localStorage), ...Object.keys(sessionStorage), document.cookie,
	...(await indexedDB.databases()).map(({name}) => name), ...(await caches.keys())].join(''))()`

func TestSinglePageApplication(t *testing.T) {
	chromium, front := browser(t), buildFrontEnd(t)
	for slug, test := range map[string]struct {
		nobody         string // what the application hears at first, if it has to ask
		outlivesReload bool
		headers        string // of requests that the test makes itself: it cannot get at the token either
		statuses       []int
	}{
		"session": {"no_credential", true, `'Content-Type': 'application/json'`, []int{200, 422, 404, 405, 404}},
		"token":   {"", false, `'Content-Type': 'application/json', Authorization: 'Bearer x'`, []int{401, 401, 401, 405, 404}},
	} {
		t.Run(slug, func(t *testing.T) {
			port := storetest.FreePort(t)
			s, stores := harness.NewFaultyServer(t, harness.Allowing(fmt.Sprint("http://localhost:", port)))
			v := chromium.visit(t, s, "en")
			front.serves(v, port, slug)
			path := "/" + slug
			v.isOut(test.nobody)

			v.signsIn()
			v.isIn("Alice")
			login := v.wire()[0]
			require.Equal(t, []string{"POST " + path + "/login", "200"}, login[:2])
			for i, exposed := range []string{`^".+"$`, `^[0-9a-z]{16}$`, `^auth;dur=`} {
				require.Regexp(t, exposed, login[2+i])
			}
			v.acts("profile")
			require.Equal(t, "304", v.wire()[0][1], "nothing travels twice")
			v.isIn("Alice")

			v.acts("theme")
			require.Equal(t, "dark", v.shown()["theme"])
			v.acts("theme")
			require.Equal(t, "light", v.shown()["theme"])
			v.acts("refresh")
			v.asks()
			v.acts("refresh")
			require.Equal(t, []string{"POST " + path + "/refresh"}, v.asks(), "what needed leave once has it")

			// However many ask for a renewal, one is under way; and what is asked meanwhile holds.
			v.does(`for (const act of ['refresh', 'refresh', 'three', 'refresh', 'theme']) document.querySelector('[data-act=' + act + ']').click()`)
			v.settles()
			v.isIn("Alice")
			require.Equal(t, 1, count(v.asks(), "POST "+path+"/refresh"))
			v.acts("profile")
			require.Equal(t, "dark", v.shown()["theme"])

			// Methods and paths of every kind are answered, and the answers can be read.
			for i, ask := range []string{"HEAD profile", "PUT password", "DELETE logins/x", "PUT profile", "GET nothing"} {
				method, route, _ := strings.Cut(ask, " ")
				require.Equal(t, test.statuses[i], js[int](v, fmt.Sprintf(`fetch('%s%s/%s', {method: %q, credentials: 'include', headers: {%s},
					body: %[4]q === 'PUT' ? '{"current_password":"wonderland","new_password":"x"}' : null}).then(({status}) => status)`,
					v.origin, path, route, method, test.headers)), ask)
			}
			v.console() // where Chromium reports each refusal

			stores.BreakWith(harness.ErrDown)
			v.acts("refresh")
			shown := v.shown()
			require.Equal(t, "store_unavailable", shown["code"], "an error can be read")
			require.Regexp(t, `^try again in [1-9]\d* s$`, shown["wait"])
			require.Equal(t, v.wire()[0][3], shown["request"])
			require.Contains(t, v.text("[data-said]"), ". ")
			v.isIn("Alice") // an outage is no logout
			stores.Repair()
			v.acts("refresh")
			require.Empty(t, v.shown()["code"])

			require.Empty(t, js[string](v, storage), "where it would be stolen from")
			v.reloads()
			if test.outlivesReload {
				v.isIn("Alice")
			} else {
				v.isOut("")
				v.signsIn()
			}

			v.acts("logout")
			v.isOut("")
			require.Equal(t, []string{"POST " + path + "/logout", "204"}, v.wire()[0][:2])
			v.reloads()
			v.isOut(test.nobody)

			for range 10 {
				v.types("username", harness.Alice)
				v.types("password", "queen of hearts")
				v.acts("login")
				require.Equal(t, "bad_login", v.shown()["code"])
			}
			v.acts("login")
			v.isOut("too_many_attempts")
			require.Regexp(t, `^try again in [1-9]\d* s$`, v.shown()["wait"])
		})
	}
}

// lateFirst keeps the next answer from the page until another has said that
// nothing has changed, or until its release.
const lateFirst = `{
	const send = fetch, others = Promise.withResolvers();
	globalThis.release = others.resolve;
	let asked = 0;
	globalThis.fetch = async (...request) => {
		const first = asked++ === 0, answer = await send(...request);
		if (first) await others.promise;
		if (answer.status === 304) others.resolve();
		return answer;
	};
}`

func TestSinglePageLoginExpires(t *testing.T) {
	chromium, front := browser(t), buildFrontEnd(t)
	visit := func(t *testing.T, slug string) *visitor {
		port := storetest.FreePort(t)
		v := chromium.visit(t, harness.NewServer(t, harness.Allowing(fmt.Sprint("http://localhost:", port))), "en")
		front.serves(v, port, slug)
		v.signsIn()
		v.isIn("Alice")
		return v
	}
	t.Run("token", func(t *testing.T) {
		v := visit(t, "token")
		lifetimes := state.DefaultLifetimes()
		for range 2 {
			v.s.Clock.Advance(lifetimes.AccessTTL + time.Minute)
			v.asks()
			v.acts("three")
			v.isIn("Alice")
			asked := v.asks()
			require.Equal(t, 1, count(asked, "POST /token/refresh"), "three that have expired are one renewal")
			require.Equal(t, 6, count(asked, "GET /token/profile"), "and one more try for each")
		}
		// The first refusal is heard when the others have been renewed and answered.
		v.s.Clock.Advance(lifetimes.AccessTTL + time.Minute)
		v.does(lateFirst)
		v.asks()
		v.acts("three")
		v.isIn("Alice")
		require.Equal(t, 1, count(v.asks(), "POST /token/refresh"), "what is renewed already is not renewed again")

		v.s.Clock.Advance(lifetimes.AccessTTL + time.Minute)
		v.acts("theme")
		require.Equal(t, "dark", v.shown()["theme"], "a change, too, is repeated")
		require.Equal(t, "2", v.shown()["version"], "and made once")

		v.s.Clock.Advance(lifetimes.AccessTTL + time.Minute)
		v.acts("logout")
		v.isOut("")
		require.Equal(t, "204", v.wire()[0][1], "a login whose access token has expired can be ended")

		v.signsIn()
		v.s.Clock.Advance(lifetimes.RefreshTTL + time.Minute)
		v.asks()
		v.does(lateFirst)
		v.acts("three")
		v.isOut("unknown_session")
		v.does(`release()`) // which comes when all is over
		v.until(`[...document.querySelectorAll('tbody tr')].filter((row) => /^GET.*401 expired/s.test(row.textContent)).length === 3`)
		v.signsIn()
		v.isIn("Alice")
		asked := v.asks()
		require.Equal(t, 1, count(asked, "POST /token/refresh"))
		require.Equal(t, 3, count(asked, "GET /token/profile"), "what cannot be renewed is over")
		v.reloads()
		v.isOut("")
	})
	t.Run("session", func(t *testing.T) {
		v := visit(t, "session")
		v.s.Clock.Advance(state.DefaultLifetimes().SessionIdle + time.Minute)
		v.asks()
		v.acts("three")
		v.isOut("unknown_session")
		require.Equal(t, 3, count(v.asks(), "GET /session/profile"), "there is nothing to renew")
	})
}

func TestSinglePageIsAccessible(t *testing.T) {
	script, chromium, front := axe(t), browser(t), buildFrontEnd(t)
	port := storetest.FreePort(t)
	v := chromium.visit(t, harness.NewServer(t, harness.Allowing(fmt.Sprint("http://localhost:", port))), "en")
	front.serves(v, port, "session")
	v.does(script)
	v.isAccessible(appearances[0]) // with a problem and the form
	v.signsIn()
	for _, a := range appearances {
		v.isAccessible(a)
	}
}

// A request that is under way while the session gets another ticket is refused,
// which must not look like a logout.
func TestSinglePageRenewalOvertakes(t *testing.T) {
	port := storetest.FreePort(t)
	s, stores := harness.NewFaultyServer(t, harness.Allowing(fmt.Sprint("http://localhost:", port)))
	v := browser(t).visit(t, s, "en")
	buildFrontEnd(t).serves(v, port, "session")
	v.signsIn()
	looking, renewed := make(chan struct{}), make(chan struct{})
	var looked atomic.Bool
	stores.Set(func(ctx context.Context, operation string) error {
		if operation == "Load" && looked.CompareAndSwap(false, true) {
			close(looking)
			select {
			case <-renewed:
			case <-ctx.Done():
			}
		}
		return nil
	})
	v.does(`document.querySelector('[data-act=profile]').click()`)
	<-looking
	v.does(`document.querySelector('[data-act=refresh]').click()`)
	v.until(`document.querySelector('tbody td').textContent === 'POST /session/refresh'`)
	close(renewed)
	v.settles()
	v.isIn("Alice")
	require.Equal(t, []string{"304", "401 unknown_session", "200"}, []string{v.wire()[0][1], v.wire()[1][1], v.wire()[2][1]})
}

// A cookie of localhost is not sent for a page of 127.0.0.1, allowed or not: for
// browsers it is another site. A token in a header is.
func TestAllowedOriginOfAnotherSite(t *testing.T) {
	front := elsewhere(t).As("127.0.0.1")
	v := browser(t).visit(t, harness.NewServer(t, harness.Allowing(front)), "en")
	v.goes(front)
	login := func(slug string) string {
		return fmt.Sprintf(`fetch('%s/%s/login', {method: 'POST', credentials: 'include', headers: {'Content-Type': 'application/json'}, body: '{"username":%q,"password":%q}'})`,
			v.origin, slug, harness.Alice, harness.AlicePassword)
	}
	require.Equal(t, http.StatusOK, js[int](v, login("session")+`.then(({status}) => status)`))
	require.Empty(t, v.cookies("session"))
	require.Equal(t, http.StatusUnauthorized, js[int](v, fmt.Sprintf(`fetch('%s/session/profile', {credentials: 'include'}).then(({status}) => status)`, v.origin)))
	require.Equal(t, http.StatusOK, js[int](v, fmt.Sprintf(`%s.then((answer) => answer.json()).then(({credential}) =>
		fetch('%s/token/profile', {headers: {Authorization: 'Bearer ' + credential.access_token}})).then(({status}) => status)`, login("token"), v.origin)))
}

// elsewhere serves a site until the test ends.
func elsewhere(t *testing.T) harness.Site {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(`<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>elsewhere</title><body>`))
	}))
	t.Cleanup(s.Close)
	return harness.Site{Server: s}
}

// A witness keeps the log of a server.
type witness struct{ harness.SyncBuffer }

// saw waits for a request in the log and returns its line.
func (w *witness) saw(t *testing.T, method, route string) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^.*method=` + method + ` route=` + route + ` .*$`)
	var found string
	require.Eventually(t, func() bool {
		found = line.FindString(w.String())
		return found != ""
	}, patience, 5*time.Millisecond, "%s %s never came", method, route)
	return found
}

// fetches says what a script on the visitor's page hears of a fetch: "answered"
// or "refused".
func (v *visitor) fetches(arguments string) string {
	v.t.Helper()
	return js[string](v, `fetch(`+arguments+`).then(() => 'answered', () => 'refused')`)
}

// submits sends a form with a field, encoded in one of the ways of forms, and
// requires the answer that is then the visitor's document.
func (v *visitor) submits(address, encoding, name, value, code string) {
	v.t.Helper()
	answer := v.loads(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
		const form = Object.assign(document.createElement('form'), {method: 'POST', enctype: %q, action: %q});
		form.append(Object.assign(document.createElement('input'), {name: %q, value: %q}));
		document.body.append(form);
		form.submit();
	}`, encoding, address, name, value)))
	require.Equal(v.t, address, answer.URL)
	require.Equal(v.t, int64(http.StatusForbidden), answer.Status)
	require.Contains(v.t, js[string](v, `document.body.innerText`), code)
}

// TestOtherOriginsCannotUseALogin visits an attacker with logins in the same
// browser. 127.0.0.1 is another site than localhost, so that SameSite keeps the
// cookie at home; another port of localhost is the same site, so that only the
// refusal of foreign origins is left. That one origin is allowed helps nobody
// else, however much alike the two look.
func TestOtherOriginsCannotUseALogin(t *testing.T) {
	chromium, attackers := browser(t), elsewhere(t)
	port := strings.TrimPrefix(attackers.As(""), "http://:")
	here := attackers.As("localhost")
	for name, test := range map[string]struct {
		attacker, allowed string
		carried           bool // whether the browser adds the cookie to what the attacker's script sends
	}{
		"another site":             {attackers.As("127.0.0.1"), here, false},
		"another port":             {here, harness.AllowedOrigin, true},
		"a port that begins alike": {here, "http://localhost:" + port[:len(port)-1], true},
		"a port that ends alike":   {here, "http://localhost:" + port[1:], true},
		"the same port, encrypted": {here, strings.Replace(here, "http", "https", 1), true},
		"a name that ends alike":   {attackers.As("evil.localhost"), here, false},
		"a name that begins alike": {attackers.As("localhost.evil.localhost"), here, false},
		"the name twice":           {attackers.As("localhost.localhost"), here, false},
	} {
		t.Run(name, func(t *testing.T) {
			log := &witness{}
			s := harness.NewServer(t, harness.Allowing(test.allowed), func(c *api.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
			v := chromium.visit(t, s, "en")
			v.signsInWith("session", "cookie")
			held := map[string]*harness.Client{}
			for _, slug := range []string{"session", "cookie"} {
				held[slug] = s.Client(t, slug)
				held[slug].Cookies["statelab_"+slug] = v.cookies(slug)[0].Value
			}
			before := map[string]string{"session": held["session"].Profile(), "cookie": held["cookie"].Profile()}
			unharmed := func() {
				t.Helper()
				for slug, c := range held {
					require.Equal(t, before[slug], c.Profile())
					require.Equal(t, c.Held(), v.cookies(slug)[0].Value, "the browser still has it")
				}
			}

			for _, route := range []string{"/session/spend", "/session/refresh", "/session/logout", "/cookie/spend", "/cookie/logout"} {
				v.goes(test.attacker)
				for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
					log.Reset()
					v.fetches(fmt.Sprintf(`'%s%s', {method: 'POST', mode: 'no-cors', credentials: 'include', headers: {'Content-Type': %q}, body: '{"amount":30}'}`, v.origin, route, kind))
					require.Contains(t, log.saw(t, "POST", route), "code=csrf_blocked", "a request that needs no leave is sent, and refused")
					unharmed()
				}
				v.submits(v.origin+route, "text/plain", `{"amount":30,"x":"`, `"}`, "csrf_blocked")
				v.goes(test.attacker)
				v.submits(v.origin+route, "application/x-www-form-urlencoded", "amount", "30", "csrf_blocked")
				unharmed()
			}

			v.goes(test.attacker)
			log.Reset()
			require.Equal(t, "refused", v.fetches(fmt.Sprintf(`'%s/session/spend', {method: 'POST', credentials: 'include',
				headers: {'Content-Type': 'application/json'}, body: '{"amount":30}'}`, v.origin)), "JSON needs leave, and gets none")
			require.Equal(t, "refused", v.fetches(fmt.Sprintf(`'%s/session/profile', {credentials: 'include'}`, v.origin)), "and nothing can be read")
			if test.carried {
				require.Contains(t, log.saw(t, "GET", "/session/profile"), "status=200")
			} else {
				require.Contains(t, log.saw(t, "GET", "/session/profile"), "code=no_credential", "SameSite")
			}
			require.NotContains(t, log.String(), "method=POST", "what gets no leave is not sent")
			unharmed()
			v.console() // what the attacker's page complained about

			// All the while there was a login to use: a link carries it.
			v.goes(test.attacker)
			answer := v.loads(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`location.href = '%s/session/profile'`, v.origin)))
			require.Equal(t, int64(http.StatusOK), answer.Status)
			v.opens("/")
			v.acts("profile") // the page asks for no login that it has not seen begin
			for slug := range held {
				v.shows(slug, fields{"status": "200", "user": "Alice", "credits": "100 credits", "version": "1"})
			}
		})
	}
}
