package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"statelab/api/web"
	"statelab/tests/harness"
)

// A program is a running browser.
type program struct{ context.Context }

// running is the one browser of the package, once a test has asked for it. Each visitor
// has cookies and storage apart from all others.
var running struct {
	once sync.Once
	program
	err error
	end func()
}

// browser returns the browser, and lets the test run beside others: it waits most of
// the time.
func browser(t *testing.T) program {
	t.Helper()
	harness.Need(t, "browser", harness.Chromium() != "", "no Chromium for the page: install it, or let STATELAB_CHROMIUM name it")
	t.Parallel()
	running.once.Do(func() { running.err = startBrowser() })
	require.NoError(t, running.err)
	return running.program
}

// startBrowser starts the browser of the package.
func startBrowser() error {
	dir, err := os.MkdirTemp("", "statelab-browser")
	if err != nil {
		return err
	}
	running.end = func() { _ = os.RemoveAll(dir) }
	// Some builds block cookies of third parties from the start. Nothing is to hold
	// because of that.
	if err := os.MkdirAll(filepath.Join(dir, "profile", "Default"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "profile", "Default", "Preferences"), []byte(`{"profile":{"cookie_controls_mode":0}}`), 0o600); err != nil {
		return err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(harness.Chromium()), chromedp.UserDataDir(filepath.Join(dir, "profile")),
		chromedp.Env("TMPDIR="+dir, "HOME="+dir), chromedp.Flag("headless", "new"), chromedp.WindowSize(1280, 900),
	}
	for _, flag := range []string{
		"no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "disable-component-update",
		"disable-sync", "disable-quic", "disable-dev-shm-usage", "disable-breakpad", "hide-scrollbars", "mute-audio",
		"ignore-certificate-errors", "disable-popup-blocking", // the attacker's pages open tabs, and one of its victims is encrypted
		"process-per-site", "disable-threaded-compositing", // a quarter of the time
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	options = append(options, chromedp.Flag("disable-features", "SpareRendererForSitePerProcess")) // a process that waits for the next tab
	parent, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(parent)
	running.end = func() {
		closing, done := context.WithTimeout(ctx, patience)
		_ = chromedp.Cancel(closing)
		done()
		cancel()
		stop()
		_ = os.RemoveAll(dir)
	}
	running.program = program{ctx}
	return chromedp.Do(ctx)
}

// endBrowser ends the browser, if a test has started it.
func endBrowser() {
	if running.end != nil {
		running.end()
	}
}

// patience is how long a test waits for a browser on a busy machine.
const patience = 30 * time.Second

// A visitor is somebody at a browser that has no memory: one tab, with cookies
// and storage of its own.
type visitor struct {
	t        *testing.T
	s        *harness.Server
	origin   string // of s, by the name that the page goes by
	language string
	tab      context.Context

	mu   sync.Mutex
	said []string
	sent []string // what was asked, preflights included: "GET /session/profile"
}

// visit opens a tab. When the test ends, its console must be empty.
func (p program) visit(t *testing.T, s *harness.Server, language string) *visitor {
	t.Helper()
	tab, cancel := chromedp.NewContext(p, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	v := &visitor{t: t, s: s, origin: strings.Replace(s.URL, "127.0.0.1", "localhost", 1), language: language, tab: tab}
	require.NoError(t, chromedp.Listen(tab, v.listen))
	call(v, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{AcceptLanguage: language})
	call(v, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	v.looks(appearances[0])
	t.Cleanup(func() { assert.Empty(t, v.console(), "the console") })
	return v
}

// asked matches what the page asks on the learner's behalf. A browser reports
// each 401 among them, which is no fault of the page.
var asked = regexp.MustCompile(`^http://localhost:\d+/(` + strings.Join(harness.Strategies, "|") + `|classroom)/[\w/-]+$`)

// listen hears the console, and what is sent.
func (v *visitor) listen(event any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text, _ := json.Marshal(e.ExceptionDetails)
		v.said = append(v.said, string(text))
	case *runtime.EventConsoleAPICalled:
		text, _ := json.Marshal(e.Args)
		v.said = append(v.said, string(text))
	case *log.EventEntryAdded:
		if e.Entry.Source != log.EntrySourceNetwork || !asked.MatchString(e.Entry.URL) {
			v.said = append(v.said, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil {
			v.sent = append(v.sent, e.Request.Method+" "+u.Path)
		}
	}
}

// console returns what was said since it was last asked.
func (v *visitor) console() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	said := v.said
	v.said = nil
	return said
}

// asks returns what was sent since it was last asked.
func (v *visitor) asks() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	sent := v.sent
	v.sent = nil
	return sent
}

// run runs an action in a visitor's tab.
func run[T any](v *visitor, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(v.tab, patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// call sends a command to a visitor's browser.
func call[P, R any](v *visitor, command cdp.Command[P, R], params P) R {
	v.t.Helper()
	result, err := run(v, func(ctx context.Context, tab *chromedp.Target) (R, error) {
		return cdp.Call(ctx, tab, command, params)
	})
	require.NoError(v.t, err)
	return result
}

// js returns what an expression gives in a visitor's page, when it is known.
func js[T any](v *visitor, expression string) T {
	v.t.Helper()
	result, err := run(v, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(v.t, err, expression)
	return result
}

// does runs an expression for its effect.
func (v *visitor) does(expression string) {
	v.t.Helper()
	js[chromedp.Void](v, expression)
}

// until waits until an expression holds.
func (v *visitor) until(condition string) {
	v.t.Helper()
	wait := fmt.Sprintf(`new Promise((resolve) => { const look = () => (%s) ? resolve() : setTimeout(look, 5); look(); })`, condition)
	look := func() error {
		_, err := run(v, chromedp.Evaluate[chromedp.Void](wait, chromedp.EvalAwaitPromise))
		return err
	}
	err := look()
	for range 5 { // a page that gives way to the next one ends the wait on it
		if err == nil || !strings.Contains(err.Error(), "navigated") {
			break
		}
		err = look()
	}
	if err != nil {
		text, _ := run(v, chromedp.Evaluate[string](`document.body.innerText`))
		require.NoError(v.t, err, "waited for %s in:\n%s", condition, text)
	}
}

// settles waits until nothing on the page is at work.
func (v *visitor) settles() {
	v.t.Helper()
	v.until(`document.querySelector('[aria-busy]') && !document.querySelector('[aria-busy=true]')`)
}

// goes loads an address and waits for the document.
func (v *visitor) goes(address string) {
	v.t.Helper()
	_, err := run(v, chromedp.Navigate(address))
	require.NoError(v.t, err, address)
}

// loads does something that leads to another document, and returns the answer
// that brought it.
func (v *visitor) loads(step chromedp.Action[chromedp.Void]) *network.Response {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.tab, patience)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, step)
	require.NoError(v.t, err)
	return answer
}

// opens goes to one of our pages and waits for its panels.
func (v *visitor) opens(path string) {
	v.t.Helper()
	v.goes(v.origin + path)
	v.settles()
}

func (v *visitor) reloads() {
	v.t.Helper()
	_, err := run(v, chromedp.Reload())
	require.NoError(v.t, err)
	v.settles()
}

// clicks clicks with the mouse on the middle of what a selector finds, and
// waits for what it causes.
func (v *visitor) clicks(selectors ...string) {
	v.t.Helper()
	for _, selector := range selectors {
		_, err := run(v, chromedp.Click(chromedp.CSS(selector)))
		require.NoError(v.t, err, selector)
	}
	v.settles()
}

// acts presses the buttons of acts, without waiting in between.
func (v *visitor) acts(names ...string) {
	v.t.Helper()
	var buttons []string
	for _, name := range names {
		buttons = append(buttons, testid("act-"+name))
	}
	v.clicks(buttons...)
}

func testid(id string) string { return fmt.Sprintf(`[data-testid=%q]`, id) }

// panel is the selector of a panel, and of something in it.
func panel(slug, inner string) string { return fmt.Sprintf(`[data-strategy=%q] %s`, slug, inner) }

// types replaces what is in a field.
func (v *visitor) types(field, text string) {
	v.t.Helper()
	v.clicks(testid(field))
	v.does(`document.activeElement.select()`)
	v.presses(text)
}

func (v *visitor) presses(keys string) {
	v.t.Helper()
	_, err := run(v, chromedp.KeyEvent(keys))
	require.NoError(v.t, err)
}

// opensDetails opens the "wire" or the "inside" of panels. What a panel does
// about it comes later than the click.
func (v *visitor) opensDetails(name string, slugs ...string) {
	v.t.Helper()
	for _, slug := range slugs {
		details := fmt.Sprintf("document.querySelector(%q)", panel(slug, "details[data-"+name+"]"))
		v.does(details + ".addEventListener('toggle', () => { globalThis.toggled = true; }, {once: true})")
		v.clicks(panel(slug, "[data-"+name+"] summary"))
		v.until("globalThis.toggled && " + details + ".open")
		v.does("delete globalThis.toggled")
	}
}

// opensAll makes a page show as much as it can.
func (v *visitor) opensAll() {
	v.t.Helper()
	v.does(`for (const details of document.querySelectorAll('details')) details.open = true`)
	v.until(`[...document.querySelectorAll('iframe')].every((frame) => frame.contentDocument?.readyState === 'complete' && frame.contentWindow.location.pathname.length > 1)`)
	v.settles()
}

// text is the text of what a selector finds.
func (v *visitor) text(selector string) string {
	v.t.Helper()
	return js[string](v, fmt.Sprintf("document.querySelector(%q).textContent.trim()", selector))
}

// texts are the texts of everything that a selector finds.
func (v *visitor) texts(selector string) []string {
	v.t.Helper()
	return js[[]string](v, fmt.Sprintf("[...document.querySelectorAll(%q)].map((e) => e.textContent.trim())", selector))
}

// field is a field of a panel.
func (v *visitor) field(slug, name string) string {
	v.t.Helper()
	return v.text(panel(slug, "[data-field="+name+"]"))
}

// panels are the slugs of the panels shown.
func (v *visitor) panels() []string {
	v.t.Helper()
	return js[[]string](v, `[...document.querySelectorAll('.panel')].map((e) => e.dataset.strategy)`)
}

type fields map[string]string

// shows requires fields of one panel.
func (v *visitor) shows(slug string, want fields) {
	v.t.Helper()
	for name, text := range want {
		require.Equal(v.t, text, v.field(slug, name), "%s: %s", slug, name)
	}
}

// showsAll requires fields of every panel shown.
func (v *visitor) showsAll(want fields) {
	v.t.Helper()
	for _, slug := range v.panels() {
		v.shows(slug, want)
	}
}

// outcome requires what every panel says of the last act: "done", "refused" or "".
func (v *visitor) outcome(want string) {
	v.t.Helper()
	require.Equal(v.t, len(v.panels()), js[int](v, fmt.Sprintf(`document.querySelectorAll('.panel[data-outcome=%q]').length`, want)))
}

// An appearance is the width of a window, and the colours that its visitor
// prefers.
type appearance struct {
	width  int
	scheme string
}

// looks sets the appearance.
func (v *visitor) looks(a appearance) {
	v.t.Helper()
	call(v, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: int64(a.width), Height: 900, DeviceScaleFactor: 1})
	call(v, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: a.scheme},
		{Name: "prefers-reduced-motion", Value: "reduce"}, // no colour in between
	}})
}

// cookies are what the browser would send to a strategy.
func (v *visitor) cookies(slug string) []*network.Cookie {
	v.t.Helper()
	sent := call(v, network.GetCookies, network.GetCookiesParams{URLs: []string{v.origin + "/" + slug + "/profile"}}).Cookies
	return slices.DeleteFunc(sent, func(c *network.Cookie) bool { return c.Name != harness.CookieName(slug) })
}

// words are the page's own, by language and key.
var words = sync.OnceValue(func() map[string]map[string]string {
	tables := map[string]map[string]string{}
	for _, language := range both {
		text, _ := fs.ReadFile(web.Assets, "words/"+language+".json")
		table := map[string]string{}
		_ = json.Unmarshal(text, &table) // a table without words fails the tests that look for them
		tables[language] = table
	}
	return tables
})

// word is a text of the page in the visitor's language.
func (v *visitor) word(key string) string {
	v.t.Helper()
	text := words()[v.language][key]
	require.NotEmpty(v.t, text, key)
	return text
}

// The languages of the page.
var (
	both    = []string{"en", "ko"}
	english = both[:1]
	korean  = both[1:]
)

// scenarios are what holds for the page: in both languages where it is about
// words, otherwise in one of them. Each begins with a visitor who has just come
// to /.
var scenarios = []struct {
	sentence  string
	languages []string
	holds     func(*testing.T, *visitor)
}{
	{"one login goes to every panel", both, oneLogin},
	{"a button adds a column", english, addedColumn},
	{"every act does the same everywhere", english, everyAct},
	{"clicks queue", english, clicksQueue},
	{"the steps are ticked by what happens", both, steps},
	{"a login that vanished counts as ended", korean, vanishedLogin},
	{"a reload loses the token and says so", both, reload},
	{"the token stays in localStorage if told to", both, keptToken},
	{"an expired token renews itself", korean, expiredToken},
	{"script finds nothing to read", english, nothingToRead},
	{"the wire view shows what travels", both, wire},
	{"what is inside can be opened", both, inside},
	{"the language can be switched", english, languages},
	{"the address says what is shown", korean, place},
	{"the keyboard is enough", english, keyboard},
	{"nothing inline runs", korean, nothingInline},
	{"markup is shown as text", english, markup},
	{"a wrong password is explained", both, wrongPassword},
	{"a server that is gone is no logout", both, goneServer},
	{"curl lines do the same", korean, curlLines},
	{"each strategy has a page", korean, strategyPages},
	{"a page of its own works too", korean, ownPages},
	{"the other name of this machine leads to it", english, otherName},
	{"a thief edits, replays and goes back to copies", both, thiefOnThePage},
	{"a thief lives by each strategy's clock", english, clockOfACopy},
	{"an identifier can be planted where any is adopted", english, plantedIdentifier},
	{"the levers work and explain themselves", both, leversOnThePage},
	{"three views of each login", korean, threeViews},
	{"the wall at 4,096 bytes", both, wall},
	{"a panel without a server", both, localPanel},
	{"every cache policy side by side", both, cachesOnThePage},
}

// TestPage tries the scenarios, each in a browser without memory. Together they take most
// of a minute: Chromium draws some sixty pages.
func TestPage(t *testing.T) {
	chromium := browser(t)
	for _, scenario := range scenarios {
		for _, language := range scenario.languages {
			t.Run(scenario.sentence+"/"+language, func(t *testing.T) {
				t.Parallel()
				v := chromium.visit(t, harness.NewServer(t), language)
				v.opens("/")
				scenario.holds(t, v)
			})
		}
	}
}

func oneLogin(t *testing.T, v *visitor) {
	require.Equal(t, v.language, js[string](v, `document.documentElement.lang`))
	require.Equal(t, []string{"session", "cookie", "token"}, v.panels())
	v.showsAll(fields{"status": "401", "code": "no_credential", "sentence": v.word("code.no_credential"), "user": "–"})
	v.outcome("") // nobody has done anything yet
	v.acts("login")
	v.showsAll(fields{
		"status": "200", "code": "", "sentence": v.word("done.200"), "user": "Alice", "role": "member",
		"theme": "light", "credits": "100", "version": "1", "note": "",
	})
	v.outcome("done")
	require.Equal(t, v.word("act.login")+": session 200, cookie 200, token 200", v.text("[data-live]"), "for a screen reader")
	require.Equal(t, "0", v.field("cookie", "reads"))
	require.Equal(t, "1", v.field("session", "reads"))
	require.Equal(t, v.word("held.nothing"), v.field("cookie", "held"))

	v.clicks(testid("account-teacher"))
	v.acts("login")
	v.showsAll(fields{"status": "200", "user": "Teacher", "role": "admin"})
}

func addedColumn(t *testing.T, v *visitor) {
	v.acts("login")
	v.clicks(`[data-add="cookie-sealed"]`)
	require.Equal(t, []string{"session", "cookie", "cookie-sealed", "token"}, v.panels())
	require.Equal(t, "cookie-sealed", js[string](v, `document.activeElement.textContent`), "the focus is in what was added")
	v.shows("cookie-sealed", fields{"status": "401", "code": "no_credential"})
	v.acts("login")
	v.showsAll(fields{"status": "200", "user": "Alice"})

	v.clicks(panel("token", "[data-hide]"))
	require.Equal(t, []string{"session", "cookie", "cookie-sealed"}, v.panels())
	require.Equal(t, "token", js[string](v, `document.activeElement.dataset.add`))
	v.clicks(`[data-add="token"]`)
	v.shows("token", fields{"status": "200", "user": "Alice"}) // to hide is not to forget
}

func everyAct(t *testing.T, v *visitor) {
	v.clicks(`[data-add="cookie-sealed"]`)
	v.acts("login")
	v.acts("profile")
	v.showsAll(fields{"status": "200", "theme": "light", "version": "1"})
	v.acts("theme")
	v.showsAll(fields{"status": "200", "theme": "dark", "version": "2"})
	v.acts("spend")
	v.showsAll(fields{"status": "200", "credits": "70", "version": "3"})
	v.acts("refresh")
	v.showsAll(fields{"status": "200", "theme": "dark", "credits": "70", "version": "3"})
	v.outcome("done")

	v.acts("spend", "spend", "spend")
	v.showsAll(fields{"status": "409", "code": "insufficient_credits", "sentence": v.word("code.insufficient_credits"), "credits": "10"})
	v.outcome("refused")

	v.acts("logout")
	v.showsAll(fields{"status": "204", "code": "", "user": "–", "credits": "–", "bytes_up": "0"})
	for _, slug := range v.panels() {
		if v.s.Traits(t, slug).Revocable {
			v.shows(slug, fields{"note": ""})
		} else {
			v.shows(slug, fields{"note": v.word("note.copy")})
		}
		require.Empty(t, v.cookies(slug))
	}
	v.acts("profile")
	v.showsAll(fields{"status": "401", "code": "no_credential"})
	v.outcome("refused")
}

func clicksQueue(t *testing.T, v *visitor) {
	v.does("for (const act of ['login', 'theme', 'theme', 'spend', 'theme']) document.querySelector(`[data-act=${act}]`).click()")
	v.settles()
	v.showsAll(fields{"status": "200", "theme": "dark", "credits": "70", "version": "5"})
}

// done are the tutorial's steps that are ticked.
func (v *visitor) done() []string {
	v.t.Helper()
	return js[[]string](v, `[...document.querySelectorAll('[data-step][data-done=true]')].map((e) => e.dataset.step)`)
}

func steps(t *testing.T, v *visitor) {
	for _, step := range []string{"login", "profile", "end", "headers"} {
		v.clicks(fmt.Sprintf(`[data-step=%q]`, step))
	}
	v.acts("profile")
	require.Empty(t, v.done(), "neither a click on a step nor a refusal ticks it")
	require.Equal(t, slices.Repeat([]string{v.word("step.open")}, 4), v.texts("[data-step-state]"))
	v.acts("login")
	require.Equal(t, []string{"login"}, v.done())
	v.acts("profile")
	require.Equal(t, []string{"login", "profile"}, v.done())
	v.acts("logout")
	require.Equal(t, []string{"login", "profile"}, v.done(), "a logout is seen by what answers afterwards")
	v.acts("profile")
	require.Equal(t, []string{"login", "profile", "end"}, v.done())
	v.opensDetails("wire", "cookie")
	require.Equal(t, []string{"login", "profile", "end", "headers"}, v.done())
	require.Equal(t, slices.Repeat([]string{v.word("step.done")}, 4), v.texts("[data-step-state]"))
	v.reloads()
	require.Len(t, v.done(), 4, "a reload is part of the lesson")
}

func vanishedLogin(t *testing.T, v *visitor) {
	v.acts("login")
	call(v, network.ClearBrowserCookies, cdp.Empty{}) // as a learner does in DevTools
	require.Equal(t, []string{"login"}, v.done())
	v.acts("profile")
	v.shows("session", fields{"status": "401", "code": "no_credential", "user": "–"})
	v.shows("token", fields{"status": "200"})
	require.Equal(t, []string{"login", "profile", "end"}, v.done())
}

func reload(t *testing.T, v *visitor) {
	v.acts("login")
	v.reloads()
	for _, slug := range []string{"session", "cookie"} {
		v.shows(slug, fields{"status": "200", "user": "Alice", "note": ""})
	}
	v.shows("token", fields{"status": "401", "code": "no_credential", "user": "–", "note": v.word("note.reloaded")})
	require.True(t, js[bool](v, `document.querySelector('[data-strategy=token] [data-field=note]').checkVisibility()`))
	v.acts("login")
	v.shows("token", fields{"status": "200", "note": ""})
	v.acts("logout")
	v.reloads()
	v.shows("token", fields{"status": "401", "note": ""}) // nothing was lost
}

const stored = `localStorage.getItem('statelab.token')`

func keptToken(t *testing.T, v *visitor) {
	require.Equal(t, []string{v.word("keep.local")}, v.texts(".panel .keeper label"), "only where script has the choice, and labelled")
	v.acts("login")
	v.clicks(testid("keep-local"))
	require.Contains(t, js[string](v, stored), "eyJ")
	v.reloads()
	v.showsAll(fields{"status": "200", "user": "Alice", "note": ""})
	require.True(t, js[bool](v, `document.querySelector('[data-keep-local]').checked`))
	v.acts("spend", "refresh")
	v.showsAll(fields{"status": "200", "credits": "70"})

	v.clicks(testid("keep-local"))
	require.True(t, js[bool](v, stored+` === null`), "the choice can be taken back")
	v.acts("profile")
	v.shows("token", fields{"status": "200", "credits": "70"})
	v.clicks(testid("keep-local"))
	v.acts("logout")
	require.Zero(t, js[int](v, `localStorage.length`))
}

func expiredToken(t *testing.T, v *visitor) {
	v.acts("login")
	v.s.Clock.Advance(20 * time.Minute)
	v.acts("profile")
	v.shows("session", fields{"status": "401", "code": "unknown_session", "sentence": v.word("code.unknown_session")})
	v.shows("cookie", fields{"status": "200", "user": "Alice"})
	v.shows("token", fields{"status": "200", "user": "Alice"})
	newest := v.texts(panel("token", "[data-exchanges] .start"))
	require.Equal(t, []string{"GET /token/profile", "200", "POST /token/refresh", "200", "GET /token/profile", "401 expired"}, newest[:6])
}

// reachable is everything that a script on this page could send elsewhere
// without asking the server.
const reachable = `(async () => [
	document.cookie, ...Object.values(localStorage), ...Object.values(sessionStorage),
	...await indexedDB.databases(), ...await caches.keys(),
].filter(Boolean))()`

// addsAll shows every column that the page has.
func (v *visitor) addsAll() {
	shown := v.panels()
	for _, slug := range harness.Strategies {
		if !slices.Contains(shown, slug) {
			v.clicks(fmt.Sprintf(`[data-add=%q]`, slug))
		}
	}
}

func nothingToRead(t *testing.T, v *visitor) {
	v.addsAll()
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

func wire(t *testing.T, v *visitor) {
	v.opensDetails("wire", "session", "cookie", "token")
	require.Contains(t, v.text(panel("session", "[data-exchanges] li")), v.word("wire.none.cookie"))
	require.Contains(t, v.text(panel("token", "[data-exchanges] li")), v.word("wire.none.bearer"))
	v.acts("login")
	for _, slug := range []string{"session", "cookie"} {
		login := v.text(panel(slug, "[data-exchanges] li"))
		require.Contains(t, login, "POST /"+slug+"/login")
		require.Contains(t, login, `{"username":"alice","password":"•••"}`)
		require.Contains(t, login, "Set-Cookie: statelab_"+slug+"=…")
	}
	require.Contains(t, v.text(panel("token", "[data-exchanges] li")), `{"credential": {"access_token": "eyJ`)

	v.clicks(testid("keep-local")) // so that the test can look at the token, too
	v.acts("profile")
	for _, slug := range []string{"session", "cookie"} {
		value := v.cookies(slug)[0].Value
		require.Contains(t, v.text(panel(slug, "[data-exchanges] li")), "Cookie: "+harness.CookieName(slug)+"="+value[:4]+"…")
		require.Equal(t, "Cookie: "+harness.CookieName(slug)+"="+value[:4]+"…", v.field(slug, "carried"))
	}
	token := js[string](v, `JSON.parse(`+stored+`).access_token`)
	require.Contains(t, v.text(panel("token", "[data-exchanges] li")), "Authorization: Bearer "+token[:6]+"…")
	require.NotContains(t, js[string](v, `document.documentElement.outerHTML`), token)
	v.acts("logout", "profile")
	require.Contains(t, v.text(panel("session", "[data-exchanges] li")), v.word("wire.none.cookie"))
	require.Contains(t, v.text(panel("token", "[data-exchanges] li")), v.word("wire.none.bearer"))
}

func inside(t *testing.T, v *visitor) {
	v.clicks(`[data-add="cookie-sealed"]`)
	v.showsAll(fields{"inside": v.word("inside.absent")})
	v.acts("login")
	for slug, key := range map[string]string{
		"session": "inside.random", "cookie": "inside.readable", "cookie-sealed": "inside.sealed", "token": "inside.readable",
	} {
		v.opensDetails("inside", slug)
		v.shows(slug, fields{"inside": v.word(key)})
		shown := js[bool](v, fmt.Sprintf("document.querySelector(%q).checkVisibility()", panel(slug, "[data-field=decoded]")))
		require.Equal(t, slug != "session", shown, slug)
		if shown {
			require.Contains(t, v.field(slug, "decoded"), `"preferred_username": "alice"`)
		}
	}
}

// spoken are the words that a visitor sees or hears, without what the contract
// spells the same in every language: names, codes, values and requests.
const spoken = `(() => {
	const same = 'script, style, template, noscript, code, pre, .wordmark, [href="/openapi.yaml"], [data-language], .accounts button, ' +
		'[data-field=slug], [data-field=user], [data-field=role], [data-field=theme], .exchanges, .curl .slug, ' +
		'title:not([data-word]), .single h1, .crumbs, [data-live], footer p:last-child, ' +
		'option, [data-advance], [data-copies] b, .records b, [data-field=inbox_where] a, [data-field=inbox_books] a, [data-field=pulled]:not(:empty)';
	const walk = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
	const texts = [];
	while (walk.nextNode()) {
		if (walk.currentNode.data.trim() && !walk.currentNode.parentElement.closest(same)) texts.push(walk.currentNode.data.trim());
	}
	for (const named of document.querySelectorAll('[aria-label], [title], [placeholder], [alt]')) {
		texts.push(...['aria-label', 'title', 'placeholder', 'alt'].map((name) => named.getAttribute(name)).filter(Boolean));
	}
	return texts;
})()`

var (
	hangul = regexp.MustCompile(`\p{Hangul}`)
	latin  = regexp.MustCompile(`[A-Za-z]{2}`)
)

func languages(t *testing.T, v *visitor) {
	other := map[string]string{"en": "ko", "ko": "en"}
	look := func() []string {
		t.Helper()
		require.Equal(t, v.language, js[string](v, `document.documentElement.lang`))
		texts := js[[]string](v, spoken)
		for _, text := range texts {
			for _, part := range append(strings.Fields(text), text) {
				if _, isKey := words()[v.language][part]; isKey && (part == text || strings.Contains(part, ".")) {
					t.Fatalf("%q shows a key instead of its text", text)
				}
			}
			if v.language == "en" {
				require.NotRegexp(t, hangul, text)
			} else if latin.MatchString(text) {
				require.Regexp(t, hangul, text, "left in English")
			}
		}
		return texts
	}
	change := func() {
		t.Helper()
		v.language = other[v.language]
		v.clicks(testid("language-" + v.language))
		for language := range other {
			require.Equal(t, fmt.Sprint(language == v.language),
				js[string](v, fmt.Sprintf(`document.querySelector('%s').ariaPressed`, testid("language-"+language))))
		}
	}
	v.clicks(`[data-add="cookie-sealed"]`)
	for _, moment := range [][]string{
		nil, {"login"}, {"theme"}, {"spend"}, {"spend", "spend", "spend"}, {"refresh"}, {"logout"}, {"refresh"}, {"profile"},
	} {
		v.acts(moment...)
		if slices.Contains(moment, "theme") {
			v.opensAll()
		}
		before := look()
		change()
		require.Len(t, look(), len(before))
		change()
		require.Equal(t, before, look(), "back again")
	}
	v.acts("login")
	v.reloads()
	look() // with the note that a token was lost
	for _, slug := range harness.Strategies {
		if harness.Promises()[slug].Page {
			continue // it speaks one language
		}
		v.opens("/" + slug + "/")
		look()
		change()
		look()
		v.acts("login")
		look()
		change()
		look()
	}
}

func place(t *testing.T, v *visitor) {
	hash := func() string { return js[string](v, `location.hash`) }
	other := map[string]string{"en": "ko", "ko": "en"}[v.language]
	require.Empty(t, hash())
	v.clicks(testid("language-" + other))
	require.Equal(t, "#lang="+other, hash())
	v.clicks(`[data-add="cookie-sealed"]`)
	require.Equal(t, "#lang="+other+"&s=session,cookie,cookie-sealed,token", hash())
	v.clicks(panel("session", "[data-hide]"), panel("token", "[data-hide]"))
	require.Equal(t, "#lang="+other+"&s=cookie,cookie-sealed", hash())
	v.reloads()
	require.Equal(t, []string{"cookie", "cookie-sealed"}, v.panels())
	require.Equal(t, other, js[string](v, `document.documentElement.lang`))

	v.does(`location.hash = '#lang=` + v.language + `&s=token,nonsense,session'`)
	v.until(`document.documentElement.lang === '` + v.language + `'`)
	v.settles()
	require.Equal(t, []string{"session", "token"}, v.panels(), "in the page's order")

	v.goes("about:blank")
	v.opens("/#lang=" + other + "&s=cookie")
	require.Equal(t, []string{"cookie"}, v.panels(), "a link that was shared")
	v.loads(chromedp.Click(chromedp.CSS(panel("cookie", "h3 a"))))
	v.settles()
	require.Equal(t, "/cookie/", js[string](v, `location.pathname`))
	require.Equal(t, other, js[string](v, `document.documentElement.lang`), "the language goes along")
}

// tabs presses Tab until what a selector finds has the focus, which every stop
// must show.
func (v *visitor) tabs(selector string) {
	v.t.Helper()
	for range 60 {
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

func keyboard(t *testing.T, v *visitor) {
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
	v.showsAll(fields{"status": "200", "credits": "70"})
	v.tabs(testid("act-logout"))
	v.presses(kb.Enter)
	v.settles()
	v.showsAll(fields{"status": "204"})
	v.tabs(panel("session", "[data-wire] summary"))
	v.presses(kb.Enter)
	v.until(`document.querySelector('[data-step=headers]').dataset.done === 'true'`)
	v.tabs(testid("keep-local"))
	v.presses(" ")
	v.until(`document.querySelector('[data-keep-local]').checked`)

	v.does(`document.querySelector('.skip').focus()`)
	v.presses(kb.Enter)
	require.Equal(t, "panels", js[string](v, `document.activeElement.id`))
	require.Empty(t, js[string](v, `location.hash`), "the address is the page's state")
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

func nothingInline(t *testing.T, v *visitor) {
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
}

func markup(t *testing.T, v *visitor) {
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
		v.types("username", hostile)
		v.types("password", hostile)
		v.acts("login")
		v.opensAll()
		require.Contains(t, v.text(panel(slug, "[data-exchanges]")), hostile)
		shown := v.field(slug, "decoded")
		if path != "/" {
			shown = v.text(testid("inspection"))
		}
		require.Contains(t, shown, hostile, "the nickname")
		curl := v.text("[data-curl-for] code")
		require.Equal(t, 1, strings.Count(curl, hostile), "the name, and not a password that nobody has published: %s", curl)
		require.True(t, js[bool](v, `!document.querySelector('img, [onerror]') && typeof ran === 'undefined'`))
	}
}

func wrongPassword(t *testing.T, v *visitor) {
	v.types("password", "queen of hearts")
	v.acts("login")
	v.showsAll(fields{"status": "401", "code": "bad_login", "sentence": v.word("code.bad_login"), "user": "–"})
	v.outcome("refused")
	require.Contains(t, v.text("[data-live]"), "bad_login")
	require.Empty(t, v.done())

	v.clicks(testid("account-alice"))
	v.acts("login")
	v.types("password", "queen of hearts")
	v.acts("login")
	v.showsAll(fields{"status": "401", "code": "bad_login", "user": "Alice"}) // who was logged in still is
	for range 9 {
		v.acts("login")
	}
	v.showsAll(fields{"status": "429", "code": "too_many_attempts", "sentence": v.word("code.too_many_attempts")})
}

func goneServer(t *testing.T, v *visitor) {
	v.acts("login")
	block := func(yes bool) {
		call(v, network.SetBlockedURLs, network.SetBlockedURLsParams{URLPatterns: []*network.BlockPattern{{URLPattern: v.origin + "/*", Block: yes}}})
	}
	block(true)
	v.acts("profile")
	v.showsAll(fields{"status": "–", "code": "unreachable", "sentence": v.word("code.unreachable"), "user": "Alice"})
	require.Equal(t, []string{"login"}, v.done())
	v.clicks(testid("language-ko"), testid("language-en")) // needs no server
	block(false)
	v.acts("profile")
	v.showsAll(fields{"status": "200", "user": "Alice"})
}

func curlLines(t *testing.T, v *visitor) {
	v.clicks(`[data-add="cookie-sealed"]`)
	script := map[string]string{}
	acts := []string{"login", "profile", "theme", "spend", "refresh", "logout"}
	for _, act := range acts {
		v.does(fmt.Sprintf("document.querySelector('%s').focus()", testid("act-"+act)))
		require.Equal(t, v.word("act."+act), v.text("[data-curl-act]"))
		for _, slug := range v.panels() {
			script[slug] += v.text(fmt.Sprintf("[data-curl-for=%q] code", slug)) + "\n"
		}
	}
	v.acts("login")
	// A browser without a window has nobody to ask, and denies it.
	call(v, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
		Permission: &cdpbrowser.PermissionDescriptor{Name: "clipboard-write"}, Setting: cdpbrowser.PermissionSettingGranted,
		BrowserContextID: chromedp.FromContext(v.tab).BrowserContextID,
	})
	v.clicks("[data-curl-for=token] button")
	v.until(fmt.Sprintf("document.querySelector('[data-curl-for=token] button').textContent === %q", v.word("copied")))
	require.Equal(t, v.text("[data-curl-for=token] code"), js[string](v, `getSelection().toString()`))

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
}

func strategyPages(t *testing.T, v *visitor) {
	for _, slug := range harness.Strategies {
		traits := v.s.Traits(t, slug)
		if harness.Promises()[slug].Page {
			continue // it has tests of its own
		}
		v.opens("/" + slug + "/")
		require.Equal(t, []string{slug}, v.panels())
		require.Equal(t, slug, v.text("h1"))
		require.Equal(t, harness.Strategies, v.texts(".crumbs a"))
		require.Len(t, v.texts(testid("facts")+" dt"), 11)
		require.Equal(t, v.word("sees.nothing"), v.text(testid("script-sees")))
		require.Equal(t, v.word("inspect.none"), v.text(testid("inspection")))

		v.acts("login", "spend")
		v.shows(slug, fields{"status": "200", "user": "Alice", "credits": "70"})
		require.Contains(t, v.text(testid("inspection")), `"carried"`)
		require.Equal(t, v.field(slug, "held"), v.text(testid("server-holds")))
		if traits.SentByBrowser {
			if traits.HTTPOnly {
				require.Equal(t, v.word("sees.nothing_httponly"), v.text(testid("script-sees")))
			} else {
				require.Contains(t, v.text(testid("script-sees")), harness.CookieName(slug)[:6]+"…")
			}
			require.Equal(t, "Cookie: "+harness.CookieName(slug)+"="+v.cookies(slug)[0].Value[:4]+"…", v.text(testid("browser-sends")))
		} else {
			require.Contains(t, v.text(testid("script-sees")), "eyJ", "what script keeps, script can read")
			require.Contains(t, v.text(testid("browser-sends")), "Authorization: Bearer eyJ")
		}
		require.Equal(t, traits.SentByBrowser && !traits.HTTPOnly, len(js[[]any](v, reachable)) > 0, "even where the path of the cookie is")
		v.acts("logout")
		require.Equal(t, v.word("sees.nothing"), v.text(testid("script-sees")))
	}
}

// ownPages are those that a strategy has in place of ours: their form works, under
// a policy that lets a name reach nothing.
func ownPages(t *testing.T, v *visitor) {
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
}

func otherName(t *testing.T, v *visitor) {
	v.goes(v.s.URL + "/#lang=ko")
	v.settles()
	require.Equal(t, v.origin+"/#lang=ko", js[string](v, `location.href`))
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

func TestPageIsAccessible(t *testing.T) {
	script, chromium := axe(t), browser(t)
	for _, language := range both {
		for path, looks := range map[string][]appearance{"/": appearances, "/cookie/": {{1280, "light"}, {375, "dark"}}} {
			t.Run(language+path, func(t *testing.T) {
				t.Parallel()
				v := chromium.visit(t, harness.NewServer(t), language)
				v.opens(path)
				v.does(script)
				v.isAccessible(looks[0])
				v.acts("login", "theme")
				v.opensAll()
				if path == "/" {
					v.clicks(testid("thief-copy"), testid("thief-use"), testid("lever-store"))
				}
				for _, a := range looks {
					v.isAccessible(a)
				}
				v.does(`scrollTo(0, 0)`)
				v.acts("spend", "spend", "spend", "spend")
				v.outcome("refused")
				v.isAccessible(looks[0])
			})
		}
	}
}

func TestPagePictures(t *testing.T) {
	dir := os.Getenv("STATELAB_SCREENSHOTS")
	if dir == "" {
		t.Skip("skipped: STATELAB_SCREENSHOTS names no directory for pictures of the page")
	}
	require.NoError(t, os.MkdirAll(dir, 0o750))
	chromium := browser(t)
	for _, language := range both {
		v := chromium.visit(t, harness.NewServer(t), language)
		for name, path := range map[string]string{"page": "/", "four": "/#s=" + strings.Join(harness.Strategies, ","), "session": "/session/", "token": "/token/"} {
			take := func(moment string) {
				for _, a := range appearances {
					v.looks(a)
					v.does(`scrollTo(0, 0)`)
					picture, err := run(v, chromedp.FullScreenshot(100))
					require.NoError(t, err)
					file := fmt.Sprintf("%s-%s-%d-%s-%s.png", name, language, a.width, a.scheme, moment)
					require.NoError(t, os.WriteFile(filepath.Join(dir, file), picture, 0o600))
				}
			}
			v.opens(path)
			v.acts("login")
			take("in")
			if path == "/" {
				v.opensLab("thief")
				v.clicks(testid("thief-copy"), testid("thief-forge"))
			}
			v.acts("theme", "logout", "profile")
			v.opensAll()
			take("out")
		}
	}
}
