package state

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// A ledger lists and ends the logins that the server holds a record of: the
// Lister of every strategy that has one.
type ledger struct {
	store Store
	slug  string
	kind  Kind
	end   func(ctx context.Context, subject string, k Key) error
	// linger is how long the record of a login that was replaced is kept, or 0:
	// until it expires, so that a refresh token that turns up is told why.
	linger time.Duration
	// limit is how many live logins a subject has at most, and limited is told of
	// each that has ended for a newer one.
	limit   int
	limited func(context.Context, Login)
}

// DefaultLoginsPerAccount is the limit of live logins that an account has in each
// strategy that keeps a record for each login.
const DefaultLoginsPerAccount = 100

// newLedger returns the ledger of a strategy that ends a login with end.
func newLedger(c Config, kind Kind, end func(context.Context, string, Key) error, linger time.Duration) ledger {
	limit := cmp.Or(c.LoginsPerAccount, DefaultLoginsPerAccount)
	return ledger{store: c.Store, slug: c.Slug, kind: kind, end: end, linger: linger, limit: limit, limited: c.Limited}
}

var _ Lister = ledger{}

// maxEndedLogins bounds the logins of a subject that stay to say that they have
// ended.
const maxEndedLogins = 100

// query names the subject's logins in this ledger but for the newest skip.
func (b ledger) query(subject string, ended bool, skip int) LoginQuery {
	return LoginQuery{Subject: subject, Strategy: b.slug, Ended: ended, Skip: skip}
}

// live says whether a record is a login of this ledger that has not been ended.
func (b ledger) live(r Record) bool {
	return r.Strategy == b.slug && r.Kind == b.kind && !r.Rotation.Revoked
}

// byID returns the live record of the login with this id, or ErrUnknown. The
// id is the store's key, which opens nothing.
func (b ledger) byID(ctx context.Context, id string) (Key, Record, error) {
	k, ok := ParseKey(id)
	if !ok {
		return k, Record{}, ErrUnknown
	}
	rec, err := b.store.Load(ctx, k)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && !b.live(rec):
		return k, Record{}, ErrUnknown
	case err != nil:
		return k, Record{}, failed(err)
	}
	return k, rec, nil
}

// replace creates the record of a new login and then ends those under the old
// keys, and the oldest of the subject's beyond the limit. In this order a store that fails on the way logs nobody out; what it may
// leave is a record that nobody holds the secret of, if it cannot even be asked
// to take that one back.
func (b ledger) replace(ctx context.Context, old []Key, k Key, r Record, now Micros) error {
	if err := b.store.Create(ctx, k, r); err != nil {
		return failed(err)
	}
	done := false
	defer func() {
		if !done { // also if the client has left meanwhile
			_ = b.store.Delete(context.WithoutCancel(ctx), k)
		}
	}()
	surplus, err := b.surplus(ctx, r.Login.Subject, k, old)
	if err != nil {
		return err
	}
	if len(old) > 0 && b.kind == KindFamily { // they stay, as ended ones
		if err := b.trim(ctx, r.Login.Subject, maxEndedLogins-len(old)); err != nil {
			return err
		}
	}
	for _, o := range old {
		if err := b.endReplaced(ctx, o, now); err != nil {
			return err
		}
	}
	done = true
	b.endSurplus(ctx, surplus)
	return nil
}

// endReplaced ends a login by one update of its record, which expires soon
// unless it has to say later what happened.
func (b ledger) endReplaced(ctx context.Context, k Key, now Micros) error {
	for range attempts {
		rec, err := b.store.Load(ctx, k)
		if errors.Is(err, ErrNotFound) || err == nil && !b.live(rec) {
			return nil
		}
		if err != nil {
			return failed(err)
		}
		rec.Revoke()
		if b.linger > 0 {
			rec.Expires = min(rec.Expires, now.Add(b.linger))
		}
		err = b.store.Update(ctx, k, rec.Rev, rec)
		if err == nil || !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNotFound) {
			return failed(err)
		}
	}
	return ErrConflict
}

// Logins implements Lister.
func (b ledger) Logins(ctx context.Context, subject string) ([]LoginInfo, error) {
	entries, err := b.store.Logins(ctx, b.query(subject, false, 0))
	if err != nil {
		return nil, failed(err)
	}
	infos := make([]LoginInfo, len(entries))
	for i, e := range entries {
		infos[i] = LoginInfo{e.Login.ID, e.Login.IssuedAt, e.LastSeen, e.Login.ExpiresAt}
	}
	return infos, nil
}

// EndLogin implements Lister. The login of somebody else is as unknown as one
// that never was.
func (b ledger) EndLogin(ctx context.Context, subject, id string) error {
	k, rec, err := b.byID(ctx, id)
	if err != nil {
		return err
	}
	if rec.Login.Subject != subject {
		return ErrUnknown
	}
	return failed(b.end(ctx, subject, k))
}

// EndAll implements Ender.
func (b ledger) EndAll(ctx context.Context, subject, except string, until Micros) error {
	_, err := b.store.EndSubject(ctx, Ending{
		Subject: subject, Strategy: b.slug, Until: until, Except: except, Delete: b.kind == KindLogin, Kind: b.kind,
	})
	if err != nil || b.kind == KindLogin {
		return failed(err)
	}
	return b.trim(ctx, subject, maxEndedLogins)
}

// trim deletes the records of the subject's ended logins but for the newest keep.
func (b ledger) trim(ctx context.Context, subject string, keep int) error {
	oldest, err := b.store.Logins(ctx, b.query(subject, true, keep))
	if err != nil || len(oldest) == 0 {
		return failed(err)
	}
	_, err = b.store.EndSubject(ctx, Ending{
		Subject: subject, Strategy: b.slug, Ended: true, Until: oldest[len(oldest)-1].Login.IssuedAt, Delete: true, Kind: b.kind,
	})
	return failed(err)
}

// surplus returns the logins of a subject that are over the limit once the login
// under k has begun and those under old have ended, the oldest first. It never
// returns the one under k: of two logins that begin at once each may find the
// other, and since the order is the same for both, the later one ends the earlier.
// One that was dated before another and stored after it, or by a clock that is
// behind, may stay over the limit until the next login ends it.
func (b ledger) surplus(ctx context.Context, subject string, k Key, old []Key) ([]Entry, error) {
	oldest, err := b.store.Logins(ctx, b.query(subject, false, b.limit))
	if err != nil {
		return nil, failed(err)
	}
	over := len(oldest) - len(old)
	oldest = slices.DeleteFunc(oldest, func(e Entry) bool { return e.Key == k || slices.Contains(old, e.Key) })
	return oldest[:max(0, min(over, len(oldest)))], nil
}

// endSurplus ends logins that are over the limit. A failure is no failure of the
// login that has begun: the next one ends what is still over the limit.
func (b ledger) endSurplus(ctx context.Context, surplus []Entry) {
	for _, e := range surplus {
		if b.end(ctx, e.Login.Subject, e.Key) == nil && b.limited != nil {
			b.limited(ctx, e.Login)
		}
	}
}

func (b ledger) describe(r Record) (*Held, error) { return Describe(b.store, r) }

// Describe shows a record of the store s to a learner: the document as a store
// keeps it, its hashes shortened.
func Describe(s Store, r Record) (*Held, error) {
	doc, err := r.Encode()
	if err != nil {
		return nil, err
	}
	hashes := map[string]string{}
	if r.Rotation.Current != (digest{}) {
		hashes["current"] = shorten(r.Rotation.Current)
	}
	if r.Rotation.RotatedAt != 0 {
		hashes["previous"] = shorten(r.Rotation.Previous)
	}
	shown := struct {
		Kind     Kind              `json:"kind"`
		Strategy string            `json:"strategy"`
		Login    Login             `json:"login,omitzero"`
		Ended    *Ended            `json:"ended,omitempty"`
		Hashes   map[string]string `json:"secret_hashes,omitempty"`
		LastSeen Micros            `json:"last_seen,omitzero"`
		Expires  Micros            `json:"expires"`
		Revision int64             `json:"revision"`
	}{r.Kind, r.Strategy, r.Login, r.Ended, hashes, r.LastSeen, r.Expires, r.Rev}
	return &Held{Store: s.Name(), Bytes: len(doc), Record: shown}, nil
}

func shorten(d digest) string { return Mask(Key(d[:16]).String()) }
