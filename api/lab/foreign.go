package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

// Limits of what a run asks of a server that is not ours.
const (
	patienceAbroad = 5 * time.Second  // of one request
	boundAbroad    = 20 * time.Second // of one experiment
	maxRequests    = 400              // of the whole run
	maxToLogOut    = 100              // of these, to log out
	maxToLeave     = 20               // and to change back
)

// standards are what a server violates on which an experiment goes wrong: tests of the
// OWASP Web Security Testing Guide, and requirements of OWASP ASVS 5.0.
var standards = map[string][]string{
	"E04": {"WSTG-SESS-10", "ASVS 7.2.1"},
	"E05": {"ASVS 2.3.3"},
	"E06": {"WSTG-SESS-06", "ASVS 7.4.1"},
	"E07": {"WSTG-SESS-06", "ASVS 7.4.1"},
	"E08": {"ASVS 7.4.3"},
	"E10": {"WSTG-SESS-03", "ASVS 7.2.4"},
	"E11": {"WSTG-SESS-05", "ASVS 3.5.1"},
	"E14": {"ASVS 10.4.5"},
	"E19": {"ASVS 15.4.1"},
}

// A visit is a run of experiments on a server that is not ours.
type visit struct {
	target  *Target
	column  Strategy
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	budget  *budget
	reserve *budget // to tidy up
	secrets *secrets
	cookies []string          // that are the login
	before  map[string]string // alice's fields
	in      []*Agent          // whose logout has failed
	changed bool
}

// enter begins a visit: it resolves the address, logs both users in and reads their
// profiles. The error is a *TargetError.
func (t *Target) enter(ctx context.Context) (*visit, error) {
	dial, err := t.dialer(ctx)
	if err != nil {
		return nil, &TargetError{Reason: t.Name + ": " + err.Error()}
	}
	v := &visit{
		target: t, dial: dial, budget: &budget{left: maxRequests - maxToLogOut - maxToLeave}, reserve: &budget{left: maxToLogOut},
		secrets: &secrets{}, before: map[string]string{},
	}
	for _, u := range t.Users {
		v.secrets.hide(u.Password)
	}
	bound, cancel := context.WithTimeout(ctx, boundAbroad)
	defer cancel()
	b := v.bench(bound)
	defer func() { _ = b.close() }()
	err = protect(func() { v.look(b) })
	v.tidy(ctx, b)
	if err == nil {
		return v, nil
	}
	failed := &TargetError{Reason: t.Name + ": " + v.secrets.mask(err.Error())}
	if all := b.exchanges(); len(all) > 0 {
		failed.Last = &all[len(all)-1]
	}
	return nil, failed
}

// A TargetError says why nothing can be tried on a server that is not ours. Last is the
// exchange that went wrong, or nil.
type TargetError struct {
	Reason string
	Last   *Exchange
}

func (e *TargetError) Error() string { return e.Reason }

// look finds out what the experiments rely on: the profile names the user who is
// logged in, and no other one.
func (v *visit) look(b *Bench) {
	t := v.target
	if name := b.agent("a visitor", User{}).Profile().User; name != "" {
		b.fail("the profile names %q before any login: profile.user finds something else than the user", name)
	}
	alice, bob := b.Alice(), b.Bob()
	seen, other := alice.Profile(), bob.Profile()
	switch {
	case !other.In():
		b.fail("the profile does not name %s after the login", t.Users[1].Username)
	case !seen.In():
		b.fail("the profile does not name %s after the login", t.Users[0].Username)
	case seen.User == other.User:
		b.fail("the profile names both users %q", seen.User)
	}
	if t.Change != nil {
		for _, field := range b.fields() {
			v.before[field] = alice.field(seen.Answer, field)
		}
	}
	v.cookies = alice.credentials()
	if !t.bearer() && len(v.cookies) == 0 {
		b.fail("no cookie is needed to be logged in")
	}
	v.column = Strategy{ID: t.Name, Title: Text{En: t.Name, Ko: t.Name}, Foreign: true, Credential: alice.summary()}
	t.Users[0].Shown, t.Users[1].Shown = seen.User, other.User
}

func (v *visit) bench(ctx context.Context) *Bench {
	patience := v.target.patience
	if patience == 0 {
		patience = patienceAbroad
	}
	return &Bench{
		Target: v.target, ctx: ctx, dial: v.dial, patience: patience, notice: noticeOf100,
		budget: v.budget, secrets: v.secrets, names: v.cookies,
	}
}

// abroad runs a cell on a server that is not ours.
func (c *cell) abroad(ctx context.Context) error {
	bound, cancel := context.WithTimeout(ctx, boundAbroad)
	defer cancel()
	b := c.visit.bench(bound)
	defer func() { _ = b.close() }()
	*c.result = c.experiment.on(b, "")
	c.visit.changed = c.visit.changed || b.changed
	c.visit.tidy(ctx, b)
	return nil
}

// tidy logs out what an experiment has left logged in, also if the run was interrupted.
// What fails is tried once more when the visit ends.
func (v *visit) tidy(ctx context.Context, b *Bench) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), boundAbroad)
	defer cancel()
	v.in = append(v.in, v.logOut(ctx, b.in)...)
	b.in = nil
}

// logOut logs agents out, and returns those that are still logged in.
func (v *visit) logOut(ctx context.Context, in []*Agent) []*Agent {
	if v.target.Logout == nil {
		return nil
	}
	return slices.DeleteFunc(in, func(a *Agent) bool {
		a.b.ctx, a.b.budget = ctx, v.reserve
		if !a.out && a.holds() > 0 {
			_ = protect(func() { a.b.quietly(func() { a.Logout() }) })
		}
		return a.out || a.holds() == 0
	})
}

// leave ends a visit: what the experiments have changed is changed back.
func (v *visit) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), boundAbroad)
	defer cancel()
	if _ = v.logOut(ctx, v.in); !v.changed {
		return nil
	}
	b := v.bench(ctx)
	defer func() { _ = b.close() }()
	b.budget = &budget{left: maxToLeave}
	v.reserve = b.budget
	err := protect(func() {
		alice := b.Alice()
		seen := alice.Profile()
		for field, value := range v.before {
			if alice.field(seen.Answer, field) == value {
				continue
			}
			if value == "" { // no value that could be sent
				value = v.target.Change.Fields[field][0]
			}
			if answer := alice.Change(field, value); !answer.OK() {
				b.fail("%s is not changed back: the server answered %d", field, answer.Status)
			}
		}
	})
	v.tidy(ctx, b)
	if err != nil {
		return &LeaveError{v.target.Name + ": " + v.secrets.mask(err.Error())}
	}
	return nil
}

// A LeaveError says what could not be changed back on a server that is not ours. The Report
// stands beside it.
type LeaveError struct{ Reason string }

func (e *LeaveError) Error() string { return "after the experiments: " + e.Reason }

// disclose has a Result show no secret that the server has put where the experiment reads,
// and says which standards the server violates.
func (r *Result) disclose(b *Bench, id string) {
	if r.Reason != nil {
		text := b.shown(*r.Reason)
		r.Reason = &text
	}
	for name, value := range maps.All(r.Values) {
		if text, ok := value.(string); ok {
			r.Values[name] = b.shown(text)
		}
	}
	if r.Mark == Bad || r.Attack == Succeeds {
		r.Violates = slices.Clone(standards[id])
	}
}

// dialer resolves the target's host once and checks each of its addresses. All connections
// go to these: a name that means another address later leads nowhere else.
func (t *Target) dialer(ctx context.Context) (func(context.Context, string, string) (net.Conn, error), error) {
	base, err := url.Parse(t.Base)
	if err != nil {
		return nil, errors.New("base: not an address")
	}
	port := base.Port()
	if port == "" {
		port = base.Scheme
	}
	lookUp, cancel := context.WithTimeout(ctx, patienceAbroad)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(lookUp, "ip", base.Hostname())
	if err != nil {
		return nil, fmt.Errorf("base: %w", err)
	}
	for _, address := range found {
		if !t.Anywhere && !near(address) {
			return nil, fmt.Errorf("base: %s is neither a loopback nor a private address; say --i-may-test-this-server if you may", address)
		}
	}
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var failed error
		for _, address := range found {
			c, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(address.String(), port))
			if err == nil {
				return c, nil
			}
			failed = errors.Join(failed, err)
		}
		return nil, failed
	}, nil
}

// near says whether an address is of this machine, or private (RFC 1918, RFC 4193).
// Link-local ones are not: clouds serve credentials there.
func near(address netip.Addr) bool {
	address = address.Unmap()
	return address.IsLoopback() || address.IsPrivate()
}
