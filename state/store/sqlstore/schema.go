package sqlstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// schemaPatience bounds the making and the dropping of a schema.
const schemaPatience = 10 * time.Second

// NewSchema makes a schema in the PostgreSQL database that address names, and returns the
// address by which a server uses this schema and no other. The caller drops it in the end;
// that works when ctx is done, too.
func NewSchema(ctx context.Context, address string) (own string, drop func() error, err error) {
	u, err := url.Parse(address)
	if err != nil { // the error would repeat the address, which may hold a password
		return "", nil, fmt.Errorf("the address of the database cannot be parsed: %w", ErrAddress)
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return "", nil, fmt.Errorf("the address of the database cannot be parsed: %w", ErrAddress)
	}
	name := "statelab_" + strings.ToLower(rand.Text())
	do := func(ctx context.Context, statement string) error {
		ctx, cancel := context.WithTimeout(ctx, schemaPatience)
		defer cancel()
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, statement)
		return errors.Join(err, conn.Close(ctx))
	}
	if err := do(ctx, "CREATE SCHEMA "+name); err != nil {
		return "", nil, err
	}
	query := u.Query()
	query.Set("search_path", name)
	u.RawQuery = query.Encode()
	drop = func() error { return do(context.WithoutCancel(ctx), "DROP SCHEMA "+name+" CASCADE") }
	if err := within(ctx, u.String(), name); err != nil {
		return "", nil, errors.Join(err, drop())
	}
	return u.String(), drop, nil
}

// within returns an error unless what connects to the address works in the schema. A
// PgBouncer that ignores search_path would have the tables made among those of others.
func within(ctx context.Context, address, schema string) error {
	ctx, cancel := context.WithTimeout(ctx, schemaPatience)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	var current string
	err = conn.QueryRow(ctx, "SELECT current_schema()", pgx.QueryExecModeExec).Scan(&current)
	if err == nil && current != schema {
		err = fmt.Errorf("the connection is not in the schema %s: name the PostgreSQL server itself, and no pooler before it", schema)
	}
	return errors.Join(err, conn.Close(ctx))
}
