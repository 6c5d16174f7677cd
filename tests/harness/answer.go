package harness

import (
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
)

// An Answer is what came back.
type Answer struct {
	T       testing.TB
	Status  int
	Proto   string
	Header  http.Header
	Body    []byte
	JSON    any
	Cookies []*http.Cookie
	Took    time.Duration // less what the machine kept this process waiting for
}

// At returns the value at a dotted path of the body, or nil.
func (a *Answer) At(path string) any {
	v := a.JSON
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// Text returns the text at a path of the body, or "".
func (a *Answer) Text(path string) string { s, _ := a.At(path).(string); return s }

// Number returns the number at a path of the body, or 0.
func (a *Answer) Number(path string) int64 { f, _ := a.At(path).(float64); return int64(f) }

// Code returns the code of a problem, or "".
func (a *Answer) Code() string { return a.Text("code") }

// Is requires a status, and for a problem its code.
func (a *Answer) Is(status int, code ...string) *Answer {
	a.T.Helper()
	require.Equal(a.T, status, a.Status, "%s", a.Body)
	if len(code) > 0 {
		require.Equal(a.T, code[0], a.Code(), "%s", a.Body)
	}
	return a
}

// leaks are words that no answer of ours has a reason to contain.
var leaks = []string{"goroutine ", "panic:", ".go:", "SELECT ", "sqlite", "sql:", "argon2", "/root/", "/home/"}

// The forms of headers that every answer has.
var (
	requestIDForm    = regexp.MustCompile(`^[0-9a-z]{16}$`)
	serverTimingForm = regexp.MustCompile(`^auth;dur=[0-9.]+, store;desc="\d+ reads?, \d+ writes?";dur=[0-9.]+, handler;dur=[0-9.]+$`)
	retryAfterForm   = regexp.MustCompile(`^[1-9][0-9]*$`)
)

// check is what holds for every answer of the whole run.
func (a *Answer) check(r *http.Request) {
	t, what := a.T, r.Method+" "+r.URL.Path
	t.Helper()
	referrer := "no-referrer"
	// Forms of a page would send Origin: null. The body of a redirect has none.
	if strings.HasPrefix(a.Header.Get("Content-Type"), "text/html") && (a.Status < 300 || a.Status >= 400) {
		referrer = "same-origin"
	}
	a.has("X-Content-Type-Options", "nosniff", what)
	a.has("Referrer-Policy", referrer, what)
	a.has("Cross-Origin-Resource-Policy", "same-origin", what)
	require.Empty(t, a.Header.Get("Clear-Site-Data"), "%s would log out of the other strategies too", what)
	a.matches("X-Request-Id", requestIDForm, what)
	a.matches("Server-Timing", serverTimingForm, what)
	require.Contains(t, a.Header.Get("Content-Security-Policy"), "default-src 'none'", what)
	ancestors := "'none'"
	slug, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if rest == "" && slices.Contains(Strategies, slug) && r.Method != "POST" && a.Status < 400 {
		ancestors = "'self'" // the page at / shows those of strategies
	}
	require.Contains(t, a.Header.Get("Content-Security-Policy"), "frame-ancestors "+ancestors, what)

	// Behind a proxy the test says which of both it expects.
	_, secure := a.Header["Strict-Transport-Security"]
	if secure {
		a.has("Strict-Transport-Security", "max-age=31536000; includeSubDomains", what)
	}
	if r.Header["X-Forwarded-Proto"] == nil {
		require.Equal(t, r.URL.Scheme == "https", secure, what)
	}
	a.checkCookies(what, Promises()[slug].Traits, secure)
	carried := len(r.Header["Cookie"])+len(r.Header["Authorization"]) > 0
	if slices.Contains(Strategies, slug) || a.Status >= 400 || slug == "cache" && carried {
		a.has("Cache-Control", "no-store", what)
	}
	if slug == "cache" { // what others may be given next has nothing of anybody
		require.Empty(t, a.Cookies, what)
		if kept := a.Header.Get("Cache-Status"); carried && a.Status < 400 && r.Method != http.MethodPatch {
			require.Contains(t, kept, "; fwd=bypass; ", what)
		}
	}
	if a.Status >= 400 {
		require.Empty(t, a.Cookies[:min(len(a.Cookies), a.setCount())], "%s sets a credential although it failed", what)
		if r.Method != "HEAD" {
			a.checkProblem(r)
		}
	}
	if r.Method != "HEAD" && a.Status >= 400 {
		for _, leak := range leaks {
			if bytes.Contains(a.Body, []byte(leak)) {
				require.NotContains(t, string(a.Body), leak, what)
			}
		}
	}
	a.checkSpecification(r)
}

// has requires one line of a header. It is asked a hundred thousand times in a run, and an
// assertion costs more than the comparison.
func (a *Answer) has(name, want, what string) {
	if lines := a.Header[name]; len(lines) != 1 || lines[0] != want {
		a.T.Helper()
		require.Equal(a.T, []string{want}, lines, "%s: %s", what, name)
	}
}

// matches requires a form of a header.
func (a *Answer) matches(name string, form *regexp.Regexp, what string) {
	if !form.MatchString(a.Header.Get(name)) {
		a.T.Helper()
		require.Regexp(a.T, form, a.Header.Get(name), "%s: %s", what, name)
	}
}

// checkCookies holds each cookie to the traits of its strategy.
func (a *Answer) checkCookies(what string, traits state.Traits, secure bool) {
	t := a.T
	t.Helper()
	names := map[string]bool{}
	for _, cookie := range a.Cookies {
		require.False(t, names[cookie.Name], "%s sets %s twice", what, cookie.Name)
		names[cookie.Name] = true
		require.LessOrEqual(t, len(cookie.Name)+len(cookie.Value), state.CookieLimit, what)
		require.Equal(t, traits.HTTPOnly, cookie.HttpOnly, what)
		require.Equal(t, traits.SameSite, cookie.SameSite == http.SameSiteLaxMode, what)
		require.Empty(t, cookie.Domain, what)
		if !traits.SameSite {
			continue // whose engine chooses name and path by itself
		}
		name, host := strings.CutPrefix(cookie.Name, "__Host-")
		name, renewal := strings.CutPrefix(name, "__Secure-")
		require.Equal(t, secure, cookie.Secure, what)
		require.Equal(t, secure, host || renewal, what)
		if host {
			require.Equal(t, "/", cookie.Path, what)
		} else {
			require.Equal(t, "/"+strings.ReplaceAll(strings.TrimPrefix(name, "statelab_"), "_", "/"), cookie.Path, what)
		}
	}
}

// setCount is how many cookies the answer sets, those it clears apart.
func (a *Answer) setCount() int {
	n := 0
	for _, cookie := range a.Cookies {
		if cookie.MaxAge >= 0 {
			n++
		}
	}
	return n
}

// checkProblem holds an error to RFC 9457 and to the headers that its status
// demands.
func (a *Answer) checkProblem(r *http.Request) {
	t, what := a.T, r.Method+" "+r.URL.Path
	t.Helper()
	a.has("Content-Type", "application/problem+json; charset=utf-8", what)
	require.Equal(t, int64(a.Status), a.Number("status"), what)
	require.Equal(t, "urn:statelab:problem:"+a.Code(), a.Text("type"), what)
	require.NotEmpty(t, a.Text("title"), what)
	require.NotEmpty(t, a.Text("detail"), what)
	require.Equal(t, a.Header.Get("X-Request-Id"), a.Text("request_id"), what)
	switch a.Status {
	case http.StatusUnauthorized:
		require.NotEmpty(t, a.Header.Get("WWW-Authenticate"), what)
	case http.StatusMethodNotAllowed:
		require.NotEmpty(t, a.Header.Get("Allow"), what)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		a.matches("Retry-After", retryAfterForm, what)
	}
}
