package classroom

import (
	"slices"
	"sync"
)

// recent has the newest values of a kind, up to its limit. It is safe for concurrent use.
type recent[T any] struct {
	limit int
	mu    sync.Mutex
	all   []T // the oldest first
}

// add remembers a value, and forgets the oldest one if there are too many.
func (l *recent[T]) add(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all[max(0, len(l.all)+1-l.limit):], v)
}

// drop forgets all values.
func (l *recent[T]) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = nil
}

// newest returns the values, the newest first.
func (l *recent[T]) newest() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := append([]T{}, l.all...)
	slices.Reverse(out)
	return out
}
