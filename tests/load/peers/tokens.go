package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"time"

	ginjwt "github.com/appleboy/gin-jwt/v2"
	"github.com/gin-gonic/gin" //nolint:depguard // what the peers are built with
	"github.com/golang-jwt/jwt/v5"
	echojwt "github.com/labstack/echo-jwt/v4"
	"github.com/labstack/echo/v4"
)

// secret signs the tokens of a process.
var secret = func() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return b
}()

// credential is the answer to a login.
func credential(token string) map[string]any {
	return map[string]any{"credential": map[string]string{"access_token": token}}
}

// newGin returns an engine without middleware, and how it answers.
func newGin(j job) (*gin.Engine, func(c *gin.Context, claims map[string]any)) {
	gin.SetMode(gin.ReleaseMode)
	return gin.New(), func(c *gin.Context, claims map[string]any) {
		p, ok := profileOf(func(name string) any { return claims[name] })
		if !ok {
			c.Status(http.StatusUnauthorized)
			return
		}
		j.headers(c.Writer.Header().Set)
		_ = json.NewEncoder(c.Writer).Encode(p)
	}
}

// ginJWTPeer keeps the values in the claims of gin-jwt.
func ginJWTPeer(j job, listener net.Listener) error {
	e, answer := newGin(j)
	m, err := ginjwt.New(&ginjwt.GinJWTMiddleware{
		Key: secret, Timeout: time.Hour, IdentityKey: "sub",
		Authenticator: func(*gin.Context) (any, error) { return j.profile, nil },
		PayloadFunc:   func(any) ginjwt.MapClaims { return j.profile.values() },
		LoginResponse: func(c *gin.Context, _ int, token string, _ time.Time) { c.JSON(http.StatusOK, credential(token)) },
	})
	if err != nil {
		return err
	}
	e.POST(loginPath, m.LoginHandler)
	e.GET(j.Path, m.MiddlewareFunc(), func(c *gin.Context) { answer(c, ginjwt.ExtractClaims(c)) })
	return e.RunListener(listener)
}

// golangJWTPeer verifies with golang-jwt alone, as strictly as its documentation asks: one
// algorithm, and an end.
func golangJWTPeer(algorithm string) peer {
	return func(j job, listener net.Listener) error {
		var signs, verifies any = secret, secret
		if algorithm == "EdDSA" {
			public, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return err
			}
			signs, verifies = private, public
		}
		parser := jwt.NewParser(jwt.WithValidMethods([]string{algorithm}), jwt.WithExpirationRequired())
		e, answer := newGin(j)
		e.POST(loginPath, func(c *gin.Context) {
			token, err := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), jwt.MapClaims(j.profile.values())).SignedString(signs)
			if err != nil {
				c.JSON(http.StatusInternalServerError, err.Error())
				return
			}
			c.JSON(http.StatusOK, credential(token))
		})
		e.GET(j.Path, func(c *gin.Context) {
			claims := jwt.MapClaims{}
			text, _ := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer ")
			if _, err := parser.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return verifies, nil }); err != nil {
				c.Status(http.StatusUnauthorized)
				return
			}
			answer(c, claims)
		})
		return e.RunListener(listener)
	}
}

// echoJWTPeer keeps the values in the claims of echo-jwt.
func echoJWTPeer(j job, listener net.Listener) error {
	e := echo.New()
	e.HideBanner, e.HidePort, e.Listener = true, true, listener
	e.POST(loginPath, func(c echo.Context) error {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(j.profile.values())).SignedString(secret)
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, credential(token))
	})
	e.GET(j.Path, func(c echo.Context) error {
		token, _ := c.Get("user").(*jwt.Token)
		claims, _ := token.Claims.(jwt.MapClaims)
		p, ok := profileOf(func(name string) any { return claims[name] })
		if !ok {
			return c.NoContent(http.StatusUnauthorized)
		}
		j.headers(c.Response().Header().Set)
		return json.NewEncoder(c.Response()).Encode(p)
	}, echojwt.JWT(secret))
	return e.Start("")
}
