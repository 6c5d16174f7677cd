package browser

import (
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api/web"
	"statelab/tests/harness"
)

// sizes are the windows that the page is made for: a small and a larger laptop, and
// a phone.
var sizes = [][2]int{{1280, 720}, {1440, 900}, {390, 844}}

// mostLines is how many lines a heading, button, label or cell may take.
const mostLines = 4

// broken are the texts that take more than so many lines.
const broken = `(() => {
	const lines = (element) => {
		const range = document.createRange();
		range.selectNodeContents(element);
		let count = 0;
		let bottom = -Infinity;
		for (const { top, bottom: end, width } of [...range.getClientRects()].sort((a, b) => a.top - b.top)) {
			if (!width) continue;
			if (top >= bottom - 3) count += 1;
			bottom = Math.max(bottom, end);
		}
		return count;
	};
	const texts = document.querySelectorAll('h1, h2, h3, button, label, legend, summary, th, td, .board .keeper');
	return [...texts].filter((e) => e.checkVisibility() && !e.closest('.unseen') && lines(e) > %d).map((e) => lines(e) + ': ' + e.innerText);
})()`

// sideways are the elements that scroll sideways, besides the table.
const sideways = `[document.documentElement, ...document.querySelectorAll('body *')]
	.filter((e) => !e.closest('.scroller') && e.scrollWidth > e.clientWidth + 1 && (e === document.documentElement || ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)))
	.map((e) => e.outerHTML.slice(0, 90))`

func TestTheFirstScreenShowsWhatALoginChanges(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		for _, size := range sizes[:2] {
			v.sized(size[0], size[1])
			v.acts("login")
			v.does(`scrollTo(0, 0)`)
			for _, slug := range []string{"session", "cookie", "token"} {
				for _, field := range []string{"user", "status", "bytes_up"} {
					require.True(t, js[bool](v, fmt.Sprintf(`(() => {
						const { top, left, right, bottom, width } = document.querySelector(%q).getBoundingClientRect();
						return width > 0 && top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth;
					})()`, cell(slug, "[data-field="+field+"]"))), "%v: %s of %s is outside the first screen", size, field, slug)
				}
			}
		}
	})
}

func TestNoTextIsBrokenAndNothingButTheTableScrollsSideways(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		fits := func(moment string) {
			t.Helper()
			for _, size := range sizes {
				v.sized(size[0], size[1])
				require.Empty(t, js[[]string](v, fmt.Sprintf(broken, mostLines)), "%v, %s", size, moment)
				require.Empty(t, js[[]string](v, sideways), "%v, %s", size, moment)
			}
			v.sized(1280, 900)
		}
		fits("at first")
		v.acts("login", "theme")
		fits("after a login")
		v.showsMore()
		for _, tab := range []string{"wire", "experiments", "xray", "charts", "caches", "attacker", "levers"} {
			v.opensTab(tab)
			v.opensAll()
			v.usesTab(tab)
			fits(tab)
		}
		v.acts("logout")
		fits("after the logout")
		v.addsAll()
		v.acts("login")
		fits("with all columns")
		v.acts("logout", "profile")
		fits("refused")
		v.opens("/session-cached/")
		v.acts("login")
		fits("the page of a strategy")
		_ = v.console() // the tutorial's page has no icon, and its policy refuses one
	})
}

// Limits on what the page at / loads, without the experiments, whose tab came later.
const (
	mostBytes = 220 << 10
	mostStyle = 900 // lines
)

// experimentFiles are what the tab of the experiments adds, with limits of its own.
var experimentFiles = []string{
	"experiments.js", "experiment.js", "laboratory.js", "findings.js", "needs.js", "experiments.css",
}

var experimentWords = regexp.MustCompile(`(?m)^\s*"(lab\.|need).*\n`)

func TestThePageIsSmall(t *testing.T) {
	t.Parallel()
	bytes, style, experiments := 0, 0, 0
	require.NoError(t, fs.WalkDir(web.Assets, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(name, "guide/") {
			return err
		}
		text, err := fs.ReadFile(web.Assets, name)
		require.NoError(t, err)
		count := strings.Count(string(text), "\n")
		if path.Ext(name) == ".js" {
			require.LessOrEqual(t, count, 250, name)
		}
		if slices.Contains(experimentFiles, name) {
			experiments += len(text)
			return nil
		}
		for _, line := range experimentWords.FindAll(text, -1) {
			experiments += len(line)
			bytes -= len(line)
		}
		bytes += len(text)
		if path.Ext(name) == ".css" {
			style += count
		}
		return nil
	}))
	document := harness.NewServer(t).Client(t, "").Do("GET", "/", nil, harness.Header("Accept", "text/html"), func(r *http.Request) { r.Host = "localhost" }).Is(http.StatusOK).Body
	require.Less(t, bytes+len(document), mostBytes)
	require.Less(t, style, mostStyle, "lines of the style sheets")
	require.Less(t, experiments, 40<<10, "the tab of the experiments")
}
