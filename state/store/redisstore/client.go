package redisstore

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// How long Redis may take, and how many connections to it there may be: a request
// that has to wait for one costs more than one. A retried command could count as a
// second one, so there are no retries below us.
const (
	dialTimeout = 500 * time.Millisecond
	readTimeout = 700 * time.Millisecond
	poolSize    = 64
)

// NewClient returns a client of the servers at an address as New reads it, with the same
// patience, for other things that are kept there. It does not connect.
func NewClient(address string) (redis.UniversalClient, error) { return newClient(address, 0) }

// newClient is NewClient with a patience, of which zero means that of the constants above.
func newClient(address string, patience time.Duration) (redis.UniversalClient, error) {
	options, err := parse(address)
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

var errAddress = errors.New("the server cannot parse the address of Redis: use redis://USER:PASSWORD@HOST:PORT/DB")

// parse reads an address. Its errors do not repeat it: it may hold a
// password.
func parse(address string) (*redis.UniversalOptions, error) {
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
		return nil, errAddress
	}
	all := strings.Split(hosts, ",")
	for i, host := range all {
		h, err := url.Parse("redis://" + host)
		if err != nil || h.Hostname() == "" {
			return nil, errAddress
		}
		all[i] = net.JoinHostPort(h.Hostname(), cmp.Or(h.Port(), "6379"))
	}
	u, err := url.Parse(scheme + "://" + userinfo + all[0] + "/" + tail)
	if err != nil {
		return nil, errAddress
	}
	query := u.Query()
	u.RawQuery = "" // the rest is ours to set
	single, err := redis.ParseURL(u.String())
	if err != nil {
		return nil, errAddress
	}
	if single.TLSConfig != nil {
		single.TLSConfig.ServerName = "" // each host shows a certificate of its own
	}
	return &redis.UniversalOptions{
		Addrs: all, MasterName: query.Get("master"), DB: single.DB, TLSConfig: single.TLSConfig,
		Username: single.Username, Password: single.Password,
		SentinelUsername: query.Get("sentinel_user"), SentinelPassword: query.Get("sentinel_password"),
		DialTimeout: dialTimeout, ReadTimeout: readTimeout, WriteTimeout: readTimeout, PoolTimeout: readTimeout,
		ContextTimeoutEnabled: true, // else a hung server outlasts the request's deadline
		MaxRetries:            -1, DialerRetries: 1, MaxRedirects: 3,
		PoolSize: poolSize, MinIdleConns: 1, ConnMaxIdleTime: 5 * time.Minute,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}, nil
}
