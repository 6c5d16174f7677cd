package tests

import (
	"bufio"
	"bytes"
	"database/sql"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api/command"
	"statelab/tests/harness"
)

func TestKeysAndAccountsOutliveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := harness.Start(t, dir, nil, "--listen", "localhost:0")
	var clients []*harness.Client
	for _, slug := range harness.Strategies {
		c := p.Client(slug)
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		clients = append(clients, c)
	}
	p.Client("").Do("POST", "/accounts", harness.Object{"username": "carol", "password": "down the rabbit hole"}).Is(http.StatusCreated)
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.Ends())

	again := harness.Start(t, dir, nil, "--listen", "localhost:0")
	again.Client("session").Post("login", harness.Credentials("carol", "down the rabbit hole")).Is(http.StatusOK)
	for _, c := range clients {
		c.Server = &harness.Server{URL: again.Base}
		if harness.Outlives(c.Server.Traits(t, c.Slug)) {
			c.Get("profile").Is(http.StatusOK)
		} else {
			c.Get("profile").Is(http.StatusUnauthorized, "unknown_session")
		}
	}
}

func TestFlagsAndVariables(t *testing.T) {
	t.Parallel()
	env := []string{"STATELAB_LISTEN=localhost:0", "STATELAB_SESSION_MAX=1h", "STATELAB_ACCESS_TTL=2m", "STATELAB_TOKEN_ALG=HS256", "STATELAB_LOG_FORMAT=json"}
	p := harness.Start(t, t.TempDir(), env, "serve", "--access-ttl", "3m")
	a := p.Client("session").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	require.Equal(t, "Max-Age=3600", regexp.MustCompile(`Max-Age=\d+`).FindString(a.Header.Get("Set-Cookie")))
	a = p.Client("token").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	require.Equal(t, int64(180), a.Number("credential.expires_in"), "a flag wins over its variable")
	require.Empty(t, p.Client("").Do("GET", "/.well-known/jwks.json", nil).At("keys"), "HS256 has no public key")
}

// refused requires the program not to start, and to say why in one line.
func refused(t *testing.T, dir string, env []string, says string, args ...string) {
	t.Helper()
	t.Run(strings.Join(append(env, args...), " "), func(t *testing.T) {
		cmd := harness.Command(t, dir, env, args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		require.NoError(t, cmd.Start())
		defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop() // if it starts after all
		_ = cmd.Wait()
		require.Equal(t, 2, cmd.ProcessState.ExitCode(), "%s", stderr.String())
		require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "%s", stderr.String())
		require.Contains(t, stderr.String(), says)
		require.NotContains(t, stderr.String(), "sesame", "a password out of an address")
		require.NotContains(t, stderr.String(), "c2VjcmV0", "a secret out of a key file")
		require.Empty(t, stdout.String())
	})
}

func TestRefusalsAreOneLineAndStatusTwo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "damaged.json"), []byte(`{"version":1,"keys":[{"secret":"c2VjcmV0"`), 0o600))
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--store", "http://u:sesame@localhost"}, "memory"},
		{[]string{"--store", "redis://u:sesame@localhost:x"}, "redis://"},
		{[]string{"--store", "Memory"}, "memory"},
		{[]string{"--store", "file:x"}, "memory"},
		{[]string{"--store", "rediss"}, "redis://"},
		{[]string{"--database", "mysql://u:sesame@localhost/db"}, "sqlite:"},
		{[]string{"--database", "postgres://u:sesame@localhost:x/db"}, "postgres://"},
		{[]string{"--database", "sqlite:no/such/directory/x.db"}, "no/such/directory"},
		{[]string{"--revocation", "all"}, "--revocation"},
		{[]string{"--strategies", "sessions"}, "--strategies"},
		{[]string{"--no-classroom", "--strategies", "seed"}, "--strategies"},
		{[]string{"--metrics", "nonsense"}, "--metrics"},
		{[]string{"--classroom-host", "https://lesson.example"}, "--classroom-host"},
		{[]string{"--classroom-host", "Lesson.example"}, "--classroom-host"},
		{[]string{"--no-classroom", "--classroom-host", "lesson.example"}, "--no-classroom"},
		{[]string{"--metrics", "0.0.0.0:9464"}, "localhost"},
		{[]string{"--attacker", "nonsense"}, "--attacker"},
		{[]string{"--attacker", "localhost:x"}, "--attacker"},
		{[]string{"--attacker", "0.0.0.0:9090"}, "127.0.0.1"},
		{[]string{"--attacker", ":9090"}, "127.0.0.1"},
		{[]string{"--no-classroom", "--attacker", "127.0.0.1:9090"}, "--attacker"},
		{[]string{"--cache", "memory"}, "--cache"},
		{[]string{"--cache", "redis://u:sesame@localhost:x"}, "--cache"},
		{[]string{"--listen", "0.0.0.0:8080"}, "localhost"},
		{[]string{"--listen", ":8080"}, "localhost"},
		{[]string{"--listen", "example.org:8080"}, "localhost"},
		{[]string{"--listen", "nonsense"}, "--listen"},
		{[]string{"--listen", "localhost:http"}, "--listen"},
		{[]string{"--trusted-proxy", "127.0.0.1/32"}, "--no-classroom"},
		{[]string{"--keys", "damaged.json"}, "damaged.json"},
		{[]string{"--session-max", "never"}, "--session-max"},
		{[]string{"--session-idle", "0s"}, "--session-idle"},
		{[]string{"--access-ttl", "24h"}, "--access-ttl"},
		{[]string{"--refresh-overlap", "2h"}, "--refresh-overlap"},
		{[]string{"--logins-per-account", "0"}, "--logins-per-account"},
		{[]string{"--logins-per-account", "101"}, "--logins-per-account"},
		{[]string{"--token-alg", "none"}, "--token-alg"},
		{[]string{"--allow-origin", "http://localhost:5173/path"}, "origin"},
		{[]string{"--log-level", "loud"}, "--log-level"},
		{[]string{"--no-such-flag"}, "--no-such-flag"},
		{[]string{"comparison"}, "comparison"},
		{[]string{"compare", "E07", "E99"}, "E99"},
		{[]string{"compare", "--strategy", "sessions"}, "--strategy"},
		{[]string{"compare", "--format", "xml"}, "--format"},
		{[]string{"compare", "--lang", "fr"}, "--lang"},
		{[]string{"compare", "--store", "http://u:sesame@localhost"}, "--store"},
		{[]string{"compare", "--cache", "memory"}, "--cache"},
		{[]string{"compare", "--database", "sqlite:accounts.db"}, "--database"},
		{[]string{"compare", "--database", "postgres://u:sesame@localhost:x/db"}, "--database"},
		{[]string{"compare", "--target", "missing.yaml"}, "--target"},
		{[]string{"compare", "--fail-on", "attack"}, "--target"},
		{[]string{"keys"}, "rotate"},
		{[]string{"keys", "init", "--keys", "damaged.json"}, "damaged.json"},
		{[]string{"keys", "list"}, "statelab keys init"},
		{[]string{"keys", "list", "--keys", "damaged.json"}, "damaged.json"},
		{[]string{"keys", "rotate", "--keys", "damaged.json"}, "damaged.json"},
		{[]string{"keys", "rotate", "--drop-previous", "--keys", "missing.json"}, "statelab keys init --keys missing.json"},
	} {
		refused(t, dir, nil, c.says, c.args...)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*keys.json*"))
	require.NoError(t, err)
	require.Empty(t, left, "what is refused leaves nothing behind")
	require.NoFileExists(t, filepath.Join(dir, "damaged.json.new"))
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--help": "STATELAB_SESSION_MAX", "serve --help": "--session-idle", "version": "statelab ",
	} {
		out, err := harness.Command(t, t.TempDir(), nil, strings.Fields(args)...).Output()
		require.NoError(t, err, args)
		require.Contains(t, string(out), want)
	}
}

func TestAPortInUseIsSaid(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	cmd := harness.Command(t, t.TempDir(), nil, "--listen", l.Addr().String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	_ = cmd.Run()
	require.Equal(t, 1, cmd.ProcessState.ExitCode())
	require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "%s", stderr.String())
	require.Contains(t, stderr.String(), "--listen")
}

func TestRequestsInFlightOutliveSIGTERM(t *testing.T) {
	t.Parallel()
	times := harness.Brisk()
	times.DrainNotice = 3 * time.Second // in which a busy machine asks /readyz once
	p := harness.Start(t, t.TempDir(), []string{harness.Patience(t, times)}, "--listen", "localhost:0")
	conn, rest := p.Halfway()
	defer func() { _ = conn.Close() }()
	p.Client("").Do("GET", "/readyz", nil).Is(http.StatusOK)
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		resp, err := http.Get(p.Base + "/readyz") // until connections are refused
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		return resp.StatusCode == http.StatusServiceUnavailable
	}, time.Minute, 5*time.Millisecond)
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", conn.RemoteAddr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, time.Minute, 5*time.Millisecond, "the listener is closed")

	_, err := io.WriteString(conn, rest)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.NoError(t, resp.Body.Close())
	require.Zero(t, p.Ends())
}

// SIGHUP has the keys read again, and it is also what a closed terminal sends:
// a server that was started in one ends with it.
func TestAClosedTerminalEndsTheServer(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("script")
	harness.NeedSystem(t, err == nil, "no script, which gives a program a terminal")
	path := harness.Script(t)
	// Under nohup what is started here would ignore SIGHUP too.
	terminal := exec.CommandContext(t.Context(), "env", "--default-signal=HUP", "script", "-q", "-c", path+" --listen localhost:0", "/dev/null")
	terminal.Dir = t.TempDir()
	out, err := terminal.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, terminal.Start())
	address := ""
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(lines.Text(), "Ctrl-C"); {
		if match := harness.PageLine.FindStringSubmatch(lines.Text()); match != nil {
			address = strings.TrimPrefix(match[1], "http://")
		}
	}
	dial := func() error {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	require.NoError(t, dial())
	require.NoError(t, terminal.Process.Kill())
	require.Eventually(t, func() bool { return dial() != nil }, time.Minute, 20*time.Millisecond)
	_ = terminal.Wait()
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0")
	conn, _ := p.Halfway()
	defer func() { _ = conn.Close() }()
	p.Client("").Do("GET", "/readyz", nil).Is(http.StatusOK)
	begun := time.Now()
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool {
		_ = p.Cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.Done:
			return true
		default:
			return false
		}
	}, time.Minute, 50*time.Millisecond)
	require.Less(t, time.Since(begun), command.DefaultTimes().Drain, "it does not wait for the request in flight")
}

// A file that an older version has made is told of in one line with what to do.
func TestADatabaseOfAnotherVersionIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	harness.ServiceKeys(t, dir)
	p := harness.Start(t, dir, nil, "--listen", "localhost:0")
	require.NoError(t, p.Cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, p.Ends())
	file := filepath.Join(dir, "statelab-classroom.db")
	db, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	for _, statement := range []string{`DROP TABLE records`, `CREATE TABLE records (
		key TEXT PRIMARY KEY, subject TEXT NOT NULL, rev BIGINT NOT NULL, expires BIGINT NOT NULL, document TEXT NOT NULL)`} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	require.NoError(t, db.Close())
	const other = "database statelab-classroom.db: its tables are those of another version of statelab: "
	refused(t, dir, nil, other+"delete it, and the next start makes a new one", "--listen", "localhost:0")
	refused(t, dir, nil, other+"run the version that made it, or give --database another one", "--no-classroom", "--database", "sqlite:statelab-classroom.db")
	refused(t, dir, nil, other+"run the version that made it, or give --database another one", "account", "list", "--database", "sqlite:statelab-classroom.db")

	require.NoError(t, os.Remove(file))
	harness.Start(t, dir, nil, "--listen", "localhost:0").Client("session-db").
		Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
}

// needIPv6 needs both loopback addresses.
func needIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	harness.NeedSystem(t, err == nil, "no loopback address ::1")
	require.NoError(t, l.Close())
}

func TestLocalhostIsBothLoopbackAddresses(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0", "--metrics", "localhost:0")
	_, port, _ := strings.Cut(strings.TrimPrefix(p.Base, "http://"), ":")
	metrics := regexp.MustCompile(`metrics\s+http://\S+:(\d+)/`).FindStringSubmatch(p.Banner)
	require.NotNil(t, metrics)
	for _, host := range []string{"127.0.0.1", "[::1]", "localhost"} {
		for _, url := range []string{"http://" + host + ":" + port + "/healthz", "http://" + host + ":" + metrics[1] + "/metrics"} {
			resp, err := http.Get(url) // #nosec G107 -- the program's own
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, http.StatusOK, resp.StatusCode, url)
		}
	}
	require.Contains(t, p.Logged(), "draining", "it ends on both")
	_, err := net.Dial("tcp", "[::1]:"+port)
	require.Error(t, err)
}

func TestAPortThatIsInUseAtOneLoopbackAddressIsSaid(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		l, err := net.Listen("tcp", host+":0")
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		cmd := harness.Command(t, t.TempDir(), nil, "--listen", "localhost:"+port)
		out, _ := cmd.CombinedOutput()
		require.Equal(t, 1, cmd.ProcessState.ExitCode(), "another program would receive the passwords of clients that resolve localhost to %s", host)
		require.Contains(t, string(out), "--listen")
	}
}
