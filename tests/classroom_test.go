package tests

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
	"statelab/tests/harness"
	"statelab/tests/seeded"
)

func isHeldByClient(traits state.Traits) bool { return traits.Holder == state.HolderClient }

func isHeldByServer(traits state.Traits) bool { return traits.Holder == state.HolderServer }

// stays says whether a login goes on although nobody uses it: what slides ends by
// idleness, and an access token soon.
func stays(traits state.Traits) bool {
	return !traits.Slides && (traits.Holder == state.HolderServer || traits.KeptIn == "")
}

func needsNoKey(traits state.Traits) bool { return !traits.NeedsSharedKey }

func TestTheClockIsALever(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	logins := s.Logins(t)
	now := s.Clock.Now()
	a := s.Pull(t, "POST", "clock", harness.Object{"advance": "14m"}).Is(http.StatusOK)
	require.Equal(t, "14m0s", a.Text("offset"))
	require.Equal(t, now.Add(14*time.Minute).Format(time.RFC3339), a.Text("now"))
	s.Holds(t, logins, func(state.Traits) bool { return true })
	a = s.Pull(t, "POST", "clock", harness.Object{"advance": "16m"}).Is(http.StatusOK)
	require.Equal(t, "30m0s", a.Text("offset"))
	s.Holds(t, logins, stays)
	require.Equal(t, now.Add(30*time.Minute).Format(time.RFC3339), s.Login(t, "session", harness.Alice, harness.AlicePassword).Get("profile").Text("issued_at"))

	for _, wrong := range []string{"-1s", "soon", "", "90000h", "16"} {
		s.Pull(t, "POST", "clock", harness.Object{"advance": wrong}).Is(http.StatusUnprocessableEntity, "validation_failed")
	}
	require.Equal(t, "30m0s", s.Pull(t, "POST", "clock", harness.Object{"advance": "0s"}).Text("offset"), "what was refused has moved nothing")

	s.Reset(t)
	require.Equal(t, "0s", s.Pull(t, "POST", "clock", harness.Object{"advance": "0s"}).Text("offset"))
	for slug, c := range s.Logins(t) {
		require.Equal(t, now.Format(time.RFC3339), c.Get("profile").Is(http.StatusOK).Text("issued_at"), slug)
	}
}

func TestARestartDropsWhatARestartDrops(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	logins := s.Logins(t)
	require.Contains(t, s.Exposition(), `statelab_sign_ins_total{outcome="ok",strategy="session"} 1`)
	s.Pull(t, "POST", "restart", harness.Object{"keep_keys": true}).Is(http.StatusNoContent)
	s.Holds(t, logins, harness.Outlives)
	require.Contains(t, s.Exposition(), `statelab_sign_ins_total{outcome="ok",strategy="session"} 0`)
	require.Contains(t, s.Exposition(), `statelab_live_logins 0`)

	logins = s.Logins(t)
	s.Pull(t, "POST", "restart", nil).Is(http.StatusNoContent)
	s.Holds(t, logins, harness.Outlives)

	logins = s.Logins(t)
	s.Pull(t, "POST", "restart", harness.Object{"keep_keys": false}).Is(http.StatusNoContent)
	s.Holds(t, logins, func(traits state.Traits) bool { return harness.Outlives(traits) && !traits.NeedsSharedKey })
	for slug, c := range s.Logins(t) { // all of them go on with what is new
		c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
		if a := c.Renew(); a.Status != http.StatusNotImplemented {
			a.Is(http.StatusOK)
		}
		require.Equal(t, "dark", c.Get("profile").Is(http.StatusOK).Text("state.theme"), slug)
	}
}

// Failed sign-ins are counted in the store, so they go with it.
func TestARestartForgetsFailures(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, "session")
	for range 10 {
		c.Post("login", harness.Credentials(harness.Alice, "wrong")).Is(http.StatusUnauthorized, "bad_login")
	}
	c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusTooManyRequests)
	s.Pull(t, "POST", "restart", nil).Is(http.StatusNoContent)
	c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
}

func TestKeysAreALever(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	before := s.Logins(t)
	uses := func(a *harness.Answer) map[string]int {
		n := map[string]int{}
		for _, k := range a.Is(http.StatusOK).At("keys").([]any) {
			n[k.(map[string]any)["use"].(string)]++
		}
		return n
	}
	purposes := len(keys.Purposes())
	require.Equal(t, map[string]int{"signs": purposes, "verifies": purposes}, uses(s.Pull(t, "POST", "keys/rotate", nil)))
	s.Holds(t, before, func(state.Traits) bool { return true })
	between := s.Logins(t)
	require.Equal(t, map[string]int{"signs": purposes}, uses(s.Pull(t, "POST", "keys/rotate", harness.Object{"keep_previous": false})))
	s.Holds(t, before, needsNoKey)
	s.Holds(t, between, needsNoKey)
	after := s.Logins(t)
	s.Holds(t, after, func(state.Traits) bool { return true })

	s.Reset(t)
	s.Holds(t, after, func(traits state.Traits) bool { return isHeldByClient(traits) && needsNoKey(traits) })
	s.Holds(t, before, isHeldByClient) // made with the keys that are in force again
}

func TestARoleReachesAtOnceWhatTheServerHolds(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	logins := s.Logins(t)
	for slug, c := range logins {
		c.Patch(harness.Object{"nickname": "Al"}).Is(http.StatusOK)
		require.Equal(t, "member", c.Get("profile").Text("user.role"), slug)
	}
	bobs := s.Login(t, "session", harness.Bob, harness.BobPassword)
	a := s.Pull(t, "PUT", "accounts/Alice/role", harness.Object{"role": "admin"}).Is(http.StatusOK)
	require.Equal(t, "admin", a.Text("role"))
	for slug, c := range logins {
		switch traits := s.Traits(t, slug); {
		case traits.KeptIn == state.PlaceProcess: // nobody else reaches it
			c.Get("members").Is(http.StatusForbidden, "forbidden")
		case isHeldByServer(traits):
			c.Get("members").Is(http.StatusOK)
		default:
			c.Get("members").Is(http.StatusForbidden, "forbidden")
			c.Renew().Is(http.StatusOK)
			c.Get("members").Is(http.StatusOK)
		}
		require.Equal(t, "Al", c.Get("profile").Text("state.nickname"), "the login lives on")
		require.Equal(t, int64(2), c.Get("profile").Number("version"), "a role is no change of state")
	}
	bobs.Get("members").Is(http.StatusForbidden)

	s.Pull(t, "PUT", "accounts/nobody/role", harness.Object{"role": "admin"}).Is(http.StatusNotFound, "not_found")
	s.Pull(t, "PUT", "accounts/%00/role", harness.Object{"role": "admin"}).Is(http.StatusNotFound, "not_found")
	s.Pull(t, "PUT", "accounts/alice/role", harness.Object{"role": "queen"}).Is(http.StatusUnprocessableEntity, "validation_failed")

	s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": harness.Carol, "password": harness.CarolPassword}).Is(http.StatusCreated)
	s.Pull(t, "PUT", "accounts/carol/role", harness.Object{"role": "admin"}).Is(http.StatusOK)
	s.Pull(t, "PUT", "accounts/teacher/role", harness.Object{"role": "member"}).Is(http.StatusOK)
	s.Reset(t)
	for username, want := range map[[2]string]string{
		{harness.Alice, harness.AlicePassword}: "member", {harness.Carol, harness.CarolPassword}: "member", {harness.Teacher, harness.TeacherPassword}: "admin",
	} {
		require.Equal(t, want, s.Login(t, "session", username[0], username[1]).Get("profile").Text("user.role"), username[0])
	}
}

// While its owner changes it, a role is neither lost nor does it lose a change.
func TestARoleAndChangesOfItsOwner(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		if traits := s.Traits(t, slug); isHeldByClient(traits) || traits.KeptIn == state.PlaceProcess {
			return // no store holds it, and TestARoleReachesAtOnceWhatTheServerHolds has it
		}
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		var wg sync.WaitGroup
		for range 10 {
			tab := c.Copy()
			wg.Go(func() { tab.Post("spend", harness.Object{"amount": 1}).Is(http.StatusOK) })
			wg.Go(func() { s.Pull(t, "PUT", "accounts/alice/role", harness.Object{"role": "admin"}).Is(http.StatusOK) })
		}
		wg.Wait()
		require.Equal(t, "admin", c.Get("profile").Text("user.role"))
		require.Equal(t, int64(90), c.Get("profile").Number("state.credits"))
		s.Reset(t)
	})
}

func TestTheStoreIsSeenAndLosesWhatIsDeleted(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	for _, slug := range harness.Shared {
		require.Empty(t, s.Shown(t, slug))
	}
	for slug, c := range s.Logins(t) {
		traits := s.Traits(t, slug)
		if traits.KeptIn == state.PlaceProcess {
			s.Pull(t, "GET", "store/"+slug, nil).Is(http.StatusNotImplemented, "not_supported_by_strategy")
			s.Pull(t, "DELETE", "store/"+slug+"/"+state.KeyOf("x").String(), nil).Is(http.StatusNotImplemented, "not_supported_by_strategy")
			continue
		}
		bobs := s.Login(t, slug, harness.Bob, harness.BobPassword)
		records := s.Shown(t, slug)
		if traits.KeptIn == "" {
			require.Empty(t, records, slug)
			continue
		}
		require.Len(t, records, 2, slug)
		record := records[0].(map[string]any)
		require.Equal(t, harness.Alice, record["username"], slug)
		require.Equal(t, c.ID(), record["id"], slug)
		require.NotContains(t, string(s.Pull(t, "GET", "store/"+slug, nil).Body), c.Held(), "no credential")
		require.Empty(t, s.Canary.Leaks(string(s.Pull(t, "GET", "store/"+slug, nil).Body)), slug)

		for _, other := range harness.Shared {
			if other != slug {
				s.Pull(t, "DELETE", "store/"+other+"/"+c.ID(), nil).Is(http.StatusNotFound, "not_found")
			}
		}
		s.Pull(t, "DELETE", "store/"+slug+"/"+c.ID(), nil).Is(http.StatusNoContent)
		s.Pull(t, "DELETE", "store/"+slug+"/"+c.ID(), nil).Is(http.StatusNotFound, "not_found")
		if isHeldByServer(traits) {
			c.Get("profile").Is(http.StatusUnauthorized, "unknown_session")
		} else {
			c.Get("profile").Is(http.StatusOK) // it is its holder's, until it is to be renewed
			c.Renew().Is(http.StatusUnauthorized, "unknown_session")
		}
		bobs.Get("profile").Is(http.StatusOK)
	}
	s.Pull(t, "GET", "store/nothing", nil).Is(http.StatusNotFound, "not_found")
	s.Pull(t, "DELETE", "store/session/nothing", nil).Is(http.StatusNotFound, "not_found")
	s.Reset(t)
	for _, slug := range harness.Shared {
		require.Empty(t, s.Shown(t, slug), "a reset leaves no record")
	}
}

func TestTheStoreIsShownInBounds(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	for range 51 { // of each of two accounts, since one has 100 logins at most
		s.Login(t, "session", harness.Alice, harness.AlicePassword)
		s.Login(t, "session", harness.Bob, harness.BobPassword)
	}
	a := s.Pull(t, "GET", "store/session", nil).Is(http.StatusOK)
	require.Len(t, a.At("records"), 100)
	require.Equal(t, false, a.At("complete"))
}

// With a denylist a client-held login leaves a record when it ends, and without
// its record it is alive again.
func TestADenylistIsASetting(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	before := s.Logins(t)
	s.Set(t, harness.Object{"revocation": "denylist"})
	s.Holds(t, before, func(state.Traits) bool { return true })
	for slug, c := range before {
		if !s.Traits(t, slug).Everywhere { // no denylist can end it
			delete(before, slug)
			continue
		}
		copied := c.Copy()
		c.Post("logout", nil).Is(http.StatusNoContent)
		require.True(t, s.Traits(t, slug).Revocable, slug)
		a := copied.Get("profile")
		a.Is(http.StatusUnauthorized, over(s.Traits(t, slug), "revoked"))
		before[slug] = copied
		if s.Traits(t, slug).KeptIn == "" {
			record := s.Shown(t, slug)[0].(map[string]any)
			s.Pull(t, "DELETE", "store/"+slug+"/"+record["id"].(string), nil).Is(http.StatusNoContent)
			copied.Get("profile").Is(http.StatusOK)
		}
	}
	s.Set(t, harness.Object{"revocation": "none"})
	s.Holds(t, before, isHeldByClient)
	s.Set(t, harness.Object{"revocation": "denylist"})
	s.Reset(t)
	require.False(t, s.Traits(t, "cookie").Revocable)
}

func TestLifetimesAreSettings(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	a := s.Set(t, harness.Object{"session_idle": "1m", "session_max": "2m", "access_ttl": "30s", "refresh_ttl": "1h30m", "refresh_overlap": "0s"})
	require.Equal(t, []string{"1m0s", "2m0s", "30s", "1h30m0s", "0s"},
		[]string{a.Text("session_idle"), a.Text("session_max"), a.Text("access_ttl"), a.Text("refresh_ttl"), a.Text("refresh_overlap")})
	for slug, c := range s.Logins(t) {
		a := c.Get("profile").Is(http.StatusOK)
		want := "2m"
		if !s.Traits(t, slug).Expires {
			continue
		}
		if c.Renews() != "" {
			want = "1h30m"
		}
		if c.Bearer() {
			first := c.Copy()
			expires, code := int64(120), "unknown_session"
			if c.Refresh != "" {
				expires, code = 30, "reuse_detected"
			}
			require.Equal(t, expires, c.Renew().Is(http.StatusOK).Number("credential.expires_in"))
			first.Renew().Is(http.StatusUnauthorized, code)
		}
		life, err := time.ParseDuration(want)
		require.NoError(t, err)
		require.Equal(t, s.Clock.Now().Add(life).Format(time.RFC3339), a.Text("expires_at"), slug)
	}
	logins := s.Logins(t)
	s.Clock.Advance(time.Minute)
	s.Holds(t, logins, stays)
	s.Reset(t)
	require.Equal(t, "15m0s", s.Pull(t, "GET", "settings", nil).Text("session_idle"))
}

// A test of its own requests: what check holds all cookies to, a lesson changes.
func TestSameSiteIsASetting(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	cookie := func(slug string) *http.Cookie {
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.URL+"/"+slug+"/login", strings.NewReader(`{"username":"alice","password":"wonderland"}`))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		resp, err := harness.Transport.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
		for _, c := range resp.Cookies() {
			require.Equal(t, resp.Cookies()[0].SameSite, c.SameSite)
		}
		return resp.Cookies()[0]
	}
	harness.Each(t, func(t *testing.T, slug string) {
		if !s.Traits(t, slug).SameSite {
			return // it has no cookie, or one whose engine decides
		}
		for name, want := range map[string]http.SameSite{"Strict": http.SameSiteStrictMode, "None": http.SameSiteNoneMode, "Lax": http.SameSiteLaxMode} {
			a := s.Set(t, harness.Object{"same_site": name})
			require.Equal(t, name, a.Text("same_site"))
			require.Equal(t, name == "None", a.At("notes") != nil, "a browser will not keep it over plain HTTP")
			require.Equal(t, want, cookie(slug).SameSite)
		}
		s.Set(t, harness.Object{"same_site": "Strict"})
		s.Reset(t)
		require.Equal(t, http.SameSiteLaxMode, cookie(slug).SameSite)
	})
	require.Nil(t, s.OverTLS(t).Set(t, harness.Object{"same_site": "None"}).At("notes"))
}

func TestTheOriginCheckIsASetting(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	// A form of another origin: no body, and a type that needs no preflight.
	form := func(r *http.Request) {
		r.Header.Set("Origin", "http://127.0.0.1:9090")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, slug := range harness.Strategies {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		c.Do("POST", "/"+slug+"/logout", nil, form).Is(http.StatusForbidden, "csrf_blocked")
		s.Set(t, harness.Object{"origin_check": false})
		c.Do("POST", "/"+slug+"/logout", nil, form).Is(http.StatusNoContent)
		for _, r := range s.Routes() {
			if strings.HasPrefix(r.Path, "/classroom/") && r.Method != "GET" && r.Method != "HEAD" {
				c.Do(r.Method, r.Path, nil, form).Is(http.StatusForbidden, "csrf_blocked")
			}
		}
		c.Do("POST", "/accounts", nil, form).Is(http.StatusForbidden, "csrf_blocked")
		c.Do("POST", "/nothing", nil, form).Is(http.StatusForbidden, "csrf_blocked")
		s.Reset(t)
		c.Do("POST", "/"+slug+"/logout", nil, form).Is(http.StatusForbidden, "csrf_blocked")
	}
}

func TestTheCredentialCacheIsASetting(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	require.NotContains(t, s.Exposition(), "statelab_credential_cache_total")
	require.Equal(t, int64(10), s.Set(t, harness.Object{"credential_cache": 10}).Number("credential_cache"))
	c := s.Login(t, "cookie", harness.Alice, harness.AlicePassword)
	for range 3 {
		c.Get("profile").Is(http.StatusOK)
	}
	require.Contains(t, s.Exposition(), `statelab_credential_cache_total{result="hit",strategy="cookie"} 2`)
	s.Pull(t, "POST", "restart", nil).Is(http.StatusNoContent)
	c.Get("profile").Is(http.StatusOK)
	require.Contains(t, s.Exposition(), `statelab_credential_cache_total{result="hit",strategy="cookie"} 0`, "what was remembered is gone")
	s.Reset(t)
	require.NotContains(t, s.Exposition(), "statelab_credential_cache_total")
}

// Settings are held to what the flags are held to, and what is refused changes
// nothing.
func TestSettingsThatAreRefused(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	before := string(s.Pull(t, "GET", "settings", nil).Is(http.StatusOK).Body)
	for pointer, wrong := range map[string]harness.Object{
		"/revocation": {"revocation": "maybe"}, "/same_site": {"same_site": "lax"}, "/credential_cache": {"credential_cache": -1},
		"/session_idle": {"session_idle": "999ms"}, "/session_max": {"session_max": "a day"}, "/access_ttl": {"access_ttl": "61m"},
		"/refresh_ttl": {"refresh_ttl": "0s"}, "/refresh_overlap": {"refresh_overlap": "61s"},
	} {
		wrong["origin_check"] = false
		a := s.Pull(t, "PUT", "settings", wrong).Is(http.StatusUnprocessableEntity, "validation_failed")
		require.Equal(t, pointer, a.At("errors").([]any)[0].(map[string]any)["pointer"])
	}
	for _, body := range []harness.Raw{`{"token_alg":"HS256"}`, `{"revocation":null}`, `{"origin_check":null}`, `{"credential_cache":null}`, `{"origin_check":0}`, `{"Revocation":"none"}`, `[]`} {
		s.Pull(t, "PUT", "settings", body).Is(http.StatusBadRequest, "malformed_json")
	}
	s.Pull(t, "PUT", "settings", nil).Is(http.StatusUnsupportedMediaType)
	require.Equal(t, before, string(s.Set(t, harness.Object{}).Body))
}

func TestOnlyAClassroomHasLevers(t *testing.T) {
	t.Parallel()
	levers := harness.NewServer(t).Routes()
	s := newService(t)
	n := 0
	for _, r := range levers {
		if strings.HasPrefix(r.Path, "/classroom/") {
			n++
			s.Client(t, "").Do(r.Method, r.Path, nil).Is(http.StatusNotFound)
		}
	}
	require.Equal(t, 29, n)
	eachServed(t, s, func(t *testing.T, slug string) {
		s.Client(t, slug).Post("copy", nil).Is(http.StatusNotFound)
		s.Client(t, slug).Post("restore", harness.Object{"id": "x"}).Is(http.StatusNotFound)
	})
}

// However fast settings change, every request is answered, on a login that goes
// on: those under way finish on the server that they began on.
func TestRequestsOutliveASwap(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	var served atomic.Int64
	for slug, c := range s.Logins(t) {
		wg.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				c.Patch(harness.Object{"nickname": slug}).Is(http.StatusOK)
				require.Equal(t, n+1, c.Get("profile").Is(http.StatusOK).Number("version"), slug)
				served.Add(1)
			}
		})
	}
	for i := range 30 {
		s.Set(t, harness.Object{"revocation": []string{"denylist", "none"}[i%2], "credential_cache": i})
		s.Pull(t, "POST", "keys/rotate", nil).Is(http.StatusOK)
	}
	stop()
	wg.Wait()
	require.Greater(t, served.Load(), int64(len(harness.Strategies)))
}

// A server that is about to stop stays so, whatever lever is pulled.
func TestDrainingOutlivesASwap(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	s.Drain()
	s.Set(t, harness.Object{"revocation": "denylist"})
	s.Client(t, "").Do("GET", "/readyz", nil).Is(http.StatusServiceUnavailable, "overloaded")
	s.Client(t, "").Do("POST", "/classroom/experiments/E07/run", nil).Is(http.StatusConflict, "busy") // none begins
}

// What a lever does to accounts and keys is in the audit trail, once, and what
// an operator has done is not told again by each server that takes over.
func TestLeversAreAudited(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, harness.Following)
	told := func(event, member string) (all []any) {
		for _, line := range s.Canary.Trail(t) {
			if line["event"] == event {
				all = append(all, line[member])
			}
		}
		return all
	}
	s.Pull(t, "PUT", "accounts/alice/role", harness.Object{"role": "admin"}).Is(http.StatusOK)
	require.Len(t, told("account_changed", "subject"), 1)
	s.Pull(t, "POST", "keys/rotate", nil).Is(http.StatusOK)
	s.Pull(t, "POST", "restart", harness.Object{"keep_keys": true}).Is(http.StatusNoContent)
	require.Len(t, told("key_change", "keys"), 1)
	s.Reset(t)
	require.Len(t, told("key_change", "keys"), 2)

	operator := auth.New(auth.Config{Database: s.Config.Database, Hasher: harness.CheapHasher(), Now: s.Clock.Now, Rand: seeded.Reader(t)})
	for i, username := range []string{harness.Bob, harness.Teacher} {
		require.NoError(t, operator.SetRole(t.Context(), username, auth.RoleAdmin))
		distinct := func() int { return len(slices.Compact(slices.Clone(told("account_changed", "subject")))) }
		require.Eventually(t, func() bool { return distinct() == i+2 }, time.Minute, 10*time.Millisecond)
		require.Len(t, told("account_changed", "subject"), i+2)
		s.Login(t, "session", harness.Alice, harness.AlicePassword)
		s.Set(t, harness.Object{"revocation": "denylist"})
	}
	names := told("sign_in", "username")
	require.Len(t, slices.Compact(names), 1, "a name in the trail is the same before and after")
}

// The program's own classroom has the levers, over its stores and beside its
// key file.
func TestTheProgramsLevers(t *testing.T) {
	t.Parallel()
	for name, kept := range map[string]func(state.Traits) bool{
		"memory":   harness.Outlives,
		"database": func(traits state.Traits) bool { return traits.KeptIn != state.PlaceProcess },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := harness.Start(t, dir, nil, "--listen", "localhost:0", "--store", name)
			path := filepath.Join(dir, "statelab-classroom.keys.json")
			file, err := os.ReadFile(path)
			require.NoError(t, err)
			s := &harness.Server{URL: p.Base, Canary: p.Canary}
			logins := s.Logins(t)
			s.Pull(t, "POST", "keys/rotate", harness.Object{"keep_previous": false}).Is(http.StatusOK)
			s.Holds(t, logins, needsNoKey)
			s.Pull(t, "POST", "clock", harness.Object{"advance": "16m"}).Is(http.StatusOK)
			s.Holds(t, logins, func(traits state.Traits) bool { return stays(traits) && needsNoKey(traits) })
			logins = s.Logins(t)
			s.Pull(t, "POST", "restart", nil).Is(http.StatusNoContent)
			s.Holds(t, logins, kept)
			s.Set(t, harness.Object{"revocation": "denylist"})
			for slug, c := range s.Logins(t) {
				if s.Traits(t, slug).Everywhere {
					c.Post("logout", harness.Object{"everywhere": true}).Is(http.StatusNoContent)
				}
			}
			s.Reset(t)
			s.Set(t, harness.Object{"revocation": "denylist"})
			s.Holds(t, s.Logins(t), func(state.Traits) bool { return true }) // nothing is ended in a future that is no more
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(file), string(after), "the file knows nothing of lessons")
		})
	}
}
