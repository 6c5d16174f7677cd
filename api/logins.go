package api

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/api/rest"
	"statelab/state"
)

// listed returns the strategy as a Lister, if it is one as it is configured.
func (g *Group) listed() (state.Lister, bool) {
	l, ok := g.Strategy.(state.Lister)
	return l, ok && g.Traits.Listable
}

// lister returns the strategy as a Lister, or an error which says that it cannot do that.
func (g *Group) lister(what string) (state.Lister, error) {
	if l, ok := g.listed(); ok {
		return l, nil
	}
	return nil, g.cannot(what)
}

// ender returns the strategy as an Ender, if it is one as it is configured.
func (g *Group) ender() (state.Ender, bool) {
	e, ok := g.Strategy.(state.Ender)
	return e, ok && g.Traits.Everywhere
}

// LoginEntry is one login of a user, as its owner sees it.
type LoginEntry struct {
	ID        string    `json:"id"`
	Current   bool      `json:"current"`
	IssuedAt  time.Time `json:"issued_at,format:RFC3339"`
	LastSeen  time.Time `json:"last_seen,format:RFC3339"`
	ExpiresAt time.Time `json:"expires_at,format:RFC3339"`
}

// Logins is the answer of GET /{s}/logins.
type Logins struct {
	Logins []LoginEntry `json:"logins"`
}

func (g *Group) logins(c *gin.Context) (int, any, error) {
	lister, err := g.lister("list the logins of a user")
	if err != nil {
		return 0, nil, err
	}
	l, err := g.Load(c)
	if err != nil {
		return 0, nil, err
	}
	infos, err := lister.Logins(c.Request.Context(), l.Subject)
	if err != nil {
		return 0, nil, err
	}
	out := Logins{Logins: make([]LoginEntry, len(infos))}
	for i, in := range infos {
		out.Logins[i] = LoginEntry{in.ID, in.ID == l.ID, in.IssuedAt.Time(), in.LastSeen.Time(), in.ExpiresAt.Time()}
	}
	return http.StatusOK, out, nil
}

func (g *Group) endLogin(c *gin.Context) (int, any, error) {
	lister, err := g.lister("end another login of a user")
	if err != nil {
		return 0, nil, err
	}
	l, err := g.Load(c)
	if err != nil {
		return 0, nil, err
	}
	id := c.Param("id")
	if id == l.ID {
		return g.end(c, l)
	}
	switch err = lister.EndLogin(c.Request.Context(), l.Subject, id); {
	case err == nil:
		g.Audit(c, "revocation", slog.String("of", "one"), slog.String("ended", g.fingerprint(id)))
	case errors.Is(err, state.ErrUnknown):
		err = rest.Faultf("not_found", "You have no such login.")
	}
	return http.StatusNoContent, nil, err
}
