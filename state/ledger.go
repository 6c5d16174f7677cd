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
	end   func(context.Context, Key) error
	// linger is how long the record of a login that was replaced is kept, or 0:
	// until it expires, so that a refresh token that turns up is told why.
	linger time.Duration
}

var _ Lister = ledger{}

// entries returns the live records of a subject, the oldest login first.
func (b ledger) entries(ctx context.Context, subject string) ([]Entry, error) {
	all, err := b.store.BySubject(ctx, subject)
	if err != nil {
		return nil, failed(err)
	}
	mine := slices.DeleteFunc(all, func(e Entry) bool { return !b.live(e.Record) })
	slices.SortFunc(mine, func(a, b Entry) int { return cmp.Compare(a.Login.IssuedAt, b.Login.IssuedAt) })
	return mine, nil
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
// keys. In this order a store that fails on the way logs nobody out; what it may
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
	for _, o := range old {
		if err := b.endReplaced(ctx, o, now); err != nil {
			return err
		}
	}
	done = true
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
	entries, err := b.entries(ctx, subject)
	if err != nil {
		return nil, err
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
	return failed(b.end(ctx, k))
}

// EndAll implements Ender.
func (b ledger) EndAll(ctx context.Context, subject, except string, until Micros) error {
	entries, err := b.entries(ctx, subject)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Login.ID == except || e.Login.IssuedAt > until {
			continue
		}
		if err := b.end(ctx, e.Key); err != nil {
			return failed(err)
		}
	}
	return nil
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
