package lab

import (
	"time"
)

// fixation is E10: the victim logs in with an identifier that the attacker knows.
func fixation(b *Bench, r *Result) {
	names := b.Alice().credentials()
	visitor := b.agent("attacker", b.Target.Users[1]) // who never logs in: some logins keep what a visit gave
	visitor.Visit()
	plants := []struct {
		does string
		held Held
	}{{"what a visit gives", visitor.Keep()}}
	attacker := b.Bob()
	attacker.Name = "attacker"
	made := attacker.Copy("attacker")
	for _, name := range names {
		made.Put(name, "chosen-by-the-attacker-0123456789")
	}
	plants = append(plants, struct {
		does string
		held Held
	}{"a value made up", made.Keep()})
	if b.Target.Logout != nil {
		kept := attacker.Keep()
		attacker.Logout()
		plants = append(plants, struct {
			does string
			held Held
		}{"the attacker's login that has ended", kept})
	}
	worked := []string{}
	for _, plant := range plants {
		if len(plant.held.jar.cookies) == 0 {
			continue
		}
		victim := b.agent("alice", b.Target.Users[0])
		victim.Restore(plant.held)
		victim.Login()
		thief := b.agent("attacker", b.Target.Users[1])
		thief.Restore(plant.held)
		seen := thief.profile("use " + plant.does)
		r.answers(seen.Answer)
		if seen.User == victim.user.shown() {
			worked = append(worked, plant.does)
		}
	}
	r.attack(len(worked) > 0)
	r.Values["worked_with"] = worked
}

// forgery is E11, the server's half: a request that comes from another site's page, to
// which the browser has attached the credential.
func forgery(b *Bench, r *Result) {
	alice := b.Alice()
	if b.Target.Change.Request.names("csrf") { // the other site knows a token of its own only
		alice.csrf = b.agent("attacker", b.Target.Users[1]).token()
	}
	try := func() (works bool, answer Answer) {
		foreign := []string{"Origin", "http://attacker.example", "Sec-Fetch-Site", "cross-site"}
		if b.Target.Spend != nil {
			before := alice.Profile().text("/state/credits")
			answer = alice.Act("spend, from another site", b.Target.Spend, nil, foreign...)
			return alice.Profile().text("/state/credits") != before, answer
		}
		field := b.fields()[0]
		for _, value := range b.Target.Change.Fields[field] {
			answer = alice.Change(field, value, foreign...)
			if alice.Read(field) == value {
				continue
			}
			alice.csrf = ""
			if alice.Change(field, value); alice.Read(field) != value {
				b.fail("the change did not show in the profile")
			}
			return false, answer
		}
		return true, answer
	}
	works, answer := try()
	r.answers(answer)
	r.attack(works)
	r.Values["same_site"] = alice.sameSite()
	r.Values["without_check"] = nil
	r.Why["without_check"] = "no_lever"
	if b.Levers != nil {
		b.Levers.Set(map[string]any{"origin_check": false})
		works, _ = try()
		r.Values["without_check"] = attackIf(works)
	}
}

// overlap is how long a server that is not ours may take a used refresh token.
const overlap = 11 * time.Second

// refreshReuse is E14: a thief uses a refresh token that its owner has used; and two honest
// tabs use one at the same instant.
func refreshReuse(b *Bench, r *Result) {
	alice := b.Alice()
	thief := alice.Copy("thief")
	r.answers(alice.Refresh())
	if r.Status[0] >= 400 {
		b.fail("the refresh is refused: the server answered %d", r.Status[0])
	}
	patient := thief.Copy("thief")
	if b.Levers != nil {
		b.Levers.Advance(time.Minute) // past the overlap
	}
	reuse := thief.Refresh()
	if reuse.OK() && b.Levers == nil { // the other tab of an honest user has the overlap, too
		after(b.ctx, overlap)
		reuse = patient.Refresh()
	}
	r.answers(reuse)
	r.attack(reuse.OK())
	reason := r.Reason
	access := alice.Copy("alice")
	owner := alice.Refresh()
	r.Values["owner"] = "out"
	if owner.OK() {
		r.Values["owner"] = "in"
	}
	seen := access.Profile()
	b.lives(r, access, seen)
	for name, setting := range map[string]string{"tabs_with_overlap": "10s", "tabs_without": "0s"} {
		r.Values[name], r.Why[name] = nil, "no_lever"
		if b.Levers == nil {
			continue
		}
		b.Levers.Set(map[string]any{"refresh_overlap": setting})
		one := b.Alice()
		one.Name = "one tab"
		two := one.Copy("the other tab")
		atOnce(func() { one.Refresh() }, func() { two.Refresh() })
		in := 0
		for _, tab := range []*Agent{one, two} {
			if tab.Refresh().OK() {
				in++
			}
		}
		r.Values[name] = in
	}
	r.Reason = reason
}
