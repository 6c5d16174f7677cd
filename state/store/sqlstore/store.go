// Package sqlstore has the store of records in a database, SQLite or PostgreSQL, and opens
// the database that it shares with other parts of a program.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"statelab/state"
	"statelab/state/store"
)

// Store is a state.Store in a Database. The same statements run on SQLite and
// PostgreSQL. What it acknowledges has been committed by the database.
type Store struct {
	db  *Database
	now func() time.Time

	stop    context.CancelFunc
	stopped sync.WaitGroup
}

var _ state.Store = (*Store)(nil)

// A sweep removes at most so many expired records in one statement, so that it
// holds the one lock of SQLite for some milliseconds, at a million records too:
// BenchmarkSweepBatch tells.
const (
	sweepEvery = 15 * time.Second
	sweepBatch = 100
)

// The statements that read, and the one that sweeps: each is answered by one
// index, and none by a scan.
const (
	loadRecord = `SELECT rev, document FROM records WHERE key = $1 AND expires > $2`
	// The index is partial: subject <> '' lets the planner use it.
	loadSubject = `SELECT key, rev, document FROM records WHERE subject = $1 AND subject <> '' AND expires > $2`
	listLogins  = `SELECT key, issued_at, last_seen, ends_at FROM records
		WHERE subject = $1 AND subject <> '' AND strategy = $2 AND revoked = $3 AND expires > $4
		ORDER BY issued_at DESC, key DESC LIMIT 2147483647 OFFSET $5`
	whereEnding = ` WHERE subject = $1 AND subject <> '' AND strategy = $2 AND revoked = $3
		AND issued_at <= $4 AND key <> $5 AND expires > $6`
	deleteLogins = `DELETE FROM records` + whereEnding
	revokeLogins = `UPDATE records SET revoked = TRUE, rev = rev + 1, last_seen = 0, ends_at = expires,
		document = $7 || key || $8 || issued_at || $9 || expires || $10 || expires || $11` + whereEnding
	deleteExpired = `DELETE FROM records WHERE key IN (SELECT key FROM records WHERE expires <= $1 LIMIT $2)`
)

// New returns a store in db, which it does not close, and starts its sweep,
// which Close stops.
func New(db *Database, o store.Options) *Store {
	s := &Store{db: db, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.stopped.Go(func() {
		every(ctx, sweepEvery, func() { _ = s.Sweep(ctx) }) // the next one will find what this one leaves
	})
	return s
}

// Name implements state.Store.
func (s *Store) Name() string { return s.db.Kind }

// Ping implements state.Store.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Close implements state.Store.
func (s *Store) Close() error {
	s.stop()
	s.stopped.Wait()
	return nil
}

func (s *Store) clock() int64 { return int64(state.MicrosOf(s.now())) }

// Create implements state.Store. A record that has expired gives way, and so
// does one that cannot be read: but only as it was read.
func (s *Store) Create(ctx context.Context, k state.Key, r state.Record) error {
	doc, err := r.Encode()
	if err != nil {
		return err
	}
	var gone any = ""
	for {
		err := s.one(ctx, state.ErrExists,
			`INSERT INTO records (key, subject, strategy, issued_at, revoked, rev, expires, document, last_seen, ends_at)
			 VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9)
			 ON CONFLICT (key) DO UPDATE SET subject = excluded.subject, strategy = excluded.strategy, issued_at = excluded.issued_at,
			 last_seen = excluded.last_seen, ends_at = excluded.ends_at,
			 revoked = excluded.revoked, rev = 1, expires = excluded.expires, document = excluded.document
			 WHERE records.expires <= $10 OR records.document = $11`,
			k.String(), r.Login.Subject, r.Strategy, int64(r.Login.IssuedAt), r.Rotation.Revoked, int64(r.Expires), string(doc),
			int64(r.LastSeen), int64(r.Login.ExpiresAt), s.clock(), gone)
		if !errors.Is(err, state.ErrExists) {
			return err
		}
		if gone, err = s.unreadable(ctx, k); err != nil {
			return err
		}
	}
}

// unreadable returns the document under a key if it cannot be decoded, and
// ErrExists if it can.
func (s *Store) unreadable(ctx context.Context, k state.Key) (any, error) {
	var doc any // of any type
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
func (s *Store) one(ctx context.Context, otherwise error, query string, args ...any) error {
	n, err := s.exec(ctx, query, args...)
	if err == nil && n == 0 {
		return otherwise
	}
	return err
}

// exec runs a statement that writes, and returns how many records it changed.
func (s *Store) exec(ctx context.Context, query string, args ...any) (int64, error) {
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
func (s *Store) Load(ctx context.Context, k state.Key) (state.Record, error) {
	ctx, err := s.db.unhurried(ctx)
	if err != nil {
		return state.Record{}, err
	}
	var rev int64
	var doc []byte
	err = s.db.QueryRowContext(ctx, loadRecord, k.String(), s.clock()).Scan(&rev, &doc)
	if errors.Is(err, sql.ErrNoRows) {
		return state.Record{}, state.ErrNotFound
	}
	if err != nil {
		return state.Record{}, fmt.Errorf("store: %w", err)
	}
	return state.DecodeRecord(doc, rev)
}

// Update implements state.Store.
func (s *Store) Update(ctx context.Context, k state.Key, rev int64, r state.Record) error {
	doc, err := r.Encode()
	if err != nil {
		return err
	}
	for {
		now := s.clock()
		err := s.one(ctx, state.ErrConflict,
			`UPDATE records SET rev = rev + 1, revoked = $1, expires = $2, document = $3, last_seen = $4, ends_at = $5
			 WHERE key = $6 AND rev = $7 AND expires > $8`,
			r.Rotation.Revoked, int64(r.Expires), string(doc), int64(r.LastSeen), int64(r.Login.ExpiresAt), k.String(), rev, now)
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
func (s *Store) Delete(ctx context.Context, k state.Key) error {
	return s.one(ctx, nil, `DELETE FROM records WHERE key = $1`, k.String())
}

// BySubject implements state.Store.
func (s *Store) BySubject(ctx context.Context, subject string) ([]state.Entry, error) {
	var entries []state.Entry
	err := s.rows(ctx, func(rows *sql.Rows) error {
		var key string
		var rev int64
		var doc []byte
		if err := rows.Scan(&key, &rev, &doc); err != nil {
			return err
		}
		k, ok := state.ParseKey(key)
		if r, err := state.DecodeRecord(doc, rev); ok && err == nil { // what cannot be decoded is left out
			entries = append(entries, state.Entry{Key: k, Record: r})
		}
		return nil
	}, loadSubject, subject, s.clock())
	return entries, err
}

// Logins implements state.Store, without reading a document.
func (s *Store) Logins(ctx context.Context, q state.LoginQuery) ([]state.LoginHead, error) {
	var all []state.LoginHead
	err := s.rows(ctx, func(rows *sql.Rows) error {
		var key string
		var h state.LoginHead
		if err := rows.Scan(&key, &h.IssuedAt, &h.LastSeen, &h.ExpiresAt); err != nil {
			return err
		}
		var ok bool
		if h.Key, ok = state.ParseKey(key); ok {
			all = append(all, h)
		}
		return nil
	}, listLogins, q.Subject, q.Strategy, q.Ended, s.clock(), q.Skip)
	slices.Reverse(all)
	return all, err
}

// EndSubject implements state.Store, in one statement.
func (s *Store) EndSubject(ctx context.Context, e state.Ending) (int, error) {
	query, args := deleteLogins, []any{e.Subject, e.Strategy, e.Ended, int64(e.Until), e.Except, s.clock()}
	if !e.Delete {
		parts, err := e.Document()
		if err != nil {
			return 0, err
		}
		query = revokeLogins
		for _, part := range parts {
			args = append(args, part)
		}
	}
	n, err := s.exec(ctx, query, args...)
	return int(n), err
}

// rows runs a query and calls f for each row.
func (s *Store) rows(ctx context.Context, f func(*sql.Rows) error, query string, args ...any) error {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// Sweep removes the records that have expired by the store's clock, a batch in
// each statement. The store does so by itself every fifteen seconds.
func (s *Store) Sweep(ctx context.Context) error {
	for {
		n, err := s.exec(ctx, deleteExpired, s.clock(), sweepBatch)
		if err != nil || n < sweepBatch {
			return err
		}
	}
}
