package keys

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
)

// published are the SHA-256 of secrets that everybody knows, since they stand in
// specifications and tests.
var published = []string{
	"66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925", // 32 zeros
	"630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd", // 0 to 31
	"644d50ab64864c20a12b3c4656d46b4a48f69ef7c47ecdc8415cd28316b22ef5", // RFC 8032, 7.1, test 1; RFC 8037, A.1
}

// LoadService reads the key file at path for a server that is no classroom. It
// refuses keys that somebody else may know: the classroom's, published ones, and
// those in a file that others can read. Each error is one line that says what is
// wrong and what to do.
func LoadService(path string) (*Ring, error) {
	f, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err // which says what to do
	case err != nil:
		return nil, fmt.Errorf("%w: restore it, or make another with statelab keys init", err)
	}
	if err := f.private(); err != nil {
		return nil, err
	}
	switch f.made {
	case MadeForService, MadeForVerifying:
	case MadeForClassroom:
		return nil, fmt.Errorf("keys: %s was made for the classroom: make another with statelab keys init", path)
	default:
		return nil, fmt.Errorf("keys: %s does not say what it was made for: make another with statelab keys init", path)
	}
	for _, k := range f.keys {
		if k.isPublished() {
			return nil, fmt.Errorf("keys: %s: the secret of %s is a published one: replace it with statelab keys rotate --drop-previous", path, k)
		}
	}
	return NewRing(f.keys...), nil
}

// private refuses a file that others can read, or if it holds nothing secret,
// write: whoever chooses the keys that verify, chooses who is logged in. The mode
// counts, not who is asking, so it is the same for root. Windows has no such
// mode.
func (f *file) private() error {
	forbidden, what := fs.FileMode(0o077), "be read"
	if f.made == MadeForVerifying {
		forbidden, what = 0o022, "be changed"
	}
	if mode := f.info.Mode().Perm(); mode&forbidden != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("keys: %s has mode %04o and can %s by others: run chmod %04o %[1]s", f.path, mode, what, mode&^forbidden)
	}
	return nil
}

// isPublished says whether everybody knows the secret.
func (k *Key) isPublished() bool {
	sum := sha256.Sum256(k.secret)
	return k.Signs() && slices.Contains(published, hex.EncodeToString(sum[:]))
}
