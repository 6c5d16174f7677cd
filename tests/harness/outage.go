package harness

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Descriptors is how many files and connections a process has open.
func Descriptors(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	require.NoError(t, err)
	return len(all)
}

// Promises about a dependency that fails, kept against real servers: no answer
// takes longer than Prompt, and all is well again within Recovery.
const (
	Prompt   = 2 * time.Second
	Recovery = 5 * time.Second
)
