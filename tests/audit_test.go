package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/auth"
	"statelab/tests/harness"
	"statelab/tests/seeded"
)

func TestSignInsAreAudited(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		s.ForgetsFailures()
		c, login, name := s.SignsIn(t, slug, harness.Alice, harness.AlicePassword)
		_, other, _ := s.SignsIn(t, slug, harness.Alice, harness.AlicePassword)
		require.NotEqual(t, login, other)

		var a *harness.Answer
		line := s.Audited(t, func() {
			a = s.Client(t, slug).Post("login", harness.Credentials("ALICE", harness.Wrong)).Is(http.StatusUnauthorized, "bad_login")
		}, "sign_in_refused")[0]
		delete(line, "time")
		require.Equal(t, harness.Object{
			"level": "INFO", "msg": "audit", "event": "sign_in_refused", "code": "bad_login", "strategy": slug, "username": name,
			"address": "127.0.0.1", "request_id": a.Header.Get("X-Request-Id"),
		}, line)

		s.Audited(t, func() { c.Get("profile").Is(http.StatusOK) })
		require.Equal(t, login, s.Audited(t, func() { c.Post("logout", nil).Is(http.StatusNoContent) }, "logout")[0]["login"])
	})
	require.NotContains(t, s.Canary.Log.String(), harness.Alice)
}

func TestEachRefusedSignInSaysWhy(t *testing.T) {
	t.Parallel()
	s, f := harness.NewFaultyServer(t)
	refused := func(code string, a func() *harness.Answer) {
		t.Helper()
		require.Equal(t, code, s.Audited(t, func() { require.Equal(t, code, a().Code()) }, "sign_in_refused")[0]["code"])
	}
	c := s.Client(t, "session")
	f.BreakWith(harness.ErrDown)
	refused("store_unavailable", func() *harness.Answer {
		return c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
	})
	f.Repair()
	for range 10 {
		refused("bad_login", func() *harness.Answer { return c.Post("login", harness.Credentials(harness.Alice, harness.Wrong)) })
	}
	refused("too_many_attempts", func() *harness.Answer { return c.Post("login", harness.Credentials(harness.Alice, harness.Wrong)) })
	s.Audited(t, func() { c.Post("login", harness.Object{"username": harness.Alice}).Is(http.StatusBadRequest) }) // is none
}

func TestRevocationsAreAudited(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c, mine, _ := s.SignsIn(t, slug, harness.Alice, harness.AlicePassword)
		if s.Traits(t, slug).Listable {
			_, theirs, _ := s.SignsIn(t, slug, harness.Alice, harness.AlicePassword)
			for _, in := range c.Get("logins").Is(http.StatusOK).At("logins").([]any) {
				if in := in.(map[string]any); in["current"] == false {
					line := s.Audited(t, func() { c.Route("DELETE", "logins/"+in["id"].(string), nil).Is(http.StatusNoContent) }, "revocation")[0]
					require.Equal(t, []any{"one", mine, theirs}, []any{line["of"], line["login"], line["ended"]})
				}
			}
			s.Audited(t, func() { c.Route("DELETE", "logins/"+strings.Repeat("x", 22), nil).Is(http.StatusNotFound) })
		}
		if s.Traits(t, slug).Everywhere {
			lines := s.Audited(t, func() { c.Post("logout", harness.Object{"everywhere": true}).Is(http.StatusNoContent) }, "revocation", "logout")
			require.Equal(t, []any{"everywhere", mine, mine}, []any{lines[0]["of"], lines[0]["login"], lines[1]["login"]})
		}

		username := "carol-" + slug
		id := ""
		line := s.Audited(t, func() {
			id = c.Do("POST", "/accounts", harness.Object{"username": username, "password": "the first password"}).Is(http.StatusCreated).Text("id")
		}, "registration")[0]
		require.Equal(t, id, line["subject"])
		c, mine, _ = s.SignsIn(t, slug, username, "the first password")
		change := func(current string) *harness.Answer {
			return c.Route("PUT", "password", harness.Object{"current_password": current, "new_password": "the second password"})
		}
		line = s.Audited(t, func() { change(harness.Wrong).Is(http.StatusUnprocessableEntity, "validation_failed") }, "password_change_refused")[0]
		require.Equal(t, []any{mine, "validation_failed"}, []any{line["login"], line["code"]})
		line = s.Audited(t, func() { change("the first password").Is(http.StatusNoContent) }, "revocation")[0]
		require.Equal(t, []any{"others", "password_change", mine, id}, []any{line["of"], line["by"], line["login"], line["subject"]})
	})
}

func TestReuseIsAudited(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		for what, use := range map[string]func(*harness.Client) *harness.Answer{
			"refresh": (*harness.Client).Renew,
			"logout": func(c *harness.Client) *harness.Answer {
				return c.Post("logout", harness.Object{"refresh_token": c.Refresh})
			},
			"logout everywhere": func(c *harness.Client) *harness.Answer {
				return c.Post("logout", harness.Object{"refresh_token": c.Refresh, "everywhere": true})
			},
		} {
			t.Run(what, func(t *testing.T) {
				c, login, _ := s.SignsIn(t, slug, harness.Alice, harness.AlicePassword)
				thief := c.Copy()
				if c.Refresh == "" {
					return // nothing that could be used twice and be known for it
				}
				c.Renew().Is(http.StatusOK)
				s.Clock.Advance(time.Minute) // beyond the overlap
				line := s.Audited(t, func() { use(thief).Is(http.StatusUnauthorized, "reuse_detected") }, "refresh_reuse")[0]
				require.Equal(t, []any{login, slug}, []any{line["login"], line["strategy"]})
				s.Audited(t, func() { use(thief).Is(http.StatusUnauthorized, "revoked") }) // it is told once
			})
		}
	})
}

func TestWhatAnOperatorDoesIsAudited(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, harness.Following)
	id := s.Login(t, "session", harness.Bob, harness.BobPassword).Get("profile").Text("user.id")
	beside := auth.New(auth.Config{Database: s.Config.Database, Hasher: harness.CheapHasher(), Now: s.Clock.Now, Rand: seeded.Reader(t)})
	before := len(s.Canary.Trail(t))
	require.NoError(t, beside.SetRole(t.Context(), harness.Bob, auth.RoleAdmin))
	require.Eventually(t, func() bool { return len(s.Canary.Trail(t)) > before }, promptness, 20*time.Millisecond)
	line := s.Canary.Trail(t)[before]
	require.Equal(t, []any{"account_changed", id, s.Clock.Now().Format(time.RFC3339Nano)}, []any{line["event"], line["subject"], line["at"]})
}

func TestRefusalsAreAudited(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c, login, _ := s.SignsIn(t, slug, harness.Alice, harness.AlicePassword)
		line := s.Audited(t, func() { c.Get("members").Is(http.StatusForbidden, "forbidden") }, "forbidden")[0]
		require.Equal(t, []any{login, slug}, []any{line["login"], line["strategy"]})
		line = s.Audited(t, func() {
			c.Do("POST", "/"+slug+"/logout", nil, harness.From("cross-site", "http://attacker.example")).Is(http.StatusForbidden, "csrf_blocked")
		}, "csrf_blocked")[0]
		require.NotContains(t, fmt.Sprint(line), "attacker", "what a client sends is not repeated")
	})
}
