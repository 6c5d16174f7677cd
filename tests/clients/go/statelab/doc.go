// Package statelab is a client that oapi-codegen makes of openapi.yaml. What it makes
// is not checked in.
package statelab

//go:generate go tool oapi-codegen -generate types,client -package statelab -o client.gen.go ../../../../openapi.yaml
