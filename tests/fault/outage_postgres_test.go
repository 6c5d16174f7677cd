package fault

import (
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"statelab/state/store/storetest"
	"statelab/tests/harness" // the driver "pgx"
)

// sessions returns what opens sessions of the test's own with a PostgreSQL
// server, beside statelab's.
func sessions(t *testing.T, server *storetest.Server) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", server.Address+"&application_name=test")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// execute runs statements, each by itself.
func execute(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

func TestAPostgresThatIsDownAtTheStart(t *testing.T) {
	t.Parallel()
	server := storetest.Postgres(t)
	server.Stop()
	p := harness.Start(t, t.TempDir(), []string{harness.Patience(t, harness.Hasty())}, "--listen", "localhost:0", "--database", server.Address, "--store", "database")
	o := newOutage(t, p.Client("").Server)
	login := func() *harness.Answer {
		return p.Client(harness.Strategies[0]).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
	}
	o.fails(databaseAway)
	o.refuses(login)
	server.Start()
	o.recovers() // by a login of alice's, whose account was made just now
	o.clients, o.leavers = o.loginAll(), o.loginAll()
	o.keeps()
}

// A server that takes connections and answers nobody, from the start, holds
// nobody up, however many ask.
func TestAPostgresThatHangsAtTheStart(t *testing.T) {
	t.Parallel()
	server := storetest.Postgres(t)
	l, address := lineTo(t, server.Address, server.Port)
	repair := l.spoil("timeout", `"timeout":0`)
	p := harness.Start(t, t.TempDir(), []string{harness.Patience(t, harness.Hasty())}, "--listen", "localhost:0", "--database", address, "--store", "database")
	o := newOutage(t, p.Client("").Server)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			o.refuses(func() *harness.Answer {
				return p.Client(harness.Strategies[0]).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
			})
		})
	}
	all.Wait()
	o.fails(databaseAway)
	repair()
	o.recovers()
	o.loginAll()
}

func TestAPostgresThatHangs(t *testing.T) {
	t.Parallel()
	server := storetest.Postgres(t)
	o := outageOf(t, running(t, server.Address, "database"))
	server.Pause()
	o.refuses(func() *harness.Answer { // it asks for the counts, and then for the account
		return o.Client(t, "").Do("POST", "/accounts", harness.Object{"username": "late-comer", "password": "the first password"})
	})
	o.fails(databaseAway)
	server.Resume()
	o.recovers()
	o.keeps()
}

func TestAPostgresThatDies(t *testing.T) {
	t.Parallel()
	server := storetest.Postgres(t)
	o := outageOf(t, running(t, server.Address, "database"))
	for _, end := range []func(){server.Kill, server.Stop} {
		stop := o.writers()
		end()
		o.fails(databaseAway)
		server.Start()
		o.recovers()
		stop() // what was acknowledged is there
	}
	o.keeps()
}

// The setting reaches sessions that exist, statelab's pool among them, when they
// begin their next statement.
func TestAPostgresThatIsReadOnly(t *testing.T) {
	t.Parallel()
	server := storetest.Postgres(t)
	o := outageOf(t, running(t, server.Address, "database"))
	db := sessions(t, server)
	readOnly := func(value string) {
		execute(t, db, "ALTER SYSTEM SET default_transaction_read_only = "+value, "SELECT pg_reload_conf()")
		require.Eventually(t, func() bool {
			var is string
			return db.QueryRowContext(t.Context(), "SHOW default_transaction_read_only").Scan(&is) == nil && is == value
		}, harness.Recovery, harness.Recovery/100)
	}
	readOnly("on")
	o.fails(unwritable)
	readOnly("off")
	o.recovers()
	o.keeps()
}

// The records lie on a disk of their own, of a few megabytes; where no disk can
// be mounted, a trigger says what PostgreSQL says when its disk is full.
func TestAPostgresWithoutSpace(t *testing.T) {
	t.Parallel()
	server := storetest.Postgres(t)
	o := outageOf(t, running(t, server.Address, "database"))
	db := sessions(t, server)
	var free []string
	if disk, ok := smallDisk(t); ok {
		execute(t, db, "CREATE TABLESPACE small LOCATION '"+disk+"'",
			"ALTER TABLE records SET TABLESPACE small",
			"ALTER TABLE records SET (autovacuum_enabled = false)", // it would make room
			"CREATE TABLE ballast TABLESPACE small AS SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
		for _, rows := range []int{1000, 100, 10, 1} { // to the last page
			for {
				_, err := db.ExecContext(t.Context(), `
					INSERT INTO records (key, subject, strategy, issued_at, last_seen, ends_at, revoked, rev, expires, document)
					SELECT gen_random_uuid(), '', '', 0, 0, 0, FALSE, 1, 1, repeat('x', 200) FROM generate_series(1, $1)`, rows)
				if err != nil {
					require.ErrorContains(t, err, "SQLSTATE 53100")
					break
				}
			}
		}
		free = []string{"DROP TABLE ballast", "DELETE FROM records WHERE subject = ''"}
	} else {
		execute(t, db, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`,
			`CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON records EXECUTE FUNCTION refuse()`)
		free = []string{"DROP TRIGGER full_disk ON records"}
	}
	o.fails(unwritable)
	execute(t, db, free...)
	o.recovers()
	o.keeps()
}

// smallDisk mounts a disk of a few megabytes that PostgreSQL can write, if this
// user may.
func smallDisk(t *testing.T) (dir string, ok bool) {
	t.Helper()
	dir, err := os.MkdirTemp("", "statelab-disk") //nolint:usetesting // t.TempDir is closed to other users
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.Remove(dir)) })
	u, err := user.Lookup("postgres")
	if err != nil || syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=6m,mode=0700,uid=%s,gid=%s", u.Uid, u.Gid)) != nil {
		return dir, false
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir, true
}

// Somebody keeps the table of the logins locked, as a careless migration does.
// The server answers, so it goes on saying that it is ready.
func TestAPostgresWhoseTableIsLocked(t *testing.T) {
	t.Parallel()
	server := storetest.Postgres(t)
	o := outageOf(t, running(t, server.Address+storetest.Patient, "database", patientWithAccounts))
	other, err := sessions(t, server).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = other.ExecContext(t.Context(), "LOCK TABLE records IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	o.fails(fault{})
	require.NoError(t, other.Rollback())
	o.recovers()
	o.keeps()
}

// Another session has locked rows of one account, and what ends the account's logins
// takes too long, as with very many of them. It is refused in time, and every other
// account is served as always.
func TestAPostgresWithASlowSubject(t *testing.T) {
	t.Parallel()
	server := storetest.Postgres(t)
	o := newOutage(t, running(t, server.Address+storetest.Patient, "database", patientWithAccounts))
	o.clients = map[string]*harness.Client{}
	endings, others := map[string]*harness.Client{}, []string{}
	for _, slug := range harness.Strategies {
		o.clients[slug] = o.login(slug, harness.Bob, harness.BobPassword)
		if traits := o.Traits(t, slug); traits.Everywhere && traits.KeptIn != "" {
			endings[slug] = o.login(slug, harness.Alice, harness.AlicePassword)
			others = append(others, o.login(slug, harness.Alice, harness.AlicePassword).ID())
		}
	}
	require.NotEmpty(t, endings)
	other, err := sessions(t, server).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = other.ExecContext(t.Context(), "SELECT key FROM records WHERE key = ANY ($1) FOR UPDATE", others)
	require.NoError(t, err)

	var slow sync.WaitGroup
	for _, c := range endings {
		slow.Go(func() {
			o.refuses(func() *harness.Answer { return c.Post("logout", harness.Object{"everywhere": true}) })
		})
	}
	slow.Go(func() { // an account changes its password once at a time
		change := harness.Object{"current_password": harness.AlicePassword, "new_password": "through the looking glass"}
		o.refuses(func() *harness.Answer { return endings["session"].Copy().Route("PUT", "password", change) })
	})
	refused := make(chan struct{})
	go func() {
		defer close(refused)
		slow.Wait()
	}()
	for served := false; !served; {
		select {
		case <-refused:
			served = true // once more: nothing rests now
		default:
		}
		for slug, c := range o.clients {
			o.promptly(func() *harness.Answer { return c.Get("profile") }).Is(http.StatusOK)
			o.promptly(func() *harness.Answer { return c.Patch(harness.Object{"nickname": "Bob"}) }).Is(http.StatusOK)
			o.promptly(func() *harness.Answer {
				return o.Client(t, slug).Post("login", harness.Credentials(harness.Bob, harness.BobPassword))
			}).Is(http.StatusOK)
		}
		ready := o.promptly(func() *harness.Answer { return o.Client(t, "").Do("GET", "/readyz", nil) }).Is(http.StatusOK)
		require.Empty(t, ready.At("refusing"))
	}
	require.NoError(t, other.Rollback())
	for _, c := range endings {
		o.again(func() *harness.Answer { return c.Get("profile") }).Is(http.StatusOK)
	}
	o.soon(func() bool {
		for _, c := range endings {
			if c.Post("logout", harness.Object{"everywhere": true}).Status == http.StatusServiceUnavailable {
				return false
			}
		}
		return true
	})
	o.login("session", harness.Alice, harness.AlicePassword) // the password is the old one
}

func TestAPostgresThatTakesNobodyMore(t *testing.T) {
	t.Parallel()
	const most = 12
	server := storetest.Postgres(t, "max_connections="+strconv.Itoa(most), "superuser_reserved_connections=0")
	o := outageOf(t, running(t, server.Address, "database"))
	db := sessions(t, server)
	var held []*sql.Conn
	hold := func() {
		for {
			c, err := db.Conn(t.Context())
			if err != nil {
				require.ErrorContains(t, err, "SQLSTATE 53300")
				return
			}
			held = append(held, c)
		}
	}
	hold()
	require.NotEmpty(t, held)
	require.Eventually(t, func() bool { // the server may take a place again before the test does
		_, err := held[0].ExecContext(t.Context(),
			"SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'test'")
		require.NoError(t, err)
		hold()
		return len(held) == most
	}, time.Minute, time.Millisecond)
	o.fails(databaseAway)
	for _, c := range held {
		require.NoError(t, c.Close())
	}
	require.NoError(t, db.Close())
	o.recovers()
	o.keeps()
}
