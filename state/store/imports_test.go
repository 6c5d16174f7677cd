package store_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a store needs besides statelab, as beginnings of import paths.
var (
	databaseDrivers = []string{"modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose"}
	redisClients    = []string{"github.com/redis/go-redis"}
)

// A program builds the drivers of the stores that it imports, and of no other one.
func TestAStoreBuildsNoDriverOfAnother(t *testing.T) {
	t.Parallel()
	for name, builds := range map[string]struct{ databases, redis bool }{
		"statelab/state":                  {},
		"statelab/state/store":            {},
		"statelab/state/store/memory":     {},
		"statelab/state/store/sqlstore":   {databases: true},
		"statelab/state/store/redisstore": {redis: true},
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", name).Output()
		require.NoError(t, err, name)
		for _, driver := range databaseDrivers {
			require.Equal(t, builds.databases, strings.Contains(string(out), "\n"+driver), "%s builds %s", name, driver)
		}
		for _, client := range redisClients {
			require.Equal(t, builds.redis, strings.Contains(string(out), "\n"+client), "%s builds %s", name, client)
		}
	}
}
