package web_test

import (
	"bytes"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api/web"
)

func guide(t *testing.T, language, origin string) string {
	t.Helper()
	p := page
	p.Language = language
	var out bytes.Buffer
	require.NoError(t, web.Guide(&out, p, origin))
	return out.String()
}

func guideSource(t *testing.T, language string) string {
	t.Helper()
	text, err := fs.ReadFile(web.Assets, "guide/"+language+".md")
	require.NoError(t, err)
	return string(text)
}

func TestGuideIsRendered(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"en", "ko"} {
		html, source := guide(t, language, "http://localhost:9000"), guideSource(t, language)
		require.Contains(t, html, `<html lang="`+language+`">`)
		require.NotRegexp(t, inline, html, "the policy forbids what is inline")
		require.NotContains(t, html, "localhost:8080")
		require.NotContains(t, html, "raw HTML omitted")
		require.NotContains(t, html, "<p>|", "a table that is not rendered")
		require.Equal(t, strings.Count(source, "\n|---"), strings.Count(html, "<table>"))
		require.Equal(t, strings.Count(source, "```")/2, strings.Count(html, "<pre>"))
		require.Equal(t, 1, strings.Count(html, "<h1 "))
	}
}

func TestGuideAnchorsExistOnce(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"en", "ko"} {
		html := guide(t, language, "http://localhost:9000")
		seen := map[string]int{}
		for _, m := range regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(html, -1) {
			seen[m[1]]++
			require.Equal(t, 1, seen[m[1]], m[1])
		}
		anchors := regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(guideSource(t, language), -1)
		require.Greater(t, len(anchors), 12)
		for _, m := range anchors {
			require.Contains(t, seen, m[1], language)
		}
		sections := regexp.MustCompile(`(?m)^## `).FindAllString(guideSource(t, language), -1)
		contents := html[strings.Index(html, `<nav class="contents"`):strings.Index(html, "<article")]
		require.Equal(t, len(sections), strings.Count(contents, "<li>"), "each section is in the table of contents")
	}
}

// Both guides have the same parts in the same order: what one explains, the other
// explains too.
func TestGuidesHaveTheSameParts(t *testing.T) {
	t.Parallel()
	parts := regexp.MustCompile("(?m)^(#+ |```\\w*|\\||- |\\d+\\. )")
	require.Equal(t, parts.FindAllString(guideSource(t, "en"), -1), parts.FindAllString(guideSource(t, "ko"), -1))
	link := regexp.MustCompile(`http://localhost:8080[^)>\s]*`)
	inKorean := link.FindAllString(guideSource(t, "ko"), -1)
	for i := range inKorean {
		inKorean[i] = strings.Replace(inKorean[i], "lang=ko", "lang=en", 1)
	}
	require.Equal(t, link.FindAllString(guideSource(t, "en"), -1), inKorean)
}

// What a guide sets in bold is a word of the page, so that the reader finds it there.
func TestGuideNamesButtonsOfThePage(t *testing.T) {
	t.Parallel()
	for _, language := range []string{"en", "ko"} {
		names := slices.Collect(maps.Values(words(t, language)))
		bold := regexp.MustCompile(`\*\*(.+?)\*\*`).FindAllStringSubmatch(guideSource(t, language), -1)
		require.Greater(t, len(bold), 30)
		for _, m := range bold {
			require.Contains(t, names, m[1], language)
		}
	}
}

func TestGuideTakesPlainOriginsOnly(t *testing.T) {
	t.Parallel()
	written := guide(t, "en", "http://localhost:8080")
	for _, origin := range []string{
		"", "http://", "ftp://localhost", "http://a b", "http://a;rm -rf ~", "http://$(id)", "http://`id`", `http://x"><script>alert(1)</script>`,
		"http://a'b", "http://a&b", "http://a/b", "http://a:b", "http://a\nb", "http://user@a", "http://[::1", "http://한글",
	} {
		require.Equal(t, written, guide(t, "en", origin), "%q", origin)
	}
	for _, origin := range []string{"http://localhost", "https://statelab.example", "http://127.0.0.1:80", "http://[::1]:9000"} {
		require.Contains(t, guide(t, "en", origin), "jar "+origin+"/session/profile")
	}
	p := page
	p.Language = "fr"
	require.Error(t, web.Guide(&bytes.Buffer{}, p, ""))
	require.Empty(t, web.GuideLanguage("guide/fr.md"))
	require.Equal(t, "ko", web.GuideLanguage("guide/ko.md"))
}
