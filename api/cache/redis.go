package cache

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"
)

// Redis is a Store in a Redis server or cluster that several nodes share. It also
// carries the news of invalidations between them: whatever one node invalidates
// here is invalidated in the Memory of the others, within a round trip.
//
// A path has a generation, a random text, and an entry begins with the one that it
// was computed in. Both lie in one slot of a cluster. Whatever Redis loses, be it
// the generation, makes a miss and never an old answer. A server that comes back
// with an older state, or another one that takes its place with one, has not heard
// of the last invalidations: generations begin with the run that they are of, and
// end with it.
//
// A server that does not answer is left alone for a moment, so that requests do not
// wait for it one by one. What Redis refuses to this user is done without, as far as
// that is safe, and Warnings says so.
type Redis struct {
	client redis.UniversalClient
	prefix string
	node   string // tells our own news from those of others
	local  *Memory
	rest   atomic.Int64 // until when Redis is not asked, by the clock in nanoseconds; zero: it may be asked

	patience time.Duration    // bounds one operation
	clock    func() time.Time // times outages

	mu      sync.Mutex
	pending map[string]struct{} // paths whose invalidation Redis has not heard of
	late    atomic.Bool         // there are such

	noted  sync.RWMutex
	known  map[string]bool // what Warnings returns
	report func(warning string)

	subscription *redis.PubSub
	subscribed   chan struct{}
	stop         context.CancelFunc
	stopped      sync.WaitGroup
}

var _ Store = (*Redis)(nil)

const (
	// DefaultRedisPatience bounds one operation: a handler is mostly faster than a cache
	// that hangs.
	DefaultRedisPatience = 500 * time.Millisecond
	// redisRest is how long a Redis that has failed is not asked.
	redisRest = 500 * time.Millisecond
	// redisLongest is how long Redis keeps anything. An entry is kept for twice as
	// long as it is fresh, to be asked about when it is stale.
	redisLongest = 24 * time.Hour
	// redisPending is how many paths are remembered whose invalidation has failed.
	// Past it, old answers end when they are stale.
	redisPending = 10_000
	// redisProbe is after how many rests a refused subscription is tried again.
	redisProbe = 20
)

// What a user of Redis may lack. Each is a sentence for the operator.
const (
	noChannel = "Redis refuses this user the channel of the cache: after a change, " +
		"other servers may show what they keep in memory until it is stale: grant &statelab:*"
	noInfo = "Redis refuses this user INFO: if Redis restarts with an older state, " +
		"the cache may show answers from before a change until they are stale: grant +info"
	noCommands = "Redis refuses this user a command or the keys of the cache: the cache policy redis keeps nothing"
)

// wallClock times outages: a lesson that moves a clock must not end one.
var wallClock = time.Now

var errResting = errors.New("cache: redis failed a moment ago")

// NewRedis returns a Store over the client, which it does not close, with keys
// under the prefix. What other nodes invalidate there it invalidates in local, if
// that is not nil. It listens for them until Close, and waits a moment until it
// does; a Redis that is down makes it no error. Patience bounds each operation; zero:
// DefaultRedisPatience.
func NewRedis(client redis.UniversalClient, prefix string, local *Memory, patience time.Duration) *Redis {
	ctx, stop := context.WithCancel(context.Background())
	s := &Redis{
		client: client, prefix: prefix, node: rand.Text(), local: local, pending: map[string]struct{}{}, known: map[string]bool{},
		patience: cmp.Or(patience, DefaultRedisPatience), clock: wallClock,
		subscribed: make(chan struct{}), stop: stop,
	}
	s.subscription = client.Subscribe(ctx, s.channel())
	s.stopped.Go(s.listen)
	s.stopped.Go(func() { s.catchUp(ctx) })
	select {
	case <-s.subscribed:
	case <-time.After(s.patience):
	}
	return s
}

// Close stops listening.
func (s *Redis) Close() error {
	s.stop()
	err := s.subscription.Close()
	s.stopped.Wait()
	return err
}

// Warnings returns a sentence for each thing that Redis refuses to this user.
func (s *Redis) Warnings() []string {
	s.noted.Lock()
	defer s.noted.Unlock()
	return slices.Sorted(maps.Keys(s.known))
}

// Report has f called with each warning when it begins, and with those that there are.
func (s *Redis) Report(f func(warning string)) {
	s.noted.Lock()
	defer s.noted.Unlock()
	s.report = f
	for warning := range s.known {
		f(warning)
	}
}

// note keeps whether a warning holds.
func (s *Redis) note(warning string, holds bool) {
	s.noted.RLock() // nearly always it is as it was
	same := s.known[warning] == holds
	s.noted.RUnlock()
	if same {
		return
	}
	s.noted.Lock()
	defer s.noted.Unlock()
	switch {
	case !holds:
		delete(s.known, warning)
	case !s.known[warning]:
		s.known[warning] = true
		if s.report != nil {
			s.report(warning)
		}
	}
}

// refused says whether Redis does not allow its user to do this. From Redis 7 on, an error
// within a script has other words than one outside.
func refused(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "The user executing the script can't")
}

func (s *Redis) channel() string { return s.prefix + "invalidated" }

// listen hears what other nodes invalidate. A message can be missed only while
// there is no connection, so with each new one the local cache starts empty.
func (s *Redis) listen() {
	first := sync.OnceFunc(func() { close(s.subscribed) })
	for news := range s.subscription.ChannelWithSubscriptions() {
		switch news := news.(type) {
		case *redis.Subscription:
			if s.local != nil {
				s.local.Clear()
			}
			s.note(noChannel, false)
			first()
		case *redis.Message:
			node, path, _ := strings.Cut(news.Payload, " ")
			if s.local != nil && node != s.node {
				_ = s.local.Invalidate(context.Background(), path) // it never fails
			}
		}
	}
}

// hears says whether there has been a subscription.
func (s *Redis) hears() bool {
	select {
	case <-s.subscribed:
		return true
	default:
		return false
	}
}

// catchUp tells Redis what it has missed, also if no request comes.
func (s *Redis) catchUp(ctx context.Context) {
	tick := time.NewTicker(redisRest)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = s.flush(ctx) // or at the next tick
			if n%redisProbe == 0 {
				s.probe(ctx)
			}
		}
	}
}

// probe finds out why there has been no subscription yet: the client hides the answer of
// Redis from those who listen. It subscribes again once Redis allows it.
func (s *Redis) probe(ctx context.Context) {
	if s.hears() {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	attempt := s.client.Subscribe(bounded, s.channel())
	_, err := attempt.Receive(bounded)
	_ = attempt.Close()
	if err == nil {
		_ = s.subscription.Subscribe(bounded, s.channel())
	} else if refused(err) {
		s.note(noChannel, true)
	}
}

// do runs one operation. Of many that find Redis rested, one probes it.
func (s *Redis) do(ctx context.Context, f func(context.Context) error) error {
	if until := s.rest.Load(); until != 0 {
		now := s.clock().UnixNano()
		if now < until || !s.rest.CompareAndSwap(until, now+int64(s.patience)) {
			return errResting
		}
	}
	bounded, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	err := f(bounded)
	var reply redis.Error
	switch {
	case err == nil, errors.As(err, &reply): // it answers, be it that it has no room
		s.rest.Store(0)
		s.note(noCommands, refused(err))
	case ctx.Err() == nil: // it was Redis, and not the client that has left
		s.rest.Store(s.clock().Add(redisRest).UnixNano())
	}
	if err != nil {
		err = fmt.Errorf("cache: %w", err)
	}
	return err
}

// names are the keys in Redis: of a path's generation, and of an entry. The braces
// put them into one slot of a cluster.
func (s *Redis) names(k Key) (generation, entry string) {
	path := s.prefix + "{" + hash(k.Path) + "}:"
	return path + "generation", path + hash(k.Variant)
}

// hash is a truncated SHA-256: what clients ask for may be long, and nobody can
// make two of them share an entry.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// denied is for scripts: whether a reply says that the user may not do this. A key of
// another type is as good as none.
const denied = `
local function denied(reply)
  return type(reply) == 'table' and reply.err and (string.find(reply.err, "NOPERM") or string.find(reply.err, "script can't"))
end`

var (
	// Returns the generation, which begins now if there was none of this run of the
	// server, the entry if it is of that one, and the run: '' where the user may not ask
	// for it.
	redisGet = redis.NewScript(denied + `
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
local generation = redis.pcall('GET', KEYS[1])
if denied(generation) then return generation end
if type(generation) ~= 'string' or string.sub(generation, 1, #run) ~= run then
  generation = run .. ARGV[1]
  redis.call('SET', KEYS[1], generation, 'PX', ARGV[2])
  return {generation, false, run}
end
local entry = redis.pcall('GET', KEYS[2])
if type(entry) ~= 'string' or string.sub(entry, 1, #generation) ~= generation then return {generation, false, run} end
return {generation, entry, run}`)

	// 1: kept, 0: the generation is another one
	redisSet = redis.NewScript(denied + `
local generation = redis.pcall('GET', KEYS[1])
if denied(generation) then return generation end
if generation ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1`)
)

// Get implements Store, in one round trip.
func (s *Redis) Get(ctx context.Context, k Key) (e *Entry, g Generation, err error) {
	if err := s.flush(ctx); err != nil {
		return nil, Generation{}, err
	}
	generation, entry := s.names(k)
	var reply []any
	err = s.do(ctx, func(ctx context.Context) (err error) {
		reply, err = redisGet.Run(ctx, s.client, []string{generation, entry}, rand.Text(), redisLongest.Milliseconds()).Slice()
		return err
	})
	if err != nil || len(reply) != 3 {
		return nil, Generation{}, err
	}
	s.note(noInfo, reply[2] == "")
	g.text, _ = reply[0].(string)
	if text, ok := reply[1].(string); ok {
		e = decode([]byte(text[len(g.text):]))
	}
	return e, g, nil
}

// Set implements Store.
func (s *Redis) Set(ctx context.Context, k Key, g Generation, e *Entry) error {
	if s.late.Load() {
		return ErrSuperseded // perhaps, and that is enough
	}
	text, err := e.encode()
	if err != nil {
		return err
	}
	life := min(2*max(e.Fresh, time.Minute), redisLongest)
	generation, entry := s.names(k)
	var kept int
	err = s.do(ctx, func(ctx context.Context) (err error) {
		kept, err = redisSet.Run(ctx, s.client, []string{generation, entry},
			g.text, g.text+string(text), life.Milliseconds(), redisLongest.Milliseconds()).Int()
		return err
	})
	if err == nil && kept == 0 {
		return ErrSuperseded
	}
	return err
}

// Invalidate implements Store.
func (s *Redis) Invalidate(ctx context.Context, paths ...string) error {
	s.mu.Lock()
	for _, path := range paths {
		if len(s.pending) < redisPending {
			s.pending[path] = struct{}{}
		}
	}
	s.late.Store(len(s.pending) > 0)
	s.mu.Unlock()
	return s.flush(ctx)
}

// flush tells Redis what has been invalidated. It is held by one at a time, so
// that whoever finds nothing to tell knows that it has been told.
func (s *Redis) flush(ctx context.Context) error {
	if !s.late.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		return nil
	}
	err := s.do(ctx, func(ctx context.Context) error {
		commands, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for path := range s.pending {
				generation, _ := s.names(Key{Path: path})
				pipe.Set(ctx, generation, rand.Text(), redisLongest)
				pipe.Publish(ctx, s.channel(), s.node+" "+path)
			}
			return nil
		})
		if !refused(err) {
			if err == nil && s.hears() {
				s.note(noChannel, false)
			}
			return err
		}
		for _, c := range commands { // the new generation counts, also if the news of it is refused
			if err := c.Err(); err != nil && (c.Name() != "publish" || !refused(err)) {
				return err
			}
		}
		s.note(noChannel, true)
		return nil
	})
	if err == nil {
		clear(s.pending)
		s.late.Store(false)
	}
	return err
}

// A head is the first line of an entry in Redis. The body follows as it is.
type head struct {
	Version int           `json:"v"`
	Status  int           `json:"status"`
	Header  http.Header   `json:"header,omitempty"`
	Made    int64         `json:"made"`              // microseconds since 1970
	Age     time.Duration `json:"age,format:nano"`   // in nanoseconds
	Fresh   time.Duration `json:"fresh,format:nano"` // in nanoseconds
	Vary    []string      `json:"vary,omitempty"`
}

// headVersion is that of the form. What another version of the program has written
// is a miss.
const headVersion = 1

func (e *Entry) encode() ([]byte, error) {
	line, err := json.Marshal(head{headVersion, e.Status, e.Header, e.Made.UnixMicro(), e.Age, e.Fresh, e.Vary})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return append(append(line, '\n'), e.Body...), nil
}

// decode returns what encode has written, or nil.
func decode(text []byte) *Entry {
	line, body, ok := bytes.Cut(text, []byte("\n"))
	var h head
	if !ok || json.Unmarshal(line, &h) != nil || h.Version != headVersion {
		return nil
	}
	return &Entry{
		Status: h.Status, Header: h.Header, Body: body, Vary: h.Vary,
		Made: time.UnixMicro(h.Made), Age: h.Age, Fresh: h.Fresh,
	}
}
