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
	"statelab/tests/harness"
)

var look = harness.Object{"method": "GET", "path": "/profile"}

// A thief's copy is as good as the credential, from any client, until the traits
// say that it is over.
func TestAThiefUsesACopy(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		a := c.Post("copy", nil).Is(http.StatusCreated)
		id := a.Text("id")
		require.Equal(t, slug, a.Text("strategy"))
		require.Equal(t, c.Get("inspect").At("carried.bytes"), a.At("credential.bytes"))
		require.Equal(t, s.Traits(t, slug).Readable, a.At("payload") != nil, "what anybody can read is shown")
		require.NotContains(t, string(a.Body), c.Held())

		a = s.Sends(t, id, look)
		require.Equal(t, int64(200), a.Number("status"))
		require.Equal(t, "alice", a.Text("body.user.username"))
		require.NotContains(t, string(a.Body), c.Held())
		a = s.Sends(t, id, harness.Object{"method": "POST", "path": "/spend", "body": harness.Object{"amount": 1}})
		require.Equal(t, int64(99), a.Number("body.state.credits"))

		c.Post("logout", nil).Is(http.StatusNoContent)
		require.Equal(t, !s.Traits(t, slug).Revocable, s.Sends(t, id, look).Number("status") == 200, "a copy after the logout")
	})
}

// The clock of a copy: it dies when its traits say so, and the thief is told by
// which code.
func TestTheClockOfACopy(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	copies := map[string]string{}
	for slug, c := range s.Logins(t) {
		copies[slug] = c.Takes()
	}
	s.Clock.Advance(10 * 365 * 24 * time.Hour)
	for slug, id := range copies {
		a := s.Sends(t, id, look)
		require.Equal(t, !s.Traits(t, slug).Expires, a.Number("status") == 200, slug)
		require.Equal(t, s.Clock.Now().UTC().Format(time.RFC3339), a.Text("at"))
	}
}

// Whoever edits what they hold is an admin where nothing protects it, and nobody
// anywhere else.
func TestAnEditedCopy(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c, traits := s.Login(t, slug, harness.Alice, harness.AlicePassword), s.Traits(t, slug)
		a := c.Post("copy", nil).Is(http.StatusCreated)
		id := a.Text("id")
		edited, readable := a.At("payload").(map[string]any)
		if readable {
			edited["role"] = "admin"
			forged := s.Sends(t, id, harness.Object{"method": "GET", "path": "/members", "payload": edited})
			require.Equal(t, !traits.TamperProof, forged.Number("status") == 200, "%s", forged.Body)
			if traits.TamperProof {
				require.Equal(t, "bad_signature", forged.Text("body.code"))
			}
		} else {
			s.Pull(t, "POST", "copies/"+id+"/send", harness.Object{"method": "GET", "path": "/profile", "payload": harness.Object{}}).Is(http.StatusUnprocessableEntity, "validation_failed")
		}
		if traits.TamperProof {
			require.Equal(t, int64(401), s.Sends(t, id, harness.Object{"method": "GET", "path": "/profile", "garble": true}).Number("status"))
		}
		require.Equal(t, int64(200), s.Sends(t, id, look).Number("status"), "the copy itself is as it was")
	})
}

// Going back to an older copy brings back what was in it: the credits, where the
// client holds them.
func TestGoingBackToACopy(t *testing.T) {
	t.Parallel()
	for name, over := range map[string]func(*harness.Server) *harness.Server{"": func(s *harness.Server) *harness.Server { return s }, "over TLS": func(s *harness.Server) *harness.Server { return s.OverTLS(t) }} {
		s := over(harness.NewServer(t))
		harness.Each(t, func(t *testing.T, slug string) {
			t.Log(name)
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			id := c.Takes()
			c.Post("spend", harness.Object{"amount": 30}).Is(http.StatusOK)
			if c.Bearer() {
				c.Post("restore", harness.Object{"id": id}).Is(http.StatusNotImplemented, "not_supported_by_strategy")
				return
			}
			c.Post("restore", harness.Object{"id": id}).Is(http.StatusOK)
			want := int64(70)
			if !s.Traits(t, slug).RollbackProof {
				want = 100
			}
			require.Equal(t, want, c.Get("profile").Is(http.StatusOK).Number("state.credits"))
		})
	}
}

func TestCopiesThatCannotBe(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		s.Client(t, slug).Post("copy", nil).Is(http.StatusUnauthorized, "no_credential")
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		id := c.Takes()
		for _, bad := range []harness.Object{
			{"method": "GET", "path": "profile"}, {"method": "TRACE", "path": "/profile"}, {"method": "GET", "path": "/%zz"},
			{"method": "GET", "path": "/profile", "payload": []string{}},
		} {
			s.Pull(t, "POST", "copies/"+id+"/send", bad).Is(http.StatusUnprocessableEntity, "validation_failed")
		}
		s.Pull(t, "POST", "copies/"+id+"/send", harness.Object{"method": "GET"}).Is(http.StatusBadRequest, "invalid_request")
		s.Pull(t, "POST", "copies/nothing/send", look).Is(http.StatusNotFound, "not_found")
		require.Equal(t, int64(404), s.Sends(t, id, harness.Object{"method": "POST", "path": "/../classroom/reset"}).Number("status"), "it stays with its strategy")
		other := harness.Strategies[0]
		if other == slug {
			other = harness.Strategies[1]
		}
		s.Client(t, other).Post("restore", harness.Object{"id": id}).Is(http.StatusNotFound, "not_found")
	})
	require.Len(t, s.Pull(t, "GET", "copies", nil).Is(http.StatusOK).At("copies"), len(harness.Strategies))
	first := s.Pull(t, "GET", "copies", nil).At("copies").([]any)[0].(map[string]any)
	require.Equal(t, harness.Strategies[len(harness.Strategies)-1], first["strategy"], "the newest first")
	c := s.Login(t, "session", harness.Alice, harness.AlicePassword)
	for range 101 {
		c.Takes()
	}
	require.Len(t, s.Pull(t, "GET", "copies", nil).At("copies"), 100)
	s.Reset(t)
	require.Empty(t, s.Pull(t, "GET", "copies", nil).At("copies"))
}

// Whatever a request carries for a credential can be copied and told of.
func TestCopiesOfNonsense(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	deep := base64.RawURLEncoding.EncodeToString([]byte(`{"":` + strings.Repeat("[", 9998) + strings.Repeat("]", 9998) + `}`))
	for _, value := range []string{"\xff\xff\xff\xff\xff\xff\xff\xff", strings.Repeat("ㅁ", 9), deep, "e30", "."} {
		c := s.Client(t, "token")
		c.Access = value
		id := c.Takes()
		require.Equal(t, int64(401), s.Sends(t, id, look).Number("status"))
		require.Equal(t, int64(401), s.Sends(t, id, harness.Object{"method": "GET", "path": "/profile", "garble": true}).Number("status"))
		newest := s.Pull(t, "GET", "copies", nil).Is(http.StatusOK).At("copies").([]any)[0].(map[string]any)
		require.Equal(t, id, newest["id"])
	}
}

// What outlives a restart is in the hands of a thief too.
func TestCopiesOutliveARestart(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	id := s.Login(t, "cookie", harness.Alice, harness.AlicePassword).Takes()
	s.Pull(t, "POST", "restart", harness.Object{"keep_keys": true}).Is(http.StatusNoContent)
	require.Equal(t, int64(200), s.Sends(t, id, look).Number("status"))
}

// Without the check a cookie grows past what a browser keeps: the answer says
// that all is well, and a browser goes on with the old cookie.
func TestTheSizeCheckIsASetting(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	large := harness.Object{"cart": strings.Split(strings.Repeat("떡볶이 한 접시와 어묵 국물,", 90), ",")[:90]}
	harness.Each(t, func(t *testing.T, slug string) {
		traits := s.Traits(t, slug)
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		if traits.LimitBytes != state.CookieLimit {
			return // no browser drops it
		}
		c.Patch(large).Is(http.StatusRequestEntityTooLarge, "credential_too_large")
		require.Equal(t, false, s.Set(t, harness.Object{"size_check": false}).At("size_check"))
		// By hand: the harness would find a cookie that no browser takes.
		text, err := json.Marshal(large)
		require.NoError(t, err)
		r, err := http.NewRequestWithContext(t.Context(), "PATCH", s.URL+"/"+slug+"/profile", bytes.NewReader(text))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Cookie", c.CookieName()+"="+c.Held())
		resp, err := harness.Transport.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Greater(t, len(resp.Cookies()[0].Value), state.CookieLimit)
		s.Reset(t)
	})
}
