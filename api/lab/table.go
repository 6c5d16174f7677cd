package lab

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/width"
)

// A View says in which form a Report is shown.
type View struct {
	Language string // "en" or "ko"
	Markdown bool   // else as text for a terminal
	Overview bool   // before the experiments, all of them in one table
	Wire     bool   // after each experiment, what was exchanged
}

// Show returns the Report as text. Apart from its words, all of it is the Report's.
func (r *Report) Show(v View) string {
	p := &printer{View: v, report: r}
	switch {
	case v.Overview && v.Markdown:
		p.line(strings.TrimSpace(r.Facts(v.Language, r.slugs())))
	case v.Overview:
		p.overview()
	}
	for _, o := range r.Experiments {
		p.experiment(o)
	}
	if len(r.Run.Commit) > 0 {
		p.line(p.word("measured", r.Run.At.Format(time.RFC3339), r.Run.Commit, r.Run.Go, r.Run.Machine, r.Run.Store, r.Run.Database))
	}
	return strings.TrimRight(printable(p.String()), "\n") + "\n"
}

// printable drops characters that draw nothing and may command a terminal: what a server
// has answered is part of the text.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf) {
			return -1
		}
		return r
	}, text)
}

// A sheet is a table before it is drawn.
type sheet struct {
	head []string
	rows [][]string
}

// columns is how many columns of a terminal a text takes. Hangul and other wide
// characters take two (Unicode Standard Annex 11).
func columns(text string) int {
	n := 0
	for _, r := range text {
		switch kind := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me): // drawn over the one before
		case kind == width.EastAsianWide, kind == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// text draws the sheet for a terminal. A head may have lines of its own.
func (s sheet) text() string {
	var rows [][]string
	for i := 0; ; i++ {
		row, found := make([]string, len(s.head)), false
		for c, head := range s.head {
			if lines := strings.Split(head, "\n"); i < len(lines) {
				row[c], found = lines[i], true
			}
		}
		if !found {
			break
		}
		rows = append(rows, row)
	}
	rows = append(rows, s.rows...)
	widest := make([]int, len(s.head))
	for _, row := range rows {
		for c, cell := range row {
			widest[c] = max(widest[c], columns(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for c, cell := range row {
			line += cell + strings.Repeat(" ", widest[c]-columns(cell)+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// markdown draws the sheet for a document.
func (s sheet) markdown() string {
	var b strings.Builder
	line := func(cells []string) {
		for _, cell := range cells {
			b.WriteString(strings.TrimRight("| "+strings.NewReplacer("|", `\|`, "\n", "").Replace(cell), " ") + " ")
		}
		b.WriteString("|\n")
	}
	line(s.head)
	b.WriteString("|" + strings.Repeat("---|", len(s.head)) + "\n")
	for _, row := range s.rows {
		line(row)
	}
	return b.String()
}

// A printer shows a Report.
type printer struct {
	strings.Builder
	View
	report *Report
	notes  []string // words of the reasons in the table of an experiment
}

func (p *printer) line(text string) { p.WriteString(text + "\n\n") }

func (p *printer) title(text string) {
	if p.Markdown {
		p.line("### " + text)
		return
	}
	p.WriteString(text + "\n")
}

func (p *printer) draw(s sheet) {
	if p.Markdown {
		p.line(strings.TrimSpace(s.markdown()))
		return
	}
	p.WriteString(s.text())
}

// signs are the marks of a Result. Their words stand beside them or below.
var signs = map[string]string{Good: "✔", Bad: "✘", Partly: "◐", Neutral: "–"}

// overview shows one mark for each experiment and strategy; a number that is neither good
// nor bad is itself.
func (p *printer) overview() {
	s := sheet{head: []string{""}}
	for _, column := range p.report.Strategies {
		s.head = append(s.head, strings.Replace(column.ID, "-", "-\n", 1))
	}
	for _, o := range p.report.Experiments {
		row := []string{o.ID + " " + o.Name}
		for _, column := range p.report.Strategies {
			row = append(row, "")
			if r := o.of(column.ID, ""); r != nil {
				row[len(row)-1] = signs[r.Mark]
				if r.Mark == Measured {
					row[len(row)-1] = p.cell(r, o.Columns[0])
				}
			}
		}
		s.rows = append(s.rows, row)
	}
	p.draw(s)
	var legend []string
	for _, mark := range []string{Good, Bad, Partly, Neutral} {
		legend = append(legend, signs[mark]+" "+text(AllWords().Marks, mark, p.Language))
	}
	p.line(strings.Join(legend, "   "))
}

// of returns what was found for a strategy, or nil.
func (o Outcome) of(strategy, variant string) *Result {
	i := slices.IndexFunc(o.Results, func(r Result) bool { return r.Strategy == strategy })
	if i < 0 {
		return nil
	}
	for _, r := range slices.Concat(o.Results[i:i+1], o.Results[i].Variants) {
		if r.Variant == variant {
			return &r
		}
	}
	return nil
}

// name is how a table calls the row of a Result.
func (r *Result) name() string {
	if r.Variant == "" {
		return r.Strategy
	}
	return r.Strategy + " +" + r.Variant
}

func (r *Report) slugs() (slugs []string) {
	for _, s := range r.Strategies {
		slugs = append(slugs, s.ID)
	}
	return slugs
}

// all are the results with their variants, each after the one that it varies.
func (o Outcome) all() (all []Result) {
	for _, r := range o.Results {
		all = append(append(all, r), r.Variants...)
	}
	return all
}

// experiment shows the table of one experiment.
func (p *printer) experiment(o Outcome) {
	all := o.all()
	marked := slices.ContainsFunc(all, func(r Result) bool { return r.Mark != Measured })
	p.notes = nil
	s := sheet{head: []string{p.column("strategy")}}
	if marked {
		s.head = append(s.head, p.column("mark"))
	}
	shown := slices.DeleteFunc(slices.Clone(o.Columns), func(name string) bool { return name == "attack" }) // the mark says it
	for _, name := range shown {
		s.head = append(s.head, p.column(name))
	}
	s.head = append(s.head, p.column("pays_with"))
	for _, r := range all {
		row := []string{r.name()}
		if marked {
			row = append(row, p.mark(&r))
		}
		for _, name := range shown {
			row = append(row, p.cell(&r, name))
		}
		s.rows = append(s.rows, append(row, p.paysWith(&r)))
	}
	question := o.Question.In(p.Language)
	if question == "" {
		question = o.Name
	}
	p.title(o.ID + "  " + question)
	p.draw(s)
	for i, why := range p.notes {
		_, _ = fmt.Fprintf(p, "[%d] %s\n", i+1, text(AllWords().Why, why, p.Language))
	}
	for _, r := range all {
		p.surprises(&r)
	}
	surprises, expected := o.Surprises()
	end := p.word("footer", len(all), expected-surprises, surprises)
	if !p.Wire {
		end += "    " + p.word("exchanges", "statelab compare "+o.ID+" --wire")
	}
	p.line(end)
	if p.Wire {
		for _, r := range all {
			p.wire(&r)
		}
	}
}

// mark is a sign with its word; where an experiment says nothing, with the reason.
func (p *printer) mark(r *Result) string {
	word := r.Mark
	if r.Attack != NotApplicable {
		word = r.Attack
	}
	mark := strings.TrimSpace(signs[r.Mark] + " " + text(AllWords().Marks, word, p.Language))
	if r.Mark == Neutral {
		mark += " " + p.note(r.Why["attack"])
	}
	return mark
}

// note returns the number of a reason that stands below the table.
func (p *printer) note(why string) string {
	if !slices.Contains(p.notes, why) {
		p.notes = append(p.notes, why)
	}
	return fmt.Sprintf("[%d]", slices.Index(p.notes, why)+1)
}

func (p *printer) column(name string) string { return text(AllWords().Columns, name, p.Language) }

func (p *printer) paysWith(r *Result) string {
	if r.Variant != "" && r.StoreReads != nil && *r.StoreReads > 0 {
		return p.word("pays_" + r.Variant)
	}
	return AllWords().Strategies[r.Strategy].PaysWith.In(p.Language)
}

// surprises tells what is not as expected, a line each.
func (p *printer) surprises(r *Result) {
	if r.Error != nil {
		p.WriteString(p.word("failed", r.name(), *r.Error) + "\n")
	}
	for _, name := range r.Unexpected {
		p.WriteString(p.word("surprise", r.name(), p.column(name), p.cell(r, name), p.value(name, r.Expected[name])) + "\n")
	}
}

// wire shows what was exchanged, indented, which is code in Markdown.
func (p *printer) wire(r *Result) {
	p.title(r.name())
	for i, x := range r.Wire {
		p.line(fmt.Sprintf("(%d) %s: %s", i+1, p.step(x.Who), p.step(x.Does)))
		for _, text := range []string{x.Request, x.Response} {
			if text = strings.TrimSpace(text); text != "" {
				p.line("    " + strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\n    "))
			}
		}
	}
}

// step is what an agent is called, or does.
func (p *printer) step(text string) string {
	return AllWords().Step(text, p.Language, func(number string) string {
		if d, err := time.ParseDuration(number); err == nil && d > 0 {
			return p.seconds(d.Seconds())
		}
		return number
	})
}

// word returns one of the table's own words, with values in it.
func (p *printer) word(name string, values ...any) string {
	return fmt.Sprintf(text(AllWords().Tables, name, p.Language), values...)
}

// text returns a word in a language. One that has no text stands for itself.
func text(words map[string]Text, word, language string) string {
	if in := words[word].In(language); in != "" {
		return in
	}
	return strings.ReplaceAll(word, "_", " ")
}

// cell is a member of a Result as a reader reads it: with its unit, or why there is none.
func (p *printer) cell(r *Result, name string) string {
	found := r.members()
	switch {
	case name == "store_cost" && r.StoreReads != nil:
		return fmt.Sprintf("%d/%d", *r.StoreReads, *r.StoreWrites)
	case name == "payload" && found["wall"] == false:
		return p.word("no_wall")
	case found[name] != nil:
		return p.value(name, found[name])
	}
	if why := r.Why[name]; why != "" && why != "not_measured" {
		return "– " + p.note(why)
	}
	return "–"
}

// value is a value with its unit.
func (p *printer) value(name string, v any) string {
	switch v := v.(type) {
	case nil:
		return "–"
	case bool:
		return text(AllWords().Values, strconv.FormatBool(v), p.Language)
	case string:
		return cmp.Or(AllWords().Values[v].In(p.Language), v)
	case int:
		return p.number(name, float64(v))
	case float64:
		return p.number(name, v)
	case []float64: // a range that was expected
		return p.word("range", p.number(name, v[0]), p.number(name, v[1]))
	case map[string]any: // a Spread
		return fmt.Sprintf("%v/%v µs", v["p50"], v["p95"])
	case []any:
		return p.list(name, v)
	}
	return fmt.Sprint(v)
}

// list names each value once, with how often it is there.
func (p *printer) list(name string, all []any) string {
	var texts []string
	for i, v := range all {
		one := p.value(name, v)
		if name == "status" {
			texts = append(texts, one)
			continue
		}
		times := 0
		for _, other := range all {
			if other == v {
				times++
			}
		}
		if times > 1 {
			one += fmt.Sprintf(" ×%d", times)
		}
		if slices.Index(all, v) == i {
			texts = append(texts, one)
		}
	}
	switch {
	case name == "status":
		return cmp.Or(strings.Join(texts, " "), "–")
	case len(texts) == 0:
		return text(AllWords().Values, "", p.Language)
	}
	return strings.Join(texts, ", ")
}

// number is a number with its unit.
func (p *printer) number(name string, n float64) string {
	plain := strconv.FormatFloat(n, 'f', -1, 64)
	switch {
	case strings.HasSuffix(name, "_s"):
		return p.seconds(n)
	case strings.HasSuffix(name, "_bytes"), strings.HasPrefix(name, "bytes_"):
		return plain + " B"
	}
	return plain
}

// seconds is a time in the largest unit that it has a whole number of, or in two.
func (p *printer) seconds(n float64) string {
	hours, minutes := int(n)/3600, int(n)%3600/60
	switch {
	case n < 60 || int(n)%60 != 0:
		return p.word("seconds", strconv.FormatFloat(n, 'f', -1, 64))
	case hours == 0:
		return p.word("minutes", minutes)
	case minutes == 0:
		return p.word("hours", hours)
	}
	return p.word("hours", hours) + " " + p.word("minutes", minutes)
}
