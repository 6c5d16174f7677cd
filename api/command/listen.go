package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// listen opens the address that a flag names.
func listen(ctx context.Context, flag, address string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		err = fmt.Errorf("%w: stop the program that uses the address, or choose another address with %s", err, flag)
	}
	return listener, err
}

// Ports of the attacker's pages by default: ten, so that several classrooms on a
// machine have addresses that are easy to type.
const (
	firstAttackerPort = 9090
	lastAttackerPort  = 9099
)

// listenAttacker opens the address of --attacker. By default it opens the first free
// one of a few ports, or any free port: a program that uses port 9090 does not stop
// the classroom. It skips the ports that other flags name, which are opened later.
func (s *serve) listenAttacker(ctx context.Context) (net.Listener, error) {
	if s.Attacker != "" {
		return listen(ctx, "--attacker", s.Attacker)
	}
	for port := firstAttackerPort; port <= lastAttackerPort; port++ {
		named := fmt.Sprint(":", port)
		if strings.HasSuffix(s.Listen, named) || strings.HasSuffix(s.Metrics, named) {
			continue
		}
		if listener, err := listen(ctx, "--attacker", "127.0.0.1"+named); err == nil {
			return listener, nil
		}
	}
	return listen(ctx, "--attacker", "127.0.0.1:0")
}

// maxHeaderBytes bounds the headers of a request.
const maxHeaderBytes = 32 << 10

// newHTTP returns the server of a listener.
func newHTTP(h http.Handler, times Times, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: times.ReadHeader, ReadTimeout: times.Read,
		WriteTimeout: times.Write, IdleTimeout: times.Idle, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),

		DisableGeneralOptionsHandler: true, // OPTIONS * is answered as everything else
	}
}

// serveBeside serves what has a listener of its own until stop is called: last of
// all, so that metrics tell of the end too.
func serveBeside(ctx context.Context, listener net.Listener, handler http.Handler, times Times, log *slog.Logger) (stop func()) {
	h := newHTTP(handler, times, log)
	served := make(chan error, 1)
	go func() { served <- h.Serve(listener) }()
	return func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), times.DrainNotice)
		defer cancel()
		if h.Shutdown(grace) != nil {
			_ = h.Close() // a client that is slow here comes again
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			log.Error("a listener stopped early", slog.Any("address", listener.Addr()), slog.Any("error", err))
		}
	}
}

// serveUntil serves on the listener, by TLS if there is a certificate, until ctx
// ends; then /readyz turns 503, requests in flight finish, and it returns nil.
func serveUntil(ctx context.Context, listener net.Listener, cert *certificate, server server, times Times, log *slog.Logger) error {
	h := newHTTP(server, times, log)
	served := make(chan error, 1)
	serve := h.Serve
	if cert != nil {
		h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
		serve = func(l net.Listener) error { return h.ServeTLS(l, "", "") }
	}
	go func() { served <- serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	log.Info("draining")
	server.Drain()
	h.SetKeepAlivesEnabled(false)
	<-time.After(times.DrainNotice)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), times.Drain)
	defer cancel()
	if err := h.Shutdown(grace); err != nil {
		return fmt.Errorf("requests were still in flight after %s: %w", times.Drain, errors.Join(err, h.Close()))
	}
	return nil
}
