package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const plain = "cookie-plain"

// rewrite replaces a text in a cookie that everybody can read, as somebody does
// in the developer tools of a browser.
func (c *client) rewrite(from, to string) *client {
	c.t.Helper()
	text, err := url.PathUnescape(c.held()) // as decodeURIComponent does
	require.NoError(c.t, err)
	require.Contains(c.t, text, from)
	return c.copy().hold(url.PathEscape(strings.Replace(text, from, to, 1)))
}

func TestAPlainCookieMakesItsHolderAnAdmin(t *testing.T) {
	s := newServer(t)
	c := s.login(t, plain, alice, alicePassword)
	require.Contains(t, c.held(), "%22role%22%3A%22member%22", "it is encoded once")
	c.get("members").is(http.StatusForbidden)
	admin := c.rewrite(`"role":"member"`, `"role":"admin"`)
	admin.get("members").is(http.StatusOK)
	for _, other := range strategies {
		if other != plain {
			s.client(t, other).hold(admin.held()).get("members").is(http.StatusUnauthorized)
		}
	}
	require.Equal(t, "member", admin.renewed().text("user.role"), "a refresh asks the accounts")
	admin.get("members").is(http.StatusForbidden)
}

// Whoever says that they are somebody else is: but not where a password is asked.
func TestAPlainCookieMakesItsHolderSomebodyElse(t *testing.T) {
	s := newServer(t)
	theirs := s.login(t, plain, teacher, teacherPassword).get("profile").text("user.id")
	c := s.login(t, plain, alice, alicePassword)
	mine := c.get("profile").text("user.id")
	other := c.rewrite(mine, theirs).rewrite(`"alice"`, `"teacher"`)
	require.True(t, other.opens(teacher))
	other.route("PUT", "password", object{"current_password": alicePassword, "new_password": "through the looking-glass"}).is(http.StatusUnprocessableEntity)
	require.Equal(t, "admin", other.renewed().text("user.role"), "the role of whom it names")
}

func TestADateInAPlainCookieIsItsHolders(t *testing.T) {
	s := newServer(t)
	c := s.login(t, plain, alice, alicePassword)
	end := s.clock.Now().Add(8 * time.Hour).UnixMicro()
	late := c.rewrite(fmt.Sprint(`"expires_at":`, end), `"expires_at":253402300799000000`) // the end of 9999
	s.clock.advance(100 * 365 * 24 * time.Hour)
	require.True(t, late.opens(alice))
	c.get("profile").is(http.StatusUnauthorized, "expired")
}

// What is no login is refused, and none of it is the server's fault.
func TestWhatIsNoLoginInAPlainCookie(t *testing.T) {
	s := newServer(t)
	c := s.login(t, plain, alice, alicePassword)
	end := s.clock.Now().Add(8 * time.Hour).UnixMicro()
	for what, bad := range map[string]*client{
		"a word": c.copy().hold("x"), "half an escape": c.copy().hold("%7"), "no JSON": c.copy().hold("%7B"), "an empty object": c.copy().hold("%7B%7D"),
		"no UTF-8": c.copy().hold("%ff"), "another member": c.rewrite(`{`, `{"x":1,`), "a member twice": c.rewrite(`{`, `{"role":"admin",`),
		"debts": c.rewrite(`"credits":100`, `"credits":-1`), "no display name": c.rewrite(`"name":"Alice"`, `"name":""`),
		"a year that has five digits": c.rewrite(fmt.Sprint(`"expires_at":`, end), `"expires_at":253402300800000000`),
		"an id that is a header":      c.rewrite(`"sid":"`, `"sid":"\r\nX: `),
	} {
		t.Run(what, func(t *testing.T) { bad.in(t).get("profile").is(http.StatusUnauthorized, "bad_signature") })
	}
	require.True(t, c.opens(alice))
}
