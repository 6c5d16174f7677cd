package web_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api/web"
)

// page is a server's worth of columns, one of them unknown to the words and to the script.
var page = web.Page{
	Version: "v1",
	Columns: []web.Column{
		{Slug: "session", Traits: map[string]any{"holder": "server", "transport": "cookie"}},
		{Slug: "brand-new", Traits: map[string]any{"holder": "client", "transport": "bearer"}},
	},
	Accounts: []web.Account{{Username: "alice", Password: "wonderland", Role: "member"}},
}

func words(t *testing.T, language string) map[string]string {
	t.Helper()
	text, err := fs.ReadFile(web.Assets, "words/"+language+".json")
	require.NoError(t, err)
	table := map[string]string{}
	require.NoError(t, json.Unmarshal(text, &table))
	return table
}

func documents(t *testing.T, language string) map[string]string {
	t.Helper()
	p := page
	p.Language = language
	var index, strategy bytes.Buffer
	require.NoError(t, web.Index(&index, p))
	require.NoError(t, web.Strategy(&strategy, p, "brand-new"))
	return map[string]string{"/": index.String(), "/brand-new/": strategy.String()}
}

func scripts(t *testing.T) map[string]string {
	t.Helper()
	names, err := fs.Glob(web.Assets, "*.js")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	texts := map[string]string{}
	for _, name := range names {
		text, err := fs.ReadFile(web.Assets, name)
		require.NoError(t, err)
		texts[name] = string(text)
	}
	return texts
}

func TestBothLanguagesHaveTheSameWords(t *testing.T) {
	t.Parallel()
	en, ko := words(t, "en"), words(t, "ko")
	require.Equal(t, slices.Sorted(maps.Keys(en)), slices.Sorted(maps.Keys(ko)))
	placeholder := regexp.MustCompile(`\{\w+\}`)
	for key := range en {
		require.NotEmpty(t, strings.TrimSpace(ko[key]), key)
		require.ElementsMatch(t, placeholder.FindAllString(en[key], -1), placeholder.FindAllString(ko[key], -1), key)
	}
}

func TestEveryWordTheScriptNamesExists(t *testing.T) {
	t.Parallel()
	en := words(t, "en")
	named := regexp.MustCompile(`\bword\('([^']+)'`)
	for name, text := range scripts(t) {
		for _, match := range named.FindAllStringSubmatch(text, -1) {
			require.Contains(t, en, match[1], name)
		}
	}
}

// inline matches what the content security policy forbids.
var inline = regexp.MustCompile(`(?i)<style|\sstyle=|\son\w+=|javascript:|<script(>| [^>]*type="module">)`)

func TestDocumentsAreComplete(t *testing.T) {
	t.Parallel()
	require.NotEqual(t, documents(t, "en"), documents(t, "ko"))
	require.Equal(t, documents(t, "en"), documents(t, ""), "English unless told")
	asset := regexp.MustCompile(`(?:src|href)="/web/([^"]+)"`)
	for _, language := range []string{"en", "ko"} {
		for name, html := range documents(t, language) {
			require.Contains(t, html, `<html lang="`+language+`">`, name)
			require.NotRegexp(t, inline, html, "%s: the policy forbids what is inline", name)
			for _, match := range asset.FindAllStringSubmatch(html, -1) {
				require.NotEmpty(t, web.ETag(match[1]), "%s names %s", name, match[1])
			}
		}
	}
}

func TestDocumentsEscapeWhatTheyAreGiven(t *testing.T) {
	t.Parallel()
	p := page
	p.Version = `"><script>alert(1)</script>`
	p.Columns = []web.Column{{Slug: "x", Traits: `'"><script>alert(1)</script>`}}
	var index bytes.Buffer
	require.NoError(t, web.Index(&index, p))
	require.NotContains(t, index.String(), "<script>")
}

func TestNoDemoAccountsUnlessGiven(t *testing.T) {
	t.Parallel()
	p := page
	p.Accounts = nil
	var index bytes.Buffer
	require.NoError(t, web.Index(&index, p))
	require.NotContains(t, index.String(), "wonderland")
}

func TestAStrategyThatIsNotMountedHasNoPage(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.Error(t, web.Strategy(&out, page, "nonsense"))
	require.Empty(t, out.String())
}

func TestScriptImportsOnlyWhatIsServed(t *testing.T) {
	t.Parallel()
	imported := regexp.MustCompile(`from '([^']+)'`)
	for name, text := range scripts(t) {
		for _, match := range imported.FindAllStringSubmatch(text, -1) {
			require.NotEmpty(t, web.ETag(path.Clean(match[1])), "%s imports %s", name, match[1])
		}
	}
}

func TestScriptKnowsNoStrategyByName(t *testing.T) {
	t.Parallel()
	// "cookie" is also a transport, so it cannot be told here.
	slug := regexp.MustCompile("['\"`](session|cookie-sealed|token|seed|session-\\w+|token-\\w+|cookie-\\w+)['\"`]")
	for name, text := range scripts(t) {
		require.NotRegexp(t, slug, text, name)
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]string{
		"":                                    "en",
		"ko":                                  "ko",
		"ko-KR,ko;q=0.9,en-US;q=0.8,en;q=0.7": "ko",
		"en-US,en;q=0.9,ko;q=0.8":             "en",
		"ja, KO-kr;q=0.5, en;q=0.3":           "ko",
		"fr-FR, *;q=0.5":                      "en",
		";;,,q=":                              "en",
	} {
		require.Equal(t, want, web.Language(accept), accept)
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	require.Empty(t, web.ETag("nonsense.js"))
	require.Empty(t, web.ETag("words"), "a folder is no asset")
	require.Empty(t, web.ETag("index.html"), "a document is no asset")
	require.Regexp(t, `^"[\w-]{22}"$`, web.ETag("app.js"))
	require.NotEqual(t, web.ETag("app.js"), web.ETag("page.js"))
	require.Equal(t, "text/javascript; charset=utf-8", web.ContentType("app.js"))
	require.Equal(t, "text/markdown; charset=utf-8", web.ContentType("guide/ko.md"))
}
