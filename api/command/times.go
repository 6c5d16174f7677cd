package command

import (
	"time"

	"statelab/api"
	"statelab/auth"
)

// Times are how long the parts of a server wait. Drain and DrainNotice together
// bound a shutdown, with one more DrainNotice for each listener besides the main one.
type Times struct {
	ReadHeader time.Duration // until a request's headers are complete: slow ones are an attack (slowloris)
	Read       time.Duration // until a request is complete
	Write      time.Duration // until an answer is sent
	// Idle is how long a connection may stay open between requests. It is longer than what
	// load balancers have by default, 60 s: a server that closes first closes a connection on
	// which the balancer sends a request at that moment, and the client gets its 502.
	Idle time.Duration

	DrainNotice time.Duration // how long /readyz says 503 before connections are refused
	Drain       time.Duration // how long requests in flight may take after that

	Accounts time.Duration // until the database has answered about an account or the catalogue
	Store    time.Duration // until a store has answered; zero: as store.Options has it
	Request  time.Duration // all that a request waits for; zero: api.DefaultRequestPatience

	ReloadKeys     time.Duration // how often the key file is looked at; SIGHUP is faster
	FollowAccounts time.Duration // how often the database is asked what operators have changed
}

// DefaultTimes are what statelab serves with.
func DefaultTimes() Times {
	return Times{
		ReadHeader: 5 * time.Second, Read: 10 * time.Second, Write: 15 * time.Second, Idle: 75 * time.Second,
		DrainNotice: 500 * time.Millisecond, Drain: 10 * time.Second,
		Accounts: auth.DefaultPatience, ReloadKeys: 5 * time.Second, FollowAccounts: api.DefaultFollowEvery,
	}
}
