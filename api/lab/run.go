package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
)

// A Laboratory runs experiments on private servers.
type Laboratory struct {
	// Start starts a private server. Each experiment has one of its own for each strategy.
	Start Factory
	// Strategies are the slugs of ours, in the order of comparison.
	Strategies []string
	// What the Report says of where it was made.
	Commit, Store, Database string
	SharedCache             bool // the servers' caches hear of each other's changes
}

// A Plan says what is to be run.
type Plan struct {
	Experiments []*Experiment
	Strategies  []string // slugs, in any order; none: all of ours, or with Targets none of them
	Targets     []*Target
	// Progress is told before the first result and after each; nil: it is not wanted.
	Progress func(done, total int)
}

// patienceAtHome bounds one request to a private server, with a machine that is busy.
const patienceAtHome = time.Minute

// cell is one experiment on one strategy or target.
type cell struct {
	experiment *Experiment
	slug       string
	visit      *visit // of a server that is not ours; nil: it is ours
	result     *Result
}

// Run runs a plan, some cells at a time, and returns the Report. An experiment that fails is
// a Result with its Error. The error is that of ctx, or of a private server that does not
// start, or of a target on which nothing can be tried, or that is not left as it was.
func (l *Laboratory) Run(ctx context.Context, p Plan) (_ *Report, failed error) {
	report := l.report()
	slugs := slices.DeleteFunc(slices.Clone(l.Strategies), func(slug string) bool { return !slices.Contains(p.Strategies, slug) })
	if len(slugs) == 0 && len(p.Targets) == 0 {
		slugs = l.Strategies
	}
	var visits []*visit
	for _, t := range p.Targets {
		if slices.Contains(slugs, t.Name) || slices.ContainsFunc(visits, func(v *visit) bool { return v.target.Name == t.Name }) {
			return nil, fmt.Errorf("two columns have the name %q", t.Name)
		}
		v, err := t.enter(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { failed = errors.Join(failed, v.leave(ctx)) }()
		visits = append(visits, v)
	}
	var cells []*cell
	for _, e := range p.Experiments {
		outcome := e.outcome()
		rows := slugs
		if len(p.Strategies) == 0 && len(p.Targets) == 0 {
			rows = slices.Concat(rows, e.also)
		}
		outcome.Results = make([]Result, len(rows)+len(p.Targets))
		for i, slug := range rows {
			cells = append(cells, &cell{e, slug, nil, &outcome.Results[i]})
		}
		for i, v := range visits {
			cells = append(cells, &cell{e, "", v, &outcome.Results[len(rows)+i]})
		}
		report.Experiments = append(report.Experiments, outcome)
	}
	for _, slug := range slugs {
		s, err := l.describe(ctx, slug)
		if err != nil {
			return nil, err
		}
		report.Strategies = append(report.Strategies, s)
	}
	for _, v := range visits {
		report.Strategies = append(report.Strategies, v.column)
	}
	return report, l.runAll(ctx, cells, p.Progress)
}

// report is one without results.
func (l *Laboratory) report() *Report {
	return &Report{Schema: Schema, Strategies: []Strategy{}, Experiments: []Outcome{}, Run: RunInfo{
		At: time.Now().UTC(), Commit: l.Commit, Go: runtime.Version(), Machine: machine(), Repeat: repeat, Store: l.Store, Database: l.Database,
	}}
}

// runAll runs the cells side by side, as many as there are processors. Those of a server
// that is not ours come one after the other.
func (l *Laboratory) runAll(ctx context.Context, cells []*cell, progress func(done, total int)) error {
	if progress == nil {
		progress = func(int, int) {}
	}
	var mu sync.Mutex
	var failed error
	done := 0
	progress(0, len(cells))
	finish := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = errors.Join(failed, err)
		done++
		progress(done, len(cells))
	}
	var ours sync.WaitGroup
	next := make(chan *cell)
	for range runtime.GOMAXPROCS(0) {
		ours.Go(func() {
			for c := range next {
				finish(l.atHome(ctx, c))
			}
		})
	}
	for _, c := range cells {
		if c.visit == nil {
			next <- c
		}
	}
	close(next)
	ours.Wait()
	for _, c := range cells {
		if c.visit != nil {
			finish(c.abroad(ctx))
		}
	}
	return errors.Join(failed, ctx.Err())
}

// atHome runs a cell on private servers, once for each variant.
func (l *Laboratory) atHome(ctx context.Context, c *cell) error {
	r, traits, err := l.once(ctx, c, "")
	if err != nil {
		return err
	}
	if c.experiment.Denylist && traits.Holder == "client" && r.Attack != NotApplicable {
		variant, _, err := l.once(ctx, c, "denylist")
		if err != nil {
			return err
		}
		r.Variants = append(r.Variants, variant)
	}
	*c.result = r
	return nil
}

// once runs a cell on a private server.
func (l *Laboratory) once(ctx context.Context, c *cell, variant string) (_ Result, _ Traits, err error) {
	b, err := l.bench(ctx, c.slug)
	if err != nil {
		return Result{}, Traits{}, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if variant == "denylist" {
		if err := protect(func() {
			b.quietly(func() { b.Levers.Set(map[string]any{"revocation": "denylist"}) })
			b.learn() // what the strategy promises now
		}); err != nil {
			return Result{}, Traits{}, err
		}
	}
	return c.experiment.on(b, variant), b.Traits, nil
}

// bench starts a private server with a bench for the strategy.
func (l *Laboratory) bench(ctx context.Context, slug string) (*Bench, error) {
	server, err := l.Start(ctx)
	if err != nil {
		return nil, fmt.Errorf("a private server did not start: %w", err)
	}
	b := &Bench{
		Target: Ours(slug, server.URL(), false), server: server,
		store: l.Store, sharedCache: l.SharedCache, ctx: ctx, dial: (&net.Dialer{}).DialContext, patience: patienceAtHome,
		notice: patienceAtHome, secrets: &secrets{},
	}
	b.closers = append(b.closers, server.Close)
	b.Levers = b.levers(server.URL())
	if slices.Contains(l.Strategies, slug) {
		if err := protect(b.learn); err != nil {
			return nil, errors.Join(err, b.close())
		}
	}
	return b, nil
}

// learn asks a strategy of ours what it promises and how its credential travels.
func (b *Bench) learn() {
	b.quietly(func() {
		a := b.agent("bob", b.Target.Users[1])
		login := a.do("log in", b.Target.Login.Request, nil)
		if login.text("/credential/kind") == "bearer" {
			b.Target = Ours(b.Target.Strategy, b.Target.Base, true)
			a.take(login)
		}
		answer := a.Act("inspect", b.Target.Inspect, nil)
		var in struct {
			Traits Traits `json:"traits"`
		}
		if !answer.OK() {
			b.fail("the server does not say what the strategy promises: it answered %d", answer.Status)
		}
		b.check(json.Unmarshal(answer.Body, &in))
		b.Traits = in.Traits
		if in.Traits.RefreshToken == "body" {
			b.Target.refreshesByBody()
		}
		a.Logout()
	})
}

// describe makes the column of one of our strategies.
func (l *Laboratory) describe(ctx context.Context, slug string) (Strategy, error) {
	b, err := l.bench(ctx, slug)
	if err != nil {
		return Strategy{}, err
	}
	defer func() { _ = b.close() }()
	words := AllWords().Strategies[slug]
	s := Strategy{ID: slug, Title: words.Title, PaysWith: words.PaysWith, Holder: b.Traits.Holder, Slides: b.Traits.Slides}
	err = protect(func() {
		alice := b.Alice()
		s.Credential = alice.summary()
		s.Lists = alice.do("list the logins", Request{Path: "/" + slug + "/logins"}, nil).OK()
	})
	return s, err
}

// summary says what the client holds.
func (a *Agent) summary() CredentialSummary {
	c := CredentialSummary{Where: "Authorization: Bearer", Bytes: a.carries(), Attrs: []string{}}
	for id, cookie := range a.jar.cookies {
		if a.b.Target.bearer() || !contains(a.credentials(), id.name) {
			continue
		}
		c.Where = "cookie " + id.name
		c.Attrs = attributes(cookie)
	}
	return c
}

// attributes are those of a cookie that say who may use it.
func attributes(c *http.Cookie) []string {
	attrs := []string{}
	if c.HttpOnly {
		attrs = append(attrs, "HttpOnly")
	}
	if c.Secure {
		attrs = append(attrs, "Secure")
	}
	switch c.SameSite {
	case http.SameSiteLaxMode:
		attrs = append(attrs, "SameSite=Lax")
	case http.SameSiteStrictMode:
		attrs = append(attrs, "SameSite=Strict")
	case http.SameSiteNoneMode:
		attrs = append(attrs, "SameSite=None")
	case http.SameSiteDefaultMode:
	}
	return attrs
}

// on runs the experiment on a bench.
func (e *Experiment) on(b *Bench, variant string) Result {
	r := Result{
		Strategy: b.Target.Name, Variant: variant, Attack: NotApplicable, Mark: Measured,
		Status: []int{}, Values: map[string]any{}, Why: map[string]string{}, Variants: []Result{}, Unexpected: []string{}, Violates: []string{},
	}
	if why := e.missing(b); why != "" {
		r.notApplicable(why)
	} else if err := protect(func() { e.run(b, &r) }); err != nil {
		text := b.secrets.mask(err.Error())
		r.Error, r.Mark, r.Attack = &text, Neutral, NotApplicable
		r.Why["attack"] = "error"
	}
	switch {
	case b.server == nil:
		r.disclose(b, e.ID)
	case e.expect != nil:
		r.judge(e.expect(b))
	}
	r.Wire = b.exchanges()
	r.explain()
	return r
}

func (e *Experiment) missing(b *Bench) string {
	if e.applies == nil {
		return ""
	}
	return e.applies(b)
}

// explain gives each member that is null a reason, and no other.
func (r *Result) explain() {
	for name, value := range r.members() {
		switch {
		case value == nil && r.Why[name] == "" && name != "expected" && name != "as_expected" && name != "error":
			r.Why[name] = "not_measured"
		case value != nil && name != "attack":
			delete(r.Why, name)
		}
	}
}

// protect turns the end of an experiment from within a step into an error.
func protect(f func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case abort:
			err = errors.New(p.reason)
		default:
			panic(p)
		}
	}()
	f()
	return nil
}

// outcome is an Outcome with its words.
func (e *Experiment) outcome() Outcome {
	w := AllWords().Experiments[e.ID]
	return Outcome{
		ID: e.ID, Name: e.Name, Question: w.Question, Lesson: w.Lesson, Refs: orEmpty(w.Refs), Steps: orEmpty(w.Steps), Curl: orEmpty(w.Curl),
		Columns: e.Columns, Results: []Result{},
	}
}

// orEmpty is a slice that JSON has as [].
func orEmpty[T any](s []T) []T { return append([]T{}, s...) }

func machine() string {
	return fmt.Sprintf("%d processors, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}
