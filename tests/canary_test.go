package tests

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
)

// A canary remembers each credential that went to a server or came from it, and
// keeps what the server writes. When the server ends, none of the one may be in
// the other.
type canary struct {
	log    syncBuffer // in JSON
	logger *slog.Logger

	mu      sync.Mutex
	secrets map[string]bool
}

// newCanary returns one that listens to what a server logs, beside the logger
// that the server has, if it has one.
func newCanary(besides *slog.Logger) *canary {
	w := &canary{secrets: map[string]bool{}}
	handler := slog.Handler(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if besides != nil {
		handler = slog.NewMultiHandler(handler, besides.Handler())
	}
	w.logger = slog.New(handler)
	return w
}

// tail is how much of a credential is enough to know it by: its secret half, or
// the end of its signature.
const tail = 22

var inBody = regexp.MustCompile(`"(?:\w*password|refresh_token)":"((?:[^"\\]|\\.)+)"`)

// sees remembers what a request carries.
func (w *canary) sees(r *http.Request, body string) {
	for _, cookie := range r.Cookies() {
		w.remember(cookie.Value, tail)
	}
	for _, line := range r.Header["Authorization"] {
		w.remember(line, tail)
	}
	for _, match := range inBody.FindAllStringSubmatch(body, -1) {
		w.remember(match[1], auth.MinPassword)
	}
}

// remember keeps the end of a secret, unless it is shorter than least: too short
// to be one.
func (w *canary) remember(secret string, least int) {
	if w == nil || len(secret) < least || secret == "password" { // which is also the name of a route
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets[secret[max(len(secret)-tail, 0):]] = true
}

// leaks returns the secrets that stand in a text.
func (w *canary) leaks(text string) []string {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	found := map[string]bool{}
	for i := range max(len(text)-tail+1, 0) { // one pass, however many there are
		if end := text[i : i+tail]; w.secrets[end] {
			found[end] = true
		}
	}
	for secret := range w.secrets {
		if len(secret) < tail && strings.Contains(text, secret) {
			found[secret] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// forget is for a test that leaks on purpose.
func (w *canary) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.secrets)
}

// exposition is what the server says to Prometheus.
func (s *server) exposition() string {
	w := httptest.NewRecorder()
	s.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// trail returns the lines of the audit trail.
func (w *canary) trail(t testing.TB) []object {
	t.Helper()
	var all []object
	for line := range strings.Lines(w.log.String()) {
		var o object
		require.NoError(t, json.Unmarshal([]byte(line), &o))
		if o["msg"] == "audit" {
			all = append(all, o)
		}
	}
	return all
}

// A talkative hasher writes passwords into the log.
type talkative struct {
	auth.Hasher
	log *slog.Logger
}

func (h *talkative) Compare(ctx context.Context, password, hash string) (bool, bool, error) {
	h.log.DebugContext(ctx, "comparing", slog.String("password", password))
	return h.Hasher.Compare(ctx, password, hash)
}

// A check that cannot fail checks nothing.
func TestTheCanaryFindsWhatLeaks(t *testing.T) {
	h := &talkative{Hasher: cheapHasher()}
	s := newServer(t, func(c *api.Config) { c.Hasher = h })
	h.log = s.canary.logger
	defer s.canary.forget()
	each(t, func(t *testing.T, slug string) {
		if s.traits(t, slug).KeptIn == state.PlaceProcess {
			return // it renews nothing
		}
		require.Empty(t, s.canary.leaks("statelab_"+slug+" Bearer "))
		c := s.client(t, slug)
		c.post("login", credentials{alice, wrong}).is(http.StatusUnauthorized)
		require.Equal(t, []string{wrong[len(wrong)-tail:]}, s.canary.leaks(s.canary.log.String()))
		c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
		require.Contains(t, s.canary.leaks(s.canary.log.String()), alicePassword)
		old := *c
		s.clock.advance(time.Minute) // or a token would be the same one
		c.renew().is(http.StatusOK)
		for _, held := range []string{old.held(), old.refresh, c.held(), c.refresh} {
			if held != "" {
				require.Len(t, s.canary.leaks("a text with "+held), 1)
				require.Len(t, s.canary.leaks(held[len(held)/2:]+" cut"), 1)
			}
		}
		s.canary.forget()
	})
}
