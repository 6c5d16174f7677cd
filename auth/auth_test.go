package auth_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/require"

	"statelab/auth"
	"statelab/tests/seeded"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// cheap are parameters that cost next to nothing.
func cheap() argon2id.Params {
	return argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}
}

// newHasher returns a hasher that does not give up on a busy machine.
func newHasher(p argon2id.Params) *auth.Argon2id {
	h := auth.NewArgon2id(p)
	h.SetPatience(time.Hour)
	return h
}

// counts is a Counter in a map.
type counts struct {
	mu  sync.Mutex
	now time.Time
	n   map[string]int64
	end map[string]time.Time
}

func newCounts() *counts {
	return &counts{now: time.Unix(1_800_000_000, 0), n: map[string]int64{}, end: map[string]time.Time{}}
}

func (c *counts) Count(_ context.Context, key string) (int64, time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.now.Before(c.end[key]) {
		return 0, c.now, nil
	}
	return c.n[key], c.end[key], nil
}

func (c *counts) Add(ctx context.Context, key string, window time.Duration) (int64, time.Time, error) {
	n, end, _ := c.Count(ctx, key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n == 0 {
		end = c.now.Add(window)
	}
	c.n[key], c.end[key] = n+1, end
	return n + 1, end, nil
}

// newDatabase returns an empty database with the tables of the accounts.
func newDatabase(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file::memory:")
	require.NoError(t, err)
	db.SetMaxOpenConns(1) // each connection would have a database of its own
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, auth.Migrations())
	require.NoError(t, err)
	_, err = provider.Up(t.Context())
	require.NoError(t, err)
	return db
}

func newAccounts(t *testing.T, h auth.Hasher) (*auth.Accounts, *counts) {
	t.Helper()
	c := newCounts()
	db := newDatabase(t)
	return auth.New(auth.Config{Database: db, Hasher: h, Counter: c, Now: func() time.Time { return c.now }, Rand: seeded.Reader(t)}), c
}

// recording notes what a Hasher is asked.
type recording struct {
	auth.Hasher
	compared []string
}

func (r *recording) Compare(ctx context.Context, password, hash string) (bool, bool, error) {
	r.compared = append(r.compared, hash)
	return r.Hasher.Compare(ctx, password, hash)
}

func TestUnknownUsersCostAComparisonToo(t *testing.T) {
	t.Parallel()
	r := &recording{Hasher: newHasher(cheap())}
	a, _ := newAccounts(t, r)
	_, err := a.Register(t.Context(), "alice", "down the rabbit hole", "Alice", "address")
	require.NoError(t, err)
	for i, username := range []string{"alice", "nobody", "no such name!", ""} {
		_, _, err := a.SignIn(t.Context(), username, "wrong", "address")
		require.ErrorIs(t, err, auth.ErrBadLogin, username)
		require.Len(t, r.compared, i+1)
	}
	require.NotEmpty(t, r.compared[0])
	require.Empty(t, r.compared[1], "no account, the same work")
}

func TestAHashOfNobodyCostsWhatAnyHashCosts(t *testing.T) {
	t.Parallel()
	h := newHasher(cheap())
	ok, outdated, err := h.Compare(t.Context(), "", "")
	require.NoError(t, err)
	require.False(t, ok)
	require.False(t, outdated, "it has the parameters of every other hash")
}

func TestTheWorkFactorIsRaisedAtSignIn(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	open := func(p argon2id.Params) *auth.Accounts {
		return auth.New(auth.Config{Database: db, Hasher: newHasher(p), Counter: newCounts(), Now: time.Now, Rand: seeded.Reader(t)})
	}
	hash := func() (h string) {
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT password_hash FROM accounts`).Scan(&h))
		return h
	}
	_, err := open(cheap()).Register(t.Context(), "alice", "down the rabbit hole", "Alice", "address")
	require.NoError(t, err)
	require.Contains(t, hash(), "m=64,t=1,p=1")

	harder := cheap()
	harder.Iterations = 2
	_, _, err = open(harder).SignIn(t.Context(), "alice", "wrong", "address")
	require.ErrorIs(t, err, auth.ErrBadLogin)
	require.Contains(t, hash(), "m=64,t=1,p=1", "a wrong password raises nothing")
	for range 2 {
		_, _, err = open(harder).SignIn(t.Context(), "alice", "down the rabbit hole", "address")
		require.NoError(t, err)
		require.Contains(t, hash(), "m=64,t=2,p=1")
	}
}

// Of sign-ins beside each other one renews the hash, and the password of the
// others is still the right one.
func TestARenewedHashOvertakesNobody(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	open := func(h auth.Hasher) *auth.Accounts {
		return auth.New(auth.Config{Database: db, Hasher: h, Counter: newCounts(), Now: time.Now, Rand: seeded.Reader(t)})
	}
	a := open(newHasher(cheap()))
	_, err := a.Register(t.Context(), "alice", "down the rabbit hole", "Alice", "address")
	require.NoError(t, err)
	_, still, err := a.SignIn(t.Context(), "alice", "down the rabbit hole", "address")
	require.NoError(t, err)
	harder := cheap()
	harder.Iterations++
	_, _, err = open(newHasher(harder)).SignIn(t.Context(), "alice", "down the rabbit hole", "address")
	require.NoError(t, err)
	require.NoError(t, still(t.Context()))
}

// One run with the parameters of production.
func TestProductionParameters(t *testing.T) {
	t.Parallel()
	h := newHasher(auth.ProductionParams())
	hash, err := h.Hash(t.Context(), "down the rabbit hole")
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$"), hash)
	ok, outdated, err := h.Compare(t.Context(), "down the rabbit hole", hash)
	require.NoError(t, err)
	require.True(t, ok)
	require.False(t, outdated)
}

func TestOneNameIsRegisteredOnce(t *testing.T) {
	t.Parallel()
	a, _ := newAccounts(t, newHasher(cheap()))
	results := make([]error, 20)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			_, results[i] = a.Register(t.Context(), "Alice", "down the rabbit hole", "Alice", "address")
		})
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
		} else {
			require.True(t, errors.Is(err, auth.ErrUsernameTaken) || errors.Is(err, auth.ErrOverloaded), "%v", err)
		}
	}
	require.Equal(t, 1, won)
}

func TestOfTwoPasswordChangesOneCounts(t *testing.T) {
	t.Parallel()
	a, _ := newAccounts(t, newHasher(cheap()))
	alice, err := a.Register(t.Context(), "alice", "down the rabbit hole", "Alice", "address")
	require.NoError(t, err)
	passwords := []string{"through the looking glass", "the queen of hearts"}
	results := make([]error, 2)
	var wg sync.WaitGroup
	for i, p := range passwords {
		wg.Go(func() {
			results[i] = a.ChangePassword(t.Context(), alice.ID, "down the rabbit hole", p, "address", func() error { return nil })
		})
	}
	wg.Wait()
	working := 0
	for i, p := range passwords {
		_, _, err := a.SignIn(t.Context(), "alice", p, "elsewhere")
		require.Equal(t, results[i] == nil, err == nil, "what was acknowledged works, and nothing else")
		if err == nil {
			working++
		}
	}
	require.Equal(t, 1, working)
}

func TestUsernames(t *testing.T) {
	t.Parallel()
	a, _ := newAccounts(t, newHasher(cheap()))
	for _, good := range []string{"abc", "a.b-c_9", strings.Repeat("x", 32), "UPPER"} {
		_, err := a.Register(t.Context(), good, "down the rabbit hole", "Alice", "address")
		require.NoError(t, err, good)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("x", 33), "with space", "앨리스", "a/b", "a\x00bc", "abc\n", "admin@x"} {
		_, err := a.Register(t.Context(), bad, "down the rabbit hole", "Alice", "address")
		var invalid *auth.InvalidError
		require.ErrorAs(t, err, &invalid, "%q", bad)
		require.Equal(t, "username", invalid.Member)
	}
}

func BenchmarkArgon2id(b *testing.B) {
	h := auth.NewArgon2id(auth.ProductionParams())
	hash, err := h.Hash(b.Context(), "down the rabbit hole")
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if ok, _, err := h.Compare(b.Context(), "down the rabbit hole", hash); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}

// What cannot be chosen is refused before any work goes into it: this hasher
// would fall over.
func TestAPasswordThatMayNotBeChosenIsNotHashed(t *testing.T) {
	t.Parallel()
	a, _ := newAccounts(t, nil)
	list, err := os.ReadFile("common.txt")
	require.NoError(t, err)
	common := strings.Fields(string(list))
	require.Greater(t, len(common), 3000)
	for _, password := range common[:3000] { // OWASP ASVS 5.0, 6.2.4
		for _, spelled := range []string{password, strings.ToUpper(password), strings.ToUpper(password[:1]) + password[1:]} {
			_, err := a.Register(t.Context(), "alice", spelled, "Alice", "address")
			var invalid *auth.InvalidError
			require.ErrorAs(t, err, &invalid, spelled)
			require.Contains(t, invalid.Error(), "common one", "a refusal has its reason")
		}
	}
	for _, password := range []string{"", strings.Repeat("😀", 7), strings.Repeat("x", 129), strings.Repeat("x", 60_000), strings.Repeat("😀", 129)} {
		_, err := a.Register(t.Context(), "alice", password, "Alice", "address")
		var invalid *auth.InvalidError
		require.ErrorAs(t, err, &invalid, "%d bytes", len(password))
	}
}

func TestPagesHaveEveryAccountOnce(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	a := auth.New(auth.Config{Database: db, Now: time.Now})
	const accounts = 2*auth.MaxPage + 5
	for i := range accounts {
		_, err := db.ExecContext(t.Context(), `INSERT INTO accounts (id, username, display_name, role, password_hash, created_at)
			VALUES ($1, $2, '', 'member', '', 0)`, i, fmt.Sprintf("account-%03d", accounts-i))
		require.NoError(t, err)
	}
	var all []string
	for x, err := range a.All(t.Context()) {
		require.NoError(t, err)
		all = append(all, x.Username)
	}
	require.Len(t, all, accounts)
	require.True(t, slices.IsSorted(all))
	page, more, err := a.Page(t.Context(), all[1], 3)
	require.NoError(t, err)
	require.True(t, more)
	require.Equal(t, []string{all[2], all[3], all[4]}, []string{page[0].Username, page[1].Username, page[2].Username})
	page, more, err = a.Page(t.Context(), all[accounts-4], 3)
	require.NoError(t, err)
	require.False(t, more, "the last page is full")
	require.Len(t, page, 3)
	page, more, err = a.Page(t.Context(), "", accounts)
	require.NoError(t, err)
	require.True(t, more)
	require.Len(t, page, auth.MaxPage, "no page is longer")

	var plan string
	var ignored any
	const query = `EXPLAIN QUERY PLAN SELECT id FROM accounts WHERE username > $1 ORDER BY username LIMIT $2`
	require.NoError(t, db.QueryRowContext(t.Context(), query, "a", 1).Scan(&ignored, &ignored, &ignored, &plan))
	require.Contains(t, plan, "SEARCH accounts USING INDEX")
}
