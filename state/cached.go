package state

import (
	"context"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// cachedSession is session with its record in the database, behind a cache in this
// process, as Django's cached_db has it: most requests are answered without a
// look-up, and what another node has done to a login is seen a moment later.
type cachedSession struct {
	*session
	remembered *cachedStore
}

var (
	_ Strategy    = (*cachedSession)(nil)
	_ Lister      = (*cachedSession)(nil)
	_ Ender       = (*cachedSession)(nil)
	_ Inspector   = (*cachedSession)(nil)
	_ Remembering = (*cachedSession)(nil)
)

const (
	// staleFor bounds how long a node goes by what it remembers. It is how long a
	// logout on one node leaves a copy alive on another.
	staleFor = 2 * time.Second
	// maxRemembered and maxRememberedBytes bound the records that a node remembers, and
	// the memory that they take together. It may forget any.
	maxRemembered      = 10_000
	maxRememberedBytes = 64 << 20
	recordBytes        = 650 // of one with short texts
)

// weight is what a record counts for of maxRememberedBytes: its size, and at least the
// part that keeps the number of small records within maxRemembered.
func weight(_ Key, r remembered) uint32 {
	size := max(recordBytes+r.VariableBytes(), maxRememberedBytes/maxRemembered+1)
	return uint32(min(size, math.MaxUint32)) // #nosec G115 -- it is within the range
}

// NewCachedSession returns the strategy that keeps logins in c.Store and remembers
// what it has read from there.
func NewCachedSession(c Config, t Transport) Strategy { return newCachedSession(c, t) }

func newCachedSession(c Config, t Transport) *cachedSession {
	remembered := &cachedStore{
		Store: c.Store, now: c.now,
		cache: otter.Must(&otter.Options[Key, remembered]{MaximumWeight: maxRememberedBytes, Weigher: weight}),
	}
	c.Store = remembered
	return &cachedSession{newSession(c, t), remembered}
}

func (s *cachedSession) Traits() Traits {
	t := s.session.Traits()
	t.StaleSeconds = int(staleFor / time.Second)
	return t
}

// Records implements Remembering.
func (s *cachedSession) Records() Store { return s.remembered }

// Inspect implements Inspector, and says how old the record is that was gone by.
func (s *cachedSession) Inspect(r *http.Request, h Held) (Inspection, error) {
	in, err := s.session.Inspect(r, h)
	if found, ok := s.remembered.find(h.key); ok && err == nil {
		age := s.now().Sub(found.at).Seconds()
		in.Held.CachedSeconds = &age
	}
	return in, err
}

// A cachedStore is a Store that remembers what it has loaded for staleFor. What is
// written through it is forgotten, whether that succeeded or not.
type cachedStore struct {
	Store
	now   func() Micros
	cache *otter.Cache[Key, remembered]
	locks [64]generation // by the first byte of the key
}

// remembered is a record, and when it was read.
type remembered struct {
	Record
	at Micros
}

// A generation counts the writes to some keys. A record that was read before a
// write is not remembered after it: nobody would forget it again.
type generation struct {
	sync.Mutex
	writes uint64
}

func (s *cachedStore) lock(k Key) *generation { return &s.locks[int(k[0])%len(s.locks)] }

// find returns what is remembered and still good.
func (s *cachedStore) find(k Key) (remembered, bool) {
	found, ok := s.cache.GetIfPresent(k)
	now := s.now()
	return found, ok && now >= found.at && now.Sub(found.at) < staleFor && now < found.Expires
}

// Load implements Store.
func (s *cachedStore) Load(ctx context.Context, k Key) (Record, error) {
	if found, ok := s.find(k); ok {
		return found.Record, nil
	}
	g := s.lock(k)
	g.Lock()
	before := g.writes
	g.Unlock()
	at := s.now()
	rec, err := s.Store.Load(ctx, k)
	if err != nil {
		return rec, err
	}
	g.Lock()
	defer g.Unlock()
	if g.writes == before {
		s.cache.Set(k, remembered{rec, at})
	}
	return rec, nil
}

// forget is called after each write.
func (s *cachedStore) forget(k Key) {
	g := s.lock(k)
	g.Lock()
	defer g.Unlock()
	g.writes++
	s.cache.Invalidate(k)
}

// Create implements Store.
func (s *cachedStore) Create(ctx context.Context, k Key, r Record) error {
	defer s.forget(k)
	return s.Store.Create(ctx, k, r)
}

// Update implements Store. Whoever has lost against another node finds the newest
// record at the next Load.
func (s *cachedStore) Update(ctx context.Context, k Key, rev int64, r Record) error {
	defer s.forget(k)
	return s.Store.Update(ctx, k, rev, r)
}

// EndSubject implements Store. It forgets what is remembered of the logins, and
// has no read that began before it remembered: which keys end only the store knows.
func (s *cachedStore) EndSubject(ctx context.Context, e Ending) (int, error) {
	defer func() {
		for i := range s.locks {
			s.locks[i].Lock()
			s.locks[i].writes++
			s.locks[i].Unlock()
		}
		for k, found := range s.cache.All() {
			if found.Login.Subject == e.Subject && found.Strategy == e.Strategy {
				s.cache.Invalidate(k)
			}
		}
	}()
	return s.Store.EndSubject(ctx, e)
}

// Delete implements Store.
func (s *cachedStore) Delete(ctx context.Context, k Key) error {
	defer s.forget(k)
	return s.Store.Delete(ctx, k)
}
