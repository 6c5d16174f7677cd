package browser

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// A program is a running browser.
type program struct{ context.Context }

// running is the one browser of the package, once a test has asked for it. Each visitor
// has cookies and storage apart from all others.
var running struct {
	once sync.Once
	program
	err error
	end func()
}

// browser returns the browser, and lets the test run beside others: it waits most of
// the time.
func browser(t *testing.T) program {
	t.Helper()
	harness.Need(t, "browser", harness.Chromium() != "", "no Chromium for the page: install it, or let STATELAB_CHROMIUM name it")
	t.Parallel()
	running.once.Do(func() { running.err = startBrowser() })
	require.NoError(t, running.err)
	return running.program
}

// startBrowser starts the browser of the package.
func startBrowser() error {
	dir, err := os.MkdirTemp("", "statelab-browser")
	if err != nil {
		return err
	}
	running.end = func() { _ = os.RemoveAll(dir) }
	// Some builds block cookies of third parties from the start. Nothing is to hold
	// because of that.
	if err := os.MkdirAll(filepath.Join(dir, "profile", "Default"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "profile", "Default", "Preferences"), []byte(`{"profile":{"cookie_controls_mode":0}}`), 0o600); err != nil {
		return err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(harness.Chromium()), chromedp.UserDataDir(filepath.Join(dir, "profile")),
		chromedp.Env("TMPDIR="+dir, "HOME="+dir), chromedp.Flag("headless", "new"), chromedp.WindowSize(1280, 900),
	}
	for _, flag := range []string{
		"no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "disable-component-update",
		"disable-sync", "disable-quic", "disable-dev-shm-usage", "disable-breakpad", "hide-scrollbars", "mute-audio",
		"ignore-certificate-errors", "disable-popup-blocking", // the attacker's pages open tabs, and one of its victims is encrypted
		"process-per-site", // a quarter of the time, with the next one
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	if os.Getenv("STATELAB_PICTURES") == "" {
		options = append(options, chromedp.Flag("disable-threaded-compositing", true)) // no frames are drawn, so there are no pictures
	}
	options = append(options, chromedp.Flag("disable-features", "SpareRendererForSitePerProcess")) // a process that waits for the next tab
	parent, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(parent)
	running.end = func() {
		closing, done := context.WithTimeout(ctx, patience)
		_ = chromedp.Cancel(closing)
		done()
		cancel()
		stop()
		_ = os.RemoveAll(dir)
	}
	running.program = program{ctx}
	return chromedp.Do(ctx)
}

// endBrowser ends the browser, if a test has started it.
func endBrowser() {
	if running.end != nil {
		running.end()
	}
}

// patience is how long a test waits for a browser on a busy machine.
const patience = 2 * time.Minute
