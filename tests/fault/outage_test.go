package fault

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
	"statelab/state/store/memory"
	"statelab/state/store/redisstore"
	"statelab/state/store/sqlstore"
	"statelab/tests/harness"
)

// inRedis returns the store at an address of Redis, guarded as statelab does it.
func inRedis(t *testing.T, address string, o store.Options) state.Store {
	t.Helper()
	s, err := redisstore.New(address, o)
	require.NoError(t, err)
	return store.Guarded(s, o)
}

// running runs statelab with its accounts in the database at the address, and its logins
// there too ("database"), in "memory" or in the Redis at another address, by the real
// clock. Options have the last word.
func running(t *testing.T, database, logins string, options ...harness.Option) *harness.Server {
	t.Helper()
	return harness.NewServer(t, slices.Concat([]harness.Option{func(c *api.Config) {
		require.NoError(t, c.Store.Close())
		c.Now = nil
		harness.Impatient(c)
		db, err := sqlstore.OpenDatabase(t.Context(), database, api.Migrations()...)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		c.Database = db.DB
		c.DatabaseStore = store.Guarded(harness.NewSQL(t, db, nil), store.Options{})
		switch logins {
		case "database":
			c.Store = c.DatabaseStore
		case "memory":
			c.Store = memory.New(store.Options{})
		default:
			c.Store = inRedis(t, logins, store.Options{})
		}
	}}, options)...)
}

// patientWithAccounts has a server wait for accounts until it has them: where other
// statements hang, they hold the connections for a while that a sign-in needs, and new
// ones take a busy machine long. How long its answer took is judged all the same.
func patientWithAccounts(c *api.Config) { c.Patience, c.RequestPatience = time.Minute, time.Minute }

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
	return hit && harness.Asks(traits) && !f.readable, hit
}

// An outage is a server and its clients, who live through a fault of its store.
// Its methods hold the server to everything that is promised; what they measure
// is the test's row of the table in state/store/README.md.
type outage struct {
	*harness.Server
	t       *testing.T
	clients map[string]*harness.Client // those who stay
	leavers map[string]*harness.Client // those who try to log out meanwhile
	left    []string                   // and have

	mu      sync.Mutex
	slowest time.Duration // of the answers
	back    time.Duration // until all is well again, at the longest
}

// newOutage returns one without clients yet.
func newOutage(t *testing.T, s *harness.Server) *outage {
	o := &outage{Server: s, t: t}
	t.Cleanup(o.publish)
	return o
}

// outageOf logs people in, to live through what comes.
func outageOf(t *testing.T, s *harness.Server) *outage {
	t.Helper()
	o := newOutage(t, s)
	o.clients, o.leavers = o.loginAll(), o.loginAll()
	return o
}

// again asks as often as it is told of an outage, as clients do, within what is promised:
// the machine may be busy, and servers of these tests give a database up soon.
func (o *outage) again(ask func() *harness.Answer) *harness.Answer {
	o.t.Helper()
	watch := harness.StartWatch()
	for {
		a := ask()
		if a.Status != http.StatusServiceUnavailable || watch.Took() > harness.Recovery {
			return a
		}
		<-time.After(10 * time.Millisecond)
	}
}

// login returns a client that has logged in.
func (o *outage) login(slug, username, password string) *harness.Client {
	o.t.Helper()
	c := o.Client(o.t, slug)
	o.again(func() *harness.Answer { return c.Post("login", harness.Credentials(username, password)) }).Is(http.StatusOK)
	return c
}

// loginAll returns a client that has logged in, of each strategy that several nodes can
// serve.
func (o *outage) loginAll() map[string]*harness.Client {
	o.t.Helper()
	clients := map[string]*harness.Client{}
	for _, slug := range harness.Shared {
		clients[slug] = o.login(slug, harness.Alice, harness.AlicePassword)
	}
	return clients
}

// promptly answers a request and requires that it took no longer than that.
func (o *outage) promptly(f func() *harness.Answer) *harness.Answer {
	o.t.Helper()
	a := f()
	require.Less(o.t, a.Took, harness.Prompt)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.slowest = max(o.slowest, a.Took)
	return a
}

// refuses requires that a request is answered as an outage: promptly, blaming
// nobody, giving nothing and taking nothing away.
func (o *outage) refuses(f func() *harness.Answer) *harness.Answer {
	o.t.Helper()
	a := o.promptly(f)
	a.Unavailable("store_unavailable")
	for _, secret := range []string{"127.0.0.1", "sesame", "statelab@"} {
		require.NotContains(o.t, string(a.Body), secret)
	}
	return a
}

// fails requires what holds during a fault: errors that say so, nothing lost at
// the client, and everybody else served.
func (o *outage) fails(f fault) {
	o.t.Helper()
	o.others()
	var all sync.WaitGroup // each waits for the store in its own time
	for slug, c := range o.clients {
		all.Go(func() { o.failsFor(slug, c, f) })
	}
	all.Wait()
	for slug := range o.clients { // last: on a full disk, a logout makes room for another client
		if _, writing := f.hits(o.Traits(o.t, slug)); writing {
			all.Go(func() { o.leaves(o.leavers[slug], f) })
		}
	}
	all.Wait()
	ready := func() *harness.Answer { return o.Client(o.t, "").Do("GET", "/readyz", nil) }
	if f.unready == "" {
		o.promptly(ready).Is(http.StatusOK)
	} else {
		require.Contains(o.t, o.refuses(ready).Text("detail"), f.unready)
	}
	o.promptly(func() *harness.Answer { return o.Client(o.t, "").Do("GET", "/healthz", nil) }).Is(http.StatusOK)
}

// failsFor requires it of one strategy.
func (o *outage) failsFor(slug string, c *harness.Client, f fault) {
	o.t.Helper()
	reading, writing := f.hits(o.Traits(o.t, slug))
	before := c.Copy()
	profile := func() *harness.Answer { return c.Get("profile") }
	login := func() *harness.Answer {
		return o.Client(o.t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
	}
	if reading {
		o.refuses(profile)
	} else {
		o.promptly(profile).Is(http.StatusOK)
	}
	patch := func() *harness.Answer { return c.Copy().Patch(harness.Object{"theme": "dark"}) }
	if writing {
		o.refuses(patch)
		o.refuses(c.Renew)
	} else {
		o.promptly(patch).Is(http.StatusOK)
	}
	if writing || f.database {
		o.refuses(login)
	} else {
		o.promptly(login).Is(http.StatusOK)
	}
	require.Equal(o.t, before, c, "it holds something else now")
}

// leaves tries to log out. That is refused; or it is done, where the store can
// still delete, and then the login is dead.
func (o *outage) leaves(c *harness.Client, f fault) {
	o.t.Helper()
	thief := c.Copy()
	logout := func() *harness.Answer { return c.Post("logout", nil) }
	if !f.readable {
		o.refuses(logout)
		return
	}
	if a := o.promptly(logout); a.Status == http.StatusNoContent {
		o.mu.Lock()
		o.left = append(o.left, c.Slug)
		o.mu.Unlock()
		require.Equal(o.t, http.StatusUnauthorized, thief.Renew().Status, "it is logged out and renews its login")
	} else {
		a.Unavailable("store_unavailable")
	}
}

// others requires that those who need no store are served as always, also while many
// wait for it: a hundred requests ask no store, and the fastest one of each strategy
// takes the server less than 10 ms. If they waited for the store, all would be slow; on
// a busy machine, some are.
func (o *outage) others() {
	o.t.Helper()
	var crowd sync.WaitGroup
	var free []*harness.Client
	for slug, c := range o.clients {
		if reading, _ := (fault{}).hits(o.Traits(o.t, slug)); !reading {
			free = append(free, c)
			continue
		}
		for range 8 { // who wait, if there is something to wait for
			crowd.Go(func() { o.promptly(func() *harness.Answer { return c.Copy().Get("profile") }) })
		}
	}
	fastest := make([]time.Duration, len(free))
	for i := range 100 * min(len(free), 1) {
		of := i % len(free)
		a := free[of].Get("profile").Is(http.StatusOK)
		timing := a.Header.Get("Server-Timing")
		require.Contains(o.t, timing, `store;desc="0 reads, 0 writes";dur=0.000`)
		var took time.Duration
		for _, part := range regexp.MustCompile(`dur=([0-9.]+)`).FindAllStringSubmatch(timing, -1) {
			d, err := time.ParseDuration(part[1] + "ms")
			require.NoError(o.t, err)
			took += d
		}
		if i < len(free) || took < fastest[of] {
			fastest[of] = took
		}
	}
	for i, took := range fastest {
		require.Less(o.t, took, 10*time.Millisecond, free[i].Slug)
	}
	crowd.Wait()
}

// recovers waits until the server is ready and somebody can log in and write.
func (o *outage) recovers() {
	o.t.Helper()
	o.soon(func() bool {
		if o.Client(o.t, "").Do("GET", "/readyz", nil).Status != http.StatusOK {
			return false
		}
		c := o.Client(o.t, harness.Strategies[0])
		return c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Status == http.StatusOK && c.Patch(harness.Object{"theme": "dark"}).Status == http.StatusOK
	})
}

// soon waits until it is well again, within what is promised.
func (o *outage) soon(well func() bool) {
	o.t.Helper()
	watch := harness.StartWatch()
	for !well() {
		require.Less(o.t, watch.Took(), harness.Recovery)
		<-time.After(10 * time.Millisecond)
	}
	o.back = max(o.back, watch.Took())
}

// keeps requires that nobody was logged out, and that all is as before.
func (o *outage) keeps() {
	o.t.Helper()
	for slug, c := range o.clients {
		profile := func() *harness.Answer { return c.Get("profile") }
		o.again(profile).Is(http.StatusOK)
		if renewed := o.again(c.Renew); o.Traits(o.t, slug).RenewsID {
			renewed.Is(http.StatusOK)
		} else {
			renewed.Is(http.StatusNotImplemented, "not_supported_by_strategy")
		}
		o.again(profile).Is(http.StatusOK)
		o.again(func() *harness.Answer { return c.Patch(harness.Object{"nickname": "Alice"}) }).Is(http.StatusOK)
		if leaver := o.leavers[slug]; !slices.Contains(o.left, slug) {
			o.again(func() *harness.Answer { return leaver.Get("profile") }).Is(http.StatusOK)
			o.again(func() *harness.Answer { return leaver.Post("logout", nil) }).Is(http.StatusNoContent)
		}
	}
}

// writers are people who change their profiles until the returned function
// stops them. It requires that what was acknowledged last is there, or what was
// tried after that and came through all the same.
func (o *outage) writers() (stop func()) {
	o.t.Helper()
	type writer struct {
		*harness.Client
		acknowledged, tried int
	}
	var all []*writer
	done := make(chan struct{})
	var running sync.WaitGroup
	for range 2 {
		w := &writer{Client: o.login(harness.Strategies[0], harness.Alice, harness.AlicePassword)}
		all = append(all, w)
		write := func() {
			w.tried++
			if a := w.Patch(harness.Object{"note": fmt.Sprint(w.tried)}); a.Status == http.StatusOK {
				w.acknowledged = w.tried
			} else {
				a.Unavailable("store_unavailable")
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
			_, err := fmt.Sscan(o.again(func() *harness.Answer { return w.Get("profile") }).Is(http.StatusOK).Text("state.note"), &note)
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

var faultTable = harness.Root("state/store/README.md")

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
	t.Parallel()
	text, err := os.ReadFile(faultTable)
	require.NoError(t, err)
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\|.*\\| `(Test\\w+)` \\|$").FindAllStringSubmatch(string(text), -1) {
		require.False(t, rows[row[1]], "%s has two rows", row[1])
		rows[row[1]] = true
	}
	tests, outages := map[string]bool{}, map[string]bool{}
	files, err := filepath.Glob(harness.Root("tests/*_test.go"))
	require.NoError(t, err)
	here, err := filepath.Glob(harness.Root("tests/fault/*_test.go"))
	require.NoError(t, err)
	for _, file := range append(files, here...) {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, f := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(source), -1) {
			tests[f[1]] = true
			if strings.HasPrefix(filepath.Base(file), "outage_") && filepath.Base(file) != "outage_test.go" {
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
