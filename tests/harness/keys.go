package harness

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state/keys"
	"statelab/tests/seeded"
)

// Challenge is the answer's to a credential that is wrong, if its strategy's is
// this for a bearer token.
func (c *Client) Challenge(bearer string) string {
	if c.Bearer() {
		return bearer
	}
	return `Cookie realm="statelab", cookie-name="` + CookieName(c.Slug) + `"`
}

// Rotate changes the keys of a server as the command does with its file.
func (s *Server) Rotate(t *testing.T, dropPrevious bool) {
	t.Helper()
	next, err := keys.Generate(seeded.Reader(t), s.Clock.Now())
	require.NoError(t, err)
	all := next.All()
	if !dropPrevious {
		all = append(all, s.Config.Keys.All()...)
	}
	s.Config.Keys.Replace(all...)
}

// KeyIDs are the ids that the server publishes, in order.
func (s *Server) KeyIDs(t testing.TB) []string {
	t.Helper()
	var ids []string
	set, _ := s.Client(t, "").Do("GET", "/.well-known/jwks.json", nil).Is(http.StatusOK).At("keys").([]any)
	for _, k := range set {
		id, _ := k.(map[string]any)["kid"].(string)
		ids = append(ids, id)
	}
	return ids
}

// PublicOnly is a second node of a server's service, which was given its public
// keys alone.
func (s *Server) PublicOnly(t *testing.T) *Server {
	t.Helper()
	var text bytes.Buffer
	require.NoError(t, s.Config.Keys.WritePublic(&text))
	path := filepath.Join(t.TempDir(), "public.keys.json")
	require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
	config := s.Config
	var err error
	config.Keys, err = keys.LoadService(path)
	require.NoError(t, err)
	return StartServer(t, config, s.Clock)
}

// keysCommand runs a command of the program on the key file of a process.
func (p *Process) keysCommand(args ...string) {
	p.T.Helper()
	out, err := Command(p.T, p.Cmd.Dir, nil, append([]string{"keys"}, args...)...).CombinedOutput()
	require.NoError(p.T, err, "%s", out)
}

// Rotates has the running program learn of a rotation by SIGHUP, and waits until
// it has.
func (p *Process) Rotates(args ...string) {
	p.T.Helper()
	s := &Server{URL: p.Base}
	before := s.KeyIDs(p.T)[0]
	p.keysCommand(append([]string{"rotate", "--keys", "statelab-classroom.keys.json"}, args...)...)
	require.NoError(p.T, p.Cmd.Process.Signal(syscall.SIGHUP))
	require.Eventually(p.T, func() bool { return s.KeyIDs(p.T)[0] != before }, 5*time.Second, 20*time.Millisecond)
}
