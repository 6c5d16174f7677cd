package auth

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Ending says which logins end by what an operator did to an account: its own
// that began by the moment At, or all where the account is Out: gone or disabled.
// Operators work in the database, beside the servers that use it, and these look
// there.
type Ending struct {
	AccountID string
	At        time.Time
	Out       bool
}

// endingsKept is how long an Ending is told: longer than any login lives.
const endingsKept = 400 * 24 * time.Hour

// Add makes an account with a role.
// Errors: *InvalidError, ErrUsernameTaken, ErrOverloaded.
func (a *Accounts) Add(ctx context.Context, username, password, displayName, role string) (Account, error) {
	if err := checkRole(role); err != nil {
		return Account{}, err
	}
	return a.create(ctx, username, password, displayName, role, creation{})
}

func checkRole(role string) error {
	if role != RoleMember && role != RoleAdmin {
		return &InvalidError{"role", fmt.Sprintf("A role is %s or %s.", RoleMember, RoleAdmin)}
	}
	return nil
}

// SetRole gives an account another role, and ends its logins: each of them has
// a copy of the old one. Errors: *InvalidError, ErrNotFound.
func (a *Accounts) SetRole(ctx context.Context, username, role string) error {
	if err := checkRole(role); err != nil {
		return err
	}
	return a.administer(ctx, username, true, `UPDATE accounts SET role = $2 WHERE id = $1`, role)
}

// ChangeRole gives an account another role and returns it as it was before. It
// leaves the account's logins, whose copies of the old role are the caller's to
// look after. Errors: *InvalidError, ErrNotFound.
func (a *Accounts) ChangeRole(ctx context.Context, username, role string) (Account, error) {
	if err := checkRole(role); err != nil {
		return Account{}, err
	}
	before, err := a.find(ctx, "username", Fold(username))
	if err != nil {
		return Account{}, err
	}
	return before.Account, a.administer(ctx, username, false, `UPDATE accounts SET role = $2 WHERE id = $1`, role)
}

// Disable keeps an account from signing in, and ends its logins. Errors:
// ErrNotFound.
func (a *Accounts) Disable(ctx context.Context, username string) error {
	return a.administer(ctx, username, true, `UPDATE accounts SET disabled = 1 WHERE id = $1`)
}

// Enable lets a disabled account sign in again. Errors: ErrNotFound.
func (a *Accounts) Enable(ctx context.Context, username string) error {
	return a.administer(ctx, username, false, `UPDATE accounts SET disabled = 0 WHERE id = $1`)
}

// Remove deletes an account, and ends its logins. Whoever registers the username
// again inherits nothing: that account has another id. Errors: ErrNotFound.
func (a *Accounts) Remove(ctx context.Context, username string) error {
	return a.administer(ctx, username, true, `DELETE FROM accounts WHERE id = $1`)
}

// administer runs a statement on the account with this name and writes down, in
// the same transaction, that its logins end.
func (a *Accounts) administer(ctx context.Context, username string, ends bool, statement string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	tx, err := a.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("auth: changing an account: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // of no effect after Commit
	var id string
	err = tx.QueryRowContext(ctx, `SELECT id FROM accounts WHERE username = $1`, Fold(username)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, statement, append([]any{id}, args...)...)
	}
	if err == nil && ends {
		// Later than all others, however far behind this clock is: who has read
		// those does not look among older ones.
		now := a.now()
		_, err = tx.ExecContext(ctx,
			`INSERT INTO endings (account_id, at)
			 SELECT $1, CASE WHEN max(at) >= $2 THEN max(at) + 1 ELSE $2 END FROM endings WHERE at >= $2
			 ON CONFLICT (account_id) DO UPDATE SET at = excluded.at`, id, now.UnixMicro())
		if err == nil {
			_, err = tx.ExecContext(ctx, `DELETE FROM endings WHERE at < $1`, now.Add(-endingsKept).UnixMicro())
		}
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return fmt.Errorf("auth: changing an account: %w", err)
	}
	return nil
}

// EndingsSince returns what has been written down since a moment, the newest
// first.
func (a *Accounts) EndingsSince(ctx context.Context, since time.Time) ([]Ending, error) {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	rows, err := a.db.QueryContext(ctx,
		`SELECT e.account_id, e.at, a.id IS NULL OR a.disabled <> 0 FROM endings e LEFT JOIN accounts a ON a.id = e.account_id
		 WHERE e.at >= $1 ORDER BY e.at DESC`, since.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("auth: reading endings: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []Ending
	for rows.Next() {
		var e Ending
		var at int64
		if err := rows.Scan(&e.AccountID, &at, &e.Out); err != nil {
			return nil, fmt.Errorf("auth: reading endings: %w", err)
		}
		e.At = time.UnixMicro(at)
		all = append(all, e)
	}
	return all, rows.Err()
}
