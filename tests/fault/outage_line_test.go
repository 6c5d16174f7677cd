package fault

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// A line leads to a server, and can be spoilt.
type line struct {
	*toxiproxy.Proxy
	t *testing.T
}

// lineTo returns a line to the server at the port, and the server's address by
// way of it.
func lineTo(t *testing.T, address string, port int) (line, string) {
	t.Helper()
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), t.Name(),
		"127.0.0.1:0", fmt.Sprintf("127.0.0.1:%d", port))
	require.NoError(t, proxy.Start())
	t.Cleanup(proxy.Stop)
	return line{proxy, t}, strings.Replace(address, fmt.Sprintf("127.0.0.1:%d", port), proxy.Listen, 1)
}

// spoil does something bad to what the server sends, in toxiproxy's words, until
// the returned function repairs the line.
func (l line) spoil(kind, attributes string) (repair func()) {
	l.t.Helper()
	_, err := l.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(`{"name":"bad","type":%q,"attributes":{%s}}`, kind, attributes)))
	require.NoError(l.t, err)
	return func() {
		l.t.Helper()
		require.NoError(l.t, l.Toxics.RemoveToxic(l.t.Context(), "bad"))
	}
}

// Both tests take some seconds, since each fault lasts until statelab has given up on the
// server several times. They run alone: they count the descriptors of the process.
func TestARedisAtTheEndOfABadLine(t *testing.T) {
	badLines(t, storetest.Redis(t), "sqlite::memory:", storeAway)
}

func TestAPostgresAtTheEndOfABadLine(t *testing.T) {
	badLines(t, storetest.Postgres(t), "", databaseAway)
}

// badLines tries what can be wrong with the line to the server that keeps the
// logins, and the accounts too unless they are in another database.
func badLines(t *testing.T, server *storetest.Server, database string, away fault) {
	before := harness.Descriptors(t, os.Getpid())
	t.Run("in all its ways", func(t *testing.T) {
		l, address := lineTo(t, server.Address, server.Port)
		logins := address
		if database == "" {
			database, logins = address, "database"
		}
		o := outageOf(t, running(t, database, logins))
		for _, c := range []struct{ name, kind, attributes string }{
			{"nothing comes", "timeout", `"timeout":0`}, // half-open: it is never closed
			{"everything is late", "latency", `"latency":1600`},
			{"it is reset", "reset_peer", `"timeout":0`},
		} {
			t.Log(c.name)
			repair := l.spoil(c.kind, c.attributes)
			o.fails(away)
			repair()
			o.recovers()
		}

		t.Log("slow and in pieces, and everybody is served")
		for _, c := range []struct{ kind, attributes string }{
			{"latency", `"latency":20,"jitter":10`},
			{"slicer", `"average_size":40,"size_variation":20,"delay":10`},
		} {
			repair := l.spoil(c.kind, c.attributes)
			for _, c := range o.clients {
				o.promptly(func() *harness.Answer { return c.Get("profile") }).Is(http.StatusOK)
				o.promptly(c.Renew).Is(http.StatusOK)
			}
			repair()
		}
		o.keeps()

		// Connections break in the middle of an answer, or it comes when nobody
		// waits for it any more. Whoever comes next must not get the rest.
		people := map[string]*harness.Client{}
		for name, password := range map[string]string{harness.Alice: harness.AlicePassword, harness.Bob: harness.BobPassword, harness.Teacher: harness.TeacherPassword} {
			people[name] = o.login(harness.Strategies[0], name, password)
		}
		refused := 0
		for _, c := range []struct{ kind, attributes string }{
			{"limit_data", `"bytes":1500`}, {"reset_peer", `"timeout":1`}, {"latency", `"latency":700,"jitter":200`},
		} {
			repair := l.spoil(c.kind, c.attributes)
			refused += o.ask(people)
			repair()
			o.recovers()
			o.soon(func() bool { return o.ask(people) == 0 })
		}
		require.Positive(t, refused)
	})
	require.Eventually(t, func() bool { return harness.Descriptors(t, os.Getpid()) <= before }, harness.Recovery, 20*time.Millisecond, "descriptors are left open")
}

// ask requires of answers to many at once that each is the asker's own, or an
// outage, and returns how many were.
func (o *outage) ask(people map[string]*harness.Client) (refused int) {
	o.t.Helper()
	var all sync.WaitGroup
	var count atomic.Int64
	for name, c := range people {
		for range 4 {
			all.Go(func() {
				for range 6 {
					a := c.Copy().Get("profile")
					if a.Status == http.StatusServiceUnavailable {
						a.Unavailable("store_unavailable")
						count.Add(1)
						continue
					}
					require.Equal(o.t, name, a.Is(http.StatusOK).Text("user.username"))
				}
			})
		}
	}
	all.Wait()
	return int(count.Load())
}
