package main

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// read returns the collection that is checked in.
func read(t *testing.T) (collection, string) {
	t.Helper()
	text, err := os.ReadFile(collectionFile)
	require.NoError(t, err)
	var c collection
	require.NoError(t, json.Unmarshal(text, &c))
	return c, string(text)
}

func TestTheCollectionIsGeneratedFromItsTemplate(t *testing.T) {
	t.Parallel()
	want, err := generate(os.DirFS("."))
	require.NoError(t, err)
	_, text := read(t)
	if string(want) != text { // 19,000 lines are no help
		t.Fatalf("%s is stale: go generate ./tests/postman", collectionFile)
	}
}

func TestTheCollectionSendsTheSameRequestsToEveryStrategy(t *testing.T) {
	t.Parallel()
	c, _ := read(t)
	names := map[string][]string{}
	for _, folder := range c.Item {
		for _, one := range folder.Item {
			names[folder.Name] = append(names[folder.Name], one.Name)
		}
	}
	for _, slug := range harness.Strategies {
		require.NotEmpty(t, names[slug], slug)
		require.Equal(t, names[harness.Strategies[0]], names[slug], slug)
	}
}

// Each saved example is an answer that the contract allows for its request.
func TestEverySavedExampleIsValid(t *testing.T) {
	t.Parallel()
	c, _ := read(t)
	contract, err := harness.Specification()
	require.NoError(t, err)
	for _, folder := range c.Item {
		for _, one := range folder.Item {
			what := folder.Name + ", " + one.Name
			require.Len(t, one.Response, 1, what)
			saved := one.Response[0]
			path := regexp.MustCompile(`\{\{(\w+)\}\}`).ReplaceAllString(strings.TrimPrefix(one.Request.URL.Raw, "{{baseUrl}}"), "$1")
			route, slug, err := contract.Route(&http.Request{Method: one.Request.Method, URL: &url.URL{Path: path}})
			if err != nil {
				require.Contains(t, []int{404, 405}, saved.Code, what)
				continue
			}
			header := http.Header{}
			for _, h := range saved.Header {
				header.Set(h.Key, h.Value)
			}
			require.NoError(t, contract.Answers(route, saved.Code, header, []byte(saved.Body)), what)
			if slug == "" || saved.Language != "json" {
				continue
			}
			answer := &harness.Answer{T: t, Status: saved.Code, Cookies: (&http.Response{Header: header}).Cookies()}
			require.NoError(t, json.Unmarshal([]byte(saved.Body), &answer.JSON), what)
			if p := harness.Promises()[slug]; p.SameSite && p.HTTPOnly || p.Transport == "bearer" { // the lessons save no cookie
				require.NoError(t, harness.KeepsPromise(route.Operation.OperationID, slug, answer), what)
			}
		}
	}
}
