package tests

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
)

// each runs a test once for every strategy.
func each(t *testing.T, f func(t *testing.T, slug string)) {
	for _, slug := range strategies {
		t.Run(slug, func(t *testing.T) { f(t, slug) })
	}
}

// object is a JSON object in a request.
type object map[string]any

func TestEveryStrategyAnswersAlike(t *testing.T) {
	s := newServer(t)
	answers := map[string]any{}
	for _, slug := range strategies {
		c := s.login(t, slug, alice, alicePassword)
		p := c.get("profile").is(http.StatusOK).json.(map[string]any)
		require.Equal(t, slug, p["strategy"])
		delete(p, "strategy")
		delete(p, "expires_at") // it may differ: each has its own lifetime
		answers[slug] = p
	}
	for _, slug := range strategies {
		require.Equal(t, answers["session"], answers[slug], slug)
	}
	user := answers["session"].(map[string]any)["user"].(map[string]any)
	require.Equal(t, "alice", user["username"])
	require.Equal(t, "Alice", user["display_name"])
	require.Equal(t, "member", user["role"])
}

func TestStateFromLoginToLogout(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)

		a := c.patch(object{"theme": "dark", "nickname": "홍길동", "cart": []string{"책"}}).is(http.StatusOK)
		require.Equal(t, int64(2), a.number("version"))
		a = c.post("spend", object{"amount": 30}).is(http.StatusOK)
		require.Equal(t, int64(70), a.number("state.credits"))
		c.post("spend", object{"amount": 71}).is(http.StatusConflict, "insufficient_credits")

		a = c.get("profile").is(http.StatusOK)
		require.Equal(t, "dark", a.text("state.theme"))
		require.Equal(t, "홍길동", a.text("state.nickname"))
		require.Equal(t, []any{"책"}, a.at("state.cart"))
		require.Equal(t, int64(70), a.number("state.credits"))
		require.Equal(t, int64(3), a.number("version"))

		a = c.patch(object{"theme": nil, "nickname": nil, "cart": nil}).is(http.StatusOK)
		require.Equal(t, "light", a.text("state.theme"), "null resets to the default")
		require.Empty(t, a.text("state.nickname"))
		require.Equal(t, []any{}, a.at("state.cart"))

		a = c.renewed()
		require.Equal(t, int64(4), a.number("version"), "a refresh is no change of state")
		require.Equal(t, int64(70), a.number("state.credits"))

		c.post("logout", nil).is(http.StatusNoContent)
		require.Empty(t, c.cookies, "the cookie is cleared with the attributes that it was set with")
		c.access, c.refresh = "", ""
		c.get("profile").is(http.StatusUnauthorized, "no_credential")

		again := s.login(t, slug, alice, alicePassword)
		require.Equal(t, int64(100), again.get("profile").number("state.credits"), "a new login has a new state")
	})
}

func TestMergePatchMediaType(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		c.do("PATCH", "/"+slug+"/profile", raw(`{"language":"ko-KR"}`), func(r *http.Request) {
			r.Header.Set("Content-Type", "application/merge-patch+json; charset=UTF-8")
		}).is(http.StatusOK)
		require.Equal(t, "ko-KR", c.get("profile").text("state.language"))
	})
}

func TestCredentialBytesAreWhatTravels(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.client(t, slug)
		a := c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
		bytes := a.number("credential.bytes")
		if c.bearer() {
			require.Equal(t, "bearer", a.text("credential.kind"))
			require.Equal(t, int64(len("Bearer "+c.access)), bytes)
			require.Equal(t, int64(900), a.number("credential.expires_in"))
		} else {
			require.Equal(t, "cookie", a.text("credential.kind"))
			name := a.text("credential.name")
			require.Equal(t, cookieName(slug), name)
			require.Equal(t, int64(len(name+"="+c.cookies[name])), bytes)
			require.NotContains(t, string(a.body), c.cookies[name], "a cookie's value stands in Set-Cookie only")
		}
		require.Equal(t, bytes, c.get("inspect").is(http.StatusOK).number("carried.bytes"))
	})
	require.Equal(t, int64(61), s.client(t, "session").post("login", credentials{alice, alicePassword}).number("credential.bytes"))
}

func TestConditionalRequests(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		with := func(name, value string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Set(name, value) }
		}
		path := "/" + slug + "/profile"
		first := c.get("profile").header.Get("ETag")
		require.Regexp(t, `^"[\w-]{22}\.1\.[0-9a-f]{8}"$`, first)

		for _, match := range []string{first, "W/" + first, `"other", ` + first, "*"} {
			a := c.do("GET", path, nil, with("If-None-Match", match)).is(http.StatusNotModified)
			require.Empty(t, a.body)
			require.Equal(t, first, a.header.Get("ETag"))
		}
		c.do("GET", path, nil, with("If-None-Match", `"other"`)).is(http.StatusOK)

		c.do("PATCH", path, object{"theme": "dark"}, with("If-Match", first)).is(http.StatusOK)
		second := c.get("profile").header.Get("ETag")
		require.NotEqual(t, first, second)
		for _, stale := range []string{first, "W/" + second, `""`} {
			c.do("PATCH", path, object{"theme": "light"}, with("If-Match", stale)).is(http.StatusPreconditionFailed, "version_mismatch")
			c.do("POST", "/"+slug+"/spend", object{"amount": 1}, with("If-Match", stale)).is(http.StatusPreconditionFailed, "version_mismatch")
		}
		require.Equal(t, "dark", c.get("profile").text("state.theme"))
		c.do("PATCH", path, object{"theme": "light"}, with("If-Match", "*")).is(http.StatusOK)

		// A refresh may move the end, which changes the tag and not the version.
		third := c.get("profile").header.Get("ETag")
		s.clock.advance(time.Second)
		c.renewed()
		c.do("PATCH", path, object{"theme": "dark"}, with("If-Match", third)).is(http.StatusOK)
	})
}

func TestListingLogins(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		first := s.login(t, slug, alice, alicePassword)
		if !s.traits(t, slug).Listable {
			first.get("logins").is(http.StatusNotImplemented, "not_supported_by_strategy")
			first.route("DELETE", "logins/AAAAAAAAAAAAAAAAAAAAAA", nil).is(http.StatusNotImplemented, "not_supported_by_strategy")
			first.get("profile").is(http.StatusOK)
			return
		}
		s.clock.advance(time.Second)
		second := s.login(t, slug, alice, alicePassword)
		other := s.login(t, slug, bob, bobPassword)

		list := first.get("logins").is(http.StatusOK).at("logins").([]any)
		require.Len(t, list, 2)
		mine, theirs := list[0].(map[string]any), list[1].(map[string]any)
		require.Equal(t, true, mine["current"])
		require.Equal(t, false, theirs["current"])

		other.route("DELETE", "logins/"+theirs["id"].(string), nil).is(http.StatusNotFound, "not_found")
		first.route("DELETE", "logins/"+theirs["id"].(string), nil).is(http.StatusNoContent)
		first.route("DELETE", "logins/"+theirs["id"].(string), nil).is(http.StatusNotFound, "not_found")
		first.route("DELETE", "logins/nonsense", nil).is(http.StatusNotFound, "not_found")
		require.Len(t, first.get("logins").at("logins"), 1)
		second.renew().is(http.StatusUnauthorized)
		if s.traits(t, slug).Revocable {
			second.get("profile").is(http.StatusUnauthorized, over(s.traits(t, slug), "revoked"))
		}
		first.route("DELETE", "logins/"+mine["id"].(string), nil).is(http.StatusNoContent)
		first.renew().is(http.StatusUnauthorized)
		other.get("profile").is(http.StatusOK)
	})
}

func TestMembersAreForAdmins(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		s.client(t, slug).get("members").is(http.StatusUnauthorized, "no_credential")
		s.login(t, slug, alice, alicePassword).get("members").is(http.StatusForbidden, "forbidden")
		a := s.login(t, slug, teacher, teacherPassword).get("members").is(http.StatusOK)
		require.Contains(t, a.at("members"), any(map[string]any{"username": "alice", "display_name": "Alice", "role": "member"}))
	})
}

// RFC 6750, 3.1, as a table. The other strategies challenge with their cookie.
func TestChallenges(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		broken := c.copy().hold("broken")
		twice := func(r *http.Request) {
			r.Header.Add("Authorization", "Bearer another")
			r.Header.Add("Cookie", cookieName(slug)+"=another")
		}
		cookie := c.challenge("")
		for _, row := range []struct {
			answer         *answer
			status         int
			bearer, cookie string
		}{
			{s.client(t, slug).get("profile"), 401, `Bearer realm="statelab"`, cookie},
			{s.client(t, slug).post("login", credentials{alice, "wrong"}), 401, `Bearer realm="statelab"`, cookie},
			{broken.get("profile"), 401, `Bearer realm="statelab", error="invalid_token"`, cookie},
			{c.do("GET", "/"+slug+"/profile", nil, twice), 400, `Bearer realm="statelab", error="invalid_request"`, ""},
			{c.get("members"), 403, `Bearer realm="statelab", error="insufficient_scope"`, ""},
		} {
			if row.status == http.StatusBadRequest && !strict(s.traits(t, slug)) {
				continue // it takes one of the two
			}
			want := row.cookie
			if c.bearer() {
				want = row.bearer
			}
			require.Equal(t, want, row.answer.is(row.status).header.Get("WWW-Authenticate"))
		}
	})
}

func TestInspectionHoldsToTheTraits(t *testing.T) {
	s := newServer(t)
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		c.patch(object{"note": "a secret of mine"}).is(http.StatusOK)
		traits := s.traits(t, slug)
		a := c.get("inspect").is(http.StatusOK)
		require.Equal(t, slug, a.text("strategy"))
		require.Equal(t, traits.Readable, a.at("carried.readable_without_key"))
		require.Equal(t, traits.ProtectedBy, a.text("carried.protected_by"))
		require.Equal(t, asks(traits), a.number("cost.store_reads") > 0)
		require.Zero(t, a.number("cost.store_writes"))
		if traits.Holder == state.HolderServer {
			require.Equal(t, "a secret of mine", a.text("held.record.login.note"))
			require.Nil(t, a.at("carried.decoded"))
		} else {
			require.Contains(t, string(a.body), "a secret of mine")
		}
		for _, secret := range append([]string{c.access, c.renews()}, c.cookies[cookieName(slug)]) {
			if secret != "" {
				require.NotContains(t, string(a.body), secret)
				require.NotContains(t, string(a.body), secret[len(secret)-22:])
			}
		}
	})
}

func TestEveryGetAnswersHead(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{"/", "/openapi.yaml", "/openapi.json", "/docs", "/.well-known/jwks.json", "/healthz", "/readyz", "/metrics"} {
		get, head := s.client(t, "").do("GET", path, nil), s.client(t, "").do("HEAD", path, nil)
		require.Equal(t, get.status, head.status, path)
		require.Empty(t, head.body, path)
		require.Equal(t, get.header.Get("Content-Type"), head.header.Get("Content-Type"), path)
	}
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, teacher, teacherPassword)
		for _, route := range []string{"", "profile", "logins", "members", "inspect"} {
			require.Equal(t, c.get(route).status, c.route("HEAD", route, nil).status, route)
		}
	})
}

func TestRegistration(t *testing.T) {
	s := newServer(t)
	c := s.client(t, "")
	a := c.do("POST", "/accounts", object{"username": "Carol.1", "password": "토끼굴로 내려가기", "display_name": "캐럴"}).is(http.StatusCreated)
	require.Equal(t, "carol.1", a.text("username"))
	require.Equal(t, "member", a.text("role"))
	require.Regexp(t, `^[0-9A-HJKMNP-TV-Z]{26}$`, a.text("id"))
	c.do("POST", "/accounts", object{"username": "CAROL.1", "password": "another password"}).is(http.StatusConflict, "username_taken")
	require.Equal(t, "dave", c.do("POST", "/accounts", object{"username": "dave", "password": "another password"}).
		is(http.StatusCreated).text("display_name"))
	each(t, func(t *testing.T, slug string) {
		s.login(t, slug, "carol.1", "토끼굴로 내려가기")
		s.client(t, slug).post("login", credentials{"carol.1", "토끼굴로 내려가기 "}).is(http.StatusUnauthorized, "bad_login")
	})
}

func TestPasswordsAreTakenAsReceived(t *testing.T) {
	s := newServer(t)
	c := s.client(t, "session")
	register := func(password string) *answer {
		return c.do("POST", "/accounts", object{"username": "erin", "password": password})
	}
	for _, refused := range []string{"1234567", strings.Repeat("😀", 7), strings.Repeat("x", 129), "password123", "PassWord123", "12345678", "qwertyuiop"} {
		a := register(refused).is(http.StatusUnprocessableEntity, "validation_failed")
		require.Equal(t, "/password", a.at("errors").([]any)[0].(map[string]any)["pointer"], refused)
	}
	for i, taken := range []string{strings.Repeat("😀", 8), strings.Repeat("y", 128), "aaaabbbbccccdddd", "with a space at the end ", "e\u0301tudiante", "\u00e9tudiante"} {
		username := "user" + string(rune('a'+i))
		s.clock.advance(time.Hour) // beyond the throttle's window
		c.do("POST", "/accounts", object{"username": username, "password": taken}).is(http.StatusCreated)
		s.login(t, "session", username, taken)
		runes := []rune(taken)
		for _, wrong := range []string{taken + " ", string(runes[:len(runes)-1]), "x" + string(runes[1:])} {
			c.post("login", credentials{username, wrong}).is(http.StatusUnauthorized, "bad_login")
		}
	}
}
