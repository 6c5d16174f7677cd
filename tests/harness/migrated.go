package harness

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite"

	"statelab/api"
	"statelab/state/store/sqlstore"
)

// image is a database in memory to which every migration has been applied, as bytes.
// Once it is there, each database in memory begins as a copy: goose parses files of
// migrations with buffers of a megabyte, and under the race detector that cost a third
// of the time of all tests.
var image atomic.Pointer[[]byte]

func init() {
	sqlite.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, name string) error {
		b := image.Load()
		if b == nil || !strings.HasPrefix(name, "file::memory:?") {
			return nil
		}
		return conn.(interface{ Deserialize([]byte) error }).Deserialize(*b)
	})
}

// migrateOnce applies the migrations for all databases in memory.
var migrateOnce = sync.OnceValue(func() error {
	ctx := context.Background()
	db, err := sqlstore.OpenDatabase(ctx, "sqlite::memory:", api.Migrations()...)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return conn.Raw(func(c any) error {
		b, err := c.(interface{ Serialize() ([]byte, error) }).Serialize()
		if err == nil {
			image.Store(&b)
		}
		return err
	})
})
