package state_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/memstore"
	"github.com/gin-contrib/sessions/postgres"
	"github.com/gin-contrib/sessions/redis"
	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/storetest"
)

// A stockStore is a store behind gin-contrib's interface, as an application
// makes it by following its README.
type stockStore struct {
	name   string
	new    func(t *testing.T) sessions.Store
	server *storetest.Server // nil where nothing outside the process can fail
	renew  func(sessions.Session)
}

func stockStores(t *testing.T) []stockStore {
	secret := []byte("a secret of at least 32 characters")
	redisServer, postgresServer := storetest.Redis(t), storetest.Postgres(t)
	over := func(s state.Store, err error) sessions.Store {
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return state.NewGinStore(s)
	}
	forget := func(s sessions.Session) { s.Clear() } // all that the interface has
	renew := func(s sessions.Session) { s.Set(state.RenewKey, true) }
	return []stockStore{
		{"memstore", func(*testing.T) sessions.Store { return memstore.NewStore(secret) }, nil, forget},
		{"redis", func(t *testing.T) sessions.Store {
			s, err := redis.NewStore(4, "tcp", strings.TrimPrefix(redisServer.Address, "redis://"), "", "", secret)
			require.NoError(t, err)
			return s
		}, redisServer, forget},
		{"postgres", func(t *testing.T) sessions.Store {
			db, err := sql.Open("postgres", postgresServer.Address)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			s, err := postgres.NewStore(db, secret)
			require.NoError(t, err)
			return s
		}, postgresServer, forget},
		{"GinStore, memory", func(*testing.T) sessions.Store {
			return over(store.NewMemory(store.Options{}), nil)
		}, nil, renew},
		{"GinStore, Redis", func(*testing.T) sessions.Store {
			s, err := store.NewRedis(redisServer.Address, store.Options{})
			return over(s, err)
		}, redisServer, renew},
		{"GinStore, PostgreSQL", func(t *testing.T) sessions.Store {
			// Longer than in service: here nobody waits, and the machine may be busy.
			db, err := store.OpenDatabase(t.Context(), postgresServer.Address+"&connect_timeout=30&statement_timeout=30000")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			return over(store.NewSQL(db, store.Options{}), nil)
		}, postgresServer, renew},
	}
}

// A stockApp is an application with one of the stores.
type stockApp struct {
	stockStore
	t         *testing.T
	store     sessions.Store
	engine    *gin.Engine
	meanwhile func() // what happens between the reading and the saving of /slow
}

func newStockApp(t *testing.T, s stockStore) *stockApp {
	a := &stockApp{stockStore: s, t: t, store: s.new(t), engine: gin.New()}
	a.engine.Use(sessions.Sessions("app", a.store))
	change := func(path string, f func(sessions.Session)) {
		a.engine.GET(path, func(c *gin.Context) {
			session := sessions.Default(c)
			f(session)
			if session.Save() != nil {
				c.Status(http.StatusInternalServerError)
			}
		})
	}
	change("/login", func(s sessions.Session) { a.renew(s); s.Set("user", "alice") })
	change("/visit", func(s sessions.Session) { s.Set("seen", 1) })
	change("/slow", func(s sessions.Session) { _ = s.Get("user"); a.meanwhile(); s.Set("slow", 1) })
	change("/brief", func(s sessions.Session) {
		s.Set("user", "alice")
		s.Options(sessions.Options{Path: "/", MaxAge: 1})
	})
	change("/much", func(s sessions.Session) { s.Set("user", strings.Repeat("a", 8000)) })
	change("/account/logout", func(s sessions.Session) { s.Options(sessions.Options{MaxAge: -1}) })
	a.engine.GET("/get/:key", func(c *gin.Context) { c.String(http.StatusOK, fmt.Sprint(sessions.Default(c).Get(c.Param("key")))) })
	a.engine.GET("/error", func(c *gin.Context) {
		if _, err := a.store.Get(c.Request, "app"); err != nil {
			c.Status(http.StatusInternalServerError)
		}
	})
	return a
}

// ask sends a request with a cookie, or with none, and returns the answer and
// the cookie that a browser holds after it.
func (a *stockApp) ask(path string, held *http.Cookie) (*httptest.ResponseRecorder, *http.Cookie) {
	a.t.Helper()
	r := httptest.NewRequest("GET", path, nil)
	if held != nil {
		r.AddCookie(&http.Cookie{Name: held.Name, Value: held.Value})
	}
	w := httptest.NewRecorder()
	a.engine.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		held = c
	}
	return w, held
}

// does sends a request that works, and returns the cookie after it.
func (a *stockApp) does(path string, held *http.Cookie) *http.Cookie {
	a.t.Helper()
	w, held := a.ask(path, held)
	require.Equal(a.t, http.StatusOK, w.Code, path)
	return held
}

// has says whether a cookie leads to a session with a value under the key.
func (a *stockApp) has(key string, held *http.Cookie) bool {
	a.t.Helper()
	w, _ := a.ask("/get/"+key, held)
	return w.Code == http.StatusOK && w.Body.String() != "<nil>"
}

// stockRules are what an application needs of its store. Each looks at what
// happens; whether that is the rule is the cell.
var stockRules = []struct {
	rule   string
	outage bool // tried while the server is away
	holds  func(a *stockApp) bool
}{
	{"an identifier that was ended is not adopted again", false, func(a *stockApp) bool {
		held := a.does("/login", nil)
		a.does("/account/logout", held)
		a.does("/visit", held)
		return !a.has("seen", held)
	}},
	{"an identifier that the server never made is not adopted", false, func(a *stockApp) bool {
		for _, planted := range []string{"x", strings.Repeat("A", 44), strings.Repeat("A", 52)} {
			held := &http.Cookie{Name: "app", Value: planted}
			a.does("/visit", held)
			if a.has("seen", held) {
				return false
			}
		}
		return true
	}},
	{"a login can renew the identifier, and the old one is dead", false, func(a *stockApp) bool {
		planted := a.does("/visit", nil)
		held := a.does("/login", planted)
		require.True(a.t, a.has("user", held))
		return !a.has("user", planted)
	}},
	{"of two requests that change different keys at once, nothing is lost or one is told", false, func(a *stockApp) bool {
		held := a.does("/login", nil)
		a.meanwhile = func() { a.does("/visit", held) }
		w, _ := a.ask("/slow", held)
		return w.Code != http.StatusOK || a.has("seen", held) && a.has("slow", held)
	}},
	{"a slow request does not undo a logout", false, func(a *stockApp) bool {
		held := a.does("/login", nil)
		a.meanwhile = func() { a.does("/account/logout", held) }
		_, after := a.ask("/slow", held)
		return !a.has("user", held) && !a.has("user", after)
	}},
	{"a session with a `MaxAge` is gone on the server after it", false, func(a *stockApp) bool {
		held := a.does("/brief", nil)
		require.True(a.t, a.has("user", held))
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
			if !a.has("user", held) {
				return true
			}
			<-time.After(100 * time.Millisecond)
		}
		return false
	}},
	{"`Options{MaxAge: -1}` clears the cookie on the path that it was set with", false, func(a *stockApp) bool {
		held := a.does("/login", nil)
		cleared := a.does("/account/logout", held)
		return cleared.MaxAge < 0 && cleared.Path == held.Path
	}},
	{"the cookie is `HttpOnly` and `SameSite=Lax` unless told otherwise", false, func(a *stockApp) bool {
		held := a.does("/login", nil)
		return held.HttpOnly && held.SameSite == http.SameSiteLaxMode
	}},
	{"8,000 bytes fit, since the client does not carry them", false, func(a *stockApp) bool {
		w, held := a.ask("/much", nil)
		return w.Code == http.StatusOK && a.has("user", held)
	}},
	{"a store that is down is an error of `Store.Get`", true, func(a *stockApp) bool {
		w, _ := a.ask("/error", a.before("/login"))
		return w.Code != http.StatusOK
	}},
	{"a store that is down is an error of `Save`, and sets no cookie", true, func(a *stockApp) bool {
		w, _ := a.ask("/visit", a.before("/login"))
		return w.Code != http.StatusOK && len(w.Result().Cookies()) == 0
	}},
	{"`sessions.Default` tells a store that is down from an empty session", true, func(a *stockApp) bool {
		w, _ := a.ask("/get/user", a.before("/login"))
		return w.Code != http.StatusOK
	}},
}

// before does something and then takes the server away, until the test ends.
func (a *stockApp) before(path string) *http.Cookie {
	a.t.Helper()
	held := a.does(path, nil)
	a.server.Kill()
	a.t.Cleanup(a.server.Start)
	return held
}

// TestStockStores observes each cell of the grid in the README of the stores.
// Run with STATELAB_UPDATE=readme to write what it finds.
func TestStockStores(t *testing.T) {
	const path, marker = "store/README.md", "<!-- stock stores: made by TestStockStores -->\n"
	stores := stockStores(t)
	grid := marker + "| |"
	for _, s := range stores {
		grid += " " + s.name + " |"
	}
	grid += "\n|---|" + strings.Repeat("---|", len(stores)) + "\n"
	for _, r := range stockRules {
		grid += "| " + r.rule + " |"
		for _, s := range stores {
			cell := "–"
			if s.server != nil || !r.outage {
				t.Run(r.rule+"/"+s.name, func(t *testing.T) {
					cell = "fails"
					if r.holds(newStockApp(t, s)) {
						cell = "holds"
					}
				})
			}
			grid += " " + cell + " |"
		}
		grid += "\n"
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	if os.Getenv("STATELAB_UPDATE") == "readme" {
		head, rest, found := strings.Cut(string(text), marker)
		require.True(t, found)
		_, tail, _ := strings.Cut(rest, "\n\n")
		require.NoError(t, os.WriteFile(path, []byte(head+grid+"\n"+tail), 0o600))
		return
	}
	for line := range strings.SplitSeq(grid, "\n") {
		require.Contains(t, strings.Split(string(text), "\n"), line)
	}
}
