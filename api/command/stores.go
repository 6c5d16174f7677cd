package command

import (
	"fmt"
	"strings"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/state/store/redisstore"
)

// openLogins returns the store that --store names: "memory"; "database", which is the
// one given; or an address as redisstore.New reads it. The caller closes it. Errors do not
// repeat the address, which may hold a password.
func openLogins(address string, database state.Store, o store.Options) (state.Store, error) {
	scheme, _, _ := strings.Cut(address, "://")
	switch scheme {
	case "memory":
		return memory.New(o), nil
	case "database":
		return database, nil
	case "redis", "rediss":
		s, err := redisstore.New(address, o)
		if err != nil {
			return nil, err
		}
		return store.Guarded(s, o), nil
	}
	return nil, fmt.Errorf("%s is not a kind of store: use memory, database, redis://HOST:PORT or rediss://HOST:PORT", scheme)
}
