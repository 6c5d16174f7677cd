package harness

import (
	"fmt"
	"os"
	"slices"
	"strings"
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
// takes longer than prompt, and all is well again within recovery.
const (
	Prompt   = 2 * time.Second
	Recovery = 5 * time.Second
)

func (s *Server) LoginAll(t *testing.T) map[string]*Client {
	t.Helper()
	clients := map[string]*Client{}
	for _, slug := range Shared {
		clients[slug] = s.Login(t, slug, Alice, AlicePassword)
	}
	return clients
}

// Need skips a test for which something is not found on this machine. Where
// STATELAB_TEST_REQUIRE names it, the test fails instead.
func Need(t testing.TB, name string, found bool, what string) {
	t.Helper()
	switch {
	case found:
	case slices.Contains(strings.Split(os.Getenv("STATELAB_TEST_REQUIRE"), ","), name):
		t.Fatalf("STATELAB_TEST_REQUIRE names %q, but there is %s", name, what)
	default:
		t.Skipf("skipped: there is %s", what)
	}
}

// NeedSystem is need for what every Linux has, or should: where anything must not
// be skipped, that must not.
func NeedSystem(t testing.TB, found bool, what string) {
	t.Helper()
	if !found && os.Getenv("STATELAB_TEST_REQUIRE") != "" {
		t.Fatalf("STATELAB_TEST_REQUIRE is set, but there is %s", what)
	}
	Need(t, "", found, what)
}
