package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// ReadTarget reads a target file and checks it. No error quotes the file, which has
// passwords in it: a slip of the pen can make one the name of a member.
func ReadTarget(path string) (*Target, error) {
	text, err := small(path)
	if err != nil {
		return nil, err
	}
	if line, what := tooMuch(text); what != "" {
		return nil, fmt.Errorf("%s:%d: %s", path, line, what)
	}
	t := &Target{}
	decoder := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict())
	if err := decoder.Decode(t); err != nil {
		return nil, fmt.Errorf("%s%s", path, mistake(err))
	}
	if err := decoder.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more than one document", path)
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Bounds of a target file, whose author may be an attacker.
const (
	maxFile  = 64 << 10 // bytes
	maxDepth = 32
)

// small reads a file of at most maxFile bytes.
func small(path string) ([]byte, error) {
	info, err := os.Stat(path) // before it is opened: a pipe would wait for a writer
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%s: use a file of at most %d bytes", path, maxFile)
	}
	return os.ReadFile(path) // #nosec G304 -- the user names it
}

// tooMuch finds what a target file has no use for and what takes a decoder for ever: names
// for parts that are repeated (YAML 1.2.2, 7.1), and lists in lists in lists.
func tooMuch(text []byte) (line int, what string) {
	depth := 0
	for _, t := range lexer.Tokenize(string(text)) {
		switch t.Type { //nolint:exhaustive // the others add nothing
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			return t.Position.Line, "anchors and aliases are not read"
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		}
		if depth > maxDepth {
			return t.Position.Line, "it is nested too deep"
		}
	}
	return 0, ""
}

// mistake says what is wrong with a file, and in which line.
func mistake(err error) string {
	what := ": not YAML"
	var unknown *yaml.UnknownFieldError
	var node *yaml.UnexpectedNodeTypeError
	var typed *yaml.TypeError
	var size *yaml.OverflowError
	switch {
	case errors.Is(err, io.EOF):
		return ": it is empty"
	case errors.Is(err, errNoText):
		return ": users: " + errNoText.Error()
	case errors.As(err, &unknown):
		what = ": unknown member"
	case errors.As(err, &node):
		what = ": " + node.GetMessage()
	case errors.As(err, &typed), errors.As(err, &size):
		what = ": a value of the wrong type"
	}
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		return fmt.Sprintf(":%d%s", at.GetToken().Position.Line, what)
	}
	return what
}

// UnmarshalYAML reads one status or a list.
func (s *Statuses) UnmarshalYAML(unmarshal func(any) error) error {
	var one int
	if unmarshal(&one) == nil {
		*s = Statuses{one}
		return nil
	}
	return unmarshal((*[]int)(s))
}

// errNoText is a username or password that YAML reads as a number, and would spell in
// another way.
var errNoText = errors.New("a username or password that is no text stands between quotes")

// UnmarshalYAML reads an account.
func (u *User) UnmarshalYAML(unmarshal func(any) error) error {
	var in struct {
		Username any `yaml:"username"`
		Password any `yaml:"password"`
	}
	if err := unmarshal(&in); err != nil {
		return err
	}
	name, ok := in.Username.(string)
	password, also := in.Password.(string)
	if !ok || !also {
		return errNoText
	}
	*u = User{Username: name, Password: password}
	return nil
}

// UnmarshalYAML reads the word cookies, or where the tokens are.
func (c *Credential) UnmarshalYAML(unmarshal func(any) error) error {
	var word string
	if unmarshal(&word) == nil && word == "cookies" {
		return nil
	}
	type plain Credential
	return unmarshal((*plain)(c))
}

// check returns what is wrong with a target, all of it.
func (t *Target) check() error {
	var wrong []error
	require := func(ok bool, text string) {
		if !ok {
			wrong = append(wrong, errors.New(text))
		}
	}
	require(t.Name == printable(t.Name), "name: it has a character that draws nothing")
	base, err := url.Parse(t.Base)
	require(err == nil && (base.Scheme == "http" || base.Scheme == "https") && base.Hostname() != "" && base.User == nil,
		"base: http:// or https:// with a host, and without a password")
	if err == nil {
		require(strings.Trim(base.Path, "/") == "" && base.RawQuery == "" && base.Fragment == "", "base: the path belongs to each request")
		t.Base = base.Scheme + "://" + base.Host
		if t.Name == "" {
			t.Name = base.Host
		}
	}
	require(len(t.Users) == 2, "users: two accounts")
	for _, u := range t.Users {
		require(u.Username != "" && u.Password != "", "users: each has a username and a password")
	}
	if len(t.Users) == 2 {
		require(t.Users[0].Username != t.Users[1].Username, "users: two different ones")
	}

	known := []string{}
	if b := t.Login.Before; b != nil {
		require(strings.HasPrefix(b.Path, "/"), "login.before.path: a path that begins with /")
		if b.CSRF != "" {
			known = append(known, "csrf")
			require(oneGroup(b.CSRF), "login.before.csrf: a regular expression with one group")
		}
	}
	for _, status := range t.Login.OK {
		require(status >= 200 && status < 600, "login.ok: a status, or a list of them")
	}
	wrong = append(wrong, t.Login.Request.check("login", append(known, "username", "password")))
	if c := t.Credential; c.Bearer != "" {
		wrong = append(wrong, checkPlace("credential.bearer", c.Bearer))
	}
	if c := t.Credential; c.Refresh != "" {
		require(c.Bearer != "", "credential: refresh without bearer")
		wrong = append(wrong, checkPlace("credential.refresh", c.Refresh))
		known = append(known, "refresh")
	}
	wrong = append(wrong, t.Profile.Request.check("profile", nil), checkPlace("profile.user", t.Profile.User))
	for name, act := range map[string]*Act{"refresh": t.Refresh, "logout": t.Logout, "logout_everywhere": t.LogoutEverywhere} {
		if act != nil {
			wrong = append(wrong, act.Request.check(name, append(known, "username", "password")))
		}
	}
	if t.Change != nil {
		wrong = append(wrong, t.Change.check(append(known, "username", "password", "field", "value")))
	}
	return errors.Join(wrong...)
}

func (c *Change) check(known []string) error {
	wrong := []error{c.Request.check("change", known)}
	if len(c.Fields) == 0 {
		wrong = append(wrong, errors.New("change.fields: at least one field with its two values"))
	}
	for _, field := range sortedKeys(c.Fields) {
		if vs := c.Fields[field]; len(vs) != 2 || vs[0] == vs[1] || vs[0] == "" || vs[1] == "" {
			wrong = append(wrong, errors.New("change.fields: two different values for each"))
		}
		wrong = append(wrong, checkPlace("change.read", values{"field": field}.text(c.Read)))
	}
	if !c.Request.names("value") {
		wrong = append(wrong, errors.New("change.request: it sends no {{value}}"))
	}
	return errors.Join(wrong...)
}

// check returns what is wrong with a request that may name some values.
func (r Request) check(name string, known []string) error {
	var wrong []error
	if !strings.HasPrefix(r.Path, "/") || strings.HasPrefix(r.Path, "//") || strings.ContainsAny(r.Path, "# \\") {
		wrong = append(wrong, fmt.Errorf("%s.request.path: a path that begins with /", name))
	}
	if _, err := http.NewRequestWithContext(context.Background(), r.Method, "/", nil); err != nil {
		wrong = append(wrong, fmt.Errorf("%s.request.method: no method", name))
	}
	if r.JSON != nil && r.Form != nil {
		wrong = append(wrong, fmt.Errorf("%s.request: json or form, and not both", name))
	}
	for _, asked := range slices.Concat(placeholders(r.Path), placeholders(r.JSON), placeholders(r.Form)) {
		if !slices.Contains(known, asked) {
			wrong = append(wrong, fmt.Errorf("%s.request: a {{name}} that is not known here; known are %s", name, strings.Join(known, ", ")))
		}
	}
	return errors.Join(wrong...)
}

// checkPlace checks where an answer is to have a value.
func checkPlace(name, place string) error {
	if len(place) > 2 && place[0] == '/' && place[len(place)-1] == '/' {
		if !oneGroup(place[1 : len(place)-1]) {
			return fmt.Errorf("%s: a regular expression with one group", name)
		}
		return nil
	}
	if !pointer.MatchString(place) {
		return fmt.Errorf("%s: a JSON Pointer, such as /user/name, or a regular expression between slashes", name)
	}
	return nil
}

// pointer is the form of a JSON Pointer to a part (RFC 6901, 3).
var pointer = regexp.MustCompile(`^(/([^~/]|~0|~1)*)+$`)

func oneGroup(text string) bool {
	pattern, err := regexp.Compile(text)
	return err == nil && pattern.NumSubexp() == 1
}
