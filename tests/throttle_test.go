package tests

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/tests/harness"
)

func TestTenFailuresOfAnAccountAreTheLast(t *testing.T) {
	t.Parallel()
	require.Equal(t, []any{10, 30, 15 * time.Minute}, []any{auth.MaxPerAccount, auth.MaxPerAddress, auth.ThrottleWindow})
	harness.Each(t, func(t *testing.T, slug string) {
		s := harness.NewServer(t)
		existing, c := s.Login(t, slug, harness.Alice, harness.AlicePassword), s.Client(t, slug)
		for range auth.MaxPerAccount {
			c.Post("login", harness.Credentials(harness.Alice, harness.Wrong)).Is(http.StatusUnauthorized, "bad_login")
		}
		for _, password := range []string{harness.Wrong, harness.AlicePassword, ""} {
			c.Post("login", harness.Credentials(harness.Alice, password)).Throttled(auth.ThrottleWindow)
		}
		c.Post("login", harness.Credentials("ALICE", harness.AlicePassword)).Throttled(auth.ThrottleWindow)

		// Her login, everybody else, and she herself from elsewhere are not affected.
		existing.Get("profile").Is(http.StatusOK)
		existing.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
		existing.Renewed()
		c.Post("login", harness.Credentials(harness.Bob, harness.BobPassword)).Is(http.StatusOK)
		s.Client(t, slug).SignInFrom("127.0.0.2", harness.Alice, harness.AlicePassword).Is(http.StatusOK)
		s.Client(t, slug).SignInFrom("127.0.0.3", harness.Alice, harness.Wrong).Throttled(auth.ThrottleWindow) // one more guess is one too many
		s.Client(t, slug).SignInFrom("127.0.0.3", harness.Alice, harness.AlicePassword).Throttled(auth.ThrottleWindow)

		// The window is the clock's, to the second.
		s.Clock.Advance(auth.ThrottleWindow - time.Second)
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Throttled(time.Second)
		s.Clock.Advance(time.Second)
		c.Post("login", harness.Credentials(harness.Alice, harness.Wrong)).Is(http.StatusUnauthorized, "bad_login")
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	})
}

func TestFailuresCountAcrossStrategies(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	for i := range auth.MaxPerAccount {
		s.Clock.Advance(time.Minute)
		s.Client(t, harness.Strategies[i%len(harness.Strategies)]).Post("login", harness.Credentials(harness.Alice, harness.Wrong)).Is(http.StatusUnauthorized, "bad_login")
	}
	harness.Each(t, func(t *testing.T, slug string) {
		s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Throttled(auth.ThrottleWindow - (auth.MaxPerAccount-1)*time.Minute)
	})
}

func TestThirtyFailuresOfAnAddressAreTheLast(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, slug string) {
		s := harness.NewServer(t)
		existing, c := s.Login(t, slug, harness.Alice, harness.AlicePassword), s.Client(t, slug)
		for i := range auth.MaxPerAddress {
			c.Post("login", harness.Credentials(fmt.Sprint("nobody", i), harness.Wrong)).Is(http.StatusUnauthorized, "bad_login")
		}
		for _, account := range [][2]string{{"nobody", harness.Wrong}, {harness.Alice, harness.AlicePassword}, {"not a username", harness.Wrong}} {
			c.Post("login", harness.Credentials(account[0], account[1])).Throttled(auth.ThrottleWindow)
		}
		existing.Get("profile").Is(http.StatusOK)
		s.Client(t, slug).SignInFrom("127.0.0.2", harness.Alice, harness.AlicePassword).Is(http.StatusOK)
		s.Clock.Advance(auth.ThrottleWindow)
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	})
}

func TestAnUnknownUserLooksLikeAWrongPassword(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		s.Clock.Advance(time.Hour)
		plain := func(a *harness.Answer) string {
			for _, name := range []string{"X-Request-Id", "Server-Timing", "Date"} {
				a.Header.Del(name)
			}
			return fmt.Sprint(a.Status, a.Header, strings.ReplaceAll(string(a.Body), a.Text("request_id"), ""))
		}
		want := plain(s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.Wrong)))
		for _, account := range [][2]string{
			{"nobody", harness.Wrong}, {"nobody", ""}, {harness.Alice, ""}, {harness.Alice, harness.Long("x", 129)}, {harness.Alice, harness.Long("x", 60_000)}, {"", harness.Wrong}, {"not a username", harness.Wrong}, {harness.Long("x", 5000), harness.Wrong}, {"' OR 1=1 --", harness.Wrong}, {"alice\u0000", harness.AlicePassword},
			{"ａｌｉｃｅ", harness.AlicePassword}, {harness.Alice + " ", harness.AlicePassword}, {harness.Alice, "Wonderland"}, {harness.Alice, harness.AlicePassword + " "}, {harness.Alice, harness.AlicePassword + "\u0000"},
		} {
			require.Equal(t, want, plain(s.Client(t, slug).Post("login", harness.Credentials(account[0], account[1]))), "%.20s", account[0])
			s.Clock.Advance(auth.ThrottleWindow)
		}
	})
}

func TestAThrottledUnknownUserLooksLikeAThrottledOne(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		for _, username := range []string{harness.Alice, "nobody", "not a username"} {
			s.Clock.Advance(auth.ThrottleWindow)
			for range auth.MaxPerAccount {
				s.Client(t, slug).Post("login", harness.Credentials(username, harness.Wrong)).Is(http.StatusUnauthorized, "bad_login")
			}
			s.Client(t, slug).Post("login", harness.Credentials(username, harness.Wrong)).Throttled(auth.ThrottleWindow)
		}
	})
}

func TestGuessesBesideEachOtherAreNoMoreThanTen(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		s.Clock.Advance(auth.ThrottleWindow)
		var mu sync.Mutex
		statuses := map[int]int{}
		var wg sync.WaitGroup
		for range 25 {
			wg.Go(func() {
				a := s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.Wrong))
				mu.Lock()
				defer mu.Unlock()
				statuses[a.Status]++
			})
		}
		wg.Wait()
		require.Equal(t, map[int]int{401: auth.MaxPerAccount, 429: 25 - auth.MaxPerAccount}, statuses)
	})
}

func TestSuccessesNeverCount(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	for i := range auth.MaxPerAddress + 1 {
		s.Client(t, harness.Strategies[i%len(harness.Strategies)]).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	}
	harness.Each(t, func(t *testing.T, slug string) {
		s.Clock.Advance(auth.ThrottleWindow)
		c := s.Client(t, slug)
		for range auth.MaxPerAccount - 1 {
			c.Post("login", harness.Credentials(harness.Alice, harness.Wrong)).Is(http.StatusUnauthorized, "bad_login")
		}
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK) // which excuses nothing
		c.Post("login", harness.Credentials(harness.Alice, harness.Wrong)).Is(http.StatusUnauthorized, "bad_login")
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Throttled(auth.ThrottleWindow)
	})
}

func TestWrongCurrentPasswordsAreThrottled(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		s.Clock.Advance(auth.ThrottleWindow)
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		change := func(current string) *harness.Answer {
			return c.Route("PUT", "password", harness.Object{"current_password": current, "new_password": "through the looking-glass"})
		}
		for range auth.MaxPerAccount {
			a := change(harness.Wrong).Is(http.StatusUnprocessableEntity, "validation_failed")
			require.Equal(t, "/current_password", a.At("errors").([]any)[0].(map[string]any)["pointer"])
		}
		change(harness.Wrong).Throttled(auth.ThrottleWindow)
		change(harness.AlicePassword).Throttled(auth.ThrottleWindow)
		s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Throttled(auth.ThrottleWindow) // it is one count
		c.Get("profile").Is(http.StatusOK)
		s.Clock.Advance(auth.ThrottleWindow)
		s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK) // nothing was changed
	})
}

// What cannot be looked at cannot be counted either: these never cost an attempt.
func TestWhatIsNoAttemptDoesNotCount(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		s.Clock.Advance(auth.ThrottleWindow)
		c := s.Client(t, slug)
		for range auth.MaxPerAccount + 1 {
			c.Post("login", harness.Raw(`{"username":"alice","password":1}`)).Is(http.StatusBadRequest)
			c.Do("POST", "/"+slug+"/login", harness.Credentials(harness.Alice, harness.Wrong), harness.Header("Content-Type", "text/plain")).Is(http.StatusUnsupportedMediaType)
			c.Do("POST", "/"+slug+"/login", harness.Credentials(harness.Alice, harness.Wrong), harness.From("cross-site", "")).Is(http.StatusForbidden)
			c.Do("POST", "/accounts", harness.Object{"username": harness.Alice, "password": harness.Wrong}).Is(http.StatusConflict)
		}
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	})
}

// registers asks for one more account from an address, which the server believes.
func registers(s *harness.Server, t *testing.T, address string, n int) *harness.Answer {
	return s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": fmt.Sprintf("account-%d", n), "password": "twinkle twinkle"},
		harness.Header("X-Forwarded-For", address))
}

func TestThirtyRegistrationsOfAnAddressAreTheLast(t *testing.T) {
	t.Parallel()
	require.Equal(t, 30, auth.MaxRegistrations)
	s := harness.NewServer(t, service, behind("127.0.0.0/8"))
	n := 0
	for ; n < auth.MaxRegistrations; n++ {
		// What makes no account does not count.
		if n > 0 {
			registers(s, t, "2001:db8::1", n-1).Is(http.StatusConflict)
		}
		s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": "x", "password": "short"},
			harness.Header("X-Forwarded-For", "2001:db8::1")).Is(http.StatusUnprocessableEntity)
		registers(s, t, "2001:db8::1", n).Is(http.StatusCreated)
	}
	registers(s, t, "2001:db8::1", n).Throttled(auth.ThrottleWindow)
	registers(s, t, "2001:db8::2", n).Throttled(auth.ThrottleWindow) // a client has a whole /64 to itself
	registers(s, t, "2001:db8::1", 0).Throttled(auth.ThrottleWindow) // nor does it learn which names are taken
	registers(s, t, "2001:db8:0:1::1", n).Is(http.StatusCreated)
	s.Client(t, "session").Do("POST", "/session/login", harness.Credentials("account-0", "twinkle twinkle"),
		harness.Header("X-Forwarded-For", "2001:db8::1")).Is(http.StatusOK) // sign-ins are counted apart
	s.Clock.Advance(auth.ThrottleWindow - time.Second)
	registers(s, t, "2001:db8::1", n+1).Throttled(time.Second)
	s.Clock.Advance(time.Second)
	registers(s, t, "2001:db8::1", n+1).Is(http.StatusCreated)
}

func TestRegistrationsBesideEachOtherAreNoMoreThanThirty(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, service, behind("127.0.0.0/8"))
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	const callers = auth.MaxRegistrations + 10
	for n := range callers {
		if n == callers/2 {
			wg.Wait() // all at once would be more than an address's share of the queue for hashing
		}
		wg.Go(func() {
			a := registers(s, t, "192.0.2.1", n)
			mu.Lock()
			defer mu.Unlock()
			statuses[a.Status]++
		})
	}
	wg.Wait()
	require.Equal(t, map[int]int{201: auth.MaxRegistrations, 429: callers - auth.MaxRegistrations}, statuses)
}

func TestTheClassroomRegistersAsManyAccountsAsItLikes(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	for n := range auth.MaxRegistrations + 1 {
		s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": fmt.Sprintf("account-%d", n), "password": "twinkle twinkle"}).Is(http.StatusCreated)
	}
}

// blockingHasher hashes when it is told to, and has no room for more than one.
type blockingHasher struct {
	auth.Hasher
	busy, entered, leave chan struct{}
}

func newBlockingHasher() *blockingHasher {
	return &blockingHasher{harness.CheapHasher(), make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
}

func (h *blockingHasher) Compare(ctx context.Context, password, hash string) (ok, outdated bool, err error) {
	select {
	case h.busy <- struct{}{}:
		defer func() { <-h.busy }()
	default:
		return false, false, auth.ErrOverloaded
	}
	h.entered <- struct{}{}
	<-h.leave
	return h.Hasher.Compare(ctx, password, hash)
}

func TestAHasherWithoutRoomIsOverloadAndNoFailure(t *testing.T) {
	t.Parallel()
	h := newBlockingHasher()
	s := harness.NewServer(t, func(c *api.Config) { c.Hasher = h })
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Client(t, slug)
		first := make(chan *harness.Answer)
		go func() { first <- c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)) }()
		<-h.entered
		for range auth.MaxPerAccount + 1 {
			for _, account := range [][2]string{{harness.Alice, harness.AlicePassword}, {harness.Alice, harness.Wrong}, {"nobody", harness.Wrong}} {
				a := s.Client(t, slug).Post("login", harness.Credentials(account[0], account[1])).Is(http.StatusServiceUnavailable, "overloaded")
				require.Empty(t, a.Cookies)
			}
		}
		h.leave <- struct{}{}
		(<-first).Is(http.StatusOK)
		require.NotEmpty(t, c.Held())
	})
}

// Registrations wait for hashing in a queue of their own, so that a flood of them
// refuses no sign-in.
func TestAFloodOfRegistrationsRefusesNoSignIn(t *testing.T) {
	const connections, signIns = 80, 10
	s := harness.NewServer(t, func(c *api.Config) { c.Hasher = auth.NewArgon2id(auth.ProductionParams()) })
	done := make(chan struct{})
	refused := make([]int, connections)
	var flood sync.WaitGroup
	for i := range connections {
		c := s.Client(t, "")
		flood.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				a := c.Do("POST", "/accounts", harness.Object{"username": fmt.Sprintf("flood-%d-%d", i, n), "password": "twinkle twinkle"})
				if a.Status == http.StatusServiceUnavailable {
					refused[i]++
				}
			}
		})
	}
	require.Eventually(t, func() bool { return s.Metric(t, "statelab_hashes_queued") > 25 }, time.Minute, time.Millisecond)
	statuses := map[int]int{}
	for range signIns {
		statuses[s.Client(t, "session").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Status]++
	}
	close(done)
	flood.Wait()
	total := 0
	for _, n := range refused {
		total += n
	}
	require.Positive(t, total, "an address has a share of the queue of registrations")
	require.Equal(t, map[int]int{http.StatusOK: signIns}, statuses)
}

func TestTenPasswordChangesOfAnAccountAreTheLast(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	passwords := [2]string{"down the rabbit hole", "through the looking-glass"}
	c.Route("PUT", "password", harness.Object{"current_password": harness.AlicePassword, "new_password": passwords[0]}).
		Is(http.StatusNoContent)
	change := func(n int) *harness.Answer {
		return c.Route("PUT", "password", harness.Object{"current_password": passwords[n%2], "new_password": passwords[(n+1)%2]})
	}
	for n := range auth.MaxPasswordChanges - 1 {
		change(n).Is(http.StatusNoContent)
	}
	change(1).Throttled(auth.ThrottleWindow)
	c.Get("profile").Is(http.StatusOK)
	s.Clock.Advance(auth.ThrottleWindow - time.Second)
	change(1).Throttled(time.Second)
	s.Clock.Advance(time.Second)
	change(1).Is(http.StatusNoContent)
}
