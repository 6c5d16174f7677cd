package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const seed = "seed"

// page asks for the tutorial's page.
func (c *client) page() string {
	c.t.Helper()
	return string(c.get("").is(http.StatusOK).body)
}

// form sends what its form sends.
func (c *client) form(body string) *answer {
	c.t.Helper()
	return c.do("POST", "/"+seed+"/", raw(body), header("Content-Type", "application/x-www-form-urlencoded"))
}

func TestTheTutorialsPage(t *testing.T) {
	s := newServer(t)
	c := s.client(t, seed)
	require.Contains(t, c.page(), `<form method="post"`)
	held := c.held()
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, held, "every visitor is given one")
	a := c.form("username=alice&password=wonderland").is(http.StatusSeeOther)
	require.Equal(t, "/seed/", a.header.Get("Location"))
	require.Contains(t, c.page(), "<h1>Welcome, Alice!</h1>")
	require.Equal(t, held, c.held(), "the identifier is kept at login")
	require.True(t, c.opens(alice), "it is one login, by the form or by JSON")

	for body, status := range map[string]int{"username=alice&password=x": 401, "username=alice": 401, "": 401, "a=%zz": 400, long("x", 64<<10+1): 413} {
		s.client(t, seed).form(body).is(status)
	}
	s.client(t, seed).do("POST", "/seed/", object{"username": alice, "password": alicePassword}).is(http.StatusUnsupportedMediaType)
	s.client(t, seed).do("POST", "/seed/", raw("username=alice&password=wonderland"), header("Content-Type", "application/x-www-form-urlencoded"), from("cross-site", "https://evil.example")).
		is(http.StatusForbidden, "csrf_blocked")
}

// Whoever plants an identifier and a name decides what the page of the victim says;
// its policy keeps that from reaching anything else.
func TestTheTutorialsPageIsUnescaped(t *testing.T) {
	s := newServer(t)
	const markup = `<form action=/session/logout><button>Win`
	s.client(t, "").do("POST", "/accounts", object{"username": "mallory", "password": "twinkle twinkle", "display_name": markup}).is(http.StatusCreated)
	s.client(t, seed).hold("planted").post("login", credentials{"mallory", "twinkle twinkle"}).is(http.StatusOK)
	a := s.client(t, seed).hold("planted").get("").is(http.StatusOK)
	require.Contains(t, string(a.body), markup)
	policy := a.header.Get("Content-Security-Policy")
	require.Equal(t, "default-src 'none'; base-uri 'none'; frame-ancestors 'self'; form-action "+s.url+"/seed/", policy)
}

func TestTheTutorialHasNoLogout(t *testing.T) {
	s := newServer(t)
	c := s.login(t, seed, alice, alicePassword)
	thief := c.copy()
	a := c.post("logout", nil).is(http.StatusNoContent)
	require.Equal(t, "sessionid=; Max-Age=0", a.header.Get("Set-Cookie"))
	require.True(t, thief.opens(alice))
	c.hold(thief.held())
	require.True(t, c.opens(alice), "the browser's own record is still there")
}

func TestTheTutorialReadsCookiesByAnyName(t *testing.T) {
	s := newServer(t)
	c := s.login(t, seed, alice, alicePassword)
	for _, cookies := range []string{"sessionid=" + c.held() + "; sessionid=x", "xsessionid=" + c.held()} {
		require.Contains(t, string(s.client(t, seed).do("GET", "/seed/profile", nil, header("Cookie", cookies)).is(http.StatusOK).body), alice)
	}
	login := s.client(t, seed).post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	require.True(t, strings.HasPrefix(login.header.Get("Set-Cookie"), "sessionid="))
	require.NotContains(t, login.header.Get("Set-Cookie"), ";", "no attribute")
}
