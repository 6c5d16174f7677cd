package auth

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
)

// Accounts are the people who can sign in, in a database. It is safe for
// concurrent use. The same statements run on SQLite and PostgreSQL.
type Accounts struct {
	db       *sql.DB
	hasher   Hasher
	throttle throttle
	shares   *shares  // of the addresses that sign in
	hashing  *shares  // of the addresses that register and change passwords
	changing sync.Map // ids of accounts whose password is being changed
	now      func() time.Time
	random   io.Reader
	patience time.Duration

	limitRegistrations bool
	published          []string
}

// Config is what Accounts are made of.
type Config struct {
	Database *sql.DB // with the tables of Migrations
	Hasher   Hasher
	Counter  Counter // counts failed sign-ins, and registrations
	Now      func() time.Time
	Rand     io.Reader     // for the ids of accounts
	Patience time.Duration // of one statement; zero: DefaultPatience

	// LimitRegistrations has an address register at most MaxRegistrations accounts
	// within ThrottleWindow. False: as many as it likes, as in a classroom.
	LimitRegistrations bool

	// Published are passwords that everybody knows, such as those of the demo
	// accounts: nobody may choose one, and none opens an account, whoever made it.
	Published []string
}

// New returns the accounts in c.Database.
func New(c Config) *Accounts {
	return &Accounts{
		db: c.Database, hasher: queues{c.Hasher}, throttle: throttle{c.Counter, c.Now}, now: c.Now, random: c.Rand,
		shares: newShares(BoundSignInsOfAddress), hashing: newShares(BoundHashesOfAddress),
		patience: cmp.Or(c.Patience, DefaultPatience), limitRegistrations: c.LimitRegistrations, published: c.Published,
	}
}

var usernames = regexp.MustCompile(`^[a-z0-9._-]{3,32}$`)

// IsUsername reports whether an account can have this username, in lower case.
func IsUsername(text string) bool { return usernames.MatchString(text) }

// Fold returns a username in the case in which it is stored. Only ASCII letters have
// another one: U+212A KELVIN SIGN and U+0130 would become k and i, and a name in other
// characters would be that of another account.
func Fold(username string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, username)
}

// HasHidden reports whether a name has characters that cannot be seen and change
// how the text around them is shown: the controls of its direction, which make
// names look like others (Unicode Standard Annex 9), and the separators of lines
// and paragraphs, which would break a line of a log or a list.
func HasHidden(name string) bool {
	return strings.ContainsFunc(name, func(r rune) bool {
		return unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
	})
}

// Register makes a member account for a client at the address, by which
// registrations are counted.
// Errors: *InvalidError, *ThrottledError, ErrUsernameTaken, ErrOverloaded.
func (a *Accounts) Register(ctx context.Context, username, password, displayName, address string) (Account, error) {
	return a.create(ctx, username, password, displayName, RoleMember, creation{limited: a.limitRegistrations, address: address})
}

// Demo makes an account unless it exists. Its password is published, so it is
// for the classroom only.
func (a *Accounts) Demo(ctx context.Context, username, password, displayName, role string) error {
	if _, err := a.find(ctx, "username", username); !errors.Is(err, ErrNotFound) {
		return err
	}
	_, err := a.create(ctx, username, password, displayName, role, creation{anyPassword: true})
	if errors.Is(err, ErrUsernameTaken) {
		return nil
	}
	return err
}

// A creation is what holds for a new account besides the form of its members.
type creation struct {
	anyPassword bool   // the password is taken as it is
	limited     bool   // the address registers at most MaxRegistrations accounts
	address     string // of the client
}

func (a *Accounts) create(ctx context.Context, username, password, displayName, role string, as creation) (Account, error) {
	username = Fold(username)
	if !usernames.MatchString(username) {
		return Account{}, &InvalidError{"username", "A username has 3 to 32 of the characters a-z 0-9 . _ -"}
	}
	// A control character would write lines of its own into terminals, and NUL is
	// one that PostgreSQL does not take.
	if n := utf8.RuneCountInString(displayName); n < 1 || n > 64 ||
		strings.ContainsFunc(displayName, unicode.IsControl) || HasHidden(displayName) {
		return Account{}, &InvalidError{"display_name",
			"A display name has 1 to 64 characters, without control characters, line separators and characters that control the direction of text."}
	}
	if !as.anyPassword {
		if err := a.checkPassword("password", username, password); err != nil {
			return Account{}, err
		}
	}
	if as.limited {
		if err := a.throttle.checkRegistration(ctx, as.address); err != nil {
			return Account{}, err
		}
	}
	// Asked before hashing, to spare the work; the INSERT decides.
	if _, err := a.find(ctx, "username", username); !errors.Is(err, ErrNotFound) {
		return Account{}, cmp.Or(err, ErrUsernameTaken)
	}
	hash, err := a.hash(ctx, password, as.address)
	if err != nil {
		return Account{}, err
	}
	if as.limited {
		// Counted also if the client closed the connection: the account may be made all the same.
		counting, cancel := outlasting(ctx)
		defer cancel()
		if err := a.throttle.countRegistration(counting, as.address); err != nil {
			return Account{}, err
		}
	}
	now := a.now()
	id, err := ulid.New(ulid.Timestamp(now), a.random)
	if err != nil {
		return Account{}, err
	}
	account := Account{ID: id.String(), Username: username, DisplayName: displayName, Role: role}
	result, err := a.exec(ctx,
		`INSERT INTO accounts (id, username, display_name, role, password_hash, created_at)
		 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (username) DO NOTHING`,
		account.ID, account.Username, account.DisplayName, account.Role, hash, now.UnixMicro())
	if err != nil {
		return Account{}, fmt.Errorf("auth: creating an account: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return Account{}, cmp.Or(err, ErrUsernameTaken)
	}
	return account, nil
}

// Opens says whether the password opens the account, at no cost to either: it
// is the operator who asks, and nothing is counted. Errors: ErrOverloaded.
func (a *Accounts) Opens(ctx context.Context, username, password string) (bool, error) {
	r, err := a.find(ctx, "username", username)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ok, _, err := a.hasher.Compare(ctx, password, r.hash)
	return ok, err
}

// exec runs a statement that writes.
func (a *Accounts) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	return a.db.ExecContext(ctx, query, args...)
}

// row is an account with its password's hash.
type row struct {
	Account
	hash string
}

// find returns the account whose column, a name out of this file, has the
// value, or ErrNotFound.
func (a *Accounts) find(ctx context.Context, column, value string) (row, error) {
	var r row
	if column == "username" && !usernames.MatchString(value) {
		return r, ErrNotFound // without asking a database that may know no such text
	}
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	err := a.db.QueryRowContext(ctx,
		`SELECT id, username, display_name, role, disabled, password_hash FROM accounts WHERE `+column+` = $1`, value).
		Scan(&r.ID, &r.Username, &r.DisplayName, &r.Role, &r.Disabled, &r.hash)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return row{}, ErrNotFound
	case err != nil:
		return row{}, fmt.Errorf("auth: reading an account: %w", err)
	}
	return r, nil
}

// ChangePassword gives the account with this id a new password, between two
// calls of end, which ends the logins that began with the old one: the first
// one so that a failure to end them leaves the password as it was, the second
// one for those that began meanwhile. An account has one change at a time, and
// MaxPasswordChanges within ThrottleWindow. A wrong current password is an *InvalidError and counts as a failed sign-in. Other errors:
// *InvalidError for a new one that may not be chosen, *ThrottledError,
// ErrOverloaded, and ErrNotFound if the account is gone.
func (a *Accounts) ChangePassword(ctx context.Context, id, currentPassword, newPassword, address string, end func() error) error {
	r, err := a.find(ctx, "id", id)
	if err == nil && r.Disabled {
		err = ErrNotFound
	}
	if err != nil {
		return err
	}
	if err := a.checkPassword("new_password", r.Username, newPassword); err != nil {
		return err
	}
	if _, busy := a.changing.LoadOrStore(id, true); busy {
		return &OverloadedError{Bound: BoundPasswordChanges}
	}
	defer a.changing.Delete(id)
	// The two queues together are waited for as long as one.
	waits, cancel := context.WithTimeout(ctx, maxPatience)
	defer cancel()
	if err := a.throttle.checkChange(ctx, id); err != nil {
		return err
	}
	verified, err := a.verify(ctx, r, r.Username, currentPassword, address)
	var hash string
	if err == nil {
		if hash, err = a.hash(waits, newPassword, address); errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			err = &OverloadedError{Bound: BoundRegistrationQueue}
		}
	}
	if err == nil {
		// Counted also if the client closed the connection: the password may change all the same.
		counting, stop := outlasting(ctx)
		defer stop()
		err = a.throttle.countChange(counting, id)
	}
	if err == nil {
		err = a.replaceHash(ctx, id, verified, hash, end)
	}
	if errors.Is(err, ErrBadLogin) || errors.Is(err, ErrNotFound) {
		return &InvalidError{"current_password", "This is not your current password."}
	}
	return err
}

// replaceHash puts the hash of a new password in the place of the one that was
// verified, and only of that one: of two changes at once the second one's
// current password is not current any more.
func (a *Accounts) replaceHash(ctx context.Context, id, verified, hash string, end func() error) error {
	if err := end(); err != nil {
		return err
	}
	if err := a.setHash(ctx, id, verified, hash); err != nil {
		return err
	}
	if err := end(); err != nil { // then the old password is the password still
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
		defer cancel()
		return errors.Join(err, a.setHash(undo, id, hash, verified))
	}
	return nil
}

// undoPatience bounds the statement that takes a new password back. The request has
// waited for the endings before it, maybe until its deadline.
const undoPatience = 300 * time.Millisecond

// Account returns the account with this id, or ErrNotFound. One that is disabled
// is as good as none.
func (a *Accounts) Account(ctx context.Context, id string) (Account, error) {
	r, err := a.find(ctx, "id", id)
	if err == nil && r.Disabled {
		return Account{}, ErrNotFound
	}
	return r.Account, err
}

// MaxPage is how many accounts Page returns at most.
const MaxPage = 100

// Page returns at most limit accounts, and MaxPage at most, in the order of their
// usernames, from the first one past the username after on; "" is before all.
// More reports whether another page follows.
func (a *Accounts) Page(ctx context.Context, after string, limit int) (page []Account, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	limit = min(limit, MaxPage)
	rows, err := a.db.QueryContext(ctx, // the index of usernames serves it; the row past the limit says whether there are more
		`SELECT id, username, display_name, role, disabled FROM accounts WHERE username > $1 ORDER BY username LIMIT $2`, after, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("auth: listing accounts: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var x Account
		if err := rows.Scan(&x.ID, &x.Username, &x.DisplayName, &x.Role, &x.Disabled); err != nil {
			return nil, false, fmt.Errorf("auth: listing accounts: %w", err)
		}
		page = append(page, x)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("auth: listing accounts: %w", err)
	}
	if more = len(page) > limit; more {
		page = page[:limit]
	}
	return page, more, nil
}

// All returns every account in the order of their usernames, page by page. An
// error is the last thing that it yields.
func (a *Accounts) All(ctx context.Context) iter.Seq2[Account, error] {
	return func(yield func(Account, error) bool) {
		for after, more := "", true; more; {
			var page []Account
			var err error
			if page, more, err = a.Page(ctx, after, MaxPage); err != nil {
				yield(Account{}, err)
				return
			}
			for _, x := range page {
				if !yield(x, nil) {
					return
				}
				after = x.Username
			}
		}
	}
}

// Ping returns nil if the database answers.
func (a *Accounts) Ping(ctx context.Context) error { return a.db.PingContext(ctx) }
