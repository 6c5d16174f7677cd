package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// SignIn returns the account that the username and the password belong to. The
// address, of the client, is what failures are counted by. Errors: ErrBadLogin,
// *ThrottledError, ErrOverloaded.
//
// Call recheck after the login is stored. The account was read before the hashing, which
// takes a while: an operator who changed it in between did not find the login, and the
// login would otherwise keep what it has read. After recheck, a change of the account
// finds the login. Recheck returns ErrBadLogin if the account has another role or password
// by now, or is disabled.
func (a *Accounts) SignIn(
	ctx context.Context, username, password, address string,
) (_ Account, recheck func(context.Context) error, err error) {
	username = Fold(username)
	var r row
	if r, err = a.find(ctx, "username", username); err != nil && !errors.Is(err, ErrNotFound) {
		return Account{}, nil, err
	}
	if !usernames.MatchString(username) {
		username = "" // all impossible usernames share one count
	}
	hash, err := a.verify(ctx, r, username, password, address)
	if err != nil {
		return Account{}, nil, err
	}
	return r.Account, func(ctx context.Context) error {
		now, err := a.find(ctx, "id", r.ID)
		if errors.Is(err, ErrNotFound) || err == nil && (now.Disabled || now.Role != r.Role) {
			return ErrBadLogin
		}
		if err != nil || now.hash == hash {
			return err
		}
		// Another sign-in may have renewed the hash of the same password.
		ok, _, err := a.hasher.Compare(ctx, password, now.hash)
		if err == nil && !ok {
			err = ErrBadLogin
		}
		return err
	}, nil
}

// verify checks that the password is that of r, which may be no account at all,
// and returns the hash that is in force then. It costs the same time either way
// (OWASP ASVS 5.0, 6.3.8).
func (a *Accounts) verify(ctx context.Context, r row, username, password, address string) (hash string, err error) {
	if err := a.throttle.check(ctx, username, address); err != nil {
		return "", err
	}
	if r.Disabled {
		r.hash = "" // the answer does not show that there is such an account
	}
	if utf8.RuneCountInString(password) > MaxPassword || slices.Contains(a.published, password) {
		password = "" // no account has it, and hashing a long text is expensive
		r.hash = ""
	}
	ok, outdated, err := a.compare(ctx, password, r.hash, address)
	if err != nil {
		return "", err
	}
	if !ok {
		// Counted also if the client closed the connection, or leaving would be a way to
		// guess without being counted.
		counting, cancel := outlasting(ctx)
		defer cancel()
		if err := a.throttle.fail(counting, username, address); err != nil {
			return "", err
		}
		return "", ErrBadLogin
	}
	if outdated {
		// The password is in hand only now, so old hashes are renewed here
		// (OWASP Password Storage: Upgrading the Work Factor). It may wait.
		if hash, err := a.hasher.Hash(ctx, password); err == nil && a.setHash(ctx, r.ID, r.hash, hash) == nil {
			return hash, nil
		}
	}
	return r.hash, nil
}

// compare is Hasher.Compare for a client at the address, which gets no more than
// its share of the queue.
func (a *Accounts) compare(ctx context.Context, password, hash, address string) (ok, outdated bool, err error) {
	giveBack, err := a.shares.take(address)
	if err != nil {
		return false, false, err
	}
	defer giveBack()
	return a.hasher.Compare(ctx, password, hash)
}

// hash is Hasher.Hash for a client at the address. An operator has no address.
func (a *Accounts) hash(ctx context.Context, password, address string) (string, error) {
	if address != "" {
		giveBack, err := a.hashing.take(address)
		if err != nil {
			return "", err
		}
		defer giveBack()
	}
	return a.hasher.Hash(ctx, password)
}

// setHash replaces an account's hash if it is still the old one, or returns
// ErrNotFound.
func (a *Accounts) setHash(ctx context.Context, id, old, hash string) error {
	result, err := a.exec(ctx,
		`UPDATE accounts SET password_hash = $1 WHERE id = $2 AND password_hash = $3`, hash, id, old)
	if err != nil {
		return fmt.Errorf("auth: writing a password: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return cmp.Or(err, ErrNotFound)
	}
	return nil
}
