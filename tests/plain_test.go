package tests

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

const plain = "cookie-plain"

func TestAPlainCookieMakesItsHolderAnAdmin(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Login(t, plain, harness.Alice, harness.AlicePassword)
	require.Contains(t, c.Held(), "%22role%22%3A%22member%22", "it is encoded once")
	c.Get("members").Is(http.StatusForbidden)
	admin := c.Rewrite(`"role":"member"`, `"role":"admin"`)
	admin.Get("members").Is(http.StatusOK)
	for _, other := range harness.Strategies {
		if other != plain {
			s.Client(t, other).Hold(admin.Held()).Get("members").Is(http.StatusUnauthorized)
		}
	}
	require.Equal(t, "member", admin.Renewed().Text("user.role"), "a refresh asks the accounts")
	admin.Get("members").Is(http.StatusForbidden)
}

// Whoever says that they are somebody else is: but not where a password is asked.
func TestAPlainCookieMakesItsHolderSomebodyElse(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	theirs := s.Login(t, plain, harness.Teacher, harness.TeacherPassword).Get("profile").Text("user.id")
	c := s.Login(t, plain, harness.Alice, harness.AlicePassword)
	mine := c.Get("profile").Text("user.id")
	other := c.Rewrite(mine, theirs).Rewrite(`"alice"`, `"teacher"`)
	require.True(t, other.Opens(harness.Teacher))
	other.Route("PUT", "password", harness.Object{"current_password": harness.AlicePassword, "new_password": "through the looking-glass"}).Is(http.StatusUnprocessableEntity)
	require.Equal(t, "admin", other.Renewed().Text("user.role"), "the role of whom it names")
}

func TestADateInAPlainCookieIsItsHolders(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Login(t, plain, harness.Alice, harness.AlicePassword)
	end := s.Clock.Now().Add(8 * time.Hour).UnixMicro()
	late := c.Rewrite(fmt.Sprint(`"expires_at":`, end), `"expires_at":253402300799000000`) // the end of 9999
	s.Clock.Advance(100 * 365 * 24 * time.Hour)
	require.True(t, late.Opens(harness.Alice))
	c.Get("profile").Is(http.StatusUnauthorized, "expired")
}

// What is no login is refused, and none of it is the server's fault.
func TestWhatIsNoLoginInAPlainCookie(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Login(t, plain, harness.Alice, harness.AlicePassword)
	end := s.Clock.Now().Add(8 * time.Hour).UnixMicro()
	for what, bad := range map[string]*harness.Client{
		"a word": c.Copy().Hold("x"), "half an escape": c.Copy().Hold("%7"), "no JSON": c.Copy().Hold("%7B"), "an empty object": c.Copy().Hold("%7B%7D"),
		"no UTF-8": c.Copy().Hold("%ff"), "another member": c.Rewrite(`{`, `{"x":1,`), "a member twice": c.Rewrite(`{`, `{"role":"admin",`),
		"debts": c.Rewrite(`"credits":100`, `"credits":-1`), "no display name": c.Rewrite(`"name":"Alice"`, `"name":""`),
		"a year that has five digits": c.Rewrite(fmt.Sprint(`"expires_at":`, end), `"expires_at":253402300800000000`),
		"an id that is a header":      c.Rewrite(`"sid":"`, `"sid":"\r\nX: `),
	} {
		t.Run(what, func(t *testing.T) { bad.In(t).Get("profile").Is(http.StatusUnauthorized, "bad_signature") })
	}
	require.True(t, c.Opens(harness.Alice))
}
