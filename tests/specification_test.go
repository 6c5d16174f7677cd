package tests

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/tests/harness"
)

func specificationDocument(t *testing.T) *openapi3.T {
	t.Helper()
	c, err := harness.Specification()
	require.NoError(t, err)
	return c.Document
}

// pattern writes Gin's parameters as OpenAPI does.
func pattern(path string) string {
	return regexp.MustCompile(`[:*](\w+)`).ReplaceAllString(path, "{}")
}

func TestRoutesAndSpecificationAgree(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	require.NoError(t, specificationDocument(t).Validate(t.Context()))
	registered := map[string]bool{}
	for _, r := range s.Routes() {
		if r.Method != http.MethodHead {
			registered[r.Method+" "+pattern(r.Path)] = true
		}
	}
	described := map[string]bool{}
	for path, item := range specificationDocument(t).Paths.Map() {
		for method := range item.Operations() {
			described[method+" "+regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "{}")] = true
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(registered)), slices.Sorted(maps.Keys(described)))
}

// The groups are isomorphic: the same paths and methods, and at each of them the
// same statuses but for what a strategy cannot do, and for the form of a page of its own.
func TestGroupsAreIsomorphic(t *testing.T) {
	t.Parallel()
	doc := specificationDocument(t)
	shapes := map[string][]string{}
	for path, item := range doc.Paths.Map() {
		slug, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		for method, op := range item.Operations() {
			form := harness.Promises()[slug].Page && method == "POST" && rest == ""
			if slices.Contains(harness.Strategies, slug) && !form {
				shapes[slug] = append(shapes[slug], method+" /"+rest)
				require.Contains(t, op.OperationID, slug)
			}
		}
	}
	require.Len(t, shapes, len(harness.Strategies))
	for _, slug := range harness.Strategies {
		slices.Sort(shapes[slug])
		require.Equal(t, shapes[harness.Strategies[0]], shapes[slug], slug)
	}
}

// A check that cannot fail checks nothing: answers with one thing wrong each
// have to be refused.
func TestTheSpecificationCanRefuse(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	good := s.Login(t, "session", harness.Alice, harness.AlicePassword).Get("profile").Is(http.StatusOK)
	c, err := harness.Specification()
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/session/profile", nil)
	require.NoError(t, err)
	route, _, err := c.FindRoute(r)
	require.NoError(t, err)
	validate := func(status int, header http.Header, body string) error {
		return c.Answers(route, status, header, []byte(body))
	}
	require.NoError(t, validate(200, good.Header, string(good.Body)))
	for name, change := range map[string]func(string) string{
		"a surprising member": func(b string) string { return strings.Replace(b, `{`, `{"extra":1,`, 1) },
		"a missing member":    func(b string) string { return strings.Replace(b, `"version":1,`, ``, 1) },
		"a wrong type":        func(b string) string { return strings.Replace(b, `"version":1`, `"version":"1"`, 1) },
		"no such theme":       func(b string) string { return strings.Replace(b, `"light"`, `"blue"`, 1) },
		"no date at all":      func(b string) string { return strings.Replace(b, `2026-01-02T03:04:05Z`, `yesterday`, 1) },
		"no date by a hair":   func(b string) string { return strings.Replace(b, `2026-01-02T03:04:05Z`, `2026-13-45T03:04:05Z`, 1) },
		"another strategy":    func(b string) string { return strings.Replace(b, `"session"`, `"cookie"`, 1) },
	} {
		changed := change(string(good.Body))
		require.NotEqual(t, string(good.Body), changed, name)
		require.Error(t, validate(200, good.Header, changed), name)
	}
	require.Error(t, validate(418, good.Header, string(good.Body)), "a status that is not described")
	bare := good.Header.Clone()
	bare.Del("ETag")
	require.Error(t, validate(200, bare, string(good.Body)), "a header that is missing")
}

// Every code that the program can answer is documented, and no other.
func TestEveryCodeIsDocumented(t *testing.T) {
	t.Parallel()
	text := string(harness.SpecificationText(t))
	table := regexp.MustCompile(`(?m)^    \| (\d+) \| (.*) \|$`).FindAllStringSubmatch(text, -1)
	documented := map[string]string{}
	for _, row := range table {
		for _, code := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[2], -1) {
			documented[code[1]] = row[1]
		}
	}
	for code, status := range api.Codes() {
		require.Equal(t, fmt.Sprint(status), documented[code], code)
		delete(documented, code)
	}
	for code := range documented {
		require.Contains(t, []string{"limit", "size"}, code, "documented and never answered")
	}
}

func TestTheSpecificationIsServed(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, "")
	yaml := c.Do("GET", "/openapi.yaml", nil).Is(http.StatusOK)
	require.Equal(t, string(harness.SpecificationText(t)), string(yaml.Body))
	var doc map[string]any
	require.NoError(t, json.Unmarshal(c.Do("GET", "/openapi.json", nil).Is(http.StatusOK).Body, &doc))
	require.Equal(t, "3.1.0", doc["openapi"])
	c.Do("GET", "/openapi.json", nil, func(r *http.Request) {
		r.Header.Set("If-None-Match", c.Do("GET", "/openapi.json", nil).Header.Get("ETag"))
	}).
		Is(http.StatusNotModified)
	require.Contains(t, string(c.Do("GET", "/docs", nil).Is(http.StatusOK).Body), "swagger")
	c.Do("GET", "/docs/swagger-ui.css", nil).Is(http.StatusOK)
	c.Do("GET", "/docs/nothing", nil).Is(http.StatusNotFound, "not_found")
	c.Do("GET", "/web/nothing.js", nil).Is(http.StatusNotFound, "not_found")
}
