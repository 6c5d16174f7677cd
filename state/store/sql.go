package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"statelab/state"
)

// SQL is a state.Store in a Database. The same statements run on SQLite and
// PostgreSQL. What it acknowledges has been committed by the database.
type SQL struct {
	db  *Database
	now func() time.Time

	stop    context.CancelFunc
	stopped sync.WaitGroup
}

var _ state.Store = (*SQL)(nil)

// A sweep removes at most so many expired records in one statement, so that it
// holds the one lock of SQLite for some milliseconds, at a million records too:
// BenchmarkSweepBatch tells.
const (
	sqlSweepEvery = 15 * time.Second
	sqlSweepBatch = 100
)

// The statements that read, and the one that sweeps: each is answered by one
// index, and none by a scan.
const (
	sqlLoad = `SELECT rev, document FROM records WHERE key = $1 AND expires > $2`
	// The index is partial: subject <> '' lets the planner use it.
	sqlBySubject = `SELECT key, rev, document FROM records WHERE subject = $1 AND subject <> '' AND expires > $2`
	sqlLogins    = `SELECT key, rev, document FROM records WHERE subject = $1 AND subject <> '' AND strategy = $2 AND revoked = $3
		AND expires > $4 ORDER BY issued_at DESC, key DESC LIMIT 2147483647 OFFSET $5`
	sqlEnds   = ` WHERE subject = $1 AND subject <> '' AND strategy = $2 AND revoked = $3 AND issued_at <= $4 AND key <> $5 AND expires > $6`
	sqlDelete = `DELETE FROM records` + sqlEnds
	sqlRevoke = `UPDATE records SET revoked = TRUE, rev = rev + 1,
		document = $7 || key || $8 || issued_at || $9 || expires || $10 || expires || $11` + sqlEnds
	sqlSweep = `DELETE FROM records WHERE key IN (SELECT key FROM records WHERE expires <= $1 LIMIT $2)`
)

// NewSQL returns a store in db, which it does not close, and starts its sweep,
// which Close stops.
func NewSQL(db *Database, o Options) *SQL {
	s := &SQL{db: db, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.stopped.Go(func() {
		every(ctx, sqlSweepEvery, func() { _ = s.Sweep(ctx) }) // the next one will find what this one leaves
	})
	return s
}

// Name implements state.Store.
func (s *SQL) Name() string { return s.db.Kind }

// Ping implements state.Store.
func (s *SQL) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Close implements state.Store.
func (s *SQL) Close() error {
	s.stop()
	s.stopped.Wait()
	return nil
}

func (s *SQL) clock() int64 { return int64(state.MicrosOf(s.now())) }

// Create implements state.Store. A record that has expired gives way, and so
// does one that nobody can read: but only as it was read.
func (s *SQL) Create(ctx context.Context, k state.Key, r state.Record) error {
	doc, err := r.Encode()
	if err != nil {
		return err
	}
	var gone any = ""
	for {
		err := s.one(ctx, state.ErrExists,
			`INSERT INTO records (key, subject, strategy, issued_at, revoked, rev, expires, document) VALUES ($1, $2, $3, $4, $5, 1, $6, $7)
			 ON CONFLICT (key) DO UPDATE SET subject = excluded.subject, strategy = excluded.strategy, issued_at = excluded.issued_at,
			 revoked = excluded.revoked, rev = 1, expires = excluded.expires, document = excluded.document
			 WHERE records.expires <= $8 OR records.document = $9`,
			k.String(), r.Login.Subject, r.Strategy, int64(r.Login.IssuedAt), r.Rotation.Revoked, int64(r.Expires), string(doc), s.clock(), gone)
		if !errors.Is(err, state.ErrExists) {
			return err
		}
		if gone, err = s.unreadable(ctx, k); err != nil {
			return err
		}
	}
}

// unreadable returns the document under a key that nobody can read, or
// ErrExists.
func (s *SQL) unreadable(ctx context.Context, k state.Key) (any, error) {
	var doc any // whatever somebody has put there
	err := s.db.QueryRowContext(ctx, `SELECT document FROM records WHERE key = $1`, k.String()).Scan(&doc)
	switch text, ok := doc.(string); {
	case errors.Is(err, sql.ErrNoRows): // ended meanwhile
		return "", nil
	case err != nil:
		return nil, fmt.Errorf("store: %w", err)
	case ok:
		if _, err := state.DecodeRecord([]byte(text), 0); err == nil {
			return nil, state.ErrExists
		}
	}
	return doc, nil
}

// one runs a statement that changes one record, or returns otherwise if it has
// changed none.
func (s *SQL) one(ctx context.Context, otherwise error, query string, args ...any) error {
	n, err := s.exec(ctx, query, args...)
	if err == nil && n == 0 {
		return otherwise
	}
	return err
}

// exec runs a statement that writes, and returns how many records it changed.
func (s *SQL) exec(ctx context.Context, query string, args ...any) (int64, error) {
	if turn := s.db.turn; turn != nil {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	result, err := s.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	return n, nil
}

// Load implements state.Store. A record that cannot be decoded is not found.
func (s *SQL) Load(ctx context.Context, k state.Key) (state.Record, error) {
	var rev int64
	var doc []byte
	err := s.db.QueryRowContext(ctx, sqlLoad, k.String(), s.clock()).Scan(&rev, &doc)
	if errors.Is(err, sql.ErrNoRows) {
		return state.Record{}, state.ErrNotFound
	}
	if err != nil {
		return state.Record{}, fmt.Errorf("store: %w", err)
	}
	return state.DecodeRecord(doc, rev)
}

// Update implements state.Store.
func (s *SQL) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	doc, err := r.Encode()
	if err != nil {
		return err
	}
	for {
		now := s.clock()
		err := s.one(ctx, state.ErrConflict,
			`UPDATE records SET rev = rev + 1, revoked = $1, expires = $2, document = $3 WHERE key = $4 AND rev = $5 AND expires > $6`,
			r.Rotation.Revoked, int64(r.Expires), string(doc), k.String(), rev, now)
		if !errors.Is(err, state.ErrConflict) {
			return err
		}
		// Lost, or gone? Only losers need to ask.
		var found int64
		err = s.db.QueryRowContext(ctx, `SELECT rev FROM records WHERE key = $1 AND expires > $2`, k.String(), now).Scan(&found)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return state.ErrNotFound
		case err != nil:
			return fmt.Errorf("store: %w", err)
		case found != rev:
			return state.ErrConflict
		}
		// It was created between the two: no conflict, so once more.
	}
}

// Delete implements state.Store.
func (s *SQL) Delete(ctx context.Context, k state.Key) error {
	return s.one(ctx, nil, `DELETE FROM records WHERE key = $1`, k.String())
}

// BySubject implements state.Store.
func (s *SQL) BySubject(ctx context.Context, subject string) ([]state.Entry, error) {
	return s.entries(ctx, sqlBySubject, subject, s.clock())
}

// Logins implements state.Store.
func (s *SQL) Logins(ctx context.Context, q state.LoginQuery) ([]state.Entry, error) {
	all, err := s.entries(ctx, sqlLogins, q.Subject, q.Strategy, q.Ended, s.clock(), q.Skip)
	slices.Reverse(all)
	return all, err
}

// EndSubject implements state.Store, in one statement.
func (s *SQL) EndSubject(ctx context.Context, e state.Ending) (int, error) {
	query, args := sqlDelete, []any{e.Subject, e.Strategy, e.Ended, int64(e.Until), e.Except, s.clock()}
	if !e.Delete {
		parts, err := e.Document()
		if err != nil {
			return 0, err
		}
		query = sqlRevoke
		for _, part := range parts {
			args = append(args, part)
		}
	}
	n, err := s.exec(ctx, query, args...)
	return int(n), err
}

// entries runs a query for keys, revisions and documents. What cannot be decoded
// is left out.
func (s *SQL) entries(ctx context.Context, query string, args ...any) ([]state.Entry, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var entries []state.Entry
	for rows.Next() {
		var key string
		var rev int64
		var doc []byte
		if err := rows.Scan(&key, &rev, &doc); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		k, ok := state.ParseKey(key)
		r, err := state.DecodeRecord(doc, rev)
		if ok && err == nil {
			entries = append(entries, state.Entry{Key: k, Record: r})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return entries, nil
}

// Sweep removes the records that have expired by the store's clock, a batch in
// each statement. The store does so by itself every fifteen seconds.
func (s *SQL) Sweep(ctx context.Context) error {
	for {
		n, err := s.exec(ctx, sqlSweep, s.clock(), sqlSweepBatch)
		if err != nil || n < sqlSweepBatch {
			return err
		}
	}
}
