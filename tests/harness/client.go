package harness

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
)

// A Client holds what one browser or one curl holds: cookies, and tokens.
type Client struct {
	T       testing.TB
	Server  *Server
	Slug    string
	Cookies map[string]string
	paths   map[string]string // of cookies, where they have one
	Access  string
	Refresh string
	Send    func(*http.Request) // changes requests before they go
}

// Client returns a client of a strategy that holds nothing yet.
func (s *Server) Client(t testing.TB, slug string) *Client {
	return &Client{T: t, Server: s, Slug: slug, Cookies: map[string]string{}, paths: map[string]string{}}
}

// Login returns a client that has logged in.
func (s *Server) Login(t testing.TB, slug, username, password string) *Client {
	t.Helper()
	c := s.Client(t, slug)
	c.Post("login", Credentials(username, password)).Is(http.StatusOK)
	return c
}

type credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// Credentials is the body of a sign-in.
func Credentials(username, password string) any { return credentials{username, password} }

// Copy is a thief's: it has the credentials as they are now.
func (c *Client) Copy() *Client {
	d := *c
	d.Cookies, d.paths = maps.Clone(c.Cookies), maps.Clone(c.paths)
	return &d
}

// Held is the credential that the client's next request carries.
func (c *Client) Held() string {
	if c.Bearer() {
		return c.Access
	}
	return c.Cookies[c.CookieName()]
}

// Renews is what the client's next refresh carries besides: a refresh token, in
// the body or in a cookie of its own, or "".
func (c *Client) Renews() string {
	return cmp.Or(c.Refresh, c.Cookies[c.renewalName()])
}

// Hold gives the client a credential in the place of the one that it holds.
func (c *Client) Hold(credential string) *Client {
	if c.Bearer() {
		c.Access = credential
	} else {
		c.Cookies[c.CookieName()] = credential
	}
	return c
}

// Lives is how long a credential is good that the client was just given.
func (c *Client) Lives() time.Duration {
	if c.Renews() != "" {
		return state.DefaultLifetimes().AccessTTL
	}
	return state.DefaultLifetimes().SessionMax
}

// CookieName is the name of the strategy's cookie where the client asks.
func (c *Client) CookieName() string {
	if strings.HasPrefix(c.Server.URL, "https://") {
		return "__Host-" + CookieName(c.Slug)
	}
	return CookieName(c.Slug)
}

// renewalName is the name of the cookie that a renewal takes, where there is one.
func (c *Client) renewalName() string {
	if strings.HasPrefix(c.Server.URL, "https://") {
		return "__Secure-" + CookieName(c.Slug) + "_refresh"
	}
	return CookieName(c.Slug) + "_refresh"
}

// Bearer says whether the strategy's credential travels in a header.
func (c *Client) Bearer() bool { return Promises()[c.Slug].Transport == state.TransportBearer }

// Traits returns the traits that the server publishes for a strategy.
func (s *Server) Traits(t testing.TB, slug string) state.Traits {
	t.Helper()
	var index api.Index
	require.NoError(t, json.Unmarshal(s.Client(t, "").Do("GET", "/", nil).Body, &index))
	for _, strategy := range index.Strategies {
		if strategy.Slug == slug {
			return strategy.Traits
		}
	}
	t.Fatalf("no strategy %q in the index", slug)
	return state.Traits{}
}

// Get asks a route of the client's strategy.
func (c *Client) Get(route string) *Answer { return c.Route("GET", route, nil) }

// Post sends a body to a route of the client's strategy.
func (c *Client) Post(route string, body any) *Answer { return c.Route("POST", route, body) }

// Patch changes the profile.
func (c *Client) Patch(body any) *Answer { return c.Route("PATCH", "profile", body) }

// Renew refreshes the login in the way of its strategy.
func (c *Client) Renew() *Answer { return c.Post("refresh", Renewal(c)) }

// Renewed does so and requires that it worked, or that it changed nothing where a
// strategy cannot.
func (c *Client) Renewed() *Answer {
	c.T.Helper()
	a := c.Renew()
	if Promises()[c.Slug].RenewsID {
		return a.Is(http.StatusOK)
	}
	a.Is(http.StatusNotImplemented, "not_supported_by_strategy")
	return c.Get("profile").Is(http.StatusOK)
}

// Renewal is the body of a request that refreshes what the client holds.
func Renewal(c *Client) any {
	if c.Refresh != "" {
		return Object{"refresh_token": c.Refresh}
	}
	return nil
}

// Route asks a route of the client's strategy.
func (c *Client) Route(method, route string, body any) *Answer {
	c.T.Helper()
	return c.Do(method, "/"+c.Slug+"/"+route, body)
}

// Raw is a body that is sent as it is; other bodies are encoded as JSON.
type Raw string

// Do sends a request with what the client holds, checks what holds for every
// answer, and keeps what the answer gives to hold.
func (c *Client) Do(method, path string, body any, change ...func(*http.Request)) *Answer {
	c.T.Helper()
	a, err := c.Try(method, path, body, change...)
	require.NoError(c.T, err)
	return a
}

// Try does the same where the server may end before it has answered.
func (c *Client) Try(method, path string, body any, change ...func(*http.Request)) (*Answer, error) {
	c.T.Helper()
	var content io.Reader
	var text []byte
	switch b := body.(type) {
	case nil:
	case Raw:
		text = []byte(b)
	default:
		var err error
		text, err = json.Marshal(b)
		require.NoError(c.T, err)
	}
	if body != nil {
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(c.T.Context(), method, c.Server.URL+path, content)
	require.NoError(c.T, err)
	if content != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(c.Cookies)) {
		if strings.HasPrefix(path, c.paths[name]) {
			pairs = append(pairs, name+"="+c.Cookies[name])
		}
	}
	if len(pairs) > 0 {
		r.Header.Set("Cookie", strings.Join(pairs, "; "))
	}
	if c.Access != "" {
		carriage := state.InAuthorization(state.Config{}).Carriage // tests also send tokens to strategies of cookies
		if p, ok := Promises()[c.Slug]; ok && !p.SentByBrowser {
			carriage = p.Carriage
		}
		carriage(r).Attach(r.Header, c.Access)
	}
	if c.Send != nil {
		c.Send(r)
	}
	for _, f := range change {
		f(r)
	}
	c.Server.Canary.sees(r, string(text))
	a, err := exchange(c.T, cmp.Or(c.Server.transport, Transport), r)
	if err != nil {
		return nil, err
	}
	c.keep(a)
	if a.Status >= 400 {
		require.Empty(c.T, c.Server.Canary.Leaks(string(a.Body)), "a credential is in an error: %s", a.Body)
	}
	return a, nil
}

// Transport opens a connection for each request, so that it can tell what a server
// that was stopped and started again answers.
var Transport = newTransport()

// newTransport returns a transport that keeps no connection. The certificates that it
// meets are the tests' own.
func newTransport() *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // #nosec G402 -- as above
	}
}

// exchange sends a request and checks the answer.
func exchange(t testing.TB, transport *http.Transport, r *http.Request) (*Answer, error) {
	t.Helper()
	watch := StartWatch()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	a := &Answer{T: t, Status: resp.StatusCode, Proto: resp.Proto, Header: resp.Header, Body: body, Cookies: resp.Cookies(), Took: watch.Took()}
	if strings.Contains(resp.Header.Get("Content-Type"), "json") && len(body) > 0 {
		require.NoError(t, json.Unmarshal(body, &a.JSON), "%s %s: %s", r.Method, r.URL.Path, body)
	}
	a.check(r)
	return a, nil
}

// keep does what a browser and an application do with an answer.
func (c *Client) keep(a *Answer) {
	for _, cookie := range a.Cookies {
		if cookie.MaxAge < 0 {
			delete(c.Cookies, cookie.Name)
		} else {
			c.Cookies[cookie.Name], c.paths[cookie.Name] = cookie.Value, cookie.Path
		}
	}
	if token := a.Text("credential.access_token"); token != "" {
		c.Access = token
	}
	if token := a.Text("credential.refresh_token"); token != "" {
		c.Refresh = token
	}
	for _, held := range append(slices.Collect(maps.Values(c.Cookies)), c.Access, c.Refresh) {
		c.Server.Canary.Remember(held, Tail)
	}
}

// KeepsConnections has the client, and copies of it, send its requests on connections
// that are kept: of a request that is refused early, net/http drains the body only
// where another one may follow. Clients of a Server do so anyway.
func (c *Client) KeepsConnections() *Client {
	d := *c.Server
	d.keep(c.T)
	c.Server = &d
	return c
}

// Edit changes the credential that the client holds, in its middle.
func (c *Client) Edit() {
	held := []byte(c.Held())
	i := len(held) / 2
	if held[i]++; held[i] == '{' || held[i] == '[' || held[i] == ':' || held[i] == '`' || held[i] == '/' || held[i] == '.' {
		held[i] = 'A'
	}
	c.Hold(string(held))
}
