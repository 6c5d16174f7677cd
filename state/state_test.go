package state_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/keys"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/tests/seeded"
)

// newConfig returns what a strategy is made of, over a store of its own.
func newConfig(t testing.TB, slug string) state.Config {
	t.Helper()
	ring, err := keys.Generate(seeded.Reader(t), time.Now())
	require.NoError(t, err)
	s := memory.New(store.Options{})
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return state.Config{
		Slug: slug, Store: s, Keys: ring, Now: time.Now, Rand: seeded.Reader(t), Limits: state.Limits{Lifetimes: state.DefaultLifetimes()},
		Roles: func(context.Context, string) (string, error) { return "member", nil },
	}
}

func newStrategy(t testing.TB, slug string) state.Strategy {
	t.Helper()
	s, err := state.New(newConfig(t, slug))
	require.NoError(t, err)
	return s
}

// carrying logs in and returns a request that carries the credential.
func carrying(t testing.TB, s state.Strategy) *http.Request {
	t.Helper()
	w := httptest.NewRecorder()
	_, credential, err := s.Start(w, httptest.NewRequest("POST", "/", nil), state.NewLogin("01M807", "alice", "Alice", "member"))
	require.NoError(t, err)
	r := httptest.NewRequest("GET", "/", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	if credential.AccessToken != "" {
		s.Carriage(r).Attach(r.Header, credential.AccessToken)
	}
	return r
}

func TestEveryStrategyLoadsWhatItStarted(t *testing.T) {
	t.Parallel()
	for _, slug := range state.Slugs() {
		t.Run(slug, func(t *testing.T) {
			s := newStrategy(t, slug)
			l, err := s.Load(carrying(t, s))
			require.NoError(t, err)
			require.Equal(t, "alice", l.Username)
			require.Equal(t, int64(state.DefaultCredits), l.Credits)
			_, err = s.Load(httptest.NewRequest("GET", "/", nil))
			require.ErrorIs(t, err, state.ErrNoCredential)
		})
	}
}

func TestOverTLSCookiesAreBoundToTheHost(t *testing.T) {
	t.Parallel()
	for _, slug := range state.Slugs() {
		t.Run(slug, func(t *testing.T) {
			s := newStrategy(t, slug)
			if s.Traits().Transport == state.TransportCookie && !s.Traits().SameSite {
				return // its cookie has no attributes
			}
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", "https://statelab.example/", nil)
			_, _, err := s.Start(w, r, state.NewLogin("01M807", "alice", "Alice", "member"))
			require.NoError(t, err)
			for _, c := range w.Result().Cookies() {
				if c.Path == "/" {
					require.Equal(t, "__Host-statelab_"+slug, c.Name)
				} else { // for one route, which __Host- does not allow
					require.Equal(t, "/"+slug+"/refresh", c.Path)
					require.Equal(t, "__Secure-statelab_"+slug+"_refresh", c.Name)
				}
				require.True(t, c.Secure)
				require.Equal(t, s.Traits().HTTPOnly, c.HttpOnly)
				require.Empty(t, c.Domain)
				plain := httptest.NewRequest("GET", "http://statelab.example/", nil)
				plain.AddCookie(c)
				_, err := s.Load(plain)
				require.ErrorIs(t, err, state.ErrNoCredential, "a cookie of TLS is nothing without it")
			}
		})
	}
}

// Of two changes at once the later one is told, or else it wins.
func TestOfTwoChangesAtOnce(t *testing.T) {
	t.Parallel()
	for _, slug := range state.Slugs() {
		t.Run(slug, func(t *testing.T) {
			s := newStrategy(t, slug)
			r := carrying(t, s)
			first, err := s.Load(r)
			require.NoError(t, err)
			second, err := s.Load(r.Clone(t.Context()))
			require.NoError(t, err)
			poorer, darker := first.Login, second.Login
			poorer.Credits, darker.Theme = 70, "dark"
			_, _, err = s.Save(httptest.NewRecorder(), r, first, poorer)
			require.NoError(t, err)
			_, _, err = s.Save(httptest.NewRecorder(), r, second, darker)
			if s.Traits().Versioned {
				require.ErrorIs(t, err, state.ErrConflict)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

func TestKeysAreTruncatedHashes(t *testing.T) {
	t.Parallel()
	k := state.KeyOf("session", "lookup")
	require.Len(t, k.String(), 22)
	parsed, ok := state.ParseKey(k.String())
	require.True(t, ok)
	require.Equal(t, k, parsed)
	require.NotEqual(t, state.KeyOf("ab", "c"), state.KeyOf("a", "bc"), "words do not run into each other")
	for _, bad := range []string{"", "short", k.String() + "A", k.String()[:21] + "!", k.String()[:21] + "_\n"} {
		_, ok := state.ParseKey(bad)
		require.False(t, ok, "%q", bad)
	}
}

// The grid of the strategies' costs. Run with -benchmem.
func BenchmarkLoad(b *testing.B) {
	for _, slug := range state.Slugs() {
		b.Run(slug, func(b *testing.B) {
			s := newStrategy(b, slug)
			benchmarkLoad(b, s)
		})
	}
	b.Run("token-hs256", func(b *testing.B) {
		c := newConfig(b, "token")
		c.TokenAlg = "HS256"
		benchmarkLoad(b, state.NewToken(c, state.InAuthorization(c)))
	})
}

func benchmarkLoad(b *testing.B, s state.Strategy) {
	r := carrying(b, s)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load(r); err != nil {
			b.Fatal(err)
		}
	}
}

// With the cache of verified credentials, a repeated one costs next to nothing.
func BenchmarkLoadRemembered(b *testing.B) {
	for _, slug := range state.Slugs() {
		c := newConfig(b, slug)
		c.CredentialCache = 100
		s, err := state.New(c)
		require.NoError(b, err)
		if s.Traits().Holder == state.HolderClient {
			b.Run(slug, func(b *testing.B) { benchmarkLoad(b, s) })
		}
	}
}

// A request verifies its credential once: what Load has found is enough for the rest.
func TestOneVerificationServesTheWholeRequest(t *testing.T) {
	t.Parallel()
	for _, slug := range state.Slugs() {
		c := newConfig(t, slug)
		c.CredentialCache = 100
		s, err := state.New(c)
		require.NoError(t, err)
		caching, ok := s.(state.Caching)
		if !ok || !s.Traits().TamperProof {
			continue // it verifies nothing
		}
		t.Run(slug, func(t *testing.T) {
			r := carrying(t, s)
			h, err := s.Load(r)
			require.NoError(t, err)
			_, err = s.(state.Inspector).Inspect(r, h)
			require.NoError(t, err)
			_, _, err = s.Save(httptest.NewRecorder(), r, h, h.Login)
			require.NoError(t, err)
			hits, misses := caching.CacheLookups()
			require.Equal(t, uint64(1), hits+misses)
			h, err = s.Open(r, "")
			require.NoError(t, err)
			require.NoError(t, s.End(httptest.NewRecorder(), r, h))
			hits, misses = caching.CacheLookups()
			require.Equal(t, uint64(2), hits+misses)
		})
	}
}
