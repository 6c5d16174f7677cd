package lab

import (
	"time"
)

// deletion is E06: the cookie is deleted, the login is ended, the record is deleted; each
// time a copy from before is tried.
func deletion(b *Bench, r *Result) {
	r.Values["deleted_copy"], r.Values["dropped_copy"], r.Values["orphans"] = nil, nil, nil
	alice := b.Alice()
	thief := alice.Copy("copy")
	if b.Target.bearer() {
		r.Why["deleted_copy"], r.Why["orphans"] = "bearer", "bearer"
	} else {
		alice.Forget()
		alice.Profile()
		r.Values["deleted_copy"] = inOrOut(thief.Profile())
		r.Why["orphans"] = "not_ours"
		if b.Levers != nil {
			records, bytes := b.kept(thief)
			r.Values["orphans"] = max(records, min(bytes, 1))
		}
		thief.Logout()
	}
	alice = b.Alice()
	thief = alice.Copy("copy")
	r.answers(alice.Logout())
	seen := thief.Profile()
	r.answers(seen.Answer)
	r.Values["logout_copy"] = inOrOut(seen)
	r.attack(seen.In())

	r.Why["dropped_copy"] = "no_lever"
	if b.Levers == nil {
		return
	}
	alice = b.Alice()
	records, _, visible := b.Levers.Records(b.Target.Strategy, alice.user.Username)
	switch {
	case !visible:
		r.Why["dropped_copy"] = "not_visible"
	case len(records) == 0:
		r.Why["dropped_copy"] = "nothing_to_delete"
	default:
		for _, rec := range records {
			b.Levers.Drop(b.Target.Strategy, rec)
		}
		b.Levers.Advance(time.Minute) // past what a node keeps in its memory
		r.Values["dropped_copy"] = inOrOut(alice.Profile())
	}
}

func expectDeletion(b *Bench) Expected {
	e := Expected{"attack": attackIf(!b.Traits.Revocable)}
	if b.Traits.SentByBrowser {
		e["deleted_copy"] = "in"
		e["orphans"] = 0
		if b.Traits.KeptIn != "" {
			e["orphans"] = 1
		}
	}
	switch b.Traits.KeptIn {
	case "store", "database":
		e["dropped_copy"] = "out"
		if b.Traits.Holder == "client" { // the record is that of the refresh token
			e["dropped_copy"] = "in"
		}
	default:
		e["dropped_copy"] = nil
	}
	return e
}

// replayAfterLogout is E07: a stolen copy is used after its owner has logged out.
func replayAfterLogout(b *Bench, r *Result) {
	alice := b.Alice()
	thief := alice.Copy("thief")
	r.answers(alice.Logout())
	seen := thief.Profile()
	r.answers(seen.Answer)
	r.costs(seen.Answer)
	r.attack(seen.In())
	b.lives(r, thief, seen)
}

// everywhere is E08: three devices, one of which ends all logins, and another user.
func everywhere(b *Bench, r *Result) {
	first, second, third, bob := b.Alice(), b.Alice(), b.Alice(), b.Bob()
	second.Name, third.Name = "alice's second device", "alice's third device"
	r.answers(first.LogoutEverywhere())
	out := 0
	for _, device := range []*Agent{first, second, third} {
		if !device.Profile().In() {
			out++
		}
	}
	r.Values["devices_out"] = out
	r.Values["bystander"] = inOrOut(bob.Profile())
	seen := second.Profile()
	r.answers(seen.Answer)
	r.costs(seen.Answer)
	r.attack(seen.In())
	if seen.In() && b.Target.Refresh != nil && (b.Levers == nil || b.Traits.RefreshToken != "none") {
		again := third.Refresh()
		r.Values["refresh"] = "refused"
		if again.OK() {
			r.Values["refresh"] = "accepted"
		} else {
			r.Mark = Partly // it ends with the access token
		}
	}
	b.lives(r, second.Copy(second.Name), seen) // which outlasts the cookie's Max-Age
}

// lives notes how long a copy works from now on.
func (b *Bench) lives(r *Result, thief *Agent, seen Seen) {
	if !seen.In() {
		r.LivedS = number(0)
		return
	}
	lived, last := b.Lives(thief)
	r.LivedS = lived
	r.answers(last)
	switch {
	case lived != nil:
	case b.Levers == nil:
		r.Why["lived_s"] = "no_clock"
	default:
		r.Why["lived_s"] = "no_end_seen"
	}
}

// expectLife is what a copy's life is to be: none where the server can end it.
func expectLife(b *Bench, ends bool) Expected {
	switch {
	case ends:
		return Expected{"attack": Blocked, "lived_s": between(0, float64(b.Traits.StaleSeconds))}
	case !b.Traits.Expires:
		return Expected{"attack": Succeeds, "lived_s": nil}
	}
	return Expected{"attack": Succeeds, "lived_s": between(1, life(b.Traits))}
}

// life is how long a credential of the strategy can live by default, in seconds, and one
// step of the clock.
func life(t Traits) float64 {
	if t.RefreshToken != "none" {
		return (20 * time.Minute).Seconds()
	}
	return (8*time.Hour + 5*time.Minute).Seconds()
}

// roleChange is E09: an admin becomes a member, and reads what only admins may.
func roleChange(b *Bench, r *Result) {
	teacher := b.Teacher().Copy("teacher") // which outlasts the cookie's Max-Age
	ask := func() Answer { return teacher.Act("list the members", b.Target.Members, nil) }
	r.answers(ask())
	b.Levers.Role(teacher.user.Username, "member")
	answer := ask()
	r.answers(answer)
	r.costs(answer)
	r.StaleS, r.Mark = number(0), Good
	if !answer.OK() {
		return
	}
	r.Mark = Partly
	r.StaleS, answer = b.Lasts(func() (bool, Answer) {
		a := ask()
		return a.OK(), a
	})
	r.answers(answer)
	if r.StaleS == nil {
		r.Mark, r.Why["stale_s"] = Bad, "no_end_seen"
	}
}

func expectRoleChange(b *Bench) Expected {
	t := b.Traits
	switch {
	case t.Holder == "server" && t.KeptIn != "process":
		if t.StaleSeconds == 0 {
			return Expected{"stale_s": 0}
		}
		return Expected{"stale_s": between(0, 300)} // one step of the clock
	case !t.Expires:
		return Expected{"stale_s": nil}
	}
	return Expected{"stale_s": between(1, life(t))}
}
