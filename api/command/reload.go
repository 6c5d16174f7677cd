package command

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"statelab/state/keys"
)

// follow keeps a ring up to date until ctx ends, or it is stopped: it looks at the key
// file once a period, and at SIGHUP. The context
// that it returns ends besides when the terminal is closed that the server was
// started in: the system sends SIGHUP for that too, and a server that nobody
// sees any more must not keep its port.
func follow(ctx context.Context, watch *keys.Watch, every time.Duration) (_ context.Context, stop func()) {
	ctx, end := context.WithCancel(ctx)
	ours := !signal.Ignored(syscall.SIGHUP) && hasTerminal() // nohup ignores it
	signals, hangups, ticker := make(chan os.Signal, 1), make(chan os.Signal), time.NewTicker(every)
	signal.Notify(signals, syscall.SIGHUP)
	go watch.Run(ctx, ticker.C, hangups)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case hangup := <-signals:
				if ours && !hasTerminal() {
					end()
					return
				}
				select {
				case hangups <- hangup:
				case <-ctx.Done():
				}
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		ticker.Stop()
		end()
	}
}

// hasTerminal says whether the process belongs to a terminal that is open.
func hasTerminal() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	return tty.Close() == nil
}
