package tests

import (
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
)

// promptness is how soon a running server follows what an operator does.
const promptness = 5 * time.Second

// account runs statelab account beside the server and returns what it prints.
func (p *process) account(stdin string, args ...string) string {
	p.t.Helper()
	cmd := command(p.t, p.cmd.Dir, nil, append([]string{"account", "--database", "sqlite:" + filepath.Join(p.cmd.Dir, "statelab-classroom.db")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	require.NoError(p.t, err, "%s", out)
	return string(out)
}

// everywhere returns a client of each strategy that has logged in.
func (p *process) everywhere(username, password string) []*client {
	p.t.Helper()
	var all []*client
	for _, slug := range strategies {
		if promises()[slug].Mount == state.MountLessons {
			continue // what an operator does, it does not hear of
		}
		c := p.client(slug)
		c.post("login", credentials{username, password}).is(http.StatusOK)
		all = append(all, c)
	}
	return all
}

// soonOut requires that clients are out within the promised time, in what they
// hold and in what could renew it.
func soonOut(t *testing.T, clients []*client) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, c := range clients {
			if c.get("profile").status != http.StatusUnauthorized {
				return false
			}
		}
		return true
	}, promptness, 50*time.Millisecond)
	for _, c := range clients {
		c.renew().is(http.StatusUnauthorized)
	}
}

func TestWhatAnOperatorDoesReachesARunningServer(t *testing.T) {
	t.Parallel()
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0", "--revocation", "denylist")
	bystanders := p.everywhere(alice, alicePassword)

	before := p.everywhere(bob, bobPassword)
	p.account("", "role", bob, "admin")
	soonOut(t, before)
	for _, c := range p.everywhere(bob, bobPassword) {
		c.get("members").is(http.StatusOK) // later logins are not affected
	}

	before = p.everywhere(bob, bobPassword)
	p.account("", "disable", "BOB")
	p.client("session").post("login", credentials{bob, bobPassword}).is(http.StatusUnauthorized, "bad_login")
	soonOut(t, before)
	require.Regexp(t, `(?m)^bob +admin +disabled +Bob `, p.account("", "list"))
	p.account("", "enable", bob)
	for _, c := range before {
		c.get("profile").is(http.StatusUnauthorized) // what has ended stays so
	}

	before = p.everywhere(bob, bobPassword)
	p.account("", "remove", bob)
	soonOut(t, before)
	p.client("").do("POST", "/accounts", object{"username": bob, "password": "another bob entirely"}).is(http.StatusCreated)
	for _, c := range before {
		c.get("profile").is(http.StatusUnauthorized) // the new one inherits nothing, and gives nothing away
		c.renew().is(http.StatusUnauthorized)
	}
	for _, c := range p.everywhere(bob, "another bob entirely") {
		require.Equal(t, "member", c.get("profile").text("user.role"))
	}
	for _, c := range bystanders {
		c.get("profile").is(http.StatusOK)
	}
}

// Without a denylist a client-held copy lives on; what can be ended is ended,
// and no refresh brings a disabled account back.
func TestADisabledAccountIsNotRefreshed(t *testing.T) {
	p := start(t, t.TempDir(), nil, "--listen", "localhost:0")
	clients := p.everywhere(bob, bobPassword)
	p.account("", "disable", bob)
	for _, c := range clients {
		c.renew().is(http.StatusUnauthorized)
	}
}

// What was done while no server ran is found by the next one.
func TestWhatAnOperatorDidMeanwhile(t *testing.T) {
	dir := t.TempDir()
	args := []string{"--listen", "localhost:0", "--store", "database", "--revocation", "denylist"}
	p := start(t, dir, nil, args...)
	before := p.everywhere(bob, bobPassword)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.ends())
	p.account("", "role", bob, "admin")
	p.account("correct horse battery\n", "add", "carol", "--role", "admin", "--display-name", "Carol C.")
	again := start(t, dir, nil, args...)
	for _, c := range before {
		c.s = &server{url: again.base}
	}
	soonOut(t, before)
	require.Equal(t, "Carol C.", again.everywhere("carol", "correct horse battery")[0].get("profile").text("user.display_name"))
}

// Operators find the accounts where the service beside them does.
func TestTheAccountCommandAndThePlatformsDatabase(t *testing.T) {
	dir := t.TempDir()
	account := func(env []string, args ...string) string {
		cmd := command(t, dir, env, append([]string{"account"}, args...)...)
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

func TestRefusalsOfTheAccountCommand(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		stdin, says string
		args        []string
	}{
		{"", "there is no such account", []string{"role", "nobody", "admin"}},
		{"", "there is no such account", []string{"remove", "nobody"}},
		{"", "A role is", []string{"role", "nobody", "boss"}},
		{"short\n", "at least 8", []string{"add", "carol"}},
		{"password123\n", "most common", []string{"add", "carol"}},
		{alicePassword + "\n", "most common", []string{"add", alice}}, // or no service would start beside it
		{"correct horse battery\n", "3 to 32", []string{"add", "c"}},
		{"", "expected", []string{"role"}},
	} {
		cmd := command(t, dir, nil, append([]string{"account", "--database", "sqlite:x.db"}, c.args...)...)
		cmd.Stdin = strings.NewReader(c.stdin)
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		require.Equal(t, 2, cmd.ProcessState.ExitCode(), "%s", out)
		require.Contains(t, string(out), c.says)
		require.Equal(t, 1, strings.Count(strings.TrimSpace(string(out)), "\n")+1, "%s", out)
	}
}
