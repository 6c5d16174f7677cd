package tests

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
)

// takes takes a copy of what the client holds, and returns its name.
func (c *client) takes() string {
	c.t.Helper()
	return c.post("copy", nil).is(http.StatusCreated).text("id")
}

// sends has the thief make a request with a copy.
func (s *server) sends(t testing.TB, id string, request object) *answer {
	t.Helper()
	return s.pull(t, "POST", "copies/"+id+"/send", request).is(http.StatusOK)
}

var look = object{"method": "GET", "path": "/profile"}

// A thief's copy is as good as the credential, from any client, until the traits
// say that it is over.
func TestAThiefUsesACopy(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		a := c.post("copy", nil).is(http.StatusCreated)
		id := a.text("id")
		require.Equal(t, slug, a.text("strategy"))
		require.Equal(t, c.get("inspect").at("carried.bytes"), a.at("credential.bytes"))
		require.Equal(t, s.traits(t, slug).Readable, a.at("payload") != nil, "what anybody can read is shown")
		require.NotContains(t, string(a.body), c.held())

		a = s.sends(t, id, look)
		require.Equal(t, int64(200), a.number("status"))
		require.Equal(t, "alice", a.text("body.user.username"))
		require.NotContains(t, string(a.body), c.held())
		a = s.sends(t, id, object{"method": "POST", "path": "/spend", "body": object{"amount": 1}})
		require.Equal(t, int64(99), a.number("body.state.credits"))

		c.post("logout", nil).is(http.StatusNoContent)
		require.Equal(t, !s.traits(t, slug).Revocable, s.sends(t, id, look).number("status") == 200, "a copy after the logout")
	})
}

// The clock of a copy: it dies when its traits say so, and the thief is told by
// which code.
func TestTheClockOfACopy(t *testing.T) {
	s := newServer(t)
	copies := map[string]string{}
	for slug, c := range s.logins(t) {
		copies[slug] = c.takes()
	}
	s.clock.advance(10 * 365 * 24 * time.Hour)
	for slug, id := range copies {
		a := s.sends(t, id, look)
		require.Equal(t, !s.traits(t, slug).Expires, a.number("status") == 200, slug)
		require.Equal(t, s.clock.Now().UTC().Format(time.RFC3339), a.text("at"))
	}
}

// Whoever edits what they hold is an admin where nothing protects it, and nobody
// anywhere else.
func TestAnEditedCopy(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c, traits := s.login(t, slug, alice, alicePassword), s.traits(t, slug)
		a := c.post("copy", nil).is(http.StatusCreated)
		id := a.text("id")
		edited, readable := a.at("payload").(map[string]any)
		if readable {
			edited["role"] = "admin"
			forged := s.sends(t, id, object{"method": "GET", "path": "/members", "payload": edited})
			require.Equal(t, !traits.TamperProof, forged.number("status") == 200, "%s", forged.body)
			if traits.TamperProof {
				require.Equal(t, "bad_signature", forged.text("body.code"))
			}
		} else {
			s.pull(t, "POST", "copies/"+id+"/send", object{"method": "GET", "path": "/profile", "payload": object{}}).is(http.StatusUnprocessableEntity, "validation_failed")
		}
		if traits.TamperProof {
			require.Equal(t, int64(401), s.sends(t, id, object{"method": "GET", "path": "/profile", "garble": true}).number("status"))
		}
		require.Equal(t, int64(200), s.sends(t, id, look).number("status"), "the copy itself is as it was")
	})
}

// Going back to an older copy brings back what was in it: the credits, where the
// client holds them.
func TestGoingBackToACopy(t *testing.T) {
	for name, over := range map[string]func(*server) *server{"": func(s *server) *server { return s }, "over TLS": func(s *server) *server { return s.overTLS(t) }} {
		s := over(newServer(t))
		each(t, func(t *testing.T, slug string) {
			t.Log(name)
			c := s.login(t, slug, alice, alicePassword)
			id := c.takes()
			c.post("spend", object{"amount": 30}).is(http.StatusOK)
			if c.bearer() {
				c.post("restore", object{"id": id}).is(http.StatusNotImplemented, "not_supported_by_strategy")
				return
			}
			c.post("restore", object{"id": id}).is(http.StatusOK)
			want := int64(70)
			if !s.traits(t, slug).RollbackProof {
				want = 100
			}
			require.Equal(t, want, c.get("profile").is(http.StatusOK).number("state.credits"))
		})
	}
}

func TestCopiesThatCannotBe(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		s.client(t, slug).post("copy", nil).is(http.StatusUnauthorized, "no_credential")
		c := s.login(t, slug, alice, alicePassword)
		id := c.takes()
		for _, bad := range []object{
			{"method": "GET", "path": "profile"}, {"method": "TRACE", "path": "/profile"}, {"method": "GET", "path": "/%zz"},
			{"method": "GET", "path": "/profile", "payload": []string{}},
		} {
			s.pull(t, "POST", "copies/"+id+"/send", bad).is(http.StatusUnprocessableEntity, "validation_failed")
		}
		s.pull(t, "POST", "copies/"+id+"/send", object{"method": "GET"}).is(http.StatusBadRequest, "invalid_request")
		s.pull(t, "POST", "copies/nothing/send", look).is(http.StatusNotFound, "not_found")
		require.Equal(t, int64(404), s.sends(t, id, object{"method": "POST", "path": "/../classroom/reset"}).number("status"), "it stays with its strategy")
		other := strategies[0]
		if other == slug {
			other = strategies[1]
		}
		s.client(t, other).post("restore", object{"id": id}).is(http.StatusNotFound, "not_found")
	})
	require.Len(t, s.pull(t, "GET", "copies", nil).is(http.StatusOK).at("copies"), len(strategies))
	first := s.pull(t, "GET", "copies", nil).at("copies").([]any)[0].(map[string]any)
	require.Equal(t, strategies[len(strategies)-1], first["strategy"], "the newest first")
	c := s.login(t, "session", alice, alicePassword)
	for range 101 {
		c.takes()
	}
	require.Len(t, s.pull(t, "GET", "copies", nil).at("copies"), 100)
	s.reset(t)
	require.Empty(t, s.pull(t, "GET", "copies", nil).at("copies"))
}

// Whatever a request carries for a credential can be copied and told of.
func TestCopiesOfNonsense(t *testing.T) {
	s := newServer(t)
	deep := base64.RawURLEncoding.EncodeToString([]byte(`{"":` + strings.Repeat("[", 9998) + strings.Repeat("]", 9998) + `}`))
	for _, value := range []string{"\xff\xff\xff\xff\xff\xff\xff\xff", strings.Repeat("ㅁ", 9), deep, "e30", "."} {
		c := s.client(t, "token")
		c.access = value
		id := c.takes()
		require.Equal(t, int64(401), s.sends(t, id, look).number("status"))
		require.Equal(t, int64(401), s.sends(t, id, object{"method": "GET", "path": "/profile", "garble": true}).number("status"))
		newest := s.pull(t, "GET", "copies", nil).is(http.StatusOK).at("copies").([]any)[0].(map[string]any)
		require.Equal(t, id, newest["id"])
	}
}

// What outlives a restart is in the hands of a thief too.
func TestCopiesOutliveARestart(t *testing.T) {
	s := newServer(t)
	id := s.login(t, "cookie", alice, alicePassword).takes()
	s.pull(t, "POST", "restart", object{"keep_keys": true}).is(http.StatusNoContent)
	require.Equal(t, int64(200), s.sends(t, id, look).number("status"))
}

// Without the check a cookie grows past what a browser keeps: the answer says
// that all is well, and a browser goes on with the old cookie.
func TestTheSizeCheckIsASetting(t *testing.T) {
	s := newServer(t)
	large := object{"cart": strings.Split(strings.Repeat("떡볶이 한 접시와 어묵 국물,", 90), ",")[:90]}
	each(t, func(t *testing.T, slug string) {
		traits := s.traits(t, slug)
		c := s.login(t, slug, alice, alicePassword)
		if traits.LimitBytes != state.CookieLimit {
			return // no browser drops it
		}
		c.patch(large).is(http.StatusRequestEntityTooLarge, "credential_too_large")
		require.Equal(t, false, s.set(t, object{"size_check": false}).at("size_check"))
		// By hand: the harness would find a cookie that no browser takes.
		text, err := json.Marshal(large)
		require.NoError(t, err)
		r, err := http.NewRequestWithContext(t.Context(), "PATCH", s.url+"/"+slug+"/profile", bytes.NewReader(text))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Cookie", c.cookieName()+"="+c.held())
		resp, err := transport.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Greater(t, len(resp.Cookies()[0].Value), state.CookieLimit)
		s.reset(t)
	})
}
