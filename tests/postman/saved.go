package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml"

	"statelab/state"
	"statelab/tests/harness"
)

// A contract is openapi.yaml, as the tests know it and with its members in order.
type contract struct {
	doc   *openapi3.T
	route func(*http.Request) (*routers.Route, string, error)
	text  yaml.MapSlice
}

func newContract() (*contract, error) {
	c, err := harness.Specification()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(harness.Root("openapi.yaml"))
	if err != nil {
		return nil, err
	}
	out := &contract{doc: c.Document, route: c.Route}
	return out, yaml.UnmarshalWithOptions(text, &out.text, yaml.UseOrderedMap())
}

// An operation is what a request asks for, and the answer that it gets.
type operation struct {
	id, slug, path, code string
	status               int
	mediaType            string // "" if the answer has no body
	response             yaml.MapSlice
}

// find returns the operation of a request. A path that openapi.yaml does not have is
// answered as its x-unlisted says.
func (c *contract) find(method, path string, headers yaml.MapSlice, status int, code string) (*operation, error) {
	path = regexp.MustCompile(`\{\{(\w+)\}\}`).ReplaceAllString(path, "$1")
	o := &operation{path: path, status: status, code: code}
	r, err := http.NewRequestWithContext(context.Background(), method, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	at := []string{"x-unlisted", map[int]string{http.StatusNotFound: "path", http.StatusMethodNotAllowed: "method"}[status]}
	if route, slug, err := c.route(r); err == nil {
		o.id, o.slug = route.Operation.OperationID, slug
		at = []string{"paths", route.Path, strings.ToLower(method), "responses", strconv.Itoa(status)}
	}
	if o.response = c.member(c.text, at...); o.response == nil {
		return nil, fmt.Errorf("%s %s does not answer %d", method, path, status)
	}
	types := c.member(o.response, "content")
	for _, t := range types {
		o.mediaType = fmt.Sprint(t.Key)
		for _, h := range headers { // two forms: the one that it accepts
			if h.Key == "Accept" && h.Value == o.mediaType {
				return o, nil
			}
		}
	}
	return o, nil
}

// member follows names, and references, down from a value.
func (c *contract) member(of yaml.MapSlice, names ...string) yaml.MapSlice {
	for _, name := range names {
		of, _ = value(of, name).(yaml.MapSlice)
		if ref, ok := value(of, "$ref").(string); ok {
			of = c.member(c.text, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return of
}

// value returns a member of an object, or nil.
func value(of yaml.MapSlice, name string) any {
	for _, m := range of {
		if m.Key == name {
			return m.Value
		}
	}
	return nil
}

// with returns the object with another value at a dotted path.
func with(of yaml.MapSlice, path string, to any) yaml.MapSlice {
	name, rest, deeper := strings.Cut(path, ".")
	of = slices.Clone(of)
	for i, m := range of {
		if m.Key == name && deeper {
			of[i].Value = with(m.Value.(yaml.MapSlice), rest, to)
		} else if m.Key == name {
			of[i].Value = to
		}
	}
	return of
}

// ordered writes an object as JSON with its members in order.
func ordered(of any) (string, error) {
	text, err := yaml.MarshalWithOptions(of, yaml.JSON())
	if err != nil {
		return "", err
	}
	out := jsontext.Value(text)
	err = out.Indent(jsontext.WithIndent("  "))
	return string(out), err
}

// example returns the answer that is saved with a request: the example of openapi.yaml,
// as the strategy in the path would give it, or the text of collection.yaml.
func (g *generator) example(o *operation, sent sending, r request) (*saved, error) {
	status := http.StatusText(o.status)
	out := &saved{Name: strconv.Itoa(o.status) + " " + status, Request: sent, Status: status, Code: o.status, Body: r.Example,
		Language: "text", Header: []pair{}, Cookie: []pair{}}
	if o.mediaType != "" {
		out.Header = append(out.Header, pair{Key: "Content-Type", Value: o.mediaType + "; charset=utf-8"})
	}
	if _, language, _ := strings.Cut(o.mediaType, "text/"); language == "html" {
		out.Language = language
	}
	version := "1"
	switch body := g.body(o).(type) {
	case yaml.MapSlice:
		for path, to := range map[string]any{"strategy": o.slug, "instance": o.path} {
			body = with(body, path, to)
		}
		for path, to := range r.Saved {
			body = with(body, path, to)
		}
		text, err := ordered(o.own(body))
		if err != nil {
			return nil, err
		}
		out.Language, out.Body = "json", text
		version = fmt.Sprint(value(body, "version"))
	case string:
		out.Body = body
	}
	if out.Body == "" && o.mediaType != "" {
		return nil, fmt.Errorf("there is no example for the answer %d", o.status)
	}
	for _, h := range g.member(o.response, "headers") {
		text := fmt.Sprint(value(g.member(o.response, "headers", fmt.Sprint(h.Key)), "example"))
		if text, ok := o.header(fmt.Sprint(h.Key), text); ok {
			out.Header = append(out.Header, pair{Key: fmt.Sprint(h.Key), Value: strings.Replace(text, ".1.", "."+version+".", 1)})
		}
	}
	return out, nil
}

// body returns the example of an answer: that of the code, that of the kind of the
// credential, or the first one.
func (g *generator) body(o *operation) any {
	examples := g.member(o.response, "content", o.mediaType, "examples")
	for _, name := range []string{o.code, harness.Promises()[o.slug].Transport} {
		if example := g.member(examples, name); example != nil {
			return value(example, "value")
		}
	}
	if len(examples) == 0 {
		return nil
	}
	return value(g.member(examples, fmt.Sprint(examples[0].Key)), "value")
}

// header returns a header as the strategy would send it, if it would.
func (o *operation) header(name, text string) (string, bool) {
	if o.slug == "" {
		return text, true
	}
	p := harness.Promises()[o.slug]
	switch name {
	case "Set-Cookie":
		changed := p.Holder == state.HolderClient || o.id == "startLogin" || o.id == "refreshLogin" || o.id == "logOut"
		if !p.SameSite || !p.HTTPOnly || !changed { // the lessons write their cookies in other ways
			return "", false
		}
	case "WWW-Authenticate":
		return p.Carriage(new(http.Request)).Challenge("statelab", ""), true
	}
	return strings.NewReplacer("statelab_session", p.Cookie, "/session", "/"+o.slug).Replace(text), true
}

// own changes the members of an example that differ between strategies.
func (o *operation) own(body yaml.MapSlice) yaml.MapSlice {
	p, ok := harness.Promises()[o.slug]
	if !ok {
		return body
	}
	switch {
	case p.Transport == state.TransportCookie:
		body = with(body, "credential.name", p.Cookie)
	case p.RefreshToken == state.RefreshTokenNone: // the token is opaque, and lives as long as the login
		token := "hq2mPzVY5kXhR0b9TtW1Ngb8Yq0cT2vRk3mXo5LwZJ1A"
		body = with(body, "credential", yaml.MapSlice{
			{Key: "kind", Value: state.TransportBearer}, {Key: "access_token", Value: token}, {Key: "token_type", Value: "Bearer"},
			{Key: "expires_in", Value: 28800}, {Key: "bytes", Value: len("Bearer " + token)},
		})
	}
	if o.id != "inspectRequest" {
		return body
	}
	text, err := json.Marshal(p.Traits)
	var traits yaml.MapSlice
	if err == nil {
		err = yaml.UnmarshalWithOptions(text, &traits, yaml.UseOrderedMap())
	}
	if err != nil {
		return body
	}
	body = with(body, "traits", traits)
	body = with(body, "carried.protected_by", p.ProtectedBy)
	body = with(body, "carried.readable_without_key", p.Readable)
	carriage := p.Carriage(new(http.Request))
	body = with(with(body, "carried.in", carriage.In()), "carried.name", carriage.Name)
	if p.Holder == state.HolderClient {
		claims := yaml.MapSlice{{Key: "theme", Value: "dark"}, {Key: "credits", Value: 70}}
		if p.KeptIn != "" { // a token
			claims = yaml.MapSlice{{Key: "header", Value: yaml.MapSlice{{Key: "typ", Value: "at+jwt"}}}, {Key: "claims", Value: claims}}
		}
		body = with(body, "carried.decoded", claims)
	}
	if p.KeptIn == "" {
		return with(body, "held", nil)
	}
	kind := map[state.Place]string{state.PlaceStore: "memory", state.PlaceDatabase: "sqlite", state.PlaceProcess: "process"}[p.KeptIn]
	return with(with(body, "held.store", kind), "held.record.strategy", o.slug)
}
