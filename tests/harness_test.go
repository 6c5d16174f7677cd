// Package tests tries statelab from outside, through its HTTP contract, on a machine
// that has nothing but Go.
package tests

import (
	"testing"

	"statelab/tests/harness"
)

func TestMain(m *testing.M) {
	harness.TellLacks()
	harness.Main(m)
}

// TestWhatThisMachineLacks is skipped with a list of what the other tests, in the whole
// repository, miss on this machine and how to get it: go test -v -run Lacks ./tests
func TestWhatThisMachineLacks(t *testing.T) {
	t.Parallel()
	harness.NeedSystem(t, harness.Lacks() == "", "less than the tests want:\n"+harness.Lacks())
}
