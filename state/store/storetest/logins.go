package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"statelab/state"
)

// loginRules are those of the logins of one subject in one strategy.
var loginRules = []rule{
	{"lists the logins of a subject and strategy, the oldest first", listsLogins},
	{"leaves out the newest logins", leavesOutTheNewest},
	{"lists an ended login apart from the live ones", listsEndedApart},
	{"deletes a subject's logins up to a moment, except one", deletesLogins},
	{"revokes a subject's logins up to a moment, except one", revokesLogins},
	{"ends neither an expired login nor one that is gone", endsNothingTwice},
	{"honours a cancelled context for logins", honoursContextForLogins},
}

// began creates a login of alice's that began so many minutes after the start.
func began(t *testing.T, s state.Store, clock *testClock, strategy string, minute int) state.Key {
	t.Helper()
	k, r := clock.login("alice", fmt.Sprint(strategy, minute))
	r.Kind, r.Strategy = state.KindFamily, strategy
	r.Login.IssuedAt = at(clock, minute)
	must(t, s.Create(t.Context(), k, r))
	return k
}

// ThreeLogins creates three logins of alice's in the strategy session, which began a minute
// apart from now on, and returns their heads, the oldest first.
func ThreeLogins(t testing.TB, s state.Store, now state.Micros) []state.LoginHead {
	t.Helper()
	var heads []state.LoginHead
	for i := range 3 {
		k, r := state.KeyOf(fmt.Sprint(i)), Record(state.KindLogin, "alice", now.Add(time.Hour))
		r.LastSeen, r.Login.ID = now, k.String()
		r.Login.IssuedAt, r.Login.ExpiresAt = now.Add(time.Duration(i)*time.Minute), now.Add(8*time.Hour)
		must(t, s.Create(t.Context(), k, r))
		heads = append(heads, state.HeadOf(k, &r))
	}
	return heads
}

func at(clock *testClock, minute int) state.Micros {
	return state.MicrosOf(clock.Now()).Add(time.Duration(minute) * time.Minute)
}

// lists requires that the store lists these logins of alice's in this order.
func lists(t *testing.T, s state.Store, q state.LoginQuery, want ...state.Key) []state.LoginHead {
	t.Helper()
	q.Subject = "alice"
	entries, err := s.Logins(t.Context(), q)
	must(t, err)
	got := make([]state.Key, len(entries))
	for i, e := range entries {
		got[i] = e.Key
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got the logins %v, want %v", got, want)
	}
	return entries
}

func listsLogins(t *testing.T, s state.Store, clock *testClock) {
	lists(t, s, state.LoginQuery{Strategy: "token"})
	third, first, second := began(t, s, clock, "token", 3), began(t, s, clock, "token", 1), began(t, s, clock, "token", 2)
	other := began(t, s, clock, "session", 4)
	k, bobs := clock.login("bob", "1")
	bobs.Strategy = "token"
	must(t, s.Create(t.Context(), k, bobs))
	counter := state.Record{Kind: state.KindCounter, Strategy: "token", Expires: bobs.Expires}
	must(t, s.Create(t.Context(), state.KeyOf("counter"), counter))

	heads := lists(t, s, state.LoginQuery{Strategy: "token"}, first, second, third)
	hour := at(clock, 60)
	if want := (state.LoginHead{Key: first, IssuedAt: at(clock, 1), LastSeen: at(clock, 0), ExpiresAt: hour}); heads[0] != want {
		t.Fatalf("got %+v, want %+v", heads[0], want)
	}
	r, err := s.Load(t.Context(), first)
	must(t, err)
	r.LastSeen, r.Expires = at(clock, 5), at(clock, 20)
	must(t, s.Update(t.Context(), first, r.Rev, r))
	heads = lists(t, s, state.LoginQuery{Strategy: "token"}, first, second, third)
	if want := (state.LoginHead{Key: first, IssuedAt: at(clock, 1), LastSeen: at(clock, 5), ExpiresAt: hour}); heads[0] != want {
		t.Fatalf("got %+v after an update, want %+v", heads[0], want)
	}
	lists(t, s, state.LoginQuery{Strategy: "session"}, other)
	must(t, s.Delete(t.Context(), second))
	lists(t, s, state.LoginQuery{Strategy: "token"}, first, third)
	clock.advance(time.Hour)
	lists(t, s, state.LoginQuery{Strategy: "token"})
	none, err := s.Logins(t.Context(), state.LoginQuery{Strategy: "token"})
	must(t, err)
	if len(none) != 0 {
		t.Fatal("a record without a subject is listed")
	}
}

func leavesOutTheNewest(t *testing.T, s state.Store, clock *testClock) {
	var all []state.Key
	for i := range 5 {
		all = append(all, began(t, s, clock, "token", i))
	}
	for skip := range 7 {
		lists(t, s, state.LoginQuery{Strategy: "token", Skip: skip}, all[:max(0, 5-skip)]...)
	}
	must(t, s.Delete(t.Context(), all[4]))
	lists(t, s, state.LoginQuery{Strategy: "token", Skip: 3}, all[0])

	// Of logins that began in one moment the order is the same each time.
	for i := range 5 {
		k, r := clock.login("alice", fmt.Sprint("tie", i))
		r.Strategy = "tie"
		must(t, s.Create(t.Context(), k, r))
	}
	ties, err := s.Logins(t.Context(), state.LoginQuery{Subject: "alice", Strategy: "tie"})
	must(t, err)
	for skip := range 5 {
		want := make([]state.Key, 0, 5)
		for _, e := range ties[:5-skip] {
			want = append(want, e.Key)
		}
		lists(t, s, state.LoginQuery{Strategy: "tie", Skip: skip}, want...)
	}
}

func listsEndedApart(t *testing.T, s state.Store, clock *testClock) {
	first, second, third := began(t, s, clock, "token", 1), began(t, s, clock, "token", 2), began(t, s, clock, "token", 3)
	for _, k := range []state.Key{third, first} {
		r, err := s.Load(t.Context(), k)
		must(t, err)
		r.Revoke()
		must(t, s.Update(t.Context(), k, r.Rev, r))
	}
	lists(t, s, state.LoginQuery{Strategy: "token"}, second)
	lists(t, s, state.LoginQuery{Strategy: "token", Ended: true}, first, third)
	lists(t, s, state.LoginQuery{Strategy: "token", Ended: true, Skip: 1}, first)
	all, err := s.BySubject(t.Context(), "alice")
	must(t, err)
	if len(all) != 3 {
		t.Fatalf("%d records of the subject, want the live and the ended", len(all))
	}
	must(t, s.Delete(t.Context(), first))
	lists(t, s, state.LoginQuery{Strategy: "token", Ended: true}, third)
}

// endsLogins requires that an ending of alice's logins ends so many.
func endsLogins(t *testing.T, s state.Store, e state.Ending, want int) {
	t.Helper()
	e.Subject, e.Kind = "alice", state.KindFamily
	n, err := s.EndSubject(t.Context(), e)
	must(t, err)
	if n != want {
		t.Fatalf("%d logins ended, want %d", n, want)
	}
}

func deletesLogins(t *testing.T, s state.Store, clock *testClock) {
	var all []state.Key
	for i := range 5 {
		all = append(all, began(t, s, clock, "token", i))
	}
	other := began(t, s, clock, "session", 0)
	k, r := clock.login("bob", "1")
	r.Strategy = "token"
	must(t, s.Create(t.Context(), k, r))

	endsLogins(t, s, state.Ending{Strategy: "token", Until: at(clock, -1), Delete: true}, 0)
	endsLogins(t, s, state.Ending{Strategy: "token", Until: at(clock, 2), Except: all[1].String(), Delete: true}, 2)
	lists(t, s, state.LoginQuery{Strategy: "token"}, all[1], all[3], all[4])
	_, err := s.Load(t.Context(), all[2])
	want(t, err, state.ErrNotFound)
	endsLogins(t, s, state.Ending{Strategy: "token", Until: at(clock, 9), Delete: true}, 3)
	lists(t, s, state.LoginQuery{Strategy: "token"})
	lists(t, s, state.LoginQuery{Strategy: "session"}, other)
	_, err = s.Load(t.Context(), k)
	must(t, err)
}

func revokesLogins(t *testing.T, s state.Store, clock *testClock) {
	var all []state.Key
	for i := range 4 {
		all = append(all, began(t, s, clock, "token", i))
	}
	before, err := s.Load(t.Context(), all[0])
	must(t, err)
	endsLogins(t, s, state.Ending{Strategy: "token", Until: at(clock, 2), Except: all[1].String()}, 2)
	lists(t, s, state.LoginQuery{Strategy: "token"}, all[1], all[3])
	heads := lists(t, s, state.LoginQuery{Strategy: "token", Ended: true}, all[0], all[2])
	if want := (state.LoginHead{Key: all[0], IssuedAt: at(clock, 0), ExpiresAt: before.Expires}); heads[0] != want {
		t.Fatalf("got %+v after its end, want %+v", heads[0], want)
	}
	got, err := s.Load(t.Context(), all[0])
	must(t, err)
	revoked := before
	revoked.Revoke()
	revoked.Rev = 2
	same(t, got, revoked)
	want(t, s.Update(t.Context(), all[0], before.Rev, before), state.ErrConflict)

	endsLogins(t, s, state.Ending{Strategy: "token", Until: at(clock, 9)}, 2)
	endsLogins(t, s, state.Ending{Strategy: "token", Until: at(clock, 9)}, 0)
	lists(t, s, state.LoginQuery{Strategy: "token", Ended: true}, all...)
	endsLogins(t, s, state.Ending{Strategy: "token", Until: at(clock, 1), Ended: true, Delete: true}, 2)
	lists(t, s, state.LoginQuery{Strategy: "token", Ended: true}, all[2], all[3])
	clock.advance(time.Hour)
	lists(t, s, state.LoginQuery{Strategy: "token", Ended: true})
}

func endsNothingTwice(t *testing.T, s state.Store, clock *testClock) {
	k := began(t, s, clock, "token", 0)
	must(t, s.Delete(t.Context(), k))
	endsLogins(t, s, state.Ending{Strategy: "token", Until: at(clock, 9)}, 0)
	_, err := s.Load(t.Context(), k)
	want(t, err, state.ErrNotFound)
	k = began(t, s, clock, "token", 1)
	clock.advance(time.Hour)
	endsLogins(t, s, state.Ending{Strategy: "token", Until: at(clock, 9)}, 0)
	endsLogins(t, s, state.Ending{Strategy: "token", Until: at(clock, 9), Delete: true}, 0)
	_, err = s.Load(t.Context(), k)
	want(t, err, state.ErrNotFound)

	// A subject and a strategy are any text.
	const odd = `}{"\' 가`
	k, r := clock.login(odd, "1")
	r.Strategy = odd
	must(t, s.Create(t.Context(), k, r))
	n, err := s.EndSubject(t.Context(), state.Ending{Subject: odd, Strategy: odd, Until: at(clock, 9), Kind: r.Kind})
	must(t, err)
	got, err := s.Load(t.Context(), k)
	must(t, err)
	if n != 1 || got.Login.Subject != odd || got.Strategy != odd {
		t.Fatalf("%d ended, and left %+v", n, got)
	}
}

func honoursContextForLogins(t *testing.T, s state.Store, clock *testClock) {
	k := began(t, s, clock, "token", 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, listing := s.Logins(ctx, state.LoginQuery{Subject: "alice", Strategy: "token"})
	want(t, listing, context.Canceled)
	_, ending := s.EndSubject(ctx, state.Ending{Subject: "alice", Strategy: "token", Until: at(clock, 9), Delete: true})
	want(t, ending, context.Canceled)
	_, err := s.Load(t.Context(), k)
	must(t, err)
}
