package redisstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/state/store/redisstore"
)

func TestAddressesOfRedis(t *testing.T) {
	t.Parallel()
	type read struct {
		addrs              []string
		master, user, word string
		guard, guardWord   string // of the Sentinels
		db                 int
		tls                bool
	}
	for address, want := range map[string]read{
		"redis://localhost":                        {addrs: []string{"localhost:6379"}},
		"redis://10.0.0.1:7000/3":                  {addrs: []string{"10.0.0.1:7000"}, db: 3},
		"rediss://localhost:7000":                  {addrs: []string{"localhost:7000"}, tls: true},
		"redis://:sesame@localhost":                {addrs: []string{"localhost:6379"}, word: "sesame"},
		"redis://lab:sesame@localhost:7000/2":      {addrs: []string{"localhost:7000"}, user: "lab", word: "sesame", db: 2},
		"redis://lab:a%40b%2C%2F%3A@localhost":     {addrs: []string{"localhost:6379"}, user: "lab", word: "a@b,/:"},
		"redis://lab:a@b@localhost":                {addrs: []string{"localhost:6379"}, user: "lab", word: "a@b"},
		"redis://a,b:7001,c":                       {addrs: []string{"a:6379", "b:7001", "c:6379"}},
		"rediss://lab:sesame@a:7000,b:7001":        {addrs: []string{"a:7000", "b:7001"}, user: "lab", word: "sesame", tls: true},
		"redis://a:26379,b:26379?master=main":      {addrs: []string{"a:26379", "b:26379"}, master: "main"},
		"redis://lab:sesame@a:26379/1?master=main": {addrs: []string{"a:26379"}, user: "lab", word: "sesame", db: 1, master: "main"},
		"redis://lab:sesame@a?master=main&sentinel_user=watcher&sentinel_password=a%26b": {
			addrs: []string{"a:6379"}, user: "lab", word: "sesame", master: "main", guard: "watcher", guardWord: "a&b",
		},
		"redis://[::1]":      {addrs: []string{"[::1]:6379"}},
		"redis://[::1]:7000": {addrs: []string{"[::1]:7000"}},
		"redis://lab:sesame@[fd00::1]:7000,[fd00::2]/": {addrs: []string{"[fd00::1]:7000", "[fd00::2]:6379"}, user: "lab", word: "sesame"},
	} {
		o, err := redisstore.Parse(address)
		require.NoError(t, err, address)
		require.Equal(t, want, read{o.Addrs, o.MasterName, o.Username, o.Password, o.SentinelUsername, o.SentinelPassword, o.DB, o.TLSConfig != nil}, address)
		if want.tls {
			require.Empty(t, o.TLSConfig.ServerName, "each host is known by its own name")
			require.False(t, o.TLSConfig.InsecureSkipVerify)
		}
	}
	for _, address := range []string{
		"redis://", "redis://lab:sesame@", "redis://lab:sesame@a,", "redis://lab:sesame@a,,b", "redis://lab:sesame@a,b:x",
		"redis://lab:sesame@localhost/x", "http://lab:sesame@localhost", "redis://lab:%zz@sesame",
	} {
		_, err := redisstore.Parse(address)
		require.Error(t, err, address)
		require.NotContains(t, err.Error(), "sesame")
	}
}
