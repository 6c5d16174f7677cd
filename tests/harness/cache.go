package harness

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// CatalogTTL is how long the catalogue may be kept, and least how long of that a
// cache of ours keeps it at least.
const (
	CatalogTTL = 30 * time.Second
	LeastTTL   = 27 * time.Second
)

// Kept are the policies under which a server keeps answers itself.
var Kept = []string{"memory", "redis"}

// CatalogPath is where the catalogue is under a policy, which may have a query.
func CatalogPath(policy string) string {
	name, query, asks := strings.Cut(policy, "?")
	if asks {
		query = "?" + query
	}
	return "/cache/" + name + "/catalog" + query
}

// Catalog asks for the catalogue under a policy. The answer is looked at in a hurry:
// TestTheCatalogueUnderEachPolicy holds all 120 KB of it to the contract.
func (c *Client) Catalog(policy string, headers ...string) *Answer {
	c.T.Helper()
	r, err := http.NewRequestWithContext(c.T.Context(), http.MethodGet, c.Server.URL+CatalogPath(policy), nil)
	require.NoError(c.T, err)
	if c.Access != "" {
		r.Header.Set("Authorization", "Bearer "+c.Access)
	}
	if c.Send != nil {
		c.Send(r)
	}
	Setting(headers...)(r)
	watch := StartWatch()
	back, err := Transport.RoundTrip(r)
	require.NoError(c.T, err)
	defer func() { _ = back.Body.Close() }()
	body, err := io.ReadAll(back.Body)
	require.NoError(c.T, err)
	require.Empty(c.T, back.Cookies())
	a := &Answer{T: c.T, Status: back.StatusCode, Header: back.Header, Body: body, Took: watch.Took()}
	if a.Status >= 400 {
		require.NoError(c.T, json.Unmarshal(body, &a.JSON))
		a.check(r)
	}
	return a
}

// Setting sets the headers of a request, given as "Name: value".
func Setting(headers ...string) func(*http.Request) {
	return func(r *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Set(name, value)
		}
	}
}

// begins are the moment and the first item of a catalogue.
var begins = regexp.MustCompile(`^\{"generated_at":"([^"]+)","items":\[\{"sku":"SKU-0001","name":"Amber bamboo bag","price":([0-9]+)\}`)

// Price is what an answer says that the first item costs.
func (a *Answer) Price() int64 {
	a.T.Helper()
	found := begins.FindSubmatch(a.Body)
	require.NotNil(a.T, found, "%d %s", a.Status, a.Body[:min(len(a.Body), 200)])
	price, err := strconv.ParseInt(string(found[2]), 10, 64)
	require.NoError(a.T, err)
	return price
}

// Generated is when an answer says that it was computed.
func (a *Answer) Generated() string {
	a.T.Helper()
	found := begins.FindSubmatch(a.Body)
	require.NotNil(a.T, found)
	return string(found[1])
}

// Kept is what the policy's cache says of an answer, its seconds apart.
func (a *Answer) Kept() string {
	_, status, _ := strings.Cut(a.Header.Get("Cache-Status"), "; ")
	status, _, _ = strings.Cut(status, "; ttl=")
	return status
}

// FirstPrice is the price that the first item of a new catalogue has.
const FirstPrice = 8419

// Says requires it.
func (a *Answer) Says(want string) *Answer {
	a.T.Helper()
	require.Equal(a.T, want, a.Kept())
	return a
}

// Costs gives the first item another price.
func (c *Client) Costs(policy string, price int64) *Answer {
	c.T.Helper()
	return c.Do("PATCH", CatalogPath(policy)+"/SKU-0001", Object{"price": price})
}
