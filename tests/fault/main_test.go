// Package fault tries statelab over real servers that fail, and under load.
package fault

import (
	"testing"

	"statelab/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
