package api

import (
	"encoding/hex"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"statelab/api/cache"
	"statelab/state"
)

// tag sets the validator of a profile, and returns it.
func tag(c *gin.Context, l state.Login) string {
	x := requestOf(c)
	x.etag[0] = etagOf(l)
	c.Writer.Header()["Etag"] = x.etag[:]
	return x.etag[0]
}

// etagOf returns the validator of a profile (RFC 9110, 8.8.3): the login, the
// version of its state, and a hash of what changes without being a change of
// state, the role and the end.
func etagOf(l state.Login) string {
	h := fnv.New32a()
	_, _ = h.Write(strconv.AppendInt([]byte(l.Role), int64(l.ExpiresAt), 10))
	b := make([]byte, 0, 64)
	b = append(appendVersion(b, l), hex.EncodeToString(h.Sum(nil))...)
	return string(append(b, '"'))
}

// appendVersion appends the part of the validator that If-Match looks at.
func appendVersion(b []byte, l state.Login) []byte {
	b = append(append(b, '"'), l.ID...)
	return append(strconv.AppendInt(append(b, '.'), l.Version, 10), '.')
}

// matches says whether If-Match, if there is one, allows a change. Of a tag the
// login and the version count: a refresh is no change of state. It compares
// strongly (RFC 9110, 13.1.1).
func matches(r *http.Request, l state.Login) bool {
	lines, conditional := r.Header["If-Match"]
	if !conditional {
		return true
	}
	want := string(appendVersion(nil, l))
	for tag := range cache.Tags(lines) {
		if tag == "*" || strings.HasPrefix(tag, want) {
			return true
		}
	}
	return false
}
