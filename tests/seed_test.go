package tests

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

func TestTheTutorialsPage(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, harness.Seed)
	require.Contains(t, c.Page(), `<form method="post"`)
	held := c.Held()
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, held, "every visitor is given one")
	a := c.Form("username=alice&password=wonderland").Is(http.StatusSeeOther)
	require.Equal(t, "/seed/", a.Header.Get("Location"))
	require.Contains(t, c.Page(), "<h1>Welcome, Alice!</h1>")
	require.Equal(t, held, c.Held(), "the identifier is kept at login")
	require.True(t, c.Opens(harness.Alice), "it is one login, by the form or by JSON")

	for body, status := range map[string]int{"username=alice&password=x": 401, "username=alice": 401, "": 401, "a=%zz": 400, harness.Long("x", 64<<10+1): 413} {
		s.Client(t, harness.Seed).Form(body).Is(status)
	}
	s.Client(t, harness.Seed).Do("POST", "/seed/", harness.Object{"username": harness.Alice, "password": harness.AlicePassword}).Is(http.StatusUnsupportedMediaType)
	s.Client(t, harness.Seed).Do("POST", "/seed/", harness.Raw("username=alice&password=wonderland"), harness.Header("Content-Type", "application/x-www-form-urlencoded"), harness.From("cross-site", "https://evil.example")).
		Is(http.StatusForbidden, "csrf_blocked")
}

// Whoever plants an identifier and a name decides what the page of the victim says;
// its policy keeps that from reaching anything else.
func TestTheTutorialsPageIsUnescaped(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	const markup = `<form action=/session/logout><button>Win`
	s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": "mallory", "password": "twinkle twinkle", "display_name": markup}).Is(http.StatusCreated)
	s.Client(t, harness.Seed).Hold("planted").Post("login", harness.Credentials("mallory", "twinkle twinkle")).Is(http.StatusOK)
	a := s.Client(t, harness.Seed).Hold("planted").Get("").Is(http.StatusOK)
	require.Contains(t, string(a.Body), markup)
	policy := a.Header.Get("Content-Security-Policy")
	require.Equal(t, "default-src 'none'; base-uri 'none'; frame-ancestors 'self'; form-action "+s.URL+"/seed/", policy)
}

func TestTheTutorialHasNoLogout(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Login(t, harness.Seed, harness.Alice, harness.AlicePassword)
	thief := c.Copy()
	a := c.Post("logout", nil).Is(http.StatusNoContent)
	require.Equal(t, "sessionid=; Max-Age=0", a.Header.Get("Set-Cookie"))
	require.True(t, thief.Opens(harness.Alice))
	c.Hold(thief.Held())
	require.True(t, c.Opens(harness.Alice), "the browser's own record is still there")
}

func TestTheTutorialReadsCookiesByAnyName(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Login(t, harness.Seed, harness.Alice, harness.AlicePassword)
	for _, cookies := range []string{"sessionid=" + c.Held() + "; sessionid=x", "xsessionid=" + c.Held()} {
		require.Contains(t, string(s.Client(t, harness.Seed).Do("GET", "/seed/profile", nil, harness.Header("Cookie", cookies)).Is(http.StatusOK).Body), harness.Alice)
	}
	login := s.Client(t, harness.Seed).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	require.True(t, strings.HasPrefix(login.Header.Get("Set-Cookie"), "sessionid="))
	require.NotContains(t, login.Header.Get("Set-Cookie"), ";", "no attribute")
}
