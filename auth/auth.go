// Package auth answers who somebody is: accounts with their passwords and
// roles, and the throttle on failed sign-ins. What keeps a login alive after
// the sign-in is package state's, which auth does not know.
package auth

import (
	"errors"
	"fmt"
	"time"
)

// The roles that an account can have.
const (
	RoleMember = "member"
	RoleAdmin  = "admin"
)

// Account is somebody who can sign in. It never carries the password.
type Account struct {
	ID          string // a ULID, given once and to one account only
	Username    string // 3 to 32 of a-z 0-9 . _ -
	DisplayName string // 1 to 64 characters, no control characters
	Role        string // RoleMember or RoleAdmin
	Disabled    bool   // it exists, and cannot sign in
}

// Errors that a caller can act on. Any other error means that the database
// failed.
var (
	// ErrBadLogin does not tell an unknown username from a wrong password
	// (OWASP Authentication: Authentication and Error Messages).
	ErrBadLogin      = errors.New("auth: the username or the password is wrong")
	ErrUsernameTaken = errors.New("auth: the username is taken")
	ErrNotFound      = errors.New("auth: no such account")
	// ErrOverloaded means that too many passwords wait to be hashed.
	ErrOverloaded = errors.New("auth: too many sign-ins at once")
)

// InvalidError says which member of a request is out of range, and why.
type InvalidError struct {
	Member string // the JSON name, such as "password"
	Reason string // a sentence for the person who typed it
}

func (e *InvalidError) Error() string { return fmt.Sprintf("auth: %s: %s", e.Member, e.Reason) }

// ThrottledError says that sign-ins have failed too often, that an address has
// registered too many accounts, or that a password has changed too often.
type ThrottledError struct {
	RetryAfter time.Duration
	Bound      Bound // BoundAccount, BoundAddress, BoundRegistrations or BoundPasswordChanges
}

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("auth: too many attempts, wait %s", e.RetryAfter.Round(time.Second))
}
