package sqlstore_test

import (
	"testing"

	"statelab/state/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }
