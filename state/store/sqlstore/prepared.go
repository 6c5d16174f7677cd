package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
)

// maxPrepared bounds the statements that a connection keeps. The program has half as many,
// those of its migrations included: all are constants.
const maxPrepared = 128

// preparing is a connector to SQLite whose connections compile each statement once. To
// compile a statement takes longer than to read a record by its key.
type preparing struct{ driver.Connector }

// Connect implements driver.Connector.
func (p preparing) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(sqliteConn)
	if !ok {
		return nil, errors.Join(errDriver, c.Close())
	}
	return &preparedConn{sqliteConn: conn, statements: map[string]*statement{}}, nil
}

var errDriver = errors.New("sqlstore: the driver of SQLite lacks a method")

// sqliteConn is what database/sql asks of a connection of the driver, and tests, which copy
// a database with its tables instead of making them again.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	Serialize() ([]byte, error)
}

// preparedConn is a connection with the statements that it has compiled. One goroutine uses
// it at a time.
type preparedConn struct {
	sqliteConn
	statements map[string]*statement
}

var _ sqliteConn = (*preparedConn)(nil)

// sqliteStmt is what a connection asks of a statement of the driver.
type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// A statement is compiled. Rows that are read from it keep it from being run again.
type statement struct {
	sqliteStmt
	reading bool
}

// statement returns the compiled statement. It returns errInUse if the rows of the statement
// are being read, or if the connection keeps too many others.
func (c *preparedConn) statement(ctx context.Context, query string) (*statement, error) {
	s := c.statements[query]
	if s != nil && s.reading || s == nil && len(c.statements) == maxPrepared {
		return nil, errInUse
	}
	if s != nil {
		return s, nil
	}
	compiled, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	stmt, ok := compiled.(sqliteStmt)
	if !ok {
		return nil, errors.Join(errDriver, compiled.Close())
	}
	s = &statement{sqliteStmt: stmt}
	c.statements[query] = s
	return s, nil
}

var errInUse = errors.New("sqlstore: the statement has to be compiled once more")

// ExecContext implements driver.ExecerContext.
func (c *preparedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.statement(ctx, query)
	if errors.Is(err, errInUse) {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args)
}

// QueryContext implements driver.QueryerContext.
func (c *preparedConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, query)
	if errors.Is(err, errInUse) {
		return c.sqliteConn.QueryContext(ctx, query, args)
	}
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.reading = true
	return reading{rows, s}, nil
}

// Close implements driver.Conn.
func (c *preparedConn) Close() error {
	var all error
	for _, s := range c.statements {
		all = errors.Join(all, s.Close())
	}
	return errors.Join(all, c.sqliteConn.Close())
}

// reading are rows of a statement.
type reading struct {
	driver.Rows
	of *statement
}

// Close implements driver.Rows.
func (r reading) Close() error {
	r.of.reading = false
	return r.Rows.Close()
}
