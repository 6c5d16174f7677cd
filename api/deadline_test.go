package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/auth"
	"statelab/state"
)

// TestTheDeadlineOfARequestIsWithinTwoSeconds compares the deadline with api/OPERATING.md.
func TestTheDeadlineOfARequestIsWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	require.Equal(t, 1600*time.Millisecond, DefaultRequestPatience)
	require.Equal(t, 200*time.Millisecond, undoPatience)
	require.LessOrEqual(t, DefaultRequestPatience+2*undoPatience, 2*time.Second)
	text, err := os.ReadFile("OPERATING.md")
	require.NoError(t, err)
	require.Contains(t, string(text), "share 1.6 seconds")
	require.Contains(t, string(text), "0.2 seconds more")
}

// late has the stores take so long for each operation.
func (h *hang) late(by time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lag = by
}

// A store that is slow is asked several times by a request, which has one deadline for
// all of them.
func TestASlowStoreIsAnAnswerWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	for _, lag := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, 600 * time.Millisecond, 800 * time.Millisecond} {
		t.Run(lag.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, h := newHangingServer(t)
				for _, slug := range state.Slugs() {
					for name, request := range map[string]func(x *caller) *http.Response{
						"login":       func(x *caller) *http.Response { return x.login(t) },
						"wrong login": func(x *caller) *http.Response { y := *x; y.username += "-x"; return y.login(t) },
						"register": func(*caller) *http.Response {
							y := &caller{Server: s, slug: "accounts"}
							return y.ask(t, "POST", "", fmt.Sprintf(`{"username":"new-%s","password":%q}`, slug, callersPassword))
						},
						"password": func(x *caller) *http.Response {
							return x.ask(t, "PUT", "password",
								fmt.Sprintf(`{"current_password":%q,"new_password":"through the looking glass"}`, callersPassword))
						},
						"wrong password": func(x *caller) *http.Response {
							return x.ask(t, "PUT", "password", `{"current_password":"wrong wrong","new_password":"through the looking glass"}`)
						},
						"everywhere": func(x *caller) *http.Response { return x.ask(t, "POST", "logout", `{"everywhere":true}`) },
						"logins":     func(x *caller) *http.Response { return x.ask(t, "GET", "logins", "") },
						"patch":      func(x *caller) *http.Response { return x.ask(t, "PATCH", "profile", `{"theme":"dark"}`) },
					} {
						x := newCaller(t, s, slug, fmt.Sprint(slug, "-", strings.ReplaceAll(name, " ", "-")))
						h.late(lag)
						start := time.Now()
						a := request(x)
						took := time.Since(start)
						h.late(0)
						require.LessOrEqual(t, took, 2*time.Second, "%s %s", slug, name)
						if a.StatusCode == http.StatusServiceUnavailable {
							require.NotEmpty(t, a.Header.Get("Retry-After"))
							require.Empty(t, a.Header.Values("Set-Cookie"))
						} else if a.StatusCode != http.StatusNotImplemented {
							require.Less(t, a.StatusCode, 500, "%s %s", slug, name)
						}
					}
				}
			})
		})
	}
}

// The counts of failed sign-ins are no less for a store that is slow: what it cannot count
// in time, the process counts.
func TestASlowStoreIsNoWayAroundTheThrottle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, h := newHangingServer(t)
		x := newCaller(t, s, "session", "caller")
		stranger := *x
		stranger.username, stranger.cookies = "stranger", nil
		h.late(600 * time.Millisecond)
		for range auth.MaxPerAccount {
			require.Equal(t, http.StatusUnauthorized, stranger.login(t).StatusCode)
		}
		h.late(0)
		require.Equal(t, http.StatusTooManyRequests, stranger.login(t).StatusCode)
	})
}

// slowHasher takes a second for each password, as a slow machine may.
type slowHasher struct{ auth.Hasher }

func (h slowHasher) spend(ctx context.Context) {
	if begins, ok := ctx.Value(auth.HashingKey).(func() (done func())); ok {
		defer begins()()
	}
	<-time.After(time.Second)
}

func (h slowHasher) Hash(ctx context.Context, password string) (string, error) {
	h.spend(ctx)
	return h.Hasher.Hash(ctx, password)
}

func (h slowHasher) Compare(ctx context.Context, password, hash string) (ok, outdated bool, err error) {
	h.spend(ctx)
	return h.Hasher.Compare(ctx, password, hash)
}

// slowReader is a client that sends its body so late.
type slowReader struct {
	io.Reader
	by time.Duration
}

func (r *slowReader) Read(p []byte) (int, error) {
	<-time.After(r.by)
	r.by = 0
	return r.Reader.Read(p)
}

// Neither hashing on a slow machine nor a client that sends slowly takes from the time that
// a request has for its stores.
func TestHashingAndTheBodyAreNoPartOfTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, h := newHangingServer(t, func(c *Config) { c.Hasher = slowHasher{c.Hasher} })
		x := newCaller(t, s, "session", "caller")
		h.late(10 * time.Millisecond)
		require.Equal(t, http.StatusNoContent, x.ask(t, "PUT", "password",
			fmt.Sprintf(`{"current_password":%q,"new_password":"through the looking glass"}`, callersPassword)).StatusCode)

		body := &slowReader{strings.NewReader(`{"theme":"dark"}`), 5 * time.Second}
		r := httptest.NewRequestWithContext(t.Context(), "PATCH", "http://localhost/session/profile", body)
		r.Header.Set("Content-Type", "application/json")
		for name, value := range x.cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		w := httptest.NewRecorder()
		x.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	})
}

// A change of the password bounds its wait in the queues before the first hash. The hash
// moves the deadline, and must not end that wait.
func TestMovingTheDeadlineCancelsNoContextOfTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &deadline{request: t.Context(), until: time.Now().Add(DefaultRequestPatience)}
		d.inner, d.cancel = context.WithDeadline(d.request, d.until)
		defer d.end()
		made, cancel := context.WithTimeout(d, time.Hour)
		defer cancel()
		hashed := d.pause()
		<-time.After(time.Second)
		hashed()
		require.NoError(t, made.Err())
		<-time.After(time.Second)
		require.ErrorIs(t, made.Err(), context.DeadlineExceeded, "it has the deadline that it was made with")
		require.NoError(t, d.Err())
		<-time.After(time.Second)
		require.ErrorIs(t, d.Err(), context.DeadlineExceeded)
	})
}
