package api

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/auth"
)

// Every operation of a store and every statement has a patience of its own, and a request
// runs several of them one after the other. So a request has one deadline for all: what it
// waits for longer is an error of the operation that waits then, and a 503.
const (
	// DefaultRequestPatience bounds how long a request waits for stores, for the accounts and
	// for its turn to have a password hashed. What takes its time without waiting for
	// them does not count: the body's way here, and the hashing itself, which a slow
	// machine may take a second for, and a change of the password does twice.
	DefaultRequestPatience = 1600 * time.Millisecond
	// undoPatience bounds what a request does after its deadline, so that nothing is
	// left of what it has begun. Together they are less than two seconds.
	undoPatience = 200 * time.Millisecond
)

// A deadline is the context of a request that ends after Config.RequestPatience. It can be moved
// while the request is served: only by the goroutine that serves it, since the contexts
// that were made of it keep the old one.
type deadline struct {
	request context.Context

	mu     sync.Mutex // guards what follows: a timer reads it in a goroutine of its own
	until  time.Time
	inner  context.Context
	cancel context.CancelFunc
}

type deadlineKey struct{}

// bounded gives a request its deadline. Routes that ask the store for one record and
// write it once at most go without: the patience of the two operations is less.
func (s *Server) bounded(c *gin.Context) {
	d := &deadline{request: c.Request.Context(), until: time.Now().Add(s.config.RequestPatience)}
	d.inner, d.cancel = context.WithDeadline(d.request, d.until)
	defer d.end()
	body := c.Request.Body
	c.Request = c.Request.WithContext(d)
	c.Request.Body = &timedBody{ReadCloser: body, deadline: d}
	c.Next()
}

func (d *deadline) end() {
	d.mu.Lock()
	cancel := d.cancel
	d.mu.Unlock()
	cancel()
}

// move puts the deadline off, also after it has passed. A context that was made of d keeps
// the deadline that it was made with, and is not cancelled.
func (d *deadline) move(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.cancel
	d.until = d.until.Add(by)
	inner, cancel := context.WithDeadline(d.request, d.until)
	d.inner, d.cancel = inner, func() {
		cancel()
		before()
	}
}

// pause begins a time that does not count, until resume is called.
func (d *deadline) pause() (resume func()) {
	start := time.Now()
	return func() { d.move(time.Since(start)) }
}

func (d *deadline) current() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.inner
}

// Deadline, Done, Err and Value implement context.Context.
func (d *deadline) Deadline() (time.Time, bool) { return d.current().Deadline() }
func (d *deadline) Done() <-chan struct{}       { return d.current().Done() }
func (d *deadline) Err() error                  { return d.current().Err() }

func (d *deadline) Value(key any) any {
	switch key {
	case deadlineKey{}:
		return d
	case auth.HashingKey:
		return d.pause
	}
	return d.current().Value(key)
}

// outlasting returns a context that goes on if the client leaves, until the deadline of
// the request that ctx belongs to.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	d, ok := ctx.Value(deadlineKey{}).(*deadline)
	ctx = context.WithoutCancel(ctx)
	if !ok {
		return context.WithCancel(ctx)
	}
	until, _ := d.Deadline()
	return context.WithDeadline(ctx, until)
}

// A timedBody moves the deadline by the time that its reader has waited for the client,
// once it has ended: a client may send it in many small parts.
type timedBody struct {
	io.ReadCloser
	deadline *deadline
	waited   time.Duration
}

func (b *timedBody) Read(p []byte) (int, error) {
	start := time.Now()
	n, err := b.ReadCloser.Read(p)
	if b.waited += time.Since(start); err != nil {
		b.deadline.move(b.waited)
		b.waited = 0
	}
	return n, err
}
