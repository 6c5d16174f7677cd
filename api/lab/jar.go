package lab

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxCookie is what browsers take of a cookie's name and value together, in bytes (RFC
// 6265bis, 5.6).
const maxCookie = 4096

// A jar keeps the cookies of one user agent for one host, as RFC 6265bis asks of a
// browser. Of SameSite it takes note only: what a browser attaches to which requests of
// other sites is shown in a browser.
type jar struct {
	now     func() time.Time
	cookies map[cookieID]*http.Cookie
	// hoards says that no cookie is forgotten, whatever its Max-Age: a thief keeps what they
	// have copied.
	hoards bool
}

// A cookie replaces another one of the same name and path.
type cookieID struct{ name, path string }

func newJar(now func() time.Time) *jar { return &jar{now: now, cookies: map[cookieID]*http.Cookie{}} }

func (j *jar) copy() *jar {
	c := newJar(j.now)
	c.hoards = j.hoards
	for id, cookie := range j.cookies {
		in := *cookie
		c.cookies[id] = &in
	}
	return c
}

// keep takes the cookies of an answer to a request for path. What a browser would not
// keep is left out, and a cookie that is larger than browsers take leaves the old one.
func (j *jar) keep(h http.Header, path string) {
	for _, line := range h["Set-Cookie"] {
		c, err := http.ParseSetCookie(line)
		if err != nil || len(c.Name)+len(c.Value) > maxCookie || !prefixHolds(c) {
			continue
		}
		if !strings.HasPrefix(c.Path, "/") {
			c.Path = path[:max(1, strings.LastIndexByte(path, '/'))] // RFC 6265, 5.1.4: the default path
		}
		id := cookieID{c.Name, c.Path}
		switch {
		case c.MaxAge < 0, c.MaxAge == 0 && !c.Expires.IsZero() && !c.Expires.After(j.now()):
			if !j.hoards {
				delete(j.cookies, id)
			}
			continue
		case c.MaxAge > 0:
			c.Expires = j.now().Add(time.Duration(c.MaxAge) * time.Second)
		}
		j.cookies[id] = c
	}
}

// prefixHolds says whether a cookie is what its name promises (RFC 6265bis, 4.1.3).
func prefixHolds(c *http.Cookie) bool {
	name := strings.ToLower(c.Name)
	if strings.HasPrefix(name, "__host-") {
		return c.Secure && c.Path == "/" && c.Domain == ""
	}
	return !strings.HasPrefix(name, "__secure-") || c.Secure
}

// of returns the cookies that a request for path carries, those of longer paths first.
// A host of this machine counts as secure without TLS, as browsers have it.
func (j *jar) of(path string) []*http.Cookie {
	var sent []*http.Cookie
	for _, id := range slices.SortedFunc(maps.Keys(j.cookies), func(a, b cookieID) int {
		if len(a.path) != len(b.path) {
			return len(b.path) - len(a.path)
		}
		return strings.Compare(a.name, b.name)
	}) {
		c := j.cookies[id]
		if (j.hoards || c.Expires.IsZero() || c.Expires.After(j.now())) && covers(c.Path, path) {
			sent = append(sent, c)
		}
	}
	return sent
}

// covers is the path match of RFC 6265, 5.1.4.
func covers(cookie, request string) bool {
	rest, ok := strings.CutPrefix(request, cookie)
	return ok && (rest == "" || strings.HasSuffix(cookie, "/") || rest[0] == '/')
}
