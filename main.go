// Statelab serves one login and profile contract through several ways of
// keeping the state of a login, so that they can be compared side by side.
package main

import (
	"context"
	_ "embed"
	"os"
	"os/signal"
	"syscall"

	"statelab/api/command"
)

//go:embed openapi.yaml
var openAPI []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	program := command.Program{OpenAPI: openAPI}
	os.Exit(program.Run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr))
}
