package keys_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/state/keys"
	"statelab/tests/seeded"
)

func TestAMissingFileIsMadeAndKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	made, err := keys.LoadOrCreate(path, seeded.Reader(t), day)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	read, err := keys.LoadOrCreate(path, seeded.Reader(t), day)
	require.NoError(t, err)
	for _, p := range keys.Purposes() {
		a, err := made.Active(p)
		require.NoError(t, err)
		b, err := read.Active(p)
		require.NoError(t, err)
		require.Equal(t, a.Secret(), b.Secret())
		require.Equal(t, a.ID, b.ID)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left beside it")
}

func TestManyProcessesMakeOneFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	ids, random := make([]string, 16), seeded.Reader(t)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			ring, err := keys.LoadOrCreate(path, random, day)
			if err == nil {
				k, _ := ring.Active(keys.TokenEdDSA)
				ids[i] = k.ID
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
		require.NotEmpty(t, id)
	}
}

func TestDamagedFilesAreRefusedWithoutTheirSecrets(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := keys.LoadOrCreate(path, seeded.Reader(t), day)
	require.NoError(t, err)
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	var doc struct{ Keys []struct{ Secret string } }
	require.NoError(t, json.Unmarshal(good, &doc))
	for name, change := range map[string]func(string) string{
		"empty":           func(string) string { return "" },
		"truncated":       func(s string) string { return s[:len(s)/2] },
		"another version": func(s string) string { return strings.Replace(s, `"version": 1`, `"version": 2`, 1) },
		"unknown member":  func(s string) string { return strings.Replace(s, `{`, `{"x":1,`, 1) },
		"short secret":    func(s string) string { return strings.Replace(s, doc.Keys[0].Secret, doc.Keys[0].Secret[:8], 1) },
		"other secret":    func(s string) string { return strings.Replace(s, doc.Keys[0].Secret, doc.Keys[1].Secret, 1) },
		"no base64":       func(s string) string { return strings.Replace(s, doc.Keys[0].Secret, "!!!", 1) },
		"unknown purpose": func(s string) string { return strings.Replace(s, "cookie-signing", "cookie-baking", 1) },
		"purpose missing": func(s string) string { return strings.Replace(s, "cookie-signing", "cookie-sealing", 1) },
	} {
		changed := change(string(good))
		require.NotEqual(t, string(good), changed, name)
		require.NoError(t, os.WriteFile(path, []byte(changed), 0o600))
		_, err := keys.LoadOrCreate(path, seeded.Reader(t), day)
		require.Error(t, err, name)
		for _, k := range doc.Keys {
			require.NotContains(t, err.Error(), k.Secret[:8], name)
		}
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, changed, string(after), "a damaged file is not overwritten")
	}
}

func TestAKeyPrintsNoSecret(t *testing.T) {
	t.Parallel()
	ring, err := keys.Generate(seeded.Reader(t), day)
	require.NoError(t, err)
	for _, p := range keys.Purposes() {
		k, err := ring.Active(p)
		require.NoError(t, err)
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			require.Equal(t, string(p)+":"+k.ID, fmt.Sprintf(format, k))
		}
	}
}

func TestKeysAreFoundByPurposeAndID(t *testing.T) {
	t.Parallel()
	ring, err := keys.Generate(seeded.Reader(t), day)
	require.NoError(t, err)
	k, err := ring.Active(keys.TokenEdDSA)
	require.NoError(t, err)
	found, err := ring.Find(keys.TokenEdDSA, k.ID)
	require.NoError(t, err)
	require.Same(t, k, found)
	_, err = ring.Find(keys.TokenHS256, k.ID)
	require.ErrorIs(t, err, keys.ErrNoMatch, "a key is used with one algorithm")
	_, err = ring.Find(keys.TokenEdDSA, "")
	require.ErrorIs(t, err, keys.ErrNoMatch)

	next, err := keys.NewKey(keys.TokenEdDSA, make([]byte, 32), day)
	require.NoError(t, err)
	ring.Replace(next, k)
	active, err := ring.Active(keys.TokenEdDSA)
	require.NoError(t, err)
	require.Same(t, next, active, "the first one signs")
	require.Len(t, ring.Verifying(keys.TokenEdDSA), 2)
	_, err = ring.Active(keys.CookieSigning)
	require.ErrorIs(t, err, keys.ErrNoKey)
	_, err = ring.Find(keys.CookieSigning, k.ID)
	require.ErrorIs(t, err, keys.ErrNoKey, "with nothing to try, nothing can be said")
}
