package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"statelab/state"
)

// Redis is a state.Store in a Redis server, a cluster, or what a Sentinel
// watches. What it acknowledges survives a failure of Redis as far as that
// server's own persistence goes: with appendfsync always all of it, with
// everysec all but the last second, without either none.
//
// A record is one string, "REV EXPIRES\nDOCUMENT", with the server's own expiry.
// Two sorted sets for each subject and strategy list its live logins and its
// revoked ones, by the time at which they began: see redis_index.go.
type Redis struct {
	client redis.UniversalClient
	now    func() time.Time
}

var (
	_ state.Store = (*Redis)(nil)
	_ Warner      = (*Redis)(nil)
)

// How long Redis may take, and how many connections to it there may be: whoever
// has to wait for one costs more than one. A retried command could count as a
// second one, so there are no retries below us.
const (
	redisDialTimeout = 500 * time.Millisecond
	redisReadTimeout = 700 * time.Millisecond
	redisPool        = 64
)

// NewRedis returns a store at the address: redis://USER:PASSWORD@HOST:PORT/DB,
// or rediss:// for TLS. Several hosts, separated by commas, are a cluster; with
// ?master=NAME they are Sentinels. It does not connect.
func NewRedis(address string, o Options) (*Redis, error) {
	client, err := redisClient(address, o.Patience)
	if err != nil {
		return nil, err
	}
	s := &Redis{client: client, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

// RedisClient returns a client of the servers at an address as NewRedis reads it,
// with the same patience, for whatever else is kept there. It does not connect.
func RedisClient(address string) (redis.UniversalClient, error) { return redisClient(address, 0) }

func redisClient(address string, patience time.Duration) (redis.UniversalClient, error) {
	options, err := parseRedis(address)
	if err != nil {
		return nil, err
	}
	if patience > 0 {
		options.DialTimeout, options.ReadTimeout = patience, patience
		options.WriteTimeout, options.PoolTimeout = patience, patience
	}
	quiet()
	return redis.NewUniversalClient(options), nil
}

// quiet stops the client from logging each failure by itself, beside us. It is
// a global of the client's.
var quiet = sync.OnceFunc(logging.Disable)

var errRedisAddress = errors.New("the address of Redis cannot be read: use redis://USER:PASSWORD@HOST:PORT/DB")

// parseRedis reads an address. Its errors do not repeat it: it may hold a
// password.
func parseRedis(address string) (*redis.UniversalOptions, error) {
	scheme, rest, _ := strings.Cut(address, "://")
	authority, tail, _ := strings.Cut(rest, "/")
	userinfo, hosts := "", authority
	if i := strings.LastIndex(authority, "@"); i >= 0 {
		userinfo, hosts = authority[:i+1], authority[i+1:]
	}
	if q := strings.Index(hosts, "?"); q >= 0 {
		hosts, tail = hosts[:q], hosts[q:]
	}
	if hosts == "" {
		return nil, errRedisAddress
	}
	all := strings.Split(hosts, ",")
	for i, host := range all {
		h, err := url.Parse("redis://" + host)
		if err != nil || h.Hostname() == "" {
			return nil, errRedisAddress
		}
		all[i] = net.JoinHostPort(h.Hostname(), cmp.Or(h.Port(), "6379"))
	}
	u, err := url.Parse(scheme + "://" + userinfo + all[0] + "/" + tail)
	if err != nil {
		return nil, errRedisAddress
	}
	master := u.Query().Get("master")
	u.RawQuery = "" // the rest is ours to set
	single, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, errRedisAddress
	}
	if single.TLSConfig != nil {
		single.TLSConfig.ServerName = "" // each host shows a certificate of its own
	}
	return &redis.UniversalOptions{
		Addrs: all, MasterName: master, DB: single.DB, TLSConfig: single.TLSConfig,
		Username: single.Username, Password: single.Password,
		DialTimeout: redisDialTimeout, ReadTimeout: redisReadTimeout, WriteTimeout: redisReadTimeout, PoolTimeout: redisReadTimeout,
		ContextTimeoutEnabled: true, // else a hung server outlasts the request's deadline
		MaxRetries:            -1, DialerRetries: 1, MaxRedirects: 3,
		PoolSize: redisPool, MinIdleConns: 1, ConnMaxIdleTime: 5 * time.Minute,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}, nil
}

const redisPrefix = "statelab:"

func recordKey(k state.Key) string { return redisPrefix + "record:" + k.String() }

func wire(rev int64, expires state.Micros, doc []byte) string {
	return fmt.Sprintf("%d %d\n%s", rev, expires, doc)
}

// Name implements state.Store.
func (*Redis) Name() string { return "redis" }

// Ping implements state.Store.
func (s *Redis) Ping(ctx context.Context) error { return s.client.Ping(ctx).Err() }

// Close implements state.Store.
func (s *Redis) Close() error { return s.client.Close() }

// life returns how long a record has to live. Redis is told a duration and not
// a moment, so that its clock and ours are never compared.
func (s *Redis) life(r state.Record) time.Duration {
	return max(r.Expires.Sub(state.MicrosOf(s.now())), time.Millisecond)
}

// Create implements state.Store.
func (s *Redis) Create(ctx context.Context, k state.Key, r state.Record) error {
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
	// and so does one that nobody can read: but only as it was read.
	var gone string
	for {
		old, err := createScript.Run(ctx, s.client, []string{recordKey(k)}, wire(1, r.Expires, doc), s.life(r).Milliseconds(), gone).Text()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("store: %w", err)
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
local rev, expires = string.match(old, '^(%d+) (%d+)\n')
if not rev or tonumber(expires) <= tonumber(ARGV[4]) then return -1 end
if rev ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)
)

// Load implements state.Store, in one round trip. A record that cannot be
// decoded, or is of another type, is not found.
func (s *Redis) Load(ctx context.Context, k state.Key) (state.Record, error) {
	text, err := s.client.Get(ctx, recordKey(k)).Bytes()
	switch {
	case err == nil:
		return s.decode(text)
	case errors.Is(err, redis.Nil), redis.HasErrorPrefix(err, "WRONGTYPE"):
		return state.Record{}, state.ErrNotFound
	}
	return state.Record{}, fmt.Errorf("store: %w", err)
}

func (s *Redis) decode(text []byte) (state.Record, error) {
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
func (s *Redis) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	doc, err := r.Encode()
	if err != nil {
		return err
	}
	done, err := updateScript.Run(ctx, s.client, []string{recordKey(k)},
		rev, wire(rev+1, r.Expires, doc), s.life(r).Milliseconds(), int64(state.MicrosOf(s.now()))).Int()
	switch {
	case redis.HasErrorPrefix(err, "WRONGTYPE"):
		return state.ErrNotFound
	case err != nil:
		return fmt.Errorf("store: %w", err)
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
func (s *Redis) Delete(ctx context.Context, k state.Key) error {
	if err := s.client.Del(ctx, recordKey(k)).Err(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store: %w", err)
}

// Warnings implements Warner. With any maxmemory-policy but noeviction, Redis
// logs people out when its memory is full.
func (s *Redis) Warnings(ctx context.Context) []string {
	var mu sync.Mutex
	var found []string
	ask := func(ctx context.Context, c redis.Cmdable) error {
		// Not CONFIG GET, which whoever runs Redis for others forbids.
		info, err := c.Info(ctx, "memory").Result()
		_, policy, _ := strings.Cut(info, "maxmemory_policy:")
		policy, _, _ = strings.Cut(policy, "\r\n")
		if err != nil || policy == "" || policy == "noeviction" {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		found = append(found, "Redis has maxmemory-policy "+policy+", so it logs people out when its memory is full: set noeviction")
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
