package state

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// A denylist makes what clients hold revocable: it remembers which logins have
// ended although copies of their credentials have not expired (OWASP ASVS 5.0,
// 7.4.1). The price is the look-up that client-held state was to save, one for
// each request.
//
// It is for strategies of which the server keeps no record at all: where it keeps
// one for each login, that record knows.
//
// There is one record for each subject that has ended something, so that one
// look-up tells both whether this login was ended and whether all were. It keys
// by the login and never by the credential, of which there can be several
// spellings (OWASP JSON Web Token: No Built-In Token Revocation by the User).
type denylist struct {
	store Store
	slug  string
	now   func() Micros
	lives time.Duration // a credential made now expires by then
	on    bool          // else everything is allowed, and nothing is asked
}

// newDenylist returns the denylist of a strategy whose credentials live for so
// long.
func newDenylist(c Config, lives time.Duration) denylist {
	return denylist{c.Store, c.Slug, c.now, lives, c.Denylist}
}

// maxEnded bounds the list of one subject. Beyond it the oldest half becomes a
// moment: who ends more logins than that while their credentials could live
// ends all that are as old.
const maxEnded = 64

// Ended is the part of a record that says which logins of a subject are over. It
// is replaced, never changed in place.
type Ended struct {
	All    Micros       `json:"all,omitzero"`    // those that began then or earlier,
	Until  Micros       `json:"until,omitzero"`  // those that began then or earlier,
	Spared string       `json:"spared,omitzero"` // but for this one,
	Logins []EndedLogin `json:"logins,omitempty"`
}

// EndedLogin is one login that is over.
type EndedLogin struct {
	ID       string `json:"sid"`
	IssuedAt Micros `json:"issued_at"`
	Expires  Micros `json:"expires"` // when its copies expire and the entry can be removed
}

func (e *Ended) has(l Login) bool {
	return l.IssuedAt <= e.All || l.IssuedAt <= e.Until && l.ID != e.Spared ||
		slices.ContainsFunc(e.Logins, func(o EndedLogin) bool { return o.ID == l.ID })
}

// EndedKey is the key of the record that says which client-held logins of a
// subject are over, in the strategy with this slug.
func EndedKey(slug, subject string) Key { return KeyOf("ended", slug, subject) }

func (d denylist) key(subject string) Key { return EndedKey(d.slug, subject) }

// ended returns what the subject has ended.
func (d denylist) ended(ctx context.Context, subject string) (Ended, error) {
	rec, err := d.store.Load(ctx, d.key(subject))
	if errors.Is(err, ErrNotFound) || err == nil && rec.Ended == nil {
		return Ended{}, nil
	}
	if err != nil {
		return Ended{}, failed(err)
	}
	return *rec.Ended, nil
}

// check returns ErrRevoked if the login has ended.
func (d denylist) check(ctx context.Context, l Login) error {
	if !d.on {
		return nil
	}
	e, err := d.ended(ctx, l.Subject)
	if err == nil && e.has(l) {
		err = ErrRevoked
	}
	return err
}

// begin returns the moment at which a new login of the subject begins: now, or
// later than everything that has ended, should the clock that ended it be ahead
// of ours.
func (d denylist) begin(ctx context.Context, subject string) (Micros, error) {
	now := d.now()
	if !d.on {
		return now, nil
	}
	e, err := d.ended(ctx, subject)
	return max(now, e.All+1, e.Until+1), err
}

// end ends one login. One that has ended takes no second entry: entries beyond maxEnded
// become a moment, which ends other logins too.
func (d denylist) end(ctx context.Context, l Login) error {
	return d.change(ctx, l.Subject, func(e *Ended) {
		if e.has(l) {
			return
		}
		// All copies of a login expire together: neither a change nor a refresh moves the end.
		e.Logins = append(e.Logins, EndedLogin{l.ID, l.IssuedAt, l.ExpiresAt})
		if len(e.Logins) > maxEnded {
			slices.SortFunc(e.Logins, func(a, b EndedLogin) int { return cmp.Compare(a.IssuedAt, b.IssuedAt) })
			e.All = max(e.All, e.Logins[maxEnded/2-1].IssuedAt) // the one that was spared may be among them
			e.Logins = e.Logins[maxEnded/2:]
		}
	})
}

// endAll ends the logins of the subject that began by the moment until, but for
// the one with the id spared.
func (d denylist) endAll(ctx context.Context, subject, spared string, until Micros) error {
	return d.change(ctx, subject, func(e *Ended) {
		switch {
		case spared == "": // also one that an earlier call has spared
			e.All = max(e.All, until)
		case until >= e.Until:
			if spared != e.Spared { // and has ended, if it began by then
				e.All = max(e.All, e.Until)
			}
			e.Until, e.Spared = until, spared
		}
	})
}

// confirm returns ErrUnknown if the list does not say that the logins of the subject
// have ended that began by the moment until.
func (d denylist) confirm(ctx context.Context, subject string, until Micros) error {
	if !d.on {
		return nil
	}
	e, err := d.ended(ctx, subject)
	if err == nil && e.All < until {
		err = ErrUnknown
	}
	return err
}

func (d denylist) change(ctx context.Context, subject string, f func(e *Ended)) error {
	if !d.on {
		return nil
	}
	return Upsert(ctx, d.store, d.key(subject), func(rec *Record) {
		now := d.now()
		var e Ended
		if rec.Ended != nil {
			e = *rec.Ended
		}
		e.Logins = slices.DeleteFunc(slices.Clone(e.Logins), func(o EndedLogin) bool { return o.Expires <= now })
		f(&e)
		rec.Kind, rec.Strategy, rec.Ended, rec.Expires = KindEnded, d.slug, &e, max(rec.Expires, now.Add(d.lives))
		for _, o := range e.Logins {
			rec.Expires = max(rec.Expires, o.Expires)
		}
	})
}
