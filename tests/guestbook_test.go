package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

func TestTheGuestbookIsUnescaped(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		stranger := s.Client(t, slug)
		require.Contains(t, stranger.Guests(), "The guestbook has no nickname")
		require.NotContains(t, stranger.Guests(), "You are")
		c := s.Login(t, slug, harness.Bob, harness.BobPassword)
		require.Contains(t, c.Guests(), `You are <b data-field="user">bob</b>`)

		const script = `<script src=//127.0.0.1:9090/x.js></script>`
		c.Patch(harness.Object{"nickname": "<i>first</i>"}).Is(http.StatusOK)
		c.Patch(harness.Object{"nickname": script}).Is(http.StatusOK)
		lines := "<li><b>bob</b>: " + script + "</li>\n    <li><b>bob</b>: <i>first</i></li>"
		require.Contains(t, stranger.Guests(), lines, "the newest first")
		for _, same := range []harness.Object{{"nickname": script}, {"theme": "dark"}, {"nickname": ""}} {
			c.Patch(same).Is(http.StatusOK)
			require.Equal(t, 2, strings.Count(stranger.Guests(), "<li>"), "no other nickname: %v", same)
		}
		c.Patch(harness.Object{"nickname": harness.Long("<b>", 65)}).Is(http.StatusUnprocessableEntity)
		c.Do("PATCH", "/"+slug+"/profile", harness.Object{"nickname": "late"}, harness.Header("If-Match", `"x"`)).Is(http.StatusPreconditionFailed)
		require.Equal(t, 2, strings.Count(stranger.Guests(), "<li>"), "what was refused was not written")

		korean := stranger.Do("GET", "/"+slug+"/guestbook", nil, harness.Header("Accept-Language", "ko")).Is(http.StatusOK)
		require.Contains(t, string(korean.Body), `<html lang="ko">`)
		require.Contains(t, string(korean.Body), "방명록")
	})
	// Each strategy has a book of its own.
	for _, slug := range harness.Strategies {
		require.Equal(t, 2, strings.Count(s.Client(t, slug).Guests(), "<li>"), slug)
	}
	s.Set(t, harness.Object{"origin_check": false})
	require.Contains(t, s.Client(t, "cookie").Guests(), "<i>first</i>", "a setting is no restart")
	s.Pull(t, "POST", "restart", nil).Is(http.StatusNoContent)
	require.NotContains(t, s.Client(t, "cookie").Guests(), "<i>first</i>", "a restart forgets what is in memory")
	s.Login(t, "cookie", harness.Bob, harness.BobPassword).Patch(harness.Object{"nickname": "again"}).Is(http.StatusOK)
	require.Contains(t, s.Client(t, "cookie").Guests(), "again")
	s.Reset(t)
	require.NotContains(t, s.Client(t, "cookie").Guests(), "again")
}

func TestTheGuestbookIsBounded(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Login(t, "token", harness.Bob, harness.BobPassword)
	for i := range 103 {
		c.Patch(harness.Object{"nickname": fmt.Sprint("line ", i, ".")}).Is(http.StatusOK)
	}
	page := c.Guests()
	require.Equal(t, 100, strings.Count(page, "<li>"))
	require.Contains(t, page, "line 102.")
	require.Contains(t, page, "line 3.")
	require.NotContains(t, page, "line 2.")
}

// A store that is down makes no user a stranger, and a credential that the server
// does not know is no login.
func TestWhoTheGuestbookGreets(t *testing.T) {
	t.Parallel()
	s, stores := harness.NewFaultyServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		if harness.Asks(s.Traits(t, slug)) {
			stores.BreakWith(harness.ErrDown)
			c.Get("guestbook").Is(http.StatusServiceUnavailable, "store_unavailable")
			stores.Repair()
		}
		if harness.Strict(s.Traits(t, slug)) {
			c.Do("GET", "/"+slug+"/guestbook", nil, func(r *http.Request) { harness.Twice(r, c.CookieName()) }).Is(http.StatusBadRequest, "ambiguous_credential")
		}
		require.Contains(t, c.Guests(), ">alice</b>")
		require.NotContains(t, s.Client(t, slug).Hold("made-up").Guests(), ">alice</b>")
	})
}

// Only the guestbook opens itself to scripts that are not the server's own.
func TestThePoliciesOfPages(t *testing.T) {
	t.Parallel()
	s, thief := harness.NewAttackedServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		policy := s.Client(t, slug).Get("guestbook").Header.Get("Content-Security-Policy")
		from := thief.As("127.0.0.1") + " " + thief.As("localhost")
		require.Equal(t, "default-src 'none'; script-src 'unsafe-inline' "+from+"; connect-src 'self' "+from+"; img-src 'self' "+from+
			"; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", policy)
		policy = harness.NewServer(t).Client(t, slug).Get("guestbook").Header.Get("Content-Security-Policy")
		require.Equal(t, "default-src 'none'; script-src 'unsafe-inline'; connect-src 'self'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", policy)
	})
	for _, r := range s.Routes() {
		if r.Method != http.MethodGet || strings.HasSuffix(r.Path, "/guestbook") || strings.HasPrefix(r.Path, "/docs") {
			continue
		}
		path := strings.NewReplacer(":id", "x", ":strategy", "session", "*name", "app.js").Replace(r.Path)
		policy := s.Client(t, "").Do("GET", path, nil, harness.Header("Accept", "text/html,*/*"), func(r *http.Request) { r.Host = "localhost" }).Header.Get("Content-Security-Policy")
		require.NotContains(t, policy, "unsafe", path)
		require.NotContains(t, policy, thief.As("127.0.0.1"), path)
	}
}

func TestAServiceHasNoGuestbook(t *testing.T) {
	t.Parallel()
	s := newService(t)
	eachServed(t, s, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Carol, harness.CarolPassword)
		c.Patch(harness.Object{"nickname": "<b>"}).Is(http.StatusOK)
		c.Get("guestbook").Is(http.StatusNotFound, "not_found")
	})
	for _, method := range []string{"GET", "DELETE"} {
		s.Client(t, "").Do(method, "/classroom/inbox", nil).Is(http.StatusNotFound, "not_found")
	}
}
