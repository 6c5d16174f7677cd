package keys_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state/keys"
	"statelab/tests/seeded"
)

// A watched ring is followed by ticks, hangups and a clock of the test's, in a
// bubble of testing/synctest.
type watched struct {
	*keys.Watch
	t       *testing.T
	path    string
	ring    *keys.Ring
	ticks   chan time.Time
	hangups chan os.Signal
	log     *bytes.Buffer

	mu    sync.Mutex
	now   time.Time
	loads int
}

func watch(t *testing.T, f func(t *testing.T, w *watched)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWatched(t)) })
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	path, ring := initialised(t)
	w := &watched{
		t: t, path: path, ring: ring, now: day, log: new(bytes.Buffer),
		ticks: make(chan time.Time), hangups: make(chan os.Signal),
	}
	w.Watch = keys.NewWatch(ring, path, w.load, w.clock, slog.New(slog.NewTextHandler(w.log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx, w.ticks, w.hangups)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return w
}

func (w *watched) load(path string) (*keys.Ring, error) {
	w.mu.Lock()
	w.loads++
	w.mu.Unlock()
	return keys.LoadService(path)
}

func (w *watched) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *watched) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// looks is how often the file has been read.
func (w *watched) looks() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.loads
}

// tick lets the watch look, and waits until it has.
func (w *watched) tick() {
	w.ticks <- day
	synctest.Wait()
}

func (w *watched) hangup() {
	w.hangups <- syscall.SIGHUP
	synctest.Wait()
}

func (w *watched) healthy() bool { return w.Health(w.t.Context()) == nil }

func (w *watched) rotate(dropPrevious bool) *keys.Ring {
	w.t.Helper()
	ring, err := keys.Rotate(w.path, seeded.Reader(w.t), day, dropPrevious)
	require.NoError(w.t, err)
	return ring
}

func TestATickFindsAnotherFile(t *testing.T) {
	t.Parallel()
	watch(t, func(t *testing.T, w *watched) {
		w.tick()
		looks := w.looks()
		w.tick()
		require.Equal(t, looks, w.looks(), "a file that has not changed is not read again")
		for i, drop := range []bool{false, true} {
			next := w.rotate(drop)
			w.tick()
			require.Equal(t, names(next), names(w.ring))
			require.True(t, w.healthy())
			require.Equal(t, i+1, strings.Count(w.log.String(), "msg=audit event=key_change keys="), "%s", w.log)
		}
	})
}

// Two files of one size may be written within what the clock of the disk can
// tell apart.
func TestAHangupReadsAnyway(t *testing.T) {
	t.Parallel()
	watch(t, func(t *testing.T, w *watched) {
		w.tick()
		info, err := os.Stat(w.path)
		require.NoError(t, err)
		other, err := keys.Init(filepath.Join(t.TempDir(), "other.json"), seeded.Reader(t), day)
		require.NoError(t, err)
		text, err := os.ReadFile(w.path)
		require.NoError(t, err)
		edited := string(text)
		for i, k := range w.ring.All() {
			edited = strings.Replace(edited, k.ID, other.All()[i].ID, 1)
			edited = strings.Replace(edited, encoded(k), encoded(other.All()[i]), 1)
		}
		require.NoError(t, os.WriteFile(w.path, []byte(edited), 0o600))
		require.NoError(t, os.Chtimes(w.path, info.ModTime(), info.ModTime()))
		w.tick()
		require.NotEqual(t, names(other), names(w.ring))
		w.hangup()
		require.Equal(t, names(other), names(w.ring))
	})
}

func TestAFileThatIsNotGoodChangesNothing(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, path string){
		"gone":      func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
		"truncated": func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 100)) },
		"readable": func(t *testing.T, path string) {
			if runtime.GOOS == "windows" {
				t.Skip("files have no such mode there")
			}
			require.NoError(t, os.Chmod(path, 0o644))
		},
		"public only": func(t *testing.T, path string) {
			ring, err := keys.Load(path)
			require.NoError(t, err)
			var text bytes.Buffer
			require.NoError(t, ring.WritePublic(&text))
			require.NoError(t, os.WriteFile(path, text.Bytes(), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			watch(t, func(t *testing.T, w *watched) {
				w.tick()
				before := names(w.ring)
				good, err := os.ReadFile(w.path)
				require.NoError(t, err)
				damage(t, w.path)
				w.tick()
				w.tick()
				require.Equal(t, before, names(w.ring))
				require.ErrorContains(t, w.Health(t.Context()), w.path)
				require.Equal(t, 1, strings.Count(w.log.String(), "level=ERROR"), "it is said once: %s", w.log)
				for _, k := range w.ring.All() {
					require.NotContains(t, w.log.String(), encoded(k)[:8])
				}

				require.NoError(t, os.WriteFile(w.path, good, 0o600))
				require.NoError(t, os.Chmod(w.path, 0o600))
				w.tick()
				require.True(t, w.healthy())
				require.Equal(t, before, names(w.ring))
				next := w.rotate(false)
				w.tick()
				require.Equal(t, names(next), names(w.ring))
			})
		})
	}
}

// A credential of a key that is in the file and not yet in the ring is not
// refused, and one that is made up does not have the file read each time.
func TestARingAsksItsFileBeforeItRefuses(t *testing.T) {
	t.Parallel()
	watch(t, func(t *testing.T, w *watched) {
		next := w.rotate(false)
		k, err := next.Active(keys.TokenEdDSA)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				_, err := w.ring.Find(keys.TokenEdDSA, k.ID)
				if err != nil {
					t.Errorf("a key of the file is not found: %v", err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 1, w.looks())

		made := func() {
			for range 100 {
				_, err := w.ring.Find(keys.TokenEdDSA, "00000000")
				require.ErrorIs(t, err, keys.ErrNoMatch)
			}
		}
		late := w.rotate(false)
		made()
		require.Equal(t, 1, w.looks(), "at most once a second")
		require.Equal(t, names(next), names(w.ring))
		w.advance(time.Second)
		made()
		require.Equal(t, 2, w.looks())
		require.Equal(t, names(late), names(w.ring))
		w.advance(time.Second)
		made()
		require.Equal(t, 2, w.looks(), "the file has not changed")
	})
}
