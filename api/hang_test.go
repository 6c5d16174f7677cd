package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/sqlstore"
	"statelab/tests/seeded"
)

// A hang has stores answer so many operations more, and then none.
type hang struct {
	mu        sync.Mutex
	on        bool
	bySubject bool // only the operations by subject hang
	left      int
	hung      bool
	lag       time.Duration // of each operation that answers
}

// from has the stores hang from an operation on; the first one has the number 0.
func (h *hang) from(operation int, bySubject bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on, h.bySubject, h.left, h.hung = true, bySubject, operation, false
}

// ends has the stores answer again. It reports whether an operation hung.
func (h *hang) ends() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.on = false
	return h.hung
}

func (h *hang) wait(ctx context.Context, bySubject bool) error {
	h.mu.Lock()
	hangs := h.on && (bySubject || !h.bySubject)
	if hangs && h.left > 0 {
		h.left--
		hangs = false
	}
	h.hung = h.hung || hangs
	lag := h.lag
	h.mu.Unlock()
	if !hangs {
		if lag == 0 {
			return nil
		}
		select {
		case <-time.After(lag):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

type hangingStore struct {
	state.Store
	*hang
}

func (s hangingStore) Create(ctx context.Context, k state.Key, r state.Record) error {
	if err := s.wait(ctx, false); err != nil {
		return err
	}
	return s.Store.Create(ctx, k, r)
}

func (s hangingStore) Load(ctx context.Context, k state.Key) (state.Record, error) {
	if err := s.wait(ctx, false); err != nil {
		return state.Record{}, err
	}
	return s.Store.Load(ctx, k)
}

func (s hangingStore) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	if err := s.wait(ctx, false); err != nil {
		return err
	}
	return s.Store.Update(ctx, k, rev, r)
}

func (s hangingStore) Delete(ctx context.Context, k state.Key) error {
	if err := s.wait(ctx, false); err != nil {
		return err
	}
	return s.Store.Delete(ctx, k)
}

func (s hangingStore) BySubject(ctx context.Context, subject string) ([]state.Entry, error) {
	if err := s.wait(ctx, true); err != nil {
		return nil, err
	}
	return s.Store.BySubject(ctx, subject)
}

func (s hangingStore) Logins(ctx context.Context, q state.LoginQuery) ([]state.LoginHead, error) {
	if err := s.wait(ctx, true); err != nil {
		return nil, err
	}
	return s.Store.Logins(ctx, q)
}

func (s hangingStore) EndSubject(ctx context.Context, e state.Ending) (int, error) {
	if err := s.wait(ctx, true); err != nil {
		return 0, err
	}
	return s.Store.EndSubject(ctx, e)
}

// newHangingServer returns a server whose logins are in stores that can hang.
func newHangingServer(t *testing.T, options ...func(*Config)) (*Server, *hang) {
	t.Helper()
	ring, err := keys.Generate(seeded.Reader(t), time.Now())
	require.NoError(t, err)
	db, err := sqlstore.OpenDatabase(t.Context(), "sqlite::memory:", Migrations()...)
	require.NoError(t, err)
	h := new(hang)
	stores := []*memory.Store{memory.New(store.Options{}), memory.New(store.Options{})}
	guarded := func(s state.Store) state.Store { return store.Guarded(hangingStore{s, h}, store.Options{}) }
	config := Config{
		Database: db.DB, Store: guarded(stores[0]), DatabaseStore: guarded(stores[1]), Keys: ring, OpenAPI: []byte("openapi: 3.1.0"),
		Classroom: true, // every strategy
		Denylist:  true, Limits: state.Limits{LoginsPerAccount: 1}, FollowEvery: 1000 * time.Hour,
		Hasher: auth.NewArgon2id(argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}),
	}
	for _, o := range options {
		o(&config)
	}
	s, err := New(config)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, stores[0].Close())
		require.NoError(t, stores[1].Close())
		require.NoError(t, db.Close())
	})
	return s, h
}

// A caller sends requests with what the server has handed it.
type caller struct {
	*Server
	slug, username  string
	cookies         map[string]string
	access, refresh string
	id              string
}

const callersPassword = "down the rabbit hole"

func (x *caller) ask(t *testing.T, method, route, body string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost/"+x.slug+"/"+route, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range x.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if x.access != "" {
		r.Header.Set("Authorization", "Bearer "+x.access)
	}
	w := httptest.NewRecorder()
	x.ServeHTTP(w, r)
	return w.Result()
}

func (x *caller) login(t *testing.T) *http.Response {
	t.Helper()
	return x.ask(t, "POST", "login", fmt.Sprintf(`{"username":%q,"password":%q}`, x.username, callersPassword))
}

// newCaller returns a caller who has logged in as often as the limit allows.
func newCaller(t *testing.T, s *Server, slug, username string) *caller {
	t.Helper()
	x := &caller{Server: s, slug: slug, username: username, cookies: map[string]string{}}
	_, err := s.accounts.Add(t.Context(), username, callersPassword, username, auth.RoleMember)
	require.NoError(t, err)
	answer := x.login(t)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	for _, c := range answer.Cookies() {
		x.cookies[c.Name] = c.Value
	}
	var in struct {
		Credential struct {
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
		} `json:"credential"`
	}
	require.NoError(t, json.UnmarshalRead(answer.Body, &in))
	x.access, x.refresh = in.Credential.Access, in.Credential.Refresh
	tag := x.ask(t, "GET", "profile", "").Header.Get("ETag")
	x.id, _, _ = strings.Cut(strings.Trim(tag, `"`), ".")
	return x
}

// However late in a request a store begins to hang, and although an operation by subject
// gives the store no rest, the answer comes within two seconds.
func TestAStoreThatHangsOnTheWayIsAnAnswerWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	requests := map[string]func(t *testing.T, x *caller) *http.Response{
		"login": func(t *testing.T, x *caller) *http.Response { // over the limit, and in the place of none
			elsewhere := *x
			elsewhere.cookies, elsewhere.access = nil, ""
			return elsewhere.login(t)
		},
		"login again": func(t *testing.T, x *caller) *http.Response { return x.login(t) },
		"profile":     func(t *testing.T, x *caller) *http.Response { return x.ask(t, "GET", "profile", "") },
		"patch":       func(t *testing.T, x *caller) *http.Response { return x.ask(t, "PATCH", "profile", `{"theme":"dark"}`) },
		"refresh": func(t *testing.T, x *caller) *http.Response {
			if x.refresh == "" {
				return x.ask(t, "POST", "refresh", "")
			}
			return x.ask(t, "POST", "refresh", fmt.Sprintf(`{"refresh_token":%q}`, x.refresh))
		},
		"logout":     func(t *testing.T, x *caller) *http.Response { return x.ask(t, "POST", "logout", "") },
		"everywhere": func(t *testing.T, x *caller) *http.Response { return x.ask(t, "POST", "logout", `{"everywhere":true}`) },
		"logins":     func(t *testing.T, x *caller) *http.Response { return x.ask(t, "GET", "logins", "") },
		"end one":    func(t *testing.T, x *caller) *http.Response { return x.ask(t, "DELETE", "logins/"+x.id, "") },
		"password": func(t *testing.T, x *caller) *http.Response {
			return x.ask(t, "PUT", "password", fmt.Sprintf(`{"current_password":%q,"new_password":"through the looking glass"}`, callersPassword))
		},
	}
	for _, d := range state.Definitions() {
		if d.Place == state.PlaceProcess {
			continue // its logins are in no store
		}
		slug := d.Slug
		t.Run(slug, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, h := newHangingServer(t)
				longest, callers := time.Duration(0), 0
				for name, request := range requests {
					for _, bySubject := range []bool{false, true} {
						for operation := 0; ; operation++ {
							x := newCaller(t, s, slug, fmt.Sprint("caller-", callers))
							callers++
							h.from(operation, bySubject)
							start := time.Now()
							a := request(t, x)
							took := time.Since(start)
							if !h.ends() {
								break // it does not ask the store so often
							}
							longest = max(longest, took)
							body, err := io.ReadAll(a.Body)
							require.NoError(t, err)
							require.LessOrEqual(t, took, 2*time.Second, "%s, operation %d, by subject: %t", name, operation, bySubject)
							if a.StatusCode >= 300 {
								require.Equal(t, http.StatusServiceUnavailable, a.StatusCode, "%s, operation %d: %s", name, operation, body)
								require.NotEmpty(t, a.Header.Get("Retry-After"))
								require.Empty(t, a.Header.Values("Set-Cookie"))
							}
							<-time.After(time.Second) // the store has had its rest
						}
					}
				}
				t.Logf("%d requests, the slowest took %s", callers, longest)
			})
		})
	}
}
