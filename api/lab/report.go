package lab

import (
	"slices"
	"time"
)

// Schema names the form of a Report.
const Schema = "compare/1"

// A Report is what experiments have found. The tables of the terminal, of documents and of
// the page are made of it, and of nothing else.
type Report struct {
	Schema      string     `json:"schema"`
	Run         RunInfo    `json:"run"`
	Strategies  []Strategy `json:"strategies"`
	Experiments []Outcome  `json:"experiments"`
}

// RunInfo says when, where and on what the experiments ran.
type RunInfo struct {
	At       time.Time `json:"at,format:RFC3339"`
	Commit   string    `json:"commit"`
	Go       string    `json:"go"`
	Machine  string    `json:"machine"`
	Repeat   int       `json:"repeat"` // requests that a time was measured over
	Store    string    `json:"store"`  // the kind of store: "memory", "database" or "redis"
	Database string    `json:"database"`
}

// A Strategy is a column of the comparison.
type Strategy struct {
	ID         string            `json:"id"`
	Title      Text              `json:"title"`
	Holder     string            `json:"holder"` // of the state: "server", "client", or "" where that is not known
	Credential CredentialSummary `json:"credential"`
	PaysWith   Text              `json:"pays_with"`
	Foreign    bool              `json:"foreign"` // a server that is not ours
	Lists      bool              `json:"lists"`   // the server has shown its user their logins
	Slides     bool              `json:"slides"`  // use keeps a login alive, by the strategy's traits
}

// CredentialSummary says what a client holds.
type CredentialSummary struct {
	Where string   `json:"where"` // "cookie NAME" or "Authorization: Bearer"
	Bytes int      `json:"bytes"` // in each request
	Attrs []string `json:"attrs"` // of the cookie
}

// An Outcome is one experiment with what it has found for each strategy.
type Outcome struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"` // in the field's terms
	Question Text     `json:"question"`
	Lesson   Text     `json:"lesson"`
	Refs     []string `json:"refs"`
	Steps    []Text   `json:"steps"`
	Curl     []string `json:"curl"`    // lines that repeat it by hand on a running classroom
	Columns  []string `json:"columns"` // members of a Result that its table shows
	Results  []Result `json:"results"`
}

// The values of Result.Attack.
const (
	Blocked       = "blocked"
	Succeeds      = "succeeds"
	NotApplicable = "not_applicable"
)

// The values of Result.Mark.
const (
	Good     = "good"     // the user gets what they want
	Bad      = "bad"      // the attack works, or something breaks
	Partly   = "partly"   // with the number that says how far
	Neutral  = "none"     // the experiment does not apply
	Measured = "measured" // a number that is neither good nor bad
)

// A Result is what an experiment has found for one strategy. A member that is null has its
// reason in Why.
type Result struct {
	Strategy     string            `json:"strategy"`
	Variant      string            `json:"variant"` // "": as the server stands; "denylist": with revocation
	Mark         string            `json:"mark"`
	Attack       string            `json:"attack"`
	Status       []int             `json:"status"` // of the steps that decide
	Reason       *string           `json:"reason"` // code of the problem that refused
	BytesUp      *int              `json:"bytes_up"`
	BytesDown    *int              `json:"bytes_down"`
	ClientBytes  *int              `json:"client_bytes"`
	ServerBytes  *int              `json:"server_bytes"`
	StoreReads   *int              `json:"store_reads"`
	StoreWrites  *int              `json:"store_writes"`
	ServerUS     *Spread           `json:"server_us"`
	LivedS       *float64          `json:"lived_s"`
	StaleS       *float64          `json:"stale_s"`
	Values       map[string]any    `json:"values"` // what this experiment alone measures
	Why          map[string]string `json:"why"`    // of each member that is null: a word of the words file
	Expected     Expected          `json:"expected"`
	AsExpected   *bool             `json:"as_expected"` // null: nothing is expected
	Unexpected   []string          `json:"unexpected"`  // members that differ
	Error        *string           `json:"error"`       // why the experiment did not end
	Violates     []string          `json:"violates"`    // what of OWASP WSTG and ASVS 5.0, on a server that is not ours
	Wire         []Exchange        `json:"wire"`
	Variants     []Result          `json:"variants"`
	notExpecting bool
}

// Spread is a median and a 95th percentile, in microseconds.
type Spread struct {
	P50 int `json:"p50"`
	P95 int `json:"p95"`
}

// Expected has what a strategy's traits let expect of some members of a Result: a value,
// a range of two numbers, or null.
type Expected map[string]any

// between is a range for Expected.
func between(low, high float64) []float64 { return []float64{low, high} }

// answers notes what an answer says that decides.
func (r *Result) answers(all ...Answer) {
	for _, a := range all {
		r.Status = append(r.Status, a.Status)
		if code := a.Code(); code != "" && a.Status >= 400 {
			r.Reason = &code
		}
	}
}

// attack notes whether an attack works.
func (r *Result) attack(works bool) {
	r.Attack, r.Mark = Blocked, Good
	if works {
		r.Attack, r.Mark = Succeeds, Bad
	}
}

// notApplicable says why an experiment says nothing about a strategy.
func (r *Result) notApplicable(why string) {
	r.Attack, r.Mark, r.notExpecting = NotApplicable, Neutral, true
	r.Why["attack"] = why
}

// costs notes what an answer says that it has asked of the store.
func (r *Result) costs(a Answer) { r.StoreReads, r.StoreWrites = a.cost() }

// members returns what Expected can name, as JSON has it.
func (r *Result) members() map[string]any {
	var all map[string]any
	bare := *r
	bare.Wire, bare.Variants = nil, nil
	encoded, err := marshal(bare)
	if err != nil {
		panic(err) // it holds nothing that JSON has no form for
	}
	mustUnmarshal(encoded, &all)
	for name, value := range all["values"].(map[string]any) { //nolint:forcetypeassert // its type
		all[name] = value
	}
	return all
}

// judge compares a Result with what was expected.
func (r *Result) judge(expected Expected) {
	if r.notExpecting || expected == nil {
		return
	}
	r.Expected, r.Unexpected = expected, []string{}
	found := r.members()
	var want map[string]any
	encoded, err := marshal(expected)
	if err != nil {
		panic(err)
	}
	mustUnmarshal(encoded, &want)
	for _, name := range sortedKeys(want) {
		if !fits(found[name], want[name]) {
			r.Unexpected = append(r.Unexpected, name)
		}
	}
	as := len(r.Unexpected) == 0 && r.Error == nil
	r.AsExpected = &as
}

// fits says whether a value is the one expected, or in its range.
func fits(found, want any) bool {
	if bounds, ok := want.([]any); ok {
		n, isNumber := found.(float64)
		low, _ := bounds[0].(float64) // between has made it
		high, _ := bounds[1].(float64)
		return isNumber && n >= low && n <= high
	}
	return found == want
}

// Surprises counts the results that are not as expected, and All those that something was
// expected of, variants included.
func (o Outcome) Surprises() (surprises, all int) {
	var count func([]Result)
	count = func(results []Result) {
		for _, r := range results {
			if r.AsExpected != nil {
				all++
				if !*r.AsExpected {
					surprises++
				}
			}
			count(r.Variants)
		}
	}
	count(o.Results)
	return surprises, all
}

// Foreign says whether a row is a server that is not ours.
func (r *Report) Foreign(name string) bool {
	return slices.ContainsFunc(r.Strategies, func(s Strategy) bool { return s.ID == name && s.Foreign })
}
