package lab

import (
	"cmp"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// A Target says how to speak to a server: where it is, whose passwords may be tried, and
// which requests log in, read, change and end a login. What is nil it cannot do, and the
// experiments that need it do not apply. A Target for a strategy of ours is made by Ours,
// and one for another server is read from a file by ReadTarget.
//
// The texts of a request may name values: {{username}}, {{password}}, {{csrf}}, {{field}},
// {{value}}, {{refresh}}.
type Target struct {
	Name             string     `yaml:"name"`
	Base             string     `yaml:"base"`
	Users            []User     `yaml:"users"`
	Login            Login      `yaml:"login"`
	Credential       Credential `yaml:"credential"`
	Profile          Profile    `yaml:"profile"`
	Change           *Change    `yaml:"change"`
	Refresh          *Act       `yaml:"refresh"`
	Logout           *Act       `yaml:"logout"`
	LogoutEverywhere *Act       `yaml:"logout_everywhere"`

	// Anywhere allows addresses that are neither of this machine nor private.
	Anywhere bool `yaml:"-"`

	patience time.Duration // of one request; 0: patienceAbroad

	// What only our own contract has.
	Spend    *Act    `yaml:"-"` // takes 30 of 100 credits
	Note     *Change `yaml:"-"` // a text of any content, in the state
	Cart     *Act    `yaml:"-"` // replaces the cart by {{cart}}
	Members  *Act    `yaml:"-"` // what an admin alone may read
	Inspect  *Act    `yaml:"-"` // what the server holds for the login
	Strategy string  `yaml:"-"` // its slug
}

// User is an account whose password may be tried.
type User struct {
	Username string `yaml:"username"`
	Password string `yaml:"password"`
	Shown    string `yaml:"-"` // what the profile calls the user, if it is not the username
}

// shown is what the profile calls the user.
func (u User) shown() string { return cmp.Or(u.Shown, u.Username) }

// Request is a request with values to fill in. At most one of JSON and Form is given.
type Request struct {
	Method string            `yaml:"method"` // GET by default
	Path   string            `yaml:"path"`
	JSON   any               `yaml:"json"`
	Form   map[string]string `yaml:"form"`
}

// Act is something that a Target does with one request.
type Act struct {
	Request Request `yaml:"request"`
}

// Login begins a login.
type Login struct {
	Before  *Before  `yaml:"before"`
	Request Request  `yaml:"request"`
	OK      Statuses `yaml:"ok"` // 200 by default
}

// Before is a page that is fetched before each login with the same cookies.
type Before struct {
	Path string `yaml:"path"`
	CSRF string `yaml:"csrf"` // a regular expression whose first group is {{csrf}}; optional
}

// token returns what the page has for {{csrf}}, as a browser reads it from HTML.
func (b *Before) token(page Answer) string { return html.UnescapeString(page.text("/" + b.CSRF + "/")) }

// Credential says what the client holds: cookies, unless Bearer is given.
type Credential struct {
	Bearer  string `yaml:"bearer"`  // where the login's answer has the access token
	Refresh string `yaml:"refresh"` // and where the refresh token, if there is one
}

// Profile tells who is logged in.
type Profile struct {
	Request Request `yaml:"request"`
	User    string  `yaml:"user"` // where the answer has the username
}

// Change sets one of the fields to one of its values.
type Change struct {
	Request Request             `yaml:"request"`
	Fields  map[string][]string `yaml:"fields"`
	Read    string              `yaml:"read"` // where the profile's answer has {{field}}
}

// Ours returns the Target for one of our strategies on a server of ours with the demo
// accounts: alice, bob and teacher, who is an admin.
func Ours(strategy, base string, bearer bool) *Target {
	path := func(name string) string { return "/" + strategy + "/" + name }
	post := func(name string, body any) *Act { return &Act{Request{Method: "POST", Path: path(name), JSON: body}} }
	patch := func(body any) Request { return Request{Method: "PATCH", Path: path("profile"), JSON: body} }
	t := &Target{
		Name: strategy, Strategy: strategy, Base: base,
		Users: []User{
			{Username: "alice", Password: "wonderland"}, {Username: "bob", Password: "cheshire-cat"},
			{Username: "teacher", Password: "queen-of-hearts"},
		},
		Login:   Login{Request: post("login", map[string]any{"username": "{{username}}", "password": "{{password}}"}).Request},
		Profile: Profile{Request{Path: path("profile")}, "/user/username"},
		Change: &Change{
			patch(map[string]any{"{{field}}": "{{value}}"}),
			map[string][]string{"theme": {"dark", "light"}, "language": {"ko", "en"}}, "/state/{{field}}",
		},
		Refresh:          post("refresh", nil),
		Logout:           post("logout", nil),
		LogoutEverywhere: post("logout", map[string]any{"everywhere": true}),
		Spend:            post("spend", map[string]any{"amount": 30}),
		Note:             &Change{Request: patch(map[string]any{"note": "{{value}}"}), Read: "/state/note"},
		Cart:             &Act{patch(map[string]any{"cart": "{{cart}}"})},
		Members:          &Act{Request{Path: path("members")}},
		Inspect:          &Act{Request{Path: path("inspect")}},
	}
	if bearer {
		t.Credential = Credential{"/credential/access_token", "/credential/refresh_token"}
	}
	return t
}

// refreshesByBody makes a Target of ours send its refresh token in the body.
func (t *Target) refreshesByBody() {
	t.Refresh.Request.JSON = map[string]any{"refresh_token": "{{refresh}}"}
}

// bearer says whether the client sends the credential in Authorization.
func (t *Target) bearer() bool { return t.Credential.Bearer != "" }

// Statuses are one status or several.
type Statuses []int

// text returns what an answer has at a place: a regular expression between slashes, whose first
// group it is, or a JSON Pointer (RFC 6901).
func (a Answer) text(place string) string {
	if pattern, ok := regularExpression(place); ok {
		if found := pattern.FindSubmatch(a.Body); len(found) > 1 {
			return string(found[1])
		}
		return ""
	}
	switch v := lookUp(a.json(), place).(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// regularExpression returns the one that a place is, or not ok: the place is a JSON Pointer.
func regularExpression(place string) (*regexp.Regexp, bool) {
	if len(place) < 3 || place[0] != '/' || place[len(place)-1] != '/' {
		return nil, false
	}
	pattern, err := regexp.Compile(place[1 : len(place)-1])
	return pattern, err == nil
}

// lookUp follows a JSON Pointer.
func lookUp(v any, pointer string) any {
	for token := range jsontext.Pointer(pointer).Tokens() {
		switch in := v.(type) {
		case map[string]any:
			v = in[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

// values fill in a request.
type values map[string]any

// fill replaces each {{name}} in the texts of v.
func (vs values) fill(v any) any {
	switch v := v.(type) {
	case string:
		if name, whole := strings.CutPrefix(v, "{{"); whole && strings.HasSuffix(name, "}}") {
			if value, ok := vs[strings.TrimSuffix(name, "}}")]; ok {
				return value // of its own type
			}
		}
		return vs.text(v)
	case map[string]any:
		filled := map[string]any{}
		for k, in := range v {
			filled[vs.text(k)] = vs.fill(in)
		}
		return filled
	case []any:
		filled := make([]any, len(v))
		for i, in := range v {
			filled[i] = vs.fill(in)
		}
		return filled
	}
	return v
}

// text replaces each {{name}} once: a value that has another name in it stays as it is.
func (vs values) text(s string) string {
	return placeholder.ReplaceAllStringFunc(s, func(name string) string {
		if value, ok := vs[strings.Trim(name, "{}")]; ok {
			return fmt.Sprint(value)
		}
		return name
	})
}

var placeholder = regexp.MustCompile(`\{\{[^{}]*\}\}`)

// placeholders returns the names that the texts of v ask for.
func placeholders(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		for _, name := range placeholder.FindAllString(v, -1) {
			all = append(all, strings.Trim(name, "{}"))
		}
	case map[string]any:
		for key, in := range v {
			all = slices.Concat(all, placeholders(key), placeholders(in))
		}
	case map[string]string:
		for key, in := range v {
			all = slices.Concat(all, placeholders(key), placeholders(in))
		}
	case []any:
		for _, in := range v {
			all = append(all, placeholders(in)...)
		}
	}
	return all
}

// names says whether the request asks for a value.
func (r Request) names(name string) bool {
	return slices.Contains(slices.Concat(placeholders(r.Path), placeholders(r.JSON), placeholders(r.Form)), name)
}

// path is the request's path without its query.
func (r Request) path() string {
	path, _, _ := strings.Cut(r.Path, "?")
	return path
}

// body returns the body of a request with its media type.
func (r Request) body(vs values) (contentType, body string, err error) {
	switch {
	case r.JSON != nil:
		b, err := marshal(vs.fill(r.JSON))
		return "application/json", string(b), err
	case r.Form != nil:
		form := url.Values{}
		for k, v := range r.Form {
			form.Set(vs.text(k), vs.text(v))
		}
		return "application/x-www-form-urlencoded", form.Encode(), nil
	}
	return "", "", nil
}
