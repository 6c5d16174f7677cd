package api

import (
	"fmt"

	"statelab/state"
)

// A LimitError says which setting is out of range, by the name of its flag.
type LimitError struct{ Flag, Reason string }

func (e *LimitError) Error() string { return "--" + e.Flag + " " + e.Reason }

// CheckLimits returns a *LimitError unless a server can be made with these.
func CheckLimits(l state.Lifetimes, credentialCache, loginsPerAccount int) error {
	for _, s := range state.LifetimeSettings() {
		if err := s.Check(*s.Of(&l)); err != nil {
			return &LimitError{s.Name, err.Error()}
		}
	}
	switch {
	case credentialCache < 0:
		return &LimitError{"credential-cache", fmt.Sprintf("%d is negative: use 0 to remember none", credentialCache)}
	case loginsPerAccount < 1 || loginsPerAccount > state.DefaultLoginsPerAccount:
		return &LimitError{"logins-per-account", fmt.Sprintf("%d is out of range: use 1 to %d", loginsPerAccount, state.DefaultLoginsPerAccount)}
	}
	return nil
}
