package cache_test

import (
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"statelab/state/store/storetest"
)

// patience is how long a test waits for what must happen some time. It ends a test
// that hangs, and decides nothing else.
const patience = time.Minute

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(storetest.StopAfter(m))
}
