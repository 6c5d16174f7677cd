package lab

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// ErrBusy is returned while another run is under way.
var ErrBusy = errors.New("lab: another run is under way")

// MaxRun bounds a run, however busy the machine is.
const MaxRun = 10 * time.Minute

// Progress says how many of the results of a run there are.
type Progress struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

// A Runner runs experiments for several clients, one run at a time, and keeps what each
// experiment has found last. It is safe for concurrent use.
type Runner struct {
	laboratory *Laboratory
	ctx        context.Context //nolint:containedctx // of the runs that outlive the request which began them
	stop       context.CancelFunc
	runs       sync.WaitGroup

	mu      sync.Mutex
	running bool
	done    Progress // of the run under way, or the last one
	latest  *Report
}

// NewRunner returns a Runner that has found nothing yet. Without a laboratory, all runs are
// refused.
func NewRunner(l *Laboratory) *Runner {
	if l == nil {
		l = &Laboratory{Start: func(context.Context) (Server, error) { return nil, errors.New("lab: there is none") }}
	}
	r := &Runner{laboratory: l, latest: l.report()}
	for _, e := range experiments {
		r.latest.Experiments = append(r.latest.Experiments, e.outcome())
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	return r
}

// Stop has the run under way end, and refuses others.
func (r *Runner) Stop() { r.stop() }

// Close is Stop, and waits until the run has ended.
func (r *Runner) Close() {
	r.stop()
	r.runs.Wait()
}

// Run runs experiments on strategies, none: all, until ctx is done, and keeps what they
// find. It returns ErrBusy while another run is under way.
func (r *Runner) Run(ctx context.Context, all []*Experiment, strategies []string) error {
	if err := r.begin(); err != nil {
		return err
	}
	return r.run(ctx, all, strategies)
}

// Start begins to run all experiments and returns the run's Progress, or ErrBusy.
func (r *Runner) Start() (Progress, error) {
	if err := r.begin(); err != nil {
		return Progress{}, err
	}
	total := 0
	for _, e := range experiments {
		total += len(r.laboratory.Strategies) + len(e.also)
	}
	r.progress(0, total)
	go func() { _ = r.run(r.ctx, experiments, nil) }() // a result that is missing tells that it failed
	return Progress{0, total}, nil
}

func (r *Runner) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running || r.ctx.Err() != nil {
		return ErrBusy
	}
	r.running, r.done = true, Progress{}
	r.runs.Add(1)
	return nil
}

func (r *Runner) run(ctx context.Context, all []*Experiment, strategies []string) error {
	defer r.runs.Done()
	ctx, cancel := context.WithTimeout(ctx, MaxRun)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	report, err := r.laboratory.Run(ctx, Plan{Experiments: all, Strategies: strategies, Progress: r.progress})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = false
	if report != nil { // what was found before something failed
		r.latest = r.merged(report)
	}
	return err
}

func (r *Runner) progress(done, total int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = Progress{done, total}
}

// Progress returns that of the run under way, or of the last one.
func (r *Runner) Progress() (progress Progress, running bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done, r.running
}

// Latest returns what was found last. The caller does not change it.
func (r *Runner) Latest() *Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest
}

// merged returns the latest report with what a new one has found in the place of what it
// found before. A report that was handed out stays as it is.
func (r *Runner) merged(found *Report) *Report {
	next := *r.latest
	next.Run, next.Experiments = found.Run, slices.Clone(next.Experiments)
	next.Strategies = merge(next.Strategies, found.Strategies, r.rows(), func(s Strategy) string { return s.ID })
	for i := range next.Experiments {
		for _, o := range found.Experiments {
			if o.ID == next.Experiments[i].ID {
				next.Experiments[i].Results = merge(next.Experiments[i].Results, o.Results, r.rows(), func(x Result) string { return x.Strategy })
			}
		}
	}
	return &next
}

// rows are the names of all rows, in the order of comparison.
func (r *Runner) rows() []string { return slices.Concat(r.laboratory.Strategies, policies) }

// merge puts new rows in the place of old ones with their name, in the order of names.
func merge[T any](old, found []T, names []string, name func(T) string) []T {
	all := []T{}
	for _, n := range names {
		has := func(t T) bool { return name(t) == n }
		if i := slices.IndexFunc(found, has); i >= 0 {
			all = append(all, found[i])
		} else if i := slices.IndexFunc(old, has); i >= 0 {
			all = append(all, old[i])
		}
	}
	return all
}

// WithoutWire returns the report without what was exchanged, which is most of it.
func (r *Report) WithoutWire() *Report {
	bare := *r
	bare.Experiments = slices.Clone(r.Experiments)
	for i, o := range bare.Experiments {
		bare.Experiments[i].Results = withoutWire(o.Results)
	}
	return &bare
}

func withoutWire(results []Result) []Result {
	bare := slices.Clone(results)
	for i := range bare {
		bare[i].Wire, bare[i].Variants = nil, withoutWire(bare[i].Variants)
	}
	return bare
}
