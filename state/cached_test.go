package state

import (
	"context"
	"fmt"
	"strings"
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
	s := newCachedSession(c, InCookie(c)).remembered
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

// Records are large if their states are: what is remembered has a bound of bytes too.
func TestWhatIsRememberedHasBounds(t *testing.T) {
	t.Parallel()
	now := MicrosOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	for name, note := range map[string]string{"small": "", "large": strings.Repeat("x", StateLimit)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Config{Slug: "x", Now: now.Time, Store: new(one)}
			s := newCachedSession(c, InCookie(c)).remembered
			rec := Record{Kind: KindLogin, Strategy: "x", Expires: now.Add(time.Hour), Login: Login{Note: note}}
			for i := range maxRemembered + 2000 {
				k := KeyOf(fmt.Sprint(i))
				require.NoError(t, c.Store.Create(t.Context(), k, rec))
				_, err := s.Load(t.Context(), k)
				require.NoError(t, err)
			}
			s.cache.CleanUp()
			n, bytes := 0, int64(0)
			for _, found := range s.cache.All() {
				n++
				bytes += recordBytes + found.VariableBytes()
			}
			require.Positive(t, n)
			require.LessOrEqual(t, n, maxRemembered)
			require.LessOrEqual(t, bytes, int64(maxRememberedBytes))
		})
	}
}
