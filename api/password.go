package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"statelab/api/rest"
	"statelab/auth"
	"statelab/state"
)

func (g *Group) password(c *gin.Context) (int, any, error) {
	l, err := g.Load(c)
	if err != nil {
		return 0, nil, err
	}
	in, err := rest.Decode[struct {
		Current rest.Required[string] `json:"current_password"`
		New     rest.Required[string] `json:"new_password"`
	}](c, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	ctx := c.Request.Context()
	err = g.accounts.ChangePassword(ctx, l.Subject, in.Current.Value, in.New.Value, requestOf(c).client, func() error {
		// An attacker who knew the old password loses every login that the server can
		// end, in every strategy (OWASP ASVS 5.0, 7.4.3), also if the client does not
		// wait for the answer. This login goes on.
		return g.endOthers(context.WithoutCancel(ctx), l.Login)
	})
	if errors.Is(err, auth.ErrNotFound) {
		err = state.ErrRevoked // the account is gone, and what it started with it
	}
	if err != nil {
		err = rest.Failed(err)
		g.Audit(c, "password_change_refused", slog.String("code", rest.FaultOf(err).Code))
		return 0, nil, err
	}
	g.Audit(c, "revocation", slog.String("of", "others"), slog.String("by", "password_change"))
	return http.StatusNoContent, nil, nil
}
