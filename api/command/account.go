package command

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"statelab/api"
	"statelab/auth"
	"statelab/state/store/sqlstore"
)

// accountCommand is what an operator does to accounts, in the database and beside
// the servers that use it.
type accountCommand struct {
	Database string `placeholder:"URL" help:"Database of accounts (DATABASE_URL or sqlite:statelab.db)."`

	Add     addAccount     `cmd:"" help:"Add an account. The command reads its password from standard input."`
	Role    accountRole    `cmd:"" help:"Change the role of an account, and end its logins."`
	Disable disableAccount `cmd:"" help:"Disable an account, and end its logins."`
	Enable  enableAccount  `cmd:"" help:"Enable a disabled account."`
	Remove  removeAccount  `cmd:"" help:"Delete an account, and end its logins."`
	List    listAccounts   `cmd:"" help:"List all accounts."`
}

// AfterApply fills in the database that serve --no-classroom would use.
func (c *accountCommand) AfterApply(s streams) error {
	c.Database = cmp.Or(c.Database, s.getenv("DATABASE_URL"), serviceDatabase)
	return nil
}

// open returns the accounts. No client signs in here, so nothing counts failures.
func (c *accountCommand) open(ctx context.Context, p Program) (*auth.Accounts, io.Closer, error) {
	db, err := sqlstore.OpenDatabase(ctx, c.Database, api.Migrations()...)
	if err != nil {
		return nil, nil, refuseDatabase(err, false)
	}
	return auth.New(auth.Config{
		Database: db.DB, Hasher: p.Hasher, Now: time.Now, Rand: p.Rand,
		Published: api.PublishedPasswords(),
	}), db, nil
}

// do runs one change of the accounts.
func (c *accountCommand) do(ctx context.Context, p Program, f func(*auth.Accounts) error) error {
	accounts, closer, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	defer func() { _ = closer.Close() }()
	err = f(accounts)
	var invalid *auth.InvalidError
	switch {
	case errors.As(err, &invalid):
		return refuse("%s", invalid.Reason)
	case errors.Is(err, auth.ErrNotFound):
		return refuse("no account has this username: see statelab account list")
	case errors.Is(err, auth.ErrUsernameTaken):
		return refuse("an account with this username exists: choose another username")
	}
	return err
}

type account struct {
	Username string `arg:"" help:"Username of the account."`
}

type addAccount struct {
	account
	DisplayName string `placeholder:"NAME" help:"Name to show (the username)."`
	Role        string `default:"member" enum:"member,admin" help:"member or admin (${default})."`
}

func (a *addAccount) Run(ctx context.Context, c *commands, p Program, s streams) error {
	password, err := s.secret("password: ")
	if err != nil {
		return err
	}
	return c.Account.do(ctx, p, func(accounts *auth.Accounts) error {
		added, err := accounts.Add(ctx, a.Username, password, cmp.Or(a.DisplayName, a.Username), a.Role)
		if err == nil {
			s.report("added %s as %s", added.Username, added.Role)
		}
		return err
	})
}

// report prints what a command has done, in one line.
func (s streams) report(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format+"\n", args...) }

// endsLogins is what follows from a change that ends the account's logins.
const endsLogins = "a running server ends its logins within five seconds"

// change makes one change to the account with this name and reports it: format has
// a verb for the username as it is stored.
func (c *accountCommand) change(ctx context.Context, p Program, s streams, username, format string, f func(*auth.Accounts) error) error {
	return c.do(ctx, p, func(accounts *auth.Accounts) error {
		err := f(accounts)
		if err == nil {
			s.report(format, auth.Fold(username))
		}
		return err
	})
}

// secret reads a line that no other user is to see: not from an argument, which other
// users of the machine can read.
func (s streams) secret(prompt string) (string, error) {
	if f, ok := s.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(s.err, prompt)
		defer func() { _, _ = fmt.Fprintln(s.err) }()
		line, err := term.ReadPassword(int(f.Fd()))
		return string(line), err
	}
	line, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

type accountRole struct {
	account
	Role string `arg:"" help:"member or admin."`
}

func (a *accountRole) Run(ctx context.Context, c *commands, p Program, s streams) error {
	return c.Account.change(ctx, p, s, a.Username, "%s is "+a.Role+" now: "+endsLogins, func(accounts *auth.Accounts) error {
		return accounts.SetRole(ctx, a.Username, a.Role)
	})
}

type disableAccount struct{ account }

func (a *disableAccount) Run(ctx context.Context, c *commands, p Program, s streams) error {
	return c.Account.change(ctx, p, s, a.Username, "disabled %s: "+endsLogins, func(accounts *auth.Accounts) error {
		return accounts.Disable(ctx, a.Username)
	})
}

type enableAccount struct{ account }

func (a *enableAccount) Run(ctx context.Context, c *commands, p Program, s streams) error {
	return c.Account.change(ctx, p, s, a.Username, "enabled %s: it can sign in again", func(accounts *auth.Accounts) error {
		return accounts.Enable(ctx, a.Username)
	})
}

type removeAccount struct{ account }

func (a *removeAccount) Run(ctx context.Context, c *commands, p Program, s streams) error {
	return c.Account.change(ctx, p, s, a.Username, "removed %s: "+endsLogins, func(accounts *auth.Accounts) error {
		return accounts.Remove(ctx, a.Username)
	})
}

type listAccounts struct{}

func (listAccounts) Run(ctx context.Context, c *commands, p Program, s streams) error {
	return c.Account.do(ctx, p, func(accounts *auth.Accounts) error {
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(w, "USERNAME\tROLE\tSTATUS\tDISPLAY NAME\tID")
		for a, err := range accounts.All(ctx) {
			if err != nil {
				return err
			}
			status := "enabled"
			if a.Disabled {
				status = "disabled"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Username, a.Role, status, a.DisplayName, a.ID)
		}
		return w.Flush()
	})
}
