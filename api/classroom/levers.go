package classroom

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/api"
	"statelab/api/attacker"
	"statelab/api/rest"
	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
)

// lever makes a handler of a change to the server: one at a time.
func lever[T any](room *Classroom, decode func(*gin.Context, ...string) (T, error),
	f func(c *gin.Context, in T) (int, any, error),
) func(*gin.Context) (int, any, error) {
	return func(c *gin.Context) (int, any, error) {
		in, err := decode(c, rest.JSONType)
		if err != nil {
			return 0, nil, err
		}
		room.pulling.Lock()
		defer room.pulling.Unlock()
		return f(c, in)
	}
}

// farthest is how far ahead a lesson may move the clock: past the end of every
// login, and not past what a duration can say.
const farthest = 10 * 365 * 24 * time.Hour

// ClockReading says how far ahead the clock is, and what it shows.
type ClockReading struct {
	Offset string    `json:"offset"`
	Now    time.Time `json:"now,format:RFC3339"`
}

// advance moves the clock that all expiry is judged by.
func (room *Classroom) advance(_ *gin.Context, in struct {
	Advance rest.Required[string] `json:"advance"`
}) (int, any, error) {
	d, err := time.ParseDuration(in.Advance.Value)
	if err != nil || d < 0 || d > farthest-room.Clock.offset() {
		return 0, nil, rest.Invalid("/advance", "Use a positive duration such as 16m or 1h30m, and at most ten years in total.")
	}
	room.Clock.ahead.Add(int64(d))
	return http.StatusOK, ClockReading{room.Clock.offset().String(), room.Clock.Now().UTC()}, nil
}

// restart loses what a process loses when it ends: the store, if it is in
// memory, what is counted, remembered and cached, and the keys, if they are not kept.
func (room *Classroom) restart(_ *gin.Context, in struct {
	KeepKeys *bool `json:"keep_keys"`
}) (int, any, error) {
	config := room.server().Config()
	config.CacheMemory.Clear()
	if in.KeepKeys != nil && !*in.KeepKeys {
		ring, err := room.newKeys(config)
		if err != nil {
			return 0, nil, err
		}
		config.Keys = ring
	}
	return http.StatusNoContent, nil, room.empty(config, config.Process.Restarted())
}

// KeyUse says what a key is good for, without a secret.
type KeyUse struct {
	ID      string       `json:"id"`
	Purpose keys.Purpose `json:"purpose"`
	Use     string       `json:"use"` // "signs" or "verifies"
}

// KeyUses is the answer of POST /classroom/keys/rotate.
type KeyUses struct {
	Keys []KeyUse `json:"keys"`
}

// rotate has new keys sign, and the previous ones verify unless they are dropped.
func (room *Classroom) rotate(_ *gin.Context, in struct {
	KeepPrevious *bool `json:"keep_previous"`
}) (int, any, error) {
	config := room.server().Config()
	var previous []*keys.Key
	if in.KeepPrevious == nil || *in.KeepPrevious {
		previous = config.Keys.All()
	}
	ring, err := room.newKeys(config, previous...)
	if config.Keys = ring; err == nil {
		err = room.replace(config)
	}
	if err != nil {
		return 0, nil, err
	}
	var out KeyUses
	for _, k := range config.Keys.All() {
		use := "verifies"
		if active, err := config.Keys.Active(k.Purpose); err == nil && active == k {
			use = "signs"
		}
		out.Keys = append(out.Keys, KeyUse{k.ID, k.Purpose, use})
	}
	return http.StatusOK, out, nil
}

// role gives an account another role. What the server holds has it at once,
// and what clients hold is a photograph until they refresh it.
func (room *Classroom) role(c *gin.Context, in struct {
	Role rest.Required[string] `json:"role"`
}) (int, any, error) {
	ctx, s := c.Request.Context(), room.server()
	if err := s.CompleteDemoAccounts(ctx); err != nil {
		return 0, nil, err
	}
	a, err := s.Accounts().ChangeRole(ctx, c.Param("username"), in.Role.Value)
	if err != nil {
		return 0, nil, noAccount(err)
	}
	if _, changed := room.roles[a.Username]; !changed {
		room.roles[a.Username] = a.Role
	}
	a.Role = in.Role.Value
	for _, g := range s.Groups() {
		if err := rewrite(ctx, g, a.ID, a.Role); err != nil {
			return 0, nil, err
		}
	}
	s.Audit(c, "account_changed", slog.String("subject", a.ID))
	return http.StatusOK, api.User{ID: a.ID, Username: a.Username, DisplayName: a.DisplayName, Role: a.Role}, nil
}

// noAccount turns an error of package auth about an account that a path names
// into a fault.
func noAccount(err error) error {
	if errors.Is(err, auth.ErrNotFound) {
		return rest.Faultf("not_found", "No account has this username.")
	}
	return rest.Failed(err)
}

// rewrite puts another role into the records that are the logins of a subject:
// those of a strategy whose logins the server holds.
func rewrite(ctx context.Context, g *api.Group, subject, role string) error {
	if g.Traits.Holder != state.HolderServer {
		return nil
	}
	entries, err := records(ctx, g, subject)
	for _, e := range entries {
		err = errors.Join(err, update(ctx, g.Store, e, func(rec *state.Record) { rec.Login.Role = role }))
	}
	return err
}

// tries is how often a change is made again that lost against another.
const tries = 32

// update changes a record that still exists, however often others are faster.
func update(ctx context.Context, s state.Store, e state.Entry, f func(*state.Record)) (err error) {
	for range tries {
		f(&e.Record)
		if err = s.Update(ctx, e.Key, e.Rev, e.Record); !errors.Is(err, state.ErrConflict) {
			break
		}
		if e.Record, err = s.Load(ctx, e.Key); err != nil {
			break
		}
	}
	if errors.Is(err, state.ErrNotFound) {
		return nil // it has ended meanwhile
	}
	return rest.Failed(err)
}

// records returns what the strategy's store holds of a subject: its logins, and
// which of those that clients hold are over.
func records(ctx context.Context, g *api.Group, subject string) ([]state.Entry, error) {
	if g.Store == nil { // the strategy keeps its records where no other code can look
		return nil, nil
	}
	all, err := g.Store.BySubject(ctx, subject)
	if err != nil {
		return nil, rest.Failed(err)
	}
	mine := slices.DeleteFunc(all, func(e state.Entry) bool { return e.Strategy != g.Slug })
	k := state.EndedKey(g.Slug, subject)
	switch rec, err := g.Store.Load(ctx, k); {
	case err == nil:
		mine = append(mine, state.Entry{Key: k, Record: rec})
	case !errors.Is(err, state.ErrNotFound):
		return nil, rest.Failed(err)
	}
	return mine, nil
}

// stored returns the strategy that a path names, whose records are in a store.
func (room *Classroom) stored(c *gin.Context) (*api.Group, error) {
	for _, g := range room.server().Groups() {
		switch {
		case g.Slug != c.Param("strategy"):
		case g.Store == nil:
			return nil, rest.Faultf("not_supported_by_strategy",
				"The strategy stores its records where the server cannot read them. The server changed nothing.")
		default:
			return g, nil
		}
	}
	return nil, rest.Faultf("not_found", "The server has no such strategy.")
}

// maxHeld bounds how many records are shown at once.
const maxHeld = 100

// Holdings is what the server holds for a strategy.
type Holdings struct {
	Strategy string       `json:"strategy"`
	Records  []HeldRecord `json:"records"`
	Complete bool         `json:"complete"` // else there are more
}

// HeldRecord is a record with its key, which is a hash, and whose it is.
type HeldRecord struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	state.StoredRecord
}

// held shows what the server holds for a strategy, by account: those are few,
// and a store finds the records of each without a search.
func (room *Classroom) held(c *gin.Context) (int, any, error) {
	g, err := room.stored(c)
	if err != nil {
		return 0, nil, err
	}
	out := Holdings{Strategy: g.Slug, Records: []HeldRecord{}, Complete: true}
	err = eachRecord(c.Request.Context(), g, func(a auth.Account, e state.Entry) error {
		if len(out.Records) == maxHeld {
			out.Complete = false
			return errEnough
		}
		held, err := state.Describe(g.Store, e.Record)
		if err == nil {
			out.Records = append(out.Records, HeldRecord{e.Key.String(), a.Username, *held})
		}
		return err
	})
	if err != nil && !errors.Is(err, errEnough) {
		return 0, nil, err
	}
	return http.StatusOK, out, nil
}

var errEnough = errors.New("classroom: enough records")

// eachRecord calls f with each record of the strategy until f returns an error.
func eachRecord(ctx context.Context, g *api.Group, f func(auth.Account, state.Entry) error) error {
	for a, err := range g.Accounts().All(ctx) {
		if err != nil {
			return rest.Failed(err)
		}
		entries, err := records(ctx, g, a.ID)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := f(a, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop deletes a record, as an operator of the store can, without a login.
func (room *Classroom) drop(c *gin.Context) (int, any, error) {
	g, err := room.stored(c)
	if err != nil {
		return 0, nil, err
	}
	ctx := c.Request.Context()
	k, ok := state.ParseKey(c.Param("id"))
	if !ok {
		return 0, nil, noRecord
	}
	switch rec, err := g.Store.Load(ctx, k); {
	case errors.Is(err, state.ErrNotFound) || err == nil && rec.Strategy != g.Slug:
		return 0, nil, noRecord
	case err != nil:
		return 0, nil, rest.Failed(err)
	}
	return http.StatusNoContent, nil, rest.Failed(g.Store.Delete(ctx, k))
}

var noRecord = rest.Faultf("not_found", "The strategy has no such record.")

// Inbox is what the attacker has been sent. Origin is null where there is none.
type Inbox struct {
	Origin  *string          `json:"origin"`
	Entries []attacker.Entry `json:"entries"`
}

// inbox shows the attacker's inbox, the newest first.
func (room *Classroom) inbox(*gin.Context) (int, any, error) {
	out := Inbox{Entries: []attacker.Entry{}}
	if a := room.Attacker; a != nil {
		origin := a.Origins()[0]
		out.Origin, out.Entries = &origin, a.Entries()
	}
	return http.StatusOK, out, nil
}

func (room *Classroom) emptyInbox(*gin.Context) (int, any, error) {
	if a := room.Attacker; a != nil {
		a.Empty()
	}
	return http.StatusNoContent, nil, nil
}

// reset undoes what levers have done: the clock, the keys, the settings, the
// roles, those of the demo accounts in any case, the prices of the catalogue with
// what caches keep of it, and every login that the server holds. It empties the
// guestbooks and the attacker's inbox. What clients hold it cannot take back.
func (room *Classroom) reset(c *gin.Context) (int, any, error) {
	room.pulling.Lock()
	defer room.pulling.Unlock()
	ctx, s := c.Request.Context(), room.server()
	if err := s.CompleteDemoAccounts(ctx); err != nil {
		return 0, nil, err
	}
	for _, d := range api.DemoAccounts() {
		room.roles[d.Username] = d.Role
	}
	for username, role := range room.roles {
		if _, err := s.Accounts().ChangeRole(ctx, username, role); err != nil && !errors.Is(err, auth.ErrNotFound) {
			return 0, nil, rest.Failed(err)
		}
	}
	for _, g := range s.Groups() {
		err := eachRecord(ctx, g, func(_ auth.Account, e state.Entry) error { return rest.Failed(g.Store.Delete(ctx, e.Key)) })
		if err != nil {
			return 0, nil, err
		}
	}
	room.Clock.ahead.Store(0) // before the catalogue notes when it was changed
	if err := s.ResetCatalog(ctx); err != nil {
		return 0, nil, err
	}
	if err := room.empty(room.started, s.Config().Process.Emptied()); err != nil {
		return 0, nil, err
	}
	clear(room.roles)
	room.copies.drop()
	room.forged.drop()
	return room.emptyInbox(c)
}
