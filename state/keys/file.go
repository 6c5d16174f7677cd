package keys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// encoding is how secrets stand in a key file.
var encoding = base64.RawStdEncoding

// document is the form of a key file, version 1. Secrets and public halves are
// standard base64 without padding. Of each purpose the newest key comes first.
type document struct {
	Version int          `json:"version"`
	Made    string       `json:"made_for"`
	Keys    []documented `json:"keys"`
}

// documented is one key: its secret, or in a file for verifying its public half.
type documented struct {
	ID      string    `json:"id"`
	Purpose Purpose   `json:"purpose"`
	Created time.Time `json:"created"`
	Secret  string    `json:"secret,omitzero"`
	Public  string    `json:"public,omitzero"`
}

// What a key file may be made for.
const (
	MadeForClassroom = "classroom" // made by the classroom itself, for lessons only
	MadeForService   = "service"   // made by Init
	MadeForVerifying = "verifying" // public halves only, for a node that verifies tokens and signs none
)

// file is a key file that has been read.
type file struct {
	path string
	info fs.FileInfo // of what was read, even if another file has the name by now
	made string
	keys []*Key
}

// LoadOrCreate reads the key file at path. A missing file is created with mode
// 0600 and kept, so that logins outlive a restart. Any other fault is an error
// that names the path and never the content.
func LoadOrCreate(path string, random io.Reader, now time.Time) (*Ring, error) {
	ring, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	ring, err = create(path, MadeForClassroom, random, now)
	if errors.Is(err, fs.ErrExist) {
		return Load(path) // another process was first: its keys count
	}
	return ring, err
}

// Init makes a new key file for a service, with mode 0600. The error wraps
// fs.ErrExist where there is a file already: whoever overwrites keys logs
// everybody out.
func Init(path string, random io.Reader, now time.Time) (*Ring, error) {
	ring, err := create(path, MadeForService, random, now)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("keys: %s: %w: replace its keys with statelab keys rotate, or choose another file with --keys", path, fs.ErrExist)
	}
	return ring, err
}

// Load reads the key file at path. The error wraps fs.ErrNotExist where there
// is none.
func Load(path string) (*Ring, error) {
	f, err := read(path)
	if err != nil {
		return nil, err
	}
	return NewRing(f.keys...), nil
}

// read returns the key file at path, if every purpose that it is made for has a
// key.
func read(path string) (*file, error) {
	text, info, err := contents(path)
	if err != nil {
		return nil, unread(path, err)
	}
	var doc document
	// The decoder's own error could quote a secret, so it is not passed on.
	if json.Unmarshal(text, &doc, json.RejectUnknownMembers(true)) != nil || doc.Version != 1 {
		return nil, fmt.Errorf("keys: %s is not a key file of version 1", path)
	}
	f := &file{path: path, info: info, made: doc.Made}
	for _, d := range doc.Keys {
		k, err := f.key(d)
		if err != nil {
			return nil, err
		}
		f.keys = append(f.keys, k)
	}
	purposes := Purposes()
	if f.made == MadeForVerifying {
		purposes = []Purpose{TokenEdDSA}
	}
	all := newSet(f.keys)
	for _, p := range purposes {
		if len(all.byPurpose[p]) == 0 {
			return nil, fmt.Errorf("keys: %s has no %s key", path, p)
		}
	}
	return f, nil
}

// unread says why there is nothing to read, and of a missing file what to do.
func unread(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keys: %s: %w: make it with statelab keys init --keys %[1]s", path, fs.ErrNotExist)
	}
	return fmt.Errorf("keys: %w", err)
}

func contents(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(f)
	return text, info, err
}

// key returns a key of the file: a secret one, or in a file for verifying the
// public half of one.
func (f *file) key(d documented) (*Key, error) {
	if f.made == MadeForVerifying {
		public, err := encoding.DecodeString(d.Public)
		if err != nil || d.Secret != "" || d.Purpose != TokenEdDSA {
			return nil, fmt.Errorf("keys: %s: key %q is not the public half of a %s key", f.path, d.ID, TokenEdDSA)
		}
		k, err := newPublicKey(d.ID, public, d.Created)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.path, err)
		}
		return k, nil
	}
	secret, err := encoding.DecodeString(d.Secret)
	if err != nil || d.Public != "" {
		return nil, fmt.Errorf("keys: %s: the secret of key %q is not base64", f.path, d.ID)
	}
	k, err := NewKey(d.Purpose, secret, d.Created)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	if k.ID != d.ID {
		return nil, fmt.Errorf("keys: %s: key %q does not have the id of its secret", f.path, d.ID)
	}
	return k, nil
}

// encode returns the text of a key file.
func encode(made string, keys []*Key) ([]byte, error) {
	doc := document{Version: 1, Made: made}
	for _, k := range keys {
		d := documented{ID: k.ID, Purpose: k.Purpose, Created: k.Created}
		if made == MadeForVerifying {
			d.Public = encoding.EncodeToString(k.Public())
		} else {
			d.Secret = encoding.EncodeToString(k.secret)
		}
		doc.Keys = append(doc.Keys, d)
	}
	text, err := json.Marshal(doc, jsontext.WithIndent("  "))
	return append(text, '\n'), err
}

// WritePublic writes a key file for nodes that only verify: the public halves of
// the token-eddsa keys, and nothing secret.
func (r *Ring) WritePublic(w io.Writer) error {
	text, err := encode(MadeForVerifying, r.Verifying(TokenEdDSA))
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// create makes a new file with new keys. The file appears whole or not at all:
// it is written beside its place and linked into it, which fails if another
// process has been faster.
func create(path, made string, random io.Reader, now time.Time) (*Ring, error) {
	ring, err := Generate(random, now)
	if err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".keys-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	if err = write(tmp, made, ring.All()); err == nil {
		err = os.Link(tmp.Name(), path)
	}
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return ring, nil
}

// write fills a new key file, brings it to the disk and closes it.
func write(f *os.File, made string, keys []*Key) error {
	text, err := encode(made, keys)
	if err == nil {
		_, err = f.Write(text)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// Rotate puts a new key of every purpose before those in the file at path, or
// with dropPrevious in their place, and returns what is in the file then.
//
// The file is replaced at once, by another that was written beside it. That one
// is the lock too: its name is fixed, so while it exists a second rotation is
// refused, and none begins with keys that another is about to replace.
func Rotate(path string, random io.Reader, now time.Time, dropPrevious bool) (*Ring, error) {
	target, err := filepath.EvalSymlinks(path) // a link stays a link
	if err != nil {
		return nil, unread(path, err)
	}
	tmp, err := os.OpenFile(target+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // #nosec G304 -- as above
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("keys: %s.new exists: wait for the other rotation to end, or delete the file if no rotation runs", target)
	case err != nil:
		return nil, fmt.Errorf("keys: %w", err)
	}
	f, ring, err := rotated(target, random, now, dropPrevious)
	if err == nil {
		err = errors.Join(keepOwner(tmp, f.info), write(tmp, f.made, ring.All()))
	}
	if err == nil {
		err = os.Rename(tmp.Name(), target)
	}
	if err != nil {
		_ = tmp.Close()
		_ = os.Remove(tmp.Name())
		return nil, fmt.Errorf("the keys were not rotated: %w", err)
	}
	// The new name is on the disk as soon as the directory is. Not every system
	// can be asked for that.
	if dir, err := os.Open(filepath.Dir(target)); err == nil {
		_ = errors.Join(dir.Sync(), dir.Close())
	}
	return ring, nil
}

// rotated returns the file at path and the ring that is to replace it.
func rotated(path string, random io.Reader, now time.Time, dropPrevious bool) (*file, *Ring, error) {
	f, err := read(path)
	if err != nil {
		return nil, nil, err
	}
	if f.made == MadeForVerifying {
		return nil, nil, fmt.Errorf("keys: %s has public keys only: rotate the key file that they come from", path)
	}
	ring, err := Generate(random, now)
	if err == nil && !dropPrevious {
		ring.Replace(append(ring.All(), f.keys...)...)
	}
	return f, ring, err
}
