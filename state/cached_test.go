package state

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// slow is a Store whose readers can be held up after they have read.
type slow struct {
	Store
	read, goOn chan struct{}
}

func (s slow) Load(ctx context.Context, k Key) (Record, error) {
	rec, err := s.Store.Load(ctx, k)
	if s.read != nil {
		s.read <- struct{}{}
		<-s.goOn
	}
	return rec, err
}

// A reader that began before a logout must not bring the login back after it.
func TestNothingIsRememberedFromBeforeAWrite(t *testing.T) {
	t.Parallel()
	now := MicrosOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	c := Config{Slug: "x", Now: now.Time, Store: new(one)}
	k := KeyOf("k")
	require.NoError(t, c.Store.Create(t.Context(), k, Record{Kind: KindLogin, Strategy: "x", Expires: now.Add(time.Hour)}))
	held := slow{c.Store, make(chan struct{}), make(chan struct{})}
	c.Store = held
	s := NewCachedSession(c).(*cachedSession).remembered
	done := make(chan error)
	go func() {
		_, err := s.Load(t.Context(), k)
		done <- err
	}()
	<-held.read
	require.NoError(t, s.Delete(t.Context(), k))
	held.goOn <- struct{}{}
	require.NoError(t, <-done, "it had read before")
	_, remembers := s.find(k)
	require.False(t, remembers)
}
