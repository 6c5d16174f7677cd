package auth

import (
	"context"
	"errors"
)

// A Bound names what Accounts refuse a client by although its request is in order.
type Bound string

// The bounds. Those with a limit for one account or one address say nothing of the
// server as a whole; a queue that is full refuses every client.
const (
	BoundAccount           Bound = "throttle_account"   // failed sign-ins of an account
	BoundAddress           Bound = "throttle_address"   // failed sign-ins from an address
	BoundRegistrations     Bound = "registrations"      // accounts that an address registers
	BoundPasswordChanges   Bound = "password_changes"   // password changes of an account: in all, and at once
	BoundSignInsOfAddress  Bound = "sign_in_share"      // sign-ins of an address that are in hand
	BoundHashesOfAddress   Bound = "registration_share" // new passwords of an address that are in hand
	BoundSignInQueue       Bound = "sign_in_queue"      // passwords to compare
	BoundRegistrationQueue Bound = "registration_queue" // new passwords: registrations and password changes
)

// OverloadedError is the ErrOverloaded that Accounts return. It names the bound.
type OverloadedError struct {
	Bound Bound
}

func (e *OverloadedError) Error() string { return ErrOverloaded.Error() + ": " + string(e.Bound) }

// Unwrap returns ErrOverloaded.
func (e *OverloadedError) Unwrap() error { return ErrOverloaded }

// queues is a Hasher whose ErrOverloaded names the queue that refused the work.
type queues struct{ Hasher }

// Hash implements Hasher.
func (q queues) Hash(ctx context.Context, password string) (string, error) {
	hash, err := q.Hasher.Hash(ctx, password)
	return hash, refusedBy(BoundRegistrationQueue, err)
}

// Compare implements Hasher.
func (q queues) Compare(ctx context.Context, password, hash string) (ok, outdated bool, err error) {
	ok, outdated, err = q.Hasher.Compare(ctx, password, hash)
	return ok, outdated, refusedBy(BoundSignInQueue, err)
}

// refusedBy returns err, and an *OverloadedError in the place of ErrOverloaded.
func refusedBy(bound Bound, err error) error {
	if errors.Is(err, ErrOverloaded) {
		return &OverloadedError{Bound: bound}
	}
	return err
}
