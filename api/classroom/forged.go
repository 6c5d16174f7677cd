package classroom

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/api"
)

// Limits on the requests of other origins that a classroom remembers: their number,
// and the bytes of the path of one.
const (
	maxForged     = 200
	maxForgedPath = 256
)

// ForgedRequest describes a request that a page of another origin sent to a strategy,
// and how the server answered. The page that sent it cannot read the answer, and the
// victim's page does not see the request: only the server can say what stopped it.
type ForgedRequest struct {
	At         time.Time `json:"at,format:RFC3339"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`       // with its query, at most maxForgedPath bytes
	Site       string    `json:"site"`       // "cross-site" or "same-site", by the browser's Sec-Fetch-Site
	Credential bool      `json:"credential"` // whether the request carried one for the strategy
	Status     int       `json:"status"`
	Code       string    `json:"code"` // of the problem; "" if the answer is none
}

// ForgedRequests is the answer of GET /classroom/forged.
type ForgedRequests struct {
	Requests []ForgedRequest `json:"requests"`
}

// Answered implements api.Extension: it remembers a request if a page of another origin sent
// it to a strategy. A preflight counts: it has no route, so the path names the strategy.
func (room *Classroom) Answered(s *api.Server, r *http.Request, status int, code string) {
	site := r.Header.Get("Sec-Fetch-Site")
	if site != "cross-site" && site != "same-site" {
		return
	}
	groups := s.Groups()
	at := slices.IndexFunc(groups, func(g *api.Group) bool { return strings.HasPrefix(r.URL.Path, "/"+g.Slug+"/") })
	if at < 0 {
		return
	}
	_, err := carrying(groups[at], r)
	path := r.URL.RequestURI()
	room.forged.add(ForgedRequest{
		At: room.Clock.Now().UTC().Truncate(time.Second), Method: api.LoggedMethod(r.Method),
		Path: strings.ToValidUTF8(path[:min(len(path), maxForgedPath)], ""), Site: site,
		Credential: err == nil, Status: status, Code: code,
	})
}

// forgeries shows the requests of other origins, the newest first.
func (room *Classroom) forgeries(*gin.Context) (int, any, error) {
	return http.StatusOK, ForgedRequests{Requests: room.forged.newest()}, nil
}
