package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	cryptorand "crypto/rand"

	"statelab/auth"
)

// audited does something and returns what that has left in the audit trail. The
// events are those that are named, in this order.
func (s *server) audited(t *testing.T, f func(), events ...string) []object {
	t.Helper()
	before := len(s.canary.trail(t))
	f()
	lines := s.canary.trail(t)[before:]
	var have []string
	for _, line := range lines {
		have = append(have, fmt.Sprint(line["event"]))
	}
	require.Equal(t, events, have)
	return lines
}

const fingerprint = `^[0-9a-f]{16}$`

// signsIn returns a client that has logged in, and the fingerprints of its login
// and of its username.
func (s *server) signsIn(t *testing.T, slug, username, password string) (c *client, login, name any) {
	t.Helper()
	lines := s.audited(t, func() { c = s.login(t, slug, username, password) }, "sign_in")
	require.Equal(t, c.get("profile").text("user.id"), lines[0]["subject"])
	require.Regexp(t, fingerprint, lines[0]["login"])
	require.Regexp(t, fingerprint, lines[0]["username"])
	return c, lines[0]["login"], lines[0]["username"]
}

func TestSignInsAreAudited(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c, login, name := s.signsIn(t, slug, alice, alicePassword)
		_, other, _ := s.signsIn(t, slug, alice, alicePassword)
		require.NotEqual(t, login, other)

		var a *answer
		line := s.audited(t, func() {
			a = s.client(t, slug).post("login", credentials{"ALICE", wrong}).is(http.StatusUnauthorized, "bad_login")
		}, "sign_in_refused")[0]
		delete(line, "time")
		require.Equal(t, object{
			"level": "INFO", "msg": "audit", "event": "sign_in_refused", "code": "bad_login", "strategy": slug, "username": name,
			"address": "127.0.0.1", "request_id": a.header.Get("X-Request-Id"),
		}, line)

		s.audited(t, func() { c.get("profile").is(http.StatusOK) })
		require.Equal(t, login, s.audited(t, func() { c.post("logout", nil).is(http.StatusNoContent) }, "logout")[0]["login"])
	})
	require.NotContains(t, s.canary.log.String(), alice)
}

func TestEachRefusedSignInSaysWhy(t *testing.T) {
	s, f := newFaultyServer(t)
	refused := func(code string, a func() *answer) {
		t.Helper()
		require.Equal(t, code, s.audited(t, func() { require.Equal(t, code, a().code()) }, "sign_in_refused")[0]["code"])
	}
	c := s.client(t, "session")
	f.breakWith(errDown)
	refused("store_unavailable", func() *answer { return c.post("login", credentials{alice, alicePassword}) })
	f.repair()
	for range 10 {
		refused("bad_login", func() *answer { return c.post("login", credentials{alice, wrong}) })
	}
	refused("too_many_attempts", func() *answer { return c.post("login", credentials{alice, wrong}) })
	s.audited(t, func() { c.post("login", object{"username": alice}).is(http.StatusBadRequest) }) // is none
}

func TestRevocationsAreAudited(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c, mine, _ := s.signsIn(t, slug, alice, alicePassword)
		if s.traits(t, slug).Listable {
			_, theirs, _ := s.signsIn(t, slug, alice, alicePassword)
			for _, in := range c.get("logins").is(http.StatusOK).at("logins").([]any) {
				if in := in.(map[string]any); in["current"] == false {
					line := s.audited(t, func() { c.route("DELETE", "logins/"+in["id"].(string), nil).is(http.StatusNoContent) }, "revocation")[0]
					require.Equal(t, []any{"one", mine, theirs}, []any{line["of"], line["login"], line["ended"]})
				}
			}
			s.audited(t, func() { c.route("DELETE", "logins/"+strings.Repeat("x", 22), nil).is(http.StatusNotFound) })
		}
		if s.traits(t, slug).Everywhere {
			lines := s.audited(t, func() { c.post("logout", object{"everywhere": true}).is(http.StatusNoContent) }, "revocation", "logout")
			require.Equal(t, []any{"everywhere", mine, mine}, []any{lines[0]["of"], lines[0]["login"], lines[1]["login"]})
		}

		username := "carol-" + slug
		id := ""
		line := s.audited(t, func() {
			id = c.do("POST", "/accounts", object{"username": username, "password": "the first password"}).is(http.StatusCreated).text("id")
		}, "registration")[0]
		require.Equal(t, id, line["subject"])
		c, mine, _ = s.signsIn(t, slug, username, "the first password")
		change := func(current string) *answer {
			return c.route("PUT", "password", object{"current_password": current, "new_password": "the second password"})
		}
		line = s.audited(t, func() { change(wrong).is(http.StatusUnprocessableEntity, "validation_failed") }, "password_change_refused")[0]
		require.Equal(t, []any{mine, "validation_failed"}, []any{line["login"], line["code"]})
		line = s.audited(t, func() { change("the first password").is(http.StatusNoContent) }, "revocation")[0]
		require.Equal(t, []any{"others", "password_change", mine, id}, []any{line["of"], line["by"], line["login"], line["subject"]})
	})
}

func TestReuseIsAudited(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		for what, use := range map[string]func(*client) *answer{
			"refresh": (*client).renew,
			"logout":  func(c *client) *answer { return c.post("logout", object{"refresh_token": c.refresh}) },
			"logout everywhere": func(c *client) *answer {
				return c.post("logout", object{"refresh_token": c.refresh, "everywhere": true})
			},
		} {
			t.Run(what, func(t *testing.T) {
				c, login, _ := s.signsIn(t, slug, alice, alicePassword)
				thief := c.copy()
				if c.refresh == "" {
					return // nothing that could be used twice and be known for it
				}
				c.renew().is(http.StatusOK)
				s.clock.advance(time.Minute) // beyond the overlap
				line := s.audited(t, func() { use(thief).is(http.StatusUnauthorized, "reuse_detected") }, "refresh_reuse")[0]
				require.Equal(t, []any{login, slug}, []any{line["login"], line["strategy"]})
				s.audited(t, func() { use(thief).is(http.StatusUnauthorized, "revoked") }) // it is told once
			})
		}
	})
}

func TestWhatAnOperatorDoesIsAudited(t *testing.T) {
	s := newServer(t)
	id := s.login(t, "session", bob, bobPassword).get("profile").text("user.id")
	beside := auth.New(auth.Config{Database: s.config.Database, Hasher: cheapHasher(), Now: s.clock.Now, Rand: cryptorand.Reader})
	before := len(s.canary.trail(t))
	require.NoError(t, beside.SetRole(t.Context(), bob, auth.RoleAdmin))
	require.Eventually(t, func() bool { return len(s.canary.trail(t)) > before }, promptness, 20*time.Millisecond)
	line := s.canary.trail(t)[before]
	require.Equal(t, []any{"account_changed", id, s.clock.Now().Format(time.RFC3339Nano)}, []any{line["event"], line["subject"], line["at"]})
}

func TestRefusalsAreAudited(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c, login, _ := s.signsIn(t, slug, alice, alicePassword)
		line := s.audited(t, func() { c.get("members").is(http.StatusForbidden, "forbidden") }, "forbidden")[0]
		require.Equal(t, []any{login, slug}, []any{line["login"], line["strategy"]})
		line = s.audited(t, func() {
			c.do("POST", "/"+slug+"/logout", nil, from("cross-site", "http://attacker.example")).is(http.StatusForbidden, "csrf_blocked")
		}, "csrf_blocked")[0]
		require.NotContains(t, fmt.Sprint(line), "attacker", "what a client sends is not repeated")
	})
}
