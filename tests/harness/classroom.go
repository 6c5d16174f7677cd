package harness

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/state"
)

// Pull pulls a lever, as the page does.
func (s *Server) Pull(t testing.TB, method, lever string, body any) *Answer {
	t.Helper()
	return s.Client(t, "").Do(method, "/classroom/"+lever, body)
}

// Set changes settings.
func (s *Server) Set(t testing.TB, changes Object) *Answer {
	t.Helper()
	return s.Pull(t, "PUT", "settings", changes).Is(http.StatusOK)
}

// Reset undoes every lever.
func (s *Server) Reset(t testing.TB) {
	t.Helper()
	s.Pull(t, "POST", "reset", nil).Is(http.StatusNoContent)
}

// Logins logs alice in everywhere.
func (s *Server) Logins(t testing.TB) map[string]*Client {
	t.Helper()
	all := map[string]*Client{}
	for _, slug := range Strategies {
		all[slug] = s.Login(t, slug, Alice, AlicePassword)
	}
	return all
}

// Holds requires that each login lives or not, as its traits say.
func (s *Server) Holds(t testing.TB, logins map[string]*Client, lives func(state.Traits) bool) {
	t.Helper()
	for slug, c := range logins {
		want := http.StatusUnauthorized
		if lives(s.Traits(t, slug)) {
			want = http.StatusOK
		}
		require.Equal(t, want, c.Get("profile").Status, slug)
	}
}

// Shown is what the server says it holds for a strategy.
func (s *Server) Shown(t testing.TB, slug string) []any {
	t.Helper()
	a := s.Pull(t, "GET", "store/"+slug, nil).Is(http.StatusOK)
	require.Equal(t, slug, a.Text("strategy"))
	require.Equal(t, true, a.At("complete"))
	return a.At("records").([]any)
}

// Takes takes a copy of what the client holds, and returns its name.
func (c *Client) Takes() string {
	c.T.Helper()
	return c.Post("copy", nil).Is(http.StatusCreated).Text("id")
}

// Sends has the thief make a request with a copy.
func (s *Server) Sends(t testing.TB, id string, request Object) *Answer {
	t.Helper()
	return s.Pull(t, "POST", "copies/"+id+"/send", request).Is(http.StatusOK)
}

// Guests returns the guestbook of a strategy, as a client sees it.
func (c *Client) Guests() string {
	c.T.Helper()
	return string(c.Get("guestbook").Is(http.StatusOK).Body)
}

// Rewrite replaces a text in a cookie that everybody can read, as somebody does
// in the developer tools of a browser.
func (c *Client) Rewrite(from, to string) *Client {
	c.T.Helper()
	text, err := url.PathUnescape(c.Held()) // as decodeURIComponent does
	require.NoError(c.T, err)
	require.Contains(c.T, text, from)
	return c.Copy().Hold(url.PathEscape(strings.Replace(text, from, to, 1)))
}

// Seed is the slug of the tutorial's strategy.
const Seed = "seed"

// Page asks for the tutorial's page.
func (c *Client) Page() string {
	c.T.Helper()
	return string(c.Get("").Is(http.StatusOK).Body)
}

// Form sends what its form sends.
func (c *Client) Form(body string) *Answer {
	c.T.Helper()
	return c.Do("POST", "/"+Seed+"/", Raw(body), Header("Content-Type", "application/x-www-form-urlencoded"))
}
