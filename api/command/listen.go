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
	"syscall"
	"time"
)

// listeners are the sockets of one address, of which there is at least one.
type listeners []net.Listener

// Addr returns the address of the first one.
func (l listeners) Addr() net.Addr { return l[0].Addr() }

// Close closes all of them.
func (l listeners) Close() error {
	var failed error
	for _, listener := range l {
		failed = errors.Join(failed, listener.Close())
	}
	return failed
}

// listen opens the address that a flag names. Clients take localhost for 127.0.0.1 or for
// ::1, so it is both, with one port, where the machine has both. If another program has
// the port at one of them, that is an error: it would receive the passwords of some clients.
func listen(ctx context.Context, flag, address string) (listeners, error) {
	all, err := listenOnce(ctx, address)
	for range 10 { // a port that is free at one of the two may be taken at the other
		if !strings.HasSuffix(address, ":0") || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
		all, err = listenOnce(ctx, address)
	}
	if err != nil {
		err = fmt.Errorf("%w: stop the program that uses the address, or choose another address with %s", err, flag)
	}
	return all, err
}

func listenOnce(ctx context.Context, address string) (all listeners, err error) {
	addresses := []string{address}
	if port, ok := strings.CutPrefix(address, "localhost:"); ok {
		addresses = []string{"127.0.0.1:" + port, "[::1]:" + port}
	}
	var missing error
	for _, address := range addresses {
		if len(all) > 0 { // the one port for both
			_, port, _ := net.SplitHostPort(all.Addr().String())
			host, _, _ := net.SplitHostPort(address)
			address = net.JoinHostPort(host, port)
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		switch {
		case err == nil:
			all = append(all, listener)
		case len(addresses) > 1 && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)):
			missing = err // the machine lacks one of the two
		default:
			return nil, errors.Join(err, all.Close())
		}
	}
	if len(all) == 0 {
		return nil, missing
	}
	return all, nil
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
func (s *serve) listenAttacker(ctx context.Context) (listeners, error) {
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
func serveBeside(ctx context.Context, all listeners, handler http.Handler, times Times, log *slog.Logger) (stop func()) {
	h := newHTTP(handler, times, log)
	served := all.serve(h.Serve)
	return func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), times.DrainNotice)
		defer cancel()
		if h.Shutdown(grace) != nil {
			_ = h.Close() // a client that is slow here comes again
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			log.Error("a listener stopped early", slog.Any("address", all.Addr()), slog.Any("error", err))
		}
	}
}

// serve serves on each listener. The channel has what the first one that ends returns.
func (l listeners) serve(serve func(net.Listener) error) <-chan error {
	served := make(chan error, len(l))
	for _, listener := range l {
		go func() { served <- serve(listener) }()
	}
	return served
}

// serveUntil serves on the listeners, by TLS if there is a certificate, until ctx
// ends; then /readyz turns 503, requests in flight finish, and it returns nil.
func serveUntil(ctx context.Context, all listeners, cert *certificate, server server, times Times, log *slog.Logger) error {
	h := newHTTP(server, times, log)
	serve := h.Serve
	if cert != nil {
		h.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: cert.get}
		serve = func(l net.Listener) error { return h.ServeTLS(l, "", "") }
	}
	select {
	case err := <-all.serve(serve):
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
