package harness

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
)

// Faulty stores do as they should until a test breaks them, all at once.
type Faulty struct {
	mu     sync.Mutex
	breaks func(ctx context.Context, operation string) error
	broken int // operations that have failed
}

// BreakWith makes these operations, or all, fail with err from now on.
func (f *Faulty) BreakWith(err error, operations ...string) {
	f.Set(func(_ context.Context, operation string) error {
		if len(operations) == 0 || slices.Contains(operations, operation) {
			return err
		}
		return nil
	})
}

// Repair ends every failure.
func (f *Faulty) Repair() { f.Set(nil) }

// Set has operations fail with what breaks returns; nil ends every failure.
func (f *Faulty) Set(breaks func(context.Context, string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.breaks, f.broken = breaks, 0
}

// Failures is how often it has failed since it was broken.
func (f *Faulty) Failures() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

func (f *Faulty) do(ctx context.Context, operation string) error {
	f.mu.Lock()
	breaks := f.breaks
	f.mu.Unlock()
	if breaks == nil {
		return nil
	}
	var err error
	defer func() {
		p := recover()
		if err != nil || p != nil {
			f.mu.Lock()
			f.broken++
			f.mu.Unlock()
		}
		if p != nil {
			panic(p)
		}
	}()
	err = breaks(ctx, operation)
	return err
}

// A FaultyStore is one of them.
type FaultyStore struct {
	state.Store
	*Faulty
}

// Create fails if the test has broken it.
func (f FaultyStore) Create(ctx context.Context, k state.Key, r state.Record) error {
	if err := f.do(ctx, "Create"); err != nil {
		return err
	}
	return f.Store.Create(ctx, k, r)
}

// Load fails if the test has broken it.
func (f FaultyStore) Load(ctx context.Context, k state.Key) (state.Record, error) {
	if err := f.do(ctx, "Load"); err != nil {
		return state.Record{}, err
	}
	return f.Store.Load(ctx, k)
}

// Update fails if the test has broken it.
func (f FaultyStore) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	if err := f.do(ctx, "Update"); err != nil {
		return err
	}
	return f.Store.Update(ctx, k, rev, r)
}

// Delete fails if the test has broken it.
func (f FaultyStore) Delete(ctx context.Context, k state.Key) error {
	if err := f.do(ctx, "Delete"); err != nil {
		return err
	}
	return f.Store.Delete(ctx, k)
}

// BySubject fails if the test has broken it.
func (f FaultyStore) BySubject(ctx context.Context, subject string) ([]state.Entry, error) {
	if err := f.do(ctx, "BySubject"); err != nil {
		return nil, err
	}
	return f.Store.BySubject(ctx, subject)
}

// Logins fails if the test has broken it.
func (f FaultyStore) Logins(ctx context.Context, q state.LoginQuery) ([]state.LoginHead, error) {
	if err := f.do(ctx, "Logins"); err != nil {
		return nil, err
	}
	return f.Store.Logins(ctx, q)
}

// EndSubject fails if the test has broken it.
func (f FaultyStore) EndSubject(ctx context.Context, e state.Ending) (int, error) {
	if err := f.do(ctx, "EndSubject"); err != nil {
		return 0, err
	}
	return f.Store.EndSubject(ctx, e)
}

// Ping fails if the test has broken it.
func (f FaultyStore) Ping(ctx context.Context) error {
	if err := f.do(ctx, "Ping"); err != nil {
		return err
	}
	return f.Store.Ping(ctx)
}

// NewFaultyServer starts a server over stores that can be broken.
func NewFaultyServer(t testing.TB, options ...Option) (*Server, *Faulty) {
	t.Helper()
	f := new(Faulty)
	s := NewServer(t, append(options, func(c *api.Config) {
		c.Store, c.DatabaseStore = FaultyStore{c.Store, f}, FaultyStore{c.DatabaseStore, f}
	})...)
	return s, f
}

// ErrDown is what a client of a store that is down says, with an address that no answer may show.
var ErrDown = errors.New("dial tcp 192.0.2.7:6379: connect: connection refused")

// Unavailable requires an answer that blames nobody, gives nothing and takes
// nothing away.
func (a *Answer) Unavailable(code string) {
	a.T.Helper()
	a.Is(http.StatusServiceUnavailable, code)
	require.Empty(a.T, a.Header.Values("Set-Cookie"))
	require.NotContains(a.T, string(a.Body), "192.0.2.7", "the address of the store is nobody's business")
}

// Away takes the accounts out of the database, as an outage would.
func (s *Server) Away(t testing.TB, away bool) {
	t.Helper()
	statement := `ALTER TABLE gone RENAME TO accounts`
	if away {
		statement = `ALTER TABLE accounts RENAME TO gone`
	}
	_, err := s.Config.Database.ExecContext(context.WithoutCancel(t.Context()), statement)
	require.NoError(t, err)
}

// SyncBuffer is a buffer that a logger may write to from many goroutines.
type SyncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *SyncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *SyncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Reset forgets what was written.
func (s *SyncBuffer) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}
