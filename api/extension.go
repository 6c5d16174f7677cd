package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/auth"
)

// An Extension is what a classroom adds to a server. Its routes stand inside the
// middleware of the server. It serves each server that a Config with it makes.
type Extension interface {
	// AddRoutes adds the routes that are of no strategy, to those that choose the form of
	// their answers themselves or to those that answer with JSON.
	AddRoutes(s *Server, pages, r gin.IRoutes)
	// AddRoutesOf adds routes below the path of a strategy, to those that answer with
	// pages or to those that answer with JSON within the deadline of a request.
	AddRoutesOf(g *Group, pages, r gin.IRoutes)
	// Answered learns of each request that the server has answered, with the code of the
	// problem, or "".
	Answered(s *Server, r *http.Request, status int, code string)
	// Nicknamed learns of each nickname that a user has chosen.
	Nicknamed(slug, username, nickname string)
	// Ahead is how far Config.Now is ahead of the clock of the operators.
	Ahead() time.Duration
}

// Read adds a route for GET and HEAD.
func Read(r gin.IRoutes, path string, h ...gin.HandlerFunc) {
	r.Match([]string{http.MethodGet, http.MethodHead}, path, h...)
}

// Config returns what the server is made of, with the zero fields filled in.
func (s *Server) Config() Config { return s.config }

// Groups returns the strategies that the server has.
func (s *Server) Groups() []*Group { return slices.Clone(s.groups) }

// Accounts returns the accounts of the server.
func (s *Server) Accounts() *auth.Accounts { return s.accounts }
