package lab

import (
	"strings"
)

// onTheWire is E01: what travels, and who holds the state.
func onTheWire(b *Bench, r *Result) {
	alice := b.Alice()
	r.BytesUp, r.ClientBytes = count(alice.carries()), count(alice.holds())
	if b.Levers != nil {
		_, bytes := b.kept(alice)
		r.ServerBytes = count(bytes)
		r.Values["server_keeps"] = bytes > 0
	} else {
		r.Why["server_bytes"] = "not_ours"
	}
	profile := alice.Profile()
	r.answers(profile.Answer)
	r.costs(profile.Answer)
	r.Values["request_bytes"] = profile.sent
	if b.Levers != nil {
		r.ServerUS = b.times(alice)
	}
	if b.Target.Change != nil {
		field := b.fields()[0]
		value := b.Target.Change.Fields[field][0]
		if alice.field(profile.Answer, field) == value {
			value = b.Target.Change.Fields[field][1]
		}
		before := alice.Copy("copy")
		r.BytesDown = count(b.givenBytes(alice.Change(field, value)))
		// Not whether the bytes differ: a library may sign the same identifier again, with the time.
		r.Values["new_credential"] = alice.Read(field) == value && before.Read(field) != value
	}
}

// confidentiality is E03: can the state be read from the credential?
func confidentiality(b *Bench, r *Result) {
	alice := b.Alice()
	words := []string{alice.user.Username}
	if b.Target.Note != nil {
		answer := alice.Act("write a note", &Act{b.Target.Note.Request}, values{"value": "wonderland is a secret"})
		r.answers(answer)
		words = []string{"wonderland is a secret"}
	} else if b.Target.Change != nil {
		for _, field := range b.fields() {
			words = append(words, `"`+field+`"`)
		}
	}
	found := ""
	for name, value := range alice.Credential() {
		if reads(value, words...) {
			found = where(name)
		}
	}
	r.attack(found != "")
	if found != "" {
		r.Values["found_in"] = found
	} else {
		r.Values["found_in"] = nil
		r.Why["found_in"] = "nothing_found"
	}
}

// tampering is E04: an edited credential is refused, or the client is who it likes to be.
func tampering(b *Bench, r *Result) {
	alice := b.Alice()
	claims := strings.NewReplacer("member", "admin", alice.user.Username, b.Target.Users[1].Username)
	key := b.publicKey(alice)
	tried, believed := 0, []string{}
	for name, value := range alice.Credential() {
		for _, e := range edits(value, claims, key) {
			editor := alice.Copy("editor")
			editor.Put(name, e.value)
			b.secrets.add(e.value)
			seen := editor.profile(e.does + ", then read")
			tried++
			r.answers(seen.Answer)
			if seen.In() {
				believed = append(believed, e.does)
			}
		}
	}
	r.attack(len(believed) > 0)
	if len(believed) > 0 {
		r.Reason, r.Why["reason"] = nil, "believed"
	}
	r.Values["tried"], r.Values["believed"] = tried, believed
}

// rollback is E05: an older copy of the credential brings an older state back.
func rollback(b *Bench, r *Result) {
	alice := b.Alice()
	var change func() Answer
	var read func() string
	if b.Target.Spend != nil {
		change = alice.Spend
		read = func() string { return alice.Profile().text("/state/credits") }
	} else {
		field := b.fields()[0]
		vals := b.Target.Change.Fields[field]
		alice.Change(field, vals[0])
		change = func() Answer { return alice.Change(field, vals[1]) }
		read = func() string { return alice.Read(field) }
	}
	before, old := read(), alice.Keep()
	r.answers(change())
	changed := read()
	alice.Restore(old)
	seen := alice.Profile()
	r.costs(seen.Answer)
	after := read()
	if changed == before {
		b.fail("the change did not show in the profile")
	}
	r.attack(seen.In() && after == before)
	r.Values["before"], r.Values["changed"], r.Values["after"] = before, changed, after
	if !seen.In() {
		r.answers(seen.Answer)
	}
}
