package command

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A certificate is a pair of files. When they have changed, the next handshake
// reads them anew, so that a renewal needs no restart.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate // the newest that could be read
	stamps [2]time.Time     // of the files when they were last read; zero: missing
}

// loadCertificate returns an error that says which file is at fault.
func loadCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// read reads the files if they have changed since they were last read, be it
// with success: what is wrong with them is told once.
func (c *certificate) read() error {
	var stamps [2]time.Time
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			stamps[i] = info.ModTime()
		}
	}
	if c.pair != nil && stamps == c.stamps {
		return nil
	}
	c.stamps = stamps
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("%s and %s are not a certificate and its key: %w", c.certFile, c.keyFile, err)
	}
	c.pair = &pair
	return nil
}

// get is a tls.Config.GetCertificate. Files that cannot be read, or do not
// belong together because only one has been renewed so far, leave it at the
// certificate that it has.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.read(); err != nil {
		c.log.Warn("the server could not read the new certificate and keeps the old one", slog.Any("error", err))
	}
	return c.pair, nil
}
