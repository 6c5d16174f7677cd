package lab

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
)

// repeat is how many requests a time is measured over.
const repeat = 20

// experiments is the one list. What each does reads like its steps in words.yaml.
var experiments = []*Experiment{
	{
		ID: "E01", Name: "wire", Columns: []string{"bytes_up", "bytes_down", "client_bytes", "server_bytes", "store_cost", "server_us"},
		run: onTheWire, expect: func(b *Bench) Expected {
			return Expected{"new_credential": b.Traits.Holder == "client", "server_keeps": b.Traits.KeptIn != ""}
		},
	},
	{
		ID: "E03", Name: "readable", Columns: []string{"attack", "found_in"},
		run: confidentiality, expect: func(b *Bench) Expected { return Expected{"attack": attackIf(b.Traits.Readable)} },
	},
	{
		ID: "E04", Name: "tamper", Columns: []string{"attack", "tried", "believed", "reason"},
		run: tampering, expect: func(b *Bench) Expected { return Expected{"attack": attackIf(!b.Traits.TamperProof)} },
	},
	{
		ID: "E05", Name: "rollback", Columns: []string{"attack", "after", "store_cost"}, applies: needs(canChange),
		run: rollback, expect: func(b *Bench) Expected { return Expected{"attack": attackIf(!b.Traits.RollbackProof)} },
	},
	{
		ID: "E06", Name: "deletion", Columns: []string{"deleted_copy", "logout_copy", "dropped_copy", "orphans"}, applies: needs(canLogOut),
		run: deletion, expect: expectDeletion,
	},
	{
		ID: "E07", Name: "replay-after-logout", Columns: []string{"status", "lived_s", "reason", "store_cost"}, Denylist: true, applies: needs(canLogOut),
		run: replayAfterLogout, expect: func(b *Bench) Expected { return expectLife(b, b.Traits.Revocable) },
	},
	{
		ID: "E08", Name: "everywhere", Columns: []string{"devices_out", "bystander", "lived_s", "reason"}, Denylist: true, applies: needs(canLogOutEverywhere),
		run: everywhere, expect: func(b *Bench) Expected {
			return expectLife(b, b.Traits.Everywhere && b.Traits.Revocable).with("bystander", "in")
		},
	},
	{
		ID: "E09", Name: "role-change", Columns: []string{"stale_s", "reason", "store_cost"}, applies: needs(hasLevers),
		run: roleChange, expect: expectRoleChange,
	},
	{
		ID: "E10", Name: "fixation", Columns: []string{"attack", "worked_with"}, applies: needs(sentByBrowser),
		run: fixation, expect: func(b *Bench) Expected { return Expected{"attack": attackIf(!b.Traits.RenewsID)} },
	},
	{
		ID: "E11", Name: "csrf", Columns: []string{"status", "reason", "without_check", "same_site"}, applies: needs(sentByBrowser, canChange),
		run: forgery, expect: func(*Bench) Expected { return Expected{"attack": Blocked, "without_check": Succeeds} },
	},
	{
		ID: "E14", Name: "refresh-reuse", Columns: []string{"status", "reason", "lived_s", "tabs_with_overlap", "tabs_without"}, applies: needs(hasRefreshToken),
		run: refreshReuse, expect: func(*Bench) Expected {
			return Expected{"attack": Blocked, "owner": "out", "lived_s": between(1, 1200), "tabs_with_overlap": 2, "tabs_without": 0}
		},
	},
	{
		ID: "E15", Name: "restart", Columns: []string{"same_keys", "new_keys"}, applies: needs(hasLevers),
		run: restart, expect: expectRestart,
	},
	{
		ID: "E16", Name: "two-servers", Columns: []string{"own_stores", "shared_store", "verifier_reads", "verifier_login"}, applies: needs(hasLevers),
		run: twoServers, expect: expectTwoServers,
	},
	{
		ID: "E18", Name: "size", Columns: []string{"payload", "client_bytes", "status", "reason", "syllables"}, applies: needs(hasCart),
		run: growth, expect: func(b *Bench) Expected {
			return Expected{"wall": b.Traits.LimitBytes > 0, "kept": true}
		},
	},
	{
		ID: "E19", Name: "lost-update", Columns: []string{"lost", "lost_if_match", "status"}, applies: needs(canChange),
		run: lostUpdate, expect: func(b *Bench) Expected {
			return Expected{"lost": !b.Traits.Versioned, "lost_if_match": !b.Traits.Versioned}
		},
	},
	{
		ID: "E21", Name: "cache", Columns: []string{"stale_s", "hit", "not_modified", "store_cost"}, applies: needs(hasLevers), also: policies,
		run: caching, expect: expectCaching,
	},
}

func attackIf(works bool) string {
	if works {
		return Succeeds
	}
	return Blocked
}

func (e Expected) with(name string, value any) Expected {
	e[name] = value
	return e
}

// needs puts together what an experiment cannot do without.
func needs(all ...func(*Bench) string) func(*Bench) string {
	return func(b *Bench) string {
		for _, need := range all {
			if why := need(b); why != "" {
				return why
			}
		}
		return ""
	}
}

// need returns a word for what the target lacks.
func need(has bool, why string) string {
	if has {
		return ""
	}
	return why
}

func canChange(b *Bench) string { return need(b.Target.Change != nil, "no_change") }
func canLogOut(b *Bench) string { return need(b.Target.Logout != nil, "no_logout") }
func canLogOutEverywhere(b *Bench) string {
	return need(b.Target.LogoutEverywhere != nil, "no_everywhere")
}
func hasLevers(b *Bench) string     { return need(b.Levers != nil, "no_lever") }
func hasCart(b *Bench) string       { return need(b.Target.Cart != nil, "not_ours") }
func sentByBrowser(b *Bench) string { return need(!b.Target.bearer(), "bearer") }

func hasRefreshToken(b *Bench) string {
	return need(b.Target.Refresh != nil && (b.Levers == nil || b.Traits.RefreshToken != "none"), "no_refresh_token")
}

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
		before := alice.Credential()
		field := b.fields()[0]
		answer := alice.Change(field, b.Target.Change.Fields[field][0])
		r.Values["new_credential"] = !maps.Equal(before, alice.Credential())
		r.BytesDown = count(b.givenBytes(answer))
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
	switch {
	case b.Traits.KeptIn == "store" || b.Traits.KeptIn == "database":
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
	b.lives(r, second, seen)
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
	teacher := b.Teacher()
	ask := func() Answer { return teacher.Act("list the members", b.Target.Members, nil) }
	r.answers(ask())
	b.Levers.Role(teacher.user.Username, "member")
	answer := ask()
	r.answers(answer)
	r.costs(answer)
	r.StaleS, answer = b.Lasts(answer, func() (bool, Answer) {
		a := ask()
		return a.OK(), a
	})
	r.answers(answer)
	r.Mark = Good
	if r.StaleS == nil {
		r.Mark, r.Why["stale_s"] = Bad, "no_end_seen"
	} else if *r.StaleS > 0 {
		r.Mark = Partly
	}
}

func expectRoleChange(b *Bench) Expected {
	t := b.Traits
	switch {
	case t.Holder == "server" && t.KeptIn != "process":
		return Expected{"stale_s": between(0, float64(max(t.StaleSeconds, 1)*300))}
	case !t.Expires:
		return Expected{"stale_s": nil}
	}
	return Expected{"stale_s": between(1, life(t))}
}

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
		b.wait(b.ctx, overlap)
		reuse = patient.Refresh()
	}
	r.answers(reuse)
	r.attack(reuse.OK())
	access := alice.Copy("alice")
	owner := alice.Refresh()
	r.Values["owner"] = "out"
	if owner.OK() {
		r.Values["owner"] = "in"
	}
	seen := access.Profile()
	b.lives(r, access, seen)
	reason := r.Reason
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

// devices is how many logins a restart is tried on.
const devices = 5

// restart is E15: the server restarts, with its keys and with new ones.
func restart(b *Bench, r *Result) {
	for _, way := range []struct {
		name     string
		keepKeys bool
	}{{"same_keys", true}, {"new_keys", false}} {
		var all []*Agent
		for range devices {
			all = append(all, b.Alice())
		}
		b.Levers.Restart(way.keepKeys)
		left := 0
		for _, a := range all {
			if seen := a.Profile(); seen.In() {
				left++
			} else if r.Reason == nil {
				r.answers(seen.Answer)
			}
		}
		r.Values[way.name] = left
	}
	r.Mark = Bad
	if r.Values["same_keys"] == devices {
		r.Mark = Good
	}
}

func expectRestart(b *Bench) Expected {
	all := func(yes bool) int {
		if yes {
			return devices
		}
		return 0
	}
	survives := b.Traits.SurvivesRestart
	storeSurvives := survives == "database" || survives == "always" || survives == "store" && b.store != "memory"
	return Expected{"same_keys": all(storeSurvives || survives == "key"), "new_keys": all(storeSurvives)}
}

// twoServers is E16: requests go to one server and the other in turn.
func twoServers(b *Bench, r *Result) {
	share := func(n Node) float64 {
		other := b.node(n)
		alice, worked := b.Alice(), 0
		const requests = 20
		for i := range requests {
			alice.At([]string{b.Target.Base, other}[i%2])
			seen := alice.Profile()
			if seen.In() {
				worked++
			} else if r.Reason == nil {
				r.answers(seen.Answer)
			}
		}
		return float64(worked) * 100 / requests
	}
	r.Values["own_stores"] = nil
	r.Why["own_stores"] = "one_store"
	if b.store == "memory" {
		r.Values["own_stores"] = share(Node{})
	}
	r.Values["shared_store"] = share(Node{SharedStore: true})
	verifier := b.node(Node{SharedStore: true, PublicKeysOnly: true})
	alice := b.Alice().At(verifier)
	r.Values["verifier_reads"] = alice.Profile().Status
	r.Values["verifier_login"] = alice.do("log in", b.Target.Login.Request, nil).Status
	r.Mark = Bad
	if r.Values["shared_store"] == 100.0 {
		r.Mark = Good
	}
}

func expectTwoServers(b *Bench) Expected {
	e := Expected{"shared_store": 100}
	if b.Traits.KeptIn == "process" {
		e["shared_store"] = 50
	}
	if b.store == "memory" {
		e["own_stores"] = 100
		if b.Traits.NeedsSharedStore && b.Traits.KeptIn != "database" {
			e["own_stores"] = 50
		}
	}
	return e
}

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

func where(name string) string {
	if name == "" {
		return "Authorization"
	}
	return name
}

func inOrOut(s Seen) string {
	if s.In() {
		return "in"
	}
	return "out"
}

func count(n int) *int { return &n }

func contains(all []string, one string) bool { return slices.Contains(all, one) }
