package state

import (
	"fmt"
	"strings"
	"time"
)

// Lifetimes are the durations that the life of a login is made of. LifetimeSettings says
// what each of them means.
type Lifetimes struct {
	SessionIdle    time.Duration
	SessionMax     time.Duration
	AccessTTL      time.Duration
	RefreshTTL     time.Duration
	RefreshOverlap time.Duration
}

// A LifetimeSetting is all that flags, checks, the classroom's settings and the page know
// of one of the Lifetimes.
type LifetimeSetting struct {
	Name     string // of the flag; "session-idle"
	Default  time.Duration
	Min, Max time.Duration // both are allowed; a Max of 0 is no bound
	Reason   string        // of the Max, to follow the word "because"
	Meaning  string        // in one or two sentences
	Of       func(*Lifetimes) *time.Duration
}

// LifetimeSettings returns them in the order in which help shows them. The defaults follow
// the OWASP Session Management Cheat Sheet, Session Expiration: 15 to 30 minutes idle, 4
// to 8 hours absolute.
func LifetimeSettings() []LifetimeSetting {
	return []LifetimeSetting{
		{
			Name: "session-idle", Default: 15 * time.Minute, Min: time.Second,
			Meaning: "A login that the server stores ends after this time without a request.",
			Of:      func(l *Lifetimes) *time.Duration { return &l.SessionIdle },
		},
		{
			Name: "session-max", Default: 8 * time.Hour, Min: time.Second,
			Meaning: "A session or a cookie ends this long after its login. A refresh does not extend it.",
			Of:      func(l *Lifetimes) *time.Duration { return &l.SessionMax },
		},
		{
			Name: "access-ttl", Default: 15 * time.Minute, Min: time.Second, Max: time.Hour,
			Reason:  "an access token cannot be revoked",
			Meaning: "Lifetime of an access token.",
			Of:      func(l *Lifetimes) *time.Duration { return &l.AccessTTL },
		},
		{
			Name: "refresh-ttl", Default: 7 * 24 * time.Hour, Min: time.Second,
			Meaning: "A login with tokens ends after this time. A refresh does not extend it.",
			Of:      func(l *Lifetimes) *time.Duration { return &l.RefreshTTL },
		},
		{
			Name: "refresh-overlap", Default: 10 * time.Second, Max: time.Minute,
			Reason:  "a stolen refresh token works for as long",
			Meaning: "For this time the previous refresh token still returns the same new tokens.",
			Of:      func(l *Lifetimes) *time.Duration { return &l.RefreshOverlap },
		},
	}
}

// DefaultLifetimes returns the defaults of all settings.
func DefaultLifetimes() (l Lifetimes) {
	for _, s := range LifetimeSettings() {
		*s.Of(&l) = s.Default
	}
	return l
}

// Check returns an error that says what to use instead, unless d is within the bounds.
func (s LifetimeSetting) Check(d time.Duration) error {
	switch {
	case s.Max > 0 && (d < s.Min || d > s.Max):
		return fmt.Errorf("%s is out of range: use %s to %s, because %s", d, Short(s.Min), Short(s.Max), s.Reason)
	case d < s.Min:
		return fmt.Errorf("%s is too short: use at least %s", d, Short(s.Min))
	}
	return nil
}

// Member is the name of the setting as a member of a JSON object.
func (s LifetimeSetting) Member() string { return strings.ReplaceAll(s.Name, "-", "_") }

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
