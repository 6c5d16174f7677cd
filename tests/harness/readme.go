package harness

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// Readme returns README.md.
func Readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(Root("README.md"))
	require.NoError(t, err)
	return string(text)
}

// Edit changes the credential that the client holds, in its middle.
func (c *Client) Edit() {
	held := []byte(c.Held())
	i := len(held) / 2
	if held[i]++; held[i] == '{' || held[i] == '[' || held[i] == ':' || held[i] == '`' || held[i] == '/' || held[i] == '.' {
		held[i] = 'A'
	}
	c.Hold(string(held))
}
