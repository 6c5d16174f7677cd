package harness

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api/attacker"
)

// NewAttackedServer starts a server, and the attacker of its classroom at a port
// of its own.
func NewAttackedServer(t testing.TB, options ...Option) (*Server, Site) {
	t.Helper()
	h := httptest.NewUnstartedServer(nil)
	s := NewServerBeside(t, h.Listener.Addr(), options...)
	return s, s.AttackedAt(t, h)
}

// AttackedAt starts the attacker's pages, aimed at the server.
func (s *Server) AttackedAt(t testing.TB, h *httptest.Server) Site {
	t.Helper()
	victim := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	h.Config.Handler = s.Attacker.Against(s.Statelab.(interface {
		Victim(origin string) attacker.Victim
	}).Victim(victim))
	h.Start()
	t.Cleanup(h.Close)
	return Site{h}
}

// Asks sends a request to the attacker.
func (s Site) Asks(t testing.TB, method, address, body string, change ...func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	require.NoError(t, err)
	for _, f := range change {
		f(r)
	}
	a, err := Transport.RoundTrip(r)
	require.NoError(t, err)
	defer func() { _ = a.Body.Close() }()
	text, err := io.ReadAll(a.Body)
	require.NoError(t, err)
	return a, string(text)
}

// Inbox returns what the attacker has been sent, as the classroom tells it.
func (s *Server) Inbox(t testing.TB) []attacker.Entry {
	t.Helper()
	var in struct{ Entries []attacker.Entry }
	require.NoError(t, json.Unmarshal(s.Pull(t, "GET", "inbox", nil).Is(http.StatusOK).Body, &in))
	return in.Entries
}

// MustJSON writes a value as JSON.
func MustJSON(x any) string {
	text, err := json.Marshal(x)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// A Site is somebody else's, with one blank page and no policy.
type Site struct{ *httptest.Server }

// As is the site's address under one of the names of this machine.
func (s Site) As(host string) string {
	address, _ := url.Parse(s.URL)
	return "http://" + host + ":" + address.Port()
}
