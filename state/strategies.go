package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"statelab/state/keys"
)

// Config is what strategies are made of. Time and randomness are values, so
// that tests can choose them.
type Config struct {
	Slug string // names the strategy in paths, cookies, tokens and records

	Store Store // the one at Place
	Place Place // where it keeps its records: filled in by New
	Keys  *keys.Ring
	Roles Roles
	Now   func() time.Time
	Rand  io.Reader // cryptographically secure
	Lifetimes
	TokenAlg string // "EdDSA" or "HS256"
	// CredentialCache is how many verified credentials a strategy may remember; 0:
	// none, each is verified each time.
	CredentialCache int
	Denylist        bool // what clients hold can be ended, for a look-up with each request
}

func (c *Config) now() Micros { return MicrosOf(c.Now()) }

// role returns the subject's role as it is now, or ErrRevoked if the account is
// gone: what it started ends with it.
func (c *Config) role(ctx context.Context, subject string) (string, error) {
	role, err := c.Roles(ctx, subject)
	if errors.Is(err, ErrNotFound) {
		return "", ErrRevoked
	}
	return role, failed(err)
}

// A Place is one of the stores that a server has for its strategies.
type Place string

// The places.
const (
	PlaceStore    Place = "store"    // the store that the operator has chosen
	PlaceDatabase Place = "database" // the database of the accounts, whatever was chosen
)

// A Mount says where a strategy is served.
type Mount int

// The mounts.
const (
	MountAlways  Mount = iota
	MountNamed         // in the classroom; elsewhere if the operator names it
	MountLessons       // in the classroom only: it is weak on purpose
)

// Definition is one strategy that a server can mount.
type Definition struct {
	Slug  string
	Mount Mount
	Place Place
	New   func(Config) Strategy
}

// definitions is the one list of strategies, in the order of comparison.
var definitions = []Definition{
	{"session", MountAlways, PlaceStore, NewSession},
	{"cookie", MountAlways, PlaceStore, NewSignedCookie},
	{"cookie-sealed", MountAlways, PlaceStore, NewSealedCookie},
	{"token", MountAlways, PlaceStore, NewToken},
	{"session-db", MountNamed, PlaceDatabase, NewSession},
}

// Definitions returns all strategies in the order of comparison.
func Definitions() []Definition { return slices.Clone(definitions) }

// Slugs returns the slugs of all strategies in the order of comparison.
func Slugs() []string {
	slugs := make([]string, len(definitions))
	for i, d := range definitions {
		slugs[i] = d.Slug
	}
	return slugs
}

// New returns the strategy with the slug c.Slug.
func New(c Config) (Strategy, error) {
	for _, d := range definitions {
		if d.Slug == c.Slug {
			c.Place = d.Place
			return d.New(c), nil
		}
	}
	return nil, fmt.Errorf("state: there is no strategy %q", c.Slug)
}
