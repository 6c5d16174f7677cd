package tests

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
)

// operations are what a store does for a request.
var operations = []string{"Create", "Load", "Update", "Delete", "BySubject"}

// Faulty stores do as they should until a test breaks them, all at once.
type faulty struct {
	mu     sync.Mutex
	breaks func(ctx context.Context, operation string) error
	broken int // operations that have failed
}

// breakWith makes these operations, or all, fail with err from now on.
func (f *faulty) breakWith(err error, operations ...string) {
	f.set(func(_ context.Context, operation string) error {
		if len(operations) == 0 || slices.Contains(operations, operation) {
			return err
		}
		return nil
	})
}

func (f *faulty) repair() { f.set(nil) }

func (f *faulty) set(breaks func(context.Context, string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.breaks, f.broken = breaks, 0
}

// failures is how often it has failed since it was broken.
func (f *faulty) failures() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

func (f *faulty) do(ctx context.Context, operation string) error {
	f.mu.Lock()
	breaks := f.breaks
	f.mu.Unlock()
	if breaks == nil {
		return nil
	}
	var err error
	defer func() {
		p := recover()
		if err != nil || p != nil {
			f.mu.Lock()
			f.broken++
			f.mu.Unlock()
		}
		if p != nil {
			panic(p)
		}
	}()
	err = breaks(ctx, operation)
	return err
}

// A faultyStore is one of them.
type faultyStore struct {
	state.Store
	*faulty
}

func (f faultyStore) Create(ctx context.Context, k state.Key, r state.Record) error {
	if err := f.do(ctx, "Create"); err != nil {
		return err
	}
	return f.Store.Create(ctx, k, r)
}

func (f faultyStore) Load(ctx context.Context, k state.Key) (state.Record, error) {
	if err := f.do(ctx, "Load"); err != nil {
		return state.Record{}, err
	}
	return f.Store.Load(ctx, k)
}

func (f faultyStore) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	if err := f.do(ctx, "Update"); err != nil {
		return err
	}
	return f.Store.Update(ctx, k, rev, r)
}

func (f faultyStore) Delete(ctx context.Context, k state.Key) error {
	if err := f.do(ctx, "Delete"); err != nil {
		return err
	}
	return f.Store.Delete(ctx, k)
}

func (f faultyStore) BySubject(ctx context.Context, subject string) ([]state.Entry, error) {
	if err := f.do(ctx, "BySubject"); err != nil {
		return nil, err
	}
	return f.Store.BySubject(ctx, subject)
}

func (f faultyStore) Ping(ctx context.Context) error {
	if err := f.do(ctx, "Ping"); err != nil {
		return err
	}
	return f.Store.Ping(ctx)
}

// newFaultyServer starts a server over stores that can be broken.
func newFaultyServer(t testing.TB, options ...option) (*server, *faulty) {
	t.Helper()
	f := new(faulty)
	s := newServer(t, append(options, func(c *api.Config) {
		c.Store, c.DatabaseStore = faultyStore{c.Store, f}, faultyStore{c.DatabaseStore, f}
	})...)
	return s, f
}

var errDown = errors.New("dial tcp 192.0.2.7:6379: connect: connection refused")

// outages are what a store that is down says.
var outages = []error{
	errDown, context.DeadlineExceeded, context.Canceled, fmt.Errorf("%w: %w", state.ErrUnavailable, errDown), state.ErrExists,
}

// unavailable requires an answer that blames nobody, gives nothing and takes
// nothing away.
func (a *answer) unavailable(code string) {
	a.t.Helper()
	a.is(http.StatusServiceUnavailable, code)
	require.Empty(a.t, a.header.Values("Set-Cookie"))
	require.NotContains(a.t, string(a.body), "192.0.2.7", "the address of the store is nobody's business")
}

// A request of a strategy, for a login of the teacher's.
type request struct {
	method, route string
	body          func(c *client) any
}

func nothing(*client) any { return nil }

func with(body any) func(*client) any { return func(*client) any { return body } }

// requests are one for each thing that a strategy does, changes of the password
// apart, which concern two stores.
var requests = []request{
	{"GET", "profile", nothing}, {"HEAD", "profile", nothing}, {"PATCH", "profile", with(object{"note": "x"})}, {"POST", "spend", with(object{"amount": 1})},
	{"GET", "inspect", nothing}, {"GET", "members", nothing}, {"GET", "logins", nothing}, {"DELETE", "logins/AAAAAAAAAAAAAAAAAAAAAA", nothing}, {"GET", "", nothing},
	{"POST", "refresh", renewal},
	{"POST", "login", with(credentials{teacher, teacherPassword})},
	{"POST", "logout", nothing},
	{"POST", "logout", with(object{"everywhere": true})},
	{"POST", "logout", renewal},
}

func (r request) of(c *client) *answer { return c.route(r.method, r.route, r.body(c)) }

// Each operation of the store fails in turn, below each request of each
// strategy. The answer is the usual one, where the operation does not matter, or
// 503; and after the outage everything is as it was before the request.
func TestAnOutageIsNeitherALogoutNorACrash(t *testing.T) {
	t.Parallel()
	s, f := newFaultyServer(t)
	each(t, func(t *testing.T, slug string) {
		usual := make([]int, len(requests))
		for i, r := range requests {
			usual[i] = r.of(s.login(t, slug, teacher, teacherPassword)).status
		}
		for _, operation := range append(slices.Clone(operations), "all") {
			for i, r := range requests {
				t.Run(fmt.Sprint(operation, " ", r.method, " ", r.route, " ", i), func(t *testing.T) {
					c := s.login(t, slug, teacher, teacherPassword)
					profile, held, refresh := c.profile(), c.held(), c.renews()
					if r.route == "profile" {
						s.clock.advance(2 * time.Minute) // so that a read has something to write
					}
					outage := outages[i%len(outages)]
					if f.breakWith(outage, operation); operation == "all" {
						f.breakWith(outage)
					}
					a := r.of(c)
					failures := f.failures()
					f.repair()
					if a.status == usual[i] {
						switch { // what was called a success is one
						case r.route == "login":
							require.Contains(t, c.profile(), teacher)
						case r.method == "PATCH":
							require.Equal(t, "x", c.get("profile").text("state.note"))
						}
						if r.route != "login" && r.route != "profile" { // whose counts and marks may be lost
							require.Zero(t, failures, "something failed, and nobody was told")
						}
						return
					}
					if a.is(http.StatusServiceUnavailable); r.method != "HEAD" {
						a.unavailable("store_unavailable")
					}
					require.Equal(t, []string{held, refresh}, []string{c.held(), c.renews()})
					require.Equal(t, profile, c.profile())
					c.renewed()
				})
			}
		}
	})
}

// What the client holds can be read without asking anybody.
func TestAnOutageDoesNotStopWhoHoldsTheState(t *testing.T) {
	s, f := newFaultyServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		before := c.profile()
		f.breakWith(errDown)
		defer f.repair()
		for range 3 {
			s.clock.advance(time.Minute)
			if asks(s.traits(t, slug)) {
				c.get("profile").unavailable("store_unavailable")
				c.get("").is(http.StatusOK) // the page shows nothing of a login
			} else {
				require.Equal(t, before, c.profile())
			}
			s.client(t, slug).get("profile").is(http.StatusUnauthorized, "no_credential")
		}
		if !asks(s.traits(t, slug)) {
			require.Zero(t, f.failures(), "it was asked all the same")
		}
	})
}

// A login that is refused must not be there afterwards: nobody holds it, and
// its owner would find a stranger in the list.
func TestALoginThatFailedLeavesNothingBehind(t *testing.T) {
	s, f := newFaultyServer(t)
	each(t, func(t *testing.T, slug string) {
		list := func(c *client) int {
			if !s.traits(t, slug).Listable {
				return 0
			}
			return len(c.get("logins").is(http.StatusOK).at("logins").([]any))
		}
		for _, operation := range operations {
			t.Run(operation, func(t *testing.T) {
				c := s.login(t, slug, alice, alicePassword)
				before, logins := c.profile(), list(c)
				f.breakWith(errDown, operation)
				a := c.post("login", credentials{alice, alicePassword})
				f.repair()
				if a.status != http.StatusOK {
					a.unavailable("store_unavailable")
					require.Equal(t, before, c.profile())
				}
				require.Equal(t, logins, list(c), "one login was replaced by one, or by none")
				c.post("logout", nil).is(http.StatusNoContent)
			})
		}
	})
}

// The store goes down in the middle of a request, after so many operations. Then
// nobody can clean up any more, and still the answer is true: a success is one,
// and after a 503 whoever was logged in still is.
func TestAnOutageOnTheWayLogsNobodyOut(t *testing.T) {
	s, f := newFaultyServer(t)
	each(t, func(t *testing.T, slug string) {
		for i, r := range requests {
			for most := range 12 {
				t.Run(fmt.Sprint(r.method, " ", r.route, " ", i, " after ", most), func(t *testing.T) {
					c := s.login(t, slug, teacher, teacherPassword)
					profile, thief := c.profile(), c.copy()
					done := 0
					f.set(func(context.Context, string) error {
						if done++; done > most {
							return errDown
						}
						return nil
					})
					a := r.of(c)
					f.repair()
					switch {
					case a.status == http.StatusServiceUnavailable:
						require.Empty(t, a.header.Values("Set-Cookie"))
						require.Equal(t, profile, c.profile())
						c.renewed()
					case r.route == "logout":
						if a.status == http.StatusNoContent && s.traits(t, slug).Listable {
							thief.renew().is(http.StatusUnauthorized)
						}
					default:
						require.Less(t, a.status, 502)
						c.get("profile").is(http.StatusOK)
					}
				})
			}
		}
	})
}

// "Nothing has changed; try again" has to be true of a password, too: otherwise
// the second try fails, and whoever knew the old password is still in.
func TestAPasswordChangeThatFailedHasChangedNothing(t *testing.T) {
	for _, operation := range []string{"Load", "Update", "Delete", "BySubject", "all"} {
		t.Run(operation, func(t *testing.T) {
			s, f := newFaultyServer(t)
			each(t, func(t *testing.T, slug string) {
				username := "user-" + slug
				s.client(t, slug).do("POST", "/accounts", object{"username": username, "password": "the first password"}).is(http.StatusCreated)
				var others []*client
				for _, other := range strategies {
					others = append(others, s.login(t, other, username, "the first password"))
				}
				c := s.login(t, slug, username, "the first password")
				change := object{"current_password": "the first password", "new_password": "the second password"}

				if f.breakWith(errDown, operation); operation == "all" {
					f.breakWith(errDown)
				}
				a := c.route("PUT", "password", change)
				f.repair()
				if a.status != http.StatusNoContent {
					a.unavailable("store_unavailable")
					s.login(t, slug, username, "the first password")
					s.client(t, slug).post("login", credentials{username, "the second password"}).is(http.StatusUnauthorized, "bad_login")
					c.route("PUT", "password", change).is(http.StatusNoContent)
				}
				c.get("profile").is(http.StatusOK)
				for _, other := range others {
					if traits := s.traits(t, other.slug); traits.Listable {
						other.renew().is(http.StatusUnauthorized)
					}
				}
				s.login(t, slug, username, "the second password")
			})
		})
	}
}

// The same, when the store goes down in the middle: as long as the answer is no
// success, the first password is the password.
func TestAnOutageOnTheWayChangesNoPassword(t *testing.T) {
	s, f := newFaultyServer(t)
	each(t, func(t *testing.T, slug string) {
		for most := range 16 {
			t.Run(fmt.Sprint("after ", most), func(t *testing.T) {
				username := fmt.Sprint("user-", slug, "-", most)
				s.client(t, slug).do("POST", "/accounts", object{"username": username, "password": "the first password"}).is(http.StatusCreated)
				for _, other := range strategies {
					s.login(t, other, username, "the first password")
				}
				c := s.login(t, slug, username, "the first password")
				done := 0
				f.set(func(context.Context, string) error {
					if done++; done > most {
						return errDown
					}
					return nil
				})
				a := c.route("PUT", "password", object{"current_password": "the first password", "new_password": "the second password"})
				f.repair()
				now := "the second password"
				if a.status != http.StatusNoContent {
					a.unavailable("store_unavailable")
					now = "the first password"
				}
				c.get("profile").is(http.StatusOK)
				s.login(t, slug, username, now)
			})
		}
	})
}

// A login that begins with the old password while that is being changed, after
// its strategy has been swept, ends with it all the same.
func TestALoginBesideAPasswordChangeEndsWithThePassword(t *testing.T) {
	s, f := newFaultyServer(t)
	var listable []string
	for _, slug := range strategies {
		if s.traits(t, slug).Listable {
			listable = append(listable, slug)
		}
	}
	each(t, func(t *testing.T, slug string) {
		username := "user-" + slug
		s.client(t, slug).do("POST", "/accounts", object{"username": username, "password": "the first password"}).is(http.StatusCreated)
		c, beside := s.login(t, slug, username, "the first password"), s.client(t, listable[0])
		sweeps := 0
		f.set(func(_ context.Context, operation string) error {
			if operation == "BySubject" {
				if sweeps++; sweeps == len(listable) {
					beside.post("login", credentials{username, "the first password"})
				}
			}
			return nil
		})
		defer f.repair()
		c.route("PUT", "password", object{"current_password": "the first password", "new_password": "the second password"}).is(http.StatusNoContent)
		require.NotEmpty(t, beside.held(), "it did not begin: this proves nothing")
		beside.renew().is(http.StatusUnauthorized)
		c.get("profile").is(http.StatusOK)
	})
}

// Ending all logins can stop half-way. Then whoever asked for it is still in,
// and can ask again.
func TestALogoutEverywhereCanBeRepeated(t *testing.T) {
	s, f := newFaultyServer(t)
	each(t, func(t *testing.T, slug string) {
		if !s.traits(t, slug).Everywhere {
			return // it has no logout everywhere
		}
		logins := []*client{s.login(t, slug, alice, alicePassword), s.login(t, slug, alice, alicePassword), s.login(t, slug, alice, alicePassword)}
		for _, allowed := range []int{0, 1, 1} {
			done := 0
			f.set(func(_ context.Context, operation string) error {
				if operation == "Delete" || operation == "Update" {
					if done++; done > allowed {
						return errDown
					}
				}
				return nil
			})
			a := logins[2].post("logout", object{"everywhere": true})
			f.repair()
			a.unavailable("store_unavailable")
			logins[2].get("profile").is(http.StatusOK)
		}
		last := logins[2].copy()
		logins[2].post("logout", object{"everywhere": true}).is(http.StatusNoContent)
		for _, c := range append(logins[:2], last) {
			c.renew().is(http.StatusUnauthorized)
		}
	})
}

func TestAStoreThatIsFullOrContendedIsOverload(t *testing.T) {
	s, f := newFaultyServer(t)
	each(t, func(t *testing.T, slug string) {
		if s.traits(t, slug).Listable { // somebody keeps a record
			f.breakWith(state.ErrFull, "Create")
			s.client(t, slug).post("login", credentials{alice, alicePassword}).unavailable("overloaded")
			f.repair()
			c := s.login(t, slug, alice, alicePassword)
			before := c.profile()
			f.breakWith(state.ErrConflict, "Update")
			c.patch(object{"theme": "dark"}).unavailable("overloaded")
			c.post("spend", object{"amount": 1}).unavailable("overloaded")
			c.renew().unavailable("overloaded")
			f.repair()
			require.Equal(t, before, c.profile())
			c.renewed()
		}
	})
}

// A store that hangs does as it was asked when the client's patience ends.
func TestAStoreThatHangsLetsGo(t *testing.T) {
	s, f := newFaultyServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		before := c.profile()
		f.set(func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		for _, r := range []bodyRoute{{"GET", "/profile", ""}, {"POST", "/logout", ""}, {"PATCH", "/profile", `{"theme":"dark"}`}} {
			w := httptest.NewRecorder()
			q := httptest.NewRequest(r.method, "http://localhost/"+slug+r.path, strings.NewReader(r.good)).WithContext(ctx)
			q.Header.Set("Content-Type", "application/json")
			q.Header.Set("Cookie", cookieName(slug)+"="+c.held())
			q.Header.Set("Authorization", "Bearer "+c.held())
			s.ServeHTTP(w, q)
			if f.failures() > 0 {
				require.Equal(t, http.StatusServiceUnavailable, w.Code, r.path)
				require.Empty(t, w.Header().Values("Set-Cookie"))
				require.Contains(t, w.Body.String(), `"store_unavailable"`)
			}
		}
		f.repair()
		if s.traits(t, slug).Listable { // the others have nobody to wait for
			require.Equal(t, before, c.profile())
		}
	})
}

func TestAPanicIsAnAnswerAndNoMore(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	s, f := newFaultyServer(t, func(c *api.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	each(t, func(t *testing.T, slug string) {
		for _, operation := range operations {
			for i, r := range requests {
				t.Run(fmt.Sprint(operation, " ", r.method, " ", r.route, " ", i), func(t *testing.T) {
					c := s.login(t, slug, teacher, teacherPassword)
					profile, held := c.profile(), c.held()
					s.clock.advance(2 * time.Minute) // so that a read has something to write
					log.Reset()
					f.set(func(_ context.Context, at string) error {
						if at == operation {
							panic("the store has come apart")
						}
						return nil
					})
					a := r.of(c)
					failures := f.failures()
					f.repair()
					if failures == 0 {
						return
					}
					a.is(http.StatusInternalServerError)
					require.NotContains(t, string(a.body), "apart")
					require.Empty(t, a.header.Values("Set-Cookie"))
					require.Equal(t, held, c.held())
					require.Equal(t, profile, c.profile(), "the state is as it was, and nothing is locked")
					require.Equal(t, 1, strings.Count(log.String(), "level=ERROR msg=failed code=internal_error"), "it is told once")
				})
			}
		}
	})
}

// A store that is down, wholly or in part, must not be a way around the throttle.
func TestTheThrottleOutlivesItsStore(t *testing.T) {
	s, f := newFaultyServer(t)
	each(t, func(t *testing.T, slug string) {
		for name, operations := range map[string][]string{
			"all": nil, "reads": {"Load"}, "writes": {"Create", "Update", "Delete"}, "new records": {"Create"}, "old records": {"Update"},
		} {
			t.Run(name, func(t *testing.T) {
				s.clock.advance(auth.ThrottleWindow)
				f.breakWith(errDown, operations...)
				defer f.repair()
				for range auth.MaxPerAccount {
					s.client(t, slug).post("login", credentials{alice, wrong}).is(http.StatusUnauthorized, "bad_login")
				}
				s.client(t, slug).post("login", credentials{alice, wrong}).throttled(auth.ThrottleWindow)
				s.client(t, slug).post("login", credentials{alice, alicePassword}).throttled(auth.ThrottleWindow)
			})
		}
	})
}

// away takes the accounts out of the database, as an outage would.
func (s *server) away(t testing.TB, away bool) {
	t.Helper()
	statement := `ALTER TABLE gone RENAME TO accounts`
	if away {
		statement = `ALTER TABLE accounts RENAME TO gone`
	}
	_, err := s.config.Database.ExecContext(context.WithoutCancel(t.Context()), statement)
	require.NoError(t, err)
}

func TestADatabaseThatFailsStopsSignInsOnly(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, teacher, teacherPassword)
		before, held, refresh := c.profile(), c.held(), c.renews()
		s.away(t, true)
		refreshed := c.renew()
		if !s.traits(t, slug).RenewsID {
			refreshed = c.get("members") // it asks nobody
		}
		for what, a := range map[string]*answer{
			"login":    s.client(t, slug).post("login", credentials{teacher, teacherPassword}),
			"nobody":   s.client(t, slug).post("login", credentials{"nobody", wrong}),
			"relogin":  c.post("login", credentials{teacher, teacherPassword}),
			"refresh":  refreshed,
			"members":  c.get("members"),
			"password": c.route("PUT", "password", object{"current_password": teacherPassword, "new_password": "through the looking-glass"}),
			"accounts": c.do("POST", "/accounts", object{"username": "dormouse", "password": "twinkle twinkle"}),
		} {
			t.Run(what, func(t *testing.T) {
				a.t = t
				a.unavailable("store_unavailable")
			})
		}
		require.Equal(t, []string{held, refresh}, []string{c.held(), c.renews()})
		require.Equal(t, before, c.profile())
		c.patch(object{"theme": "dark"}).is(http.StatusOK)
		c.post("spend", object{"amount": 1}).is(http.StatusOK)
		c.get("inspect").is(http.StatusOK)
		s.away(t, false)

		c.renewed()
		c.get("members").is(http.StatusOK)
		require.Equal(t, int64(99), c.get("profile").number("state.credits"))
		c.post("logout", nil).is(http.StatusNoContent)
	})
}

func TestReadinessNamesWhatFails(t *testing.T) {
	s, f := newFaultyServer(t)
	c := s.login(t, "session", alice, alicePassword)
	ready := func() *answer { return c.do("GET", "/readyz", nil) }
	alive := func() { c.do("GET", "/healthz", nil).is(http.StatusOK) }
	ready().is(http.StatusOK)

	f.breakWith(errDown, "Ping")
	a := ready()
	a.unavailable("store_unavailable")
	require.Contains(t, a.text("detail"), "store")
	require.NotContains(t, a.text("detail"), "database")
	alive()
	f.repair()
	ready().is(http.StatusOK)

	f.set(func(ctx context.Context, _ string) error { // it hangs
		<-ctx.Done()
		return ctx.Err()
	})
	a = ready()
	a.unavailable("store_unavailable")
	require.Contains(t, a.text("detail"), "store")
	f.repair()

	require.NoError(t, s.config.Database.Close())
	a = ready()
	a.unavailable("store_unavailable")
	require.Contains(t, a.text("detail"), "database")
	alive()
	c.get("profile").is(http.StatusOK)
	s.client(t, "session").post("login", credentials{alice, alicePassword}).unavailable("store_unavailable")
}

// Without a key to sign with, nothing is signed and nothing is used up.
func TestWithoutAKeyNothingIsUsedUp(t *testing.T) {
	s := newServer(t)
	ring := s.config.Keys
	var all []*keys.Key
	for _, p := range keys.Purposes() {
		all = append(all, ring.Verifying(p)...)
	}
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		before, records := c.profile(), s.records(t)
		ring.Replace()
		login := s.client(t, slug).post("login", credentials{alice, alicePassword})
		renewal, logout := c.renew(), c.post("logout", nil)
		ring.Replace(all...)
		if !s.traits(t, slug).NeedsSharedKey {
			login.is(http.StatusOK)
			require.Equal(t, s.traits(t, slug).RenewsID, renewal.status == http.StatusOK)
			return
		}
		login.unavailable("signing_unavailable")
		require.Equal(t, records, s.records(t))
		renewal.unavailable("signing_unavailable")
		logout.unavailable("signing_unavailable")
		require.Equal(t, before, c.profile())
		s.clock.advance(time.Minute) // beyond the overlap, within which a used refresh token would still do
		c.renewed()
	})
}

// syncBuffer is a buffer that a logger may write to from many goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *syncBuffer) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}

func TestTheLogTellsEveryRequestAndNoSecret(t *testing.T) {
	for name, handler := range map[string]func(*syncBuffer) slog.Handler{
		"text": func(b *syncBuffer) slog.Handler {
			return slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
		"json": func(b *syncBuffer) slog.Handler {
			return slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log syncBuffer
			s, f := newFaultyServer(t, func(c *api.Config) { c.Logger = slog.New(handler(&log)) })
			each(t, func(t *testing.T, slug string) {
				log.Reset()
				secrets := []string{wrong, "canary", alicePassword, "the first password", "the second password"}
				var ids, failed []string
				ask := func(a *answer) *answer {
					ids = append(ids, a.header.Get("X-Request-Id"))
					if a.status >= 500 && a.status != http.StatusNotImplemented {
						failed = append(failed, a.header.Get("X-Request-Id"))
					}
					return a
				}
				username := "carol-" + slug
				c := s.client(t, slug)
				c.send = func(r *http.Request) { // what every request carries
					for _, held := range []string{strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), c.held(), c.renews()} {
						for part := range strings.SplitSeq(held, ".") {
							secrets = append(secrets, part, part[len(part)/2:])
						}
					}
					r.URL.RawQuery = "q=canary-query"
					r.Header.Set("User-Agent", "canary-agent")
					r.Header.Set("Referer", "http://localhost/?canary-referer")
					r.Header.Add("Cookie", "other=canary-cookie")
				}
				ask(c.do("POST", "/accounts", object{"username": username, "password": "the first password", "display_name": "canary-name"}))
				ask(c.post("login", credentials{username, wrong}))
				ask(c.post("login", raw(`{"username":"canary","password":"canary`)))
				ask(c.post("login", raw(`{"canary":"canary"}`)))
				ask(c.post("login", credentials{username, "the first password"})).is(http.StatusOK)
				ask(c.patch(object{"note": "canary-note"}))
				ask(c.patch(object{"language": "canary_language"}))
				ask(c.route("PUT", "password", object{"current_password": wrong, "new_password": "the second password"}))
				ask(c.do("GET", "/"+slug+"/canary-path", nil))
				ask(c.do("DELETE", "/"+slug+"/logins/canary-id", nil))
				ask(c.do("GET", "/canary-path/"+slug, nil))
				ask(c.do("GET", "/"+slug+"/profile", nil, header("Cookie", cookieName(slug)+"=canary-credential"), header("Authorization", "Bearer canary-credential")))
				ask(c.do("GET", "/"+slug+"/profile", nil, header("Cookie", cookieName(slug)+"=canary-1; statelab_"+slug+"=canary-2"), header("Authorization", "Bearer canary-1", "Bearer canary-2")))
				ask(c.do("POST", "/"+slug+"/spend", nil, from("cross-site", "http://canary.example")))
				ask(c.do("GET", "/"+slug+"/profile", nil, func(r *http.Request) { r.Host = "canary.example" }))
				for _, panics := range []bool{false, true} {
					for _, r := range requests[:len(requests)-3] {
						f.set(func(context.Context, string) error {
							if panics {
								panic("the store has come apart")
							}
							return errDown
						})
						ask(c.route(r.method, r.route, r.body(c)))
						f.repair()
					}
				}
				s.away(t, true)
				ask(c.post("login", credentials{username, "the first password"}))
				ask(c.renew())
				s.away(t, false)
				ask(c.renew())
				ask(c.get("inspect"))
				ask(c.route("PUT", "password", object{"current_password": "the first password", "new_password": "the second password"}))
				ask(c.post("logout", nil))

				text := log.String()
				require.NotEmpty(t, failed)
				for _, id := range ids {
					lines := 0
					for line := range strings.Lines(text) {
						if strings.Contains(line, id) && (strings.Contains(line, "msg=request ") || strings.Contains(line, `"msg":"request"`)) {
							lines++
						}
					}
					require.Equal(t, 1, lines, "a request has one line")
				}
				for _, id := range failed {
					lines := 0
					for line := range strings.Lines(text) {
						if strings.Contains(line, id) && !strings.Contains(line, "audit") {
							lines++
						}
					}
					require.Equal(t, 2, lines, "a failure has one more")
				}
				for _, secret := range secrets {
					if len(secret) >= 6 {
						require.NotContains(t, text, secret)
						require.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte(secret)))
					}
				}
				require.NotContains(t, text, "argon2id$")
			})
		})
	}
}
