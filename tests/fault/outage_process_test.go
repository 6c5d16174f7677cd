package fault

import (
	"database/sql"
	"fmt"
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
	"statelab/tests/harness"
	"statelab/tests/seeded"
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
	survives(t, 3, t.TempDir(), storetest.Database(t)+storetest.Patient)
}

// A worker does one thing again and again, and knows what was acknowledged.
type worker struct {
	*harness.Client
	spent               *harness.Client // who holds what the last renewal has replaced
	acknowledged, tried int             // of the notes
}

// survives kills the program at random moments while people write, and requires
// after each restart that what was acknowledged is so. It is the process that
// dies here and not the machine, whose power is another matter.
func survives(t *testing.T, kills int, dir, database string) {
	s, random := new(harness.Server), seeded.Rand(t)
	up := func() *harness.Process {
		p := harness.Start(t, dir, nil, "--listen", "localhost:0", "--database", database, "--store", "database", "--refresh-overlap", "0s")
		s.URL = p.Base
		return p
	}
	p := up()
	var writers, renewers []*worker
	for _, slug := range harness.Shared {
		if harness.Asks(s.Traits(t, slug)) {
			writers = append(writers, &worker{Client: s.Login(t, slug, harness.Alice, harness.AlicePassword)}, &worker{Client: s.Login(t, slug, harness.Bob, harness.BobPassword)})
		}
		if s.Traits(t, slug).Listable {
			renewers = append(renewers, &worker{Client: s.Client(t, slug)})
		}
	}
	for range kills {
		var done atomic.Int64 // acknowledged in this round
		var running sync.WaitGroup
		work := func(step func() (*harness.Answer, error)) {
			running.Go(func() {
				for {
					a, err := step()
					if err != nil {
						return // killed
					}
					a.Is(http.StatusOK)
					done.Add(1)
				}
			})
		}
		for _, w := range writers {
			work(func() (*harness.Answer, error) {
				w.tried++
				a, err := w.Try("PATCH", "/"+w.Slug+"/profile", harness.Object{"note": fmt.Sprint(w.tried)})
				if err == nil {
					w.acknowledged = w.tried
				}
				return a, err
			})
		}
		for _, w := range renewers {
			w.Client, w.spent = s.Login(t, w.Slug, harness.Alice, harness.AlicePassword), nil
			work(func() (*harness.Answer, error) {
				before := w.Copy()
				a, err := w.Try("POST", "/"+w.Slug+"/refresh", harness.Renewal(w.Client))
				if err == nil {
					w.spent = before
				}
				return a, err
			})
		}
		var logins []*harness.Client // one goroutine's, until it has ended
		work(func() (*harness.Answer, error) {
			c := s.Client(t, harness.Strategies[0])
			a, err := c.Try("POST", "/"+c.Slug+"/login", harness.Credentials(harness.Teacher, harness.TeacherPassword))
			if err == nil {
				logins = append(logins, c)
			}
			return a, err
		})
		moment := random.Int64N(100)
		require.Eventually(t, func() bool { return done.Load() > moment }, time.Minute, time.Millisecond)
		require.NoError(t, p.Cmd.Process.Kill())
		running.Wait()
		p.Ends()
		p = up()

		for _, c := range logins {
			require.Equal(t, harness.Teacher, c.Get("profile").Is(http.StatusOK).Text("user.username"))
		}
		for _, w := range writers {
			note := 0
			if text := w.Get("profile").Is(http.StatusOK).Text("state.note"); text != "" {
				_, err := fmt.Sscan(text, &note)
				require.NoError(t, err)
			}
			require.GreaterOrEqual(t, note, w.acknowledged, "an acknowledged change is lost")
			require.LessOrEqual(t, note, w.tried)
		}
		for _, w := range renewers {
			if w.spent != nil {
				require.Equal(t, http.StatusUnauthorized, w.spent.Renew().Status, "%s: what was renewed is renewed again", w.Slug)
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
	cmd := harness.Command(t, t.TempDir(), nil, "--listen", "localhost:0")
	cmd.Stderr = full
	p := harness.Launch(t, cmd)
	p.Serves()
	for _, slug := range harness.Shared {
		c := p.Client(slug)
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		for range 20 {
			c.Get("profile").Is(http.StatusOK)
		}
	}
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.Ends())
}
