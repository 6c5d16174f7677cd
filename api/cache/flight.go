package cache

import "sync"

// A flight is a computation that others may wait for. What it brings is read when
// it is done.
type flight struct {
	done   chan struct{}
	landed sync.Once
	key    flightKey

	result result
	// Of a shared one: the answer, and the headers that have chosen it with what
	// they were. Whoever has others there must not get it; and if it is lost, since
	// the store took nothing, they would find no note of where to look for theirs.
	entry   *Entry
	names   []string
	variant string
	lost    bool
}

// A flightKey names what is computed. After an invalidation it is another one:
// whoever asks then must not get what was computed before.
type flightKey struct {
	Key
	Generation
}

// A result is what a flight brings for those who have waited.
type result int

const (
	landedAlone  result = iota // an answer for one request only
	landedShared               // an answer for all
	landedFailed               // a panic, or an error of the server
	landedEmpty                // nothing: it turned out not to be needed
)

func newFlight() *flight { return &flight{done: make(chan struct{})} }

// join returns the computation that is under way, or a new one that the caller has
// to make, and to land.
func (c *Cache) join(k flightKey) (f *flight, first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.flights[k]; ok {
		return f, false
	}
	f = newFlight()
	f.key = k
	c.flights[k] = f
	return f, true
}

// land ends a flight, once.
func (c *Cache) land(f *flight) {
	f.landed.Do(func() {
		c.mu.Lock()
		if c.flights[f.key] == f {
			delete(c.flights, f.key)
		}
		c.mu.Unlock()
		close(f.done)
	})
}
