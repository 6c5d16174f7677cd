package cache

import "time"

// SetTimes gives a Redis that has not been used yet another patience and another
// clock for outages.
func (s *Redis) SetTimes(patience time.Duration, clock func() time.Time) {
	s.patience, s.clock = patience, clock
}

// Subscribed is closed when s hears of invalidations.
func (s *Redis) Subscribed() <-chan struct{} { return s.subscribed }

// RedisRest is how long a Redis that has failed is not asked.
const RedisRest = redisRest
