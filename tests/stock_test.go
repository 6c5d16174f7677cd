package tests

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

const stock = "session-stock"

// Each defect that stands beside the code of this strategy is here or in
// TestAttacks, but for a lost update, which TestOfTwoChangesAtOnce shows.
func TestTheRoleOfAStockSessionIsThatOfTheLogin(t *testing.T) {
	s := newServer(t)
	c := s.login(t, stock, bob, bobPassword)
	_, err := s.config.Database.ExecContext(t.Context(), `UPDATE accounts SET role = 'admin' WHERE username = $1`, bob)
	require.NoError(t, err)
	c.get("members").is(http.StatusForbidden)
	c.renew().is(http.StatusNotImplemented, "not_supported_by_strategy")
	c.post("logout", object{"everywhere": true}).is(http.StatusNotImplemented)
	c.post("login", credentials{bob, bobPassword}).is(http.StatusOK)
	c.get("members").is(http.StatusOK)
}

func TestTheCookieOfAStockSessionGoesEverywhere(t *testing.T) {
	s := newServer(t)
	a := s.client(t, stock).post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	require.Len(t, a.cookies, 1)
	require.Equal(t, "/", a.cookies[0].Path)
	require.False(t, a.cookies[0].HttpOnly)
	require.Zero(t, a.cookies[0].SameSite)
	require.Equal(t, 30*24*60*60, a.cookies[0].MaxAge)
	for _, other := range strategies {
		if other != stock { // who take no notice
			c := s.client(t, other)
			c.cookies[a.cookies[0].Name] = a.cookies[0].Value
			c.get("profile").is(http.StatusUnauthorized, "no_credential")
		}
	}
}

// Of two cookies of one name it takes the first, and no one is told.
func TestAStockSessionGuesses(t *testing.T) {
	s := newServer(t)
	mine, theirs := s.login(t, stock, alice, alicePassword).held(), s.login(t, stock, bob, bobPassword).held()
	name := cookieName(stock)
	for first, second := range map[string]string{mine: theirs, theirs: mine} {
		both := s.client(t, stock).do("GET", "/"+stock+"/profile", nil, header("Cookie", name+"="+first+"; "+name+"="+second)).is(http.StatusOK)
		one := s.client(t, stock).hold(first).get("profile").is(http.StatusOK)
		require.Equal(t, one.body, both.body)
	}
}
