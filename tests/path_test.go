package tests

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

func TestMethodsThatARouteDoesNotHave(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	// Gin's patterns, as the server names them, with what their parameters may be.
	allowed := map[string][]string{}
	for _, r := range s.Routes() {
		path := strings.NewReplacer(":id", "AAAAAAAAAAAAAAAAAAAAAA", "*name", "x").Replace(r.Path)
		allowed[path] = append(allowed[path], r.Method)
	}
	require.Greater(t, len(allowed), 40)
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	for _, slug := range harness.Strategies[1:] {
		other := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		maps.Copy(c.Cookies, other.Cookies)
		c.Access = max(c.Access, other.Access)
	}
	before := c.Profile()
	for path, methods := range allowed {
		for _, method := range []string{
			"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "get", "post", "Patch", "GET1", "X-" + harness.Long("x", 200),
		} {
			if slices.Contains(methods, method) {
				continue
			}
			a := c.Do(method, path, nil).Is(http.StatusMethodNotAllowed)
			require.ElementsMatch(t, methods, strings.Split(a.Header.Get("Allow"), ", "), "%s %s", method, path)
			require.Empty(t, a.Header.Values("Set-Cookie"))
		}
	}
	require.Equal(t, before, c.Profile())
}

func TestPathsAreExact(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		for _, path := range []string{
			"/%s/profile/", "//%s/profile", "/%s//profile", "/%s%%2Fprofile", "/%s%%2fprofile", "/%%2F%s/profile", "/%s/profile%%2F", "/%s\\profile", "/%s%%5Cprofile",
			"/./%s/profile", "/%s/./profile", "/%s/x/../profile", "/%s/%%2e%%2e/%[1]s/profile", "/docs/../%s/profile", "/docs/..%%2f%s/profile",
			"/%s/profile%%00", "/%s/profile%%20", "/%s/profile%%0a", "/%s/profile;x=1", "/%s/profile.json", "/%s/Profile", "/%s/profile/x", "/%s/x", "/%s", "/%sx/profile",
			"/%s/logins/", "/%s/logins/a/b", "/%%73%%65%%73/%s/profile", "/web/%s", "/web/../%s/profile", "/docs/%s", "/.well-known/%s", "/" + harness.Long("x", 8000) + "%s",
		} {
			t.Run(path[:min(40, len(path))], func(t *testing.T) {
				c := c.In(t)
				a := c.Do("GET", fmt.Sprintf(path, slug), nil)
				a.Is(http.StatusNotFound, "not_found")
				require.NotContains(t, string(a.Body), "wonderland")
			})
		}
		require.Contains(t, c.Profile(), harness.Alice)
	})
}

func TestFilesThatAreNotThere(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	for _, path := range []string{
		"/docs/nothing", "/docs/.", "/docs/..", "/docs/%2e%2e/api.go", "/docs/swagger-ui.css/", "/docs//swagger-ui.css", "/docs/swagger-ui.css/x", "/docs/SWAGGER-UI.CSS", "/docs/swagger-ui.css%00", "/docs/index.html",
		"/web/", "/web/.", "/web/..", "/web/words", "/web/words/", "/web//app.js", "/web/app.js/", "/web/words/../app.js", "/web/%2e%2e/web.go", "/web/app.js%00", "/web/APP.JS", "/web/web.go", "/web/layout.html",
		"/openapi.yaml/", "/openapi.yml", "/.well-known/", "/.git/config", "/healthz/", "/readyz/x", "/debug/pprof/", "/metrics/", "/favicon.ico",
	} {
		t.Run(path, func(t *testing.T) { s.Client(t, "").Do("GET", path, nil).Is(http.StatusNotFound, "not_found") })
	}
	for _, path := range []string{"/openapi.yaml", "/openapi.json", "/docs", "/docs/swagger-ui.css", "/docs/favicon-32x32.png", "/web/app.js", "/classroom/compare"} {
		for what, odd := range map[string]func(*http.Request){
			"a range behind the end": harness.Header("Range", "bytes=99999999-"), "two ranges": harness.Header("Range", "bytes=0-1,3-4"), "no range": harness.Header("Range", "x"), "another tag": harness.Header("If-Match", `"x"`),
			"an old date": harness.Header("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"), "a range of another tag": harness.Header("If-Range", `"x"`),
		} {
			for _, encoding := range []string{"gzip", "identity"} {
				t.Run(path+" "+what+" "+encoding, func(t *testing.T) {
					s.Client(t, "").Do("GET", path, nil, odd, harness.Header("Accept-Encoding", encoding)).Is(http.StatusOK) // whole or not at all
				})
			}
		}
	}
}

// The star is a target of HTTP, and net/http would answer it by itself.
func TestTheStarIsAnsweredByUs(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0")
	back := (&harness.Server{URL: p.Base}).Wire(t, "OPTIONS * HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n", false)
	require.Contains(t, back, "X-Request-Id: ", "%s", back)
	require.Contains(t, back, "X-Content-Type-Options: nosniff")
}
