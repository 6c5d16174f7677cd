// Package tests tries statelab from outside, through its HTTP contract, on a machine
// that has nothing but Go.
package tests

import (
	"testing"

	"statelab/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
