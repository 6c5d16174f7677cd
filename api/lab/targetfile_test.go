package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// shopFile is a target file with all members but those of tokens.
const shopFile = `name: shop
base: http://localhost:3000
users:
  - { username: alice, password: jabberwocky }
  - { username: bob, password: tulgey-wood }
login:
  before: { path: /login, csrf: 'value="([^"]+)"' }
  request: { method: POST, path: /login, form: { username: "{{username}}", password: "{{password}}", csrf: "{{csrf}}" } }
  ok: [200, 302]
credential: cookies
profile: { request: { path: /me }, user: /username }
change:
  request: { method: POST, path: /settings, json: { "{{field}}": "{{value}}" } }
  fields: { theme: [light, dark], language: [en, ko] }
  read: "/{{field}}"
logout: { request: { method: POST, path: /logout } }
`

// readText reads a target file with a text.
func readText(t *testing.T, text string) (*Target, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shop.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return ReadTarget(path)
}

func TestATargetFileIsRead(t *testing.T) {
	t.Parallel()
	target, err := readText(t, shopFile)
	require.NoError(t, err)
	require.Equal(t, Statuses{200, 302}, target.Login.OK)
	require.Equal(t, User{Username: "bob", Password: "tulgey-wood"}, target.Users[1])
	require.False(t, target.Anywhere)
	require.Nil(t, target.Refresh)

	target, err = readText(t, strings.NewReplacer("name: shop\n", "", ":3000", ":3000/", "[200, 302]", "302",
		"cookies", "{ bearer: /access, refresh: /refresh }").Replace(shopFile))
	require.NoError(t, err)
	require.Equal(t, "localhost:3000", target.Name)
	require.Equal(t, "http://localhost:3000", target.Base)
	require.Equal(t, Statuses{302}, target.Login.OK)
	require.Equal(t, Credential{"/access", "/refresh"}, target.Credential)
}

// Each mistake in a target file is an error that says where it is, and no error contains
// what stands in the file.
func TestMistakesInATargetFile(t *testing.T) {
	t.Parallel()
	for i, c := range []struct{ old, new, want string }{
		{"name: shop", "nam: shop", "shop.yaml:1: unknown member"},
		{"password: jabberwocky", "jabberwocky", "shop.yaml:4: unknown member"},
		{"password: jabberwocky", "password: 'jabberwocky", "not YAML"},
		{"password: jabberwocky", "password: 007", "between quotes"},
		{"password: jabberwocky", "password: [jabberwocky]", "between quotes"},
		{"name: shop", "name: shop\nname: jabberwocky", "shop.yaml:2: not YAML"},
		{"name: shop", "name: [shop]", "shop.yaml:1: a value of the wrong type"},
		{"[200, 302]", "jabberwocky", "shop.yaml:9: "},
		{"[200, 302]", "99", "login.ok"},
		{"cookies", "cookie", "shop.yaml:10: "},
		{"cookies", "{ refresh: /refresh }", "refresh without bearer"},
		{"[light, dark]", "jabberwocky", "shop.yaml:14: "},
		{"[light, dark]", "[light]", "change.fields"},
		{"[light, dark]", "[light, light]", "change.fields"},
		{"{{value}}", "light", "change.request: it sends no {{value}}"},
		{`read: "/{{field}}"`, "read: theme", "change.read"},
		{"http://localhost:3000", "ftp://localhost", "base"},
		{"http://localhost:3000", "http://", "base"},
		{"http://localhost:3000", "http://alice:jabberwocky@localhost", "base"},
		{"http://localhost:3000", "http://localhost/shop", "base: the path"},
		{"http://localhost:3000", `"http://local\nhost"`, "base"},
		{"  - { username: bob, password: tulgey-wood }\n", "", "users: two"},
		{"username: bob", "username: alice", "users: two different"},
		{"password: tulgey-wood", `password: ""`, "users: each"},
		{"/me }, user: /username", "/me }, user: username", "profile.user"},
		{"/me }, user: /username", "/me }, user: '/hello (/'", "profile.user: a regular expression"},
		{"/me }, user: /username", "/me }, user: '/hello/'", "profile.user: a regular expression"},
		{"path: /me", "path: me", "profile.request.path"},
		{"path: /me", "path: //other.example/me", "profile.request.path"},
		{"path: /me", `path: /me, method: "G T"`, "profile.request.method"},
		{`'value="([^"]+)"'`, "'value=([)'", "login.before.csrf"},
		{`'value="([^"]+)"'`, "value", "login.before.csrf"},
		{`, csrf: 'value="([^"]+)"'`, "", "login.request: a {{name}} that is not known"},
		{"path: /logout", "path: /logout, json: { token: '{{refresh}}' }", "logout.request: a {{name}} that is not known"},
		{"path: /logout", "path: /logout, json: {}, form: {}", "json or form"},
		{"name: shop", "---\nname: shop\n---\nname: other", "shop.yaml"},
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(shopFile, c.old, c.new, 1)
			require.NotEqual(t, shopFile, text)
			_, err := readText(t, text)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "jabber")
			require.NotContains(t, err.Error(), "tulgey")
		})
	}
	_, err := readText(t, "")
	require.ErrorContains(t, err, "empty")
	_, err = readText(t, shopFile+"---\n"+shopFile)
	require.ErrorContains(t, err, "more than one document")
	_, err = ReadTarget(filepath.Join(t.TempDir(), "none.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A target file that an attacker wrote is refused before it costs memory or time.
func TestHostileTargetFiles(t *testing.T) {
	t.Parallel()
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x]\n")
	for i := range 40 {
		fmt.Fprintf(&laughs, "a%d: &a%[1]d [*a%d, *a%[2]d]\n", i+1, i)
	}
	for name, c := range map[string]struct{ text, want string }{
		"a billion laughs": {laughs.String(), "shop.yaml:1: anchors and aliases are not read"},
		"a merge":          {"name: shop\n<<: { base: x }\n", "shop.yaml:2: anchors"},
		"deep":             {"name: shop\nusers: " + strings.Repeat("[", 30_000), "shop.yaml:2: it is nested too deep"},
		"long":             {shopFile + strings.Repeat("# and so on\n", 6000), "at most 65536 bytes"},
		"a name to hide":   {strings.Replace(shopFile, "name: shop", `name: "sh\eop"`, 1), "name: "},
	} {
		_, err := readText(t, c.text)
		require.ErrorContains(t, err, c.want, name)
	}
	pipe := filepath.Join(t.TempDir(), "pipe.yaml")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	for _, path := range []string{pipe, t.TempDir(), "/dev/zero"} {
		_, err := ReadTarget(path)
		require.ErrorContains(t, err, "use a file", path)
	}
}
