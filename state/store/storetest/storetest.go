// Package storetest holds every back end of state.Store to its contract.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"statelab/state"
	"statelab/state/store"
)

// A rule is one that every back end keeps.
type rule struct {
	name string
	test func(t *testing.T, s state.Store, clock *testClock)
}

// Run holds a back end to the contract of state.Store, in named sub-tests.
func Run(t *testing.T, open Open) {
	for _, rule := range append([]rule{
		{"keeps what was created, with its first revision", keepsWhatWasCreated},
		{"knows nothing of a key that was not created", knowsNothingElse},
		{"creates a key once", createsOnce},
		{"updates only the revision that was read", updatesByRevision},
		{"never re-creates what was deleted", neverRecreates},
		{"deletes more than once without complaint", deletesTwice},
		{"forgets at the very moment of expiry", forgetsAtExpiry},
		{"takes a key again whose record has expired", takesAgain},
		{"lets one of 64 parallel creations over an expired record win", letsOneTakeAgain},
		{"finds a subject's records and no other", findsBySubject},
		{"loses none of 64 parallel updates", losesNoUpdate},
		{"lets one of 64 parallel creations win", letsOneCreate},
		{"answers 64 callers as if they came one by one", isLinearizable},
		{"honours a cancelled context", honoursContext},
		{"hands out values that do not share memory", handsOutValues},
	}, loginRules...) {
		t.Run(rule.name, func(t *testing.T) {
			clock := newTestClock()
			s, _ := open(t, store.Options{Now: clock.Now})
			rule.test(t, s, clock)
		})
	}
	t.Run("does not find a record that is spoiled, and all others", func(t *testing.T) {
		clock := newTestClock()
		s, spoils := open(t, store.Options{Now: clock.Now})
		if len(spoils) == 0 {
			t.Skip("nobody outside the process reaches its records")
		}
		for i, spoil := range spoils {
			survivesSpoiling(t, s, clock, fmt.Sprint(i), spoil)
		}
	})
}

type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func newTestClock() *testClock { return &testClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *testClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// login returns a key and a record that lives for an hour.
func (c *testClock) login(subject, name string) (state.Key, state.Record) {
	l := state.NewLogin(subject, subject, subject, "member")
	now := state.MicrosOf(c.Now())
	k := state.KeyOf("conformance", subject, name)
	l.ID, l.IssuedAt, l.ExpiresAt = k.String(), now, now.Add(time.Hour)
	l.Cart = []string{"책", "a book"}
	return k, state.Record{
		Kind: state.KindLogin, Strategy: "session", Login: l, LastSeen: now, Expires: l.ExpiresAt, Foreign: []byte{0, 255},
		Rotation: state.Rotation{Current: [32]byte{1, 2, 3}, Salt: [16]byte{4}, RotatedAt: now},
	}
}

// Record returns a record of a subject in the strategy session, which lives until expires.
func Record(kind state.Kind, subject string, expires state.Micros) state.Record {
	return state.Record{Kind: kind, Strategy: "session", Login: state.NewLogin(subject, subject, subject, "member"), Expires: expires}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got the error %v, want %v", err, target)
	}
}

// same compares records as documents, and their revisions.
func same(t *testing.T, got, want state.Record) {
	t.Helper()
	g, err := got.Encode()
	must(t, err)
	w, err := want.Encode()
	must(t, err)
	if string(g) != string(w) || got.Rev != want.Rev {
		t.Fatalf("got  %s at revision %d\nwant %s at revision %d", g, got.Rev, w, want.Rev)
	}
}

func keepsWhatWasCreated(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	must(t, s.Create(t.Context(), k, r))
	got, err := s.Load(t.Context(), k)
	must(t, err)
	r.Rev = 1
	same(t, got, r)
	must(t, s.Ping(t.Context()))
}

func knowsNothingElse(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	_, err := s.Load(t.Context(), k)
	want(t, err, state.ErrNotFound)
	want(t, s.Update(t.Context(), k, 1, r), state.ErrNotFound)
	_, err = s.Load(t.Context(), k)
	want(t, err, state.ErrNotFound)
}

func createsOnce(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	must(t, s.Create(t.Context(), k, r))
	other := r
	other.Login.Note = "an intruder"
	want(t, s.Create(t.Context(), k, other), state.ErrExists)
	got, err := s.Load(t.Context(), k)
	must(t, err)
	if got.Login.Note != "" {
		t.Fatal("a second creation overwrote the first")
	}
}

func updatesByRevision(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	must(t, s.Create(t.Context(), k, r))
	first, second := r, r
	first.Login.Theme, second.Login.Theme = "dark", "system"
	must(t, s.Update(t.Context(), k, 1, first))
	want(t, s.Update(t.Context(), k, 1, second), state.ErrConflict)
	want(t, s.Update(t.Context(), k, 3, second), state.ErrConflict)
	got, err := s.Load(t.Context(), k)
	must(t, err)
	first.Rev = 2
	same(t, got, first)
	must(t, s.Update(t.Context(), k, 2, second))
}

func neverRecreates(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	must(t, s.Create(t.Context(), k, r))
	must(t, s.Delete(t.Context(), k))
	want(t, s.Update(t.Context(), k, 1, r), state.ErrNotFound)
	_, err := s.Load(t.Context(), k)
	want(t, err, state.ErrNotFound)
	entries, err := s.BySubject(t.Context(), "alice")
	must(t, err)
	if len(entries) != 0 {
		t.Fatal("a deleted record is still listed")
	}
}

func deletesTwice(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	must(t, s.Delete(t.Context(), k))
	must(t, s.Create(t.Context(), k, r))
	must(t, s.Delete(t.Context(), k))
	must(t, s.Delete(t.Context(), k))
}

func forgetsAtExpiry(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	must(t, s.Create(t.Context(), k, r))
	clock.advance(time.Hour - time.Microsecond)
	_, err := s.Load(t.Context(), k)
	must(t, err)
	clock.advance(time.Microsecond)
	_, err = s.Load(t.Context(), k)
	want(t, err, state.ErrNotFound)
	want(t, s.Update(t.Context(), k, 1, r), state.ErrNotFound)
	entries, err := s.BySubject(t.Context(), "alice")
	must(t, err)
	if len(entries) != 0 {
		t.Fatal("an expired record is still listed")
	}
}

func takesAgain(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	must(t, s.Create(t.Context(), k, r))
	clock.advance(time.Hour)
	_, r = clock.login("alice", "1")
	must(t, s.Create(t.Context(), k, r))
	entries, err := s.BySubject(t.Context(), "alice")
	must(t, err)
	if len(entries) != 1 {
		t.Fatalf("%d records, want 1", len(entries))
	}
}

func findsBySubject(t *testing.T, s state.Store, clock *testClock) {
	want := map[state.Key]bool{}
	for i := range 5 {
		k, r := clock.login("alice", fmt.Sprint(i))
		must(t, s.Create(t.Context(), k, r))
		want[k] = true
		k, r = clock.login("bob", fmt.Sprint(i))
		must(t, s.Create(t.Context(), k, r))
	}
	check := func() {
		t.Helper()
		entries, err := s.BySubject(t.Context(), "alice")
		must(t, err)
		for _, e := range entries {
			if !want[e.Key] || e.Login.Subject != "alice" || e.Rev != 1 {
				t.Fatalf("unexpected entry %v of %s at revision %d", e.Key, e.Login.Subject, e.Rev)
			}
		}
		if len(entries) != len(want) {
			t.Fatalf("%d records, want %d", len(entries), len(want))
		}
	}
	check()
	for _, i := range []int{2, 4, 0} { // from the middle and from both ends
		k, _ := clock.login("alice", fmt.Sprint(i))
		must(t, s.Delete(t.Context(), k))
		delete(want, k)
		check()
	}
	entries, err := s.BySubject(t.Context(), "nobody")
	must(t, err)
	if len(entries) != 0 {
		t.Fatal("nobody has records")
	}
}

func losesNoUpdate(t *testing.T, s state.Store, clock *testClock) {
	const writers, each = 64, 3
	k, r := clock.login("alice", "1")
	must(t, s.Create(t.Context(), k, r))
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				got, err := s.Load(t.Context(), k)
				if err != nil {
					t.Error(err)
					return
				}
				got.Count++
				switch err := s.Update(t.Context(), k, got.Rev, got); {
				case err == nil:
					done++
				case !errors.Is(err, state.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Load(t.Context(), k)
	must(t, err)
	if got.Count != writers*each || got.Rev != 1+writers*each {
		t.Fatalf("count %d at revision %d, want %d and one more", got.Count, got.Rev, writers*each)
	}
}

func letsOneCreate(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	createsInParallel(t, s, k, r)
}

func letsOneTakeAgain(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	must(t, s.Create(t.Context(), k, r))
	clock.advance(time.Hour)
	_, r = clock.login("alice", "1")
	createsInParallel(t, s, k, r)
}

// createsInParallel requires that of 64 creations of one record one wins.
func createsInParallel(t *testing.T, s state.Store, k state.Key, r state.Record) {
	t.Helper()
	results := make([]error, 64)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i] = s.Create(t.Context(), k, r) })
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
		} else {
			want(t, err, state.ErrExists)
		}
	}
	if won != 1 {
		t.Fatalf("%d creations won", won)
	}
}

func honoursContext(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	must(t, s.Create(t.Context(), k, r))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	other, _ := clock.login("alice", "2")
	_, loading := s.Load(ctx, k)
	_, listing := s.BySubject(ctx, "alice")
	for _, err := range []error{
		s.Create(ctx, other, r), loading, s.Update(ctx, k, 1, r), s.Delete(ctx, k), listing, s.Ping(ctx),
	} {
		want(t, err, context.Canceled)
	}
	got, err := s.Load(t.Context(), k)
	must(t, err)
	if got.Rev != 1 {
		t.Fatal("a cancelled update was made")
	}
}

func handsOutValues(t *testing.T, s state.Store, clock *testClock) {
	k, r := clock.login("alice", "1")
	must(t, s.Create(t.Context(), k, r))
	got, err := s.Load(t.Context(), k)
	must(t, err)
	got.Login.Theme = "dark"
	got.Login.Cart = slices.Insert(got.Login.Cart, 0, "another")
	want(t, s.Update(t.Context(), k, got.Rev+1, got), state.ErrConflict)
	again, err := s.Load(t.Context(), k)
	must(t, err)
	if again.Login.Theme != state.DefaultTheme || len(again.Login.Cart) != 2 {
		t.Fatal("a change of what was handed out changed what is kept")
	}
}

// survivesSpoiling spoils one of a subject's two records. The other one is as it
// was, and whoever the spoiled one belonged to can log in anew, even under its
// key: that of a counter is always the same.
func survivesSpoiling(t *testing.T, s state.Store, clock *testClock, name string, spoil Spoil) {
	t.Helper()
	k, r := clock.login("alice", name)
	healthy, other := clock.login("alice", name+" healthy")
	must(t, s.Create(t.Context(), k, r))
	must(t, s.Create(t.Context(), healthy, other))
	spoil(t, k)
	_, err := s.Load(t.Context(), k)
	want(t, err, state.ErrNotFound)
	got, err := s.Load(t.Context(), healthy)
	must(t, err)
	other.Rev = 1
	same(t, got, other)
	lists := func(k state.Key) bool {
		t.Helper()
		entries, err := s.BySubject(t.Context(), "alice")
		must(t, err)
		return slices.ContainsFunc(entries, func(e state.Entry) bool { return e.Key == k })
	}
	if lists(k) || !lists(healthy) {
		t.Fatal("the spoiled record is listed, or the healthy one is not")
	}

	createsInParallel(t, s, k, r)
	got, err = s.Load(t.Context(), k)
	must(t, err)
	r.Rev = 1
	same(t, got, r)
	must(t, s.Update(t.Context(), k, 1, r))
	if !lists(k) {
		t.Fatal("the new record is not listed")
	}
}
