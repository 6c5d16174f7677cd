package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// guests returns the guestbook of a strategy, as a client sees it.
func (c *client) guests() string {
	c.t.Helper()
	return string(c.get("guestbook").is(http.StatusOK).body)
}

func TestTheGuestbookIsUnescaped(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		stranger := s.client(t, slug)
		require.Contains(t, stranger.guests(), "Nobody has written")
		require.NotContains(t, stranger.guests(), "You are")
		c := s.login(t, slug, bob, bobPassword)
		require.Contains(t, c.guests(), `You are <b data-field="user">bob</b>`)

		const script = `<script src=//127.0.0.1:9090/x.js></script>`
		c.patch(object{"nickname": "<i>first</i>"}).is(http.StatusOK)
		c.patch(object{"nickname": script}).is(http.StatusOK)
		lines := "<li><b>bob</b>: " + script + "</li>\n    <li><b>bob</b>: <i>first</i></li>"
		require.Contains(t, stranger.guests(), lines, "the newest first")
		for _, same := range []object{{"nickname": script}, {"theme": "dark"}, {"nickname": ""}} {
			c.patch(same).is(http.StatusOK)
			require.Equal(t, 2, strings.Count(stranger.guests(), "<li>"), "no other nickname: %v", same)
		}
		c.patch(object{"nickname": long("<b>", 65)}).is(http.StatusUnprocessableEntity)
		c.do("PATCH", "/"+slug+"/profile", object{"nickname": "late"}, header("If-Match", `"x"`)).is(http.StatusPreconditionFailed)
		require.Equal(t, 2, strings.Count(stranger.guests(), "<li>"), "what was refused was not written")

		korean := stranger.do("GET", "/"+slug+"/guestbook", nil, header("Accept-Language", "ko")).is(http.StatusOK)
		require.Contains(t, string(korean.body), `<html lang="ko">`)
		require.Contains(t, string(korean.body), "방명록")
	})
	// Each strategy has a book of its own.
	for _, slug := range strategies {
		require.Equal(t, 2, strings.Count(s.client(t, slug).guests(), "<li>"), slug)
	}
	s.set(t, object{"origin_check": false})
	require.Contains(t, s.client(t, "cookie").guests(), "<i>first</i>", "a setting is no restart")
	s.pull(t, "POST", "restart", nil).is(http.StatusNoContent)
	require.NotContains(t, s.client(t, "cookie").guests(), "<i>first</i>", "a restart forgets what is in memory")
	s.login(t, "cookie", bob, bobPassword).patch(object{"nickname": "again"}).is(http.StatusOK)
	require.Contains(t, s.client(t, "cookie").guests(), "again")
	s.reset(t)
	require.NotContains(t, s.client(t, "cookie").guests(), "again")
}

func TestTheGuestbookIsBounded(t *testing.T) {
	s := newServer(t)
	c := s.login(t, "token", bob, bobPassword)
	for i := range 103 {
		c.patch(object{"nickname": fmt.Sprint("line ", i, ".")}).is(http.StatusOK)
	}
	page := c.guests()
	require.Equal(t, 100, strings.Count(page, "<li>"))
	require.Contains(t, page, "line 102.")
	require.Contains(t, page, "line 3.")
	require.NotContains(t, page, "line 2.")
}

// A store that is down makes nobody a stranger, and a credential that nobody can
// place is no login.
func TestWhoTheGuestbookGreets(t *testing.T) {
	s, stores := newFaultyServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		if asks(s.traits(t, slug)) {
			stores.breakWith(errDown)
			c.get("guestbook").is(http.StatusServiceUnavailable, "store_unavailable")
			stores.repair()
		}
		if strict(s.traits(t, slug)) {
			c.do("GET", "/"+slug+"/guestbook", nil, func(r *http.Request) { twice(r, c.cookieName()) }).is(http.StatusBadRequest, "ambiguous_credential")
		}
		require.Contains(t, c.guests(), ">alice</b>")
		require.NotContains(t, s.client(t, slug).hold("made-up").guests(), ">alice</b>")
	})
}

// Only the guestbook opens itself to scripts that are not the server's own.
func TestThePoliciesOfPages(t *testing.T) {
	s, thief := newAttackedServer(t)
	each(t, func(t *testing.T, slug string) {
		policy := s.client(t, slug).get("guestbook").header.Get("Content-Security-Policy")
		from := thief.as("127.0.0.1") + " " + thief.as("localhost")
		require.Equal(t, "default-src 'none'; script-src 'unsafe-inline' "+from+"; connect-src 'self' "+from+"; img-src 'self' "+from+
			"; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", policy)
		policy = newServer(t).client(t, slug).get("guestbook").header.Get("Content-Security-Policy")
		require.Equal(t, "default-src 'none'; script-src 'unsafe-inline'; connect-src 'self'; img-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", policy)
	})
	for _, r := range s.Routes() {
		if r.Method != http.MethodGet || strings.HasSuffix(r.Path, "/guestbook") || strings.HasPrefix(r.Path, "/docs") {
			continue
		}
		path := strings.NewReplacer(":id", "x", ":strategy", "session", "*name", "app.js").Replace(r.Path)
		policy := s.client(t, "").do("GET", path, nil, header("Accept", "text/html,*/*"), func(r *http.Request) { r.Host = "localhost" }).header.Get("Content-Security-Policy")
		require.NotContains(t, policy, "unsafe", path)
		require.NotContains(t, policy, thief.as("127.0.0.1"), path)
	}
}

func TestAServiceHasNoGuestbook(t *testing.T) {
	s := newService(t)
	eachServed(t, s, func(t *testing.T, slug string) {
		c := s.login(t, slug, carol, carolPassword)
		c.patch(object{"nickname": "<b>"}).is(http.StatusOK)
		c.get("guestbook").is(http.StatusNotFound, "not_found")
	})
	for _, method := range []string{"GET", "DELETE"} {
		s.client(t, "").do(method, "/classroom/inbox", nil).is(http.StatusNotFound, "not_found")
	}
}
