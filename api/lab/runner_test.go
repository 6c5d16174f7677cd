package lab

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// A server that stops waits for no run: the one under way ends, and none begins.
func TestAStoppedRunnerEndsItsRun(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	r := NewRunner(&Laboratory{Strategies: []string{"session"}, Start: func(ctx context.Context) (Server, error) {
		close(begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	found, _ := Find([]string{"E07"})
	ended := make(chan error)
	go func() { ended <- r.Run(t.Context(), found, nil) }()
	<-begun
	r.Stop()
	require.Error(t, <-ended)
	require.ErrorIs(t, r.Run(t.Context(), found, nil), ErrBusy)
	_, err := r.Start()
	require.ErrorIs(t, err, ErrBusy)
	r.Close()
}
