// Package memory has the store of records in the memory of the process. It builds neither a
// driver of a database nor a client of Redis.
package memory

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"statelab/state"
	"statelab/state/store"
)

// A memory store keeps at most a million records, and at most 650 megabytes. A million logins
// with short texts take about 430 megabytes.
const (
	DefaultMaxRecords = 1_000_000
	DefaultMaxBytes   = 650_000_000
)

const (
	shards     = 256             // so that a lock is held for a 256th of the records at most
	sweepEvery = 5 * time.Second // how long an expired record may still take up memory
	sweepBatch = 256             // records that a sweep removes while it holds a lock
)

// Store is a state.Store in the memory of the process. It forgets everything when the
// process ends.
type Store struct {
	now                  func() time.Time
	maxRecords, maxBytes int64
	count, bytes, logins atomic.Int64 // live or not yet swept

	records  [shards]recordShard
	subjects [shards]subjectShard
	seed     maphash.Seed

	stop    chan struct{}
	stopped sync.WaitGroup
}

type recordShard struct {
	mu   sync.RWMutex
	m    map[state.Key]*entry
	peak int      // the most records since m was made
	_    [64]byte // keeps neighbouring locks off one cache line
}

// An entry is a record in its shard, under that shard's lock, and in the list
// of its subject's records, under the lock of the subject's shard. Of the
// two locks, the record's is taken first.
type entry struct {
	packed
	key        state.Key
	prev, next *entry
}

// subjectShard has the first record of each subject's list.
type subjectShard struct {
	mu sync.Mutex
	m  map[string]*entry
}

var _ state.Store = (*Store)(nil)

// New returns an empty store and starts its sweep, which Close stops.
func New(o store.Options) *Store {
	s := &Store{now: o.Now, maxRecords: int64(o.MaxRecords), maxBytes: o.MaxBytes, seed: maphash.MakeSeed(), stop: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	if s.maxRecords <= 0 {
		s.maxRecords = DefaultMaxRecords
	}
	if s.maxBytes <= 0 {
		s.maxBytes = DefaultMaxBytes
	}
	for i := range s.records {
		s.records[i].m = make(map[state.Key]*entry)
		s.subjects[i].m = make(map[string]*entry)
	}
	s.stopped.Go(s.sweepUntilStopped)
	return s
}

// Name implements state.Store.
func (*Store) Name() string { return "memory" }

// Ping implements state.Store.
func (*Store) Ping(ctx context.Context) error { return ctx.Err() }

// Close implements state.Store.
func (s *Store) Close() error {
	close(s.stop)
	s.stopped.Wait()
	return nil
}

func (s *Store) clock() state.Micros { return state.MicrosOf(s.now()) }

// shard spreads keys evenly, since they are hashes.
func (s *Store) shard(k state.Key) *recordShard {
	return &s.records[binary.LittleEndian.Uint16(k[:])%shards]
}

func (s *Store) subjectShard(subject string) *subjectShard {
	return &s.subjects[maphash.String(s.seed, subject)%shards]
}

// Create implements state.Store.
func (s *Store) Create(ctx context.Context, k state.Key, r state.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now, sh := s.clock(), s.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if old, ok := sh.m[k]; ok {
		if now < old.expires {
			return state.ErrExists
		}
		s.remove(sh, old)
	}
	if !s.reserve(1, sizeOf(&r)) {
		return state.ErrFull
	}
	if r.Kind == state.KindLogin {
		s.logins.Add(1)
	}
	e := &entry{key: k}
	r.Rev = 1
	e.set(&r)
	sh.m[k] = e
	sh.peak = max(sh.peak, len(sh.m))
	s.index(e)
	return nil
}

// reserve counts records and bytes more, unless they would exceed a cap. Fewer
// bytes always fit.
func (s *Store) reserve(records, bytes int64) bool {
	n, b := s.count.Add(records), s.bytes.Add(bytes)
	if records > 0 && n > s.maxRecords || bytes > 0 && b > s.maxBytes {
		s.count.Add(-records)
		s.bytes.Add(-bytes)
		return false
	}
	return true
}

// Load implements state.Store.
func (s *Store) Load(ctx context.Context, k state.Key) (state.Record, error) {
	if err := ctx.Err(); err != nil {
		return state.Record{}, err
	}
	now, sh := s.clock(), s.shard(k)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	e, ok := sh.m[k]
	if !ok || now >= e.expires {
		return state.Record{}, state.ErrNotFound
	}
	return e.record(), nil
}

// Update implements state.Store.
func (s *Store) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now, sh := s.clock(), s.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	old, ok := sh.m[k]
	switch {
	case !ok || now >= old.expires:
		return state.ErrNotFound
	case old.rev != rev:
		return state.ErrConflict
	}
	r.Rev = rev + 1
	before := old.record()
	if !s.reserve(0, sizeOf(&r)-sizeOf(&before)) {
		return state.ErrFull
	}
	old.set(&r)
	return nil
}

// Delete implements state.Store.
func (s *Store) Delete(ctx context.Context, k state.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sh := s.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if old, ok := sh.m[k]; ok {
		s.remove(sh, old)
	}
	return nil
}

// BySubject implements state.Store.
func (s *Store) BySubject(ctx context.Context, subject string) ([]state.Entry, error) {
	keys := s.keys(subject)
	if len(keys) == 0 {
		return nil, ctx.Err()
	}
	entries := make([]state.Entry, 0, len(keys))
	for _, k := range keys {
		r, err := s.Load(ctx, k)
		if errors.Is(err, state.ErrNotFound) {
			continue // ended meanwhile
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, state.Entry{Key: k, Record: r})
	}
	return entries, nil
}

// keys returns the keys of a subject's records, the newest first.
func (s *Store) keys(subject string) []state.Key {
	if subject == "" {
		return nil
	}
	var keys []state.Key
	x := s.subjectShard(subject)
	x.mu.Lock()
	defer x.mu.Unlock()
	for e := x.m[subject]; e != nil; e = e.next {
		keys = append(keys, e.key)
	}
	return keys
}

// Logins implements state.Store. It visits all records of the subject, and copies none.
func (s *Store) Logins(ctx context.Context, q state.LoginQuery) ([]state.LoginHead, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var all []state.LoginHead
	for _, k := range s.keys(q.Subject) {
		if h, ok := s.head(k, q); ok {
			all = append(all, h)
		}
	}
	return store.Oldest(all, q.Skip), nil
}

// head returns the head of the login under k if q names it.
func (s *Store) head(k state.Key, q state.LoginQuery) (state.LoginHead, bool) {
	now, sh := s.clock(), s.shard(k)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	e, ok := sh.m[k]
	if !ok || now >= e.expires {
		return state.LoginHead{}, false
	}
	r := e.record()
	if r.Login.Subject != q.Subject || r.Strategy != q.Strategy || r.Rotation.Revoked != q.Ended {
		return state.LoginHead{}, false
	}
	return state.HeadOf(k, &r), true
}

// EndSubject implements state.Store. It walks all records of the subject, and
// ends each under the lock of its shard.
func (s *Store) EndSubject(ctx context.Context, e state.Ending) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	ended := 0
	for _, k := range s.keys(e.Subject) {
		if s.endOne(k, e) {
			ended++
		}
	}
	return ended, nil
}

// endOne ends the login under k if e names it.
func (s *Store) endOne(k state.Key, e state.Ending) bool {
	now, sh := s.clock(), s.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	old, ok := sh.m[k]
	if !ok || now >= old.expires {
		return false
	}
	switch r := old.record(); {
	case r.Login.Subject != e.Subject, r.Strategy != e.Strategy, r.Rotation.Revoked != e.Ended:
		return false
	case r.Login.IssuedAt > e.Until, e.Except != "" && k.String() == e.Except:
		return false
	case e.Delete:
		s.remove(sh, old)
	default:
		s.bytes.Add(-sizeOf(&r))
		r.Revoke()
		r.Kind = e.Kind
		r.Rev++
		old.set(&r)
		s.bytes.Add(sizeOf(&r))
	}
	return true
}

// remove takes an entry out. The caller holds the shard's lock.
func (s *Store) remove(sh *recordShard, e *entry) {
	delete(sh.m, e.key)
	s.unindex(e)
	s.count.Add(-1)
	r := e.record()
	s.bytes.Add(-sizeOf(&r))
	if r.Kind == state.KindLogin {
		s.logins.Add(-1)
	}
}

// index puts an entry at the head of its subject's list.
func (s *Store) index(e *entry) {
	subject := e.subject()
	if subject == "" {
		return
	}
	x := s.subjectShard(subject)
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.next = x.m[subject]; e.next != nil {
		e.next.prev = e
	}
	x.m[strings.Clone(subject)] = e // the texts of the entry may change
}

func (s *Store) unindex(e *entry) {
	subject := e.subject()
	if subject == "" {
		return
	}
	x := s.subjectShard(subject)
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.next != nil {
		e.next.prev = e.prev
	}
	switch {
	case e.prev != nil:
		e.prev.next = e.next
	case e.next != nil:
		x.m[strings.Clone(subject)] = e.next
	default:
		delete(x.m, subject)
	}
}

// LiveLogins returns how many logins there are, those included that have ended and
// not been swept. It costs nothing.
func (s *Store) LiveLogins() int64 { return s.logins.Load() }

// Len returns how many records take up memory, expired ones included.
func (s *Store) Len() int {
	n := 0
	for i := range s.records {
		sh := &s.records[i]
		sh.mu.RLock()
		n += len(sh.m)
		sh.mu.RUnlock()
	}
	return n
}

// Sweep removes the records that have expired by the store's clock and gives
// their memory back. The store does so by itself every five seconds.
func (s *Store) Sweep() {
	now := s.clock()
	for i := range s.records {
		s.sweepShard(&s.records[i], now)
	}
}

func (s *Store) sweepShard(sh *recordShard, now state.Micros) {
	for some := range slices.Chunk(sh.expired(now), sweepBatch) {
		s.removeExpired(sh, some, now)
	}
	sh.shrink()
}

// expired returns the keys of the records that have expired.
func (sh *recordShard) expired(now state.Micros) (keys []state.Key) {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for k, e := range sh.m {
		if now >= e.expires {
			keys = append(keys, k)
		}
	}
	return keys
}

// removeExpired removes those records that are expired still.
func (s *Store) removeExpired(sh *recordShard, keys []state.Key, now state.Micros) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, k := range keys {
		if e := sh.m[k]; e != nil && now >= e.expires {
			s.remove(sh, e)
		}
	}
}

// shrink makes the map anew after most of its records have gone: a map keeps its memory.
func (sh *recordShard) shrink() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.peak > 64 && len(sh.m) < sh.peak/4 {
		m := make(map[state.Key]*entry, len(sh.m))
		maps.Copy(m, sh.m)
		sh.m, sh.peak = m, len(m)
	}
}

func (s *Store) sweepUntilStopped() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			s.Sweep()
		}
	}
}
