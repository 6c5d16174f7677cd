package fault

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/auth"
	"statelab/state"
	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// Nodes are several statelabs that are one service: they share a database, a
// store and a key file. As a load balancer they hand requests to each in turn.
type nodes struct {
	harness.Server // where the load balancer serves
	all            []*harness.Process
	out            []atomic.Bool // who gets no requests for now
	turn           atomic.Int64
	writes         sync.RWMutex // held by each request that may not be repeated
}

// startNodes starts so many nodes at the same moment, over an empty database,
// an empty store and no key file.
func startNodes(t *testing.T, count int) *nodes {
	t.Helper()
	dir, database, logins := t.TempDir(), storetest.Database(t)+storetest.Patient, storetest.Redis(t).Address
	n := &nodes{out: make([]atomic.Bool, count)}
	for range count {
		n.all = append(n.all, harness.Launch(t, harness.Command(t, dir, noticed(t), "--listen", fmt.Sprint("localhost:", storetest.FreePort(t)), "--log-level", "warn",
			"--database", database, "--store", logins, "--keys", filepath.Join(dir, "keys.json"))))
	}
	for _, p := range n.all {
		p.Serves()
	}
	// Rewrite and not Director: that one adds X-Forwarded-For, which the
	// classroom refuses.
	balancer := httptest.NewServer(&httputil.ReverseProxy{Transport: n, Rewrite: func(r *httputil.ProxyRequest) { r.Out.Host = "" }})
	t.Cleanup(balancer.Close)
	n.URL = balancer.URL
	return n
}

// noticed is the environment of a node that takes requests for a while after it has told
// /readyz that it stops: on a busy machine, some are on their way to it.
func noticed(t *testing.T) []string {
	t.Helper()
	times := harness.Brisk()
	times.DrainNotice = 3 * time.Second
	return []string{harness.Patience(t, times)}
}

// RoundTrip sends a request to the next node. When that is down it asks the one
// after it, unless the node may have begun to do what cannot be repeated.
func (n *nodes) RoundTrip(r *http.Request) (*http.Response, error) {
	repeatable := r.Method == http.MethodGet || r.Method == http.MethodHead
	if !repeatable {
		n.writes.RLock()
		defer n.writes.RUnlock()
	}
	body, err := io.ReadAll(cmp.Or[io.Reader](r.Body, http.NoBody))
	if err != nil {
		return nil, err
	}
	for range 2 * len(n.all) {
		i := int(n.turn.Add(1)) % len(n.all)
		if n.out[i].Load() {
			continue
		}
		node, err := url.Parse(n.all[i].Base)
		if err != nil {
			return nil, err
		}
		attempt := r.Clone(r.Context())
		attempt.URL.Scheme, attempt.URL.Host, attempt.Body = node.Scheme, node.Host, io.NopCloser(bytes.NewReader(body))
		resp, err := harness.Transport.RoundTrip(attempt)
		var dialing *net.OpError
		arrived := !errors.As(err, &dialing) || dialing.Op != "dial"
		if err == nil || arrived && !repeatable {
			return resp, err
		}
	}
	return nil, errors.New("no node answers")
}

// again starts a node that has ended, at the same address.
func (n *nodes) again(t *testing.T, i int) {
	t.Helper()
	p := n.all[i]
	next := harness.Launch(p.T, harness.Command(p.T, p.Cmd.Dir, noticed(p.T), p.Cmd.Args[1:]...))
	next.Serves()
	require.Equal(t, p.Base, next.Base)
	p.Cmd, p.Done, p.Log = next.Cmd, next.Done, next.Log
	n.out[i].Store(false)
}

// restart restarts a node as one does for a new version. Whoever polls /readyz
// learns of it before connections are refused.
func (n *nodes) restart(t *testing.T, i int) {
	t.Helper()
	p := n.all[i]
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		resp, err := http.Get(p.Base + "/readyz")
		if err != nil {
			return true
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode == http.StatusServiceUnavailable
	}, harness.Recovery, 5*time.Millisecond)
	n.out[i].Store(true)
	require.Zero(t, p.Ends(), "%s", p.Log)
	n.again(t, i)
}

// kill ends a node in the middle of what it does, and starts it again. A write
// whose answer is lost has an outcome that nobody knows, so it waits until none
// is on its way.
func (n *nodes) kill(t *testing.T, i int) {
	t.Helper()
	n.writes.Lock()
	err := n.all[i].Cmd.Process.Kill()
	n.all[i].Ends()
	n.writes.Unlock()
	require.NoError(t, err)
	n.again(t, i)
}

// A member is a login that remembers what the service has acknowledged.
type member struct {
	*harness.Client
	username, id     string
	version, credits int64
	nickname         string
}

// agrees requires an answer to belong to this member, and to have lost
// nothing.
func (v *member) agrees(a *harness.Answer) {
	v.T.Helper()
	a.Is(http.StatusOK)
	require.Equal(v.T, []any{v.Slug, v.username, v.nickname, v.version, v.credits}, []any{
		a.Text("strategy"), a.Text("user.username"), a.Text("state.nickname"), a.Number("version"), a.Number("state.credits"),
	})
}

// asks makes the member's request of this round.
func (v *member) asks(round int) {
	v.T.Helper()
	switch round % 4 {
	case 0:
		v.agrees(v.Get("profile"))
	case 1:
		v.nickname, v.version = fmt.Sprintf("%s-%d", v.id, round), v.version+1
		v.agrees(v.Patch(harness.Object{"nickname": v.nickname}))
	case 2:
		v.credits, v.version = v.credits-1, v.version+1
		v.agrees(v.Post("spend", harness.Object{"amount": 1}))
	case 3:
		v.agrees(v.Renew())
	}
}

// It takes some ten seconds: 1,400 members log in, each asks several times, and four
// restarts pass meanwhile.
func TestThreeNodesAreOneService(t *testing.T) {
	t.Parallel()
	n := startNodes(t, 3)
	traits := map[string]state.Traits{}
	for _, slug := range harness.Instant {
		traits[slug] = n.Traits(t, slug)
	}

	t.Run("which has one set of keys and accounts, although they started at once", func(t *testing.T) {
		keys := n.all[0].Client("").Do("GET", "/.well-known/jwks.json", nil).Is(http.StatusOK).Body
		for _, p := range n.all {
			require.Equal(t, string(keys), string(p.Client("").Do("GET", "/.well-known/jwks.json", nil).Body))
			c := p.Client("session")
			c.Post("login", harness.Credentials(harness.Teacher, harness.TeacherPassword)).Is(http.StatusOK)
			require.Len(t, c.Get("members").At("members"), 3)
		}
	})

	t.Run("where a logout counts on every node", func(t *testing.T) {
		for _, slug := range harness.Instant {
			c := n.Login(t, slug, harness.Alice, harness.AlicePassword)
			copies := []*harness.Client{c.At(n.all[1]), c.At(n.all[2])}
			c.At(n.all[0]).Post("logout", nil).Is(http.StatusNoContent)
			for _, other := range copies {
				if traits[slug].Revocable {
					other.Get("profile").Is(http.StatusUnauthorized, "unknown_session")
				}
				if traits[slug].Listable {
					other.Renew().Is(http.StatusUnauthorized)
				}
			}
		}
	})

	t.Run("where a new password ends the other logins on every node", func(t *testing.T) {
		const first, second = "the first password", "the second password"
		for i, slug := range harness.Instant {
			username := "user-" + slug
			n.Client(t, slug).Do("POST", "/accounts", harness.Object{"username": username, "password": first}).Is(http.StatusCreated)
			others := map[string]*harness.Client{}
			for _, other := range harness.Instant {
				others[other] = n.Login(t, other, username, first)
			}
			c := n.Login(t, slug, username, first)
			c.Server = &harness.Server{URL: n.all[i%3].Base}
			c.Route("PUT", "password", harness.Object{"current_password": first, "new_password": second}).Is(http.StatusNoContent)
			for _, p := range n.all {
				c.At(p).Get("profile").Is(http.StatusOK)
				for other, o := range others {
					if traits[other].Revocable {
						o.At(p).Get("profile").Is(http.StatusUnauthorized)
					}
					if traits[other].Listable {
						o.At(p).Renew().Is(http.StatusUnauthorized)
					}
				}
			}
			n.Login(t, slug, username, second)
		}
	})

	t.Run("that loses no login when nodes are restarted and killed", func(t *testing.T) {
		n.underTraffic(t, traits, func() {
			for i := range n.all {
				n.restart(t, i)
			}
			n.kill(t, 1)
		})
	})

	t.Run("which counts failed sign-ins in one place", func(t *testing.T) {
		for i := range auth.MaxPerAccount {
			n.all[i%3].Client("session").Post("login", harness.Credentials(harness.Bob, harness.Wrong)).Is(http.StatusUnauthorized, "bad_login")
		}
		for _, p := range n.all {
			p.Client("session").Post("login", harness.Credentials(harness.Bob, harness.BobPassword)).Is(http.StatusTooManyRequests, "too_many_attempts")
		}
	})
}

// underTraffic logs 200 members in to each strategy, and does something to the
// nodes while they go on asking. Then all of them are still there, but for those
// who have logged out.
func (n *nodes) underTraffic(t *testing.T, traits map[string]state.Traits, something func()) {
	const logins, leaving = 200, 10 // every tenth leaves
	accounts := [][2]string{{harness.Alice, harness.AlicePassword}, {harness.Bob, harness.BobPassword}, {harness.Teacher, harness.TeacherPassword}}
	members := map[string][]*member{}
	var asking sync.WaitGroup
	for _, slug := range harness.Instant {
		all := make([]*member, logins)
		members[slug] = all
		asking.Go(func() {
			for i := range all {
				who := accounts[i%len(accounts)]
				all[i] = &member{Client: n.Login(t, slug, who[0], who[1]), username: who[0], id: fmt.Sprint(slug, i), version: 1, credits: state.DefaultCredits}
			}
		})
	}
	asking.Wait()
	if t.Failed() { // a login was refused
		t.FailNow()
	}

	var over atomic.Bool
	for _, slug := range harness.Instant {
		asking.Go(func() {
			for asked := 0; asked < logins || !over.Load(); asked++ {
				round, i := asked/logins, asked%logins
				switch v := members[slug][i]; {
				case i%leaving != 0:
					v.asks(round + i)
				case round == 0:
					v.leaves(traits[slug])
				}
			}
		})
	}
	func() {
		defer asking.Wait()
		defer over.Store(true)
		something()
	}()
	for _, slug := range harness.Instant {
		for i, v := range members[slug] {
			if i%leaving != 0 {
				v.agrees(v.Get("profile"))
			}
		}
	}
}

// leaves logs out. A copy of what the member held is then good for no more than
// the traits say.
func (v *member) leaves(traits state.Traits) {
	v.T.Helper()
	last := v.Copy()
	v.Post("logout", nil).Is(http.StatusNoContent)
	if traits.Revocable {
		last.Get("profile").Is(http.StatusUnauthorized, "unknown_session")
	}
	if traits.Listable {
		last.Renew().Is(http.StatusUnauthorized)
	}
}
