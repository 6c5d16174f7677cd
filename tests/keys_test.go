package tests

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	cryptorand "crypto/rand"

	"statelab/api"
	"statelab/state"
	"statelab/state/keys"
)

// rotate changes the keys of a server as the command does with its file.
func (s *server) rotate(t *testing.T, dropPrevious bool) {
	t.Helper()
	next, err := keys.Generate(cryptorand.Reader, s.clock.Now())
	require.NoError(t, err)
	all := next.All()
	if !dropPrevious {
		all = append(all, s.config.Keys.All()...)
	}
	s.config.Keys.Replace(all...)
}

// keyIDs are the ids that the server publishes, in order.
func (s *server) keyIDs(t testing.TB) []string {
	t.Helper()
	var ids []string
	set, _ := s.client(t, "").do("GET", "/.well-known/jwks.json", nil).is(http.StatusOK).at("keys").([]any)
	for _, k := range set {
		id, _ := k.(map[string]any)["kid"].(string)
		ids = append(ids, id)
	}
	return ids
}

// What clients hold outlives a rotation and ends with the keys that made it.
// What the server holds has nothing to do with keys.
func TestARotationEndsNothingUntilTheKeysAreDropped(t *testing.T) {
	for _, alg := range []string{"EdDSA", "HS256"} {
		each(t, func(t *testing.T, slug string) {
			s := newServer(t, func(c *api.Config) { c.TokenAlg = alg })
			old := s.login(t, slug, alice, alicePassword)
			s.rotate(t, false)
			profile := old.profile()
			fresh := s.login(t, slug, alice, alicePassword)
			renewed := old.copy()
			renewed.patch(object{"theme": "dark"}).is(http.StatusOK)
			s.rotate(t, false)
			for _, c := range []*client{fresh, renewed} {
				c.get("profile").is(http.StatusOK)
			}
			if !s.traits(t, slug).NeedsSharedKey {
				s.rotate(t, true)
				fresh.get("profile").is(http.StatusOK)
				return
			}
			require.Equal(t, profile, old.profile())
			s.rotate(t, true)
			for _, c := range []*client{old, fresh, renewed} {
				c.get("profile").is(http.StatusUnauthorized, "bad_signature")
			}
			if fresh.renews() != "" {
				fresh.renewed() // a refresh token is a ticket to a record of the server's
				fresh.get("profile").is(http.StatusOK)
			}
		})
	}
}

func TestTheKeySetFollowsTheRing(t *testing.T) {
	s := newServer(t)
	ids := func() []string {
		var all []string
		for _, k := range s.config.Keys.Verifying(keys.TokenEdDSA) {
			all = append(all, k.ID)
		}
		return all
	}
	first := s.keyIDs(t)
	require.Len(t, first, 1)
	s.rotate(t, false)
	require.Equal(t, ids(), s.keyIDs(t), "the one that signs comes first")
	require.Contains(t, s.keyIDs(t), first[0])
	s.rotate(t, true)
	require.Equal(t, ids(), s.keyIDs(t))
	require.NotContains(t, s.keyIDs(t), first[0], "what was dropped is gone")

	hs := newServer(t, func(c *api.Config) { c.TokenAlg = "HS256" })
	hs.rotate(t, false)
	require.Empty(t, hs.keyIDs(t), "a secret is not published")
}

// publicOnly is a second node of a server's service, which was given its public
// keys alone.
func (s *server) publicOnly(t *testing.T) *server {
	t.Helper()
	var text bytes.Buffer
	require.NoError(t, s.config.Keys.WritePublic(&text))
	path := filepath.Join(t.TempDir(), "public.keys.json")
	require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
	config := s.config
	var err error
	config.Keys, err = keys.LoadService(path)
	require.NoError(t, err)
	return startServer(t, config, s.clock)
}

// A node with public keys verifies tokens. What it cannot do it leaves to
// others: it refuses nobody, takes nothing away and uses nothing up.
func TestANodeWithPublicKeysOnly(t *testing.T) {
	s := newServer(t)
	s.rotate(t, false)
	node := s.publicOnly(t)
	require.Equal(t, s.keyIDs(t), node.keyIDs(t))
	each(t, func(t *testing.T, slug string) {
		c := s.login(t, slug, alice, alicePassword)
		if s.traits(t, slug).KeptIn == state.PlaceProcess {
			return // another node knows nobody
		}
		profile, records := c.profile(), s.records(t)
		there := c.copy()
		there.s = node
		if !s.traits(t, slug).NeedsSharedKey {
			require.Equal(t, profile, there.profile())
			there.patch(object{"theme": "dark"}).is(http.StatusOK)
			there.renewed()
			return
		}
		node.client(t, slug).post("login", credentials{alice, alicePassword}).unavailable("signing_unavailable")
		there.patch(object{"theme": "dark"}).unavailable("signing_unavailable")
		there.post("spend", object{"amount": 1}).unavailable("signing_unavailable")
		there.renew().unavailable("signing_unavailable")
		if c.renews() != "" {
			require.Equal(t, profile, there.profile())
			there.edit()
			there.get("profile").is(http.StatusUnauthorized, "bad_signature")
		} else {
			for _, route := range []string{"profile", "inspect", "members"} {
				there.get(route).unavailable("signing_unavailable")
			}
			there.post("logout", nil).unavailable("signing_unavailable")
			there.edit()
			there.get("profile").unavailable("signing_unavailable") // good or bad, it cannot tell
		}
		require.Equal(t, records, s.records(t))
		require.Equal(t, profile, c.profile())
		s.clock.advance(time.Minute) // beyond the overlap, within which a used refresh token would still do
		c.renewed()
	})
}

// Where the algorithm takes a secret, public keys verify nothing.
func TestPublicKeysAreNothingToHS256(t *testing.T) {
	s := newServer(t, func(c *api.Config) { c.TokenAlg = "HS256" })
	c := s.login(t, "token", alice, alicePassword)
	c.s = s.publicOnly(t)
	c.get("profile").unavailable("signing_unavailable")
	c.renew().unavailable("signing_unavailable")
	c.s = s
	c.renewed()
}

// A node that has not heard of a rotation yet looks at its file before it
// refuses what another node has made.
func TestNodesThatLearnOfARotationOneByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	ring, err := keys.Init(path, cryptorand.Reader, time.Now())
	require.NoError(t, err)
	s := newServer(t, func(c *api.Config) { c.Keys = ring })
	config := s.config
	each(t, func(t *testing.T, slug string) {
		if s.traits(t, slug).KeptIn == state.PlaceProcess {
			return // it is of one node
		}
		config.Keys, err = keys.Load(path)
		require.NoError(t, err)
		slow := startServer(t, config, s.clock)
		keys.NewWatch(config.Keys, path, keys.Load, s.clock.Now, slog.New(slog.DiscardHandler))
		ring, err := keys.Rotate(path, cryptorand.Reader, s.clock.Now(), true)
		require.NoError(t, err)
		s.config.Keys.Replace(ring.All()...)
		c := s.login(t, slug, alice, alicePassword)
		c.s = slow
		c.get("profile").is(http.StatusOK)
	})
}

// keysCommand runs a command of the program on the key file of a process.
func (p *process) keysCommand(args ...string) {
	p.t.Helper()
	out, err := command(p.t, p.cmd.Dir, nil, append([]string{"keys"}, args...)...).CombinedOutput()
	require.NoError(p.t, err, "%s", out)
}

// rotates has the running program learn of a rotation by SIGHUP, and waits until
// it has.
func (p *process) rotates(args ...string) {
	p.t.Helper()
	s := &server{url: p.base}
	before := s.keyIDs(p.t)[0]
	p.keysCommand(append([]string{"rotate", "--keys", "statelab-classroom.keys.json"}, args...)...)
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGHUP))
	require.Eventually(p.t, func() bool { return s.keyIDs(p.t)[0] != before }, 5*time.Second, 20*time.Millisecond)
}

// Clients of all strategies read, change and renew while keys are replaced, at
// about 200 requests a second. Nobody notices.
func TestNobodyNoticesARotation(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), []string{"STATELAB_LOG_LEVEL=warn"}, "--listen", "localhost:0")
	const rate, lasting, rotations = 200, 4 * time.Second, 4
	requests := make(chan struct{})
	var clients []*client
	var wg sync.WaitGroup
	var sent, refused atomic.Int64
	for _, slug := range strategies {
		for range 4 {
			c := p.client(slug)
			c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
			clients = append(clients, c)
			wg.Go(func() {
				for i := 0; ; i++ {
					if _, ok := <-requests; !ok {
						return
					}
					var a *answer
					switch i % 4 {
					case 1:
						a = c.patch(object{"nickname": "Alice"})
					case 3:
						if a = c.renew(); !promises()[slug].RenewsID {
							a = c.get("profile")
						}
					default:
						a = c.get("profile")
					}
					sent.Add(1)
					if a.status != http.StatusOK {
						refused.Add(1)
						t.Errorf("%s: %s", slug, a.body)
					}
				}
			})
		}
	}
	begun := time.Now()
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer close(requests)
		ticker := time.NewTicker(time.Second / rate)
		defer ticker.Stop()
		for time.Since(begun) < lasting {
			<-ticker.C
			requests <- struct{}{}
		}
	}()
	for i := range rotations {
		require.Eventually(t, func() bool { return time.Since(begun) > time.Duration(i)*lasting/rotations }, 2*lasting, 10*time.Millisecond)
		p.rotates()
	}
	<-over
	wg.Wait()
	t.Logf("%d requests in %.1f s, %d rotations, %d refused", sent.Load(), time.Since(begun).Seconds(), rotations, refused.Load())
	require.Greater(t, sent.Load(), int64(len(clients)), "each has been there")

	p.rotates("--drop-previous")
	for _, c := range clients {
		if c.s.traits(t, c.slug).NeedsSharedKey {
			c.get("profile").is(http.StatusUnauthorized, "bad_signature")
		} else {
			c.get("profile").is(http.StatusOK)
		}
	}
}

// A key file that is not good changes nothing but what /readyz says.
func TestADamagedKeyFileKeepsTheKeys(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0")
	c := p.client("cookie")
	c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	ready := func() *answer { return p.client("").do("GET", "/readyz", nil) }
	require.Equal(t, "ok", ready().is(http.StatusOK).text("checks.keys"))
	path := filepath.Join(p.cmd.Dir, "statelab-classroom.keys.json")
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, good[:100], 0o600))
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool { return ready().status == http.StatusServiceUnavailable }, 5*time.Second, 20*time.Millisecond)
	require.Contains(t, ready().text("detail"), "keys")
	require.NotContains(t, string(ready().body), "classroom.keys.json")
	c.get("profile").is(http.StatusOK)
	c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
	require.NoError(t, os.WriteFile(path, good, 0o600))
	// By itself, without a signal.
	require.Eventually(t, func() bool { return ready().status == http.StatusOK }, 20*time.Second, 100*time.Millisecond)
	c.get("profile").is(http.StatusOK)
}

// The commands do what they say to a file of their own.
func TestTheKeyCommands(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		out, err := command(t, dir, []string{"STATELAB_KEYS=mine.json"}, append([]string{"keys"}, args...)...).Output()
		require.NoError(t, err)
		return string(out)
	}
	created := run("init")
	require.Equal(t, created, run("list"))
	rotated := run("rotate")
	require.Equal(t, rotated, run("list"))
	require.NotEqual(t, created, rotated)
	ring, err := keys.LoadService(filepath.Join(dir, "mine.json"))
	require.NoError(t, err)
	for _, k := range ring.All() {
		require.Contains(t, rotated, k.ID)
	}
	var public bytes.Buffer
	require.NoError(t, ring.WritePublic(&public))
	require.Equal(t, public.String(), run("list", "--public"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "public.json"), public.Bytes(), 0o600))
	list := run("list", "--keys", "public.json")
	require.Contains(t, list, "verifies")
	require.NotContains(t, list, "signs")
}
