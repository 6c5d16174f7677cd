// Command postman writes the Postman collection from its template, collection.yaml. The
// strategies come from their traits and from the table in openapi.yaml, and the saved
// examples from the examples of openapi.yaml.
package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml"

	"statelab/state"
	"statelab/tests/harness"
)

//go:generate go run .

// collectionFile is what the command writes.
const collectionFile = "statelab.postman_collection.json"

func main() {
	dir := harness.Root("tests/postman")
	text, err := generate(os.DirFS(dir))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, collectionFile), text, 0o644) // #nosec G306 -- it is read by all
	}
	if err != nil {
		log.Fatal(err)
	}
}

// A strategy is what the templates know of one.
type strategy struct {
	Slug   string
	Cookie string // the name of its cookie without TLS
	Keeps  string // who keeps the state, in the words of openapi.yaml
	state.Traits
}

// Presents says whether the client sends a refresh token in bodies.
func (s *strategy) Presents() bool { return s.RefreshToken == state.RefreshTokenBody }

// Bearer says whether the credential travels in a header.
func (s *strategy) Bearer() bool { return s.Transport == state.TransportBearer }

// MovesState says whether the state is in the credential, so that a change gives a new one.
func (s *strategy) MovesState() bool { return s.Holder == state.HolderClient }

// strategies returns all strategies in the order of comparison.
func strategies(tags string) []*strategy {
	var all []*strategy
	for _, slug := range harness.Strategies {
		p := harness.Promises()[slug]
		s := &strategy{Slug: slug, Cookie: p.Cookie, Traits: p.Traits}
		if row := regexp.MustCompile("(?m)^\\| `" + slug + "` \\| ([^|]+) \\|").FindStringSubmatch(tags); row != nil {
			s.Keeps = row[1]
		}
		all = append(all, s)
	}
	return all
}

// A folder is one of collection.yaml.
type folder struct {
	Name, About, Strategy string
	Requests              []request
}

// A request is one of collection.yaml.
type request struct {
	Name, About, Send, Auth, Before, Text string
	Headers                               yaml.MapSlice
	Body                                  yaml.MapSlice
	Answer                                string
	OwnChecks                             bool `yaml:"own_checks"`
	Saved                                 map[string]any
	Example                               string // of an answer that has none in openapi.yaml
	Checks                                []map[string]any
}

// generate returns the text of the collection.
func generate(files fs.FS) ([]byte, error) {
	contract, err := newContract()
	if err != nil {
		return nil, err
	}
	all := strategies(contract.doc.Tags.Get("strategies").Description)
	page, err := template.New("collection.yaml").Delims("<<", ">>").ParseFS(files, "collection.yaml")
	if err != nil {
		return nil, err
	}
	checks, err := template.ParseFS(files, "checks.tmpl")
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := page.Execute(&text, all); err != nil {
		return nil, err
	}
	var folders []folder
	if err := yaml.UnmarshalWithOptions(text.Bytes(), &folders, yaml.Strict(), yaml.UseOrderedMap()); err != nil {
		return nil, err
	}
	g := generator{contract, checks}
	out, err := g.collection(folders, all)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out, jsontext.WithIndent("  "), json.Deterministic(true))
}

// A generator makes parts of the collection.
type generator struct {
	*contract
	checks *template.Template
}

func (g *generator) collection(folders []folder, all []*strategy) (*collection, error) {
	common, err := g.check("every answer", nil, nil)
	if err != nil {
		return nil, err
	}
	out := &collection{Info: info{
		ID: "8b860723-42e8-5844-8f67-f2457e15e625", Name: "statelab",
		Schema: "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
		Description: "One login API, served by strategies that differ in who keeps the state of a login. Run a folder from top to bottom, " +
			"or the whole collection with newman:\n\n" +
			"    newman run tests/postman/statelab.postman_collection.json -e tests/postman/statelab.postman_environment.json\n\n" +
			"The cookie jar keeps cookies, and collection variables keep tokens: nothing has to be copied.",
	}, Event: []event{script("test", common)}}
	for _, name := range []string{"baseUrl=http://localhost:8080", "username=alice", "password=wonderland", "access_token=", "refresh_token=",
		"etag=", "role=", "settings=", "record=", "session_copy=", "cookie_copy="} {
		key, value, _ := strings.Cut(name, "=")
		out.Variable = append(out.Variable, pair{Key: key, Value: value})
	}
	for _, f := range folders {
		made := itemGroup{Name: f.Name, Description: f.About}
		var of *strategy
		for _, s := range all {
			if s.Slug == f.Strategy {
				of = s
				made.Description = "Who keeps the state: " + s.Keeps + ". The requests are those of the other strategies, in the same order."
			}
		}
		if of != nil && of.Bearer() {
			made.Auth = &auth{Type: "bearer", Bearer: []pair{{Key: "token", Value: "{{access_token}}", Type: "string"}}}
		}
		for _, r := range f.Requests {
			one, err := g.item(r, of)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", f.Name, r.Name, err)
			}
			made.Item = append(made.Item, *one)
		}
		out.Item = append(out.Item, made)
	}
	return out, nil
}

// item returns a request of the collection with its checks and its saved example.
func (g *generator) item(r request, of *strategy) (*item, error) {
	method, path, _ := strings.Cut(r.Send, " ")
	sent, err := r.sending(method, path)
	if err != nil {
		return nil, err
	}
	number, code, _ := strings.Cut(r.Answer, " ")
	status, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	operation, err := g.find(method, path, r.Headers, status, code)
	if err != nil {
		return nil, err
	}
	example, err := g.example(operation, *sent, r)
	if err != nil {
		return nil, err
	}
	lines, err := g.lines(r, operation, of)
	if err != nil {
		return nil, err
	}
	one := &item{Name: r.Name, Request: *sent, Response: []saved{*example}}
	if r.Before != "" {
		one.Event = append(one.Event, script("prerequest", strings.TrimSpace(r.Before)))
	}
	one.Event = append(one.Event, script("test", lines))
	return one, nil
}

// sending returns what is sent, in the form of the collection.
func (r *request) sending(method, path string) (*sending, error) {
	sent := &sending{Method: method, Header: []pair{}, Description: r.About, URL: address{
		Raw: "{{baseUrl}}" + path, Host: []string{"{{baseUrl}}"}, Path: strings.Split(strings.TrimPrefix(path, "/"), "/"),
	}}
	for _, h := range r.Headers {
		sent.Header = append(sent.Header, pair{Key: fmt.Sprint(h.Key), Value: fmt.Sprint(h.Value)})
	}
	body := r.Text
	if r.Body != nil {
		text, err := ordered(r.Body)
		if err != nil {
			return nil, err
		}
		body = text
	}
	if body != "" {
		sent.Header = append(sent.Header, pair{Key: "Content-Type", Value: "application/json"})
		sent.Body = &payload{Mode: "raw", Raw: body}
		sent.Body.Options.Raw.Language = "json"
	}
	if r.Auth != "" {
		sent.Auth = &auth{Type: r.Auth}
	}
	return sent, nil
}

// lines are the checks of a request in JavaScript.
func (g *generator) lines(r request, o *operation, of *strategy) (string, error) {
	var parts []string
	add := func(name string, args map[string]any) error {
		text, err := g.check(name, args, of)
		parts = append(parts, text)
		return err
	}
	base := map[string]any{"status": o.status, "code": o.code, "type": o.mediaType}
	names := []string{"status", "type"}
	if o.mediaType == "" {
		names = []string{"status", "empty"}
	}
	if o.code != "" {
		names = append(names, "problem")
	}
	if r.OwnChecks {
		names = nil
	}
	if o.code != "" || o.slug != "" {
		names = append(names, "no-store")
	}
	for _, name := range names {
		if err := add(name, base); err != nil {
			return "", err
		}
	}
	for _, check := range r.Checks {
		for name, value := range check {
			if name == "js" {
				parts = append(parts, strings.TrimSpace(fmt.Sprint(value)))
				continue
			}
			args := map[string]any{}
			for _, arg := range value.(yaml.MapSlice) {
				args[fmt.Sprint(arg.Key)] = arg.Value
			}
			if err := add(name, args); err != nil {
				return "", err
			}
		}
	}
	return strings.Join(parts, "\n"), nil
}

// check returns a check of checks.tmpl.
func (g *generator) check(name string, args map[string]any, of *strategy) (string, error) {
	var text bytes.Buffer
	err := g.checks.ExecuteTemplate(&text, name, map[string]any{"Args": args, "Strategy": of})
	return regexp.MustCompile(`\n\s*\n`).ReplaceAllString(strings.TrimSpace(text.String()), "\n"), err
}
