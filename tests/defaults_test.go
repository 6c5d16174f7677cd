package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/api/command"
	"statelab/auth"
	"statelab/tests/harness"
)

// TestDefaultTimesAreDocumented compares the waits of a service, which most tests shorten,
// with api/OPERATING.md.
func TestDefaultTimesAreDocumented(t *testing.T) {
	t.Parallel()
	text := harness.Document(t, "api/OPERATING.md")
	says := func(sentence string) {
		t.Helper()
		require.Contains(t, text, sentence)
	}
	times := command.DefaultTimes()

	says("Running servers follow within five seconds, and end the account's logins")
	require.Equal(t, api.DefaultFollowEvery, times.FollowAccounts)
	require.LessOrEqual(t, 2*times.FollowAccounts, 5*time.Second, "a look that fails is made up for by the next")

	says("by itself within five seconds")
	require.Equal(t, 5*time.Second, times.ReloadKeys)

	says("`Retry-After`, within two seconds")
	require.Equal(t, auth.DefaultPatience, times.Accounts)
	require.Less(t, times.Accounts, 2*time.Second)

	says("A connection has 5 seconds for its headers, 10 for a request, 15 for an answer and 75 between requests")
	require.Equal(t, []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second, 75 * time.Second},
		[]time.Duration{times.ReadHeader, times.Read, times.Write, times.Idle})
	require.Greater(t, times.Idle, time.Minute, "load balancers keep connections for 60 s, and a server that closes first makes a 502 of a request")

	says("`/readyz` says 503 for half a second, and then requests in flight have ten seconds")
	require.Equal(t, []time.Duration{500 * time.Millisecond, 10 * time.Second}, []time.Duration{times.DrainNotice, times.Drain})
	require.Equal(t, 1, strings.Count(text, "have ten seconds"))
}
