package tests

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/tests/harness"
)

// refusals returns what each bound has refused, without those that refused nothing.
func refusals(t *testing.T, s *harness.Server) map[string]int {
	t.Helper()
	all := map[string]int{}
	for _, bound := range []string{
		"logins", "state", "credential", "memory", "conflicts", "throttle_account", "throttle_address", "registrations",
		"password_changes", "sign_in_share", "registration_share", "sign_in_queue", "registration_queue",
	} {
		line := `statelab_refusals_total{bound="` + bound + `"}`
		require.Contains(t, s.Exposition(), line+" ", "a first one must not look like none before it")
		if n := s.Metric(t, line); n > 0 {
			all[bound] = n
		}
	}
	return all
}

// refusing returns what /readyz says refuses requests of every client.
func refusing(t *testing.T, s *harness.Server) (all []string) {
	t.Helper()
	for _, name := range s.Client(t, "").Do("GET", "/readyz", nil).Is(http.StatusOK).At("refusing").([]any) {
		all = append(all, name.(string))
	}
	return all
}

// A queue refuses the work that a test tells it to.
type fullQueues struct {
	auth.Hasher
	signIns, registrations bool
}

func (h *fullQueues) Compare(ctx context.Context, password, hash string) (ok, outdated bool, err error) {
	if h.signIns {
		return false, false, auth.ErrOverloaded
	}
	return h.Hasher.Compare(ctx, password, hash)
}

func (h *fullQueues) Hash(ctx context.Context, password string) (string, error) {
	if h.registrations {
		return "", auth.ErrOverloaded
	}
	return h.Hasher.Hash(ctx, password)
}

// larger returns a cart that makes a state larger than the server stores, and larger
// than a client can hold.
func larger() harness.Object {
	return harness.Object{"cart": slices.Repeat([]string{strings.Repeat("가", 100)}, 200)}
}

func TestABoundOfAnAccountOrAnAddressIsCountedAndLeavesTheServerReady(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, func(c *api.Config) { c.LoginsPerAccount = 1 })
	bounds := map[string]int{}
	holds := func(bound string) {
		t.Helper()
		bounds[bound]++
		require.Equal(t, bounds, refusals(t, s))
		require.Empty(t, refusing(t, s), "others are served")
	}
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	require.Empty(t, refusals(t, s))
	c.Patch(larger()).Is(http.StatusRequestEntityTooLarge, "state_too_large")
	holds("state")
	s.Login(t, "cookie", harness.Alice, harness.AlicePassword).Patch(larger()).Is(http.StatusRequestEntityTooLarge, "credential_too_large")
	holds("credential")
	s.Clock.Advance(time.Second)
	s.Login(t, "session", harness.Alice, harness.AlicePassword)
	holds("logins")
	for range auth.MaxPerAccount {
		c.Post("login", harness.Credentials(harness.Alice, harness.Wrong)).Is(http.StatusUnauthorized)
	}
	c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusTooManyRequests)
	holds("throttle_account")
	for n := range auth.MaxPerAddress - auth.MaxPerAccount {
		c.Post("login", harness.Credentials(fmt.Sprint("account-", n), harness.Wrong)).Is(http.StatusUnauthorized)
	}
	c.Post("login", harness.Credentials(harness.Bob, harness.BobPassword)).Is(http.StatusTooManyRequests)
	holds("throttle_address")
}

func TestRegistrationsOverTheLimitAreCountedAndAudited(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, service, behind("127.0.0.0/8"))
	for n := range auth.MaxRegistrations {
		registers(s, t, "192.0.2.1", n).Is(http.StatusCreated)
	}
	refused := func(status int, code string) (line harness.Object) {
		t.Helper()
		line = s.Audited(t, func() { registers(s, t, "192.0.2.1", 0).Is(status, code) }, "registration_refused")[0]
		require.Equal(t, []any{code, "192.0.2.1", nil}, []any{line["code"], line["address"], line["subject"]})
		require.Regexp(t, `^[0-9a-f]{16}$`, line["username"], "a fingerprint")
		return line
	}
	first := refused(http.StatusTooManyRequests, "too_many_attempts")
	require.Equal(t, map[string]int{"registrations": 1}, refusals(t, s))
	s.Clock.Advance(auth.ThrottleWindow)
	require.Equal(t, first["username"], refused(http.StatusConflict, "username_taken")["username"])
	require.Equal(t, map[string]int{"registrations": 1}, refusals(t, s))
}

func TestAQueueThatIsFullIsCountedAndNamedByReadiness(t *testing.T) {
	t.Parallel()
	h := &fullQueues{Hasher: harness.CheapHasher()}
	s := harness.NewServer(t, func(c *api.Config) { c.Hasher = h })
	c := s.Client(t, "session")
	h.signIns = true
	c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusServiceUnavailable, "overloaded")
	require.Equal(t, []string{"sign_in_queue"}, refusing(t, s))
	s.Clock.Advance(5 * time.Second)
	h.signIns, h.registrations = false, true
	c.Do("POST", "/accounts", harness.Object{"username": "dormouse", "password": "twinkle twinkle"}).Is(http.StatusServiceUnavailable, "overloaded")
	require.Equal(t, []string{"sign_in_queue", "registration_queue"}, refusing(t, s))
	s.Clock.Advance(5 * time.Second)
	require.Equal(t, []string{"registration_queue"}, refusing(t, s), "ten seconds after the last refusal")
	s.Clock.Advance(5 * time.Second)
	require.Empty(t, refusing(t, s))
	require.Equal(t, map[string]int{"sign_in_queue": 1, "registration_queue": 1}, refusals(t, s))
}

// waitingHasher compares nothing before it is told to.
type waitingHasher struct {
	auth.Hasher
	entered, leave chan struct{}
}

func (h *waitingHasher) Compare(ctx context.Context, password, hash string) (ok, outdated bool, err error) {
	h.entered <- struct{}{}
	<-h.leave
	return h.Hasher.Compare(ctx, password, hash)
}

func TestAnAddressWithItsShareOfSignInsIsCounted(t *testing.T) {
	t.Parallel()
	const share = 32
	h := &waitingHasher{harness.CheapHasher(), make(chan struct{}), make(chan struct{})}
	s := harness.NewServer(t, func(c *api.Config) { c.Hasher = h })
	var all sync.WaitGroup
	for range share {
		all.Go(func() {
			s.Client(t, "session").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		})
		<-h.entered
	}
	s.Client(t, "session").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusServiceUnavailable, "overloaded")
	require.Equal(t, map[string]int{"sign_in_share": 1}, refusals(t, s))
	require.Empty(t, refusing(t, s), "other addresses sign in")
	close(h.leave)
	all.Wait()
}

func TestAFullMemoryIsCountedAndNamedByReadiness(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, func(c *api.Config) {
		require.NoError(t, c.Store.Close())
		c.Store = memory.New(store.Options{Now: c.Now, MaxRecords: 1})
	})
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	require.Empty(t, refusing(t, s), "it is full, and has refused nothing")
	s.Client(t, "session").Post("login", harness.Credentials(harness.Bob, harness.BobPassword)).Is(http.StatusServiceUnavailable, "overloaded")
	require.Equal(t, []string{"memory"}, refusing(t, s))
	require.Equal(t, map[string]int{"memory": 1}, refusals(t, s))
	c.Post("logout", nil).Is(http.StatusNoContent)
	s.Login(t, "session", harness.Bob, harness.BobPassword)
	s.Clock.Advance(10 * time.Second)
	require.Empty(t, refusing(t, s))
}

func TestChangesThatAlwaysLoseAreCounted(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t)
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	f.BreakWith(state.ErrConflict, "Update")
	c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusServiceUnavailable, "overloaded")
	f.Repair()
	require.Equal(t, map[string]int{"conflicts": 1}, refusals(t, s))
	require.Empty(t, refusing(t, s))
}

// A store that answers and takes no writes, such as a replica, is ready: what is read
// is served.
func TestReadinessNamesAStoreThatTakesNoWrites(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t, func(c *api.Config) { c.LoginsPerAccount = 5 })
	guarded := s.Config
	guarded.Store = store.Guarded(s.Config.Store, store.Options{Patience: time.Minute})
	s = harness.StartServer(t, guarded, s.Clock)
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	require.Empty(t, refusing(t, s))
	f.BreakWith(harness.ErrDown, "Create", "Update", "Delete")
	c.Patch(harness.Object{"theme": "dark"}).Unavailable("store_unavailable")
	for range 2 {
		require.Equal(t, []string{"store_writes"}, refusing(t, s), "until a write succeeds")
	}
	c.Get("profile").Is(http.StatusOK)
	f.Repair()
	c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
	require.Empty(t, refusing(t, s))
}

func TestReadinessNamesEveryPartThatFails(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t)
	f.BreakWith(harness.ErrDown, "Ping")
	require.NoError(t, s.Config.Database.Close())
	a := s.Client(t, "").Do("GET", "/readyz", nil)
	a.Unavailable("store_unavailable")
	require.Equal(t, "These parts of the server do not work: database, store.", a.Text("detail"))
}
