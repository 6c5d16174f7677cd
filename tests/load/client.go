package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// now is the wall clock, which a measurement goes by.
var now = time.Now

// The demo account that everybody here logs in to.
const credentials = `{"username":"alice","password":"wonderland"}`

// request writes down a request as it travels.
func request(method, host, path, headers, body string) []byte {
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: statelab-load\r\nAccept: application/json\r\n%s\r\n%s",
		method, path, host, headers, body)
}

// A conn is a connection whose client does as little as it can, since it shares
// the processors with the server that is measured.
type conn struct {
	net.Conn
	buf [160 << 10]byte // more than the longest answer, which is the catalogue
}

// dial connects to a server. Reading and writing end after the given time.
func dial(ctx context.Context, addr string, patience time.Duration) (*conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, c.SetDeadline(now().Add(patience))
}

// A visit is a request and the body of its answer, which never changes, or is of
// the same length if it varies. A short one has no body, since the client has it.
type visit struct {
	request, body []byte
	varies, short bool
}

var (
	status200 = []byte("HTTP/1.1 200 OK\r\n")
	status304 = []byte("HTTP/1.1 304 Not Modified\r\n")
	headerEnd = []byte("\r\n\r\n")
)

// do sends a request and reads its whole answer. Any other answer than 200, or 304,
// with the right body is an error. Only the header may vary in length, with
// the times in Server-Timing.
func (c *conn) do(v visit) error {
	if _, err := c.Write(v.request); err != nil {
		return err
	}
	for n := 0; ; {
		m, err := c.Read(c.buf[n:])
		if err != nil {
			return err
		}
		n += m
		end := bytes.Index(c.buf[:n], headerEnd)
		if end < 0 {
			continue
		}
		want := status200
		if v.short {
			want = status304
		}
		if !bytes.HasPrefix(c.buf[:n], want) {
			return fmt.Errorf("the answer is %q", c.buf[:min(n, 500)])
		}
		if body := c.buf[end+len(headerEnd) : n]; len(body) >= len(v.body) {
			if !v.varies && !bytes.Equal(body, v.body) || len(body) != len(v.body) {
				return fmt.Errorf("the body is %q and was %q", body, v.body)
			}
			return nil
		}
	}
}

// fetch sends one request over a connection of its own.
func fetch(ctx context.Context, addr string, request []byte) (status int, a answer, err error) {
	c, err := dial(ctx, addr, 30*time.Second)
	if err != nil {
		return 0, answer{}, err
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write(request); err != nil {
		return 0, answer{}, err
	}
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, answer{}, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	r.Header.Del("Date")
	r.Header.Del("Content-Length")
	return r.StatusCode, answer{r.Header, body}, err
}

// fetchJSON fetches what must be a 200 and decodes its body.
func fetchJSON(ctx context.Context, addr string, request []byte, v any) (answer, error) {
	status, a, err := fetch(ctx, addr, request)
	if err != nil {
		return a, err
	}
	if status != http.StatusOK {
		return a, fmt.Errorf("status %d: %s", status, a.Body)
	}
	return a, json.Unmarshal(a.Body, v)
}

func login(addr, slug string) []byte {
	return request("POST", addr, "/"+slug+"/login",
		fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(credentials)), credentials)
}

// logIn logs in to a strategy and returns the visit that reads the profile of
// this login, and its answer as it was the first time.
func logIn(ctx context.Context, addr, slug string) (visit, answer, error) {
	var in struct {
		Credential struct {
			AccessToken string `json:"access_token"`
		} `json:"credential"`
	}
	a, err := fetchJSON(ctx, addr, login(addr, slug), &in)
	if err != nil {
		return visit{}, answer{}, fmt.Errorf("logging in to %s: %w", slug, err)
	}
	credential := "Authorization: Bearer " + in.Credential.AccessToken
	jar, err := cookiejar.New(nil) // a cookie may be for another path than that of the profile
	if err != nil {
		return visit{}, answer{}, err
	}
	at := func(path string) *url.URL { return &url.URL{Scheme: "http", Host: addr, Path: path} }
	jar.SetCookies(at("/"+slug+"/login"), (&http.Response{Header: a.Header}).Cookies())
	for _, c := range jar.Cookies(at(profilePath(slug))) {
		credential = "Cookie: " + c.Name + "=" + c.Value
	}
	get := request("GET", addr, profilePath(slug), credential+"\r\n", "")
	a, err = fetchJSON(ctx, addr, get, &struct{}{})
	if err != nil {
		return visit{}, answer{}, fmt.Errorf("reading the profile of %s: %w", slug, err)
	}
	return visit{request: get, body: a.Body}, a, nil
}

func profilePath(slug string) string { return "/" + slug + "/profile" }

// A target is a server with the visits that it gets.
type target struct {
	*process
	visits []visit // one for each connection, or fewer, in turn
}

// slice makes visits for a time, over so many connections, each of which sends
// its next request when the last one is answered. It returns how many there
// were and the CPU time that they have cost the server.
func (t target) slice(ctx context.Context, conns int, d time.Duration) (requests int, cost time.Duration, err error) {
	cs := make([]*conn, conns)
	defer func() {
		for _, c := range cs {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	for i := range cs {
		if cs[i], err = dial(ctx, t.addr, d+30*time.Second); err != nil {
			return 0, 0, err
		}
		// The first visit makes the server accept the connection: not counted.
		if err := cs[i].do(t.visits[i%len(t.visits)]); err != nil {
			return 0, 0, err
		}
	}
	before, err := t.cpu()
	if err != nil {
		return 0, 0, err
	}
	var (
		running sync.WaitGroup
		over    atomic.Bool
		counts  = make([]int, conns)
		errs    = make([]error, conns)
	)
	for i, c := range cs {
		running.Go(func() {
			n, v := 0, t.visits[i%len(t.visits)]
			for ; (n == 0 || !over.Load()) && errs[i] == nil; n++ { // at least one, however busy the machine is
				errs[i] = c.do(v)
			}
			counts[i] = n
		})
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	over.Store(true)
	running.Wait()
	after, err := t.cpu()
	for err == nil && after == before { // the kernel has not counted it yet
		if err = wait(ctx, time.Millisecond); err == nil {
			after, err = t.cpu()
		}
	}
	if err := cmp.Or(ctx.Err(), cmp.Or(errs...), err); err != nil { // one stands for all
		return 0, 0, err
	}
	for _, n := range counts {
		requests += n
	}
	return requests, after - before, nil
}
