package lab

import "net/http"

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
	e := Expected{"shared_store": 100, "verifier_reads": http.StatusOK, "verifier_login": http.StatusOK}
	switch {
	case b.Traits.KeptIn == "process":
		e["shared_store"], e["verifier_reads"] = 50, http.StatusUnauthorized
	case b.Traits.RefreshToken != "none": // a public key verifies, and signs nothing
		e["verifier_login"] = http.StatusServiceUnavailable
	case b.Traits.NeedsSharedKey: // the one key does both
		e["verifier_reads"], e["verifier_login"] = http.StatusServiceUnavailable, http.StatusServiceUnavailable
	}
	if b.store == "memory" {
		e["own_stores"] = 100
		if b.Traits.NeedsSharedStore && b.Traits.KeptIn != "database" {
			e["own_stores"] = 50
		}
	}
	return e
}
