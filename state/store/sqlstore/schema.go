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
	return u.String(), func() error { return do(context.WithoutCancel(ctx), "DROP SCHEMA "+name+" CASCADE") }, nil
}
