package auth

import "sync"

// shares bounds how many sign-ins of one address are in hand at once: as many as
// there are places left for others. One address gets half of the places, two get
// a third each, and so on, so that the sign-in of yet another address finds a
// place. The hasher cannot do that: it does not know addresses.
//
// Memory is bounded: an address is in the map while one of its sign-ins is.
type shares struct {
	places int

	mu      sync.Mutex // guards what follows
	held    int
	holders map[string]int // by network
}

func newShares(places int) *shares { return &shares{places: places, holders: map[string]int{}} }

// take takes a place for a sign-in of the address, until giveBack is called.
// Errors: ErrOverloaded if the address has its share.
func (s *shares) take(address string) (giveBack func(), err error) {
	address = network(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holders[address] >= s.places-s.held {
		return nil, ErrOverloaded
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
