// Statelab serves one login and profile contract through several ways of
// keeping the state of a login, so that they can be compared side by side.
package main

import (
	_ "embed"
	"os"

	"statelab/api/command"
)

//go:embed openapi.yaml
var openAPI []byte

func main() {
	os.Exit(command.Program{OpenAPI: openAPI}.Main())
}
