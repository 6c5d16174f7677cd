// Package catalog is a list of things with prices, in a database: public data that
// is read often, changes now and then, and takes some work to read. It is there to
// be cached.
package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
	"unicode/utf8"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations are the tables of the catalogue with its 2,000 items, for goose.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return files
}

var (
	// ErrNotFound is returned for a SKU that the catalogue does not have.
	ErrNotFound = errors.New("catalog: no such item")
	// ErrInDoubt is wrapped by the error of a change that may have been made: its
	// acknowledgement did not come. After any other error nothing has changed.
	ErrInDoubt = errors.New("catalog: the change may have been made")
)

// Prices are within these bounds, in the smallest unit of a currency.
const (
	MinPrice = 1
	MaxPrice = 100_000_000
)

// Item is a thing to be had.
type Item struct {
	SKU   string `json:"sku"`
	Name  string `json:"name"`
	Price int64  `json:"price"` // in the smallest unit, from MinPrice to MaxPrice
}

// Version says which catalogue it is. Two readers who see the same version see the
// same items.
type Version struct {
	Number    int64     // +1 with each change
	WrittenAt time.Time // when the last change was made
}

// Catalog is the catalogue in a database. It is safe for concurrent use. The same
// statements run on SQLite and PostgreSQL.
type Catalog struct {
	db       *sql.DB
	now      func() time.Time
	patience time.Duration
}

// New returns the catalogue in db, which has the tables of Migrations.
//
// Patience bounds one use of the database; zero means DefaultPatience.
func New(db *sql.DB, now func() time.Time, patience time.Duration) *Catalog {
	return &Catalog{db: db, now: now, patience: cmp.Or(patience, DefaultPatience)}
}

// DefaultPatience bounds one use of the database, so that one which hangs is an answer
// within two seconds.
const DefaultPatience = 1500 * time.Millisecond

// Read returns all items in the order of their SKUs. They and the version are of
// one moment, since they come by one statement.
func (c *Catalog) Read(ctx context.Context) ([]Item, Version, error) {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	rows, err := c.db.QueryContext(ctx,
		`SELECT sku, name, price, version, written_at FROM catalog CROSS JOIN catalog_state ORDER BY sku`)
	if err != nil {
		return nil, Version{}, fmt.Errorf("catalog: %w", err)
	}
	defer func() { _ = rows.Close() }()
	items := make([]Item, 0, 2000)
	var v Version
	var written int64
	for rows.Next() {
		var i Item
		if err := rows.Scan(&i.SKU, &i.Name, &i.Price, &v.Number, &written); err != nil {
			return nil, Version{}, fmt.Errorf("catalog: %w", err)
		}
		items = append(items, i)
	}
	if err := rows.Err(); err != nil {
		return nil, Version{}, fmt.Errorf("catalog: %w", err)
	}
	v.WrittenAt = time.UnixMicro(written)
	return items, v, nil
}

// Version returns the version alone: one row.
func (c *Catalog) Version(ctx context.Context) (Version, error) {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	var v Version
	var written int64
	if err := c.db.QueryRowContext(ctx, `SELECT version, written_at FROM catalog_state`).Scan(&v.Number, &written); err != nil {
		return Version{}, fmt.Errorf("catalog: %w", err)
	}
	v.WrittenAt = time.UnixMicro(written)
	return v, nil
}

// SetPrice gives an item another price, and returns the item. A price out of range
// is the caller's mistake. Errors: ErrNotFound, ErrInDoubt.
func (c *Catalog) SetPrice(ctx context.Context, sku string, price int64) (Item, error) {
	i := Item{SKU: sku, Price: price}
	if !utf8.ValidString(sku) || strings.ContainsRune(sku, 0) { // PostgreSQL knows no such text, and would not even look
		return i, ErrNotFound
	}
	err := c.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `UPDATE catalog SET price = $1 WHERE sku = $2 RETURNING name`, price, sku).Scan(&i.Name)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		return err
	})
	return i, err
}

// Reset gives every item the price that it began with.
func (c *Catalog) Reset(ctx context.Context) error {
	return c.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE catalog SET price = standard_price WHERE price <> standard_price`)
		return err
	})
}

// change makes a change and another version, or neither. The version comes first:
// its row lets one writer in at a time.
func (c *Catalog) change(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(ctx, `UPDATE catalog_state SET version = version + 1, written_at = $1`, c.now().UnixMicro())
	if err == nil {
		err = f(ctx, tx)
	}
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	return nil
}
