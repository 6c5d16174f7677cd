package fault

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// behindNginx puts an nginx in front of a server that keeps whatever it may, by
// address alone, as its proxy_cache does unless it is told more.
func behindNginx(t *testing.T, s *harness.Server, settings string) *harness.Server {
	t.Helper()
	path, err := exec.LookPath("nginx")
	storetest.Need(t, "nginx", err == nil, "install nginx")
	to, err := url.Parse(s.URL)
	require.NoError(t, err)
	dir, port := t.TempDir(), storetest.FreePort(t)
	config := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/log;
events {}
http {
  access_log off; gzip on; gzip_proxied any; gzip_types *; gzip_min_length 1;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  proxy_cache_path %[1]s/cache keys_zone=edge:1m;
  server {
    listen 127.0.0.1:%[2]d;
    %[4]s
    location / { proxy_pass http://%[3]s; proxy_cache edge; add_header X-Edge $upstream_cache_status always; }
  }
}`, dir, port, to.Host, settings), 0o600))
	cmd := exec.CommandContext(t.Context(), path, "-c", config, "-p", dir, "-e", filepath.Join(dir, "log"))
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	edge := s.At(fmt.Sprintf("http://127.0.0.1:%d", port))
	require.Eventually(t, func() bool {
		back, err := harness.Transport.RoundTrip(mustRequest(t, edge.URL+"/healthz"))
		if err == nil {
			_ = back.Body.Close()
		}
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	return edge
}

// documentedNginx are the settings that OPERATING.md asks for.
func documentedNginx(t *testing.T) string {
	t.Helper()
	block := regexp.MustCompile("(?s)```nginx\n(.*?)```").FindStringSubmatch(harness.Document(t, "api/OPERATING.md"))
	require.NotNil(t, block)
	return block[1]
}

// With nginx's own settings a large state is 502 and a change with If-Match 412, which
// is what the documented settings are for.
func TestTheDocumentedSettingsOfNginx(t *testing.T) {
	t.Parallel()
	cart := make([]string, 26)
	for i := range cart {
		cart[i] = fmt.Sprintf("%02d%s", i, strings.Repeat("x", 93))
	}
	edge := behindNginx(t, harness.NewServer(t), documentedNginx(t))
	for _, slug := range []string{"cookie", "token-cookie"} {
		c := edge.Login(t, slug, harness.Alice, harness.AlicePassword)
		c.Send = harness.Setting("Accept-Encoding: gzip")
		tag := c.Get("profile").Is(http.StatusOK).Header.Get("ETag")
		c.Send = harness.Setting("If-Match: " + tag)
		c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
		c.Send = nil
		c.Patch(harness.Object{"cart": cart}).Is(http.StatusOK)
		c.Renew().Is(http.StatusOK)
		c.Get("profile").Is(http.StatusOK)
	}
}

func mustRequest(t *testing.T, address string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	return r
}

// A cache of somebody else in front, which knows addresses and no people, keeps the
// catalogue and nothing of anybody: whoever comes in whatever order gets their own
// profile, and a catalogue that was asked for with a credential is nobody else's.
func TestACacheInFrontKeepsNothingOfAnybody(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	edge := behindNginx(t, s, documentedNginx(t))
	for _, slug := range harness.Shared {
		clients := map[string]*harness.Client{"alice": edge.Login(t, slug, harness.Alice, harness.AlicePassword), "bob": edge.Login(t, slug, harness.Bob, harness.BobPassword), "": edge.Client(t, slug)}
		for _, order := range [][]string{{"alice", "bob", ""}, {"", "alice", "bob"}, {"bob", "", "alice"}} {
			for _, who := range append(order, order...) {
				a := clients[who].Get("profile")
				require.Equal(t, who, a.Text("user.username"), slug)
				require.NotEqual(t, "HIT", a.Header.Get("X-Edge"))
			}
		}
	}
	for _, policy := range []string{"http", "memory"} {
		stranger, person := edge.Client(t, ""), edge.Client(t, "")
		person.Send = harness.Setting("Cookie: sid=alice")
		for range 2 {
			require.Equal(t, "no-store", person.Catalog(policy).Is(http.StatusOK).Header.Get("Cache-Control"))
		}
		first := stranger.Catalog(policy).Is(http.StatusOK)
		require.NotEqual(t, "HIT", first.Header.Get("X-Edge"), "it has kept what was asked for with a cookie")
		require.Contains(t, first.Header.Get("Cache-Control"), "public")
		again := stranger.Catalog(policy).Is(http.StatusOK)
		require.Equal(t, "HIT", again.Header.Get("X-Edge"), "it keeps what it may")
		require.Equal(t, first.Body, again.Body)
	}
	stranger := edge.Client(t, "")
	for range 2 {
		require.NotEqual(t, "HIT", stranger.Catalog("none").Is(http.StatusOK).Header.Get("X-Edge"))
	}
}
