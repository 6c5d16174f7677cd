package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/api/rest"
	"statelab/state"
	"statelab/state/keys"
)

func (g *Group) login(c *gin.Context) (int, any, error) {
	in, err := rest.Decode[struct {
		Username rest.Required[string] `json:"username"`
		Password rest.Required[string] `json:"password"`
	}](c, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	l, credential, err := g.signIn(c, in.Username.Value, in.Password.Value)
	g.attempted(c, in.Username.Value, l, err)
	return g.logged(c, l, credential, err)
}

// signIn checks a password and starts a login.
func (g *Group) signIn(c *gin.Context, username, password string) (state.Login, state.Credential, error) {
	if err := g.CompleteDemoAccounts(c.Request.Context()); err != nil {
		return state.Login{}, state.Credential{}, err
	}
	start := time.Now()
	a, recheck, err := g.accounts.SignIn(c.Request.Context(), username, password, requestOf(c).client)
	requestOf(c).auth = time.Since(start)
	if err != nil {
		return state.Login{}, state.Credential{}, rest.Failed(err)
	}
	l, credential, err := g.Strategy.Start(c.Writer, c.Request, state.NewLogin(a.ID, a.Username, a.DisplayName, a.Role))
	if err != nil {
		return state.Login{}, state.Credential{}, err
	}
	if err := recheck(c.Request.Context()); err != nil {
		g.takeBack(c, l)
		return state.Login{}, state.Credential{}, rest.Failed(err)
	}
	return l, credential, nil
}

// takeBack ends a login whose credential no client has received.
func (g *Group) takeBack(c *gin.Context, l state.Login) {
	c.Writer.Header().Del("Set-Cookie")
	if lister, ok := g.listed(); ok { // else the server stores nothing that it could end
		// A store that fails here keeps a record that no credential opens. The server does
		// not wait for it long: the request may have waited for the database before.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), undoPatience)
		defer cancel()
		_ = lister.EndLogin(ctx, l.Subject, l.ID)
	}
}

// credentialFirst returns what is wrong with the credential, where something is,
// and else what is wrong with the body, which was looked at first because it may
// hold the credential.
func (g *Group) credentialFirst(c *gin.Context, body error) error {
	if _, err := g.Load(c); err != nil {
		return err
	}
	return body
}

// presents says whether the strategy takes refresh tokens out of bodies.
func (g *Group) presents() bool {
	return g.Strategy.Traits().RefreshToken == state.RefreshTokenBody
}

// refresh renews the login. A body with a refresh token is for the strategies that take
// one from there.
func (g *Group) refresh(c *gin.Context) (int, any, error) {
	presented := ""
	if g.presents() {
		in, err := rest.Decode[struct {
			RefreshToken rest.Required[string] `json:"refresh_token"`
		}](c, rest.JSONType)
		if err != nil {
			return 0, nil, err
		}
		presented = in.RefreshToken.Value
	} else if _, err := rest.DecodeOptional[struct{}](c, rest.JSONType); err != nil {
		return 0, nil, g.credentialFirst(c, err)
	}
	start := time.Now()
	h, err := g.Strategy.Open(c.Request, presented)
	l, credential := h.Login, state.Credential{}
	if err == nil {
		l, credential, err = g.Strategy.Refresh(c.Writer, c.Request, h)
	}
	requestOf(c).auth = time.Since(start)
	requestOf(c).about(l)
	return g.logged(c, l, credential, err)
}

func (g *Group) logout(c *gin.Context) (int, any, error) {
	in, err := rest.DecodeOptional[struct {
		Everywhere   bool    `json:"everywhere"`
		RefreshToken *string `json:"refresh_token"`
	}](c, rest.JSONType)
	if err != nil {
		return 0, nil, g.credentialFirst(c, err)
	}
	presented := ""
	if in.RefreshToken != nil {
		if presented = *in.RefreshToken; !g.presents() {
			return 0, nil, g.credentialFirst(c, rest.Faultf("malformed_json",
				"The body may not contain /refresh_token: this strategy has no refresh tokens."))
		}
	}
	ender, ok := g.ender()
	if in.Everywhere && !ok {
		return 0, nil, g.cannot("end all logins of a user")
	}
	h, err := g.open(c, presented, in.Everywhere)
	if err != nil {
		return 0, nil, err
	}
	if in.Everywhere {
		// The others first: if that fails, this login can still try again.
		ctx, cancel := context.WithTimeout(c.Request.Context(), endPatience)
		defer cancel()
		if err := ender.EndAll(ctx, h.Subject, h.ID, state.MicrosOf(g.config.Now())); err != nil {
			return 0, nil, err
		}
		g.Audit(c, "revocation", slog.String("of", "everywhere"))
	}
	return g.end(c, h)
}

// open returns the login that is to end. Only a login that can still be used, or a
// refresh token, ends the others too. A credential that opens nothing is cleared, unless
// it could not be judged.
func (g *Group) open(c *gin.Context, presented string, everywhere bool) (h state.Held, err error) {
	if everywhere && presented == "" {
		return g.Load(c)
	}
	h, err = g.Strategy.Open(c.Request, presented)
	requestOf(c).about(h.Login)
	if err != nil && !errors.Is(err, state.ErrUnavailable) && !errors.Is(err, keys.ErrNoKey) {
		g.Strategy.Clear(c.Writer, c.Request)
	}
	return h, err
}

// end ends a login that the request carries or presents.
func (g *Group) end(c *gin.Context, h state.Held) (int, any, error) {
	if err := g.Strategy.End(c.Writer, c.Request, h); err != nil {
		return 0, nil, err
	}
	g.Audit(c, "logout")
	return http.StatusNoContent, nil, nil
}
