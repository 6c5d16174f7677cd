package lab

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// growth is E18: the cart grows until something gives, first by items and then by the byte.
func growth(b *Bench, r *Result) {
	text := func(cart []string) int { return len(strings.Join(cart, "")) }
	cart, refused, alice := b.largestCart("x", 50)
	held, _ := lookUp(alice.Profile().json(), "/state/cart").([]any)
	r.Values["kept"] = len(held) == len(cart)
	r.Values["wall"] = refused != nil
	r.Values["payload"] = text(cart)
	r.ClientBytes = count(alice.carries())
	r.Mark = Good
	if refused != nil {
		r.answers(*refused)
		r.Mark = Bad
	}
	korean, _, _ := b.largestCart("가", 30)
	r.Values["syllables"] = text(korean) / len("가")
}

// maxItems is how many items a cart takes.
const maxItems = 200

// largestCart finds the largest cart of items of a length that the server takes for alice,
// and what it answers to a larger one; nil: it takes a full one.
func (b *Bench) largestCart(letter string, length int) (cart []string, refused *Answer, alice *Agent) {
	alice = b.Alice()
	item := strings.Repeat(letter, length)
	of := func(items, rest int) []string {
		cart := slices.Repeat([]string{item}, items)
		if rest > 0 {
			cart = append(cart, strings.Repeat(letter, rest))
		}
		return cart
	}
	takes := func(cart []string) bool { return alice.Act("fill the cart", b.Target.Cart, values{"cart": cart}).OK() }
	b.quietly(func() {
		items := sort.Search(maxItems, func(n int) bool { return !takes(of(n+1, 0)) })
		rest := 0
		if items < maxItems {
			rest = sort.Search(length-1, func(n int) bool { return !takes(of(items, n+1)) })
		}
		cart = of(items, rest)
	})
	if len(cart) < maxItems {
		larger := of(len(cart)+1, 0)
		answer := alice.Act(fmt.Sprintf("put %d items into the cart", len(larger)), b.Target.Cart, values{"cart": larger})
		refused = &answer
	}
	alice.Act(fmt.Sprintf("put %d items into the cart", len(cart)), b.Target.Cart, values{"cart": cart})
	return cart, refused, alice
}

// lostUpdate is E19: two tabs have read the same state, and each changes another field.
func lostUpdate(b *Bench, r *Result) {
	fields := b.fields()
	if len(fields) < 2 {
		r.notApplicable("one_field")
		return
	}
	overlapping := func(one, other *Agent, change, also func()) {
		one.meanwhile = also
		change()
	}
	lost := b.losesUpdate(r, false, overlapping)
	if b.Levers == nil { // a server that reads the body before it loads the login is not caught by a late body
		for range instants {
			lost = lost || b.losesUpdate(r, false, func(_, _ *Agent, change, also func()) { atOnce(change, also) })
		}
	}
	r.attack(lost)
	r.Attack = NotApplicable
	r.Values["lost"] = lost
	r.Values["lost_if_match"] = nil
	r.Why["lost_if_match"] = "not_ours"
	if b.Levers != nil {
		r.Values["lost_if_match"] = b.losesUpdate(r, true, overlapping)
	}
	r.Why["attack"] = "no_attack"
}

// instants is how many times two tabs of a server that is not ours save at the same one.
const instants = 8

// losesUpdate has two tabs of a new login change one field each, and says whether one of
// the changes is lost. A refusal is told, and nothing is lost.
func (b *Bench) losesUpdate(r *Result, conditional bool, meet func(one, other *Agent, change, also func())) (lost bool) {
	fields := b.fields()
	set := func(field string, i int) string { return b.Target.Change.Fields[field][i] }
	alice := b.Alice()
	for _, field := range fields[:2] {
		alice.Change(field, set(field, 0))
	}
	seen := alice.Profile()
	var headers []string
	if conditional {
		headers = []string{"If-Match", seen.Header.Get("ETag")}
	}
	one, other := alice.Copy("one tab"), alice.Copy("the other tab")
	var first, second Answer
	meet(one, other,
		func() { first = one.Change(fields[0], set(fields[0], 1), headers...) },
		func() { second = other.Change(fields[1], set(fields[1], 1), headers...) })
	r.Status = []int{}
	r.answers(second, first)
	for _, tab := range []*Agent{other, one} { // the tabs share what the browser holds
		if tab.holdsOther(alice) {
			alice.Restore(tab.Keep())
		}
	}
	now := alice.Profile()
	kept := func(a Answer, field string) bool {
		if alice.field(seen.Answer, field) != set(field, 0) || !a.OK() && !slices.Contains([]int{409, 412, 423}, a.Status) {
			b.fail("the change did not show in the profile")
		}
		return !a.OK() || alice.field(now.Answer, field) == set(field, 1)
	}
	keptFirst, keptSecond := kept(first, fields[0]), kept(second, fields[1])
	return !keptFirst || !keptSecond
}
