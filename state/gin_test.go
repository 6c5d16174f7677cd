package state_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/tester"
	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
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

func newGinStore(t testing.TB) (*state.GinStore, *store.Memory) {
	memory := store.NewMemory(store.Options{})
	t.Cleanup(func() { require.NoError(t, memory.Close()) })
	return state.NewGinStore(memory), memory
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
	s, memory := newGinStore(t)
	b := newBrowser(t, s)
	b.get("/visit")
	planted := *b.cookie
	require.Equal(t, "alice", b.get("/login"))
	require.NotEqual(t, planted.Value, b.cookie.Value)
	require.Equal(t, 1, memory.Len(), "the old record is gone")

	thief := newBrowser(t, s)
	thief.cookie = &planted
	require.Equal(t, "<nil>", thief.get("/who"))
}

func TestGinStoreNeverAdoptsAnIdentifier(t *testing.T) {
	t.Parallel()
	s, memory := newGinStore(t)
	b := newBrowser(t, s)
	b.get("/login")
	ended := *b.cookie
	b.get("/logout")
	require.Nil(t, b.cookie)
	require.Zero(t, memory.Len())

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
	s, memory := newGinStore(t)
	b := newBrowser(t, s)
	b.get("/twice")
	b.get("/twice")
	require.Equal(t, 1, memory.Len())
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
	s, memory := newGinStore(t)
	b := newBrowser(t, s)
	b.get("/login")
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(b.cookie)
	slow, err := s.New(r, "app") // a slow request has begun
	require.NoError(t, err)
	b.get("/logout")
	require.Zero(t, memory.Len())
	w := httptest.NewRecorder()
	require.ErrorIs(t, s.Save(r, w, slow), state.ErrConflict)
	require.Empty(t, w.Result().Cookies(), "which would bring back who has left")
	require.Zero(t, memory.Len())
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
