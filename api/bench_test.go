package api

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/sqlstore"
	"statelab/tests/seeded"
)

// newBenchServer returns a server over memory that logs each request, to
// nowhere, as it does in production.
func newBenchServer(tb testing.TB, level slog.Level) *Server {
	tb.Helper()
	ring, err := keys.Generate(seeded.Reader(tb), time.Now())
	require.NoError(tb, err)
	db, err := sqlstore.OpenDatabase(tb.Context(), "sqlite::memory:", Migrations()...)
	require.NoError(tb, err)
	logins, database := memory.New(store.Options{}), sqlstore.New(db, store.Options{})
	s, err := New(Config{
		Database: db.DB, Store: logins, DatabaseStore: database, Keys: ring, OpenAPI: []byte("openapi: 3.1.0"),
		Classroom: true, // every strategy
		Logger:    slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: level})),
		Hasher:    auth.NewArgon2id(argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}),
	})
	require.NoError(tb, err)
	tb.Cleanup(func() {
		require.NoError(tb, s.Close())
		require.NoError(tb, logins.Close())
		require.NoError(tb, database.Close())
		require.NoError(tb, db.Close())
	})
	return s
}

// sink is a ResponseWriter that costs next to nothing.
type sink struct{ header http.Header }

func (w *sink) Header() http.Header         { return w.header }
func (w *sink) Write(b []byte) (int, error) { return len(b), nil }
func (w *sink) WriteHeader(int)             {}

func serveOften(b *testing.B, h http.Handler, r *http.Request) {
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(&sink{make(http.Header)}, r)
	}
}

// BenchmarkMiddleware shows what all that is around a handler costs, as the
// difference to the same handler in a bare Gin engine.
func BenchmarkMiddleware(b *testing.B) {
	r := httptest.NewRequest("GET", "http://localhost/empty", nil)
	r.Header.Set("Accept", "*/*")
	r.Header.Set("User-Agent", "benchmark")
	empty := func(c *gin.Context) { c.Writer.WriteHeader(http.StatusNoContent) }
	b.Run("bare", func(b *testing.B) {
		e := gin.New()
		e.GET("/empty", empty)
		serveOften(b, e, r)
	})
	for name, level := range map[string]slog.Level{"ours": slog.LevelWarn, "ours with the access line": slog.LevelInfo} {
		b.Run(name, func(b *testing.B) {
			s := newBenchServer(b, level)
			s.engine.GET("/empty", s.onlyJSON, empty)
			serveOften(b, s, r)
		})
	}
}

// newBenchRequest returns a server and a request to the profile of a strategy that
// carries the credential of a new login.
func newBenchRequest(b *testing.B, method, slug string) (*Server, *http.Request) {
	b.Helper()
	s := newBenchServer(b, slog.LevelWarn)
	i := slices.IndexFunc(s.groups, func(g *Group) bool { return g.Slug == slug })
	w := httptest.NewRecorder()
	_, credential, err := s.groups[i].Strategy.Start(w, httptest.NewRequest("POST", "/", nil),
		state.NewLogin("01M807CMZT1DVTWSRYZMWSFTV1", "alice", "Alice", "member"))
	require.NoError(b, err)
	r := httptest.NewRequest(method, "http://localhost/"+slug+"/profile", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	if credential.AccessToken != "" {
		r.Header.Set("Authorization", "Bearer "+credential.AccessToken)
	}
	return s, r
}

// BenchmarkProfile is a whole authenticated request without the network.
func BenchmarkProfile(b *testing.B) {
	for _, slug := range state.Slugs() {
		b.Run(slug, func(b *testing.B) {
			s, r := newBenchRequest(b, "GET", slug)
			serveOften(b, s, r)
		})
	}
}

// BenchmarkPatch is a whole request that changes the state, without the network.
func BenchmarkPatch(b *testing.B) {
	for _, slug := range state.Slugs() {
		b.Run(slug, func(b *testing.B) {
			const change = `{"theme":"dark"}`
			s, r := newBenchRequest(b, "PATCH", slug)
			r.Header.Set("Content-Type", "application/json")
			body := strings.NewReader(change)
			r.Body, r.ContentLength = io.NopCloser(body), int64(len(change))
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			require.Equal(b, http.StatusOK, w.Code, w.Body)
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(change)
				s.ServeHTTP(&sink{make(http.Header)}, r)
			}
		})
	}
}
