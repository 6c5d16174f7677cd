package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/redisstore"
	"statelab/state/store/storetest"
)

// A list of logins is as cheap with large states as with small ones: it does not even
// notice that the documents are gone.
func TestAListOfLoginsReadsNoDocument(t *testing.T) {
	t.Parallel()
	s, client := openRedis(t)
	want := storetest.ThreeLogins(t, s, state.MicrosOf(time.Now()))
	rewrites(t, client, func(head, _ string) string { return head + "\n" })
	got, err := s.Logins(t.Context(), state.LoginQuery{Subject: "alice", Strategy: "session"})
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// The head of a record had two numbers before it had five.
func TestRecordsOfAnOlderVersionOfRedisAreListed(t *testing.T) {
	t.Parallel()
	s, client := openRedis(t)
	want := storetest.ThreeLogins(t, s, state.MicrosOf(time.Now()))
	rewrites(t, client, func(head, doc string) string {
		return strings.Join(strings.Split(head, " ")[:2], " ") + "\n" + doc
	})
	q := state.LoginQuery{Subject: "alice", Strategy: "session"}
	got, err := s.Logins(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, want, got)
	r, err := s.Load(t.Context(), want[0].Key)
	require.NoError(t, err)
	require.NoError(t, s.Update(t.Context(), want[0].Key, r.Rev, r))
	ended, err := s.EndSubject(t.Context(), state.Ending{
		Subject: "alice", Strategy: "session", Until: want[2].IssuedAt, Except: want[0].Key.String(), Kind: state.KindLogin,
	})
	require.NoError(t, err)
	require.Equal(t, 2, ended)
	got, err = s.Logins(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, want[:1], got)
}

// In Redis, a subject's index has keys of its own.
func TestASpoiledListKeepsNobodyFromLoggingIn(t *testing.T) {
	t.Parallel()
	s, client := openRedis(t)
	for _, key := range []string{"statelab:strategies:{alice}", "statelab:live:{alice}:session", "statelab:revoked:{alice}:session"} {
		require.NoError(t, client.Set(t.Context(), key, "\xff", 0).Err())
	}
	logins, err := s.Logins(t.Context(), state.LoginQuery{Subject: "alice", Strategy: "session"})
	require.NoError(t, err)
	require.Empty(t, logins)

	entries, err := s.BySubject(t.Context(), "alice")
	require.NoError(t, err)
	require.Empty(t, entries)
	later := state.MicrosOf(time.Now()).Add(time.Hour)
	require.NoError(t, s.Create(t.Context(), state.KeyOf("k"), storetest.Record(state.KindLogin, "alice", later)))
	entries, err = s.BySubject(t.Context(), "alice")
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

// openRedis returns a store in a server of the test's own, and a client beside it.
func openRedis(t *testing.T) (*redisstore.Store, *redis.Client) {
	t.Helper()
	server := storetest.Redis(t)
	s, err := redisstore.New(server.Address, store.Options{Patience: time.Minute})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	client := redis.NewClient(&redis.Options{Addr: strings.TrimPrefix(server.Address, "redis://")})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return s, client
}

// rewrites puts another text in the place of each record.
func rewrites(t *testing.T, client *redis.Client, f func(head, doc string) string) {
	t.Helper()
	keys, err := client.Keys(t.Context(), "statelab:record:*").Result()
	require.NoError(t, err)
	require.NotEmpty(t, keys)
	for _, key := range keys {
		text, err := client.Get(t.Context(), key).Result()
		require.NoError(t, err)
		head, doc, _ := strings.Cut(text, "\n")
		require.NoError(t, client.Set(t.Context(), key, f(head, doc), redis.KeepTTL).Err())
	}
}
