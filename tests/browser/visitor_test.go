package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

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

// A visitor is a browser without memory: one tab, with cookies and storage of its
// own.
type visitor struct {
	t        *testing.T
	s        *harness.Server
	origin   string // of s, by the name that the page goes by
	language string
	tab      context.Context

	mu      sync.Mutex
	said    []string
	refused []string // requests of the page whose answer the browser reports as an error
	sent    []string // what was asked, preflights included: "GET /session/profile"
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
		line := e.Entry.Text + " " + e.Entry.URL
		if e.Entry.Source == log.EntrySourceNetwork && asked.MatchString(e.Entry.URL) {
			v.refused = append(v.refused, line)
		} else {
			v.said = append(v.said, line)
		}
	case *network.EventRequestWillBeSent:
		if u, err := url.Parse(e.Request.URL); err == nil {
			v.sent = append(v.sent, e.Request.Method+" "+u.Path)
		}
	}
}

// console returns what was said since it was last asked.
func (v *visitor) console() []string { return v.takes(&v.said) }

// refusals returns the requests of the page that were refused since it was last
// asked: a browser shows each of them as an error.
func (v *visitor) refusals() []string { return v.takes(&v.refused) }

// asks returns what was sent since it was last asked.
func (v *visitor) asks() []string { return v.takes(&v.sent) }

func (v *visitor) takes(list *[]string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	taken := *list
	*list = nil
	return taken
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

// opens goes to one of our pages and waits for its table.
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

// cell is the selector of something in a cell of a column, head of something in
// its head, lane of something in its lane of the tab Wire, and ray of something in
// its part of the tab X-ray.
func cell(slug, inner string) string { return fmt.Sprintf(`td[data-strategy=%q] %s`, slug, inner) }
func head(slug, inner string) string { return fmt.Sprintf(`th[data-strategy=%q] %s`, slug, inner) }
func lane(slug, inner string) string { return fmt.Sprintf(`.lane[data-strategy=%q] %s`, slug, inner) }
func ray(slug, inner string) string  { return fmt.Sprintf(`.ray[data-strategy=%q] %s`, slug, inner) }

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

// opensTab opens one of the tabs below the table.
func (v *visitor) opensTab(name string) {
	v.t.Helper()
	v.clicks(testid("tab-" + name))
	v.until(fmt.Sprintf(`!document.querySelector('#panel-%s').hidden`, name))
	v.framesLoad()
}

// framesLoad waits for the frames of strategies' own pages.
func (v *visitor) framesLoad() {
	v.t.Helper()
	v.until(`[...document.querySelectorAll('iframe')].every((frame) => frame.contentDocument?.readyState === 'complete' && frame.contentWindow.location.pathname.length > 1)`)
	v.settles()
}

// toggles ticks or clears columns in the menu of columns.
func (v *visitor) toggles(slugs ...string) {
	v.t.Helper()
	v.clicks(".menu summary")
	for _, slug := range slugs {
		v.clicks(fmt.Sprintf(`[data-add=%q]`, slug))
	}
	v.presses(kb.Escape)
	v.until(`!document.querySelector('.menu').open`)
}

// addsAll shows every strategy.
func (v *visitor) addsAll() {
	v.t.Helper()
	v.clicks(".menu summary", testid("all-columns"), `[data-add="localStorage"]`)
	v.presses(kb.Escape)
	require.Equal(v.t, harness.Strategies, v.columns())
}

// showsMore shows the rows that only some lessons need.
func (v *visitor) showsMore() {
	v.t.Helper()
	v.clicks(testid("more-facts"))
	require.Equal(v.t, v.word("facts.fewer"), v.text(testid("more-facts")))
}

// opensAll makes a page show as much as it can.
func (v *visitor) opensAll() {
	v.t.Helper()
	v.does(`for (const details of document.querySelectorAll('details:not(.menu)')) details.open = true`)
	v.framesLoad()
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

// field is a field of a column: "" if the column does not show it now.
func (v *visitor) field(slug, name string) string {
	v.t.Helper()
	return js[string](v, fmt.Sprintf("document.querySelector(%q)?.textContent.trim() ?? ''", cell(slug, "[data-field="+name+"]")))
}

// columns are the slugs of the columns shown.
func (v *visitor) columns() []string {
	v.t.Helper()
	return js[[]string](v, `[...document.querySelectorAll('.board thead [data-strategy]')].map((e) => e.dataset.strategy)`)
}

type fields map[string]string

// shows requires fields of one column.
func (v *visitor) shows(slug string, want fields) {
	v.t.Helper()
	for name, text := range want {
		require.Equal(v.t, text, v.field(slug, name), "%s: %s", slug, name)
	}
}

// showsAll requires fields of every column shown.
func (v *visitor) showsAll(want fields) {
	v.t.Helper()
	for _, slug := range v.columns() {
		v.shows(slug, want)
	}
}

// outcome requires what every column says of the last act: "done", "refused" or "".
func (v *visitor) outcome(want string) {
	v.t.Helper()
	require.Equal(v.t, len(v.columns()), js[int](v, fmt.Sprintf(`document.querySelectorAll('[data-row=answer] td[data-outcome=%q]').length`, want)))
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

// sized sets the size of the window.
func (v *visitor) sized(width, height int) {
	v.t.Helper()
	call(v, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: int64(width), Height: int64(height), DeviceScaleFactor: 1})
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

// phrase is a text of the page with its values: a name and a value each.
func (v *visitor) phrase(key string, values ...string) string {
	v.t.Helper()
	text := v.word(key)
	for pair := range slices.Chunk(values, 2) {
		require.Contains(v.t, text, "{"+pair[0]+"}")
		text = strings.ReplaceAll(text, "{"+pair[0]+"}", pair[len(pair)-1])
	}
	return text
}

// The languages of the page.
var (
	both    = []string{"en", "ko"}
	english = both[:1]
	korean  = both[1:]
)

// onPage tries what holds for the page at /, in each of these languages: both where
// it is about words, otherwise one. A visitor without memory has just come there.
func onPage(t *testing.T, languages []string, holds func(*testing.T, *visitor)) {
	t.Helper()
	chromium := browser(t)
	for _, language := range languages {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			v := chromium.visit(t, harness.NewServer(t), language)
			v.opens("/")
			holds(t, v)
		})
	}
}

// usesTab has a tab that is open show what it shows after its first act.
func (v *visitor) usesTab(tab string) {
	v.t.Helper()
	switch tab {
	case "experiments":
		v.experiments("E07")
		v.opensCell("E07.cookie")
	case "caches":
		v.clicks(testid("caches-write"))
	case "attacker":
		v.clicks(testid("thief-copy"), testid("thief-use"))
	case "levers":
		v.clicks(testid("lever-store"))
	}
}
