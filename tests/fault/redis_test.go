package fault

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

func TestAnEvictingRedisIsWarnedOfAtTheStart(t *testing.T) {
	t.Parallel()
	redis := storetest.Redis(t, "--maxmemory-policy", "allkeys-lru", "--user", "lab", "on", ">sesame", "~*", "&*", "+@all", "-config")
	address := strings.Replace(redis.Address, "://", "://lab:sesame@", 1)
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0", "--store", address)
	p.Client("session").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	log := p.Logged()
	require.Equal(t, 1, strings.Count(log, "level=WARN"), log)
	require.Contains(t, log, "allkeys-lru")
	require.NotContains(t, log, "sesame")

	redis.Kill()
	down := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0", "--store", address)
	require.NotContains(t, down.Logged(), "allkeys-lru")
	require.NotContains(t, harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0", "--store", storetest.Redis(t).Address).Logged(), "level=WARN")
}

// The address alone says user, password and TLS; whom to trust is the system's
// matter, as everywhere.
func TestARedisWithAUserAndTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.Certificate(t, dir, 1, "127.0.0.1")
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	port := storetest.FreePort(t)
	storetest.Redis(t, "--requirepass", "another", "--user", "lab", "on", ">sesame", "~statelab:*", "+@all",
		"--tls-port", strconv.Itoa(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
	trusting := []string{"SSL_CERT_FILE=" + cert}
	for _, c := range []struct {
		name, address string
		env           []string
		status        int
	}{
		{"as it should be", "rediss://lab:sesame@127.0.0.1:%d", trusting, http.StatusOK},
		{"the default user", "rediss://:another@127.0.0.1:%d", trusting, http.StatusOK},
		{"another password", "rediss://lab:another@127.0.0.1:%d", trusting, http.StatusServiceUnavailable},
		{"nobody", "rediss://127.0.0.1:%d", trusting, http.StatusServiceUnavailable},
		{"a certificate that nobody trusts", "rediss://lab:sesame@127.0.0.1:%d", nil, http.StatusServiceUnavailable},
		{"a certificate of another host", "rediss://lab:sesame@localhost:%d", trusting, http.StatusServiceUnavailable},
		{"without TLS", "redis://lab:sesame@127.0.0.1:%d", trusting, http.StatusServiceUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := harness.Start(t, t.TempDir(), c.env, "--listen", "localhost:0", "--store", fmt.Sprintf(c.address, port))
			p.Client("session").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(c.status)
			log := p.Logged()
			require.NotContains(t, log, "sesame")
			require.NotContains(t, log, "another")
		})
	}
}
