// The command gin is a login as the README of gin-contrib/sessions has it: in a signed
// cookie, or with the second argument "memstore" in the memory of the process.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/gin-contrib/sessions"
	"github.com/gin-contrib/sessions/cookie"
	"github.com/gin-contrib/sessions/memstore"
	"github.com/gin-gonic/gin"
)

var passwords = map[string]string{"alice": "wonderland", "bob": "cheshire-cat"}

func main() {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	var store sessions.Store = cookie.NewStore([]byte("change me"))
	if len(os.Args) > 2 && os.Args[2] == "memstore" {
		store = memstore.NewStore([]byte("change me"))
	}
	r.Use(sessions.Sessions("mysession", store))
	r.POST("/login", login)
	r.GET("/me", me)
	r.POST("/settings", settings)
	r.POST("/logout", logout)
	log.Fatal(r.Run("127.0.0.1:" + os.Args[1]))
}

func login(c *gin.Context) {
	username := c.PostForm("username")
	if want, ok := passwords[username]; !ok || want != c.PostForm("password") {
		c.Status(http.StatusUnauthorized)
		return
	}
	session := sessions.Default(c)
	session.Set("user", username)
	save(c, session)
}

func me(c *gin.Context) {
	session := sessions.Default(c)
	if session.Get("user") == nil {
		c.Status(http.StatusUnauthorized)
		return
	}
	c.JSON(http.StatusOK, gin.H{"username": session.Get("user"), "theme": session.Get("theme"), "language": session.Get("language")})
}

func settings(c *gin.Context) {
	session := sessions.Default(c)
	if session.Get("user") == nil {
		c.Status(http.StatusUnauthorized)
		return
	}
	for _, field := range []string{"theme", "language"} {
		if value, ok := c.GetPostForm(field); ok {
			session.Set(field, value)
		}
	}
	save(c, session)
}

func logout(c *gin.Context) {
	session := sessions.Default(c)
	session.Clear()
	save(c, session)
}

func save(c *gin.Context, session sessions.Session) {
	if err := session.Save(); err != nil {
		c.Status(http.StatusInternalServerError)
		return
	}
	c.Redirect(http.StatusFound, "/me")
}
