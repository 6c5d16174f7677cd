package state

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// A loginIndex lists and ends the logins that the server holds a record of: the
// Lister of every strategy that has one.
type loginIndex struct {
	store Store
	slug  string
	kind  Kind
	end   func(ctx context.Context, subject string, k Key) error
	// linger is how long the record of a login that was replaced is kept, or 0:
	// until it expires, so that a refresh token that turns up is told why.
	linger time.Duration
	// limit is how many live logins a subject has at most, and limited is told of
	// each that has ended for a newer one, by its subject and its id.
	limit   int
	limited func(ctx context.Context, subject, id string)
	// replaced is told of each login of another subject that replace has ended.
	replaced func(context.Context, Login)
}

// DefaultLoginsPerAccount is the limit of live logins that an account has in each
// strategy that keeps a record for each login.
const DefaultLoginsPerAccount = 100

// newLoginIndex returns the loginIndex of a strategy that ends a login with end.
func newLoginIndex(c Config, kind Kind, end func(context.Context, string, Key) error, linger time.Duration) loginIndex {
	limit := int(cmp.Or(c.LoginsPerAccount, DefaultLoginsPerAccount))
	return loginIndex{
		store: c.Store, slug: c.Slug, kind: kind, end: end, linger: linger, limit: limit, limited: c.Limited, replaced: c.Replaced,
	}
}

var _ Lister = loginIndex{}

// undoPatience bounds how long a login that failed waits for its record to be deleted.
const undoPatience = 200 * time.Millisecond

// maxEndedLogins bounds the logins of a subject that stay to say that they have
// ended.
const maxEndedLogins = 100

// query names the subject's logins in this loginIndex but for the newest skip.
func (b loginIndex) query(subject string, ended bool, skip int) LoginQuery {
	return LoginQuery{Subject: subject, Strategy: b.slug, Ended: ended, Skip: skip}
}

// live says whether a record is a login of this loginIndex that has not been ended.
func (b loginIndex) live(r Record) bool {
	return r.Strategy == b.slug && r.Kind == b.kind && !r.Rotation.Revoked
}

// byID returns the live record of the login with this id, or ErrUnknown. The
// id is the store's key, which opens nothing.
func (b loginIndex) byID(ctx context.Context, id string) (Key, Record, error) {
	k, ok := ParseKey(id)
	if !ok {
		return k, Record{}, ErrUnknown
	}
	rec, err := b.byKey(ctx, k)
	return k, rec, err
}

// byKey returns the live record under k, or ErrUnknown.
func (b loginIndex) byKey(ctx context.Context, k Key) (Record, error) {
	rec, err := b.store.Load(ctx, k)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && !b.live(rec):
		return Record{}, ErrUnknown
	case err != nil:
		return Record{}, failed(err)
	}
	return rec, nil
}

// presented returns the live logins that opaque credentials of a request open, each once.
// A credential that opens none is no obstacle.
func (b loginIndex) presented(ctx context.Context, credentials iter.Seq[string]) (old []Entry, err error) {
	for credential := range credentials {
		switch o, rec, err := open(ctx, b.store, b.slug, credential); {
		case err == nil && !slices.ContainsFunc(old, func(e Entry) bool { return e.Key == o.key }):
			old = append(old, Entry{Key: o.key, Record: rec})
		case err != nil && !errors.Is(err, ErrUnknown):
			return nil, err
		}
	}
	return old, nil
}

// replace creates the record of a new login and then ends the old ones, which were live when
// they were read, and the oldest of the subject's beyond the limit. In this order a store that
// fails on the way ends no login. If it cannot even delete the new record, that record stays
// until it expires, and no client has its secret.
func (b loginIndex) replace(ctx context.Context, old []Entry, k Key, r Record, now Micros) error {
	if err := b.store.Create(ctx, k, r); err != nil {
		return failed(err)
	}
	return b.endOthers(ctx, old, k, r.Login.Subject, now)
}

// endOthers is the rest of replace, after the record under k was created.
func (b loginIndex) endOthers(ctx context.Context, old []Entry, k Key, subject string, now Micros) error {
	done := false
	defer func() {
		if !done { // also if the client has left meanwhile, or the request has no time any more
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
			defer cancel()
			_ = b.store.Delete(ctx, k)
		}
	}()
	surplus, err := b.surplus(ctx, subject, k, old)
	if err != nil {
		return err
	}
	for _, e := range old {
		if err := b.endReplaced(ctx, e.Key, now); err != nil {
			return err
		}
		if b.replaced != nil && e.Login.Subject != subject {
			b.replaced(ctx, e.Login)
		}
	}
	done = true
	if b.kind == KindFamily { // the old ones stay, as ended ones
		for _, e := range old {
			b.trimEnded(ctx, e.Login.Subject)
		}
	}
	b.endSurplus(ctx, subject, surplus)
	return nil
}

// endReplaced ends a login by one update of its record, which expires soon
// unless it has to say later what happened.
func (b loginIndex) endReplaced(ctx context.Context, k Key, now Micros) error {
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
func (b loginIndex) Logins(ctx context.Context, subject string) ([]LoginInfo, error) {
	heads, err := b.store.Logins(ctx, b.query(subject, false, 0))
	if err != nil {
		return nil, failed(err)
	}
	infos := make([]LoginInfo, len(heads))
	for i, h := range heads {
		infos[i] = LoginInfo{ID: h.Key.String(), IssuedAt: h.IssuedAt, LastSeen: h.LastSeen, ExpiresAt: h.ExpiresAt}
	}
	return infos, nil
}

// EndLogin implements Lister. The login of another user is as unknown as one
// that never was.
func (b loginIndex) EndLogin(ctx context.Context, subject, id string) error {
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
func (b loginIndex) EndAll(ctx context.Context, subject, except string, until Micros) error {
	_, err := b.store.EndSubject(ctx, Ending{
		Subject: subject, Strategy: b.slug, Until: until, Except: except, Delete: b.kind == KindLogin, Kind: b.kind,
	})
	if err != nil || b.kind == KindLogin {
		return failed(err)
	}
	return b.trim(ctx, subject, maxEndedLogins)
}

// trim deletes the records of the subject's ended logins but for the newest keep.
func (b loginIndex) trim(ctx context.Context, subject string, keep int) error {
	oldest, err := b.store.Logins(ctx, b.query(subject, true, keep))
	if err != nil || len(oldest) == 0 {
		return failed(err)
	}
	_, err = b.store.EndSubject(ctx, Ending{
		Subject: subject, Strategy: b.slug, Ended: true, Until: oldest[len(oldest)-1].IssuedAt, Delete: true, Kind: b.kind,
	})
	return failed(err)
}

// trimEnded trims the ended logins to their limit after one more has ended: before it,
// several that end at once would each find room for one. The login has ended, whether or
// not that fails: the next end of one makes up for it.
func (b loginIndex) trimEnded(ctx context.Context, subject string) {
	_ = b.trim(ctx, subject, maxEndedLogins)
}

// surplus returns the logins of a subject that are over the limit once the login
// under k has begun and the old ones have ended, the oldest first. It never
// returns the one under k: of two logins that begin at once each may find the
// other, and since the order is the same for both, the later one ends the earlier.
// One that was dated before another and stored after it, or by a clock that is
// behind, may stay over the limit until the next login ends it.
func (b loginIndex) surplus(ctx context.Context, subject string, k Key, old []Entry) ([]LoginHead, error) {
	oldest, err := b.store.Logins(ctx, b.query(subject, false, b.limit))
	if err != nil {
		return nil, failed(err)
	}
	over := len(oldest)
	ends := map[Key]bool{k: true}
	for _, e := range old {
		ends[e.Key] = true
		if e.Login.Subject == subject { // those of other subjects make no room here
			over--
		}
	}
	oldest = slices.DeleteFunc(oldest, func(h LoginHead) bool { return ends[h.Key] })
	return oldest[:max(0, min(over, len(oldest)))], nil
}

// endSurplus ends logins that are over the limit, until one fails: after the limit was
// lowered there may be many, and a store that hangs would be waited for with each. It is
// no failure of the login that has begun: the next one ends what is still over the limit.
func (b loginIndex) endSurplus(ctx context.Context, subject string, surplus []LoginHead) {
	for _, h := range surplus {
		if b.end(ctx, subject, h.Key) != nil {
			return
		}
		if b.limited != nil {
			b.limited(ctx, subject, h.Key.String())
		}
	}
}

func (b loginIndex) describe(r Record) (*StoredRecord, error) { return Describe(b.store, r) }

// Describe shows a record of the store s to a learner: the document as a store
// keeps it, its hashes shortened.
func Describe(s Store, r Record) (*StoredRecord, error) {
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
	return &StoredRecord{Store: s.Name(), Bytes: len(doc), Record: shown}, nil
}

func shorten(d digest) string { return Mask(Key(d[:16]).String()) }
