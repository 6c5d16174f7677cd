package fault

import (
	"bytes"
	"database/sql"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// overFile runs statelab with all that it keeps in a new SQLite file.
func overFile(t *testing.T) (s *harness.Server, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "statelab.db")
	return running(t, "sqlite:"+path, "database"), path
}

// sound requires that a SQLite database has no damage, and returns how many
// records are in it.
func sound(t *testing.T, db *sql.DB) (records int) {
	t.Helper()
	var verdict string
	require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict))
	require.Equal(t, "ok", verdict)
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM records").Scan(&records))
	return records
}

func TestASQLiteThatIsLocked(t *testing.T) {
	t.Parallel()
	s, path := overFile(t)
	o := outageOf(t, s)
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	other, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	o.fails(unwritable)
	o.refuses(func() *harness.Answer {
		return o.Client(t, "").Do("POST", "/accounts", harness.Object{"username": "carol", "password": "down the rabbit hole"})
	})
	require.NoError(t, other.Rollback())
	o.recovers()
	o.keeps()
}

// A file that may not grow takes what fits into its pages, so some writes are
// still done: those that are not are refused, and leave nothing behind.
func TestASQLiteThatIsFull(t *testing.T) {
	t.Parallel()
	s, _ := overFile(t)
	o := outageOf(t, s)
	db := s.Config.Database
	db.SetMaxOpenConns(1) // whose limit it is
	require.Eventually(t, func() bool { return db.Stats().OpenConnections <= 1 }, harness.Recovery, time.Millisecond, "the limit would be another's")
	execute(t, db, "PRAGMA max_page_count = 1") // or as many as there are
	records := sound(t, db)
	for {
		a := o.promptly(func() *harness.Answer {
			return o.Client(t, harness.Strategies[0]).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
		})
		if a.Status != http.StatusOK {
			a.Unavailable("store_unavailable")
			break
		}
		records++
		require.Less(t, records, 1000, "it is never full")
	}
	for slug, c := range o.clients {
		_, writing := unwritable.hits(o.Traits(t, slug))
		before := c.Profile()
		note := strings.Repeat("x", 200)
		patched := o.promptly(func() *harness.Answer { return c.Patch(harness.Object{"note": note}) })
		if patched.Status == http.StatusOK {
			require.Contains(t, c.Profile(), note)
		} else {
			require.True(t, writing, "%s", patched.Body)
			patched.Unavailable("store_unavailable")
			require.Equal(t, before, c.Profile())
		}
		if writing {
			o.leaves(o.leavers[slug], unwritable)
		}
	}
	o.others()
	require.LessOrEqual(t, sound(t, db), records, "what was refused left something behind")
	execute(t, db, "PRAGMA max_page_count = 1000000")
	o.recovers()
	o.keeps()
}

// What cannot be used is refused before anything is served, with its path; by
// another user than root, who may do everything.
func TestASQLiteFileThatCannotBeUsedIsRefused(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "statelab-sqlite") //nolint:usetesting // t.TempDir is closed to other users
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a letter.db"), bytes.Repeat([]byte("Dear Alice, "), 1000), 0o666))
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "locked"), 0o755))
	ended := harness.Start(t, dir, nil, "--listen", "localhost:0", "--database", "sqlite:locked/good.db")
	require.NoError(t, ended.Cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, ended.Ends())
	killed := harness.Start(t, dir, nil, "--listen", "localhost:0", "--database", "sqlite:locked/killed.db")
	require.NoError(t, killed.Cmd.Process.Kill())
	killed.Ends()
	for _, name := range []string{"good.db", "killed.db", "killed.db-wal", "killed.db-shm"} {
		require.NoError(t, os.Chmod(filepath.Join(dir, "locked", name), 0o444))
	}
	require.NoError(t, os.Chmod(filepath.Join(dir, "locked"), 0o555))
	require.NoError(t, os.Chmod(dir, 0o755))
	for path, why := range map[string]string{
		"a letter.db":    "it is no database",
		"no/such/x.db":   "its directory does not exist",
		"locked":         "it is a directory",
		"locked/new.db":  "its directory takes no files",
		"locked/good.db": "it may not be written",
		// SQLite reads it, since its log is there: the first statement that writes would fail.
		"locked/killed.db": "it may only be read",
	} {
		cmd := harness.ReleasedCommand(t, dir, nil, "--listen", "localhost:0", "--database", "sqlite:"+path) // which every user may run
		asAnother(cmd)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		_ = cmd.Run()
		require.Equal(t, 2, cmd.ProcessState.ExitCode(), "%s: %s", why, stderr.String())
		require.Contains(t, stderr.String(), path, why)
		require.Equal(t, 1, strings.Count(stderr.String(), "\n"), "%s", stderr.String())
	}
}

// asAnother runs a command of root's as nobody.
func asAnother(cmd *exec.Cmd) {
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
}
