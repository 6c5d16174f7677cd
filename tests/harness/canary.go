package harness

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

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/auth"
)

// A canary remembers each credential that went to a server or came from it, and
// keeps what the server writes. When the server ends, none of the one may be in
// the other.
type canary struct {
	Log    SyncBuffer // in JSON
	Logger *slog.Logger

	mu      sync.Mutex
	secrets map[string]bool
}

// newCanary returns one that listens to what a server logs, beside the logger
// that the server has, if it has one.
func newCanary(besides *slog.Logger) *canary {
	w := &canary{secrets: map[string]bool{}}
	handler := slog.Handler(slog.NewJSONHandler(&w.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if besides != nil {
		handler = slog.NewMultiHandler(handler, besides.Handler())
	}
	w.Logger = slog.New(handler)
	return w
}

// Tail is how much of a credential is enough to know it by: its secret half, or
// the end of its signature.
const Tail = 22

var inBody = regexp.MustCompile(`"(?:\w*password|refresh_token)":"((?:[^"\\]|\\.)+)"`)

// sees remembers what a request carries.
func (w *canary) sees(r *http.Request, body string) {
	for _, cookie := range r.Cookies() {
		w.Remember(cookie.Value, Tail)
	}
	for _, line := range r.Header["Authorization"] {
		w.Remember(line, Tail)
	}
	if !strings.Contains(body, `password"`) && !strings.Contains(body, `refresh_token"`) {
		return // the expression is slow
	}
	for _, match := range inBody.FindAllStringSubmatch(body, -1) {
		w.Remember(match[1], auth.MinPassword)
	}
}

// Remember keeps the end of a secret, unless it is shorter than least: too short
// to be one.
func (w *canary) Remember(secret string, least int) {
	if w == nil || len(secret) < least || secret == "password" { // which is also the name of a route
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets[secret[max(len(secret)-Tail, 0):]] = true
}

// Leaks returns the secrets that stand in a text.
func (w *canary) Leaks(text string) []string {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	found := map[string]bool{}
	var begins [1 << 16]bool // with these two bytes: fewer strings to look for in the map
	for secret := range w.secrets {
		if len(secret) == Tail {
			begins[int(secret[0])<<8|int(secret[1])] = true
		}
	}
	for i := range max(len(text)-Tail+1, 0) { // one pass, however many there are
		if !begins[int(text[i])<<8|int(text[i+1])] {
			continue
		}
		if end := text[i : i+Tail]; w.secrets[end] {
			found[end] = true
		}
	}
	for secret := range w.secrets {
		if len(secret) < Tail && strings.Contains(text, secret) {
			found[secret] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// Forget is for a test that leaks on purpose.
func (w *canary) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.secrets)
}

// Exposition is what the server says to Prometheus.
func (s *Server) Exposition() string {
	w := httptest.NewRecorder()
	s.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// Trail returns the lines of the audit trail.
func (w *canary) Trail(t testing.TB) []Object {
	t.Helper()
	var all []Object
	for line := range strings.Lines(w.Log.String()) {
		var o Object
		require.NoError(t, json.Unmarshal([]byte(line), &o))
		if o["msg"] == "audit" {
			all = append(all, o)
		}
	}
	return all
}

// A Talkative hasher writes passwords into the log.
type Talkative struct {
	auth.Hasher
	Log *slog.Logger
}

// Compare logs the password, and then compares it.
func (h *Talkative) Compare(ctx context.Context, password, hash string) (bool, bool, error) {
	h.Log.DebugContext(ctx, "comparing", slog.String("password", password))
	return h.Hasher.Compare(ctx, password, hash)
}
