package lab

import (
	"slices"
	"strings"
)

// A fact is a row of the comparison of strategies: a member of what an experiment has
// found, or what the Report says of the strategy itself.
type fact struct {
	id, experiment, member string
	variant, unit          string
}

var facts = []fact{
	{id: "holder"},
	{id: "travels"},
	{id: "bytes_up", experiment: "E01", member: "bytes_up"},
	{id: "store_reads", experiment: "E01", member: "store_reads"},
	{id: "server_keeps", experiment: "E01", member: "server_keeps"},
	{id: "readable", experiment: "E03", member: "attack"},
	{id: "tamper", experiment: "E04", member: "attack"},
	{id: "rollback", experiment: "E05", member: "attack"},
	{id: "fixation", experiment: "E10", member: "attack"},
	{id: "script"},
	{id: "replay", experiment: "E07", member: "lived_s"},
	{id: "replay_denylist", experiment: "E07", member: "lived_s", variant: "denylist"},
	{id: "everywhere", experiment: "E08", member: "lived_s"},
	{id: "lists"},
	{id: "slides"},
	{id: "role", experiment: "E09", member: "stale_s"},
	{id: "restart", experiment: "E15", member: "same_keys"},
	{id: "own_stores", experiment: "E16", member: "own_stores", unit: " %"},
	{id: "stale", experiment: "E21", member: "stale_s"},
	{id: "csrf", experiment: "E11", member: "without_check"},
	{id: "largest", experiment: "E18", member: "payload", unit: " B"},
	{id: "lost", experiment: "E19", member: "lost"},
}

// Facts returns a table in Markdown with a row for each fact and a column for each
// strategy; no ids: all facts that the Report has.
func (r *Report) Facts(language string, slugs []string, ids ...string) string {
	p := &printer{View: View{Language: language, Markdown: true}, report: r}
	s := sheet{head: []string{""}}
	for _, slug := range slugs {
		s.head = append(s.head, "`"+slug+"`")
	}
	for _, f := range facts {
		if len(ids) > 0 && !slices.Contains(ids, f.id) {
			continue
		}
		row, known := []string{text(AllWords().Facts, f.id, language)}, false
		for _, slug := range slugs {
			cell := p.fact(f, slug)
			row = append(row, cell)
			known = known || cell != "–"
		}
		if known {
			s.rows = append(s.rows, row)
		}
	}
	return s.markdown()
}

// fact returns what the Report says of a strategy.
func (p *printer) fact(f fact, slug string) string {
	if f.experiment == "" {
		return p.own(f.id, slug)
	}
	i := slices.IndexFunc(p.report.Experiments, func(o Outcome) bool { return o.ID == f.experiment })
	if i < 0 {
		return "–"
	}
	r := p.report.Experiments[i].of(slug, f.variant)
	switch {
	case r == nil:
		return "–"
	case f.id == "csrf" && r.Why["attack"] == "bearer":
		return p.value("", false)
	case r.Mark == Neutral:
		return text(AllWords().Marks, r.Mark, p.Language)
	case f.member == "attack":
		return p.value("", r.Attack == Succeeds)
	case f.member == "without_check":
		return p.value("", r.Values[f.member] == Succeeds)
	}
	if r.Why[f.member] == "no_end_seen" {
		return p.word("no_end")
	}
	cell := p.cell(r, f.member)
	if cell == p.word("no_wall") {
		return cell
	}
	return cell + f.unit
}

// own returns what the Report says of a strategy besides its experiments.
func (p *printer) own(id, slug string) string {
	i := slices.IndexFunc(p.report.Strategies, func(s Strategy) bool { return s.ID == slug })
	if i < 0 || p.report.Strategies[i].Foreign {
		return "–"
	}
	s := p.report.Strategies[i]
	cookie, http := strings.HasPrefix(s.Credential.Where, "cookie "), slices.Contains(s.Credential.Attrs, "HttpOnly")
	switch id {
	case "holder":
		return p.word("holder_" + s.Holder)
	case "travels":
		switch {
		case !cookie:
			return "`" + s.Credential.Where + "`"
		case http:
			return p.word("cookie_http_only")
		}
		return p.word("cookie_readable")
	case "script":
		return p.value("", !http)
	case "lists":
		return p.value("", s.Lists)
	}
	return p.value("", s.Slides)
}
