package auth

import (
	"context"
	"net/netip"
	"time"
)

// Counter counts events by key in windows of time that begin with the first
// event. Package auth declares what it needs; whoever has a store provides it.
type Counter interface {
	// Count returns how many events the key has had in its window, and when the
	// window ends.
	Count(ctx context.Context, key string) (n int64, until time.Time, err error)
	// Add counts one more event, opening a window of the given length if none
	// is open, and returns the same.
	Add(ctx context.Context, key string, window time.Duration) (n int64, until time.Time, err error)
}

// Limits on failed sign-ins within ThrottleWindow (OWASP Authentication: Login
// Throttling). Successful ones never count.
const (
	ThrottleWindow = 15 * time.Minute
	MaxPerAccount  = 10
	MaxPerAddress  = 30
)

// MaxRegistrations is how many accounts an address registers within
// ThrottleWindow, where Config.LimitRegistrations is set.
const MaxRegistrations = 30

// MaxPasswordChanges is how often the password of an account changes within
// ThrottleWindow. Each change costs two hashes and ends logins in every strategy.
const MaxPasswordChanges = 10

// throttle refuses sign-ins after too many failures. An address over its limit
// has to wait. While an account is over its limit, addresses that have failed
// on it have to wait; from any other the right password still opens it, so
// that nobody can lock an owner out by failing on purpose.
type throttle struct {
	counter Counter
	now     func() time.Time
}

// network is what an address is counted as: an IPv6 client has a whole /64 to
// itself, and would otherwise have a fresh count with each address of it.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}

func addressKey(address string) string        { return "address\x00" + address }
func registrationKey(address string) string   { return "registration\x00" + address }
func changesKey(id string) string             { return "password\x00" + id }
func accountKey(username string) string       { return "account\x00" + username }
func pairKey(username, address string) string { return "pair\x00" + username + "\x00" + address }

// check returns a *ThrottledError if this attempt has to wait.
func (t throttle) check(ctx context.Context, username, address string) error {
	address = network(address)
	byAddress, until, err := t.counter.Count(ctx, addressKey(address))
	if err != nil {
		return err
	}
	if byAddress >= MaxPerAddress {
		return t.wait(BoundAddress, until)
	}
	byAccount, until, err := t.counter.Count(ctx, accountKey(username))
	if err != nil || byAccount < MaxPerAccount {
		return err
	}
	byPair, _, err := t.counter.Count(ctx, pairKey(username, address))
	if err != nil || byPair == 0 {
		return err
	}
	return t.wait(BoundAccount, until)
}

// fail counts a failed attempt. It returns a *ThrottledError if the limits had
// been reached before it, as happens to attempts that ran beside each other:
// they learn no more than those that were checked in time.
func (t throttle) fail(ctx context.Context, username, address string) error {
	address = network(address)
	byAddress, addressUntil, err := t.counter.Add(ctx, addressKey(address), ThrottleWindow)
	if err != nil {
		return err
	}
	byAccount, accountUntil, err := t.counter.Add(ctx, accountKey(username), ThrottleWindow)
	if err != nil {
		return err
	}
	if _, _, err := t.counter.Add(ctx, pairKey(username, address), ThrottleWindow); err != nil {
		return err
	}
	switch {
	case byAddress > MaxPerAddress:
		return t.wait(BoundAddress, addressUntil)
	case byAccount > MaxPerAccount:
		return t.wait(BoundAccount, accountUntil)
	}
	return nil
}

// checkRegistration returns a *ThrottledError if the address has registered as
// many accounts as it may.
func (t throttle) checkRegistration(ctx context.Context, address string) error {
	n, until, err := t.counter.Count(ctx, registrationKey(network(address)))
	if err == nil && n >= MaxRegistrations {
		err = t.wait(BoundRegistrations, until)
	}
	return err
}

// countRegistration counts an account that is about to be made. It returns a
// *ThrottledError if the limit had been reached before it, as happens to
// registrations that ran beside each other.
func (t throttle) countRegistration(ctx context.Context, address string) error {
	n, until, err := t.counter.Add(ctx, registrationKey(network(address)), ThrottleWindow)
	if err == nil && n > MaxRegistrations {
		err = t.wait(BoundRegistrations, until)
	}
	return err
}

// checkChange returns a *ThrottledError if the password of the account has changed as
// often as it may.
func (t throttle) checkChange(ctx context.Context, id string) error {
	n, until, err := t.counter.Count(ctx, changesKey(id))
	if err == nil && n >= MaxPasswordChanges {
		err = t.wait(BoundPasswordChanges, until)
	}
	return err
}

// countChange counts a change that is about to be made. It returns a *ThrottledError if the
// limit had been reached before it: another node may have counted meanwhile.
func (t throttle) countChange(ctx context.Context, id string) error {
	n, until, err := t.counter.Add(ctx, changesKey(id), ThrottleWindow)
	if err == nil && n > MaxPasswordChanges {
		err = t.wait(BoundPasswordChanges, until)
	}
	return err
}

func (t throttle) wait(bound Bound, until time.Time) error {
	return &ThrottledError{RetryAfter: max(until.Sub(t.now()), time.Second), Bound: bound}
}
