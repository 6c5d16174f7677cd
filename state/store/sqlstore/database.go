package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"modernc.org/sqlite" // and the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var recordMigrations embed.FS

// Migrations are the tables of one part of the program. Goose keeps their
// version in a table of that name.
type Migrations struct {
	Table string
	Files fs.FS
}

// Database is a database that several parts of the program share.
type Database struct {
	*sql.DB
	// Kind is "sqlite" or "postgres".
	Kind string
	// turn is held by the one that writes records to SQLite, which has one writer at
	// a time: waiting here is fair, while SQLite's own way is to try again and
	// again.
	turn chan struct{}
	// unlimited says that no statement waits for a connection.
	unlimited bool

	stop    context.CancelFunc // nil: nothing runs beside
	stopped sync.WaitGroup
}

// unhurried returns a context for reading one record by its key, or the error of ctx. With a
// context that can end, database/sql starts a goroutine and the driver of SQLite another one,
// which cost as much as the read. In a file of SQLite they have nothing to end: such a read
// waits for no connection and no writer, and for another process that opens the file not
// longer than busy_timeout.
func (d *Database) unhurried(ctx context.Context) (context.Context, error) {
	if err := ctx.Err(); err != nil || !d.unlimited {
		return ctx, err
	}
	return context.WithoutCancel(ctx), nil
}

// Close closes the database, and ends what runs beside it.
func (d *Database) Close() error {
	if d.stop != nil {
		d.stop()
		d.stopped.Wait()
	}
	return d.DB.Close()
}

// What has been written is in SQLite's log, and has to go into its file some time.
// SQLite would do so within the write that fills the log, while every other writer
// waits; readers and writers go on beside a passive checkpoint of a connection of
// its own. The log's own limit, in pages, is for when that cannot keep up.
const (
	checkpointEvery = 250 * time.Millisecond
	checkpointLimit = 100_000 // 400 MB
)

// checkpoint moves what has been written into the file, until ctx is done.
func (d *Database) checkpoint(ctx context.Context) {
	every(ctx, checkpointEvery, func() {
		// An error is the next write's to tell.
		_, _ = d.ExecContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`)
	})
}

// every calls f once a period until ctx is done.
func every(ctx context.Context, period time.Duration, f func()) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// wallClock says how long a migration has been tried, whatever the clock of the records.
var wallClock = time.Now

// ErrAddress is returned for the address of a database that cannot be one.
var ErrAddress = errors.New("use sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME")

// ErrOtherTables is returned for a database whose tables another version of this program
// has made, in a form that no migration leads to. Without it the program would start, and
// each statement would fail.
var ErrOtherTables = errors.New("its tables are those of another version of statelab")

// How long a database may take. A statement that has not answered by then is
// an outage.
const (
	connectTimeout   = time.Second
	statementTimeout = 1500 * time.Millisecond
	poolSize         = 16
	maxIdleTime      = 5 * time.Minute // of a connection, which is closed then
)

// migrationTries is how often a migration is tried again within connectTimeout: as
// often as another process can have been faster, for some tables. A file that stays
// locked is told of soon.
const migrationTries = 8

// OpenDatabase opens the database that address names, "sqlite:PATH" or
// "postgres://...", and brings the tables of all parts up to date.
//
// A SQLite file that cannot be used is an error. A PostgreSQL server may be
// down: the tables are then brought up to date as soon as it answers, before
// any other statement; until then every use is an error. While another node
// brings them up to date, it waits.
func OpenDatabase(ctx context.Context, address string, parts ...Migrations) (*Database, error) {
	own, err := fs.Sub(recordMigrations, "migrations")
	if err != nil {
		return nil, err
	}
	parts = append(parts, Migrations{Table: "records_version", Files: own})
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok && path != "" {
		return openSQLite(ctx, path, parts)
	}
	if strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://") {
		return openPostgres(ctx, address, parts)
	}
	scheme, _, _ := strings.Cut(address, ":") // not the rest: it may hold a password
	return nil, fmt.Errorf("%s is not a kind of database: %w", scheme, ErrAddress)
}

func openSQLite(ctx context.Context, path string, parts []Migrations) (*Database, error) {
	query := url.Values{"_pragma": {
		"busy_timeout(1000)", // a locked database is an answer within two seconds, on a busy machine too
		"journal_mode(wal)",  // readers and a writer do not wait for each other
		"synchronous(full)",  // what is acknowledged survives a loss of power
		"foreign_keys(1)",
		fmt.Sprintf("wal_autocheckpoint(%d)", checkpointLimit),
	}, "_txlock": {"immediate"}}
	name := "file::memory:?" + query.Encode()
	if path != ":memory:" {
		if dir := filepath.Dir(path); !isDir(dir) {
			return nil, fmt.Errorf("database %s: the directory %s does not exist: create it", path, dir)
		}
		name = (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query.Encode()}).String()
	}
	connector, err := sqlite.NewConnector(name)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	db := sql.OpenDB(preparing{connector})
	out := &Database{DB: db, Kind: "sqlite", turn: make(chan struct{}, 1)}
	if path == ":memory:" { // the database is its one connection, which is never closed
		db.SetMaxOpenConns(1)
	} else { // database/sql would keep two, and open the others for each request anew
		db.SetMaxIdleConns(poolSize)
		db.SetConnMaxIdleTime(maxIdleTime)
		out.unlimited = true
	}
	// Of several processes that find a new file, each may see that a table is
	// missing before one of them has made it. The others fail, whole, and at the
	// next look find it done.
	began := wallClock()
	err = migrate(ctx, db, goose.DialectSQLite3, parts)
	for tries := 0; err != nil && tries < migrationTries && wallClock().Sub(began) < connectTimeout; tries++ {
		if errors.Is(err, ErrOtherTables) {
			break // they stay as they are
		}
		err = migrate(ctx, db, goose.DialectSQLite3, parts)
	}
	if err == nil {
		err = writable(ctx, db)
	}
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, errors.Join(err, db.Close()))
	}
	if path != ":memory:" {
		var beside context.Context
		beside, out.stop = context.WithCancel(context.Background())
		out.stopped.Go(func() { out.checkpoint(beside) })
	}
	return out, nil
}

// writable is an error for a database that may only be read. Bringing its tables up to
// date does not find that out: where there is nothing to do, it only reads.
func writable(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, `DELETE FROM records_version WHERE false`)
	if e := (*sqlite.Error)(nil); errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY {
		return nil // another process writes
	}
	return err
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func openPostgres(ctx context.Context, address string, parts []Migrations) (*Database, error) {
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("the server cannot parse the address of the database: %w", ErrAddress)
	}
	// Ours are for an address that does not say how long it is to be waited for.
	if u, err := url.Parse(address); err != nil || !u.Query().Has("connect_timeout") {
		config.ConnectTimeout = connectTimeout
	}
	if config.RuntimeParams["statement_timeout"] == "" {
		config.RuntimeParams["statement_timeout"] = fmt.Sprint(statementTimeout.Milliseconds())
	}
	connector := &migrating{Connector: newAdapting(config), parts: parts, turn: make(chan struct{}, 1)}
	// Tried here, since requests have no patience to wait for another node. If
	// the server is down, the next connection tries again.
	if err := connector.migrate(ctx); errors.Is(err, ErrOtherTables) {
		return nil, fmt.Errorf("the database: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(poolSize)
	db.SetMaxIdleConns(poolSize)
	db.SetConnMaxIdleTime(maxIdleTime)
	return &Database{DB: db, Kind: "postgres"}, nil
}

// migrating is a connector that hands out a connection only once the tables are
// up to date, so that nothing else needs to know whether the server was down at
// the start.
type migrating struct {
	driver.Connector
	parts []Migrations
	done  atomic.Bool
	turn  chan struct{} // held by the one that migrates
}

func (m *migrating) Connect(ctx context.Context) (driver.Conn, error) {
	if !m.done.Load() {
		if err := m.migrate(ctx); err != nil {
			return nil, err
		}
	}
	return m.Connector.Connect(ctx)
}

func (m *migrating) migrate(ctx context.Context) error {
	// A lock could not be given up at the deadline: of many that find a server which
	// hangs, each would wait for all before it.
	select {
	case m.turn <- struct{}{}:
		defer func() { <-m.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if m.done.Load() {
		return nil
	}
	db := sql.OpenDB(m.Connector)
	defer func() { _ = db.Close() }()
	if err := db.PingContext(ctx); err != nil {
		return err
	}
	// Not by the request's deadline: a migration once begun is finished.
	ctx = context.WithoutCancel(ctx)
	if err := alone(ctx, db, func() error { return migrate(ctx, db, goose.DialectPostgres, m.parts) }); err != nil {
		return err
	}
	m.done.Store(true)
	return nil
}

// migrate brings all parts up to date. Of several nodes that start at once, one
// migrates and the others wait, by a lock in PostgreSQL; in SQLite all but one fail, and
// try again.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, parts []Migrations) error {
	for _, part := range parts {
		versions, err := database.NewStore(dialect, part.Table)
		if err != nil {
			return err
		}
		provider, err := goose.NewProvider(goose.DialectCustom, db, part.Files, goose.WithStore(versions))
		if err != nil {
			return err
		}
		if _, err := provider.Up(ctx); err != nil {
			return err
		}
	}
	return checkTables(ctx, db)
}

// recordColumns are the columns that the migrations lead to.
var recordColumns = []string{"key", "subject", "strategy", "issued_at", "last_seen", "ends_at", "revoked", "rev", "expires", "document"}

// checkTables returns ErrOtherTables if the table of records has other columns. The
// version that goose has noted does not say so: before 1.0 a migration may be changed in
// its place.
func checkTables(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT * FROM records LIMIT 0`)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err == nil && !slices.Equal(columns, recordColumns) {
		err = ErrOtherTables
	}
	return errors.Join(err, rows.Err())
}
