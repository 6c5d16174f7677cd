package tests

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

const stock = "session-stock"

// Each defect that stands beside the code of this strategy is here or in
// TestAttacks, but for a lost update, which TestOfTwoChangesAtOnce shows.
func TestTheRoleOfAStockSessionIsThatOfTheLogin(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Login(t, stock, harness.Bob, harness.BobPassword)
	_, err := s.Config.Database.ExecContext(t.Context(), `UPDATE accounts SET role = 'admin' WHERE username = $1`, harness.Bob)
	require.NoError(t, err)
	c.Get("members").Is(http.StatusForbidden)
	c.Renew().Is(http.StatusNotImplemented, "not_supported_by_strategy")
	c.Post("logout", harness.Object{"everywhere": true}).Is(http.StatusNotImplemented)
	c.Post("login", harness.Credentials(harness.Bob, harness.BobPassword)).Is(http.StatusOK)
	c.Get("members").Is(http.StatusOK)
}

func TestTheCookieOfAStockSessionGoesEverywhere(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	a := s.Client(t, stock).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	require.Len(t, a.Cookies, 1)
	require.Equal(t, "/", a.Cookies[0].Path)
	require.False(t, a.Cookies[0].HttpOnly)
	require.Zero(t, a.Cookies[0].SameSite)
	require.Equal(t, 30*24*60*60, a.Cookies[0].MaxAge)
	for _, other := range harness.Strategies {
		if other != stock { // who take no notice
			c := s.Client(t, other)
			c.Cookies[a.Cookies[0].Name] = a.Cookies[0].Value
			c.Get("profile").Is(http.StatusUnauthorized, "no_credential")
		}
	}
}

// Of two cookies of one name it takes the first, and no one is told.
func TestAStockSessionGuesses(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	mine, theirs := s.Login(t, stock, harness.Alice, harness.AlicePassword).Held(), s.Login(t, stock, harness.Bob, harness.BobPassword).Held()
	name := harness.CookieName(stock)
	for first, second := range map[string]string{mine: theirs, theirs: mine} {
		both := s.Client(t, stock).Do("GET", "/"+stock+"/profile", nil, harness.Header("Cookie", name+"="+first+"; "+name+"="+second)).Is(http.StatusOK)
		one := s.Client(t, stock).Hold(first).Get("profile").Is(http.StatusOK)
		require.Equal(t, one.Body, both.Body)
	}
}
