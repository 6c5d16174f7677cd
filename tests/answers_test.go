package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// logged returns the access lines that a server writes while f runs.
func logged(t *testing.T, s *harness.Server, f func()) (lines []harness.Object) {
	t.Helper()
	before := len(s.Canary.Log.String())
	f()
	for line := range strings.Lines(s.Canary.Log.String()[before:]) {
		var o harness.Object
		require.NoError(t, json.Unmarshal([]byte(line), &o))
		if o["msg"] == "request" {
			lines = append(lines, o)
		}
	}
	return lines
}

func TestTheLogNamesAnUnknownMethodByOneWord(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	for method, word := range map[string]string{
		strings.Repeat("M", 30_000): "other", "get": "other", "PROPFIND": "other", "TRACE": "TRACE", "DELETE": "DELETE",
	} {
		lines := logged(t, s, func() {
			s.Client(t, "").Do(method, "/accounts", nil).Is(http.StatusMethodNotAllowed, "method_not_allowed")
		})
		require.Len(t, lines, 1)
		require.Equal(t, word, lines[0]["method"])
	}
}

// An answer that refuses a body is not many times as large as the body.
func TestARefusalNamesTenErrorsAtMost(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	pointers := func(items int) (all []any) {
		a := c.Patch(harness.Object{"cart": make([]string, items)}).Is(http.StatusUnprocessableEntity, "validation_failed")
		require.Less(t, len(a.Body), 2000)
		for _, e := range a.At("errors").([]any) {
			all = append(all, e.(map[string]any)["pointer"])
		}
		return all
	}
	require.Equal(t, []any{"/cart/0", "/cart/1"}, pointers(2))
	ten := pointers(200)
	require.Len(t, ten, 10)
	require.Equal(t, "/cart/9", ten[9])
	require.Equal(t, []any{"/cart"}, pointers(21_800), "the items of a cart that is too long are not checked")
}
