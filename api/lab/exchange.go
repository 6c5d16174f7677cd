package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/go-json-experiment/json"
)

// An Exchange is one request with its answer, as they travelled. Credentials and passwords
// in it are masked.
type Exchange struct {
	Who       string `json:"who"`        // the agent's name
	Does      string `json:"does"`       // the step, in English
	Request   string `json:"request"`    // request line, headers and body
	Response  string `json:"response"`   // status line, headers and body
	BytesUp   int    `json:"bytes_up"`   // of the whole request
	BytesDown int    `json:"bytes_down"` // of the whole answer but for Server-Timing, whose length varies
}

// Limits of what an answer may be, in bytes.
const (
	maxBody      = 1 << 20
	maxHeader    = 64 << 10
	maxShown     = 1 << 10 // of a body in an Exchange
	maxShownHead = 16 << 10

	maxCookies = 100 // that an answer sets
)

// An Answer is what a server has answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	sent   int // the whole request, in bytes
}

// OK says whether the answer is a success, or a redirect, which forms answer with.
func (a Answer) OK() bool { return a.Status >= 200 && a.Status < 400 }

// json returns the body as JSON, or nil.
func (a Answer) json() any {
	var v any
	if json.Unmarshal(a.Body, &v) != nil {
		return nil
	}
	return v
}

// Code returns the code of a problem document (RFC 9457), or "".
func (a Answer) Code() string {
	if a.Status < 400 {
		return ""
	}
	return a.text("/code")
}

var storeCost = regexp.MustCompile(`store;desc="(\d+) reads?, (\d+) writes?"`)

// cost returns what a server of ours says that the request has asked of its store.
func (a Answer) cost() (reads, writes *int) {
	found := storeCost.FindStringSubmatch(a.Header.Get("Server-Timing"))
	if found == nil {
		return nil, nil
	}
	r, _ := strconv.Atoi(found[1])
	w, _ := strconv.Atoi(found[2])
	return &r, &w
}

var duration = regexp.MustCompile(`;dur=([0-9.]+)`)

// microseconds returns how long a server of ours says that the request took.
func (a Answer) microseconds() int {
	total := 0.0
	for _, found := range duration.FindAllStringSubmatch(a.Header.Get("Server-Timing"), -1) {
		ms, _ := strconv.ParseFloat(found[1], 64)
		total += ms * 1000
	}
	return int(total)
}

// A wire is a connection that keeps what it has sent.
type wire struct {
	net.Conn
	mu   sync.Mutex
	sent []byte
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	w.sent = append(w.sent, b...)
	w.mu.Unlock()
	return w.Conn.Write(b)
}

// take returns what has been sent since it was last called.
func (w *wire) take() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := w.sent
	w.sent = nil
	return sent
}

// A line is what an agent sends its requests through, one at a time: a connection for each
// server that it speaks to.
type line struct {
	transport *http.Transport
	mu        sync.Mutex
	wire      *wire
}

// newLine returns a line to the address that dial connects to. If it does not keep its
// connections, net/http has no chance to log what a server sends on one that is idle.
func newLine(keep bool, dial func(ctx context.Context, network, address string) (net.Conn, error)) *line {
	l := &line{}
	record := func(c net.Conn) net.Conn { return &wire{Conn: c} }
	l.transport = &http.Transport{
		DisableKeepAlives:      !keep,
		DisableCompression:     true, // bytes are counted as they travel, and none grows when it is unpacked
		MaxResponseHeaderBytes: maxHeader, MaxConnsPerHost: 1, ExpectContinueTimeout: noticeOf100,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return record(c), nil
		},
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			host, _, _ := net.SplitHostPort(address)
			over := tls.Client(c, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
			if err := over.HandshakeContext(ctx); err != nil {
				return nil, errors.Join(err, c.Close())
			}
			return record(over), nil
		},
	}
	return l
}

// sent returns what has been sent since it was last called.
func (l *line) sent() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wire == nil {
		return nil
	}
	return l.wire.take()
}

// send sends one request, follows no redirect, and reads the answer whole. The Exchange is
// not masked yet, and its Response is the head alone.
func (l *line) send(r *http.Request) (Answer, Exchange, error) {
	// An agent that speaks to two nodes has a connection to each.
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wire, _ = got.Conn.(*wire)
	}})
	resp, err := l.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return Answer{}, Exchange{Request: string(l.sent())}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = fmt.Errorf("the answer's body has more than %d bytes", maxBody)
	}
	sent := l.sent()
	a := Answer{resp.StatusCode, resp.Header, body, len(sent)}
	head := headOf(resp)
	timing := len("Server-Timing: \r\n") + len(resp.Header.Get("Server-Timing"))
	if resp.Header.Get("Server-Timing") == "" {
		timing = 0
	}
	return a, Exchange{Request: string(sent), Response: head, BytesUp: len(sent), BytesDown: len(head) + len(body) - timing}, err
}

// headOf is the head of an answer, with its headers in the order of their names.
func headOf(resp *http.Response) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %s\r\n", resp.Status)
	_ = resp.Header.Write(&b) // sorted by name
	if resp.ContentLength >= 0 && resp.Header.Get("Content-Length") == "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", resp.ContentLength)
	}
	return b.String() + "\r\n"
}

// secrets are texts that no Exchange may show.
type secrets struct {
	mu       sync.Mutex
	words    map[string]string // with what is shown instead
	replacer *strings.Replacer // of the words; nil: to be made
}

// add takes a secret of which four characters may be shown.
func (s *secrets) add(secret string) {
	if len(secret) >= 4 {
		s.put(secret, func(word string) string { return word[:min(4, len(word)/2)] + "…" })
	}
}

// hide takes a secret of which nothing may be shown.
func (s *secrets) hide(secret string) {
	if secret != "" {
		s.put(secret, func(string) string { return "…" })
	}
}

// put takes a secret in the spellings in which it travels.
func (s *secrets) put(secret string, shown func(word string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.words[secret]; known {
		return
	}
	for _, word := range spellings(secret) {
		if _, ok := s.words[word]; !ok && word != "" {
			if s.words == nil {
				s.words = map[string]string{}
			}
			s.words[word], s.replacer = shown(word), nil
		}
	}
}

var percent = regexp.MustCompile(`%[0-9A-F]{2}`)

// spellings are the ways in which servers write a text into URLs, HTML and JSON.
func spellings(text string) []string {
	all := []string{text, html.EscapeString(text)}
	for _, escaped := range []string{url.QueryEscape(text), url.PathEscape(text)} {
		all = append(all, escaped, percent.ReplaceAllStringFunc(escaped, strings.ToLower))
	}
	for _, escapes := range []string{"", "<>&", "<>&'"} { // as hexadecimal, besides what JSON asks for
		for _, slash := range []string{"/", `\/`} {
			for _, ascii := range []bool{false, true} {
				quoted := inJSON(text, escapes, slash, ascii)
				all = append(all, quoted, hexadecimal.ReplaceAllStringFunc(quoted, func(s string) string { return `\u` + strings.ToUpper(s[2:]) }))
			}
		}
	}
	return all
}

var hexadecimal = regexp.MustCompile(`\\u[0-9a-f]{4}`)

// inJSON writes a text as an encoder of JSON does that escapes some more characters, writes
// a slash in its own way, and perhaps nothing but ASCII.
func inJSON(text, escapes, slash string, ascii bool) string {
	quoted, _ := marshal(text)
	var b strings.Builder
	for _, r := range strings.Trim(string(quoted), `"`) {
		switch {
		case r == '/':
			b.WriteString(slash)
		case strings.ContainsRune(escapes, r), ascii && r > 0x7e:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// mask returns a text without the secrets. At each place the longest one counts.
func (s *secrets) mask(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replacer == nil {
		var pairs []string
		for _, word := range slices.SortedFunc(maps.Keys(s.words), func(a, b string) int { return len(b) - len(a) }) {
			pairs = append(pairs, word, s.words[word])
		}
		s.replacer = strings.NewReplacer(pairs...)
	}
	return s.replacer.Replace(text)
}

// marshal encodes v as JSON with its members in order.
func marshal(v any) ([]byte, error) { return json.Marshal(v, json.Deterministic(true)) }

// after waits for d, or until ctx is done.
func after(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
