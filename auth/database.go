package auth

import (
	"embed"
	"io/fs"
	"time"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations are the tables of the accounts, for goose. Whoever opens the
// database brings them up to date.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return files
}

// DefaultPatience bounds one statement, so that a database that hangs is an answer
// within two seconds.
const DefaultPatience = 1500 * time.Millisecond
