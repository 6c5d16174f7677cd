package cache

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// directives are those of a Cache-Control header, by name in lower case.
type directives map[string]string

// parseDirectives reads the lines of a Cache-Control header (RFC 9111, 5.2). Of a
// directive that comes twice the first one counts.
func parseDirectives(lines []string) directives {
	if len(lines) == 0 {
		return nil
	}
	d := directives{}
	for _, line := range lines {
		for line != "" {
			var word string
			if word, line = cutDirective(line); word == "" {
				continue
			}
			name, value, _ := strings.Cut(word, "=")
			name = strings.ToLower(strings.TrimSpace(name))
			if _, twice := d[name]; !twice {
				d[name] = unquote(value)
			}
		}
	}
	return d
}

// cutDirective cuts a line at the first comma that stands in no quotes.
func cutDirective(line string) (word, rest string) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return strings.TrimSpace(line[:i]), line[i+1:]
		}
	}
	return strings.TrimSpace(line), ""
}

func unquote(value string) string {
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		return value[1 : len(value)-1]
	}
	return value
}

func (d directives) has(name string) bool { _, ok := d[name]; return ok }

// longest is as long as anything stays fresh: what is longer is as good as for
// ever, and past it durations would overflow.
const longest = 10 * 365 * 24 * time.Hour

// seconds returns a directive's number of seconds (RFC 9111, 1.2.2), and whether
// the directive is there. One that is no number is zero: an answer is rather asked
// for again than used for too long.
func (d directives) seconds(name string) (time.Duration, bool) {
	text, ok := d[name]
	if !ok {
		return 0, false
	}
	return parseSeconds(text), true
}

func parseSeconds(text string) time.Duration {
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if text == "" {
		return 0
	}
	if err != nil { // more digits than a number has
		n = math.MaxInt64
	}
	return time.Duration(min(n, int64(longest/time.Second))) * time.Second
}

// lifetime is how long the answer may be used from when it was made (RFC 9111,
// 4.2.1), as a cache that serves many has to judge it, and whether the answer says
// so itself.
func lifetime(h http.Header, d directives, now time.Time) (life time.Duration, explicit bool) {
	if life, ok := d.seconds("s-maxage"); ok {
		return life, true
	}
	if life, ok := d.seconds("max-age"); ok {
		return life, true
	}
	if lines := h["Expires"]; len(lines) > 0 {
		expires, err := http.ParseTime(lines[0])
		if err != nil {
			return 0, true // it is in the past, whatever it says
		}
		return min(expires.Sub(dateOf(h, now)), longest), true
	}
	return 0, false
}

// dateOf is when the answer was made by its own word.
func dateOf(h http.Header, now time.Time) time.Time {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		return date
	}
	return now
}

// ageOf is how old the answer was when it came (RFC 9111, 4.2.3): somebody before
// us may have kept it, too. Of several values the first one counts, and one that is
// no number does not (5.1).
func ageOf(h http.Header, now time.Time) time.Duration {
	age := max(now.Sub(dateOf(h, now)), 0).Truncate(time.Second)
	if lines := h["Age"]; len(lines) > 0 {
		first, _, _ := strings.Cut(lines[0], ",")
		age = max(age, parseSeconds(strings.TrimSpace(first)))
	}
	return age
}

// notModified says whether the client has the answer already (RFC 9110, 13.1.2,
// 13.1.3 and 13.2.2).
func notModified(r *http.Request, h http.Header) bool {
	if r.Header["If-None-Match"] != nil {
		return !NoneMatch(r, h.Get("Etag"))
	}
	if since := r.Header.Get("If-Modified-Since"); since != "" {
		moment, err := http.ParseTime(since)
		modified, missing := http.ParseTime(h.Get("Last-Modified"))
		return err == nil && missing == nil && !modified.After(moment)
	}
	return false
}
