package state

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Lifetimes are the durations that the life of a login is made of. Settings says
// what each of them means.
type Lifetimes struct {
	SessionIdle    time.Duration
	SessionMax     time.Duration
	AccessTTL      time.Duration
	RefreshTTL     time.Duration
	RefreshOverlap time.Duration
}

// Limits are the lifetimes, and how many there may be of what each login needs.
type Limits struct {
	Lifetimes
	CredentialCache  int64 // verified credentials that a strategy may remember; 0: it verifies each one each time
	LoginsPerAccount int64 // live logins of an account, where the strategy keeps a record for each
}

// A Setting is all that flags, checks, the classroom's settings and the page know of one
// of the Limits: of a lifetime in nanoseconds, or of a number.
type Setting struct {
	Name     string // of the flag; "session-idle"
	Default  int64
	Min, Max int64  // both are allowed; a Max of 0 is no bound
	Reason   string // of the Max, to follow it in a sentence
	Meaning  string // in one or two sentences
	Lifetime bool   // it is a number of nanoseconds, and not one of things
	Of       func(*Limits) *int64
}

// Settings returns them in the order in which help shows them. The defaults follow
// the OWASP Session Management Cheat Sheet, Session Expiration: 15 to 30 minutes idle, 4
// to 8 hours absolute.
func Settings() []Setting {
	const second, minute, hour = int64(time.Second), int64(time.Minute), int64(time.Hour)
	return []Setting{
		{
			Name: "session-idle", Default: 15 * minute, Min: second,
			Meaning:  "A login that the server stores ends after this time without a request.",
			Lifetime: true, Of: func(l *Limits) *int64 { return (*int64)(&l.SessionIdle) },
		},
		{
			Name: "session-max", Default: 8 * hour, Min: second,
			Meaning:  "A session or a cookie ends this long after its login. A refresh does not extend it.",
			Lifetime: true, Of: func(l *Limits) *int64 { return (*int64)(&l.SessionMax) },
		},
		{
			Name: "access-ttl", Default: 15 * minute, Min: second, Max: hour,
			Reason:   ", because an access token cannot be revoked",
			Meaning:  "Lifetime of an access token.",
			Lifetime: true, Of: func(l *Limits) *int64 { return (*int64)(&l.AccessTTL) },
		},
		{
			Name: "refresh-ttl", Default: 7 * 24 * hour, Min: second,
			Meaning:  "A login with tokens ends after this time. A refresh does not extend it.",
			Lifetime: true, Of: func(l *Limits) *int64 { return (*int64)(&l.RefreshTTL) },
		},
		{
			Name: "refresh-overlap", Default: 10 * second, Max: minute,
			Reason:   ", because a stolen refresh token works for as long",
			Meaning:  "For this time the previous refresh token still returns the same new tokens.",
			Lifetime: true, Of: func(l *Limits) *int64 { return (*int64)(&l.RefreshOverlap) },
		},
		{
			Name:    "credential-cache",
			Meaning: "Number of verified credentials that each client-held strategy remembers; with 0 the server verifies each one each time.",
			Of:      func(l *Limits) *int64 { return &l.CredentialCache },
		},
		{
			Name: "logins-per-account", Default: DefaultLoginsPerAccount, Min: 1, Max: DefaultLoginsPerAccount,
			Meaning: "Maximum of live logins per account and strategy, 1 to 100; a further login ends the oldest one.",
			Of:      func(l *Limits) *int64 { return &l.LoginsPerAccount },
		},
	}
}

// DefaultLifetimes returns the defaults of the lifetimes.
func DefaultLifetimes() Lifetimes {
	var l Limits
	for _, s := range Settings() {
		*s.Of(&l) = s.Default
	}
	return l.Lifetimes
}

// A LimitError says which setting is out of range, by the name of its flag.
type LimitError struct{ Flag, Reason string }

func (e *LimitError) Error() string { return "--" + e.Flag + " " + e.Reason }

// Check returns a *LimitError that says what to use instead, unless each setting is within
// its bounds.
func (l Limits) Check() error {
	for _, s := range Settings() {
		switch v := *s.Of(&l); {
		case s.Max > 0 && (v < s.Min || v > s.Max):
			reason := fmt.Sprintf("%s is out of range: use %s to %s%s", s.Text(v), s.Text(s.Min), s.Text(s.Max), s.Reason)
			return &LimitError{s.Name, reason}
		case v < s.Min:
			return &LimitError{s.Name, fmt.Sprintf("%s is too little: use at least %s", s.Text(v), s.Text(s.Min))}
		}
	}
	return nil
}

// Member is the name of the setting as a member of a JSON object.
func (s Setting) Member() string { return strings.ReplaceAll(s.Name, "-", "_") }

// Text writes a value of the setting as its flag takes it.
func (s Setting) Text(v int64) string {
	if s.Lifetime {
		return Short(time.Duration(v))
	}
	return strconv.FormatInt(v, 10)
}

// Short writes a duration without its trailing zeros: 1h and not 1h0m0s.
func Short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
