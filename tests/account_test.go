package tests

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// promptness is how soon a running server follows what an operator does.
const promptness = 5 * time.Second

// soonOut requires that clients are out within the promised time, in what they
// hold and in what could renew it.
func soonOut(t *testing.T, clients []*harness.Client) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, c := range clients {
			if c.Get("profile").Status != http.StatusUnauthorized {
				return false
			}
		}
		return true
	}, promptness, 50*time.Millisecond)
	for _, c := range clients {
		c.Renew().Is(http.StatusUnauthorized)
	}
}

func TestWhatAnOperatorDoesReachesARunningServer(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0", "--revocation", "denylist")
	bystanders := p.Everywhere(harness.Alice, harness.AlicePassword)

	before := p.Everywhere(harness.Bob, harness.BobPassword)
	p.Account("", "role", harness.Bob, "admin")
	soonOut(t, before)
	for _, c := range p.Everywhere(harness.Bob, harness.BobPassword) {
		c.Get("members").Is(http.StatusOK) // later logins are not affected
	}

	before = p.Everywhere(harness.Bob, harness.BobPassword)
	p.Account("", "disable", "BOB")
	p.Client("session").Post("login", harness.Credentials(harness.Bob, harness.BobPassword)).Is(http.StatusUnauthorized, "bad_login")
	soonOut(t, before)
	require.Regexp(t, `(?m)^bob +admin +disabled +Bob `, p.Account("", "list"))
	p.Account("", "enable", harness.Bob)
	for _, c := range before {
		c.Get("profile").Is(http.StatusUnauthorized) // what has ended stays so
	}

	before = p.Everywhere(harness.Bob, harness.BobPassword)
	p.Account("", "remove", harness.Bob)
	soonOut(t, before)
	p.Client("").Do("POST", "/accounts", harness.Object{"username": harness.Bob, "password": "another bob entirely"}).Is(http.StatusCreated)
	for _, c := range before {
		c.Get("profile").Is(http.StatusUnauthorized) // the new one inherits nothing, and gives nothing away
		c.Renew().Is(http.StatusUnauthorized)
	}
	for _, c := range p.Everywhere(harness.Bob, "another bob entirely") {
		require.Equal(t, "member", c.Get("profile").Text("user.role"))
	}
	for _, c := range bystanders {
		c.Get("profile").Is(http.StatusOK)
	}
}

// Without a denylist a client-held copy lives on; what can be ended is ended,
// and no refresh brings a disabled account back.
func TestADisabledAccountIsNotRefreshed(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0")
	clients := p.Everywhere(harness.Bob, harness.BobPassword)
	p.Account("", "disable", harness.Bob)
	for _, c := range clients {
		c.Renew().Is(http.StatusUnauthorized)
	}
}

// What was done while no server ran is found by the next one.
func TestWhatAnOperatorDidMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"--listen", "localhost:0", "--store", "database", "--revocation", "denylist"}
	p := harness.Start(t, dir, nil, args...)
	before := p.Everywhere(harness.Bob, harness.BobPassword)
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.Ends())
	p.Account("", "role", harness.Bob, "admin")
	p.Account("correct horse battery\n", "add", "carol", "--role", "admin", "--display-name", "Carol C.")
	again := harness.Start(t, dir, nil, args...)
	for _, c := range before {
		c.Server = &harness.Server{URL: again.Base}
	}
	soonOut(t, before)
	require.Equal(t, "Carol C.", again.Everywhere("carol", "correct horse battery")[0].Get("profile").Text("user.display_name"))
}

// Operators find the accounts where the service beside them does.
func TestTheAccountCommandAndThePlatformsDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	account := func(env []string, args ...string) string {
		cmd := harness.Command(t, dir, env, append([]string{"account"}, args...)...)
		cmd.Stdin = strings.NewReader("correct horse battery\n")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	platform := []string{"DATABASE_URL=sqlite:platform.db"}
	account(platform, "add", "carol")
	require.Contains(t, account(platform, "list"), "carol")
	require.Contains(t, account(nil, "list", "--database", "sqlite:platform.db"), "carol")
	require.NotContains(t, account(nil, "list"), "carol")
}

func TestTheAccountCommandPrintsWhatItDid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"add", "Carol", "--role", "admin"}, "added carol as admin"},
		{[]string{"role", "CAROL", "member"}, "carol is member now: a running server ends its logins within five seconds"},
		{[]string{"disable", "carol"}, "disabled carol: a running server ends its logins within five seconds"},
		{[]string{"enable", "carol"}, "enabled carol: it can sign in again"},
		{[]string{"remove", "carol"}, "removed carol: a running server ends its logins within five seconds"},
	} {
		cmd := harness.Command(t, dir, nil, append([]string{"account", "--database", "sqlite:x.db"}, c.args...)...)
		cmd.Stdin = strings.NewReader("correct horse battery\n")
		out, err := cmd.Output()
		require.NoError(t, err)
		require.Equal(t, c.says+"\n", string(out))
		require.Contains(t, harness.Document(t, "api/OPERATING.md"), c.says)
	}
}

func TestRefusalsOfTheAccountCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct {
		stdin, says string
		args        []string
	}{
		{"", "no account has this username", []string{"role", "missing", "admin"}},
		{"", "no account has this username", []string{"remove", "missing"}},
		{"correct horse battery\n", "3 to 32", []string{"add", "\u212aate"}}, // which Unicode folds to kate
		{"", "A role is", []string{"role", "nobody", "boss"}},
		{"short\n", "at least 8", []string{"add", "carol"}},
		{"password123\n", "a common one", []string{"add", "carol"}},
		{harness.AlicePassword + "\n", "a common one", []string{"add", harness.Alice}}, // or no service would start beside it
		{"statelab\n", "the name of this product", []string{"add", "carol"}},
		{"Carol.Carol\n", "the username", []string{"add", "carol.carol"}},
		{"correct horse battery\n", "direction of text", []string{"add", "carol", "--display-name", "Carol\u202e"}},
		{"correct horse battery\n", "3 to 32", []string{"add", "c"}},
		{"", "expected", []string{"role"}},
	} {
		cmd := harness.Command(t, dir, nil, append([]string{"account", "--database", "sqlite:x.db"}, c.args...)...)
		cmd.Stdin = strings.NewReader(c.stdin)
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Equal(t, 2, cmd.ProcessState.ExitCode(), "%s", out)
		require.Contains(t, string(out), c.says)
		require.Equal(t, 1, strings.Count(strings.TrimSpace(string(out)), "\n")+1, "%s", out)
	}
}
