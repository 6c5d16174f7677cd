package cache_test

import (
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api/cache"
)

func TestTagsFollowTheGrammar(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ lines, tags []string }{
		{nil, nil},
		{[]string{`*`}, []string{`*`}},
		{[]string{" *\t"}, []string{`*`}},
		{[]string{`"a"`}, []string{`"a"`}},
		{[]string{`""`}, []string{`""`}},
		{[]string{`W/"a"`}, []string{`W/"a"`}},
		{[]string{`"a", "b","c"	,W/"d"`}, []string{`"a"`, `"b"`, `"c"`, `W/"d"`}},
		{[]string{`"a"`, `"b", "c"`}, []string{`"a"`, `"b"`, `"c"`}},
		{[]string{`"a,b"`}, []string{`"a,b"`}},
		{[]string{`"a,*,b"`}, []string{`"a,*,b"`}},
		{[]string{`", ", "*"`}, nil}, // a space is no character of a tag
		{[]string{`"*"`}, []string{`"*"`}},
		{[]string{`"a\", "b"`}, []string{`"a\"`, `"b"`}}, // a backslash escapes nothing
		{[]string{"\"\x80\xff가\""}, []string{"\"\x80\xff가\""}},
		{[]string{`,, "a",,"b" ,`}, []string{`"a"`, `"b"`}},
		{[]string{``}, nil},
		{[]string{`a`}, nil},
		{[]string{`"a`}, nil},
		{[]string{`a"`}, nil},
		{[]string{`w/"a"`}, nil},
		{[]string{`W/ "a"`}, nil},
		{[]string{`W/a`}, nil},
		{[]string{`*, "a"`}, nil},
		{[]string{`*`, `"a"`}, []string{`"a"`}},
		{[]string{`"a", *`}, []string{`"a"`}},
		{[]string{`*,`}, nil},
		{[]string{`**`}, nil},
		{[]string{`"a""b"`}, nil},
		{[]string{`"a"b, "c"`}, nil},
		{[]string{`"a" "b"`}, nil},
		{[]string{"\"a\x00b\""}, nil},
		{[]string{"\"a\x7f\""}, nil},
	} {
		got := slices.Collect(cache.Tags(test.lines))
		require.True(t, slices.Equal(test.tags, got), "%q gives %q", test.lines, got)
	}
}

func TestATagMatchesWeaklyAndWhole(t *testing.T) {
	t.Parallel()
	for line, matches := range map[string]bool{
		`"a,b"`: true, `W/"a,b"`: true, `"x", W/"a,b"`: true, `*`: true, `"x,*"`: false, `"a`: false, `b"`: false, `"a", "b"`: false, `a,b`: false, ``: false, `""`: false,
	} {
		for _, etag := range []string{`"a,b"`, `W/"a,b"`} {
			r := httptest.NewRequest("GET", "/", nil)
			r.Header["If-None-Match"] = []string{line}
			require.Equal(t, !matches, cache.NoneMatch(r, etag), "%s for %s", line, etag)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["If-None-Match"] = []string{`""`}
	require.True(t, cache.NoneMatch(r, ""), "an answer without a tag")
}

func TestATagWithACommaIsNotModified(t *testing.T) {
	t.Parallel()
	a := newApp(t, cache.Config{}, respond(200, "Cache-Control: max-age=60", `ETag: "a,b"`))
	a.get("/")
	for _, header := range []string{`If-None-Match: "a,b"`, `If-None-Match: "x", W/"a,b"`} {
		require.Equal(t, 304, a.says(a.get("/", header), "hit; ttl=60").Code, header)
	}
	require.Equal(t, 200, a.get("/", `If-None-Match: "a", "b"`).Code)
}
