package browser

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// tries presses "Try it out" of an operation, chooses a strategy, presses "Execute" and
// requires the status of the answer. It changes nothing else on the form.
func (v *visitor) tries(tag, operation, slug, status string) {
	v.t.Helper()
	in := func(selector string) string { return fmt.Sprintf("#operations-%s-%s %s", tag, operation, selector) }
	click := func(selector string) {
		v.t.Helper()
		v.until(fmt.Sprintf(`document.querySelector(%q)`, in(selector)))
		_, err := run(v, chromedp.Click(chromedp.CSS(in(selector))))
		require.NoError(v.t, err)
	}
	v.until(fmt.Sprintf(`document.querySelector(%q)`, in(".opblock-summary-control")))
	if !js[bool](v, fmt.Sprintf(`!!document.querySelector(%q)`, in(".execute"))) {
		click(".opblock-summary-control")
		click(".try-out__btn")
	}
	v.until(fmt.Sprintf(`document.querySelector(%q)`, in(`[data-param-name=strategy] select:enabled`)))
	v.does(fmt.Sprintf(`(() => {
		const select = document.querySelector(%q);
		Object.getOwnPropertyDescriptor(HTMLSelectElement.prototype, 'value').set.call(select, %q);
		select.dispatchEvent(new Event('change', { bubbles: true }));
	})()`, in(`[data-param-name=strategy] select`), slug))
	click(".execute")
	code := in(".live-responses-table tbody .response-col_status")
	v.until(fmt.Sprintf(`document.querySelector(%q)`, code))
	require.Contains(v.t, v.text(code), status, "%s of %s", operation, slug)
	click(".btn-clear")
	v.until(fmt.Sprintf(`!document.querySelector(%q)`, code))
}

// The documentation page sends its requests to the server that shows it, whatever the
// port is, and the browser sends the cookie of the strategy by itself.
func TestTheDocumentationCanBeTriedOut(t *testing.T) {
	v := browser(t).visit(t, harness.NewServer(t), "en")
	v.goes(v.origin + "/docs")
	v.tries("login", "startLogin", "cookie-sealed", "200")
	v.tries("login", "readProfile", "cookie-sealed", "200")
}
