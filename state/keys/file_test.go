package keys_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state/keys"
	"statelab/tests/seeded"
)

var day = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// initialised returns the path of a new key file for a service, and its ring.
func initialised(t *testing.T) (string, *keys.Ring) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	ring, err := keys.Init(path, seeded.Reader(t), day)
	require.NoError(t, err)
	return path, ring
}

// names are the keys of a ring in order.
func names(ring *keys.Ring) []string {
	var all []string
	for _, k := range ring.All() {
		all = append(all, k.String())
	}
	return all
}

// encoded is a key's secret as it stands in a file.
func encoded(k *keys.Key) string { return base64.RawStdEncoding.EncodeToString(k.Secret()) }

// edit changes the text of a key file and leaves its mode.
func edit(t *testing.T, path, from, to string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), from)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o600))
}

// onlyFile requires that nothing is beside a file, and that nobody else can
// read it.
func onlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestInitDoesNotOverwrite(t *testing.T) {
	t.Parallel()
	path, ring := initialised(t)
	onlyFile(t, path)
	_, err := keys.Init(path, seeded.Reader(t), day)
	require.ErrorIs(t, err, fs.ErrExist)
	require.ErrorContains(t, err, "statelab keys rotate")
	read, err := keys.LoadService(path)
	require.NoError(t, err)
	require.Equal(t, names(ring), names(read))
	onlyFile(t, path)
}

func TestANewKeySignsAndThePreviousOnesVerify(t *testing.T) {
	t.Parallel()
	path, first := initialised(t)
	second, err := keys.Rotate(path, seeded.Reader(t), day.Add(time.Hour), false)
	require.NoError(t, err)
	third, err := keys.Rotate(path, seeded.Reader(t), day.Add(2*time.Hour), false)
	require.NoError(t, err)
	onlyFile(t, path)
	read, err := keys.LoadService(path)
	require.NoError(t, err)
	require.Equal(t, names(third), names(read))
	for _, p := range keys.Purposes() {
		ks := read.Verifying(p)
		require.Len(t, ks, 3)
		for i, ring := range []*keys.Ring{third, second, first} {
			k, err := ring.Active(p)
			require.NoError(t, err)
			require.Equal(t, k.ID, ks[i].ID, "newest first")
			require.Equal(t, day.Add(time.Duration(2-i)*time.Hour), ks[i].Created)
		}
	}

	last, err := keys.Rotate(path, seeded.Reader(t), day, true)
	require.NoError(t, err)
	require.Len(t, last.All(), len(keys.Purposes()))
	for _, k := range last.All() {
		require.NotContains(t, names(third), k.String(), "none of the dropped ones is left")
	}
	read, err = keys.LoadService(path)
	require.NoError(t, err)
	require.Equal(t, names(last), names(read))
}

// However many rotate at once, each of them either is refused or its keys are
// in the file.
func TestRotationsAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	path, first := initialised(t)
	rings, random := make([]*keys.Ring, 16), seeded.Reader(t)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() { rings[i], _ = keys.Rotate(path, random, day, false) })
	}
	wg.Wait()
	read, err := keys.Load(path)
	require.NoError(t, err)
	require.Subset(t, names(read), names(first))
	done := 0
	for _, ring := range rings {
		if ring != nil {
			done++
			require.Subset(t, names(read), names(ring))
		}
	}
	require.Positive(t, done)
	require.Len(t, read.All(), (1+done)*len(keys.Purposes()))
	onlyFile(t, path)
}

func TestARotationThatIsUnderWayRefusesAnother(t *testing.T) {
	t.Parallel()
	path, ring := initialised(t)
	require.NoError(t, os.WriteFile(path+".new", nil, 0o600))
	_, err := keys.Rotate(path, seeded.Reader(t), day, true)
	require.ErrorContains(t, err, "keys.json.new")
	read, err := keys.Load(path)
	require.NoError(t, err)
	require.Equal(t, names(ring), names(read))
	require.FileExists(t, path+".new", "it is the other one's")
}

func TestARotationThatFailsLeavesTheFile(t *testing.T) {
	t.Parallel()
	path, _ := initialised(t)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = keys.Rotate(path, bytes.NewReader(make([]byte, 40)), day, false)
	require.ErrorContains(t, err, "randomness")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	onlyFile(t, path)
}

func TestARotatedLinkStaysALink(t *testing.T) {
	t.Parallel()
	path, _ := initialised(t)
	link := filepath.Join(t.TempDir(), "link.json")
	require.NoError(t, os.Symlink(path, link))
	ring, err := keys.Rotate(link, seeded.Reader(t), day, true)
	require.NoError(t, err)
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&fs.ModeSymlink)
	read, err := keys.Load(path)
	require.NoError(t, err)
	require.Equal(t, names(ring), names(read))
}

func TestAPublicFileVerifiesAndHoldsNothingSecret(t *testing.T) {
	t.Parallel()
	path, _ := initialised(t)
	ring, err := keys.Rotate(path, seeded.Reader(t), day, false)
	require.NoError(t, err)
	var text bytes.Buffer
	require.NoError(t, ring.WritePublic(&text))
	for _, k := range ring.All() {
		require.NotContains(t, text.String(), encoded(k))
	}
	public := filepath.Join(t.TempDir(), "public.json")
	require.NoError(t, os.WriteFile(public, text.Bytes(), 0o600))
	require.NoError(t, os.Chmod(public, 0o644))
	read, err := keys.LoadService(public)
	require.NoError(t, err, "what is public, others may read")
	require.Len(t, read.All(), 2)
	for i, k := range read.Verifying(keys.TokenEdDSA) {
		secret := ring.Verifying(keys.TokenEdDSA)[i]
		require.Equal(t, secret.String(), k.String())
		require.Equal(t, secret.Public(), k.Public())
		require.False(t, k.Signs())
	}
	for _, p := range keys.Purposes() {
		_, err := read.Active(p)
		require.ErrorIs(t, err, keys.ErrNoKey)
	}
	_, err = keys.Rotate(public, seeded.Reader(t), day, false)
	require.ErrorContains(t, err, "public keys only")
	onlyPublic, err := os.ReadDir(filepath.Dir(public))
	require.NoError(t, err)
	require.Len(t, onlyPublic, 1)

	require.NoError(t, os.Chmod(public, 0o666))
	_, err = keys.LoadService(public)
	if runtime.GOOS != "windows" {
		require.ErrorContains(t, err, "chmod 0644", "whoever can change it decides who is logged in")
	}
}

func TestDamagedPublicFilesAreRefused(t *testing.T) {
	t.Parallel()
	_, ring := initialised(t)
	active, err := ring.Active(keys.TokenEdDSA)
	require.NoError(t, err)
	public := base64.RawStdEncoding.EncodeToString(active.Public())
	for name, change := range map[string][2]string{
		"short":           {public, public[:8]},
		"no base64":       {public, "!!!"},
		"another purpose": {"token-eddsa", "token-hs256"},
		"no id":           {active.ID, "../../etc"},
		"secret":          {`"public"`, `"secret"`},
		"not for that":    {"verifying", "service"},
	} {
		var text bytes.Buffer
		require.NoError(t, ring.WritePublic(&text))
		path := filepath.Join(t.TempDir(), "public.json")
		require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
		_, err := keys.Load(path)
		require.NoError(t, err)
		edit(t, path, change[0], change[1])
		_, err = keys.Load(path)
		require.Error(t, err, name)
	}
}

// A server that is no classroom says in one line why it does not take a file,
// and what to do.
func TestFilesThatAServiceDoesNotTake(t *testing.T) {
	t.Parallel()
	secretOf := func(t *testing.T, path string) string {
		t.Helper()
		var doc struct{ Keys []struct{ Secret string } }
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &doc))
		return doc.Keys[0].Secret
	}
	for name, c := range map[string]struct {
		change func(t *testing.T, path string)
		says   []string
	}{
		"missing":   {func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }, []string{"statelab keys init"}},
		"damaged":   {func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 100)) }, []string{"statelab keys init"}},
		"short":     {func(t *testing.T, path string) { edit(t, path, secretOf(t, path), "c2VjcmV0") }, []string{"6 bytes", "statelab keys init"}},
		"classroom": {func(t *testing.T, path string) { edit(t, path, "service", "classroom") }, []string{"classroom", "statelab keys init"}},
		"unknown":   {func(t *testing.T, path string) { edit(t, path, "service", "party") }, []string{"statelab keys init"}},
		"readable":  {func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o640)) }, []string{"0640", "chmod 0600"}},
		"listed":    {func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o601)) }, []string{"0601", "chmod 0600"}},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(c.says[0], "06") {
				t.Skip("files have no such mode there")
			}
			path, ring := initialised(t)
			c.change(t, path)
			_, err := keys.LoadService(path)
			for _, part := range append(c.says, path) {
				require.ErrorContains(t, err, part)
			}
			require.NotContains(t, err.Error(), "\n")
			for _, k := range ring.All() {
				require.NotContains(t, err.Error(), encoded(k)[:8])
			}
		})
	}
}

func TestPublishedSecretsAreRefused(t *testing.T) {
	t.Parallel()
	counting := make([]byte, 32)
	for i := range counting {
		counting[i] = byte(i)
	}
	rfc8032, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	require.NoError(t, err)
	for _, secret := range [][]byte{make([]byte, 32), counting, rfc8032} {
		path := filepath.Join(t.TempDir(), "keys.json")
		_, err := keys.Init(path, bytes.NewReader(bytes.Repeat(secret, len(keys.Purposes()))), day)
		require.NoError(t, err)
		_, err = keys.LoadService(path)
		require.ErrorContains(t, err, "statelab keys rotate --drop-previous")
		_, err = keys.Rotate(path, seeded.Reader(t), day, true)
		require.NoError(t, err)
		_, err = keys.LoadService(path)
		require.NoError(t, err, "it has said what helps")
	}
}
