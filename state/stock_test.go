package state_test

import (
	"cmp"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/memstore"
	"github.com/gin-contrib/sessions/postgres"
	"github.com/gin-contrib/sessions/redis"
	"github.com/gin-gonic/gin"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/redisstore"
	"statelab/state/store/sqlstore"
	"statelab/state/store/storetest"
)

// A stockStore is a store behind gin-contrib's interface, as an application
// makes it by following its README.
type stockStore struct {
	name   string
	new    func(t *testing.T, now func() time.Time) sessions.Store
	server *storetest.Server // nil where nothing outside the process can fail
	renew  func(sessions.Session)
	// older makes all that the store has kept so much older, since its server does
	// not go by the clock of the test. It is nil if it needs no such help.
	older  func(t *testing.T, d time.Duration)
	bubble bool // its clock is that of the process: it is tried in a bubble of testing/synctest
}

func stockStores(t *testing.T) []stockStore {
	secret := []byte("a secret of at least 32 characters")
	redisServer, postgresServer := storetest.Redis(t), storetest.Postgres(t)
	redisAddress := strings.TrimPrefix(redisServer.Address, "redis://")
	postgresAddress := postgresServer.Address + storetest.Patient
	over := func(t *testing.T, now func() time.Time, s state.Store, err error) sessions.Store {
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		g := state.NewGinStore(s)
		g.SetClock(now)
		return g
	}
	forget := func(s sessions.Session) { s.Clear() } // all that the interface has
	renew := func(s sessions.Session) { s.Set(state.RenewKey, true) }
	return []stockStore{
		{name: "memstore", renew: forget, bubble: true, older: func(_ *testing.T, d time.Duration) { time.Sleep(d) },
			new: func(*testing.T, func() time.Time) sessions.Store { return memstore.NewStore(secret) }},
		{name: "redis", renew: forget, server: redisServer, older: func(t *testing.T, d time.Duration) { olderRedis(t, redisAddress, d) },
			new: func(t *testing.T, _ func() time.Time) sessions.Store {
				s, err := redis.NewStore(4, "tcp", redisAddress, "", "", secret)
				require.NoError(t, err)
				return s
			}},
		{name: "postgres", renew: forget, server: postgresServer, older: func(t *testing.T, d time.Duration) { olderPostgres(t, postgresServer.Address, d) },
			new: func(t *testing.T, _ func() time.Time) sessions.Store {
				db, err := sql.Open("postgres", postgresServer.Address)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, db.Close()) })
				s, err := postgres.NewStore(db, secret)
				require.NoError(t, err)
				return s
			}},
		{name: "GinStore, memory", renew: renew, new: func(t *testing.T, now func() time.Time) sessions.Store {
			return over(t, now, memory.New(store.Options{Now: now}), nil)
		}},
		{name: "GinStore, Redis", renew: renew, server: redisServer, new: func(t *testing.T, now func() time.Time) sessions.Store {
			s, err := redisstore.New(redisServer.Address, store.Options{Now: now, Patience: time.Minute})
			return over(t, now, s, err)
		}},
		{name: "GinStore, PostgreSQL", renew: renew, server: postgresServer, new: func(t *testing.T, now func() time.Time) sessions.Store {
			db, err := sqlstore.OpenDatabase(t.Context(), postgresAddress)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			return over(t, now, sqlstore.New(db, store.Options{Now: now}), nil)
		}},
	}
}

// olderRedis takes a time from the life of every key that has one.
func olderRedis(t *testing.T, address string, d time.Duration) {
	client := goredis.NewClient(&goredis.Options{Addr: address})
	defer func() { require.NoError(t, client.Close()) }()
	all, err := client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.NotEmpty(t, all)
	for _, key := range all {
		life, err := client.PTTL(t.Context(), key).Result()
		require.NoError(t, err)
		if life > 0 { // else it has no end
			require.NoError(t, client.PExpire(t.Context(), key, life-d).Err())
		}
	}
}

// olderPostgres moves all moments that gin-contrib's store has written.
func olderPostgres(t *testing.T, address string, d time.Duration) {
	db, err := sql.Open("postgres", address)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	_, err = db.ExecContext(t.Context(), `UPDATE http_sessions SET created_on = created_on - make_interval(secs => $1),
		modified_on = modified_on - make_interval(secs => $1), expires_on = expires_on - make_interval(secs => $1)`, d.Seconds())
	require.NoError(t, err)
}

// A stockApp is an application with one of the stores.
type stockApp struct {
	stockStore
	t         *testing.T
	store     sessions.Store
	engine    *gin.Engine
	later     time.Duration // how much later it is for the store than for the machine
	meanwhile func()        // what happens between the reading and the saving of /slow
}

// brief is the life of a session that asks for one.
const brief = time.Hour

func newStockApp(t *testing.T, s stockStore) *stockApp {
	a := &stockApp{stockStore: s, t: t, engine: gin.New()}
	a.store = s.new(t, func() time.Time { return time.Now().Add(a.later) })
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
		s.Options(sessions.Options{Path: "/", MaxAge: int(brief.Seconds())})
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

// pass lets a time pass for the store.
func (a *stockApp) pass(d time.Duration) {
	a.t.Helper()
	a.later += d
	if a.older != nil {
		a.older(a.t, d)
	}
}

// A stockRule is what an application needs of its store. It looks at what happens;
// whether that is the rule is the cell.
type stockRule struct {
	rule  string
	holds func(a *stockApp) bool
}

var stockRules = []stockRule{
	{"an identifier that was ended is not adopted again", func(a *stockApp) bool {
		held := a.does("/login", nil)
		a.does("/account/logout", held)
		a.does("/visit", held)
		return !a.has("seen", held)
	}},
	{"an identifier that the server never made is not adopted", func(a *stockApp) bool {
		for _, planted := range []string{"x", strings.Repeat("A", 44), strings.Repeat("A", 52)} {
			held := &http.Cookie{Name: "app", Value: planted}
			a.does("/visit", held)
			if a.has("seen", held) {
				return false
			}
		}
		return true
	}},
	{"a login can renew the identifier, and the old one is dead", func(a *stockApp) bool {
		planted := a.does("/visit", nil)
		held := a.does("/login", planted)
		require.True(a.t, a.has("user", held))
		return !a.has("user", planted)
	}},
	{"of two requests that change different keys at once, nothing is lost or one is told", func(a *stockApp) bool {
		held := a.does("/login", nil)
		a.meanwhile = func() { a.does("/visit", held) }
		w, _ := a.ask("/slow", held)
		return w.Code != http.StatusOK || a.has("seen", held) && a.has("slow", held)
	}},
	{"a slow request does not undo a logout", func(a *stockApp) bool {
		held := a.does("/login", nil)
		a.meanwhile = func() { a.does("/account/logout", held) }
		_, after := a.ask("/slow", held)
		return !a.has("user", held) && !a.has("user", after)
	}},
	{"a session with a `MaxAge` is gone on the server after it", func(a *stockApp) bool {
		held := a.does("/brief", nil)
		require.True(a.t, a.has("user", held))
		a.pass(brief)
		return !a.has("user", held)
	}},
	{"`Options{MaxAge: -1}` clears the cookie on the path that it was set with", func(a *stockApp) bool {
		held := a.does("/login", nil)
		cleared := a.does("/account/logout", held)
		return cleared.MaxAge < 0 && cleared.Path == held.Path
	}},
	{"the cookie is `HttpOnly` and `SameSite=Lax` unless told otherwise", func(a *stockApp) bool {
		held := a.does("/login", nil)
		return held.HttpOnly && held.SameSite == http.SameSiteLaxMode
	}},
	{"8,000 bytes fit, since the client does not carry them", func(a *stockApp) bool {
		w, held := a.ask("/much", nil)
		return w.Code == http.StatusOK && a.has("user", held)
	}},
}

// A stockOutage is a rule for the time when the server is down.
type stockOutage struct {
	rule  string
	holds func(a *stockApp, held *http.Cookie) bool // with the cookie of a login from before
}

var stockOutages = []stockOutage{
	{"a store that is down is an error of `Store.Get`", func(a *stockApp, held *http.Cookie) bool {
		w, _ := a.ask("/error", held)
		return w.Code != http.StatusOK
	}},
	{"a store that is down is an error of `Save`, and sets no cookie", func(a *stockApp, held *http.Cookie) bool {
		w, _ := a.ask("/visit", held)
		return w.Code != http.StatusOK && len(w.Result().Cookies()) == 0
	}},
	{"`sessions.Default` tells a store that is down from an empty session", func(a *stockApp, held *http.Cookie) bool {
		w, _ := a.ask("/get/user", held)
		return w.Code != http.StatusOK
	}},
}

// A stockGrid has the cells of the README: what was found, by rule and store.
type stockGrid map[[2]string]string

// try finds out what stands in a cell.
func (g stockGrid) try(t *testing.T, rule string, s stockStore, holds func(t *testing.T) bool) {
	t.Run(rule+"/"+s.name, func(t *testing.T) {
		cell := "fails"
		if holds(t) {
			cell = "holds"
		}
		g[[2]string{rule, s.name}] = cell
	})
}

// without tries the rules for a server that is down. Each store logs in first, once
// for each rule; then the server goes away for all of them.
func (g stockGrid) without(t *testing.T, server *storetest.Server, stores []stockStore) {
	type login struct {
		stockOutage
		app  *stockApp
		held *http.Cookie
	}
	var logins []login
	for _, r := range stockOutages {
		for _, s := range stores {
			if s.server == server {
				a := newStockApp(t, s)
				logins = append(logins, login{r, a, a.does("/login", nil)})
			}
		}
	}
	server.Kill()
	for _, l := range logins {
		g.try(t, l.rule, l.app.stockStore, func(*testing.T) bool { return l.holds(l.app, l.held) })
	}
}

// line is a line of the grid.
func (g stockGrid) line(rule string, stores []stockStore) string {
	line := "| " + rule + " |"
	for _, s := range stores {
		line += " " + cmp.Or(g[[2]string{rule, s.name}], "–") + " |"
	}
	return line + "\n"
}

// TestStockStores observes each cell of the grid in the README of the stores.
// Run with STATELAB_UPDATE=readme to write what it finds.
func TestStockStores(t *testing.T) {
	t.Parallel()
	const path, marker = "store/README.md", "<!-- stock stores: made by TestStockStores -->\n"
	stores := stockStores(t)
	grid := marker + "| |"
	for _, s := range stores {
		grid += " " + s.name + " |"
	}
	grid += "\n|---|" + strings.Repeat("---|", len(stores)) + "\n"
	cells := stockGrid{}
	for _, r := range stockRules {
		for _, s := range stores {
			cells.try(t, r.rule, s, func(t *testing.T) (holds bool) {
				if !s.bubble {
					return r.holds(newStockApp(t, s))
				}
				synctest.Test(t, func(t *testing.T) { holds = r.holds(newStockApp(t, s)) })
				return holds
			})
		}
		grid += cells.line(r.rule, stores)
	}
	servers := map[*storetest.Server]bool{}
	for _, s := range stores {
		if s.server != nil && !servers[s.server] {
			servers[s.server] = true
			cells.without(t, s.server, stores)
		}
	}
	for _, r := range stockOutages {
		grid += cells.line(r.rule, stores)
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
