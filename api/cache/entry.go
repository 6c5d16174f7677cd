package cache

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// An Entry is an answer that is kept, or a note that the answers of a URI are to
// be looked for under the headers that Vary names. Nobody changes one that has
// been handed to a Store.
type Entry struct {
	Status int
	Header http.Header // of the handler; those that are set anew for each answer are not in it
	Body   []byte

	Made  time.Time     // when the answer came, by the clock of the cache
	Age   time.Duration // that it had by then
	Fresh time.Duration // how long it may be used from then on without asking the handler

	// Vary are the names of the request headers that have chosen the answer. A
	// note has them and no status.
	Vary []string

	stamped atomic.Pointer[stamp]
}

// A stamp is what a hit says of an entry within one second.
type stamp struct {
	age         int64
	name        string
	ages, state []string
}

// age is how old the entry is, in the sense of RFC 9111, 4.2.3.
func (e *Entry) age(now time.Time) time.Duration { return e.Age + max(now.Sub(e.Made), 0) }

// left is how long the entry stays fresh; it is negative for one that is stale. One
// that was made ahead of now, by a clock that has been set back since or by that of
// another node, does not become fresh for longer by it than another life.
func (e *Entry) left(now time.Time) time.Duration { return e.Fresh - now.Sub(e.Made).Abs() }

// isNote says whether the entry only tells where to look.
func (e *Entry) isNote() bool { return e.Status == 0 }

// hit returns the values of Age and Cache-Status for a hit. They are the same for
// a second, so they are made once.
func (e *Entry) hit(name string, now time.Time) (age, status []string) {
	seconds := int64(e.age(now) / time.Second)
	if s := e.stamped.Load(); s != nil && s.age == seconds && s.name == name {
		return s.ages, s.state
	}
	s := &stamp{
		age: seconds, name: name, ages: []string{strconv.FormatInt(seconds, 10)},
		state: []string{name + "; hit; ttl=" + strconv.FormatInt(int64(e.left(now)/time.Second), 10)},
	}
	e.stamped.Store(s)
	return s.ages, s.state
}

// perConnection are the headers that are about a connection and not about an
// answer (RFC 9110, 7.6.1; RFC 9111, 3.1).
var perConnection = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
	"Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade",
}

// made returns what a handler has set of the header after it was as before, with no values
// for what it has deleted. The rest belongs to the one answer: its request id, say.
func made(before, after http.Header) http.Header {
	h := make(http.Header, len(after))
	for name := range before {
		if _, ok := after[name]; !ok {
			h[name] = nil
		}
	}
	for name, values := range after {
		if old, ok := before[name]; !ok || !slices.Equal(old, values) {
			h[name] = slices.Clip(slices.Clone(values))
		}
	}
	for _, line := range after["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range perConnection {
		delete(h, name)
	}
	return h
}

// apply makes of a header what made has seen a handler make of it.
func apply(h, made http.Header) {
	for name, values := range made {
		if len(values) == 0 {
			delete(h, name)
		} else {
			h[name] = values
		}
	}
}

// refreshed is what the entry says with the headers of a 304 (RFC 9111, 3.2): all but
// those that describe the bytes which it has.
func (e *Entry) refreshed(h http.Header) (status int, header http.Header, body []byte) {
	header = maps.Clone(e.Header)
	for name, values := range h {
		switch name {
		case "Content-Length", "Content-Encoding", "Content-Range", "Content-Md5", "Etag":
		default:
			header[name] = values
		}
	}
	return e.Status, header, e.Body
}

// varyOf returns the names in Vary, in order and without repetition, and whether
// the answer can be chosen by a request at all: * says that it cannot.
func varyOf(h http.Header) (names []string, ok bool) {
	for _, line := range h["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			switch name = strings.TrimSpace(name); name {
			case "":
			case "*":
				return nil, false
			default:
				names = append(names, http.CanonicalHeaderKey(name))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

// variant is the part of a key that the headers named in Vary make. A value has
// no line break, so two requests have the same variant only if they have the same
// values.
func variant(query string, names []string, r *http.Request) string {
	if len(names) == 0 {
		return query
	}
	var b strings.Builder
	b.WriteString(query)
	for _, name := range names {
		values := r.Header[name]
		if name == "Host" { // net/http keeps it elsewhere
			values = []string{r.Host}
		}
		b.WriteString("\n" + name + ":")
		for i, value := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			// Space around a comma means nothing in a list (RFC 9110, 5.6.1).
			for j, part := range strings.Split(value, ",") {
				if j > 0 {
					b.WriteByte(',')
				}
				b.WriteString(strings.TrimSpace(part))
			}
		}
	}
	return b.String()
}
