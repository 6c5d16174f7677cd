package tests

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/state/store"
)

// Promises about a dependency that fails, kept against real servers: no answer
// takes longer than prompt, and all is well again within recovery.
const (
	prompt   = 2 * time.Second
	recovery = 5 * time.Second
)

// running runs statelab with its logins in the store at the address, and its
// accounts in the database at another, by the real clock.
func running(t *testing.T, database, logins string) *server {
	t.Helper()
	return newServer(t, func(c *api.Config) {
		require.NoError(t, c.Store.Close())
		c.Now = nil
		db, err := store.OpenDatabase(t.Context(), database, api.Migrations()...)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		c.Database = db.DB
		c.DatabaseStore = store.Guarded(newSQL(t, db, nil))
		c.Store, err = store.Open(logins, c.DatabaseStore, store.Options{})
		require.NoError(t, err)
	})
}

// A fault is what is the matter with the store, as far as clients can tell.
type fault struct {
	place    state.Place // what it concerns; "" for all that the server keeps
	readable bool        // what is kept can be read still, and only writing fails
	unready  string      // the part that /readyz names; "" where it goes on saying ready
	database bool        // the accounts are out of reach too
}

// The faults that most outages are.
var (
	storeAway       = fault{place: state.PlaceStore, unready: "store"}
	unwritableStore = fault{place: state.PlaceStore, readable: true}
	databaseAway    = fault{unready: "database", database: true}
	unwritable      = fault{readable: true}
)

// hits says what of a strategy a fault ends: reading a login, and making,
// changing, renewing or ending one.
func (f fault) hits(traits state.Traits) (reading, writing bool) {
	hit := traits.KeptIn != "" && (f.place == "" || f.place == traits.KeptIn)
	return hit && asks(traits) && !f.readable, hit
}

// An outage is a server and its clients, who live through a fault of its store.
// Its methods hold the server to everything that is promised; what they measure
// is the test's row of the table in state/store/README.md.
type outage struct {
	*server
	t       *testing.T
	clients map[string]*client // those who stay
	leavers map[string]*client // those who try to log out meanwhile
	left    []string           // and have

	mu      sync.Mutex
	slowest time.Duration // of the answers
	back    time.Duration // until all is well again, at the longest
}

// newOutage returns one without clients yet.
func newOutage(t *testing.T, s *server) *outage {
	o := &outage{server: s, t: t}
	t.Cleanup(o.publish)
	return o
}

// outageOf logs people in, to live through what comes.
func outageOf(t *testing.T, s *server) *outage {
	t.Helper()
	o := newOutage(t, s)
	o.clients, o.leavers = s.loginAll(t), s.loginAll(t)
	return o
}

func (s *server) loginAll(t *testing.T) map[string]*client {
	t.Helper()
	clients := map[string]*client{}
	for _, slug := range shared {
		clients[slug] = s.login(t, slug, alice, alicePassword)
	}
	return clients
}

// promptly answers a request and requires that it took no longer than that.
func (o *outage) promptly(f func() *answer) *answer {
	o.t.Helper()
	a := f()
	require.Less(o.t, a.took, prompt)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.slowest = max(o.slowest, a.took)
	return a
}

// refuses requires that a request is answered as an outage: promptly, blaming
// nobody, giving nothing and taking nothing away.
func (o *outage) refuses(f func() *answer) *answer {
	o.t.Helper()
	a := o.promptly(f)
	a.unavailable("store_unavailable")
	for _, secret := range []string{"127.0.0.1", "sesame", "statelab@"} {
		require.NotContains(o.t, string(a.body), secret)
	}
	return a
}

// fails requires what holds during a fault: errors that say so, nothing lost at
// the client, and everybody else served.
func (o *outage) fails(f fault) {
	o.t.Helper()
	o.others()
	for slug, c := range o.clients {
		reading, writing := f.hits(o.traits(o.t, slug))
		before := c.copy()
		profile := func() *answer { return c.get("profile") }
		login := func() *answer { return o.client(o.t, slug).post("login", credentials{alice, alicePassword}) }
		if reading {
			o.refuses(profile)
		} else {
			o.promptly(profile).is(http.StatusOK)
		}
		patch := func() *answer { return c.copy().patch(object{"theme": "dark"}) }
		if writing {
			o.refuses(patch)
			o.refuses(c.renew)
			o.leaves(o.leavers[slug], f)
		} else {
			o.promptly(patch).is(http.StatusOK)
		}
		if writing || f.database {
			o.refuses(login)
		} else {
			o.promptly(login).is(http.StatusOK)
		}
		require.Equal(o.t, before, c, "it holds something else now")
	}
	ready := func() *answer { return o.client(o.t, "").do("GET", "/readyz", nil) }
	if f.unready == "" {
		o.promptly(ready).is(http.StatusOK)
	} else {
		require.Contains(o.t, o.refuses(ready).text("detail"), f.unready)
	}
	o.promptly(func() *answer { return o.client(o.t, "").do("GET", "/healthz", nil) }).is(http.StatusOK)
}

// leaves tries to log out. That is refused; or it is done, where the store can
// still delete, and then the login is dead.
func (o *outage) leaves(c *client, f fault) {
	o.t.Helper()
	thief := c.copy()
	logout := func() *answer { return c.post("logout", nil) }
	if !f.readable {
		o.refuses(logout)
		return
	}
	if a := o.promptly(logout); a.status == http.StatusNoContent {
		o.left = append(o.left, c.slug)
		require.Equal(o.t, http.StatusUnauthorized, thief.renew().status, "it is logged out and renews its login")
	} else {
		a.unavailable("store_unavailable")
	}
}

// others requires that whoever needs no store is served as always, also while
// many wait for it: a hundred requests ask no store, and take the server less
// than a second.
func (o *outage) others() {
	o.t.Helper()
	var crowd sync.WaitGroup
	var free []*client
	for slug, c := range o.clients {
		if reading, _ := (fault{}).hits(o.traits(o.t, slug)); !reading {
			free = append(free, c)
			continue
		}
		for range 8 { // who wait, if there is something to wait for
			crowd.Go(func() { o.promptly(func() *answer { return c.copy().get("profile") }) })
		}
	}
	var took time.Duration
	for i := range 100 * min(len(free), 1) {
		a := free[i%len(free)].get("profile").is(http.StatusOK)
		timing := a.header.Get("Server-Timing")
		require.Contains(o.t, timing, "store;dur=0.000")
		for _, part := range regexp.MustCompile(`dur=([0-9.]+)`).FindAllStringSubmatch(timing, -1) {
			d, err := time.ParseDuration(part[1] + "ms")
			require.NoError(o.t, err)
			took += d
		}
	}
	require.Less(o.t, took, time.Second)
	crowd.Wait()
}

// recovers waits until the server is ready and somebody can log in and write.
func (o *outage) recovers() {
	o.t.Helper()
	o.soon(func() bool {
		if o.client(o.t, "").do("GET", "/readyz", nil).status != http.StatusOK {
			return false
		}
		c := o.client(o.t, strategies[0])
		return c.post("login", credentials{alice, alicePassword}).status == http.StatusOK && c.patch(object{"theme": "dark"}).status == http.StatusOK
	})
}

// soon waits until it is well again, within what is promised.
func (o *outage) soon(well func() bool) {
	o.t.Helper()
	start := time.Now()
	for !well() {
		require.Less(o.t, time.Since(start), recovery)
		<-time.After(10 * time.Millisecond)
	}
	o.back = max(o.back, time.Since(start))
}

// keeps requires that nobody was logged out, and that all is as before.
func (o *outage) keeps() {
	o.t.Helper()
	for slug, c := range o.clients {
		c.get("profile").is(http.StatusOK)
		c.renewed()
		c.patch(object{"nickname": "Alice"}).is(http.StatusOK)
		if leaver := o.leavers[slug]; !slices.Contains(o.left, slug) {
			leaver.get("profile").is(http.StatusOK)
			leaver.post("logout", nil).is(http.StatusNoContent)
		}
	}
}

// writers are people who change their profiles until the returned function
// stops them. It requires that what was acknowledged last is there, or what was
// tried after that and came through all the same.
func (o *outage) writers() (stop func()) {
	o.t.Helper()
	type writer struct {
		*client
		acknowledged, tried int
	}
	var all []*writer
	done := make(chan struct{})
	var running sync.WaitGroup
	for range 2 {
		w := &writer{client: o.login(o.t, strategies[0], alice, alicePassword)}
		all = append(all, w)
		write := func() {
			w.tried++
			if a := w.patch(object{"note": fmt.Sprint(w.tried)}); a.status == http.StatusOK {
				w.acknowledged = w.tried
			} else {
				a.unavailable("store_unavailable")
			}
		}
		write()
		running.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(50 * time.Millisecond):
					write()
				}
			}
		})
	}
	return func() {
		o.t.Helper()
		close(done)
		running.Wait()
		for _, w := range all {
			var note int
			_, err := fmt.Sscan(w.get("profile").is(http.StatusOK).text("state.note"), &note)
			require.NoError(o.t, err)
			require.Positive(o.t, w.acknowledged)
			require.GreaterOrEqual(o.t, note, w.acknowledged, "an acknowledged change is lost")
			require.LessOrEqual(o.t, note, w.tried)
		}
	}
}

// observed has what each test has measured: the longest in all of its parts.
var observed = struct {
	sync.Mutex
	longest map[string][2]time.Duration
}{longest: map[string][2]time.Duration{}}

const faultTable = "../state/store/README.md"

// publish says what was measured. With STATELAB_UPDATE=faults it is written into
// the test's row of the table.
func (o *outage) publish() {
	observed.Lock() // and with it the table
	defer observed.Unlock()
	name, _, _ := strings.Cut(o.t.Name(), "/")
	longest := observed.longest[name]
	longest = [2]time.Duration{max(longest[0], o.slowest), max(longest[1], o.back)}
	observed.longest[name] = longest
	cells := fmt.Sprintf(" %.2f s | %.2f s ", longest[0].Seconds(), longest[1].Seconds())
	o.t.Logf("slowest answer, well again after:%s", cells)
	if os.Getenv("STATELAB_UPDATE") != "faults" || o.t.Failed() {
		return
	}
	text, err := os.ReadFile(faultTable)
	require.NoError(o.t, err)
	row := regexp.MustCompile(`(?m)^(\|.*\|)[^|]*\|[^|]*(\|[^|]*\| ` + "`" + name + "`" + ` \|)$`)
	require.Regexp(o.t, row, string(text))
	require.NoError(o.t, os.WriteFile(faultTable, row.ReplaceAll(text, []byte("${1}"+cells+"${2}")), 0o600))
}

// The table has a row for each test of an outage, and each of its rows names a
// test that there is.
func TestEveryFaultHasItsRow(t *testing.T) {
	text, err := os.ReadFile(faultTable)
	require.NoError(t, err)
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\|.*\\| `(Test\\w+)` \\|$").FindAllStringSubmatch(string(text), -1) {
		require.False(t, rows[row[1]], "%s has two rows", row[1])
		rows[row[1]] = true
	}
	tests, outages := map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, f := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(source), -1) {
			tests[f[1]] = true
			if strings.HasPrefix(file, "outage_") && file != "outage_test.go" {
				outages[f[1]] = true
			}
		}
	}
	for name := range maps.Keys(rows) {
		require.True(t, tests[name], "the table names %s, which is no test", name)
	}
	for name := range maps.Keys(outages) {
		require.True(t, rows[name], "%s has no row", name)
	}
}
