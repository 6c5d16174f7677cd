package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/api/rest"
	"statelab/state"
)

// A Group has the routes of one strategy, with the contract that all of them serve. No
// method asks which strategy it has: what only some can do is an interface that
// they implement or not.
type Group struct {
	*Server
	Slug     string
	Store    state.Store // at the strategy's Place
	Strategy state.Strategy
	Traits   state.Traits
}

// Load returns the login that the request carries, and notes the time it took.
func (g *Group) Load(c *gin.Context) (state.Held, error) {
	x := requestOf(c)
	before := time.Since(x.start) // reads one clock, where time.Now reads two
	h, err := g.Strategy.Load(c.Request)
	x.auth += time.Since(x.start) - before
	x.about(h.Login)
	return h, err
}

// cannot says what the strategy by its nature cannot do.
func (g *Group) cannot(what string) error {
	return rest.Faultf("not_supported_by_strategy",
		"To %s, the server needs a record of each login. In this strategy the %s stores the only copy. The server changed nothing.",
		what, g.Traits.Holder)
}

// challenge is the WWW-Authenticate of a problem, or "" where none is due. Every
// 401 has one (RFC 9110, 11.6.1), with an error of RFC 6750, 3.1 unless nothing was
// presented. Other statuses have one only where it can name the error.
func (g *Group) challenge(r *http.Request, status int, code string) string {
	failure := ""
	switch {
	case code == "no_credential" || code == "bad_login":
	case status == http.StatusUnauthorized:
		failure = "invalid_token"
	case code == "ambiguous_credential":
		failure = "invalid_request"
	case code == "forbidden":
		failure = "insufficient_scope"
	default:
		return ""
	}
	carriage := g.Strategy.Carriage(r)
	if status != http.StatusUnauthorized && carriage.SentByBrowser {
		return ""
	}
	return carriage.Challenge("statelab", failure)
}
