package state

import "time"

// SetClock makes a GinStore judge expiry by another clock than that of the machine.
func (s *GinStore) SetClock(now func() time.Time) { s.now = now }
