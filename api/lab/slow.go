package lab

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

// atOnce does each part while the others are done. If one ends the experiment, it ends
// when all are done.
func atOnce(parts ...func()) {
	ends := make(chan any, len(parts))
	for _, part := range parts {
		go func() {
			defer func() { ends <- recover() }()
			part()
		}()
	}
	var first any
	for range parts {
		if p := <-ends; p != nil {
			first = p
		}
	}
	if first != nil {
		panic(first)
	}
}

// noticeOf100 is how long a request waits for a server that may never say "100 Continue", as
// those of other makers. Ours always says it when it reads the body.
const noticeOf100 = 300 * time.Millisecond

// interrupted sends a request whose body comes late: the server has the head, and has
// loaded the login if it does so before it reads the body (RFC 9110, 10.1.1: it asks for the
// body then). Now something else happens, and only after that comes the body. This is how
// two tabs that save at once meet, each time.
func (b *Bench) interrupted(r *http.Request, body string, meanwhile func(), send func(*http.Request) Answer) (answer Answer) {
	asked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got100Continue: func() { once.Do(func() { close(asked) }) }})
	r = r.WithContext(ctx)
	r.Body, r.GetBody = io.NopCloser(&lateBody{bytes.NewReader([]byte(body)), release}), nil
	answered := make(chan struct{})
	atOnce(
		func() {
			defer close(answered)
			answer = send(r)
		},
		func() {
			defer close(release)
			timer := time.NewTimer(b.notice)
			defer timer.Stop()
			select {
			case <-asked:
			case <-answered: // it was refused without its body
			case <-timer.C:
			}
			meanwhile()
		},
	)
	return answer
}

// A lateBody gives nothing until it is released.
type lateBody struct {
	text    io.Reader
	release <-chan struct{}
}

func (l *lateBody) Read(p []byte) (int, error) {
	<-l.release
	return l.text.Read(p)
}
