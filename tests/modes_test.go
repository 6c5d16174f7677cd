package tests

import (
	"testing"

	"statelab/api"
	"statelab/tests/harness"
)

// A mode is a setting of the server under which a rule holds as well, for traits that
// may promise more.
type mode struct {
	name string
	with harness.Option
}

var (
	denylisted = mode{name: "denylist", with: withDenylist}
	cached     = mode{name: "credential cache", with: withCredentialCache}
)

// inModes tries a rule with the settings that the harness chooses, and in each of the
// modes, side by side.
func inModes(t *testing.T, modes []mode, rule func(t *testing.T, with harness.Option)) {
	t.Helper()
	modes = append([]mode{{name: "as it starts", with: func(*api.Config) {}}}, modes...)
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			rule(t, m.with)
		})
	}
}
