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

	"statelab/api"
	"statelab/state"
	"statelab/state/keys"
	"statelab/tests/harness"
	"statelab/tests/seeded"
)

// What clients hold outlives a rotation and ends with the keys that made it.
// What the server holds has nothing to do with keys.
func TestARotationEndsNothingUntilTheKeysAreDropped(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"EdDSA", "HS256"} {
		harness.Each(t, func(t *testing.T, slug string) {
			s := harness.NewServer(t, func(c *api.Config) { c.TokenAlg = alg })
			old := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			s.Rotate(t, false)
			profile := old.Profile()
			fresh := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			renewed := old.Copy()
			renewed.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
			s.Rotate(t, false)
			for _, c := range []*harness.Client{fresh, renewed} {
				c.Get("profile").Is(http.StatusOK)
			}
			if !s.Traits(t, slug).NeedsSharedKey {
				s.Rotate(t, true)
				fresh.Get("profile").Is(http.StatusOK)
				return
			}
			require.Equal(t, profile, old.Profile())
			s.Rotate(t, true)
			for _, c := range []*harness.Client{old, fresh, renewed} {
				c.Get("profile").Is(http.StatusUnauthorized, "bad_signature")
			}
			switch {
			case fresh.Refresh != "": // it opens a record of the server, which needs no key
				fresh.Renewed()
				fresh.Get("profile").Is(http.StatusOK)
			case fresh.Renews() != "": // the access cookie that it is bound to cannot be verified
				fresh.Renew().Is(http.StatusUnauthorized, "bad_signature")
			}
		})
	}
}

func TestTheKeySetFollowsTheRing(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	ids := func() []string {
		var all []string
		for _, k := range s.Config.Keys.Verifying(keys.TokenEdDSA) {
			all = append(all, k.ID)
		}
		return all
	}
	first := s.KeyIDs(t)
	require.Len(t, first, 1)
	s.Rotate(t, false)
	require.Equal(t, ids(), s.KeyIDs(t), "the one that signs comes first")
	require.Contains(t, s.KeyIDs(t), first[0])
	s.Rotate(t, true)
	require.Equal(t, ids(), s.KeyIDs(t))
	require.NotContains(t, s.KeyIDs(t), first[0], "what was dropped is gone")

	hs := harness.NewServer(t, func(c *api.Config) { c.TokenAlg = "HS256" })
	hs.Rotate(t, false)
	require.Empty(t, hs.KeyIDs(t), "a secret is not published")
}

// A node with public keys verifies tokens. What it cannot do it leaves to
// others: it refuses nobody, takes nothing away and uses nothing up.
func TestANodeWithPublicKeysOnly(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	s.Rotate(t, false)
	node := s.PublicOnly(t)
	require.Equal(t, s.KeyIDs(t), node.KeyIDs(t))
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		if s.Traits(t, slug).KeptIn == state.PlaceProcess {
			return // another node knows nobody
		}
		profile, records := c.Profile(), s.Records(t)
		there := c.Copy()
		there.Server = node
		if !s.Traits(t, slug).NeedsSharedKey {
			require.Equal(t, profile, there.Profile())
			there.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
			there.Renewed()
			return
		}
		node.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Unavailable("signing_unavailable")
		there.Patch(harness.Object{"theme": "dark"}).Unavailable("signing_unavailable")
		there.Post("spend", harness.Object{"amount": 1}).Unavailable("signing_unavailable")
		there.Renew().Unavailable("signing_unavailable")
		if c.Renews() != "" {
			require.Equal(t, profile, there.Profile())
			there.Edit()
			there.Get("profile").Is(http.StatusUnauthorized, "bad_signature")
		} else {
			for _, route := range []string{"profile", "inspect", "members"} {
				there.Get(route).Unavailable("signing_unavailable")
			}
			there.Post("logout", nil).Unavailable("signing_unavailable")
			there.Edit()
			there.Get("profile").Unavailable("signing_unavailable") // good or bad, it cannot tell
		}
		require.Equal(t, records, s.Records(t))
		require.Equal(t, profile, c.Profile())
		s.Clock.Advance(time.Minute) // beyond the overlap, within which a used refresh token would still do
		c.Renewed()
	})
}

// Where the algorithm takes a secret, public keys verify nothing.
func TestPublicKeysAreNothingToHS256(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, func(c *api.Config) { c.TokenAlg = "HS256" })
	c := s.Login(t, "token", harness.Alice, harness.AlicePassword)
	c.Server = s.PublicOnly(t)
	c.Get("profile").Unavailable("signing_unavailable")
	c.Renew().Unavailable("signing_unavailable")
	c.Server = s
	c.Renewed()
}

// A node that has not heard of a rotation yet looks at its file before it
// refuses what another node has made.
func TestNodesThatLearnOfARotationOneByOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	ring, err := keys.Init(path, seeded.Reader(t), time.Now())
	require.NoError(t, err)
	s := harness.NewServer(t, func(c *api.Config) { c.Keys = ring })
	config := s.Config
	harness.Each(t, func(t *testing.T, slug string) {
		if s.Traits(t, slug).KeptIn == state.PlaceProcess {
			return // it is of one node
		}
		config.Keys, err = keys.Load(path)
		require.NoError(t, err)
		slow := harness.StartServer(t, config, s.Clock)
		keys.NewWatch(config.Keys, path, keys.Load, s.Clock.Now, slog.New(slog.DiscardHandler))
		ring, err := keys.Rotate(path, seeded.Reader(t), s.Clock.Now(), true)
		require.NoError(t, err)
		s.Config.Keys.Replace(ring.All()...)
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		c.Server = slow
		c.Get("profile").Is(http.StatusOK)
	})
}

// Clients of all strategies read, change and renew while keys are replaced. No request
// of theirs is refused.
func TestNobodyNoticesARotation(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), []string{"STATELAB_LOG_LEVEL=warn"}, "--listen", "localhost:0")
	const perClient, rotations = 20, 4
	var clients []*harness.Client
	for _, slug := range harness.Strategies {
		for range 4 {
			c := p.Client(slug)
			c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
			clients = append(clients, c)
		}
	}
	var wg sync.WaitGroup
	var sent, refused atomic.Int64
	total := int64(perClient * len(clients))
	for _, c := range clients {
		wg.Go(func() {
			for i := range perClient {
				var a *harness.Answer
				switch i % 4 {
				case 1:
					a = c.Patch(harness.Object{"nickname": "Alice"})
				case 3:
					if a = c.Renew(); !harness.Promises()[c.Slug].RenewsID {
						a = c.Get("profile")
					}
				default:
					a = c.Get("profile")
				}
				sent.Add(1)
				if a.Status != http.StatusOK {
					refused.Add(1)
					t.Errorf("%s: %s", c.Slug, a.Body)
				}
			}
		})
	}
	for i := range int64(rotations) { // spread over the requests
		require.Eventually(t, func() bool { return sent.Load() >= i*total/rotations }, time.Minute, time.Millisecond)
		p.Rotates()
	}
	wg.Wait()
	t.Logf("%d requests, %d rotations, %d refused", sent.Load(), rotations, refused.Load())

	p.Rotates("--drop-previous")
	for _, c := range clients {
		if c.Server.Traits(t, c.Slug).NeedsSharedKey {
			c.Get("profile").Is(http.StatusUnauthorized, "bad_signature")
		} else {
			c.Get("profile").Is(http.StatusOK)
		}
	}
}

// A key file that is not good changes nothing but what /readyz says.
func TestADamagedKeyFileKeepsTheKeys(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0")
	c := p.Client("cookie")
	c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	ready := func() *harness.Answer { return p.Client("").Do("GET", "/readyz", nil) }
	require.Equal(t, "ok", ready().Is(http.StatusOK).Text("checks.keys"))
	path := filepath.Join(p.Cmd.Dir, "statelab-classroom.keys.json")
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, good[:100], 0o600))
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool { return ready().Status == http.StatusServiceUnavailable }, time.Minute, 20*time.Millisecond)
	require.Contains(t, ready().Text("detail"), "keys")
	require.NotContains(t, string(ready().Body), "classroom.keys.json")
	c.Get("profile").Is(http.StatusOK)
	c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	require.NoError(t, os.WriteFile(path, good, 0o600))
	// By itself, without a signal.
	require.Eventually(t, func() bool { return ready().Status == http.StatusOK }, time.Minute, 100*time.Millisecond)
	c.Get("profile").Is(http.StatusOK)
}

// The commands do what they say to a file of their own.
func TestTheKeyCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		out, err := harness.Command(t, dir, []string{"STATELAB_KEYS=mine.json"}, append([]string{"keys"}, args...)...).Output()
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
