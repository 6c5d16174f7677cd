package fault

import (
	"maps"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// What a request asks of the store, whichever it is.
func TestAReadAsksTheStoreOnce(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) *harness.Server{ // by what the operator has chosen
		"memory": func(t *testing.T) *harness.Server {
			return running(t, "sqlite::memory:", "memory", patientWithAccounts)
		},
		"sqlite": func(t *testing.T) *harness.Server {
			return running(t, "sqlite:"+t.TempDir()+"/x.db", "database", patientWithAccounts)
		},
		"postgres": func(t *testing.T) *harness.Server {
			return running(t, storetest.Database(t)+storetest.Patient, "database", patientWithAccounts)
		},
		"redis": func(t *testing.T) *harness.Server {
			return running(t, "sqlite::memory:", storetest.Redis(t).Address, patientWithAccounts)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			require.Equal(t, name, s.Config.Store.Name())
			for _, slug := range harness.Strategies {
				a := s.Login(t, slug, harness.Alice, harness.AlicePassword).Get("inspect").Is(http.StatusOK)
				reads := int64(0)
				if harness.Asks(s.Traits(t, slug)) {
					require.Equal(t, s.Keeper(t, slug).Name(), a.Text("held.store"))
					reads = 1
				}
				require.Equal(t, []int64{reads, 0}, []int64{a.Number("cost.store_reads"), a.Number("cost.store_writes")}, slug)
			}
		})
	}
}

// commands returns what a Redis has been asked to do during f, by command, as it
// counts them itself. How connections begin is not part of it.
func commands(t *testing.T, r *redis.Client, f func()) map[string]int {
	t.Helper()
	calls := func() map[string]int {
		text, err := r.Info(t.Context(), "commandstats").Result()
		require.NoError(t, err)
		all := map[string]int{}
		for _, m := range harness.CommandCalls.FindAllStringSubmatch(text, -1) {
			all[m[1]], err = strconv.Atoi(m[2])
			require.NoError(t, err)
		}
		return all
	}
	before := calls()
	f()
	all := calls()
	maps.DeleteFunc(all, func(name string, n int) bool {
		all[name] -= before[name]
		return n == before[name] || name == "info" || name == "hello" || name == "select"
	})
	return all
}

func TestAReadIsOneCommandAtRedis(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	options, err := redis.ParseURL(server.Address)
	require.NoError(t, err)
	r := redis.NewClient(options)
	defer func() { require.NoError(t, r.Close()) }()
	s := harness.NewServer(t, func(c *api.Config) {
		require.NoError(t, c.Store.Close())
		c.Store = inRedis(t, server.Address, store.Options{Now: c.Now})
	})
	harness.Each(t, func(t *testing.T, slug string) {
		const reads = 30
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK) // Redis knows the scripts from now on
		read := func(pause time.Duration) func() {
			return func() {
				for range reads {
					s.Clock.Advance(pause)
					c.Get("profile").Is(http.StatusOK)
				}
			}
		}
		busy, slow := commands(t, r, read(0)), commands(t, r, read(10*time.Second))
		if traits := s.Traits(t, slug); !traits.NeedsSharedStore || traits.KeptIn != state.PlaceStore {
			require.Empty(t, busy)
			require.Empty(t, slow)
			return
		}
		require.Equal(t, map[string]int{"get": reads}, busy)
		// Once a minute one of them also writes that the login is in use: a script,
		// whose own commands Redis counts as well.
		const minutes = reads * 10 / 60
		require.Equal(t, map[string]int{"get": reads + minutes, "evalsha": minutes, "set": minutes}, slow)
	})
}
