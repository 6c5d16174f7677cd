package auth

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// OpenDatabase opens the database that address names, "sqlite:PATH", and brings
// its tables up to date. "sqlite::memory:" is a database of its own that ends
// with the process. The caller closes it.
func OpenDatabase(ctx context.Context, address string) (*sql.DB, error) {
	path, ok := strings.CutPrefix(address, "sqlite:")
	if !ok || path == "" {
		return nil, fmt.Errorf("there is no database %q in this version: use sqlite:PATH", redact(address))
	}
	db, err := openSQLite(path)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, db); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	return db, nil
}

// redact keeps a password in the address of a database out of messages.
func redact(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	scheme, _, _ := strings.Cut(address, ":")
	return scheme + ":…"
}

func openSQLite(path string) (*sql.DB, error) {
	query := url.Values{"_pragma": {
		"busy_timeout(1500)", // a locked database is an answer within two seconds
		"journal_mode(wal)",  // readers and a writer do not wait for each other
		"synchronous(full)",  // what is acknowledged survives a loss of power
		"foreign_keys(1)",
	}, "_txlock": {"immediate"}}
	if path == ":memory:" {
		db, err := sql.Open("sqlite", "file::memory:?"+query.Encode())
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1) // each connection would have a database of its own
		db.SetConnMaxLifetime(0)
		return db, nil
	}
	if dir := filepath.Dir(path); !isDir(dir) {
		return nil, fmt.Errorf("database %s: there is no directory %s", path, dir)
	}
	return sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query.Encode()}).String())
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// migrate brings the tables up to date. Goose's own table says which
// migrations have been applied.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}
