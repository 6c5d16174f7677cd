package keys

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// Watch keeps a ring up to date with its file. A file that is damaged, or that
// lacks what the ring can do, changes nothing: the keys from before stay in
// force, the fault is logged once, and Health tells it until the file is good.
type Watch struct {
	ring *Ring
	path string
	load func(path string) (*Ring, error)
	now  func() time.Time
	log  *slog.Logger

	mu    sync.Mutex
	seen  fs.FileInfo // the file when it was last read; nil if it is to be read anyway
	asked time.Time   // when the ring last asked
	err   error       // what is wrong with the file
}

// pause is how long a ring waits before it asks again. A credential that is
// made up must not cost a look at a disk each time.
const pause = time.Second

// NewWatch returns a Watch of a ring that load has read from path. Call it
// before the ring is used.
func NewWatch(ring *Ring, path string, load func(path string) (*Ring, error), now func() time.Time, log *slog.Logger) *Watch {
	w := &Watch{ring: ring, path: path, load: load, now: now, log: log}
	ring.outdated = w.outdated
	return w
}

// Run looks for another file at each tick, and reads the file at each hangup
// even if it looks the same. It returns when ctx ends.
func (w *Watch) Run(ctx context.Context, ticks <-chan time.Time, hangups <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			w.look(false)
		case <-hangups:
			w.look(true)
		}
	}
}

// Health returns what is wrong with the file, or nil.
func (w *Watch) Health(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *Watch) look(anyway bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if anyway {
		w.seen = nil
	}
	w.read()
}

// outdated is asked by a ring in whose set nothing fits a credential. Everybody
// who asks meanwhile waits for the one look.
func (w *Watch) outdated(tried *set) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if w.ring.set.Load() != tried || now.Sub(w.asked) < pause {
		return
	}
	w.asked = now
	w.read()
}

// read reads the file unless it is the one that was read before. One that was
// not good is read again, since what was wrong may have been beside it.
func (w *Watch) read() {
	info, err := os.Stat(w.path)
	if err == nil && w.err == nil && w.seen != nil && same(info, w.seen) {
		return
	}
	w.seen = info
	next, err := w.load(w.path)
	if err == nil {
		err = w.lacking(next)
	}
	switch {
	case err != nil:
		if w.err == nil || w.err.Error() != err.Error() {
			w.log.Error("the server refused the key file and keeps the previous keys", slog.Any("error", err))
		}
	case w.err != nil || !slices.EqualFunc(next.All(), w.ring.All(), func(a, b *Key) bool { return a.String() == b.String() }):
		w.ring.set.Store(next.set.Load())
		w.log.Info("audit", slog.String("event", "key_change"), slog.Any("keys", next.All()))
	}
	w.err = err
}

// same says whether nothing has happened to a file. The mode counts, which can
// change and leave the time as it is.
func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.Mode() == b.Mode() && a.ModTime().Equal(b.ModTime())
}

// lacking says what the ring can do and next cannot.
func (w *Watch) lacking(next *Ring) error {
	for _, p := range Purposes() {
		_, signs := w.ring.Active(p)
		_, would := next.Active(p)
		if signs == nil && would != nil || len(w.ring.Verifying(p)) > 0 && len(next.Verifying(p)) == 0 {
			return fmt.Errorf("keys: %s has no %s key, which the server needs", w.path, p)
		}
	}
	return nil
}
