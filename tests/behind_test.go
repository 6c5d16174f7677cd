package tests

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

const classroomHost = "lesson-8080.example.dev"

// behindAProxy puts an HTTPS proxy before a program, as containers and cloud editors have
// one: it rewrites Host and says by which name the client came.
func behindAProxy(t *testing.T, p *harness.Process) *http.Client {
	t.Helper()
	to, err := url.Parse(p.Base)
	require.NoError(t, err)
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.SetXForwarded()
		r.Out.Header.Set("Via", "1.1 proxy")
	}})
	t.Cleanup(proxy.Close)
	client := proxy.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	transport := client.Transport.(*http.Transport)
	transport.TLSClientConfig.ServerName = "example.com" // of the test's certificate
	client.Transport = toProxy{transport, strings.TrimPrefix(proxy.URL, "https://")}
	client.Jar, err = cookiejar.New(nil)
	require.NoError(t, err)
	return client
}

// toProxy sends every request to one address, whatever its name is.
type toProxy struct {
	next    http.RoundTripper
	address string
}

func (p toProxy) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host, r.URL.Host = r.URL.Host, p.address
	return p.next.RoundTrip(r)
}

// asked sends a request as a page of an origin, and returns the answer.
func asked(t *testing.T, client *http.Client, method, path, body string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://"+classroomHost+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for pair := range slices.Chunk(headers, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	resp, err := client.Do(r)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp
}

func TestTheClassroomWorksBehindTheProxyThatItKnows(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "0.0.0.0:0", "--classroom-host", classroomHost)
	require.Regexp(t, `WARNING +every client that reaches `+classroomHost, p.Banner)
	client := behindAProxy(t, p)
	require.Equal(t, 200, asked(t, client, "GET", "/", "", "Accept", "text/html").StatusCode)

	for _, origin := range []string{"https://" + classroomHost, ""} {
		login := asked(t, client, "POST", "/session/login", `{"username":"alice","password":"wonderland"}`, "Origin", origin)
		require.Equal(t, 200, login.StatusCode, "without Fetch Metadata, from %q", origin)
		cookie := login.Header.Get("Set-Cookie")
		require.True(t, strings.HasPrefix(cookie, "__Host-statelab_session="), cookie)
		require.Contains(t, cookie, "; Path=/;")
		require.Contains(t, cookie, "Secure")
		require.NotEmpty(t, login.Header.Get("Strict-Transport-Security"))
	}
	require.Equal(t, 200, asked(t, client, "GET", "/session/profile", "").StatusCode)
	own := []string{"Origin", "https://" + classroomHost, "Sec-Fetch-Site", "same-origin"}
	require.Equal(t, 200, asked(t, client, "PATCH", "/session/profile", `{"theme":"dark"}`, own...).StatusCode)
	require.Equal(t, 200, asked(t, client, "POST", "/classroom/clock", `{"advance":"1s"}`, own...).StatusCode)
	page := asked(t, client, "GET", "/seed/", "")
	require.Contains(t, page.Header.Get("Content-Security-Policy"), "form-action https://"+classroomHost+"/seed/")

	for _, third := range [][]string{
		{"Origin", "https://evil.example"}, {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, {"Origin", "null"}, {"Sec-Fetch-Site", "same-site"},
		{"Origin", p.Base}, {"Origin", "https://x." + classroomHost}, {"Origin", "https://" + classroomHost + ":444"},
	} {
		for path, body := range map[string]string{"/session/spend": `{"amount":1}`, "/classroom/reset": "", "/session/logout": ""} {
			require.Equal(t, 403, asked(t, client, "POST", path, body, third...).StatusCode, "%s %v", path, third)
		}
	}
	require.Equal(t, 200, asked(t, client, "GET", "/session/profile", "").StatusCode)
}

func TestAClassroomBelievesProxiesOnlyWhereTheyNameIt(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0", "--classroom-host", classroomHost, "--classroom-host", "other.example:8443")
	for _, test := range []struct {
		host    string
		headers []string
		status  int
		secure  bool
	}{
		{"localhost", nil, 200, false},
		{classroomHost, nil, 200, false},
		{classroomHost, []string{"X-Forwarded-Proto", "https"}, 200, true},
		{"other.example:8443", []string{"X-Forwarded-Proto", "https"}, 200, true},
		{"10.0.0.7:8080", []string{"X-Forwarded-Host", classroomHost, "X-Forwarded-Proto", "https"}, 200, true},
		{"localhost", []string{"X-Forwarded-Host", classroomHost + ", inner", "X-Forwarded-Proto", "https,http"}, 200, true},
		{"localhost", []string{"Forwarded", `for=192.0.2.1;host="` + classroomHost + `";proto=https`}, 200, true},
		{"localhost", []string{"X-Forwarded-Proto", "https"}, 200, false},
		{"localhost", []string{"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https"}, 200, false},
		{"localhost", []string{"Forwarded", "host=evil.example;proto=https"}, 200, false},
		{"evil.example", nil, 421, false},
		{"evil.example", []string{"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https"}, 421, false},
		{"evil.example", []string{"X-Forwarded-Host", classroomHost, "X-Forwarded-Proto", "https"}, 421, false}, // a page can send these
		{"evil.example:8080", []string{"Forwarded", "host=" + classroomHost}, 421, false},
		{"web:8080", []string{"X-Forwarded-Host", classroomHost, "X-Forwarded-Proto", "https"}, 200, true}, // a container's name
		{"[::1]:8080", []string{"X-Forwarded-Host", classroomHost}, 200, false},
		{"10.0.0.7", []string{"X-Forwarded-Host", classroomHost + ":1; script-src *"}, 421, false},
		{"x." + classroomHost, nil, 421, false},
		{"other.example", nil, 421, false},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", p.Base+"/session/login", strings.NewReader(`{"username":"alice","password":"wonderland"}`))
		require.NoError(t, err)
		r.Host = test.host
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(test.headers); i += 2 {
			r.Header.Set(test.headers[i], test.headers[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, test.status, resp.StatusCode, "%+v", test)
		require.Equal(t, test.secure, strings.HasPrefix(resp.Header.Get("Set-Cookie"), "__Host-"), "%+v", test)
	}
}
