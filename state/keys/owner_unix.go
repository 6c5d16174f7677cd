//go:build unix

package keys

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a file the owner that another one has: an administrator may
// rotate keys that only the server's own user can read.
func keepOwner(f *os.File, of fs.FileInfo) error {
	if stat, ok := of.Sys().(*syscall.Stat_t); ok {
		return f.Chown(int(stat.Uid), -1)
	}
	return nil
}
