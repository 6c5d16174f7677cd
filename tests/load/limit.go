package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin" //nolint:depguard // what stands beside statelab is a Gin server too
)

// taskCommand makes this program a server beside statelab. It is for its own
// use only.
const taskCommand = "serve-task"

// An answer is what statelab has answered, without the two headers that
// net/http writes by itself.
type answer struct {
	Header http.Header
	Body   []byte
}

// A task is what a server beside statelab is to do: give one answer, as the
// limit, or as the peer that keeps logins in a store.
type task struct {
	Path   string
	Answer answer
	Store  string // as for statelab; empty for the limit
}

// serveTask reads a task as JSON from stdin and does it until ctx or stdin
// ends.
func serveTask(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var t task
	if err := json.NewDecoder(stdin).Decode(&t); err != nil {
		return err
	}
	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	if t.Store == "" {
		limit(e, t)
	} else if err := peer(e, t); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "localhost:0")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	fmt.Fprintln(stdout, "http://localhost:"+port)
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // it ends with whoever started us
		cancel()
	}()
	served := make(chan error, 1)
	go func() { served <- e.RunListener(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		return nil
	}
}

// limit is the fair limit: a bare Gin server that receives the headers of the
// same requests, looks at none of them, and writes the headers and the bytes
// of the same answer from memory. What statelab takes beyond that is what it
// does; eight header names alone would make it look a quarter dearer.
func limit(e *gin.Engine, t task) {
	set := t.headers()
	e.GET(t.Path, func(c *gin.Context) {
		set(c.Writer.Header())
		c.Writer.WriteHeader(http.StatusOK)
		_, _ = c.Writer.Write(t.Answer.Body)
	})
}

// headers returns a function that sets the headers of the answer.
func (t task) headers() func(http.Header) {
	type field struct {
		name  string
		lines []string
	}
	var fields []field // ranging over a map would take longer
	for name, lines := range t.Answer.Header {
		fields = append(fields, field{name, lines})
	}
	if n := len(t.Answer.Body); n > 2048 { // past that net/http does not count by itself, and sends chunks
		fields = append(fields, field{"Content-Length", []string{strconv.Itoa(n)}})
	}
	return func(h http.Header) {
		for _, f := range fields {
			h[f.name] = f.lines
		}
	}
}
