package state

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"statelab/state/keys"
)

// Config is what strategies are made of. Time and randomness are values, so
// that tests can choose them.
type Config struct {
	Slug string // names the strategy in paths, cookies, tokens and records

	Store    Store // the one at Place, or nil where that is no store
	Place    Place // where it keeps its records: filled in by New
	Keys     *keys.Ring
	Roles    Roles
	Now      func() time.Time
	Rand     io.Reader // cryptographically secure
	Limits             // of LoginsPerAccount, zero is DefaultLoginsPerAccount: the next login ends the oldest
	TokenAlg string    // "EdDSA" or "HS256"
	// Process holds what strategies keep at PlaceProcess; zero: nothing yet.
	Process  *Process
	Denylist bool // what clients hold can be ended, for a look-up with each request
	// Limited is told of each login that has ended for that, by its subject and its id;
	// nil: it is not reported.
	Limited func(ctx context.Context, subject, id string)
	// Replaced is told of each login of another subject that has ended because the
	// client that carried it logged in; nil: it is not reported.
	Replaced func(ctx context.Context, ended Login)
	// SameSite is the attribute of the strategy's cookies; zero: Lax.
	SameSite http.SameSite
	// NoSizeCheck lets cookies grow past CookieLimit. Browsers then drop the new one
	// without a word, and go on with the old: a lesson.
	NoSizeCheck bool
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

// A Place is where a server keeps what its strategies hold.
type Place string

// The places.
const (
	PlaceStore    Place = "store"    // the store that the operator has chosen
	PlaceDatabase Place = "database" // the database of the accounts, whatever was chosen
	PlaceProcess  Place = "process"  // the strategy's own memory, which is no Store and ends with the process
)

// A Process is the memory that strategies at PlaceProcess have without a Store.
// Servers that take over from each other in one process hand it on; a restart
// begins with another one.
type Process struct{ kept sync.Map }

// kept returns what the strategy with the slug keeps in the process, or makes it.
func kept[T any](c Config, fresh func() T) T {
	if c.Process == nil {
		return fresh()
	}
	found, ok := c.Process.kept.Load(c.Slug)
	if !ok {
		found, _ = c.Process.kept.LoadOrStore(c.Slug, fresh())
	}
	return found.(T) //nolint:forcetypeassert // a slug has one type
}

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
	// Transport says how the credential travels, and Holder who stores the state.
	Transport func(Config) Transport
	Holder    func(Config, Transport) Strategy
}

// Mounted says whether a server mounts the strategy: the classroom mounts all,
// any other those that are always mounted and those that its operator names,
// lessons never.
func (d Definition) Mounted(classroom bool, named []string) bool {
	return classroom || d.Mount == MountAlways || d.Mount == MountNamed && slices.Contains(named, d.Slug)
}

// definitions is the one list of strategies, in the order of comparison.
var definitions = []Definition{
	{"session", MountAlways, PlaceStore, InCookie, NewSession},
	{"cookie", MountAlways, PlaceStore, InCookie, NewSignedCookie},
	{"cookie-sealed", MountAlways, PlaceStore, InCookie, NewSealedCookie},
	{"token", MountAlways, PlaceStore, InAuthorization, NewToken},
	{"session-db", MountNamed, PlaceDatabase, InCookie, NewSession},
	{"token-cookie", MountNamed, PlaceStore, InCookie, NewTokenCookie},
	{"session-cached", MountNamed, PlaceDatabase, InCookie, NewCachedSession},
	{"session-bearer", MountNamed, PlaceStore, InAuthorization, NewSession},
	{"session-gin", MountAlways, PlaceStore, InCookie, NewGinSession},
	{"cookie-plain", MountLessons, PlaceStore, InReadableCookie, NewPlainCookie},
	{"session-stock", MountLessons, PlaceProcess, InStockCookie, NewStockSession},
	{"seed", MountLessons, PlaceProcess, InSeedCookie, NewSeed},
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

// CheckNames returns an error unless every name is that of a strategy which a
// server may mount when its operator names it.
func CheckNames(classroom bool, names []string) error {
	return checkNames(definitions, classroom, names)
}

func checkNames(all []Definition, classroom bool, names []string) error {
	for _, name := range names {
		i := slices.IndexFunc(all, func(d Definition) bool { return d.Slug == name })
		switch {
		case i < 0:
			return fmt.Errorf("no strategy is called %q: use some of %s", name, strings.Join(Slugs(), ","))
		case !all[i].Mounted(classroom, names):
			return fmt.Errorf("the strategy %q is for the classroom only, because it is weak on purpose: remove it from the list", name)
		}
	}
	return nil
}

// New returns the strategy with the slug c.Slug.
func New(c Config) (Strategy, error) {
	for _, d := range definitions {
		if d.Slug == c.Slug {
			c.Place = d.Place
			return d.Holder(c, d.Transport(c)), nil
		}
	}
	return nil, fmt.Errorf("state: there is no strategy %q", c.Slug)
}
