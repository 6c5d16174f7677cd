package harness

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Audited does something and returns what that has left in the audit trail. The
// events are those that are named, in this order.
func (s *Server) Audited(t *testing.T, f func(), events ...string) []Object {
	t.Helper()
	before := len(s.Canary.Trail(t))
	f()
	lines := s.Canary.Trail(t)[before:]
	var have []string
	for _, line := range lines {
		have = append(have, fmt.Sprint(line["event"]))
	}
	require.Equal(t, events, have)
	return lines
}

const fingerprint = `^[0-9a-f]{16}$`

// SignsIn returns a client that has logged in, and the fingerprints of its login
// and of its username.
func (s *Server) SignsIn(t *testing.T, slug, username, password string) (c *Client, login, name any) {
	t.Helper()
	lines := s.Audited(t, func() { c = s.Login(t, slug, username, password) }, "sign_in")
	require.Equal(t, c.Get("profile").Text("user.id"), lines[0]["subject"])
	require.Regexp(t, fingerprint, lines[0]["login"])
	require.Regexp(t, fingerprint, lines[0]["username"])
	return c, lines[0]["login"], lines[0]["username"]
}

// Metric returns the value of a line of the exposition, 0 if there is none.
func (s *Server) Metric(t *testing.T, name string) int {
	t.Helper()
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(s.Exposition())
	if line == nil {
		return 0
	}
	n, err := strconv.Atoi(line[1])
	require.NoError(t, err)
	return n
}

// Series is how many lines of ours the exposition has.
func (s *Server) Series() int { return strings.Count(s.Exposition(), "\nstatelab_") }
