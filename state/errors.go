package state

import (
	"context"
	"errors"
	"fmt"
)

// What can be wrong with a credential that a request carries.
var (
	ErrNoCredential = errors.New("state: the request carries no credential")
	ErrAmbiguous    = errors.New("state: the request carries two different credentials")
	ErrUnknown      = errors.New("state: the server knows no such login")
	ErrBadSignature = errors.New("state: the server cannot verify the credential")
	ErrExpired      = errors.New("state: the credential has expired")
	ErrNotYetValid  = errors.New("state: the credential is not valid yet")
	ErrRevoked      = errors.New("state: the login was ended")
	ErrReuse        = errors.New("state: a refresh token was used twice")
)

// ErrNotSupported means that a strategy by its nature cannot do what was asked.
// Nothing has changed.
var ErrNotSupported = errors.New("state: the strategy cannot do that")

// What can go wrong on the server's side.
var (
	// ErrConflict means that the record has changed since it was read. It can
	// be read again and the change be repeated.
	ErrConflict = errors.New("state: the login has changed meanwhile")
	// ErrUnavailable means that a store failed. Whether the credential is good is not
	// known, so it is neither accepted nor called bad. What was to be written may have been
	// written: the answer can be lost alone.
	ErrUnavailable = errors.New("state: the store is unavailable")
	// ErrFull means that a store takes no further login for now.
	ErrFull = errors.New("state: the store is full")
	// ErrNotFound is a Store's word for a key that has no live record.
	ErrNotFound = errors.New("state: no such record")
	// ErrExists is a Store's word for a key that is taken.
	ErrExists = errors.New("state: the record exists already")
)

// TooLargeError says that a state does not fit into what the client can hold.
type TooLargeError struct {
	Limit, Size int // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("state: the credential has %d bytes, at most %d fit", e.Size, e.Limit)
}

// UnstorableError says that a state is larger than the server stores.
type UnstorableError struct {
	Limit, Size int // bytes, as StateLimit counts them
}

func (e *UnstorableError) Error() string {
	return fmt.Sprintf("state: the state has %d bytes, the server stores at most %d", e.Size, e.Limit)
}

// failed turns the error of a store into one of the package's: what the store
// says on purpose stays, everything else is an outage.
func failed(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrUnavailable):
		return err
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrConflict), errors.Is(err, ErrFull):
		return err
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: the client closed the connection", ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
