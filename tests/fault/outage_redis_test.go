package fault

import (
	"net/http"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// administrator returns what runs commands on a Redis server, past statelab and
// past the lines to it, on one connection.
func administrator(t *testing.T, server *storetest.Server) (do func(args ...any)) {
	t.Helper()
	options, err := redis.ParseURL(server.Address)
	require.NoError(t, err)
	options.PoolSize, options.MaxRetries = 1, -1
	client := redis.NewClient(options)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return func(args ...any) {
		t.Helper()
		require.NoError(t, client.Do(t.Context(), args...).Err())
	}
}

func TestARedisThatIsDownAtTheStart(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	server.Kill()
	s := running(t, "sqlite::memory:", server.Address)
	o := newOutage(t, s)
	o.clients = map[string]*harness.Client{}
	for _, slug := range harness.Shared {
		if _, writing := storeAway.hits(s.Traits(t, slug)); !writing {
			o.clients[slug] = s.Login(t, slug, harness.Alice, harness.AlicePassword)
		}
	}
	o.fails(storeAway)
	o.refuses(func() *harness.Answer {
		return s.Client(t, harness.Strategies[0]).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
	})
	server.Start()
	o.recovers()
	o.clients, o.leavers = o.loginAll(), o.loginAll()
	o.keeps()
}

func TestARedisThatHangs(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	o := outageOf(t, running(t, "sqlite::memory:", server.Address))
	server.Pause()
	o.fails(storeAway)
	server.Resume()
	o.recovers()
	o.keeps()

	// The same with a server that takes connections and answers nobody.
	begun := time.Now()
	administrator(t, server)("CLIENT", "PAUSE", 2000, "ALL")
	o.refuses(func() *harness.Answer { return o.clients[harness.Strategies[0]].Get("profile") })
	o.others()
	require.Eventually(t, func() bool { return time.Since(begun) > harness.Prompt }, 2*harness.Prompt, 10*time.Millisecond)
	o.recovers()
}

func TestARedisThatDies(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t, "--appendonly", "yes", "--appendfsync", "always")
	o := outageOf(t, running(t, "sqlite::memory:", server.Address))
	for range 2 {
		stop := o.writers()
		server.Kill()
		o.fails(storeAway)
		server.Start()
		o.recovers()
		stop() // with appendfsync always, what was acknowledged is there
	}
	o.keeps()
}

func TestARedisThatForgets(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	o := outageOf(t, running(t, "sqlite::memory:", server.Address))
	server.Kill()
	server.Start()
	o.recovers()
	for slug, c := range o.clients {
		profile := o.again(func() *harness.Answer { return c.Get("profile") })
		if reading, _ := storeAway.hits(o.Traits(t, slug)); reading {
			profile.Is(http.StatusUnauthorized, "unknown_session")
		} else {
			profile.Is(http.StatusOK)
		}
	}
	o.loginAll()
}

// With a denylist, what clients hold is judged by records that are gone now. What an
// operator has ended is in the database, and is written down again.
func TestARedisThatIsEmptied(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	o := newOutage(t, running(t, "sqlite::memory:", server.Address, harness.Following, func(c *api.Config) { c.Denylist = true }))
	copies := o.loginAll()
	operator := auth.New(auth.Config{Database: o.Config.Database, Now: time.Now})
	require.NoError(t, operator.Disable(t.Context(), harness.Alice))
	out := func() bool {
		for slug, c := range copies {
			if o.Traits(t, slug).Everywhere && c.Get("profile").Status != http.StatusUnauthorized {
				return false
			}
		}
		return true
	}
	o.soon(out)
	administrator(t, server)("FLUSHALL")
	o.soon(out)
}

func TestARedisThatCannotWrite(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	do := administrator(t, server)
	for _, c := range []struct {
		name       string
		begin, end []any
	}{
		{name: "a replica of nobody", begin: []any{"REPLICAOF", "127.0.0.1", storetest.FreePort(t)}, end: []any{"REPLICAOF", "NO", "ONE"}},
		{name: "too few replicas", begin: []any{"CONFIG", "SET", "min-replicas-to-write", 1}, end: []any{"CONFIG", "SET", "min-replicas-to-write", 0}},
		{name: "out of memory", begin: []any{"CONFIG", "SET", "maxmemory", 1}, end: []any{"CONFIG", "SET", "maxmemory", 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := outageOf(t, running(t, "sqlite::memory:", server.Address))
			do(c.begin...)
			o.fails(unwritableStore)
			do(c.end...)
			o.recovers()
			o.keeps()
		})
	}
}

func TestARedisThatTakesNobodyMore(t *testing.T) {
	t.Parallel()
	server := storetest.Redis(t)
	do := administrator(t, server)
	o := outageOf(t, running(t, "sqlite::memory:", server.Address))
	do("CONFIG", "SET", "maxclients", 1)
	do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	o.fails(storeAway)
	do("CONFIG", "SET", "maxclients", 1000)
	o.recovers()
	o.keeps()
}
