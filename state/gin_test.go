package state_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/tester"
	"github.com/gin-gonic/gin"
	gorilla "github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/redisstore"
	"statelab/state/store/sqlstore"
	"statelab/state/store/storetest"
)

func init() { gin.SetMode(gin.ReleaseMode) }

// GinStore passes the suite of gin-contrib whole.
func TestGinContribSuite(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]func(*testing.T, func(*testing.T) sessions.Store){
		"GetSet":     func(t *testing.T, f func(*testing.T) sessions.Store) { tester.GetSet(t, f) },
		"DeleteKey":  func(t *testing.T, f func(*testing.T) sessions.Store) { tester.DeleteKey(t, f) },
		"Flashes":    func(t *testing.T, f func(*testing.T) sessions.Store) { tester.Flashes(t, f) },
		"Clear":      func(t *testing.T, f func(*testing.T) sessions.Store) { tester.Clear(t, f) },
		"Options":    func(t *testing.T, f func(*testing.T) sessions.Store) { tester.Options(t, f) },
		"Many":       func(t *testing.T, f func(*testing.T) sessions.Store) { tester.Many(t, f) },
		"ManyStores": func(t *testing.T, f func(*testing.T) sessions.Store) { tester.ManyStores(t, f) },
	} {
		t.Run(name, func(t *testing.T) {
			rule(t, func(t *testing.T) sessions.Store {
				s, _ := newGinStore(t)
				return s
			})
		})
	}
}

func newGinStore(t testing.TB) (*state.GinStore, *memory.Store) {
	kept := memory.New(store.Options{})
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	return state.NewGinStore(kept), kept
}

// A browser keeps the last cookie it was given.
type browser struct {
	t      *testing.T
	engine *gin.Engine
	cookie *http.Cookie
}

func newBrowser(t *testing.T, s sessions.Store) *browser {
	e := gin.New()
	e.Use(sessions.Sessions("app", s))
	save := func(c *gin.Context, change func(sessions.Session)) {
		session := sessions.Default(c)
		change(session)
		if err := session.Save(); err != nil {
			c.String(http.StatusConflict, "%v", errors.Is(err, state.ErrConflict))
			return
		}
		c.String(http.StatusOK, fmt.Sprint(session.Get("user")))
	}
	e.GET("/who", func(c *gin.Context) { c.String(http.StatusOK, fmt.Sprint(sessions.Default(c).Get("user"))) })
	e.GET("/login", func(c *gin.Context) {
		save(c, func(s sessions.Session) { s.Set(state.RenewKey, true); s.Set("user", "alice") })
	})
	e.GET("/visit", func(c *gin.Context) { save(c, func(s sessions.Session) { s.Set("seen", 1) }) })
	e.GET("/twice", func(c *gin.Context) {
		save(c, func(s sessions.Session) { s.Set("seen", 1); _ = s.Save(); s.Set("seen", 2) })
	})
	e.GET("/logout", func(c *gin.Context) {
		save(c, func(s sessions.Session) { s.Options(sessions.Options{MaxAge: -1}) })
	})
	return &browser{t: t, engine: e}
}

func (b *browser) get(path string) string {
	b.t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	w := httptest.NewRecorder()
	b.engine.ServeHTTP(w, r)
	set := w.Result().Cookies()
	require.LessOrEqual(b.t, len(set), 1, "one Set-Cookie for each name")
	for _, c := range set {
		if b.cookie = c; c.MaxAge < 0 {
			require.Equal(b.t, "/", c.Path, "a cookie is cleared where it was set")
			b.cookie = nil
		}
	}
	return w.Body.String()
}

func TestGinStoreRenewsAtLogin(t *testing.T) {
	t.Parallel()
	s, kept := newGinStore(t)
	b := newBrowser(t, s)
	b.get("/visit")
	planted := *b.cookie
	require.Equal(t, "alice", b.get("/login"))
	require.NotEqual(t, planted.Value, b.cookie.Value)
	require.Equal(t, 1, kept.Len(), "the old record is gone")

	thief := newBrowser(t, s)
	thief.cookie = &planted
	require.Equal(t, "<nil>", thief.get("/who"))
}

func TestGinStoreNeverAdoptsAnIdentifier(t *testing.T) {
	t.Parallel()
	s, kept := newGinStore(t)
	b := newBrowser(t, s)
	b.get("/login")
	ended := *b.cookie
	b.get("/logout")
	require.Nil(t, b.cookie)
	require.Zero(t, kept.Len())

	for _, planted := range []string{ended.Value, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "x"} {
		c := newBrowser(t, s)
		c.cookie = &http.Cookie{Name: "app", Value: planted}
		require.Equal(t, "<nil>", c.get("/who"))
		c.get("/visit")
		require.NotEqual(t, planted, c.cookie.Value)
	}
}

func TestGinStoreSavesTwiceInOneRequest(t *testing.T) {
	t.Parallel()
	s, kept := newGinStore(t)
	b := newBrowser(t, s)
	b.get("/twice")
	b.get("/twice")
	require.Equal(t, 1, kept.Len())
}

func TestGinStoreTellsOfLostUpdates(t *testing.T) {
	t.Parallel()
	s, _ := newGinStore(t)
	r := httptest.NewRequest("GET", "/", nil)
	w := httptest.NewRecorder()
	session, err := s.New(r, "app")
	require.NoError(t, err)
	require.NoError(t, s.Save(r, w, session))
	r.AddCookie(w.Result().Cookies()[0])

	first, err := s.New(r, "app")
	require.NoError(t, err)
	second, err := s.New(r, "app")
	require.NoError(t, err)
	first.Values["a"], second.Values["b"] = 1, 2
	require.NoError(t, s.Save(r, httptest.NewRecorder(), first))
	require.ErrorIs(t, s.Save(r, httptest.NewRecorder(), second), state.ErrConflict)
}

func TestGinStoreDoesNotUndoALogout(t *testing.T) {
	t.Parallel()
	s, kept := newGinStore(t)
	b := newBrowser(t, s)
	b.get("/login")
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(b.cookie)
	slow, err := s.New(r, "app") // a slow request has begun
	require.NoError(t, err)
	b.get("/logout")
	require.Zero(t, kept.Len())
	w := httptest.NewRecorder()
	require.ErrorIs(t, s.Save(r, w, slow), state.ErrConflict)
	require.Empty(t, w.Result().Cookies(), "which would bring back who has left")
	require.Zero(t, kept.Len())
}

func TestGinStoreSaysThatTheStoreIsDown(t *testing.T) {
	t.Parallel()
	s := state.NewGinStore(down{})
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "app", Value: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
	session, err := s.New(r, "app")
	require.NotNil(t, session, "gin-contrib would panic")
	require.ErrorIs(t, err, state.ErrUnavailable)
	w := httptest.NewRecorder()
	require.ErrorIs(t, s.Save(r, w, session), state.ErrUnavailable)
	require.Empty(t, w.Result().Cookies())
}

// A login that GinStore knows the owner of ends from elsewhere, and no other's does.
func TestGinStoreEndsTheSessionsOfAnOwner(t *testing.T) {
	t.Parallel()
	s, kept := newGinStore(t)
	save := func(name, owner string) *http.Cookie {
		r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
		session, err := s.New(r, "app")
		require.NoError(t, err)
		session.Values["name"] = name
		if owner != "" {
			session.Values[state.OwnerKey] = owner
		}
		require.NoError(t, s.Save(r, w, session))
		return w.Result().Cookies()[0]
	}
	load := func(c *http.Cookie) *gorilla.Session {
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(c)
		session, err := s.New(r, "app")
		require.NoError(t, err)
		return session
	}
	laptop, phone, other, visitor := save("laptop", "1"), save("phone", "1"), save("other", "2"), save("visitor", "")
	require.Equal(t, "1", load(laptop).Values[state.OwnerKey], "the owner is kept")

	ended, err := s.EndOwner(t.Context(), "1", load(phone).ID)
	require.NoError(t, err)
	require.Equal(t, 1, ended)
	require.True(t, load(laptop).IsNew)
	for _, c := range []*http.Cookie{phone, other, visitor} {
		require.False(t, load(c).IsNew)
	}
	ended, err = s.EndOwner(t.Context(), "", "")
	require.NoError(t, err)
	require.Zero(t, ended, "an empty name ends no visitor's session")
	require.Equal(t, 3, kept.Len())

	// An owner is a change of privilege: the identifier does not outlive it.
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	r.AddCookie(visitor)
	session, err := s.New(r, "app")
	require.NoError(t, err)
	session.Values[state.OwnerKey] = "3"
	require.NoError(t, s.Save(r, w, session))
	require.NotEqual(t, visitor.Value, w.Result().Cookies()[0].Value)
	require.True(t, load(visitor).IsNew)
	ended, err = s.EndOwner(t.Context(), "3", "")
	require.NoError(t, err)
	require.Equal(t, 1, ended)

	session.Values[state.OwnerKey] = 3
	require.ErrorContains(t, s.Save(r, httptest.NewRecorder(), session), "OwnerKey")
}

// A session that goes on for longer than it was to last at first is found by its owner
// in every store, and so is one whose owner comes back after all have ended.
func TestGinStoreFindsTheSessionsOfAnOwnerInEveryStore(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	clock := time.Now()
	now := func() time.Time { return clock }
	inRedis, err := redisstore.New(server.Address, store.Options{Now: now, Patience: time.Minute})
	require.NoError(t, err)
	db, err := sqlstore.OpenDatabase(t.Context(), "sqlite::memory:")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	for name, keeper := range map[string]state.Store{
		"memory": memory.New(store.Options{Now: now}), "SQLite": sqlstore.New(db, store.Options{Now: now}), "Redis": inRedis,
	} {
		t.Cleanup(func() { require.NoError(t, keeper.(io.Closer).Close()) })
		s := state.NewGinStore(keeper)
		s.SetClock(now)
		s.Options(sessions.Options{Path: "/", MaxAge: 3600})
		session, err := s.New(httptest.NewRequest("GET", "/", nil), "app")
		require.NoError(t, err)
		session.Values[state.OwnerKey] = "1"
		for range 4 {
			require.NoError(t, s.Save(httptest.NewRequest("GET", "/", nil), httptest.NewRecorder(), session), name)
			clock = clock.Add(40 * time.Minute)
			if keeper == inRedis {
				olderRedis(t, strings.TrimPrefix(server.Address, "redis://"), 40*time.Minute)
			}
		}
		ended, err := s.EndOwner(t.Context(), "1", "")
		require.NoError(t, err, name)
		require.Equal(t, 1, ended, name)
	}
}

// A request that has begun before its session was ended renews nothing: the values of an
// ended login would go on under another identifier.
func TestGinStoreRenewsNoSessionThatHasEnded(t *testing.T) {
	t.Parallel()
	s, kept := newGinStore(t)
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	session, err := s.New(r, "app")
	require.NoError(t, err)
	session.Values[state.OwnerKey] = "1"
	require.NoError(t, s.Save(r, w, session))
	r.AddCookie(w.Result().Cookies()[0])

	load := func() *gorilla.Session {
		session, err := s.New(r, "app")
		require.NoError(t, err)
		require.False(t, session.IsNew)
		return session
	}
	renewed, other, elsewhere := load(), load(), load()
	elsewhere.Values["theme"] = "dark"
	require.NoError(t, s.Save(r, httptest.NewRecorder(), elsewhere))
	renewed.Values[state.RenewKey] = true
	require.ErrorIs(t, s.Save(r, httptest.NewRecorder(), renewed), state.ErrConflict, "it would lose the theme")
	require.Equal(t, 1, kept.Len())

	_, err = s.EndOwner(t.Context(), "1", "")
	require.NoError(t, err)
	other.Values[state.OwnerKey] = "2"
	w = httptest.NewRecorder()
	require.ErrorIs(t, s.Save(r, w, other), state.ErrConflict)
	require.Empty(t, w.Result().Cookies())
	require.Zero(t, kept.Len())
}

// One request may end a session and begin another: a login in the place of another's.
func TestGinStoreBeginsAfterItHasEnded(t *testing.T) {
	t.Parallel()
	s, kept := newGinStore(t)
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	session, err := s.New(r, "app")
	require.NoError(t, err)
	session.Values["cart"] = "alice's"
	require.NoError(t, s.Save(r, w, session))
	r.AddCookie(w.Result().Cookies()[0])

	w = httptest.NewRecorder()
	session, err = s.New(r, "app")
	require.NoError(t, err)
	session.Options.MaxAge = -1
	require.NoError(t, s.Save(r, w, session))
	require.Empty(t, session.Values, "what was ended is not read any more")
	require.Zero(t, kept.Len())
	for range 2 { // and renewed once more
		session.Values["name"], session.Values[state.RenewKey] = "bob", true
		require.NoError(t, s.Save(r, w, session))
		require.Equal(t, 1, kept.Len())
	}

	cookies := w.Result().Cookies()
	require.Len(t, cookies, 1, "the last word is the only one")
	r = httptest.NewRequest("GET", "/", nil)
	r.AddCookie(cookies[0])
	session, err = s.New(r, "app")
	require.NoError(t, err)
	require.Equal(t, "bob", session.Values["name"])
	require.NotContains(t, session.Values, "cart")
}

// A store that fails once must not cost its user the session.
func TestGinStoreOverwritesNothingThatItCouldNotRead(t *testing.T) {
	t.Parallel()
	s, kept := newGinStore(t)
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	session, err := s.New(r, "app")
	require.NoError(t, err)
	session.Values["user"] = "alice"
	require.NoError(t, s.Save(r, w, session))
	r.AddCookie(w.Result().Cookies()[0])

	failing := state.NewGinStore(failingOnce{Store: kept, failed: new(atomic.Bool)})
	session, err = failing.New(r, "app")
	require.ErrorIs(t, err, state.ErrUnavailable)
	session.Values["theme"] = "dark"
	w = httptest.NewRecorder()
	require.ErrorIs(t, failing.Save(r, w, session), state.ErrUnavailable)
	require.Empty(t, w.Result().Cookies())
	session, err = failing.New(r, "app")
	require.NoError(t, err)
	require.Equal(t, "alice", session.Values["user"])
}

// failingOnce is a store whose first Load fails.
type failingOnce struct {
	state.Store
	failed *atomic.Bool
}

func (s failingOnce) Load(ctx context.Context, k state.Key) (state.Record, error) {
	if s.failed.CompareAndSwap(false, true) {
		return state.Record{}, errors.New("the line was cut")
	}
	return s.Store.Load(ctx, k)
}

// saved returns the cookie of a new session with these values.
func saved(t *testing.T, s *state.GinStore, name string, values map[any]any) *http.Cookie {
	t.Helper()
	r, w := httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()
	session, err := s.New(r, name)
	require.NoError(t, err)
	session.Values = values
	require.NoError(t, s.Save(r, w, session))
	return w.Result().Cookies()[0]
}

// carried returns the session that a request with the cookie has, and the request.
func carried(t *testing.T, s *state.GinStore, c *http.Cookie) (*gorilla.Session, *http.Request) {
	t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(c)
	session, err := s.New(r, c.Name)
	if err != nil {
		require.ErrorIs(t, err, state.ErrUnavailable)
	}
	return session, r
}

// An application clears the values at a logout, and with them what says that the store
// has failed.
func TestGinStoreTellsOfAnOutageAfterClear(t *testing.T) {
	t.Parallel()
	s, kept := newGinStore(t)
	cookie := saved(t, s, "app", map[any]any{"user": "alice"})
	for _, maxAge := range []int{-1, 0} {
		failing := state.NewGinStore(failingOnce{Store: kept, failed: new(atomic.Bool)})
		session, r := carried(t, failing, cookie)
		clear(session.Values)
		session.Options.MaxAge = maxAge
		w := httptest.NewRecorder()
		require.ErrorIs(t, failing.Save(r, w, session), state.ErrUnavailable)
		require.Empty(t, w.Result().Cookies(), "the client would believe that it has logged out")
	}
	session, _ := carried(t, s, cookie)
	require.Equal(t, "alice", session.Values["user"])
	require.Equal(t, 1, kept.Len())
}

func TestGinStoreAcceptsACookieUnderItsNameOnly(t *testing.T) {
	t.Parallel()
	s, _ := newGinStore(t)
	cookie := saved(t, s, "visitor", map[any]any{"user": "mallory"})
	cookie.Name = "admin"
	session, _ := carried(t, s, cookie)
	require.True(t, session.IsNew)
	require.Empty(t, session.Values)
}

// With the record revoked the change of owner is done, also if it cannot be deleted.
func TestGinStoreChangesTheOwnerThoughADeleteFails(t *testing.T) {
	t.Parallel()
	s, kept := newGinStore(t)
	cookie := saved(t, s, "app", map[any]any{"cart": "x"})
	failing := state.NewGinStore(&undeletable{Store: kept})
	session, r := carried(t, failing, cookie)
	session.Values[state.OwnerKey] = "1"
	w := httptest.NewRecorder()
	require.NoError(t, failing.Save(r, w, session))
	session, _ = carried(t, s, w.Result().Cookies()[0])
	require.Equal(t, "x", session.Values["cart"])
	session, _ = carried(t, s, cookie)
	require.True(t, session.IsNew, "the old identifier is dead")
}

// A request that only reads writes that the session is in use. That is no conflict for
// another one, which saves.
func TestGinStoreSavesBesideARead(t *testing.T) {
	t.Parallel()
	clock := time.Now()
	now := func() time.Time { return clock }
	kept := memory.New(store.Options{Now: now})
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	s := state.NewGinStore(kept)
	s.SetClock(now)
	s.Idle(15 * time.Minute)
	cookie := saved(t, s, "app", map[any]any{"user": "alice"})
	for _, change := range []map[any]any{{"cart": 1}, {state.RenewKey: true}} {
		clock = clock.Add(59 * time.Second)
		session, r := carried(t, s, cookie)
		clock = clock.Add(2 * time.Second)
		carried(t, s, cookie)
		maps.Copy(session.Values, change)
		w := httptest.NewRecorder()
		require.NoError(t, s.Save(r, w, session))
		cookie = w.Result().Cookies()[0]
	}
	clock = clock.Add(15 * time.Minute)
	session, _ := carried(t, s, cookie)
	require.True(t, session.IsNew, "no request has used it for so long")
}

func TestGinStoreRenewsTheID(t *testing.T) {
	t.Parallel()
	s, kept := newGinStore(t)
	cookie := saved(t, s, "app", map[any]any{"user": "alice"})
	session, r := carried(t, s, cookie)
	before := session.ID
	session.Values[state.RenewKey] = true
	require.NoError(t, s.Save(r, httptest.NewRecorder(), session))
	require.NotEqual(t, before, session.ID, "an application may have derived something from it")
	require.Equal(t, 1, kept.Len())
}

func BenchmarkGinMiddleware(b *testing.B) {
	s, _ := newGinStore(b)
	e := gin.New()
	e.Use(sessions.Sessions("app", s))
	e.GET("/set", func(c *gin.Context) {
		session := sessions.Default(c)
		session.Set("user", "alice")
		_ = session.Save()
	})
	e.GET("/get", func(c *gin.Context) {
		if sessions.Default(c).Get("user") != "alice" {
			b.Error("nobody")
		}
	})
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "/set", nil))
	r := httptest.NewRequest("GET", "/get", nil)
	r.AddCookie(w.Result().Cookies()[0])
	b.ReportAllocs()
	for b.Loop() {
		e.ServeHTTP(httptest.NewRecorder(), r)
	}
}
