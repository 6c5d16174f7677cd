package harness

import (
	"regexp"
)

// CommandCalls matches a command and its calls in what INFO commandstats of Redis says.
var CommandCalls = regexp.MustCompile(`(?m)^cmdstat_([^:]+):calls=(\d+)`)
