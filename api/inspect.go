package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"statelab/api/rest"
	"statelab/state"
)

// Inspection is the answer of GET /{s}/inspect: what the request carried, what
// the server holds for it, and what finding out has cost.
type Inspection struct {
	Strategy string       `json:"strategy"`
	Traits   state.Traits `json:"traits"`
	state.Inspection
	Cost Cost `json:"cost"`
}

// Cost is what one request has cost.
type Cost struct {
	StoreReads   int   `json:"store_reads"`
	StoreWrites  int   `json:"store_writes"`
	Microseconds int64 `json:"microseconds"`
}

// inspect loads the login as every request does, and takes what that has cost;
// what it looks up besides, to show it, is not counted.
func (g *Group) inspect(c *gin.Context) (int, any, error) {
	inspector, ok := g.Strategy.(state.Inspector)
	if !ok {
		return 0, nil, rest.Faultf("not_supported_by_strategy", "The strategy has nothing to show.")
	}
	h, err := g.Load(c)
	if err != nil {
		return 0, nil, err
	}
	x := requestOf(c)
	cost := Cost{x.cost.Reads, x.cost.Writes, x.auth.Microseconds()}
	in, err := inspector.Inspect(c.Request, h)
	return http.StatusOK, Inspection{g.Slug, g.Traits, in, cost}, err
}
