package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gin-gonic/gin"

	"statelab/api/rest"
	"statelab/auth"
)

// Members is the answer of GET /{s}/members.
type Members struct {
	Members []Member `json:"members"`
}

// Member is one account, as an admin sees it.
type Member struct {
	Username    string `json:"username"`
	DisplayName string `json:"display_name"`
	Role        string `json:"role"`
}

// members answers with a page of the accounts, and names the next one in Link
// (RFC 8288). It goes by the role in the login, as any application does that asks its
// session and not its database: how fresh that is depends on the strategy.
func (g *Group) members(c *gin.Context) (int, any, error) {
	l, err := g.Load(c)
	if err != nil {
		return 0, nil, err
	}
	if err := onlyAdmin(l.Login); err != nil {
		return 0, nil, err
	}
	after, limit, err := pageOf(c.Request)
	if err != nil {
		return 0, nil, err
	}
	accounts, more, err := g.accounts.Page(c.Request.Context(), after, limit)
	if err != nil {
		return 0, nil, rest.Failed(err)
	}
	if more {
		c.Writer.Header().Set("Link", fmt.Sprintf(`</%s/members?limit=%d&after=%s>; rel="next"`,
			g.Slug, limit, url.QueryEscape(accounts[len(accounts)-1].Username)))
	}
	out := Members{Members: make([]Member, len(accounts))}
	for i, a := range accounts {
		out.Members[i] = Member{a.Username, a.DisplayName, a.Role}
	}
	return http.StatusOK, out, nil
}

// pageOf reads which page of the accounts a request asks for: at most limit of
// them, after the one with this username. Without the parameters it is the first
// one, as long as a page may be.
func pageOf(r *http.Request) (after string, limit int, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return "", 0, rest.Faultf("invalid_request", "The server cannot parse the query.")
	}
	limit = auth.MaxPage
	if values, ok := query["limit"]; ok {
		if limit, err = strconv.Atoi(values[0]); err != nil || len(values) > 1 || limit < 1 || limit > auth.MaxPage {
			return "", 0, rest.Faultf("invalid_request", "The parameter limit must be one integer from 1 to %d.", auth.MaxPage)
		}
	}
	if values, ok := query["after"]; ok {
		if after = values[0]; len(values) > 1 || !auth.IsUsername(after) {
			return "", 0, rest.Faultf("invalid_request", "The parameter after must be one username.")
		}
	}
	return after, limit, nil
}
