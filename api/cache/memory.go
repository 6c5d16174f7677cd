package cache

import (
	"context"
	"hash/maphash"
	"math"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
)

// Memory is a Store in the process, of bounded size: the entries that are used
// least make way.
type Memory struct {
	cache *otter.Cache[Key, *kept]
	seed  maphash.Seed
	// Paths share these counters, or their number would grow with whatever
	// clients ask for. Whose neighbour is invalidated is computed once more.
	generations [1024]atomic.Uint64
}

var _ Store = (*Memory)(nil)

// DefaultMemory is how many bytes a Memory holds unless it is told otherwise.
const DefaultMemory = 64 << 20

// kept is an entry with the generation that it was computed in.
type kept struct {
	*Entry
	number uint64
}

// NewMemory returns an empty Memory of at most so many bytes, about; zero means
// DefaultMemory.
func NewMemory(bytes uint64) *Memory {
	if bytes == 0 {
		bytes = DefaultMemory
	}
	return &Memory{
		seed: maphash.MakeSeed(), // so that nobody can choose paths that share a counter
		cache: otter.Must(&otter.Options[Key, *kept]{MaximumWeight: bytes, Weigher: func(k Key, e *kept) uint32 {
			const overhead = 512 // of the structures around it
			weight := overhead + len(k.Path) + len(k.Variant) + len(e.Body)
			for name, values := range e.Header {
				weight += len(name) + 64
				for _, value := range values {
					weight += len(value)
				}
			}
			return uint32(min(weight, math.MaxUint32)) // #nosec G115 -- bounded
		}}),
	}
}

func (m *Memory) generation(path string) *atomic.Uint64 {
	return &m.generations[maphash.String(m.seed, path)%uint64(len(m.generations))]
}

// Get implements Store. It never fails.
func (m *Memory) Get(_ context.Context, k Key) (*Entry, Generation, error) {
	number := m.generation(k.Path).Load()
	if e, ok := m.cache.GetIfPresent(k); ok && e.number == number {
		return e.Entry, Generation{number: number}, nil
	}
	return nil, Generation{number: number}, nil
}

// Set implements Store. The entry carries its generation, so that one which is
// overtaken between the two lines is not found either.
func (m *Memory) Set(_ context.Context, k Key, g Generation, e *Entry) error {
	if m.generation(k.Path).Load() != g.number {
		return ErrSuperseded
	}
	m.cache.Set(k, &kept{e, g.number})
	return nil
}

// Invalidate implements Store. It never fails.
func (m *Memory) Invalidate(_ context.Context, paths ...string) error {
	for _, path := range paths {
		m.generation(path).Add(1)
	}
	return nil
}

// Clear drops everything, and all that is being computed.
func (m *Memory) Clear() {
	for i := range m.generations {
		m.generations[i].Add(1)
	}
	m.cache.InvalidateAll()
}
