package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A want is something besides Go that tests need. Where it is missing they are skipped,
// unless STATELAB_TEST_REQUIRE names it.
type want struct {
	name string // as STATELAB_TEST_REQUIRE has it
	get  string // how to get it on Debian, or what to set
	has  func() bool
}

// wants are all of them.
var wants = []want{
	{"redis", "apt-get install redis-server", func() bool { return onPath("redis-server") }},
	{"postgres", "apt-get install postgresql", func() bool {
		programs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
		return len(programs) > 0 || onPath("initdb")
	}},
	{"browser", "apt-get install chromium-headless-shell, or name a Chromium in STATELAB_CHROMIUM", func() bool { return Chromium() != "" }},
	{"axe", "npm install axe-core, and name its axe.min.js in STATELAB_AXE", func() bool { return os.Getenv("STATELAB_AXE") != "" }},
	{"node", "install Node.js, npm install jose jsonwebtoken http-cache-tests, and name the node_modules in STATELAB_NODE_MODULES", func() bool {
		return onPath("node") && os.Getenv("STATELAB_NODE_MODULES") != ""
	}},
	{"targets", "apt-get install python3-flask python3-django, npm install express express-session, and name the node_modules in STATELAB_NODE_MODULES", Targets},
	{"nginx", "apt-get install nginx-light", func() bool { return onPath("nginx") || onPath("/usr/sbin/nginx") }},
	{"pgbouncer", "apt-get install pgbouncer", func() bool { return onPath("pgbouncer") || onPath("/usr/sbin/pgbouncer") }},
}

// Python is Debian's, which has Flask and Django from Debian's packages.
const Python = "/usr/bin/python3"

// Targets says whether the servers that we did not write can run here.
func Targets() bool {
	_, err := os.Stat(filepath.Join(os.Getenv("STATELAB_NODE_MODULES"), "express-session"))
	return err == nil && onPath("node") && exec.Command(Python, "-c", "import flask, django").Run() == nil
}

// NeedShell is NeedSystem for what the commands of the documents run in: bash and curl. A
// small image with Go has neither.
func NeedShell(t testing.TB) {
	t.Helper()
	for _, program := range []string{"bash", "curl"} {
		NeedSystem(t, onPath(program), "no "+program)
	}
}

func onPath(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// Chromium finds the program that STATELAB_CHROMIUM names, or else one of the
// usual names; "" if there is none.
func Chromium() string {
	names := []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"} // the first takes half the time
	if name := os.Getenv("STATELAB_CHROMIUM"); name != "" {
		names = []string{name}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Lacks says in a few lines which tests this machine skips and how to have them run,
// or "" if it has everything.
func Lacks() string {
	var lines strings.Builder
	for _, w := range wants {
		if !w.has() {
			_, _ = fmt.Fprintf(&lines, "  without %-10s %s\n", w.name+":", w.get)
		}
	}
	if lines.Len() == 0 {
		return ""
	}
	return "statelab: this machine skips some tests\n" + lines.String() + "  or let .ci/run install it all (Debian)\n"
}

// TellLacks writes Lacks to the terminal, if the run has one: go test does not show
// what a package that passes has written.
func TellLacks() {
	if os.Getenv(programVariable) != "" {
		return // this process is no run of tests
	}
	tty, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	_, _ = tty.WriteString(Lacks())
	_ = tty.Close()
}

// Need skips a test for which something is not found on this machine. Where
// STATELAB_TEST_REQUIRE names it, the test fails instead.
func Need(t testing.TB, name string, found bool, what string) {
	t.Helper()
	switch {
	case found:
	case slices.Contains(strings.Split(os.Getenv("STATELAB_TEST_REQUIRE"), ","), name):
		t.Fatalf("STATELAB_TEST_REQUIRE names %q, but there is %s", name, what)
	default:
		t.Skipf("skipped: there is %s", what)
	}
}

// NeedSystem is Need for what every Linux has, or should: where anything must not
// be skipped, that must not.
func NeedSystem(t testing.TB, found bool, what string) {
	t.Helper()
	switch {
	case found:
	case os.Getenv("STATELAB_TEST_REQUIRE") != "":
		t.Fatalf("STATELAB_TEST_REQUIRE is set, but there is %s", what)
	default:
		t.Skipf("skipped: there is %s", what)
	}
}
