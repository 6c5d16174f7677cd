package tests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
)

// wrong is nobody's password.
const wrong = "a password that nobody has"

// signInFrom signs in from another address of this machine.
func (c *client) signInFrom(address, username, password string) *answer {
	c.t.Helper()
	text, err := json.Marshal(credentials{username, password})
	require.NoError(c.t, err)
	r, err := http.NewRequestWithContext(c.t.Context(), "POST", c.s.url+"/"+c.slug+"/login", strings.NewReader(string(text)))
	require.NoError(c.t, err)
	r.Header.Set("Content-Type", "application/json")
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	resp, err := (&http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext}).RoundTrip(r)
	needSystem(c.t, !errors.Is(err, syscall.EADDRNOTAVAIL), "no address "+address+" of this machine")
	require.NoError(c.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	a := &answer{t: c.t, status: resp.StatusCode, header: resp.Header, body: body, cookies: resp.Cookies()}
	require.NoError(c.t, json.Unmarshal(body, &a.json))
	a.check(r)
	c.keep(a)
	return a
}

// throttled requires an answer to ask for exactly so much patience.
func (a *answer) throttled(wait time.Duration) {
	a.t.Helper()
	a.is(http.StatusTooManyRequests, "too_many_attempts")
	require.Equal(a.t, fmt.Sprint(int(wait.Seconds())), a.header.Get("Retry-After"))
	require.Empty(a.t, a.cookies)
}

func TestTenFailuresOfAnAccountAreTheLast(t *testing.T) {
	require.Equal(t, []any{10, 30, 15 * time.Minute}, []any{auth.MaxPerAccount, auth.MaxPerAddress, auth.ThrottleWindow})
	each(t, func(t *testing.T, slug string) {
		s := newServer(t)
		existing, c := s.login(t, slug, alice, alicePassword), s.client(t, slug)
		for range auth.MaxPerAccount {
			c.post("login", credentials{alice, wrong}).is(http.StatusUnauthorized, "bad_login")
		}
		for _, password := range []string{wrong, alicePassword, ""} {
			c.post("login", credentials{alice, password}).throttled(auth.ThrottleWindow)
		}
		c.post("login", credentials{"ALICE", alicePassword}).throttled(auth.ThrottleWindow)

		// Her login, everybody else, and she herself from elsewhere are not affected.
		existing.get("profile").is(http.StatusOK)
		existing.patch(object{"theme": "dark"}).is(http.StatusOK)
		existing.renewed()
		c.post("login", credentials{bob, bobPassword}).is(http.StatusOK)
		s.client(t, slug).signInFrom("127.0.0.2", alice, alicePassword).is(http.StatusOK)
		s.client(t, slug).signInFrom("127.0.0.3", alice, wrong).throttled(auth.ThrottleWindow) // one more guess is one too many
		s.client(t, slug).signInFrom("127.0.0.3", alice, alicePassword).throttled(auth.ThrottleWindow)

		// The window is the clock's, to the second.
		s.clock.advance(auth.ThrottleWindow - time.Second)
		c.post("login", credentials{alice, alicePassword}).throttled(time.Second)
		s.clock.advance(time.Second)
		c.post("login", credentials{alice, wrong}).is(http.StatusUnauthorized, "bad_login")
		c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	})
}

func TestFailuresCountAcrossStrategies(t *testing.T) {
	s := newServer(t)
	for i := range auth.MaxPerAccount {
		s.clock.advance(time.Minute)
		s.client(t, strategies[i%len(strategies)]).post("login", credentials{alice, wrong}).is(http.StatusUnauthorized, "bad_login")
	}
	each(t, func(t *testing.T, slug string) {
		s.client(t, slug).post("login", credentials{alice, alicePassword}).throttled(auth.ThrottleWindow - (auth.MaxPerAccount-1)*time.Minute)
	})
}

func TestThirtyFailuresOfAnAddressAreTheLast(t *testing.T) {
	each(t, func(t *testing.T, slug string) {
		s := newServer(t)
		existing, c := s.login(t, slug, alice, alicePassword), s.client(t, slug)
		for i := range auth.MaxPerAddress {
			c.post("login", credentials{fmt.Sprint("nobody", i), wrong}).is(http.StatusUnauthorized, "bad_login")
		}
		for _, account := range []credentials{{"nobody", wrong}, {alice, alicePassword}, {"not a username", wrong}} {
			c.post("login", account).throttled(auth.ThrottleWindow)
		}
		existing.get("profile").is(http.StatusOK)
		s.client(t, slug).signInFrom("127.0.0.2", alice, alicePassword).is(http.StatusOK)
		s.clock.advance(auth.ThrottleWindow)
		c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	})
}

func TestAnUnknownUserLooksLikeAWrongPassword(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		s.clock.advance(time.Hour)
		plain := func(a *answer) string {
			for _, name := range []string{"X-Request-Id", "Server-Timing", "Date"} {
				a.header.Del(name)
			}
			return fmt.Sprint(a.status, a.header, strings.ReplaceAll(string(a.body), a.text("request_id"), ""))
		}
		want := plain(s.client(t, slug).post("login", credentials{alice, wrong}))
		for _, account := range []credentials{
			{"nobody", wrong}, {"nobody", ""}, {alice, ""}, {alice, long("x", 129)}, {alice, long("x", 60_000)}, {"", wrong}, {"not a username", wrong}, {long("x", 5000), wrong}, {"' OR 1=1 --", wrong}, {"alice\u0000", alicePassword},
			{"ａｌｉｃｅ", alicePassword}, {alice + " ", alicePassword}, {alice, "Wonderland"}, {alice, alicePassword + " "}, {alice, alicePassword + "\u0000"},
		} {
			require.Equal(t, want, plain(s.client(t, slug).post("login", account)), "%.20s", account.Username)
			s.clock.advance(auth.ThrottleWindow)
		}
	})
}

func TestAThrottledUnknownUserLooksLikeAThrottledOne(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		for _, username := range []string{alice, "nobody", "not a username"} {
			s.clock.advance(auth.ThrottleWindow)
			for range auth.MaxPerAccount {
				s.client(t, slug).post("login", credentials{username, wrong}).is(http.StatusUnauthorized, "bad_login")
			}
			s.client(t, slug).post("login", credentials{username, wrong}).throttled(auth.ThrottleWindow)
		}
	})
}

func TestGuessesBesideEachOtherAreNoMoreThanTen(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		s.clock.advance(auth.ThrottleWindow)
		var mu sync.Mutex
		statuses := map[int]int{}
		var wg sync.WaitGroup
		for range 25 {
			wg.Go(func() {
				a := s.client(t, slug).post("login", credentials{alice, wrong})
				mu.Lock()
				defer mu.Unlock()
				statuses[a.status]++
			})
		}
		wg.Wait()
		require.Equal(t, map[int]int{401: auth.MaxPerAccount, 429: 25 - auth.MaxPerAccount}, statuses)
	})
}

func TestSuccessesNeverCount(t *testing.T) {
	s := newServer(t)
	for i := range auth.MaxPerAddress + 1 {
		s.client(t, strategies[i%len(strategies)]).post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	}
	each(t, func(t *testing.T, slug string) {
		s.clock.advance(auth.ThrottleWindow)
		c := s.client(t, slug)
		for range auth.MaxPerAccount - 1 {
			c.post("login", credentials{alice, wrong}).is(http.StatusUnauthorized, "bad_login")
		}
		c.post("login", credentials{alice, alicePassword}).is(http.StatusOK) // which excuses nothing
		c.post("login", credentials{alice, wrong}).is(http.StatusUnauthorized, "bad_login")
		c.post("login", credentials{alice, alicePassword}).throttled(auth.ThrottleWindow)
	})
}

func TestWrongCurrentPasswordsAreThrottled(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		s.clock.advance(auth.ThrottleWindow)
		c := s.login(t, slug, alice, alicePassword)
		change := func(current string) *answer {
			return c.route("PUT", "password", object{"current_password": current, "new_password": "through the looking-glass"})
		}
		for range auth.MaxPerAccount {
			a := change(wrong).is(http.StatusUnprocessableEntity, "validation_failed")
			require.Equal(t, "/current_password", a.at("errors").([]any)[0].(map[string]any)["pointer"])
		}
		change(wrong).throttled(auth.ThrottleWindow)
		change(alicePassword).throttled(auth.ThrottleWindow)
		s.client(t, slug).post("login", credentials{alice, alicePassword}).throttled(auth.ThrottleWindow) // it is one count
		c.get("profile").is(http.StatusOK)
		s.clock.advance(auth.ThrottleWindow)
		s.client(t, slug).post("login", credentials{alice, alicePassword}).is(http.StatusOK) // nothing was changed
	})
}

// What cannot be looked at cannot be counted either: these never cost an attempt.
func TestWhatIsNoAttemptDoesNotCount(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		s.clock.advance(auth.ThrottleWindow)
		c := s.client(t, slug)
		for range auth.MaxPerAccount + 1 {
			c.post("login", raw(`{"username":"alice","password":1}`)).is(http.StatusBadRequest)
			c.do("POST", "/"+slug+"/login", credentials{alice, wrong}, header("Content-Type", "text/plain")).is(http.StatusUnsupportedMediaType)
			c.do("POST", "/"+slug+"/login", credentials{alice, wrong}, from("cross-site", "")).is(http.StatusForbidden)
			c.do("POST", "/accounts", object{"username": alice, "password": wrong}).is(http.StatusConflict)
		}
		c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	})
}

// blockingHasher hashes when it is told to, and has no room for more than one.
type blockingHasher struct {
	auth.Hasher
	busy, entered, leave chan struct{}
}

func newBlockingHasher() *blockingHasher {
	return &blockingHasher{cheapHasher(), make(chan struct{}, 1), make(chan struct{}), make(chan struct{})}
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
	h := newBlockingHasher()
	s := newServer(t, func(c *api.Config) { c.Hasher = h })
	each(t, func(t *testing.T, slug string) {
		c := s.client(t, slug)
		first := make(chan *answer)
		go func() { first <- c.post("login", credentials{alice, alicePassword}) }()
		<-h.entered
		for range auth.MaxPerAccount + 1 {
			for _, account := range []credentials{{alice, alicePassword}, {alice, wrong}, {"nobody", wrong}} {
				a := s.client(t, slug).post("login", account).is(http.StatusServiceUnavailable, "overloaded")
				require.Empty(t, a.cookies)
			}
		}
		h.leave <- struct{}{}
		(<-first).is(http.StatusOK)
		require.NotEmpty(t, c.held())
	})
}

// slow is a hash that takes about a tenth of a second, and its memory.
var slow = argon2id.Params{Memory: 19 * 1024, Iterations: 6, Parallelism: 1, SaltLength: 16, KeyLength: 32}

func TestHashesBesideEachOtherAreBounded(t *testing.T) {
	const callers, mib = 200, 1 << 20
	hasher := auth.NewArgon2id(slow)
	runtime.GC()
	var base, now runtime.MemStats
	runtime.ReadMemStats(&base)
	peak, done := uint64(0), make(chan struct{})
	var sampling sync.WaitGroup
	sampling.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				runtime.ReadMemStats(&now)
				peak = max(peak, now.HeapInuse)
				runtime.Gosched()
			}
		}
	})
	var mu sync.Mutex
	answered, overloaded := 0, 0
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			ok, _, err := hasher.Compare(t.Context(), wrong, "")
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && !ok:
				answered++
			case errors.Is(err, auth.ErrOverloaded):
				overloaded++
			}
		})
	}
	wg.Wait()
	close(done)
	sampling.Wait()
	require.Equal(t, callers, answered+overloaded, "every caller gets one of two answers")
	require.Positive(t, answered)
	require.GreaterOrEqual(t, overloaded, callers-64-answered, "the queue has an end")
	limit := base.HeapInuse + uint64(float64(runtime.GOMAXPROCS(0))*19*mib*2.5) + 16*mib
	require.Less(t, peak, limit, "%d MiB for %d processors", peak/mib, runtime.GOMAXPROCS(0))

	ok, _, err := hasher.Compare(t.Context(), wrong, "") // the flood has left nothing behind
	require.NoError(t, err)
	require.False(t, ok)
}
