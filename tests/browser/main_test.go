// Package browser tries statelab's pages and its cookies in Chromium.
package browser

import (
	"testing"

	"statelab/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m, endBrowser) }
