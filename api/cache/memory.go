package cache

import (
	"context"
	"math"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
)

// Memory is a Store in the process, of bounded size: the entries that are used
// least make way.
//
// A path has a generation, a number that no other one has had, and an entry has
// the one that it was computed in. A generation can be lost as well: the path then
// gets another one, which makes a miss and never an old answer.
type Memory struct {
	entries     *otter.Cache[Key, *kept]
	generations *otter.Cache[string, uint64]
	last        atomic.Uint64 // generation that there was
}

var _ Store = (*Memory)(nil)

// maxGenerations bounds the paths that are told apart, whatever clients ask for.
const maxGenerations = 1 << 16

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
		generations: otter.Must(&otter.Options[string, uint64]{MaximumSize: maxGenerations}),
		entries: otter.Must(&otter.Options[Key, *kept]{MaximumWeight: bytes, Weigher: func(k Key, e *kept) uint32 {
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

func (m *Memory) generation(path string) Generation {
	number, ok := m.generations.GetIfPresent(path)
	if !ok {
		number, _ = m.generations.SetIfAbsent(path, m.last.Add(1))
	}
	return Generation{number: number}
}

// Get implements Store. It never fails.
func (m *Memory) Get(_ context.Context, k Key) (*Entry, Generation, error) {
	g := m.generation(k.Path)
	if e, ok := m.entries.GetIfPresent(k); ok && e.number == g.number {
		return e.Entry, g, nil
	}
	return nil, g, nil
}

// Set implements Store. The entry carries its generation, so that one which is
// overtaken between the two lines is not found either.
func (m *Memory) Set(_ context.Context, k Key, g Generation, e *Entry) error {
	if m.generation(k.Path) != g {
		return ErrSuperseded
	}
	m.entries.Set(k, &kept{e, g.number})
	return nil
}

// Invalidate implements Store. It never fails.
func (m *Memory) Invalidate(_ context.Context, paths ...string) error {
	for _, path := range paths {
		m.generations.Set(path, m.last.Add(1))
	}
	return nil
}

// Clear drops everything, and all that is being computed.
func (m *Memory) Clear() {
	m.generations.InvalidateAll()
	m.entries.InvalidateAll()
}
