// Peers are servers that others would build for the job of statelab's strategies, each as the
// README of its library has it. The tool beside this module starts them, one process each:
//
//	go run ./tests/load -peers
//	go run ./tests/load -memory 1000000
//
// They are a module of their own, so that statelab depends on none of these libraries.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// A peer serves a job on a listener: POST /session/login begins a login for any request, and
// GET on the job's path answers for a request that carries its credential, or else with 401.
type peer func(job, net.Listener) error

var peers = map[string]peer{
	"scs":              scsPeer,
	"fiber-session":    fiberPeer,
	"gin-jwt":          ginJWTPeer,
	"echo-jwt":         echoJWTPeer,
	"golang-jwt-HS256": golangJWTPeer("HS256"),
	"golang-jwt-EdDSA": golangJWTPeer("EdDSA"),
}

// A job is what a peer does: it answers with the values that a login keeps, encoded as in
// Answer, and with the headers of Answer.
type job struct {
	Path   string
	Answer struct {
		Header http.Header
		Body   []byte
	}
	profile profile
}

// headers sets the headers of the answer.
func (j job) headers(set func(name, value string)) {
	for name, lines := range j.Answer.Header {
		set(name, lines[0])
	}
}

// run reads a job as JSON from stdin and does it until stdin ends. With the arguments
// "memory", a store and a number, it prints how many bytes of memory a login takes among so
// many in the store.
func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	if len(args) == 3 && args[0] == "memory" {
		each, err := keepLogins(args[1], args[2])
		if err == nil {
			fmt.Fprintf(stdout, "%.0f\n", each)
		}
		return err
	}
	if len(args) != 1 || peers[args[0]] == nil {
		return fmt.Errorf("name one peer, and not %q", args)
	}
	var j job
	if err := json.NewDecoder(stdin).Decode(&j); err != nil {
		return err
	}
	if err := json.Unmarshal(j.Answer.Body, &j.profile); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "localhost:0")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	fmt.Fprintln(stdout, "http://localhost:"+port)
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // it ends with the tool that started us
		os.Exit(0)
	}()
	return peers[args[0]](j, listener)
}

// A profile is what the answer says of a login.
type profile struct {
	Strategy string `json:"strategy"`
	User     struct {
		ID          string `json:"id"`
		Username    string `json:"username"`
		DisplayName string `json:"display_name"`
		Role        string `json:"role"`
	} `json:"user"`
	State struct {
		Theme    string   `json:"theme"`
		Language string   `json:"language"`
		Nickname string   `json:"nickname"`
		Note     string   `json:"note"`
		Credits  int64    `json:"credits"`
		Cart     []string `json:"cart"`
	} `json:"state"`
	Version   int64     `json:"version"`
	IssuedAt  time.Time `json:"issued_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// values are what a session or a token keeps of a profile. The cart is empty.
func (p profile) values() map[string]any {
	return map[string]any{
		"sub": p.User.ID, "username": p.User.Username, "name": p.User.DisplayName, "role": p.User.Role,
		"theme": p.State.Theme, "language": p.State.Language, "nickname": p.State.Nickname, "note": p.State.Note,
		"credits": p.State.Credits, "version": p.Version, "iat": p.IssuedAt.Unix(), "exp": p.ExpiresAt.Unix(),
		"ends": p.ExpiresAt.Unix(), // gin-jwt makes exp itself
	}
}

// profileOf makes the profile of such values. It returns false if there is no login.
func profileOf(get func(name string) any) (p profile, ok bool) {
	text := func(name string) string { v, _ := get(name).(string); return v }
	number := func(name string) int64 {
		if f, ok := get(name).(float64); ok { // out of JSON
			return int64(f)
		}
		v, _ := get(name).(int64)
		return v
	}
	p.Strategy, p.Version = "session", number("version")
	p.IssuedAt, p.ExpiresAt = time.Unix(number("iat"), 0).UTC(), time.Unix(number("ends"), 0).UTC()
	p.User.ID, p.User.Username, p.User.DisplayName, p.User.Role = text("sub"), text("username"), text("name"), text("role")
	p.State.Theme, p.State.Language, p.State.Nickname, p.State.Note = text("theme"), text("language"), text("nickname"), text("note")
	p.State.Credits, p.State.Cart = number("credits"), []string{}
	return p, p.User.ID != "" && time.Now().Before(p.ExpiresAt)
}
