package state_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/gin-contrib/sessions"
	"github.com/gin-gonic/gin"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
)

// A plain Gin application keeps its sessions in any Store: only the line that
// makes the store differs from the README of gin-contrib/sessions.
func ExampleNewGinStore() {
	kept := memory.New(store.Options{})
	defer func() { _ = kept.Close() }()

	app := gin.New()
	app.Use(sessions.Sessions("app", state.NewGinStore(kept)))

	app.GET("/login", func(c *gin.Context) {
		session := sessions.Default(c)
		session.Set("user", c.Query("user"))
		session.Set(state.RenewKey, true) // a new identifier for a new privilege
		if err := session.Save(); err != nil {
			c.String(http.StatusServiceUnavailable, "try again")
			return
		}
		c.String(http.StatusOK, "welcome")
	})
	app.GET("/me", func(c *gin.Context) {
		c.String(http.StatusOK, "you are %v", sessions.Default(c).Get("user"))
	})

	answer := httptest.NewRecorder()
	app.ServeHTTP(answer, httptest.NewRequest("GET", "/login?user=alice", nil))
	fmt.Println(answer.Body)

	next := httptest.NewRequest("GET", "/me", nil)
	next.AddCookie(answer.Result().Cookies()[0])
	answer = httptest.NewRecorder()
	app.ServeHTTP(answer, next)
	fmt.Println(answer.Body)
	// Output:
	// welcome
	// you are alice
}
