package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/api/attacker"
	"statelab/api/rest"
	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
)

// farthest is how far ahead a lesson may move the clock: past the end of every
// login, and not past what a duration can say.
const farthest = 10 * 365 * 24 * time.Hour

// ClockReading says how far ahead the clock is, and what it shows.
type ClockReading struct {
	Offset string    `json:"offset"`
	Now    time.Time `json:"now,format:RFC3339"`
}

// advance moves the clock that all expiry is judged by.
func (c *Classroom) advance(g *gin.Context) (int, any, error) {
	in, err := rest.Decode[struct {
		Advance rest.Required[string] `json:"advance"`
	}](g, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	c.pulling.Lock()
	defer c.pulling.Unlock()
	d, err := time.ParseDuration(in.Advance.Value)
	if err != nil || d < 0 || d > farthest-c.clock.offset() {
		return 0, nil, rest.Invalid("/advance", "Use a positive duration such as 16m or 1h30m, and at most ten years in total.")
	}
	c.clock.ahead.Add(int64(d))
	return http.StatusOK, ClockReading{c.clock.offset().String(), c.clock.Now().UTC()}, nil
}

// restart loses what a process loses when it ends: the store, if it is in
// memory, what is counted, remembered and cached, and the keys, if they are not kept.
func (c *Classroom) restart(g *gin.Context) (int, any, error) {
	in, err := rest.DecodeOptional[struct {
		KeepKeys *bool `json:"keep_keys"`
	}](g, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	c.pulling.Lock()
	defer c.pulling.Unlock()
	config := c.server().config
	config.salt, config.followed = [16]byte{}, nil
	config.CacheMemory.Clear()
	if in.KeepKeys != nil && !*in.KeepKeys {
		if config.Keys, err = c.newKeys(config); err != nil {
			return 0, nil, err
		}
	}
	return http.StatusNoContent, nil, c.replace(c.emptied(config))
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
func (c *Classroom) rotate(g *gin.Context) (int, any, error) {
	in, err := rest.DecodeOptional[struct {
		KeepPrevious *bool `json:"keep_previous"`
	}](g, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	c.pulling.Lock()
	defer c.pulling.Unlock()
	config := c.server().config
	var previous []*keys.Key
	if in.KeepPrevious == nil || *in.KeepPrevious {
		previous = config.Keys.All()
	}
	if config.Keys, err = c.newKeys(config, previous...); err == nil {
		err = c.replace(config)
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
func (c *Classroom) role(g *gin.Context) (int, any, error) {
	in, err := rest.Decode[struct {
		Role rest.Required[string] `json:"role"`
	}](g, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	c.pulling.Lock()
	defer c.pulling.Unlock()
	ctx, s := g.Request.Context(), c.server()
	if err := s.addDemoAccounts(ctx); err != nil {
		return 0, nil, err
	}
	a, err := s.accounts.ChangeRole(ctx, g.Param("username"), in.Role.Value)
	if err != nil {
		return 0, nil, noAccount(err)
	}
	if _, changed := c.roles[a.Username]; !changed {
		c.roles[a.Username] = a.Role
	}
	a.Role = in.Role.Value
	for _, col := range s.columns {
		if err := col.rewrite(ctx, a.ID, a.Role); err != nil {
			return 0, nil, err
		}
	}
	requestOf(g).about(state.Login{Subject: a.ID})
	s.audit(g, "account_changed")
	return http.StatusOK, User{a.ID, a.Username, a.DisplayName, a.Role}, nil
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
func (col *column) rewrite(ctx context.Context, subject, role string) error {
	if col.traits.Holder != state.HolderServer {
		return nil
	}
	entries, err := col.records(ctx, subject)
	for _, e := range entries {
		err = errors.Join(err, col.update(ctx, e, func(rec *state.Record) { rec.Login.Role = role }))
	}
	return err
}

// update changes a record that still exists, however often others are faster.
func (col *column) update(ctx context.Context, e state.Entry, f func(*state.Record)) (err error) {
	for range conflicts {
		f(&e.Record)
		if err = col.store.Update(ctx, e.Key, e.Rev, e.Record); !errors.Is(err, state.ErrConflict) {
			break
		}
		if e.Record, err = col.store.Load(ctx, e.Key); err != nil {
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
func (col *column) records(ctx context.Context, subject string) ([]state.Entry, error) {
	if col.store == nil { // it keeps them where nobody else can look
		return nil, nil
	}
	all, err := col.store.BySubject(ctx, subject)
	if err != nil {
		return nil, rest.Failed(err)
	}
	mine := slices.DeleteFunc(all, func(e state.Entry) bool { return e.Strategy != col.slug })
	k := state.EndedKey(col.slug, subject)
	switch rec, err := col.store.Load(ctx, k); {
	case err == nil:
		mine = append(mine, state.Entry{Key: k, Record: rec})
	case !errors.Is(err, state.ErrNotFound):
		return nil, rest.Failed(err)
	}
	return mine, nil
}

// column returns the strategy that a path names.
func (s *Server) column(g *gin.Context) (*column, error) {
	i := slices.IndexFunc(s.columns, func(col *column) bool { return col.slug == g.Param("strategy") })
	if i < 0 {
		return nil, rest.Faultf("not_found", "The server has no such strategy.")
	}
	return s.columns[i], nil
}

// stored is column for strategies whose records are in a store.
func (s *Server) stored(g *gin.Context) (*column, error) {
	col, err := s.column(g)
	if err == nil && col.store == nil {
		err = rest.Faultf("not_supported_by_strategy",
			"The strategy stores its records where the server cannot read them. The server changed nothing.")
	}
	return col, err
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
func (c *Classroom) held(g *gin.Context) (int, any, error) {
	s := c.server()
	col, err := s.stored(g)
	if err != nil {
		return 0, nil, err
	}
	out := Holdings{Strategy: col.slug, Records: []HeldRecord{}, Complete: true}
	err = col.eachRecord(g.Request.Context(), func(a auth.Account, e state.Entry) error {
		if len(out.Records) == maxHeld {
			out.Complete = false
			return errEnough
		}
		held, err := state.Describe(col.store, e.Record)
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

var errEnough = errors.New("api: enough records")

// eachRecord calls f with each record of the strategy until f returns an error.
func (col *column) eachRecord(ctx context.Context, f func(auth.Account, state.Entry) error) error {
	for a, err := range col.accounts.All(ctx) {
		if err != nil {
			return rest.Failed(err)
		}
		entries, err := col.records(ctx, a.ID)
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

// drop deletes a record, as an operator of the store can, and asks nobody.
func (c *Classroom) drop(g *gin.Context) (int, any, error) {
	col, err := c.server().stored(g)
	if err != nil {
		return 0, nil, err
	}
	ctx := g.Request.Context()
	k, ok := state.ParseKey(g.Param("id"))
	if !ok {
		return 0, nil, noRecord
	}
	switch rec, err := col.store.Load(ctx, k); {
	case errors.Is(err, state.ErrNotFound) || err == nil && rec.Strategy != col.slug:
		return 0, nil, noRecord
	case err != nil:
		return 0, nil, rest.Failed(err)
	}
	return http.StatusNoContent, nil, rest.Failed(col.store.Delete(ctx, k))
}

var noRecord = rest.Faultf("not_found", "The strategy has no such record.")

// Inbox is what the attacker has been sent. Origin is null where there is none.
type Inbox struct {
	Origin  *string          `json:"origin"`
	Entries []attacker.Entry `json:"entries"`
}

// inbox shows the attacker's inbox, the newest first.
func (c *Classroom) inbox(*gin.Context) (int, any, error) {
	out := Inbox{Entries: []attacker.Entry{}}
	if a := c.started.Attacker; a != nil {
		origin := a.Origins()[0]
		out.Origin, out.Entries = &origin, a.Entries()
	}
	return http.StatusOK, out, nil
}

func (c *Classroom) emptyInbox(*gin.Context) (int, any, error) {
	if a := c.started.Attacker; a != nil {
		a.Empty()
	}
	return http.StatusNoContent, nil, nil
}

// reset undoes what levers have done: the clock, the keys, the settings, the
// roles, those of the demo accounts in any case, the prices of the catalogue with
// what caches keep of it, and every login that the server holds. It empties the
// guestbooks and the attacker's inbox. What clients hold it cannot take back.
func (c *Classroom) reset(g *gin.Context) (int, any, error) {
	c.pulling.Lock()
	defer c.pulling.Unlock()
	ctx, s := g.Request.Context(), c.server()
	if err := s.addDemoAccounts(ctx); err != nil {
		return 0, nil, err
	}
	for _, d := range DemoAccounts() {
		c.roles[d.Username] = d.Role
	}
	for username, role := range c.roles {
		if _, err := s.accounts.ChangeRole(ctx, username, role); err != nil && !errors.Is(err, auth.ErrNotFound) {
			return 0, nil, rest.Failed(err)
		}
	}
	for _, col := range s.columns {
		err := col.eachRecord(ctx, func(_ auth.Account, e state.Entry) error { return rest.Failed(col.store.Delete(ctx, e.Key)) })
		if err != nil {
			return 0, nil, err
		}
	}
	c.clock.ahead.Store(0) // before the catalogue notes when it was changed
	if err := s.resetCatalog(ctx); err != nil {
		return 0, nil, err
	}
	config := c.started
	config.salt, config.followed = s.config.salt, s.config.followed
	if err := c.replace(c.emptied(config)); err != nil {
		return 0, nil, err
	}
	clear(c.roles)
	c.copies.drop()
	c.forged.drop()
	return c.emptyInbox(g)
}
