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

	cryptorand "crypto/rand"

	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
)

// pull pulls a lever, as the page does.
func (s *server) pull(t testing.TB, method, lever string, body any) *answer {
	t.Helper()
	return s.client(t, "").do(method, "/classroom/"+lever, body)
}

// set changes settings.
func (s *server) set(t testing.TB, changes object) *answer {
	t.Helper()
	return s.pull(t, "PUT", "settings", changes).is(http.StatusOK)
}

func (s *server) reset(t testing.TB) {
	t.Helper()
	s.pull(t, "POST", "reset", nil).is(http.StatusNoContent)
}

// logins logs alice in everywhere.
func (s *server) logins(t testing.TB) map[string]*client {
	t.Helper()
	all := map[string]*client{}
	for _, slug := range strategies {
		all[slug] = s.login(t, slug, alice, alicePassword)
	}
	return all
}

// holds requires that each login lives or not, as its traits say.
func (s *server) holds(t testing.TB, logins map[string]*client, lives func(state.Traits) bool) {
	t.Helper()
	for slug, c := range logins {
		want := http.StatusUnauthorized
		if lives(s.traits(t, slug)) {
			want = http.StatusOK
		}
		require.Equal(t, want, c.get("profile").status, slug)
	}
}

func isHeldByClient(traits state.Traits) bool { return traits.Holder == state.HolderClient }

func isHeldByServer(traits state.Traits) bool { return traits.Holder == state.HolderServer }

// stays says whether a login goes on although nobody uses it: what slides ends by
// idleness, and an access token soon.
func stays(traits state.Traits) bool {
	return !traits.Slides && (traits.Holder == state.HolderServer || traits.KeptIn == "")
}

func needsNoKey(traits state.Traits) bool { return !traits.NeedsSharedKey }

func TestTheClockIsALever(t *testing.T) {
	s := newServer(t)
	logins := s.logins(t)
	now := s.clock.Now()
	a := s.pull(t, "POST", "clock", object{"advance": "14m"}).is(http.StatusOK)
	require.Equal(t, "14m0s", a.text("offset"))
	require.Equal(t, now.Add(14*time.Minute).Format(time.RFC3339), a.text("now"))
	s.holds(t, logins, func(state.Traits) bool { return true })
	a = s.pull(t, "POST", "clock", object{"advance": "16m"}).is(http.StatusOK)
	require.Equal(t, "30m0s", a.text("offset"))
	s.holds(t, logins, stays)
	require.Equal(t, now.Add(30*time.Minute).Format(time.RFC3339), s.login(t, "session", alice, alicePassword).get("profile").text("issued_at"))

	for _, wrong := range []string{"-1s", "soon", "", "90000h", "16"} {
		s.pull(t, "POST", "clock", object{"advance": wrong}).is(http.StatusUnprocessableEntity, "validation_failed")
	}
	require.Equal(t, "30m0s", s.pull(t, "POST", "clock", object{"advance": "0s"}).text("offset"), "what was refused has moved nothing")

	s.reset(t)
	require.Equal(t, "0s", s.pull(t, "POST", "clock", object{"advance": "0s"}).text("offset"))
	for slug, c := range s.logins(t) {
		require.Equal(t, now.Format(time.RFC3339), c.get("profile").is(http.StatusOK).text("issued_at"), slug)
	}
}

func TestARestartDropsWhatARestartDrops(t *testing.T) {
	s := newServer(t)
	logins := s.logins(t)
	require.Contains(t, s.exposition(), `statelab_sign_ins_total{outcome="ok",strategy="session"} 1`)
	s.pull(t, "POST", "restart", object{"keep_keys": true}).is(http.StatusNoContent)
	s.holds(t, logins, outlives)
	require.Contains(t, s.exposition(), `statelab_sign_ins_total{outcome="ok",strategy="session"} 0`)
	require.Contains(t, s.exposition(), `statelab_live_logins 0`)

	logins = s.logins(t)
	s.pull(t, "POST", "restart", nil).is(http.StatusNoContent)
	s.holds(t, logins, outlives)

	logins = s.logins(t)
	s.pull(t, "POST", "restart", object{"keep_keys": false}).is(http.StatusNoContent)
	s.holds(t, logins, func(traits state.Traits) bool { return outlives(traits) && !traits.NeedsSharedKey })
	for slug, c := range s.logins(t) { // all of them go on with what is new
		c.patch(object{"theme": "dark"}).is(http.StatusOK)
		if a := c.renew(); a.status != http.StatusNotImplemented {
			a.is(http.StatusOK)
		}
		require.Equal(t, "dark", c.get("profile").is(http.StatusOK).text("state.theme"), slug)
	}
}

// Failed sign-ins are counted in the store, so they go with it.
func TestARestartForgetsFailures(t *testing.T) {
	s := newServer(t)
	c := s.client(t, "session")
	for range 10 {
		c.post("login", credentials{alice, "wrong"}).is(http.StatusUnauthorized, "bad_login")
	}
	c.post("login", credentials{alice, alicePassword}).is(http.StatusTooManyRequests)
	s.pull(t, "POST", "restart", nil).is(http.StatusNoContent)
	c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
}

func TestKeysAreALever(t *testing.T) {
	s := newServer(t)
	before := s.logins(t)
	uses := func(a *answer) map[string]int {
		n := map[string]int{}
		for _, k := range a.is(http.StatusOK).at("keys").([]any) {
			n[k.(map[string]any)["use"].(string)]++
		}
		return n
	}
	purposes := len(keys.Purposes())
	require.Equal(t, map[string]int{"signs": purposes, "verifies": purposes}, uses(s.pull(t, "POST", "keys/rotate", nil)))
	s.holds(t, before, func(state.Traits) bool { return true })
	between := s.logins(t)
	require.Equal(t, map[string]int{"signs": purposes}, uses(s.pull(t, "POST", "keys/rotate", object{"keep_previous": false})))
	s.holds(t, before, needsNoKey)
	s.holds(t, between, needsNoKey)
	after := s.logins(t)
	s.holds(t, after, func(state.Traits) bool { return true })

	s.reset(t)
	s.holds(t, after, func(traits state.Traits) bool { return isHeldByClient(traits) && needsNoKey(traits) })
	s.holds(t, before, isHeldByClient) // made with the keys that are in force again
}

func TestARoleReachesAtOnceWhatTheServerHolds(t *testing.T) {
	s := newServer(t)
	logins := s.logins(t)
	for slug, c := range logins {
		c.patch(object{"nickname": "Al"}).is(http.StatusOK)
		require.Equal(t, "member", c.get("profile").text("user.role"), slug)
	}
	bobs := s.login(t, "session", bob, bobPassword)
	a := s.pull(t, "PUT", "accounts/Alice/role", object{"role": "admin"}).is(http.StatusOK)
	require.Equal(t, "admin", a.text("role"))
	for slug, c := range logins {
		switch traits := s.traits(t, slug); {
		case traits.KeptIn == state.PlaceProcess: // nobody else reaches it
			c.get("members").is(http.StatusForbidden, "forbidden")
		case isHeldByServer(traits):
			c.get("members").is(http.StatusOK)
		default:
			c.get("members").is(http.StatusForbidden, "forbidden")
			c.renew().is(http.StatusOK)
			c.get("members").is(http.StatusOK)
		}
		require.Equal(t, "Al", c.get("profile").text("state.nickname"), "the login lives on")
		require.Equal(t, int64(2), c.get("profile").number("version"), "a role is no change of state")
	}
	bobs.get("members").is(http.StatusForbidden)

	s.pull(t, "PUT", "accounts/nobody/role", object{"role": "admin"}).is(http.StatusNotFound, "not_found")
	s.pull(t, "PUT", "accounts/%00/role", object{"role": "admin"}).is(http.StatusNotFound, "not_found")
	s.pull(t, "PUT", "accounts/alice/role", object{"role": "queen"}).is(http.StatusUnprocessableEntity, "validation_failed")

	s.client(t, "").do("POST", "/accounts", object{"username": carol, "password": carolPassword}).is(http.StatusCreated)
	s.pull(t, "PUT", "accounts/carol/role", object{"role": "admin"}).is(http.StatusOK)
	s.pull(t, "PUT", "accounts/teacher/role", object{"role": "member"}).is(http.StatusOK)
	s.reset(t)
	for username, want := range map[credentials]string{
		{alice, alicePassword}: "member", {carol, carolPassword}: "member", {teacher, teacherPassword}: "admin",
	} {
		require.Equal(t, want, s.login(t, "session", username.Username, username.Password).get("profile").text("user.role"), username.Username)
	}
}

// While its owner changes it, a role is neither lost nor does it lose a change.
func TestARoleAndChangesOfItsOwner(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		if traits := s.traits(t, slug); isHeldByClient(traits) || traits.KeptIn == state.PlaceProcess {
			return // no store holds it, and TestARoleReachesAtOnceWhatTheServerHolds has it
		}
		c := s.login(t, slug, alice, alicePassword)
		var wg sync.WaitGroup
		for range 10 {
			tab := c.copy()
			wg.Go(func() { tab.post("spend", object{"amount": 1}).is(http.StatusOK) })
			wg.Go(func() { s.pull(t, "PUT", "accounts/alice/role", object{"role": "admin"}).is(http.StatusOK) })
		}
		wg.Wait()
		require.Equal(t, "admin", c.get("profile").text("user.role"))
		require.Equal(t, int64(90), c.get("profile").number("state.credits"))
		s.reset(t)
	})
}

// shown is what the server says it holds for a strategy.
func (s *server) shown(t testing.TB, slug string) []any {
	t.Helper()
	a := s.pull(t, "GET", "store/"+slug, nil).is(http.StatusOK)
	require.Equal(t, slug, a.text("strategy"))
	require.Equal(t, true, a.at("complete"))
	return a.at("records").([]any)
}

func TestTheStoreIsSeenAndLosesWhatIsDeleted(t *testing.T) {
	s := newServer(t)
	for _, slug := range shared {
		require.Empty(t, s.shown(t, slug))
	}
	for slug, c := range s.logins(t) {
		traits := s.traits(t, slug)
		if traits.KeptIn == state.PlaceProcess {
			s.pull(t, "GET", "store/"+slug, nil).is(http.StatusNotImplemented, "not_supported_by_strategy")
			s.pull(t, "DELETE", "store/"+slug+"/"+state.KeyOf("x").String(), nil).is(http.StatusNotImplemented, "not_supported_by_strategy")
			continue
		}
		bobs := s.login(t, slug, bob, bobPassword)
		records := s.shown(t, slug)
		if traits.KeptIn == "" {
			require.Empty(t, records, slug)
			continue
		}
		require.Len(t, records, 2, slug)
		record := records[0].(map[string]any)
		require.Equal(t, alice, record["username"], slug)
		require.Equal(t, c.id(), record["id"], slug)
		require.NotContains(t, string(s.pull(t, "GET", "store/"+slug, nil).body), c.held(), "no credential")
		require.Empty(t, s.canary.leaks(string(s.pull(t, "GET", "store/"+slug, nil).body)), slug)

		for _, other := range shared {
			if other != slug {
				s.pull(t, "DELETE", "store/"+other+"/"+c.id(), nil).is(http.StatusNotFound, "not_found")
			}
		}
		s.pull(t, "DELETE", "store/"+slug+"/"+c.id(), nil).is(http.StatusNoContent)
		s.pull(t, "DELETE", "store/"+slug+"/"+c.id(), nil).is(http.StatusNotFound, "not_found")
		if isHeldByServer(traits) {
			c.get("profile").is(http.StatusUnauthorized, "unknown_session")
		} else {
			c.get("profile").is(http.StatusOK) // it is its holder's, until it is to be renewed
			c.renew().is(http.StatusUnauthorized, "unknown_session")
		}
		bobs.get("profile").is(http.StatusOK)
	}
	s.pull(t, "GET", "store/nothing", nil).is(http.StatusNotFound, "not_found")
	s.pull(t, "DELETE", "store/session/nothing", nil).is(http.StatusNotFound, "not_found")
	s.reset(t)
	for _, slug := range shared {
		require.Empty(t, s.shown(t, slug), "a reset leaves no record")
	}
}

func TestTheStoreIsShownInBounds(t *testing.T) {
	s := newServer(t)
	for range 101 {
		s.login(t, "session", alice, alicePassword)
	}
	a := s.pull(t, "GET", "store/session", nil).is(http.StatusOK)
	require.Len(t, a.at("records"), 100)
	require.Equal(t, false, a.at("complete"))
}

// With a denylist a client-held login leaves a record when it ends, and without
// its record it is alive again.
func TestADenylistIsASetting(t *testing.T) {
	s := newServer(t)
	before := s.logins(t)
	s.set(t, object{"revocation": "denylist"})
	s.holds(t, before, func(state.Traits) bool { return true })
	for slug, c := range before {
		if !s.traits(t, slug).Everywhere { // no denylist can end it
			delete(before, slug)
			continue
		}
		copied := c.copy()
		c.post("logout", nil).is(http.StatusNoContent)
		require.True(t, s.traits(t, slug).Revocable, slug)
		a := copied.get("profile")
		a.is(http.StatusUnauthorized, over(s.traits(t, slug), "revoked"))
		before[slug] = copied
		if s.traits(t, slug).KeptIn == "" {
			record := s.shown(t, slug)[0].(map[string]any)
			s.pull(t, "DELETE", "store/"+slug+"/"+record["id"].(string), nil).is(http.StatusNoContent)
			copied.get("profile").is(http.StatusOK)
		}
	}
	s.set(t, object{"revocation": "none"})
	s.holds(t, before, isHeldByClient)
	s.set(t, object{"revocation": "denylist"})
	s.reset(t)
	require.False(t, s.traits(t, "cookie").Revocable)
}

func TestLifetimesAreSettings(t *testing.T) {
	s := newServer(t)
	a := s.set(t, object{"session_idle": "1m", "session_max": "2m", "access_ttl": "30s", "refresh_ttl": "1h30m", "refresh_overlap": "0s"})
	require.Equal(t, []string{"1m0s", "2m0s", "30s", "1h30m0s", "0s"},
		[]string{a.text("session_idle"), a.text("session_max"), a.text("access_ttl"), a.text("refresh_ttl"), a.text("refresh_overlap")})
	for slug, c := range s.logins(t) {
		a := c.get("profile").is(http.StatusOK)
		want := "2m"
		if !s.traits(t, slug).Expires {
			continue
		}
		if c.renews() != "" {
			want = "1h30m"
		}
		if c.bearer() {
			first := c.copy()
			require.Equal(t, int64(30), c.renew().is(http.StatusOK).number("credential.expires_in"))
			first.renew().is(http.StatusUnauthorized, "reuse_detected")
		}
		life, err := time.ParseDuration(want)
		require.NoError(t, err)
		require.Equal(t, s.clock.Now().Add(life).Format(time.RFC3339), a.text("expires_at"), slug)
	}
	logins := s.logins(t)
	s.clock.advance(time.Minute)
	s.holds(t, logins, stays)
	s.reset(t)
	require.Equal(t, "15m0s", s.pull(t, "GET", "settings", nil).text("session_idle"))
}

// A test of its own requests: what check holds all cookies to, a lesson changes.
func TestSameSiteIsASetting(t *testing.T) {
	s := newServer(t)
	cookie := func(slug string) *http.Cookie {
		r, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/"+slug+"/login", strings.NewReader(`{"username":"alice","password":"wonderland"}`))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
		for _, c := range resp.Cookies() {
			require.Equal(t, resp.Cookies()[0].SameSite, c.SameSite)
		}
		return resp.Cookies()[0]
	}
	each(t, func(t *testing.T, slug string) {
		if !s.traits(t, slug).SameSite {
			return // it has no cookie, or one whose engine decides
		}
		for name, want := range map[string]http.SameSite{"Strict": http.SameSiteStrictMode, "None": http.SameSiteNoneMode, "Lax": http.SameSiteLaxMode} {
			a := s.set(t, object{"same_site": name})
			require.Equal(t, name, a.text("same_site"))
			require.Equal(t, name == "None", a.at("notes") != nil, "a browser will not keep it over plain HTTP")
			require.Equal(t, want, cookie(slug).SameSite)
		}
		s.set(t, object{"same_site": "Strict"})
		s.reset(t)
		require.Equal(t, http.SameSiteLaxMode, cookie(slug).SameSite)
	})
	require.Nil(t, s.overTLS(t).set(t, object{"same_site": "None"}).at("notes"))
}

func TestTheOriginCheckIsASetting(t *testing.T) {
	s := newServer(t)
	// A form of another origin: no body, and a type that needs no preflight.
	form := func(r *http.Request) {
		r.Header.Set("Origin", "http://127.0.0.1:9090")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, slug := range strategies {
		c := s.login(t, slug, alice, alicePassword)
		c.do("POST", "/"+slug+"/logout", nil, form).is(http.StatusForbidden, "csrf_blocked")
		s.set(t, object{"origin_check": false})
		c.do("POST", "/"+slug+"/logout", nil, form).is(http.StatusNoContent)
		for _, r := range s.Routes() {
			if strings.HasPrefix(r.Path, "/classroom/") && r.Method != "GET" && r.Method != "HEAD" {
				c.do(r.Method, r.Path, nil, form).is(http.StatusForbidden, "csrf_blocked")
			}
		}
		c.do("POST", "/accounts", nil, form).is(http.StatusForbidden, "csrf_blocked")
		c.do("POST", "/nothing", nil, form).is(http.StatusForbidden, "csrf_blocked")
		s.reset(t)
		c.do("POST", "/"+slug+"/logout", nil, form).is(http.StatusForbidden, "csrf_blocked")
	}
}

func TestTheCredentialCacheIsASetting(t *testing.T) {
	s := newServer(t)
	require.NotContains(t, s.exposition(), "statelab_credential_cache_total")
	require.Equal(t, int64(10), s.set(t, object{"credential_cache": 10}).number("credential_cache"))
	c := s.login(t, "cookie", alice, alicePassword)
	for range 3 {
		c.get("profile").is(http.StatusOK)
	}
	require.Contains(t, s.exposition(), `statelab_credential_cache_total{result="hit",strategy="cookie"} 2`)
	s.pull(t, "POST", "restart", nil).is(http.StatusNoContent)
	c.get("profile").is(http.StatusOK)
	require.Contains(t, s.exposition(), `statelab_credential_cache_total{result="hit",strategy="cookie"} 0`, "what was remembered is gone")
	s.reset(t)
	require.NotContains(t, s.exposition(), "statelab_credential_cache_total")
}

// Settings are held to what the flags are held to, and what is refused changes
// nothing.
func TestSettingsThatAreRefused(t *testing.T) {
	s := newServer(t)
	before := string(s.pull(t, "GET", "settings", nil).is(http.StatusOK).body)
	for pointer, wrong := range map[string]object{
		"/revocation": {"revocation": "maybe"}, "/same_site": {"same_site": "lax"}, "/credential_cache": {"credential_cache": -1},
		"/session_idle": {"session_idle": "999ms"}, "/session_max": {"session_max": "a day"}, "/access_ttl": {"access_ttl": "61m"},
		"/refresh_ttl": {"refresh_ttl": "0s"}, "/refresh_overlap": {"refresh_overlap": "61s"},
	} {
		wrong["origin_check"] = false
		a := s.pull(t, "PUT", "settings", wrong).is(http.StatusUnprocessableEntity, "validation_failed")
		require.Equal(t, pointer, a.at("errors").([]any)[0].(map[string]any)["pointer"])
	}
	for _, body := range []raw{`{"token_alg":"HS256"}`, `{"revocation":null}`, `{"origin_check":null}`, `{"credential_cache":null}`, `{"origin_check":0}`, `{"Revocation":"none"}`, `[]`} {
		s.pull(t, "PUT", "settings", body).is(http.StatusBadRequest, "malformed_json")
	}
	s.pull(t, "PUT", "settings", nil).is(http.StatusUnsupportedMediaType)
	require.Equal(t, before, string(s.set(t, object{}).body))
}

func TestOnlyAClassroomHasLevers(t *testing.T) {
	levers := newServer(t).Routes()
	s := newService(t)
	n := 0
	for _, r := range levers {
		if strings.HasPrefix(r.Path, "/classroom/") {
			n++
			s.client(t, "").do(r.Method, r.Path, nil).is(http.StatusNotFound)
		}
	}
	require.Equal(t, 17, n)
	eachServed(t, s, func(t *testing.T, slug string) {
		s.client(t, slug).post("copy", nil).is(http.StatusNotFound)
		s.client(t, slug).post("restore", object{"id": "x"}).is(http.StatusNotFound)
	})
}

// However fast settings change, every request is answered, on a login that goes
// on: those under way finish on the server that they began on.
func TestRequestsOutliveASwap(t *testing.T) {
	s := newServer(t)
	keepAlive(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	var served atomic.Int64
	for slug, c := range s.logins(t) {
		wg.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				c.patch(object{"nickname": slug}).is(http.StatusOK)
				require.Equal(t, n+1, c.get("profile").is(http.StatusOK).number("version"), slug)
				served.Add(1)
			}
		})
	}
	for i := range 30 {
		s.set(t, object{"revocation": []string{"denylist", "none"}[i%2], "credential_cache": i})
		s.pull(t, "POST", "keys/rotate", nil).is(http.StatusOK)
	}
	stop()
	wg.Wait()
	require.Greater(t, served.Load(), int64(len(strategies)))
}

// A server that is about to stop stays so, whatever lever is pulled.
func TestDrainingOutlivesASwap(t *testing.T) {
	s := newServer(t)
	s.Drain()
	s.set(t, object{"revocation": "denylist"})
	s.client(t, "").do("GET", "/readyz", nil).is(http.StatusServiceUnavailable, "overloaded")
}

// What a lever does to accounts and keys is in the audit trail, once, and what
// an operator has done is not told again by each server that takes over.
func TestLeversAreAudited(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	told := func(event, member string) (all []any) {
		for _, line := range s.canary.trail(t) {
			if line["event"] == event {
				all = append(all, line[member])
			}
		}
		return all
	}
	s.pull(t, "PUT", "accounts/alice/role", object{"role": "admin"}).is(http.StatusOK)
	require.Len(t, told("account_changed", "subject"), 1)
	s.pull(t, "POST", "keys/rotate", nil).is(http.StatusOK)
	s.pull(t, "POST", "restart", object{"keep_keys": true}).is(http.StatusNoContent)
	require.Len(t, told("key_change", "keys"), 1)
	s.reset(t)
	require.Len(t, told("key_change", "keys"), 2)

	operator := auth.New(auth.Config{Database: s.config.Database, Hasher: cheapHasher(), Now: s.clock.Now, Rand: cryptorand.Reader})
	for i, username := range []string{bob, teacher} {
		require.NoError(t, operator.SetRole(t.Context(), username, auth.RoleAdmin))
		distinct := func() int { return len(slices.Compact(slices.Clone(told("account_changed", "subject")))) }
		require.Eventually(t, func() bool { return distinct() == i+2 }, 10*time.Second, 10*time.Millisecond)
		require.Len(t, told("account_changed", "subject"), i+2)
		s.login(t, "session", alice, alicePassword)
		s.set(t, object{"revocation": "denylist"})
	}
	names := told("sign_in", "username")
	require.Len(t, slices.Compact(names), 1, "a name in the trail is the same before and after")
}

// The program's own classroom has the levers, over its stores and beside its
// key file.
func TestTheProgramsLevers(t *testing.T) {
	t.Parallel()
	for name, kept := range map[string]func(state.Traits) bool{
		"memory":   outlives,
		"database": func(traits state.Traits) bool { return traits.KeptIn != state.PlaceProcess },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := start(t, dir, nil, "--listen", "localhost:0", "--store", name)
			path := filepath.Join(dir, "statelab-classroom.keys.json")
			file, err := os.ReadFile(path)
			require.NoError(t, err)
			s := &server{url: p.base, canary: p.canary}
			logins := s.logins(t)
			s.pull(t, "POST", "keys/rotate", object{"keep_previous": false}).is(http.StatusOK)
			s.holds(t, logins, needsNoKey)
			s.pull(t, "POST", "clock", object{"advance": "16m"}).is(http.StatusOK)
			s.holds(t, logins, func(traits state.Traits) bool { return stays(traits) && needsNoKey(traits) })
			logins = s.logins(t)
			s.pull(t, "POST", "restart", nil).is(http.StatusNoContent)
			s.holds(t, logins, kept)
			s.set(t, object{"revocation": "denylist"})
			for slug, c := range s.logins(t) {
				if s.traits(t, slug).Everywhere {
					c.post("logout", object{"everywhere": true}).is(http.StatusNoContent)
				}
			}
			s.reset(t)
			s.set(t, object{"revocation": "denylist"})
			s.holds(t, s.logins(t), func(state.Traits) bool { return true }) // nothing is ended in a future that is no more
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, string(file), string(after), "the file knows nothing of lessons")
		})
	}
}
