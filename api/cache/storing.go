package cache

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// validate makes a request ask whether an entry is still good, and says whether it
// can be asked.
func validate(request, entry http.Header) bool {
	tag, modified := entry["Etag"], entry["Last-Modified"]
	if len(tag) > 0 {
		request["If-None-Match"] = tag[:1]
	}
	if len(modified) > 0 {
		request["If-Modified-Since"] = modified[:1]
	}
	return len(tag)+len(modified) > 0
}

// isWhole says whether an answer is as long as it says. One that is shorter was cut
// off on its way here, and is a part (RFC 9111, 3.3).
func isWhole(h http.Header, body []byte) bool {
	length := h.Get("Content-Length")
	return length == "" || length == strconv.Itoa(len(body))
}

// keptByDefault are the statuses of answers that are kept without saying so themselves.
// Of those that are by default cacheable (RFC 9110, 15.1), errors are left out: the
// next try may go better.
var keptByDefault = []int{
	http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusNoContent,
	http.StatusMultipleChoices, http.StatusMovedPermanently, http.StatusPermanentRedirect,
}

// storable returns how long an answer stays fresh, the names in its Vary, and
// whether it may be kept at all (RFC 9111, 3).
func (c *Cache) storable(status int, h http.Header, now time.Time) (fresh time.Duration, names []string, ok bool) {
	says := parseDirectives(h["Cache-Control"])
	names, chosen := varyOf(h)
	life, explicit := lifetime(h, says, now)
	switch {
	case !chosen, says.has("no-store"), says.has("private"):
		return 0, nil, false
	// A cookie is meant for one client, and RFC 9111 does not forbid a cache to store
	// it (7.3).
	case len(h["Set-Cookie"]) > 0, len(h["Set-Cookie2"]) > 0, len(h["Trailer"]) > 0:
		return 0, nil, false
	// Parts are no answer, and what has failed is no answer for long.
	case status < http.StatusOK, status >= http.StatusInternalServerError,
		status == http.StatusPartialContent, status == http.StatusNotModified:
		return 0, nil, false
	case !explicit && slices.Contains(keptByDefault, status):
		life = c.config.TTL
	}
	if says.has("no-cache") {
		life, explicit = 0, true
	}
	fresh = life - time.Duration(float64(life)*c.config.Jitter*c.config.Rand()) - ageOf(h, now)
	// One that is not fresh is of use if the handler can be asked whether it still
	// holds.
	return fresh, names, fresh > 0 || explicit && (len(h["Etag"]) > 0 || len(h["Last-Modified"]) > 0)
}

// keep puts an entry where the next request looks for it, by way of a note if
// headers choose it.
func (c *Cache) keep(r *http.Request, generation Generation, e *Entry, names []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), c.config.Keeping)
	defer cancel()
	k := keyOf(r.URL)
	if len(names) > 0 {
		if err := c.config.Store.Set(ctx, k, generation, &Entry{Vary: names, Made: e.Made, Fresh: e.Fresh}); err != nil {
			return err
		}
		k.Variant = variant(k.Variant, names, r)
	}
	return c.config.Store.Set(ctx, k, generation, e)
}
