package browser

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api/lab"
	"statelab/state"
	"statelab/tests/harness"
)

// experiments runs experiments from the tab, which is open, one after the other.
func (v *visitor) experiments(ids ...string) {
	v.t.Helper()
	for _, id := range ids {
		v.clicks(fmt.Sprintf(`.matrix [data-run=%q]`, id))
		require.Contains(v.t, v.text("[data-field=lab_said]"), strings.Split(v.word("lab.ended"), "{")[0])
	}
}

// opensCell opens an experiment, or one of its cells: "E07.cookie".
func (v *visitor) opensCell(cell string) {
	v.t.Helper()
	v.clicks(fmt.Sprintf(`.matrix [href*="cell=%s"]`, cell))
	_, slug, _ := strings.Cut(cell, ".")
	if slug != "" {
		v.until(fmt.Sprintf(`document.querySelector('.cell[data-cell=%q] .exchanges')`, slug))
	}
}

// member is what the cell that is open says of a member of the result, and of that of
// its variant.
func (v *visitor) member(name string) []string {
	v.t.Helper()
	return v.texts(fmt.Sprintf(`.cell [data-member=%q] td:nth-child(2)`, name))
}

// A teacher runs an experiment, and reads why a copy lived as long as it did.
func TestAnExperimentSaysWhyACopyLived(t *testing.T) {
	onPage(t, korean, func(t *testing.T, v *visitor) {
		v.opensTab("experiments")
		v.until(`document.querySelectorAll('.matrix tbody tr').length`)
		require.Equal(t, slices.Repeat([]string{v.word("lab.not_run")}, 3*len(lab.Experiments())), v.texts(".matrix td"))
		v.experiments("E07")
		clients := 0
		for _, p := range harness.Promises() {
			if p.Holder == state.HolderClient {
				clients++
			}
		}
		all := fmt.Sprint(len(harness.Strategies) + clients) // each, and some with a denylist too
		require.Equal(t, v.phrase("lab.ended", "all", all), v.text("[data-field=lab_said]"))

		v.opensCell("E07.session")
		require.Equal(t, []string{"0초"}, v.member("lived_s"))
		require.Contains(t, v.member("reason")[0], v.word("code.unknown_session"))
		v.opensCell("E07.token")
		require.Equal(t, "E07.token", js[string](v, `new URLSearchParams(location.hash.slice(1)).get('cell')`))
		require.Equal(t, []string{"15분", "0초"}, v.member("lived_s"), "as it stands, and with a denylist")
		require.Contains(t, v.member("reason")[0], v.word("code.expired"))
		require.Contains(t, v.member("reason")[1], v.word("code.revoked"))
		require.True(t, js[bool](v, `document.activeElement.matches('.cell h3')`), "the reader is there")
		require.Equal(t, v.word("mark.bad"), js[string](v, `document.querySelector('[data-result="E07 token"] .mark').ariaLabel`))

		steps := v.texts(".exchanges:first-of-type summary")
		require.Regexp(t, `^alice 로그인 POST /token/login → 200 보냄 \d+바이트, 받음 [\d,]+바이트$`, steps[0])
		require.Regexp(t, `^도둑 프로필 보기 GET /token/profile → 401 `, steps[len(steps)-1])
		raw := v.texts(".exchanges:first-of-type li:first-child pre")
		require.True(t, strings.HasPrefix(raw[0], "POST /token/login HTTP/1.1\n"), raw[0])
		require.True(t, strings.HasPrefix(raw[1], "HTTP/1.1 200 OK\n"), raw[1])
		v.looksSpoken()

		v.reloads()
		v.until(`document.querySelector('.cell[data-cell=token] .exchanges')`)
		v.clicks(testid("close-experiment"))
		require.True(t, js[bool](v, `document.querySelector('[data-experiment]').hidden && document.activeElement.matches('.matrix td a')`))
		require.NotContains(t, js[string](v, `location.hash`), "cell=")
	})
}

// Every step and every agent of an experiment has a Korean name.
func TestStepsOfExperimentsSpeakKorean(t *testing.T) {
	onPage(t, korean, func(t *testing.T, v *visitor) {
		some := []string{"session", "token", "cookie-plain", "session-stock"}
		for _, e := range lab.Experiments() {
			path := "/classroom/experiments/" + e.ID + "/run"
			v.s.Client(t, "").Do("POST", path, map[string]any{"strategies": some}).Is(http.StatusOK)
		}
		v.opens("/#open=experiments&s=" + strings.Join(some, ","))
		v.until(`document.querySelector('.matrix td a')`)
		require.Empty(t, v.texts(".matrix td.none"))
		for _, e := range lab.Experiments() {
			for _, slug := range some {
				if js[bool](v, fmt.Sprintf(`!document.querySelector('[data-result="%s %s"] .mark.none')`, e.ID, slug)) {
					v.opensCell(e.ID + "." + slug)
					v.looksSpoken()
				}
			}
		}
	})
}

// What is needed leaves the strategies whose experiments say so, and names the
// experiment that excludes each other one.
func TestTheChooserLeavesWhatSatisfiesANeed(t *testing.T) {
	met := map[string]func(p state.Traits) bool{
		"logout":    func(p state.Traits) bool { return p.Revocable },
		"storeless": func(p state.Traits) bool { return p.KeptIn == "" },
		"large":     func(p state.Traits) bool { return p.LimitBytes == 0 || !p.SentByBrowser },
		"csrf":      func(p state.Traits) bool { return !p.SentByBrowser },
		"mobile":    func(p state.Traits) bool { return !p.SentByBrowser },
	}
	decides := map[string]string{"logout": "E07", "storeless": "E01", "large": "E18", "csrf": "E11", "mobile": "E01"}
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.opens("/#open=experiments&need=csrf,logout")
		v.until(`document.querySelector('.matrix tbody tr')`)
		require.Equal(t, v.phrase("need.unknown", "ids", "E11, E07"), v.text("[data-field=chosen]"))
		v.experiments("E01", "E07", "E11", "E18")
		for _, chosen := range []string{"logout", "storeless", "large", "csrf", "mobile", "logout,csrf", "logout,storeless"} {
			needs := strings.Split(chosen, ",")
			v.opens("/#open=experiments&need=" + chosen)
			v.until(`document.querySelector('.matrix td a, [data-excluded]')`)
			var left []string
			for _, slug := range harness.Strategies {
				unmet := []string{}
				for _, need := range needs {
					if !met[need](harness.Promises()[slug].Traits) {
						unmet = append(unmet, decides[need]+": "+v.word("need."+need+".not"))
					}
				}
				require.Equal(t, unmet, v.texts(fmt.Sprintf(`[data-excluded=%q] a`, slug)), "%s: %v", slug, needs)
				if len(unmet) == 0 {
					left = append(left, slug)
				}
			}
			require.Len(t, v.texts(".matrix thead code"), len(left), "%v", needs)
			if len(left) == 0 {
				require.Contains(t, v.text("[data-field=chosen]"), v.word("need.nothing_left"))
			}
		}
		v.clicks(`[data-excluded=token] a`) // it leads to what was found
		v.until(`document.querySelector('.cell h3')?.textContent.startsWith('E07 token')`)
	})
}

// While a run is under way the page says so, also of a run that it did not begin.
func TestARunThatHasToWaitSaysSo(t *testing.T) {
	onPage(t, korean, func(t *testing.T, v *visitor) {
		v.opensTab("experiments")
		v.until(`document.querySelector('.matrix tbody tr')`)
		v.s.Client(t, "").Do("POST", "/classroom/experiments/run", nil).Is(http.StatusAccepted)
		v.does(`document.querySelector('[data-run=E03]').click()`)
		v.until(fmt.Sprintf(`document.querySelector('[data-field=lab_said]').textContent === %q`, v.word("lab.busy")))
		v.until(`document.querySelector('progress').max > 100 && !document.querySelector('progress').hidden`)
		v.does(`document.querySelector('[data-testid=run-all]').click()`)
		require.Equal(t, v.word("lab.busy"), v.text("[data-field=lab_said]"))
		// The server ends with the test, and the run with it: nothing waits for it here.
	})
}

// A result that is not as expected stands out, and says so.
func TestASurpriseStandsOut(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.does(`const real = fetch;
			globalThis.fetch = async (url, options) => {
				const response = await real(url, options);
				if (url !== '/classroom/compare' || !response.ok) return response;
				const report = await response.json();
				for (const { results } of report.experiments) for (const one of results.slice(0, 1)) one.as_expected = false;
				return new Response(JSON.stringify(report), response);
			};`)
		v.opensTab("experiments")
		v.until(`document.querySelector('.matrix tbody tr')`)
		v.clicks(`[data-run=E03]`)
		require.Contains(t, v.text(`[data-result="E03 session"]`), v.word("lab.surprise"))
		said := v.phrase("lab.ended.surprises", "all", fmt.Sprint(len(harness.Strategies)), "surprises", "1")
		require.Equal(t, said, v.text("[data-field=lab_said]"))
		require.Len(t, v.texts("[data-surprise]"), 1)
	})
}
