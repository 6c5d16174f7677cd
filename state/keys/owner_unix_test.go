//go:build unix

package keys_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/state/keys"
	"statelab/tests/seeded"
)

func TestARotatedFileKeepsItsOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give a file to somebody else")
	}
	path, _ := initialised(t)
	require.NoError(t, os.Chown(path, 4711, -1))
	_, err := keys.Rotate(path, seeded.Reader(t), day, false)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, uint32(4711), info.Sys().(*syscall.Stat_t).Uid)
	onlyFile(t, path)
}
