package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/term"

	"statelab/api/lab"
	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/sqlstore"
)

// compareCommand runs experiments on private servers and shows what they find. Its stores
// are not those of the variables, which are a server's: experiments fill and end them.
type compareCommand struct {
	Experiments []string `arg:"" optional:"" name:"experiment" help:"Experiments to run, such as E07 or replay-after-logout (all)."`
	Strategy    []string `placeholder:"SLUG" help:"Strategies to run them on (all)."`
	Store       string   `variable:"-" default:"memory" placeholder:"URL" help:"Store of logins: memory, database, redis://... or rediss://... (${default})."`
	Database    string   `variable:"-" default:"sqlite::memory:" placeholder:"URL" help:"sqlite::memory: or postgres://..., where each private server has a schema of its own while it runs (${default})."`
	Cache       string   `variable:"-" placeholder:"URL" help:"Redis for the cache policy redis: redis://..., rediss://... or none (the Redis of --store, if there is one)."`
	Target      string   `placeholder:"FILE" help:"File that says how to speak to another server, to run the experiments on it (none)."`
	Anywhere    bool     `name:"i-may-test-this-server" help:"--target may have a public address: its owner allows these tests."`
	FailOn      string   `enum:",attack" default:"" placeholder:"WHAT" help:"attack: the exit status is 1 if an attack on --target succeeds, or an experiment does not end."`
	Format      string   `enum:"table,json,markdown" default:"table" help:"table, json or markdown (${default})."`
	Lang        string   `enum:"en,ko" default:"en" help:"Language of the tables: en or ko (${default})."`
	Wire        bool     `help:"Show each request and answer, without credentials."`
}

// Help is what --help says besides.
func (c *compareCommand) Help() string {
	return "The exit status is 1 if a result is not as expected."
}

// Run implements the command.
func (c *compareCommand) Run(ctx context.Context, p Program, s streams) error {
	plan, err := c.plan(ctx)
	if err != nil && ctx.Err() == nil {
		return err
	}
	plan.Progress = progressOn(s.err)
	servers := &privateServers{OpenAPI: p.OpenAPI, Database: c.Database, Store: c.Store, Cache: c.Cache, Times: p.Times}
	var target *lab.TargetError
	var left *lab.LeaveError
	var report *lab.Report
	if err == nil {
		report, err = servers.laboratory().Run(ctx, plan)
	}
	switch {
	case ctx.Err() != nil:
		text := "interrupted: the private servers are gone, and nothing is shown"
		if errors.As(err, &left) {
			text += "; " + left.Error()
		}
		return errors.New(text)
	case errors.As(err, &target):
		if x := target.Last; x != nil {
			_, _ = fmt.Fprintf(s.err, "%s\n\n%s\n", strings.TrimSpace(x.Request), strings.TrimSpace(x.Response))
		}
		return refuse("--target: %v", target)
	case err != nil && !errors.As(err, &left):
		return err
	}
	if report == nil {
		return err
	}
	if shown := c.show(report, s.out); shown != nil || err != nil {
		return errors.Join(shown, err)
	}
	return c.verdict(report)
}

// answers returns an error unless a store of logins can be used.
func answers(ctx context.Context, address string) error {
	logins, err := openLogins(address, nil, store.Options{})
	if err != nil || logins == nil {
		return err
	}
	if errors.Join(logins.Ping(ctx), logins.Close()) != nil {
		return errors.New("it does not answer")
	}
	return nil
}

// plan says what is to be run, or refuses what cannot.
func (c *compareCommand) plan(ctx context.Context) (lab.Plan, error) {
	found, unknown := lab.Find(c.Experiments)
	if unknown != "" {
		var ids []string
		for _, e := range lab.Experiments() {
			ids = append(ids, e.ID)
		}
		return lab.Plan{}, refuse("no experiment is called %q: use some of %s", unknown, strings.Join(ids, " "))
	}
	if err := state.CheckNames(true, c.Strategy); err != nil {
		return lab.Plan{}, refuse("--strategy: %v", err)
	}
	if err := answers(ctx, c.Store); err != nil {
		return lab.Plan{}, refuse("--store: %v", err)
	}
	if c.Database != "sqlite::memory:" && scheme(c.Database) != "postgres" {
		return lab.Plan{}, refuse("--database: use sqlite::memory: or postgres://HOST/NAME")
	}
	if scheme(c.Database) == "postgres" { // each private server needs a schema
		_, drop, err := sqlstore.NewSchema(ctx, c.Database)
		if err == nil {
			err = drop()
		}
		if err != nil { // the driver's words are a line for each try
			words := err.Error()
			return lab.Plan{}, refuse("--database: %s", strings.TrimSpace(words[strings.LastIndexByte(words, '\n')+1:]))
		}
	}
	c.Cache = cmp.Or(c.Cache, redisOf(c.Store), "none")
	if c.Cache == "none" {
		c.Cache = ""
	} else if redisOf(c.Cache) == "" {
		return lab.Plan{}, refuse("--cache: use redis://HOST:PORT, rediss://HOST:PORT or none")
	} else if err := answers(ctx, c.Cache); err != nil {
		return lab.Plan{}, refuse("--cache: %v", err)
	}
	plan := lab.Plan{Experiments: found, Strategies: c.Strategy}
	if c.Target != "" {
		target, err := lab.ReadTarget(c.Target)
		if err != nil {
			return lab.Plan{}, refuse("--target: %v", err)
		}
		target.Anywhere = c.Anywhere
		plan.Targets = append(plan.Targets, target)
		if len(plan.Strategies) == 0 {
			plan.Strategies = state.Slugs()
		}
	} else if c.FailOn != "" {
		return lab.Plan{}, refuse("--fail-on is about the server of --target: add it")
	}
	return plan, nil
}

// scheme names the kind of a store or database by its address.
func scheme(address string) string {
	kind, _, _ := strings.Cut(address, ":")
	switch kind {
	case "postgresql":
		return "postgres"
	case "rediss":
		return "redis"
	}
	return kind
}

// show writes the report in the format that was asked for.
func (c *compareCommand) show(r *lab.Report, out io.Writer) error {
	if c.Format == "json" {
		return json.MarshalWrite(out, r, json.Deterministic(true), jsontext.Multiline(true))
	}
	_, err := io.WriteString(out, r.Show(lab.View{
		Language: c.Lang, Markdown: c.Format == "markdown", Overview: len(c.Experiments) == 0, Wire: c.Wire,
	}))
	return err
}

// verdict is an error if a result is not as expected, or an attack succeeds that may not.
func (c *compareCommand) verdict(r *lab.Report) error {
	surprises, attacks, failed := 0, 0, 0
	for _, o := range r.Experiments {
		n, _ := o.Surprises()
		surprises += n
		for _, result := range o.Results {
			switch {
			case !r.Foreign(result.Strategy):
			case result.Attack == lab.Succeeds:
				attacks++
			case result.Error != nil:
				failed++
			}
		}
	}
	switch {
	case surprises > 0:
		return fmt.Errorf("results that are not as expected: %d", surprises)
	case failed > 0 && c.FailOn == "attack": // nothing was found out, and that is no success
		return fmt.Errorf("experiments that did not end on the server of %s: %d", c.Target, failed)
	case attacks > 0 && c.FailOn == "attack":
		return fmt.Errorf("attacks that succeed on the server of %s: %d", c.Target, attacks)
	}
	return nil
}

// progressOn returns what counts results in one line of a terminal; nil: w is none.
func progressOn(w io.Writer) func(done, total int) {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) { // #nosec G115 -- a descriptor is small
		return nil
	}
	return counting(w)
}

// counting writes each count over the one before, and nothing remains in the end.
func counting(w io.Writer) func(done, total int) {
	return func(done, total int) {
		line := fmt.Sprintf("\r%d of %d", done, total)
		if done == total {
			line = "\r" + strings.Repeat(" ", len(line)) + "\r"
		}
		_, _ = io.WriteString(w, line)
	}
}
