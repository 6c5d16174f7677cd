package redisstore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"statelab/state/store"
	"statelab/state/store/redisstore"
	"statelab/state/store/storetest"
)

func TestRedisKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Each(t, storetest.Run, "redis", "redis-cluster")
}

// A guard tells an operation that has waited for a connection from one that has failed.
func TestAWaitForAConnectionIsAMatterOfTime(t *testing.T) {
	t.Parallel()
	err := redisstore.Wrap(redis.ErrPoolTimeout)
	require.ErrorIs(t, err, redis.ErrPoolTimeout)
	var slow interface{ Timeout() bool }
	require.ErrorAs(t, err, &slow)
	require.True(t, slow.Timeout())
	require.NotErrorAs(t, redisstore.Wrap(redis.ErrClosed), &slow)
}

func TestAnEvictingRedisIsWarnedOf(t *testing.T) {
	t.Parallel()
	warnings := func(address string) []string {
		s, err := redisstore.New(address, store.Options{Patience: time.Minute})
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		return s.Warnings(t.Context())
	}
	evicting := storetest.Redis(t, "--maxmemory-policy", "allkeys-lru", "--user", "lab", "on", ">sesame", "~*", "+@all", "-config",
		"--user", "mute", "on", ">sesame", "~*", "+@all", "-config", "-info")
	for user, want := range map[string]int{"": 1, "lab:sesame@": 1, "mute:sesame@": 1, "lab:wrong@": 0} {
		require.Len(t, warnings(withUser(evicting.Address, user)), want, user)
	}
	require.Contains(t, warnings(evicting.Address)[0], "allkeys-lru")
	require.Contains(t, warnings(withUser(evicting.Address, "mute:sesame@"))[0], "+info")
	require.Empty(t, warnings(storetest.Redis(t).Address))
	require.Empty(t, warnings(storetest.RedisCluster(t)))
	evicting.Kill()
	require.Empty(t, warnings(evicting.Address), "it is down")
}

func withUser(address, user string) string { return "redis://" + user + address[len("redis://"):] }
