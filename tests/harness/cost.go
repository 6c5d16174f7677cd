package harness

import (
	"regexp"
)

var CommandCalls = regexp.MustCompile(`(?m)^cmdstat_([^:]+):calls=(\d+)`)
