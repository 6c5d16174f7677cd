// Package lab is the laboratory: each tradeoff between the strategies as an experiment that
// runs, on private servers of ours and on servers that are not ours. It speaks HTTP and
// knows nothing of how a strategy works: a verdict comes from what was exchanged, and stands
// beside what the strategy's traits let expect.
package lab

import (
	"context"
	"slices"
	"strings"
)

// An Experiment is one question with the steps that answer it.
type Experiment struct {
	ID      string
	Name    string   // in the field's terms; names the experiment on the command line, too
	Columns []string // members of a Result that its table shows, in order
	// Denylist adds a variant for strategies whose state the client holds: with revocation.
	Denylist bool

	also []string // further rows, which are no strategies

	// applies returns a word of the words file that says why the experiment says nothing
	// about a target, or "".
	applies func(*Bench) string
	// run does the steps and notes in the Result what came of them.
	run func(*Bench, *Result)
	// expect says what a strategy of ours promises, by its traits.
	expect func(*Bench) Expected
}

// Traits are what a strategy of ours says of itself in GET /{strategy}/inspect.
type Traits struct {
	Holder           string `json:"holder"`
	KeptIn           string `json:"kept_in"`
	Readable         bool   `json:"readable"`
	TamperProof      bool   `json:"tamper_proof"`
	RollbackProof    bool   `json:"rollback_proof"`
	Revocable        bool   `json:"revocable"`
	Everywhere       bool   `json:"everywhere"`
	RenewsID         bool   `json:"renews_id"`
	Expires          bool   `json:"expires"`
	Versioned        bool   `json:"versioned"`
	RefreshToken     string `json:"refresh_token"`
	SurvivesRestart  string `json:"survives_restart"`
	NeedsSharedStore bool   `json:"needs_shared_store"`
	NeedsSharedKey   bool   `json:"needs_shared_key"`
	SentByBrowser    bool   `json:"sent_by_browser"`
	LimitBytes       int    `json:"limit_bytes"`
	StaleSeconds     int    `json:"stale_seconds"`
	Slides           bool   `json:"slides"`
}

// A Server is a private server of ours, on a loopback port of its own, whose stores and
// clock belong to nothing else.
type Server interface {
	URL() string
	// Node starts another server with the same database and the same keys.
	Node(ctx context.Context, n Node) (Server, error)
	// Close ends the server, and what belongs to it alone.
	Close() error
}

// A Node is how a second server differs from the first.
type Node struct {
	SharedStore    bool // it has the first server's store of logins; else one of its own
	PublicKeysOnly bool // it can verify, and not sign
}

// A Factory starts private servers: classrooms with the demo accounts.
type Factory func(ctx context.Context) (Server, error)

// Experiments returns all experiments in the order of their ids.
func Experiments() []*Experiment { return slices.Clone(experiments) }

// Find returns the experiments with the ids or names, in any case; none: all of them. The
// first that does not exist is returned as unknown.
func Find(names []string) (found []*Experiment, unknown string) {
	if len(names) == 0 {
		return Experiments(), ""
	}
	for _, name := range names {
		i := slices.IndexFunc(experiments, func(e *Experiment) bool { return strings.EqualFold(e.ID, name) || strings.EqualFold(e.Name, name) })
		if i < 0 {
			return nil, name
		}
		if !slices.Contains(found, experiments[i]) {
			found = append(found, experiments[i])
		}
	}
	return found, ""
}
