// Package redisstore has the store of records in Redis: a server, a cluster, or what a
// Sentinel watches.
package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"statelab/state"
	"statelab/state/store"
)

// Store is a state.Store in a Redis server, a cluster, or what a Sentinel
// watches. What it acknowledges survives a failure of Redis as far as that
// server's own persistence goes: with appendfsync always all of it, with
// everysec all but the last second, without either none.
//
// A record is one string, "REV EXPIRES LAST_SEEN ENDS_AT REVOKED\nDOCUMENT", with the
// server's own expiry: a list of logins reads the head alone, and no document.
// Two sorted sets for each subject and strategy list its live logins and its
// revoked ones, by the time at which they began: see index.go.
type Store struct {
	client redis.UniversalClient
	now    func() time.Time
}

var (
	_ state.Store  = (*Store)(nil)
	_ store.Warner = (*Store)(nil)
)

// New returns a store at the address: redis://USER:PASSWORD@HOST:PORT/DB,
// or rediss:// for TLS. Several hosts, separated by commas, are a cluster; with
// ?master=NAME they are Sentinels, whose own user and password are in sentinel_user and
// sentinel_password. It does not connect.
func New(address string, o store.Options) (*Store, error) {
	client, err := newClient(address, o.Patience)
	if err != nil {
		return nil, err
	}
	s := &Store{client: client, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

const keyPrefix = "statelab:"

func recordKey(k state.Key) string { return keyPrefix + "record:" + k.String() }

// wire returns a record as Redis keeps it.
func wire(rev int64, r *state.Record, doc []byte) string {
	revoked := 0
	if r.Rotation.Revoked {
		revoked = 1
	}
	return fmt.Sprintf("%d %d %d %d %d\n%s", rev, r.Expires, r.LastSeen, r.Login.ExpiresAt, revoked, doc)
}

// Name implements state.Store.
func (*Store) Name() string { return "redis" }

// Ping implements state.Store.
func (s *Store) Ping(ctx context.Context) error { return s.client.Ping(ctx).Err() }

// Close implements state.Store.
func (s *Store) Close() error { return s.client.Close() }

// life returns how long a record has to live. Redis is told a duration and not
// a moment, so that its clock and ours are never compared.
func (s *Store) life(r state.Record) time.Duration {
	return max(r.Expires.Sub(state.MicrosOf(s.now())), time.Millisecond)
}

// Create implements state.Store.
func (s *Store) Create(ctx context.Context, k state.Key, r state.Record) error {
	doc, err := r.Encode()
	if err != nil {
		return err
	}
	if r.Login.Subject != "" {
		if err := s.index(ctx, k, r); err != nil {
			return err
		}
	}
	// A record that has expired by our clock and not by that of Redis gives way,
	// and so does one that cannot be read: but only as it was read.
	var gone string
	for {
		old, err := createScript.Run(ctx, s.client, []string{recordKey(k)}, wire(1, &r, doc), s.life(r).Milliseconds(), gone).Text()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		if err != nil {
			return wrap(err)
		}
		if _, err := s.decode([]byte(old)); err == nil {
			return state.ErrExists
		}
		gone = old
	}
}

var (
	// Returns what is there, or nil if it was nothing, of another type or what
	// may be replaced.
	createScript = redis.NewScript(`
local old = redis.pcall('GET', KEYS[1])
if type(old) == 'string' and old ~= ARGV[3] then return old end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false`)

	// 1: done, 0: another revision, -1: none
	updateScript = redis.NewScript(`
local old = redis.call('GET', KEYS[1])
if not old then return -1 end
local rev, expires = string.match(old, '^(%d+) (%d+)[ \n]')
if not rev or tonumber(expires) <= tonumber(ARGV[4]) then return -1 end
if rev ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)
)

// Load implements state.Store, in one round trip. A record that cannot be
// decoded, or is of another type, is not found.
func (s *Store) Load(ctx context.Context, k state.Key) (state.Record, error) {
	text, err := s.client.Get(ctx, recordKey(k)).Bytes()
	switch {
	case err == nil:
		return s.decode(text)
	case errors.Is(err, redis.Nil), redis.HasErrorPrefix(err, "WRONGTYPE"):
		return state.Record{}, state.ErrNotFound
	}
	return state.Record{}, wrap(err)
}

func (s *Store) decode(text []byte) (state.Record, error) {
	head, doc, _ := bytes.Cut(text, []byte("\n"))
	number, _, _ := strings.Cut(string(head), " ")
	rev, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return state.Record{}, state.ErrNotFound
	}
	r, err := state.DecodeRecord(doc, rev)
	if err != nil || state.MicrosOf(s.now()) >= r.Expires {
		return state.Record{}, state.ErrNotFound
	}
	return r, nil
}

// Update implements state.Store, in one round trip.
func (s *Store) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	doc, err := r.Encode()
	if err != nil {
		return err
	}
	if r.Login.Subject != "" && r.Login.ExpiresAt == 0 { // the index has to last as long as the record
		if err := s.index(ctx, k, r); err != nil {
			return err
		}
	}
	done, err := updateScript.Run(ctx, s.client, []string{recordKey(k)},
		rev, wire(rev+1, &r, doc), s.life(r).Milliseconds(), int64(state.MicrosOf(s.now()))).Int()
	switch {
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		return state.ErrNotFound
	case err != nil:
		return wrap(err)
	case done < 0:
		return state.ErrNotFound
	case done == 0:
		return state.ErrConflict
	}
	if r.Rotation.Revoked && r.Login.Subject != "" {
		_ = s.index(ctx, k, r) // or the next reader of the index moves it
	}
	return nil
}

// Delete implements state.Store. The index drops the key when it is read.
func (s *Store) Delete(ctx context.Context, k state.Key) error {
	return wrap(s.client.Del(ctx, recordKey(k)).Err())
}

// wrap says of an error of Redis that it is the store's.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, redis.ErrPoolTimeout) {
		err = lateError{err}
	}
	return fmt.Errorf("store: %w", err)
}

// A lateError is an error of an operation that has waited too long for a connection. The
// client's own error does not say that it was a matter of time.
type lateError struct{ error }

// Timeout reports that the time was too short.
func (lateError) Timeout() bool { return true }

// Unwrap returns the client's own error.
func (e lateError) Unwrap() error { return e.error }

// Warnings implements store.Warner. With any maxmemory-policy but noeviction, Redis
// logs users out when its memory is full.
func (s *Store) Warnings(ctx context.Context) []string {
	var mu sync.Mutex
	var found []string
	ask := func(ctx context.Context, c redis.Cmdable) error {
		// Not CONFIG GET, which a provider of Redis forbids.
		info, err := c.Info(ctx, "memory").Result()
		_, policy, _ := strings.Cut(info, "maxmemory_policy:")
		policy, _, _ = strings.Cut(policy, "\r\n")
		warning := "Redis has maxmemory-policy " + policy + " and deletes logins when its memory is full: set maxmemory-policy noeviction"
		switch {
		case redis.HasErrorPrefix(err, "NOPERM"):
			warning = "Redis refuses this user INFO: the server cannot see whether Redis deletes logins when its memory is full: grant +info"
		case err != nil || policy == "" || policy == "noeviction":
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		found = append(found, warning)
		return nil
	}
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		_ = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return ask(ctx, c) })
	} else {
		_ = ask(ctx, s.client)
	}
	slices.Sort(found)
	return slices.Compact(found) // once, however many nodes say it
}
