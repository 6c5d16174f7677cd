package keys

import (
	"bytes"
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

// document is the form of a key file, version 1. Secrets are standard base64
// without padding.
type document struct {
	Version int          `json:"version"`
	Made    string       `json:"made_for"` // "classroom" or "service"
	Keys    []documented `json:"keys"`
}

type documented struct {
	ID      string    `json:"id"`
	Purpose Purpose   `json:"purpose"`
	Created time.Time `json:"created"`
	Secret  string    `json:"secret"`
}

// MadeForClassroom marks key files that the classroom creates by itself. They
// are for lessons only.
const MadeForClassroom = "classroom"

// LoadOrCreate reads the key file at path. A missing file is created with mode
// 0600 and kept, so that logins outlive a restart. Any other fault is an error
// that names the path and never the content.
func LoadOrCreate(path string, random io.Reader, now time.Time) (*Ring, error) {
	ring, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	if ring, err = Generate(random, now); err != nil {
		return nil, err
	}
	if err := ring.create(path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return Load(path) // another process was first: its keys count
		}
		return nil, fmt.Errorf("keys: %w", err)
	}
	return ring, nil
}

// Load reads the key file at path. The error wraps fs.ErrNotExist where there
// is none.
func Load(path string) (*Ring, error) {
	text, err := os.ReadFile(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	var doc document
	// The decoder's own error could quote a secret, so it is not passed on.
	if json.Unmarshal(text, &doc, json.RejectUnknownMembers(true)) != nil || doc.Version != 1 {
		return nil, fmt.Errorf("keys: %s is not a key file of version 1", path)
	}
	var all []*Key
	for _, d := range doc.Keys {
		secret, err := encoding.DecodeString(d.Secret)
		if err != nil {
			return nil, fmt.Errorf("keys: %s: the secret of key %q is not base64", path, d.ID)
		}
		k, err := NewKey(d.Purpose, secret, d.Created)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if k.ID != d.ID {
			return nil, fmt.Errorf("keys: %s: key %q does not have the id of its secret", path, d.ID)
		}
		all = append(all, k)
	}
	ring := NewRing(all...)
	for _, p := range Purposes() {
		if _, err := ring.Active(p); err != nil {
			return nil, fmt.Errorf("keys: %s has no %s key", path, p)
		}
	}
	return ring, nil
}

// create writes the ring to a new file. The file appears whole or not at all:
// it is written beside its place and linked into it, which fails if another
// process has been faster.
func (r *Ring) create(path string) error {
	doc := document{Version: 1, Made: MadeForClassroom}
	for _, p := range Purposes() {
		for _, k := range r.Verifying(p) {
			doc.Keys = append(doc.Keys, documented{k.ID, k.Purpose, k.Created, encoding.EncodeToString(k.secret)})
		}
	}
	text, err := json.Marshal(doc, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".keys-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = io.Copy(tmp, bytes.NewReader(append(text, '\n')))
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Link(tmp.Name(), path)
}
