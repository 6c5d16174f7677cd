package cache

import (
	"iter"
	"net/http"
	"strings"
)

// Tags yields the entity tags in the lines of If-Match or If-None-Match (RFC 9110, 8.8.3),
// weak ones with their prefix. A comma may stand in a tag. The asterisk is yielded only if
// it is all that the lines have. What follows a mistake in a line is not read: nothing says
// where the next tag begins.
func Tags(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if len(lines) == 1 && strings.Trim(lines[0], " \t") == "*" {
			yield("*")
			return
		}
		for _, line := range lines {
			for {
				line = strings.TrimLeft(line, " \t,") // a list may have empty elements (5.6.1)
				n := tagLength(line)
				if n == 0 || !endsElement(line[n:]) {
					break
				}
				if !yield(line[:n]) {
					return
				}
				line = line[n:]
			}
		}
	}
}

// tagLength returns the length of the entity tag that text begins with, or 0.
func tagLength(text string) int {
	opaque := strings.TrimPrefix(text, "W/")
	if !strings.HasPrefix(opaque, `"`) {
		return 0
	}
	for i := 1; i < len(opaque); i++ {
		switch c := opaque[i]; {
		case c == '"':
			return len(text) - len(opaque) + i + 1
		case c <= ' ' || c == 0x7f:
			return 0
		}
	}
	return 0
}

// endsElement reports whether an element of a list ends where text begins.
func endsElement(text string) bool {
	text = strings.TrimLeft(text, " \t")
	return text == "" || text[0] == ','
}

// NoneMatch reports whether the lines of If-None-Match permit a full answer whose entity
// tag is etag, or "" if it has none. It compares weakly (RFC 9110, 13.1.2).
func NoneMatch(r *http.Request, etag string) bool {
	etag = strings.TrimPrefix(etag, "W/")
	for tag := range Tags(r.Header["If-None-Match"]) {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return false
		}
	}
	return true
}
