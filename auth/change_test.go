package auth_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/auth"
)

// A gatedHasher hashes when it is told to, once a test has closed the gate.
type gatedHasher struct {
	auth.Hasher
	mu      sync.Mutex
	closed  bool
	entered chan struct{}
	open    chan struct{}
	compare time.Duration // that a comparison takes
}

func newGatedHasher() *gatedHasher {
	return &gatedHasher{Hasher: newHasher(cheap()), entered: make(chan struct{}, 100), open: make(chan struct{})}
}

func (h *gatedHasher) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}

func (h *gatedHasher) Hash(ctx context.Context, password string) (string, error) {
	h.mu.Lock()
	closed := h.closed
	h.mu.Unlock()
	if closed {
		h.entered <- struct{}{}
		select {
		case <-h.open:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	return h.Hasher.Hash(ctx, password)
}

func (h *gatedHasher) Compare(ctx context.Context, password, hash string) (ok, outdated bool, err error) {
	if h.compare > 0 {
		<-time.After(h.compare)
	}
	return h.Hasher.Compare(ctx, password, hash)
}

const firstPassword = "down the rabbit hole"

func changes(t *testing.T, a *auth.Accounts, account auth.Account, address string) error {
	t.Helper()
	return a.ChangePassword(t.Context(), account.ID, firstPassword, firstPassword, address, func() error { return nil })
}

func requireBound(t *testing.T, bound auth.Bound, err error) {
	t.Helper()
	var overloaded *auth.OverloadedError
	require.ErrorAs(t, err, &overloaded)
	require.Equal(t, bound, overloaded.Bound)
}

func TestAnAccountHasOnePasswordChangeAtATime(t *testing.T) {
	t.Parallel()
	h := newGatedHasher()
	a, _ := newAccounts(t, h)
	alice, err := a.Register(t.Context(), "alice", firstPassword, "Alice", "192.0.2.1")
	require.NoError(t, err)
	h.close()
	first := make(chan error)
	go func() { first <- changes(t, a, alice, "192.0.2.1") }()
	<-h.entered
	requireBound(t, auth.BoundPasswordChanges, changes(t, a, alice, "192.0.2.2"))
	close(h.open)
	require.NoError(t, <-first)
	require.NoError(t, changes(t, a, alice, "192.0.2.2"))
}

func TestAPasswordChangesTenTimesInAWindow(t *testing.T) {
	t.Parallel()
	a, c := newAccounts(t, newHasher(cheap()))
	alice, err := a.Register(t.Context(), "alice", firstPassword, "Alice", "192.0.2.1")
	require.NoError(t, err)
	bob, err := a.Register(t.Context(), "bob", firstPassword, "Bob", "192.0.2.1")
	require.NoError(t, err)
	for range auth.MaxPasswordChanges {
		require.NoError(t, changes(t, a, alice, "192.0.2.1"))
	}
	var throttled *auth.ThrottledError
	require.ErrorAs(t, changes(t, a, alice, "192.0.2.2"), &throttled)
	require.Equal(t, auth.ThrottledError{RetryAfter: auth.ThrottleWindow, Bound: auth.BoundPasswordChanges}, *throttled)
	require.NoError(t, changes(t, a, bob, "192.0.2.1"))
	c.now = c.now.Add(auth.ThrottleWindow)
	require.NoError(t, changes(t, a, alice, "192.0.2.1"))
}

func TestPasswordChangesFromOneAddressLeavePlacesForOthers(t *testing.T) {
	t.Parallel()
	h := newGatedHasher()
	a, _ := newAccounts(t, h)
	var accounts []auth.Account
	for i := range 33 {
		account, err := a.Register(t.Context(), fmt.Sprint("account-", i), firstPassword, "Account", fmt.Sprint("192.0.2.", i))
		require.NoError(t, err)
		accounts = append(accounts, account)
	}
	h.close()
	var waiting sync.WaitGroup
	for _, account := range accounts[1:] {
		waiting.Go(func() { _ = changes(t, a, account, "198.51.100.1") })
		<-h.entered
	}
	requireBound(t, auth.BoundHashesOfAddress, changes(t, a, accounts[0], "198.51.100.1"))
	_, err := a.Register(t.Context(), "one-more", firstPassword, "Account", "198.51.100.1")
	requireBound(t, auth.BoundHashesOfAddress, err)
	other := make(chan error)
	go func() {
		_, err := a.Register(t.Context(), "another", firstPassword, "Account", "203.0.113.1")
		other <- err
	}()
	<-h.entered
	close(h.open)
	require.NoError(t, <-other)
	waiting.Wait()
}

func TestAPasswordChangeWaitsForBothQueuesAsLongAsForOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newGatedHasher()
		a, _ := newAccounts(t, h)
		alice, err := a.Register(t.Context(), "alice", firstPassword, "Alice", "192.0.2.1")
		require.NoError(t, err)
		h.close()
		h.compare = time.Second
		start := time.Now()
		requireBound(t, auth.BoundRegistrationQueue, changes(t, a, alice, "192.0.2.1"))
		require.Equal(t, 1200*time.Millisecond, time.Since(start))
	})
}
