package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3/lock"
)

// adapting is a connector that finds out whether there is a pooler in front of PostgreSQL,
// such as PgBouncer in transaction mode. A pooler refuses the parameter statement_timeout
// or ignores it, and may give each transaction another session, which does not have the
// statements that were prepared in the last one. Behind one, statements are not prepared,
// and the deadlines of their contexts alone bound them.
type adapting struct {
	driver.Connector
	direct, pooled atomic.Bool // neither: no connection yet
}

// errPooled is the error of a connection that was made as one to PostgreSQL itself.
var errPooled = errors.New("sqlstore: there is a pooler in front of PostgreSQL")

func newAdapting(config *pgx.ConnConfig) *adapting {
	a := &adapting{}
	a.Connector = stdlib.GetConnector(*config, stdlib.OptionBeforeConnect(a.adapt), stdlib.OptionAfterConnect(a.check))
	return a
}

// Connect implements driver.Connector.
func (a *adapting) Connect(ctx context.Context) (driver.Conn, error) {
	adapted := a.pooled.Load()
	conn, err := a.Connector.Connect(ctx)
	if err == nil || adapted || !errors.Is(err, errPooled) && !refusesParameter(err) {
		return conn, err
	}
	a.pooled.Store(true)
	return a.Connector.Connect(ctx)
}

// refusesParameter says whether the error is PgBouncer's of a parameter it does not know.
func refusesParameter(err error) bool {
	var refusal *pgconn.PgError
	return errors.As(err, &refusal) && strings.HasPrefix(refusal.Message, "unsupported startup parameter")
}

// adapt changes the configuration of a connection to a pooler.
func (a *adapting) adapt(_ context.Context, config *pgx.ConnConfig) error {
	if !a.pooled.Load() {
		return nil
	}
	if config.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement { // what the address chooses stays
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	config.RuntimeParams = maps.Clone(config.RuntimeParams)
	delete(config.RuntimeParams, "statement_timeout")
	return nil
}

// check compares the number of the process that PostgreSQL has told at the connection with
// the one that answers: a pooler makes up one of its own.
func (a *adapting) check(ctx context.Context, conn *pgx.Conn) error {
	if a.direct.Load() || a.pooled.Load() {
		return nil
	}
	results, err := conn.PgConn().Exec(ctx, `SELECT pg_backend_pid()`).ReadAll() // the simple protocol prepares nothing
	if err == nil && string(results[0].Rows[0][0]) == strconv.FormatUint(uint64(conn.PgConn().PID()), 10) {
		a.direct.Store(true)
		return nil
	}
	if err == nil {
		err = errPooled
	}
	return errors.Join(err, conn.Close(ctx)) // the driver does not close it
}

// How often a node asks for the lock while another one brings the tables up to date.
const (
	lockEvery = time.Second
	lockTries = 300
)

// alone calls f while no other node does. The lock is one of a transaction: a pooler could
// end one of a session in another session, which does not have it.
func alone(ctx context.Context, db *sql.DB, f func() error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for range lockTries {
		var mine bool
		if err := tx.QueryRowContext(ctx, `SELECT pg_try_advisory_xact_lock($1)`, lock.DefaultLockID).Scan(&mine); err != nil {
			return err
		}
		if mine {
			return f()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return errors.New("another node has been bringing the tables up to date for too long")
}
