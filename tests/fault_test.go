package tests

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
	"statelab/tests/harness"
)

// operations are what a store does for a request.
var operations = []string{"Create", "Load", "Update", "Delete", "BySubject", "Logins", "EndSubject"}

// outages are what a store that is down says.
var outages = []error{
	harness.ErrDown, context.DeadlineExceeded, context.Canceled, fmt.Errorf("%w: %w", state.ErrUnavailable, harness.ErrDown), state.ErrExists,
}

// A request of a strategy, for a login of the teacher's.
type request struct {
	method, route string
	body          func(c *harness.Client) any
}

func nothing(*harness.Client) any { return nil }

func with(body any) func(*harness.Client) any { return func(*harness.Client) any { return body } }

// requests are one for each thing that a strategy does, changes of the password
// apart, which concern two stores.
var requests = []request{
	{"GET", "profile", nothing}, {"HEAD", "profile", nothing}, {"PATCH", "profile", with(harness.Object{"note": "x"})}, {"POST", "spend", with(harness.Object{"amount": 1})},
	{"GET", "inspect", nothing}, {"GET", "members", nothing}, {"GET", "logins", nothing}, {"DELETE", "logins/AAAAAAAAAAAAAAAAAAAAAA", nothing}, {"GET", "", nothing},
	{"POST", "refresh", harness.Renewal},
	{"POST", "login", with(harness.Credentials(harness.Teacher, harness.TeacherPassword))},
	{"POST", "logout", nothing},
	{"POST", "logout", with(harness.Object{"everywhere": true})},
	{"POST", "logout", harness.Renewal},
}

func (r request) of(c *harness.Client) *harness.Answer { return c.Route(r.method, r.route, r.body(c)) }

// Each operation of the store fails in turn, below each request of each
// strategy. The answer is the usual one, where the operation does not matter, or
// 503; and after the outage everything is as it was before the request.
func TestAnOutageIsNeitherALogoutNorACrash(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		usual := make([]int, len(requests))
		for i, r := range requests {
			usual[i] = r.of(s.Login(t, slug, harness.Teacher, harness.TeacherPassword)).Status
		}
		for _, operation := range append(slices.Clone(operations), "all") {
			for i, r := range requests {
				t.Run(fmt.Sprint(operation, " ", r.method, " ", r.route, " ", i), func(t *testing.T) {
					c := s.Login(t, slug, harness.Teacher, harness.TeacherPassword)
					profile, held, refresh := c.Profile(), c.Held(), c.Renews()
					if r.route == "profile" {
						s.Clock.Advance(2 * time.Minute) // so that a read has something to write
					}
					outage := outages[i%len(outages)]
					if f.BreakWith(outage, operation); operation == "all" {
						f.BreakWith(outage)
					}
					a := r.of(c)
					failures := f.Failures()
					f.Repair()
					if a.Status == usual[i] {
						switch { // what was called a success is one
						case r.route == "login":
							require.Contains(t, c.Profile(), harness.Teacher)
						case r.method == "PATCH":
							require.Equal(t, "x", c.Get("profile").Text("state.note"))
						}
						// The next logout makes up for a trim that failed.
						everywhere := reflect.DeepEqual(r.body(c), harness.Object{"everywhere": true})
						trims := r.route == "logout" && (operation == "Logins" || operation == "EndSubject" && !everywhere)
						if r.route != "login" && r.route != "profile" && !trims { // whose counts and marks may be lost
							require.Zero(t, failures, "something failed, and nobody was told")
						}
						return
					}
					if a.Is(http.StatusServiceUnavailable); r.method != "HEAD" {
						a.Unavailable("store_unavailable")
					}
					require.Equal(t, []string{held, refresh}, []string{c.Held(), c.Renews()})
					require.Equal(t, profile, c.Profile())
					c.Renewed()
				})
			}
		}
	})
}

// What the client holds can be read without asking anybody.
func TestAnOutageDoesNotStopWhoHoldsTheState(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s, f := harness.NewFaultyServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			before := c.Profile()
			f.BreakWith(harness.ErrDown)
			defer f.Repair()
			for range 3 {
				s.Clock.Advance(time.Minute)
				if harness.Asks(s.Traits(t, slug)) {
					c.Get("profile").Unavailable("store_unavailable")
					c.Get("").Is(http.StatusOK) // the page shows nothing of a login
				} else {
					require.Equal(t, before, c.Profile())
				}
				s.Client(t, slug).Get("profile").Is(http.StatusUnauthorized, "no_credential")
			}
			if !harness.Asks(s.Traits(t, slug)) {
				require.Zero(t, f.Failures(), "it was asked all the same")
			}
		})
	})
}

// A login that is refused must not be there afterwards: nobody holds it, and
// its owner would find a stranger in the list.
func TestALoginThatFailedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s, f := harness.NewFaultyServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			list := func(c *harness.Client) int {
				if !s.Traits(t, slug).Listable {
					return 0
				}
				return len(c.Get("logins").Is(http.StatusOK).At("logins").([]any))
			}
			for _, operation := range operations {
				t.Run(operation, func(t *testing.T) {
					c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
					before, logins := c.Profile(), list(c)
					f.BreakWith(harness.ErrDown, operation)
					a := c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
					f.Repair()
					if a.Status != http.StatusOK {
						a.Unavailable("store_unavailable")
						require.Equal(t, before, c.Profile())
					}
					require.Equal(t, logins, list(c), "one login was replaced by one, or by none")
					c.Post("logout", nil).Is(http.StatusNoContent)
				})
			}
		})
	})
}

// The store goes down in the middle of a request, after so many operations. Then
// nobody can clean up any more, and still the answer is true: a success is one,
// and after a 503 whoever was logged in still is.
func TestAnOutageOnTheWayLogsNobodyOut(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s, f := harness.NewFaultyServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			for i, r := range requests {
				for most := range 12 {
					t.Run(fmt.Sprint(r.method, " ", r.route, " ", i, " after ", most), func(t *testing.T) {
						c := s.Login(t, slug, harness.Teacher, harness.TeacherPassword)
						profile, thief := c.Profile(), c.Copy()
						done := 0
						f.Set(func(context.Context, string) error {
							if done++; done > most {
								return harness.ErrDown
							}
							return nil
						})
						a := r.of(c)
						f.Repair()
						switch {
						case a.Status == http.StatusServiceUnavailable:
							require.Empty(t, a.Header.Values("Set-Cookie"))
							require.Equal(t, profile, c.Profile())
							c.Renewed()
						case r.route == "logout":
							if a.Status == http.StatusNoContent && s.Traits(t, slug).Listable {
								thief.Renew().Is(http.StatusUnauthorized)
							}
						default:
							require.Less(t, a.Status, 502)
							c.Get("profile").Is(http.StatusOK)
						}
					})
				}
			}
		})
	})
}

// Ending all logins can stop half-way. Then whoever asked for it is still in,
// and can ask again.
func TestALogoutEverywhereCanBeRepeated(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s, f := harness.NewFaultyServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			if !s.Traits(t, slug).Everywhere {
				return // it has no logout everywhere
			}
			logins := []*harness.Client{s.Login(t, slug, harness.Alice, harness.AlicePassword), s.Login(t, slug, harness.Alice, harness.AlicePassword), s.Login(t, slug, harness.Alice, harness.AlicePassword)}
			last := logins[2].Copy()
			refused, ended := 0, false
			for allowed := range 3 { // operations that write, before the store fails
				done := 0
				f.Set(func(_ context.Context, operation string) error {
					if operation == "Delete" || operation == "Update" || operation == "EndSubject" {
						if done++; done > allowed {
							return harness.ErrDown
						}
					}
					return nil
				})
				a := logins[2].Post("logout", harness.Object{"everywhere": true})
				f.Repair()
				if ended = a.Status == http.StatusNoContent; ended {
					break // it needs no more operations
				}
				a.Unavailable("store_unavailable")
				refused++
				logins[2].Get("profile").Is(http.StatusOK)
			}
			require.Positive(t, refused)
			if !ended {
				logins[2].Post("logout", harness.Object{"everywhere": true}).Is(http.StatusNoContent)
			}
			for _, c := range append(logins[:2], last) {
				c.Renew().Is(http.StatusUnauthorized)
			}
		})
	})
}

func TestAStoreThatIsFullOrContendedIsOverload(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		if s.Traits(t, slug).Listable { // somebody keeps a record
			f.BreakWith(state.ErrFull, "Create")
			s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Unavailable("overloaded")
			f.Repair()
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			before := c.Profile()
			f.BreakWith(state.ErrConflict, "Update")
			c.Patch(harness.Object{"theme": "dark"}).Unavailable("overloaded")
			c.Post("spend", harness.Object{"amount": 1}).Unavailable("overloaded")
			c.Renew().Unavailable("overloaded")
			f.Repair()
			require.Equal(t, before, c.Profile())
			c.Renewed()
		}
	})
}

// A store that hangs does as it was asked when the client's patience ends.
func TestAStoreThatHangsLetsGo(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before := c.Profile()
		f.Set(func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		for _, r := range []harness.BodyRoute{{Method: "GET", Path: "/profile"}, {Method: "POST", Path: "/logout"}, {Method: "PATCH", Path: "/profile", Good: `{"theme":"dark"}`}} {
			w := httptest.NewRecorder()
			q := httptest.NewRequest(r.Method, "http://localhost/"+slug+r.Path, strings.NewReader(r.Good)).WithContext(ctx)
			q.Header.Set("Content-Type", "application/json")
			q.Header.Set("Cookie", harness.CookieName(slug)+"="+c.Held())
			q.Header.Set("Authorization", "Bearer "+c.Held())
			s.ServeHTTP(w, q)
			if f.Failures() > 0 {
				require.Equal(t, http.StatusServiceUnavailable, w.Code, r.Path)
				require.Empty(t, w.Header().Values("Set-Cookie"))
				require.Contains(t, w.Body.String(), `"store_unavailable"`)
			}
		}
		f.Repair()
		if s.Traits(t, slug).Listable { // the others have nobody to wait for
			require.Equal(t, before, c.Profile())
		}
	})
}

func TestAPanicIsAnAnswerAndNoMore(t *testing.T) {
	t.Parallel()
	var log harness.SyncBuffer
	s, f := harness.NewFaultyServer(t, func(c *api.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	harness.Each(t, func(t *testing.T, slug string) {
		for _, operation := range operations {
			for i, r := range requests {
				t.Run(fmt.Sprint(operation, " ", r.method, " ", r.route, " ", i), func(t *testing.T) {
					c := s.Login(t, slug, harness.Teacher, harness.TeacherPassword)
					profile, held := c.Profile(), c.Held()
					s.Clock.Advance(2 * time.Minute) // so that a read has something to write
					log.Reset()
					f.Set(func(_ context.Context, at string) error {
						if at == operation {
							panic("the store has come apart")
						}
						return nil
					})
					a := r.of(c)
					failures := f.Failures()
					f.Repair()
					if failures == 0 {
						return
					}
					a.Is(http.StatusInternalServerError)
					require.NotContains(t, string(a.Body), "apart")
					require.Empty(t, a.Header.Values("Set-Cookie"))
					require.Equal(t, held, c.Held())
					require.Equal(t, profile, c.Profile(), "the state is as it was, and nothing is locked")
					require.Equal(t, 1, strings.Count(log.String(), "level=ERROR msg=failed code=internal_error"), "it is told once")
				})
			}
		}
	})
}

// A store that is down, wholly or in part, must not be a way around the throttle.
func TestTheThrottleOutlivesItsStore(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		for name, operations := range map[string][]string{
			"all": nil, "reads": {"Load"}, "writes": {"Create", "Update", "Delete"}, "new records": {"Create"}, "old records": {"Update"},
		} {
			t.Run(name, func(t *testing.T) {
				s.Clock.Advance(auth.ThrottleWindow)
				f.BreakWith(harness.ErrDown, operations...)
				defer f.Repair()
				for range auth.MaxPerAccount {
					s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.Wrong)).Is(http.StatusUnauthorized, "bad_login")
				}
				s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.Wrong)).Throttled(auth.ThrottleWindow)
				s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Throttled(auth.ThrottleWindow)
			})
		}
	})
}

func TestTheLimitOfRegistrationsOutlivesItsStore(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t, service)
	f.BreakWith(harness.ErrDown)
	register := func(n int) *harness.Answer {
		return s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": fmt.Sprintf("account-%d", n), "password": "twinkle twinkle"})
	}
	for n := range auth.MaxRegistrations {
		register(n).Is(http.StatusCreated)
	}
	register(auth.MaxRegistrations).Throttled(auth.ThrottleWindow)
}

func TestADatabaseThatFailsStopsSignInsOnly(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Teacher, harness.TeacherPassword)
		before, held, refresh := c.Profile(), c.Held(), c.Renews()
		s.Away(t, true)
		refreshed := c.Renew()
		if !s.Traits(t, slug).RenewsID {
			refreshed = c.Get("members") // which asks no store
		}
		for what, a := range map[string]*harness.Answer{
			"login":    s.Client(t, slug).Post("login", harness.Credentials(harness.Teacher, harness.TeacherPassword)),
			"nobody":   s.Client(t, slug).Post("login", harness.Credentials("nobody", harness.Wrong)),
			"relogin":  c.Post("login", harness.Credentials(harness.Teacher, harness.TeacherPassword)),
			"refresh":  refreshed,
			"members":  c.Get("members"),
			"password": c.Route("PUT", "password", harness.Object{"current_password": harness.TeacherPassword, "new_password": "through the looking-glass"}),
			"accounts": c.Do("POST", "/accounts", harness.Object{"username": "dormouse", "password": "twinkle twinkle"}),
		} {
			t.Run(what, func(t *testing.T) {
				a.T = t
				a.Unavailable("store_unavailable")
			})
		}
		require.Equal(t, []string{held, refresh}, []string{c.Held(), c.Renews()})
		require.Equal(t, before, c.Profile())
		c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
		c.Post("spend", harness.Object{"amount": 1}).Is(http.StatusOK)
		c.Get("inspect").Is(http.StatusOK)
		s.Away(t, false)

		c.Renewed()
		c.Get("members").Is(http.StatusOK)
		require.Equal(t, int64(99), c.Get("profile").Number("state.credits"))
		c.Post("logout", nil).Is(http.StatusNoContent)
	})
}

func TestReadinessNamesWhatFails(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t)
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	ready := func() *harness.Answer { return c.Do("GET", "/readyz", nil) }
	alive := func() { c.Do("GET", "/healthz", nil).Is(http.StatusOK) }
	ready().Is(http.StatusOK)

	f.BreakWith(harness.ErrDown, "Ping")
	a := ready()
	a.Unavailable("store_unavailable")
	require.Contains(t, a.Text("detail"), "store")
	require.NotContains(t, a.Text("detail"), "database")
	alive()
	f.Repair()
	ready().Is(http.StatusOK)

	f.Set(func(ctx context.Context, _ string) error { // it hangs
		<-ctx.Done()
		return ctx.Err()
	})
	a = ready()
	a.Unavailable("store_unavailable")
	require.Contains(t, a.Text("detail"), "store")
	f.Repair()

	require.NoError(t, s.Config.Database.Close())
	a = ready()
	a.Unavailable("store_unavailable")
	require.Contains(t, a.Text("detail"), "database")
	alive()
	c.Get("profile").Is(http.StatusOK)
	s.Client(t, "session").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Unavailable("store_unavailable")
}

// Without a key to sign with, nothing is signed and nothing is used up.
func TestWithoutAKeyNothingIsUsedUp(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{cached}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		ring := s.Config.Keys
		var all []*keys.Key
		for _, p := range keys.Purposes() {
			all = append(all, ring.Verifying(p)...)
		}
		harness.Each(t, func(t *testing.T, slug string) {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			before, records := c.Profile(), s.Records(t)
			ring.Replace()
			login := s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
			renewal, logout := c.Renew(), c.Post("logout", nil)
			ring.Replace(all...)
			if !s.Traits(t, slug).NeedsSharedKey {
				login.Is(http.StatusOK)
				require.Equal(t, s.Traits(t, slug).RenewsID, renewal.Status == http.StatusOK)
				return
			}
			login.Unavailable("signing_unavailable")
			require.Equal(t, records, s.Records(t))
			renewal.Unavailable("signing_unavailable")
			logout.Unavailable("signing_unavailable")
			require.Equal(t, before, c.Profile())
			s.Clock.Advance(time.Minute) // beyond the overlap, within which a used refresh token would still do
			c.Renewed()
		})
	})
}

func TestTheLogTellsEveryRequestAndNoSecret(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]func(*harness.SyncBuffer) slog.Handler{
		"text": func(b *harness.SyncBuffer) slog.Handler {
			return slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
		"json": func(b *harness.SyncBuffer) slog.Handler {
			return slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log harness.SyncBuffer
			s, f := harness.NewFaultyServer(t, func(c *api.Config) { c.Logger = slog.New(handler(&log)) })
			harness.Each(t, func(t *testing.T, slug string) {
				log.Reset()
				secrets := []string{harness.Wrong, "canary", harness.AlicePassword, "the first password", "the second password"}
				var ids, failed []string
				ask := func(a *harness.Answer) *harness.Answer {
					ids = append(ids, a.Header.Get("X-Request-Id"))
					if a.Status >= 500 && a.Status != http.StatusNotImplemented {
						failed = append(failed, a.Header.Get("X-Request-Id"))
					}
					return a
				}
				username := "carol-" + slug
				c := s.Client(t, slug)
				c.Send = func(r *http.Request) { // what every request carries
					for _, held := range []string{strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), c.Held(), c.Renews()} {
						for part := range strings.SplitSeq(held, ".") {
							secrets = append(secrets, part, part[len(part)/2:])
						}
					}
					r.URL.RawQuery = "q=canary-query"
					r.Header.Set("User-Agent", "canary-agent")
					r.Header.Set("Referer", "http://localhost/?canary-referer")
					r.Header.Add("Cookie", "other=canary-cookie")
				}
				ask(c.Do("POST", "/accounts", harness.Object{"username": username, "password": "the first password", "display_name": "canary-name"}))
				ask(c.Post("login", harness.Credentials(username, harness.Wrong)))
				ask(c.Post("login", harness.Raw(`{"username":"canary","password":"canary`)))
				ask(c.Post("login", harness.Raw(`{"canary":"canary"}`)))
				ask(c.Post("login", harness.Credentials(username, "the first password"))).Is(http.StatusOK)
				ask(c.Patch(harness.Object{"note": "canary-note"}))
				ask(c.Patch(harness.Object{"language": "canary_language"}))
				ask(c.Route("PUT", "password", harness.Object{"current_password": harness.Wrong, "new_password": "the second password"}))
				ask(c.Do("GET", "/"+slug+"/canary-path", nil))
				ask(c.Do("DELETE", "/"+slug+"/logins/canary-id", nil))
				ask(c.Do("GET", "/canary-path/"+slug, nil))
				ask(c.Do("GET", "/"+slug+"/profile", nil, harness.Header("Cookie", harness.CookieName(slug)+"=canary-credential"), harness.Header("Authorization", "Bearer canary-credential")))
				ask(c.Do("GET", "/"+slug+"/profile", nil, harness.Header("Cookie", harness.CookieName(slug)+"=canary-1; statelab_"+slug+"=canary-2"), harness.Header("Authorization", "Bearer canary-1", "Bearer canary-2")))
				ask(c.Do("POST", "/"+slug+"/spend", nil, harness.From("cross-site", "http://canary.example")))
				ask(c.Do("GET", "/"+slug+"/profile", nil, func(r *http.Request) { r.Host = "canary.example" }))
				for _, panics := range []bool{false, true} {
					for _, r := range requests[:len(requests)-3] {
						f.Set(func(context.Context, string) error {
							if panics {
								panic("the store has come apart")
							}
							return harness.ErrDown
						})
						ask(c.Route(r.method, r.route, r.body(c)))
						f.Repair()
					}
				}
				s.Away(t, true)
				ask(c.Post("login", harness.Credentials(username, "the first password")))
				ask(c.Renew())
				s.Away(t, false)
				ask(c.Renew())
				ask(c.Get("inspect"))
				ask(c.Route("PUT", "password", harness.Object{"current_password": "the first password", "new_password": "the second password"}))
				ask(c.Post("logout", nil))

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
