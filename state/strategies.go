package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"statelab/state/keys"
)

// Config is what strategies are made of. Time and randomness are values, so
// that tests can choose them.
type Config struct {
	Slug string // names the strategy in paths, cookies, tokens and records

	Store Store
	Keys  *keys.Ring
	Roles Roles
	Now   func() time.Time
	Rand  io.Reader // cryptographically secure
	Lifetimes
	TokenAlg string // "EdDSA" or "HS256"
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

// Definition is one strategy that a server can mount.
type Definition struct {
	Slug string
	New  func(Config) Strategy
}

// definitions is the one list of strategies, in the order of comparison.
var definitions = []Definition{
	{"session", NewSession},
	{"cookie", NewSignedCookie},
	{"cookie-sealed", NewSealedCookie},
	{"token", NewToken},
}

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
			return d.New(c), nil
		}
	}
	return nil, fmt.Errorf("state: there is no strategy %q", c.Slug)
}
