package auth

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
)

// Bounds on the length of a password in code points (NIST SP 800-63B, 3.1.1.2;
// OWASP ASVS 5.0, 6.2.1 and 6.2.9). There are no composition rules.
const (
	MinPassword = 8
	MaxPassword = 128
)

// commonText lists common passwords, one a line, in lower case; see
// common.LICENSE for its source.
//
//go:embed common.txt
var commonText string

var common = sync.OnceValue(func() map[string]struct{} {
	m := make(map[string]struct{})
	for lines := bufio.NewScanner(strings.NewReader(commonText)); lines.Scan(); {
		m[lines.Text()] = struct{}{}
	}
	return m
})

// productName is a password that attackers try first at this product (OWASP ASVS
// 5.0, 6.2.11).
const productName = "statelab"

// checkPassword returns an *InvalidError if the account with this username may not
// choose a password. It looks at it exactly as received.
func (a *Accounts) checkPassword(member, username, password string) error {
	switch n := utf8.RuneCountInString(password); {
	case n < MinPassword:
		return &InvalidError{member, fmt.Sprintf("A password has at least %d characters.", MinPassword)}
	case n > MaxPassword:
		return &InvalidError{member, fmt.Sprintf("A password has at most %d characters.", MaxPassword)}
	}
	switch lower := strings.ToLower(password); lower {
	case strings.ToLower(username):
		return &InvalidError{member, "The password is the username. Attackers try it first. Choose another one."}
	case productName:
		return &InvalidError{member, "The password is the name of this product. Attackers try it first. Choose another one."}
	}
	if _, ok := common()[strings.ToLower(password)]; ok || slices.Contains(a.published, password) {
		return &InvalidError{member, "This password is a common one. Attackers try it first. Choose another one."}
	}
	return nil
}

// Hasher hashes passwords and compares them. It is safe for concurrent use and
// bounds the work that may go on at once: ErrOverloaded is its answer to more.
// Hash and Compare wait in queues of their own, so that a flood of registrations
// does not refuse sign-ins, nor the other way round.
type Hasher interface {
	// Hash returns a password's hash with everything that is needed to compare.
	Hash(ctx context.Context, password string) (string, error)
	// Compare says whether the password has this hash, and whether the hash was
	// made with other parameters than Hash would use now. An empty hash stands
	// for no account: it costs the same time and never matches.
	Compare(ctx context.Context, password, hash string) (ok, outdated bool, err error)
}

type hashingKey struct{}

// HashingKey is the key under which a context may hold a func() (done func()). It is called
// when a password begins to be hashed, after the queue, and done when it is; both by the
// goroutine that asked for it.
var HashingKey any = hashingKey{}

// outlasting returns a context that goes on if the client leaves, until the deadline of ctx.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	on := context.WithoutCancel(ctx)
	if until, ok := ctx.Deadline(); ok {
		return context.WithDeadline(on, until)
	}
	return on, func() {}
}

// Argon2id hashes with argon2id (RFC 9106).
type Argon2id struct {
	// Spent, if it is set, is called after each hash, before the next one may
	// take as much memory again.
	Spent func()

	params argon2id.Params
	nobody string // a hash that no password has
	gate   *gate
}

// Bounds on the passwords that wait to be hashed, for each kind of work.
const (
	maxQueued = 64
	// maxPatience leaves a request time for the statements and the login that follow:
	// what has waited for its turn is told of overload, and no store of being away.
	maxPatience = 1200 * time.Millisecond
)

// ProductionParams are the OWASP Password Storage Cheat Sheet's minimum for
// argon2id: 19 MiB, two passes, one lane.
func ProductionParams() argon2id.Params {
	return argon2id.Params{Memory: 19 * 1024, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}
}

// NewArgon2id returns a hasher with these parameters that hashes at most as
// many passwords at once as there are processors. Hash uses at most half of
// them, and at least one.
func NewArgon2id(params argon2id.Params) *Argon2id {
	h := &Argon2id{
		params: params,
		gate:   newGate(runtime.GOMAXPROCS(0)),
	}
	// The right parameters and a key of zeros, so comparing costs what it costs
	// for an account. No password is known to lead to it.
	h.nobody = fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", params.Memory, params.Iterations, params.Parallelism,
		strings.Repeat("A", base64Len(params.SaltLength)), strings.Repeat("A", base64Len(params.KeyLength)))
	return h
}

// base64Len is the length of n bytes in base64 without padding.
func base64Len(n uint32) int { return int(n*8+5) / 6 }

// admit waits for a permit. The permit is held until release, also if the client
// leaves meanwhile: the work goes on, so it counts. Errors: ErrOverloaded, and
// ctx's.
func (h *Argon2id) admit(ctx context.Context, kind work) (release func(), err error) {
	if err := h.gate.enter(ctx, kind); err != nil {
		return nil, err
	}
	hashed := func() {}
	if begins, ok := ctx.Value(HashingKey).(func() (done func())); ok {
		hashed = begins()
	}
	return func() {
		hashed()
		if h.Spent != nil {
			h.Spent()
		}
		h.gate.leave(kind)
	}, nil
}

// Busy returns how many passwords are being hashed, and how many wait for it, in
// both queues.
func (h *Argon2id) Busy() (hashing, queued int) { return h.gate.busy() }

// Hash implements Hasher.
func (h *Argon2id) Hash(ctx context.Context, password string) (string, error) {
	release, err := h.admit(ctx, register)
	if err != nil {
		return "", err
	}
	defer release()
	return argon2id.CreateHash(password, &h.params)
}

// Compare implements Hasher.
func (h *Argon2id) Compare(ctx context.Context, password, hash string) (ok, outdated bool, err error) {
	release, err := h.admit(ctx, signIn)
	if err != nil {
		return false, false, err
	}
	defer release()
	nobody := hash == ""
	if nobody {
		hash = h.nobody
	}
	ok, params, err := argon2id.CheckHash(password, hash)
	if err != nil {
		return false, false, err
	}
	return ok && !nobody, *params != h.params, nil
}
