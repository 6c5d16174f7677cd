package auth

import "sync"

// shares bounds how many passwords of one address wait or are hashed at once, in one
// queue: as many as there are places left for others. One address gets half of the places,
// two get a third each, and so on, so that another address finds a place. The hasher
// cannot do that: it does not know addresses.
//
// Memory is bounded: an address is in the map only while one of its passwords is.
type shares struct {
	places int
	bound  Bound // that an address meets

	mu      sync.Mutex // guards what follows
	held    int
	holders map[string]int // by network
}

func newShares(bound Bound) *shares {
	return &shares{places: maxQueued, bound: bound, holders: map[string]int{}}
}

// take takes a place for a password of the address, until giveBack is called.
// Errors: *OverloadedError if the address has its share.
func (s *shares) take(address string) (giveBack func(), err error) {
	address = network(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders[address] >= s.places-s.held {
		return nil, &OverloadedError{Bound: s.bound}
	}
	s.held++
	s.holders[address]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.held--
		if s.holders[address]--; s.holders[address] == 0 {
			delete(s.holders, address)
		}
	}, nil
}
