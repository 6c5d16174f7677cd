// Spa serves a small single-page application that uses statelab from another
// origin, as a front end on a port or a host of its own does.
//
//	go run . --allow-origin http://localhost:5173
//	go run ./tests/spa                              in another shell; then open http://localhost:5173
//
// What it serves is in this directory and needs no build: client.js is the part
// to copy. Any other server of static files will do as well.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

//go:embed index.html app.css *.js
var files embed.FS

// standardAPI is the API that index.html names.
const standardAPI = "http://localhost:8080"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "spa:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("spa", flag.ContinueOnError)
	f.SetOutput(stderr)
	listen := f.String("listen", "localhost:5173", "address to serve on")
	api := f.String("api", standardAPI, "origin of the API")
	if err := f.Parse(args); err != nil {
		return err
	}
	if u, err := url.Parse(*api); err != nil || u.Host == "" || *api != u.Scheme+"://"+u.Host {
		return fmt.Errorf("-api %q is not an origin: use scheme, host and port only, such as %s", *api, standardAPI)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	fmt.Fprintf(stdout, "page  http://localhost:%[1]s, for %[2]s started with --allow-origin http://localhost:%[1]s\nstop  Ctrl-C\n", port, *api)
	server := &http.Server{Handler: pages(*api), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// pages serves the application for an API. A script that somebody managed to
// smuggle in could neither be loaded from elsewhere nor send anything there.
func pages(api string) http.Handler {
	_ = mime.AddExtensionType(".js", "text/javascript; charset=utf-8") // whatever this machine takes it for
	index, _ := files.ReadFile("index.html")
	document := strings.ReplaceAll(string(index), standardAPI, html.EscapeString(api))
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src " + api +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
	static := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-cache")
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, document)
			return
		}
		static.ServeHTTP(w, r)
	})
}
