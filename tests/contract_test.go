package tests

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/tests/harness"
)

func TestEveryStrategyAnswersAlike(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	answers := map[string]any{}
	for _, slug := range harness.Strategies {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		p := c.Get("profile").Is(http.StatusOK).JSON.(map[string]any)
		require.Equal(t, slug, p["strategy"])
		delete(p, "strategy")
		delete(p, "expires_at") // it may differ: each has its own lifetime
		answers[slug] = p
	}
	for _, slug := range harness.Strategies {
		require.Equal(t, answers["session"], answers[slug], slug)
	}
	user := answers["session"].(map[string]any)["user"].(map[string]any)
	require.Equal(t, "alice", user["username"])
	require.Equal(t, "Alice", user["display_name"])
	require.Equal(t, "member", user["role"])
}

func TestStateFromLoginToLogout(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)

		a := c.Patch(harness.Object{"theme": "dark", "nickname": "홍길동", "cart": []string{"책"}}).Is(http.StatusOK)
		require.Equal(t, int64(2), a.Number("version"))
		a = c.Post("spend", harness.Object{"amount": 30}).Is(http.StatusOK)
		require.Equal(t, int64(70), a.Number("state.credits"))
		c.Post("spend", harness.Object{"amount": 71}).Is(http.StatusConflict, "insufficient_credits")

		a = c.Get("profile").Is(http.StatusOK)
		require.Equal(t, "dark", a.Text("state.theme"))
		require.Equal(t, "홍길동", a.Text("state.nickname"))
		require.Equal(t, []any{"책"}, a.At("state.cart"))
		require.Equal(t, int64(70), a.Number("state.credits"))
		require.Equal(t, int64(3), a.Number("version"))

		a = c.Patch(harness.Object{"theme": nil, "nickname": nil, "cart": nil}).Is(http.StatusOK)
		require.Equal(t, "light", a.Text("state.theme"), "null resets to the default")
		require.Empty(t, a.Text("state.nickname"))
		require.Equal(t, []any{}, a.At("state.cart"))

		a = c.Renewed()
		require.Equal(t, int64(4), a.Number("version"), "a refresh is no change of state")
		require.Equal(t, int64(70), a.Number("state.credits"))

		c.Post("logout", nil).Is(http.StatusNoContent)
		require.Empty(t, c.Cookies, "the cookie is cleared with the attributes that it was set with")
		c.Access, c.Refresh = "", ""
		c.Get("profile").Is(http.StatusUnauthorized, "no_credential")

		again := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		require.Equal(t, int64(100), again.Get("profile").Number("state.credits"), "a new login has a new state")
	})
}

func TestMergePatchMediaType(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		c.Do("PATCH", "/"+slug+"/profile", harness.Raw(`{"language":"ko-KR"}`), func(r *http.Request) {
			r.Header.Set("Content-Type", "application/merge-patch+json; charset=UTF-8")
		}).Is(http.StatusOK)
		require.Equal(t, "ko-KR", c.Get("profile").Text("state.language"))
	})
}

func TestCredentialBytesAreWhatTravels(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Client(t, slug)
		a := c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		bytes := a.Number("credential.bytes")
		if c.Bearer() {
			require.Equal(t, "bearer", a.Text("credential.kind"))
			require.Equal(t, int64(len("Bearer "+c.Access)), bytes)
			require.Equal(t, int64(c.Lives()/time.Second), a.Number("credential.expires_in"))
		} else {
			require.Equal(t, "cookie", a.Text("credential.kind"))
			name := a.Text("credential.name")
			require.Equal(t, harness.CookieName(slug), name)
			require.Equal(t, int64(len(name+"="+c.Cookies[name])), bytes)
			require.NotContains(t, string(a.Body), c.Cookies[name], "a cookie's value stands in Set-Cookie only")
		}
		require.Equal(t, bytes, c.Get("inspect").Is(http.StatusOK).Number("carried.bytes"))
	})
	require.Equal(t, int64(61), s.Client(t, "session").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Number("credential.bytes"))
}

func TestConditionalRequests(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		with := func(name, value string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set(name, value) }
		}
		path := "/" + slug + "/profile"
		first := c.Get("profile").Header.Get("ETag")
		require.Regexp(t, `^"[\w-]{22}\.1\.[0-9a-f]{8}"$`, first)

		for _, match := range []string{first, "W/" + first, `"other", ` + first, "*"} {
			a := c.Do("GET", path, nil, with("If-None-Match", match)).Is(http.StatusNotModified)
			require.Empty(t, a.Body)
			require.Equal(t, first, a.Header.Get("ETag"))
		}
		c.Do("GET", path, nil, with("If-None-Match", `"other"`)).Is(http.StatusOK)

		c.Do("PATCH", path, harness.Object{"theme": "dark"}, with("If-Match", first)).Is(http.StatusOK)
		second := c.Get("profile").Header.Get("ETag")
		require.NotEqual(t, first, second)
		for _, stale := range []string{first, "W/" + second, `""`} {
			c.Do("PATCH", path, harness.Object{"theme": "light"}, with("If-Match", stale)).Is(http.StatusPreconditionFailed, "version_mismatch")
			c.Do("POST", "/"+slug+"/spend", harness.Object{"amount": 1}, with("If-Match", stale)).Is(http.StatusPreconditionFailed, "version_mismatch")
		}
		require.Equal(t, "dark", c.Get("profile").Text("state.theme"))
		c.Do("PATCH", path, harness.Object{"theme": "light"}, with("If-Match", "*")).Is(http.StatusOK)

		// A refresh may move the end, which changes the tag and not the version.
		third := c.Get("profile").Header.Get("ETag")
		s.Clock.Advance(time.Second)
		c.Renewed()
		c.Do("PATCH", path, harness.Object{"theme": "dark"}, with("If-Match", third)).Is(http.StatusOK)
	})
}

func TestListingLogins(t *testing.T) {
	t.Parallel()
	inModes(t, []mode{denylisted}, func(t *testing.T, with harness.Option) {
		s := harness.NewServer(t, with)
		harness.Each(t, func(t *testing.T, slug string) {
			first := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			if !s.Traits(t, slug).Listable {
				first.Get("logins").Is(http.StatusNotImplemented, "not_supported_by_strategy")
				first.Route("DELETE", "logins/AAAAAAAAAAAAAAAAAAAAAA", nil).Is(http.StatusNotImplemented, "not_supported_by_strategy")
				first.Get("profile").Is(http.StatusOK)
				return
			}
			s.Clock.Advance(time.Second)
			second := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			other := s.Login(t, slug, harness.Bob, harness.BobPassword)

			list := first.Get("logins").Is(http.StatusOK).At("logins").([]any)
			require.Len(t, list, 2)
			mine, theirs := list[0].(map[string]any), list[1].(map[string]any)
			require.Equal(t, true, mine["current"])
			require.Equal(t, false, theirs["current"])

			other.Route("DELETE", "logins/"+theirs["id"].(string), nil).Is(http.StatusNotFound, "not_found")
			first.Route("DELETE", "logins/"+theirs["id"].(string), nil).Is(http.StatusNoContent)
			first.Route("DELETE", "logins/"+theirs["id"].(string), nil).Is(http.StatusNotFound, "not_found")
			first.Route("DELETE", "logins/nonsense", nil).Is(http.StatusNotFound, "not_found")
			require.Len(t, first.Get("logins").At("logins"), 1)
			second.Renew().Is(http.StatusUnauthorized)
			if s.Traits(t, slug).Revocable {
				second.Get("profile").Is(http.StatusUnauthorized, over(s.Traits(t, slug), "revoked"))
			}
			first.Route("DELETE", "logins/"+mine["id"].(string), nil).Is(http.StatusNoContent)
			first.Renew().Is(http.StatusUnauthorized)
			other.Get("profile").Is(http.StatusOK)
		})
	})
}

func TestMembersAreForAdmins(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		s.Client(t, slug).Get("members").Is(http.StatusUnauthorized, "no_credential")
		s.Login(t, slug, harness.Alice, harness.AlicePassword).Get("members").Is(http.StatusForbidden, "forbidden")
		a := s.Login(t, slug, harness.Teacher, harness.TeacherPassword).Get("members").Is(http.StatusOK)
		require.Contains(t, a.At("members"), any(map[string]any{"username": "alice", "display_name": "Alice", "role": "member"}))
	})
}

// RFC 6750, 3.1, as a table. The other strategies challenge with their cookie.
func TestChallenges(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		s.ForgetsFailures()
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		broken := c.Copy().Hold("broken")
		twice := func(r *http.Request) {
			r.Header.Add("Authorization", "Bearer another")
			r.Header.Add("Cookie", harness.CookieName(slug)+"=another")
		}
		cookie := c.Challenge("")
		for _, row := range []struct {
			answer         *harness.Answer
			status         int
			bearer, cookie string
		}{
			{s.Client(t, slug).Get("profile"), 401, `Bearer realm="statelab"`, cookie},
			{s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, "wrong")), 401, `Bearer realm="statelab"`, cookie},
			{broken.Get("profile"), 401, `Bearer realm="statelab", error="invalid_token"`, cookie},
			{c.Do("GET", "/"+slug+"/profile", nil, twice), 400, `Bearer realm="statelab", error="invalid_request"`, ""},
			{c.Get("members"), 403, `Bearer realm="statelab", error="insufficient_scope"`, ""},
		} {
			if row.status == http.StatusBadRequest && !harness.Strict(s.Traits(t, slug)) {
				continue // it takes one of the two
			}
			want := row.cookie
			if c.Bearer() {
				want = row.bearer
			}
			require.Equal(t, want, row.answer.Is(row.status).Header.Get("WWW-Authenticate"))
		}
	})
}

func TestInspectionHoldsToTheTraits(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		c.Patch(harness.Object{"note": "a secret of mine"}).Is(http.StatusOK)
		traits := s.Traits(t, slug)
		a := c.Get("inspect").Is(http.StatusOK)
		require.Equal(t, slug, a.Text("strategy"))
		require.Equal(t, traits.Readable, a.At("carried.readable_without_key"))
		require.Equal(t, traits.ProtectedBy, a.Text("carried.protected_by"))
		require.Equal(t, harness.Asks(traits), a.Number("cost.store_reads") > 0)
		require.Zero(t, a.Number("cost.store_writes"))
		if traits.Holder == state.HolderServer {
			require.Equal(t, "a secret of mine", a.Text("held.record.login.note"))
			require.Nil(t, a.At("carried.decoded"))
		} else {
			require.Contains(t, string(a.Body), "a secret of mine")
		}
		for _, secret := range append([]string{c.Access, c.Renews()}, c.Cookies[harness.CookieName(slug)]) {
			if secret != "" {
				require.NotContains(t, string(a.Body), secret)
				require.NotContains(t, string(a.Body), secret[len(secret)-22:])
			}
		}
	})
}

func TestEveryGetAnswersHead(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	for _, path := range []string{"/", "/openapi.yaml", "/openapi.json", "/docs", "/.well-known/jwks.json", "/healthz", "/readyz", "/metrics"} {
		get, head := s.Client(t, "").Do("GET", path, nil), s.Client(t, "").Do("HEAD", path, nil)
		require.Equal(t, get.Status, head.Status, path)
		require.Empty(t, head.Body, path)
		require.Equal(t, get.Header.Get("Content-Type"), head.Header.Get("Content-Type"), path)
	}
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Teacher, harness.TeacherPassword)
		for _, route := range []string{"", "profile", "logins", "members", "inspect"} {
			require.Equal(t, c.Get(route).Status, c.Route("HEAD", route, nil).Status, route)
		}
	})
}

func TestRegistration(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, "")
	a := c.Do("POST", "/accounts", harness.Object{"username": "Carol.1", "password": "토끼굴로 내려가기", "display_name": "캐럴"}).Is(http.StatusCreated)
	require.Equal(t, "carol.1", a.Text("username"))
	require.Equal(t, "member", a.Text("role"))
	require.Regexp(t, `^[0-9A-HJKMNP-TV-Z]{26}$`, a.Text("id"))
	c.Do("POST", "/accounts", harness.Object{"username": "CAROL.1", "password": "another password"}).Is(http.StatusConflict, "username_taken")
	require.Equal(t, "dave", c.Do("POST", "/accounts", harness.Object{"username": "dave", "password": "another password"}).
		Is(http.StatusCreated).Text("display_name"))
	harness.Each(t, func(t *testing.T, slug string) {
		s.ForgetsFailures()
		s.Login(t, slug, "carol.1", "토끼굴로 내려가기")
		s.Client(t, slug).Post("login", harness.Credentials("carol.1", "토끼굴로 내려가기 ")).Is(http.StatusUnauthorized, "bad_login")
	})
}

func TestPasswordsAreTakenAsReceived(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, "session")
	register := func(password string) *harness.Answer {
		return c.Do("POST", "/accounts", harness.Object{"username": "erin", "password": password})
	}
	for _, refused := range []string{"1234567", strings.Repeat("😀", 7), strings.Repeat("x", 129), "password123", "PassWord123", "12345678", "qwertyuiop"} {
		a := register(refused).Is(http.StatusUnprocessableEntity, "validation_failed")
		require.Equal(t, "/password", a.At("errors").([]any)[0].(map[string]any)["pointer"], refused)
	}
	for i, taken := range []string{strings.Repeat("😀", 8), strings.Repeat("y", 128), "aaaabbbbccccdddd", "with a space at the end ", "e\u0301tudiante", "\u00e9tudiante"} {
		username := "user" + string(rune('a'+i))
		s.Clock.Advance(time.Hour) // beyond the throttle's window
		c.Do("POST", "/accounts", harness.Object{"username": username, "password": taken}).Is(http.StatusCreated)
		s.Login(t, "session", username, taken)
		runes := []rune(taken)
		for _, wrong := range []string{taken + " ", string(runes[:len(runes)-1]), "x" + string(runes[1:])} {
			c.Post("login", harness.Credentials(username, wrong)).Is(http.StatusUnauthorized, "bad_login")
		}
	}
}
