package tests

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state/store/storetest"
)

func TestKillsOverSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	survives(t, 10, dir, "sqlite:killed.db")
	db, err := sql.Open("sqlite", filepath.Join(dir, "killed.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.Positive(t, sound(t, db))
}

func TestKillsOverPostgres(t *testing.T) {
	t.Parallel()
	survives(t, 3, t.TempDir(), storetest.Postgres(t).Address)
}

// A worker does one thing again and again, and knows what was acknowledged.
type worker struct {
	*client
	spent               *client // who holds what the last renewal has replaced
	acknowledged, tried int     // of the notes
}

// survives kills the program at random moments while people write, and requires
// after each restart that what was acknowledged is so. It is the process that
// dies here and not the machine, whose power is another matter.
func survives(t *testing.T, kills int, dir, database string) {
	s := new(server)
	up := func() *process {
		p := start(t, dir, nil, "--listen", "localhost:0", "--database", database, "--store", "database", "--refresh-overlap", "0s")
		s.url = p.base
		return p
	}
	p := up()
	var writers, renewers []*worker
	for _, slug := range shared {
		if asks(s.traits(t, slug)) {
			writers = append(writers, &worker{client: s.login(t, slug, alice, alicePassword)}, &worker{client: s.login(t, slug, bob, bobPassword)})
		}
		if s.traits(t, slug).Listable {
			renewers = append(renewers, &worker{client: s.client(t, slug)})
		}
	}
	for range kills {
		var done atomic.Int64 // acknowledged in this round
		var running sync.WaitGroup
		work := func(step func() (*answer, error)) {
			running.Go(func() {
				for {
					a, err := step()
					if err != nil {
						return // killed
					}
					a.is(http.StatusOK)
					done.Add(1)
				}
			})
		}
		for _, w := range writers {
			work(func() (*answer, error) {
				w.tried++
				a, err := w.try("PATCH", "/"+w.slug+"/profile", object{"note": fmt.Sprint(w.tried)})
				if err == nil {
					w.acknowledged = w.tried
				}
				return a, err
			})
		}
		for _, w := range renewers {
			w.client, w.spent = s.login(t, w.slug, alice, alicePassword), nil
			work(func() (*answer, error) {
				before := w.copy()
				a, err := w.try("POST", "/"+w.slug+"/refresh", renewal(w.client))
				if err == nil {
					w.spent = before
				}
				return a, err
			})
		}
		var logins []*client // one goroutine's, until it has ended
		work(func() (*answer, error) {
			c := s.client(t, strategies[0])
			a, err := c.try("POST", "/"+c.slug+"/login", credentials{teacher, teacherPassword})
			if err == nil {
				logins = append(logins, c)
			}
			return a, err
		})
		moment := rand.Int64N(100)
		require.Eventually(t, func() bool { return done.Load() > moment }, 20*time.Second, time.Millisecond)
		require.NoError(t, p.cmd.Process.Kill())
		running.Wait()
		p.ends()
		p = up()

		for _, c := range logins {
			require.Equal(t, teacher, c.get("profile").is(http.StatusOK).text("user.username"))
		}
		for _, w := range writers {
			note := 0
			if text := w.get("profile").is(http.StatusOK).text("state.note"); text != "" {
				_, err := fmt.Sscan(text, &note)
				require.NoError(t, err)
			}
			require.GreaterOrEqual(t, note, w.acknowledged, "an acknowledged change is lost")
			require.LessOrEqual(t, note, w.tried)
		}
		for _, w := range renewers {
			if w.spent != nil {
				require.Equal(t, http.StatusUnauthorized, w.spent.renew().status, "%s: what was renewed is renewed again", w.slug)
			}
		}
	}
}

// A log that takes nothing, because its disk is full, stops nobody.
func TestALogThatIsFullStopsNobody(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, full.Close()) }()
	cmd := command(t, t.TempDir(), nil, "--listen", "localhost:0")
	cmd.Stderr = full
	p := launch(t, cmd)
	p.serves()
	for _, slug := range shared {
		c := p.client(slug)
		c.post("login", credentials{alice, alicePassword}).is(http.StatusOK)
		for range 20 {
			c.get("profile").is(http.StatusOK)
		}
	}
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.ends())
}
