package api

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
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

// forgedLog has the newest requests of other origins, the oldest first. The zero value
// is empty.
type forgedLog struct {
	mu  sync.Mutex
	all []ForgedRequest
}

// add remembers a request, and forgets the oldest one if there are too many.
func (l *forgedLog) add(f ForgedRequest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all[max(0, len(l.all)+1-maxForged):], f)
}

// drop forgets all requests.
func (l *forgedLog) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = nil
}

// newest returns the requests, the newest first.
func (l *forgedLog) newest() []ForgedRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := append([]ForgedRequest{}, l.all...)
	slices.Reverse(out)
	return out
}

// rememberForged remembers an answered request if a page of another origin sent it to a
// strategy. A preflight counts: it has no route, so the path names the strategy.
func (s *Server) rememberForged(x *request, r *http.Request) {
	site := r.Header.Get("Sec-Fetch-Site")
	if site != "cross-site" && site != "same-site" {
		return
	}
	at := slices.IndexFunc(s.columns, func(col *column) bool { return strings.HasPrefix(r.URL.Path, "/"+col.slug+"/") })
	if at < 0 {
		return
	}
	_, err := s.columns[at].carrying(r)
	path := r.URL.RequestURI()
	room := s.config.classroom
	room.forged.add(ForgedRequest{
		At: room.clock.Now().UTC().Truncate(time.Second), Method: loggedMethod(r.Method),
		Path: strings.ToValidUTF8(path[:min(len(path), maxForgedPath)], ""), Site: site,
		Credential: err == nil, Status: x.status, Code: x.code,
	})
}

// forgeries shows the requests of other origins, the newest first.
func (c *Classroom) forgeries(*gin.Context) (int, any, error) {
	return http.StatusOK, ForgedRequests{Requests: c.forged.newest()}, nil
}
