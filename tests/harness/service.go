package harness

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/auth"
)

// An account that is no demo account, with its password.
const (
	Carol         = "carol"
	CarolPassword = "down the rabbit hole"
)

// Fails has sign-ins fail until the throttle is due for an address, each for
// another account, each with what next changes in the request.
func (s *Server) Fails(t *testing.T, next func(i int) func(*http.Request)) {
	t.Helper()
	for i := range auth.MaxPerAddress {
		c := s.Client(t, "session")
		c.Send = next(i)
		c.Post("login", Credentials(fmt.Sprint("nobody", i), Wrong)).Is(http.StatusUnauthorized, "bad_login")
	}
}

// ServiceKeys puts the key file of a service into dir.
func ServiceKeys(t *testing.T, dir string) {
	t.Helper()
	out, err := Command(t, dir, nil, "keys", "init").CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// Certificate puts a certificate for a host that vouches for itself, with this
// number, into cert.pem and its key into key.pem, at a moment that nobody can
// take for another one.
func Certificate(t *testing.T, dir string, number int64, host string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(cryptorand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{"key.pem": {Type: "PRIVATE KEY", Bytes: secret}, "cert.pem": {Type: "CERTIFICATE", Bytes: der}} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
		stamp := time.Now().Add(time.Duration(number) * time.Second)
		require.NoError(t, os.Chtimes(path, stamp, stamp))
	}
}

// Wrong is nobody's password.
const Wrong = "a password that nobody has"

// SignInFrom signs in from another address of this machine.
func (c *Client) SignInFrom(address, username, password string) *Answer {
	c.T.Helper()
	text, err := json.Marshal(Credentials(username, password))
	require.NoError(c.T, err)
	r, err := http.NewRequestWithContext(c.T.Context(), "POST", c.Server.URL+"/"+c.Slug+"/login", strings.NewReader(string(text)))
	require.NoError(c.T, err)
	r.Header.Set("Content-Type", "application/json")
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	resp, err := (&http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext}).RoundTrip(r)
	NeedSystem(c.T, !errors.Is(err, syscall.EADDRNOTAVAIL), "no address "+address+" of this machine")
	require.NoError(c.T, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.T, err)
	a := &Answer{T: c.T, Status: resp.StatusCode, Header: resp.Header, Body: body, Cookies: resp.Cookies()}
	require.NoError(c.T, json.Unmarshal(body, &a.JSON))
	a.check(r)
	c.keep(a)
	return a
}

// Throttled requires an answer to ask for exactly so much patience.
func (a *Answer) Throttled(wait time.Duration) {
	a.T.Helper()
	a.Is(http.StatusTooManyRequests, "too_many_attempts")
	require.Equal(a.T, fmt.Sprint(int(wait.Seconds())), a.Header.Get("Retry-After"))
	require.Empty(a.T, a.Cookies)
}
