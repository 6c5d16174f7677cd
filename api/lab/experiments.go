package lab

import (
	"slices"
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
		ID: "E07", Name: "replay-after-logout", Columns: []string{"status", "lived_s", "reason", "store_cost"}, Denylist: true,
		applies: needs(canLogOut), run: replayAfterLogout, expect: func(b *Bench) Expected { return expectLife(b, b.Traits.Revocable) },
	},
	{
		ID: "E08", Name: "everywhere", Columns: []string{"devices_out", "bystander", "lived_s", "reason"}, Denylist: true,
		applies: needs(canLogOutEverywhere), run: everywhere, expect: func(b *Bench) Expected {
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
		ID: "E14", Name: "refresh-reuse", Columns: []string{"status", "reason", "lived_s", "tabs_with_overlap", "tabs_without"},
		applies: needs(hasRefreshToken), run: refreshReuse, expect: func(*Bench) Expected {
			return Expected{"attack": Blocked, "owner": "out", "lived_s": between(1, 1200), "tabs_with_overlap": 2, "tabs_without": 0}
		},
	},
	{
		ID: "E15", Name: "restart", Columns: []string{"same_keys", "new_keys"}, applies: needs(hasLevers),
		run: restart, expect: expectRestart,
	},
	{
		ID: "E16", Name: "two-servers", Columns: []string{"own_stores", "shared_store", "verifier_reads", "verifier_login"},
		applies: needs(hasLevers), run: twoServers, expect: expectTwoServers,
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
