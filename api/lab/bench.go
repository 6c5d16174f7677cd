package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// A Bench is what an experiment works on: one target, with its levers if it has any, and
// everything that was exchanged with it.
type Bench struct {
	Target *Target
	Traits Traits  // zero for a server that is not ours
	Levers *Levers // nil: the target has none

	ctx      context.Context
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	patience time.Duration // of one request
	notice   time.Duration // that a server has of "100 Continue"
	budget   *budget
	secrets  *secrets
	server   Server // nil: it is not ours
	store    string // its kind

	sharedCache bool

	mu      sync.Mutex
	quiet   bool
	log     []Exchange
	names   []string // of the cookies that are the login; nil: not found out yet
	closers []func() error
	in      []*Agent      // that have logged in
	changed bool          // a field was
	ahead   time.Duration // of the server's clock
}

// A budget bounds the requests to a server that is not ours. A nil one bounds nothing.
type budget struct {
	mu   sync.Mutex
	left int
}

func (b *budget) take() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left--
	return b.left >= 0
}

// abort ends an experiment from within a step. Run turns it into the Result's error.
type abort struct{ reason string }

func (b *Bench) fail(format string, args ...any) { panic(abort{fmt.Sprintf(format, args...)}) }

func (b *Bench) check(err error) {
	if err != nil {
		b.fail("%v", err)
	}
}

// close ends what the experiment has begun, and returns what went wrong.
func (b *Bench) close() (err error) {
	for _, f := range slices.Backward(b.closers) {
		err = errors.Join(err, f())
	}
	return err
}

// ends has a line closed with the bench.
func (b *Bench) ends(l *line) *line {
	b.closers = append(b.closers, func() error {
		l.transport.CloseIdleConnections()
		return nil
	})
	return l
}

// now is the time by the clock of the server.
func (b *Bench) now() time.Time { return time.Now().Add(b.ahead) }

// Alice logs the first account in.
func (b *Bench) Alice() *Agent { return b.agent("alice", b.Target.Users[0]).Login() }

// Bob logs the second account in.
func (b *Bench) Bob() *Agent { return b.agent("bob", b.Target.Users[1]).Login() }

// Teacher logs an admin in, on servers of ours only.
func (b *Bench) Teacher() *Agent { return b.agent("teacher", b.Target.Users[2]).Login() }

// quietly does what is no step of the experiment.
func (b *Bench) quietly(f func()) {
	b.mu.Lock()
	before := b.quiet
	b.quiet = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.quiet = before
		b.mu.Unlock()
	}()
	f()
}

// exchange sends a request and keeps what was exchanged.
func (b *Bench) exchange(who, does string, l *line, r *http.Request) Answer {
	if !b.budget.take() {
		b.fail("the experiments have sent all the requests that they may send to a server that is not ours")
	}
	ctx, cancel := context.WithTimeout(r.Context(), b.patience) // which may have a trace
	defer cancel()
	answer, x, err := l.send(r.WithContext(ctx))
	x.Who, x.Does = who, does
	if len(answer.Header["Set-Cookie"]) > maxCookies && err == nil {
		err = fmt.Errorf("the answer sets more than %d cookies", maxCookies)
	}
	for i, line := range answer.Header["Set-Cookie"] {
		if _, value, ok := strings.Cut(line, "="); ok && i < maxCookies { // of broken ones, too
			value, _, _ = strings.Cut(value, ";")
			b.secrets.add(strings.Trim(value, ` "`))
		}
	}
	if before := b.Target.Login.Before; before != nil && before.CSRF != "" {
		b.secrets.add(before.token(answer))
	}
	for _, place := range []string{b.Target.Credential.Bearer, b.Target.Credential.Refresh} {
		if place != "" && answer.Status != 0 {
			b.secrets.add(answer.text(place))
		}
	}
	// Masked before it is cut: else the beginning of a secret could stand at the end.
	body := b.shown(string(answer.Body))
	x.Response = b.shown(x.Response)
	x.Response = x.Response[:min(len(x.Response), maxShownHead)] + body[:min(len(body), maxShown)]
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.quiet || err != nil {
		b.log = append(b.log, x)
	}
	if err != nil {
		b.fail("%s: %s %s: %s", does, r.Method, r.URL.Path, b.secrets.mask(cause(err)))
	}
	return answer
}

// cause is an error without the address, which an experiment chose itself.
func cause(err error) string {
	if timeout, ok := err.(interface{ Timeout() bool }); ok && timeout.Timeout() {
		return "the server did not answer in time"
	}
	text, _, _ := strings.Cut(err.Error(), `: "`) // what it quotes can be a secret
	return strings.TrimPrefix(text, "net/http: ")
}

// exchanges returns what was exchanged, masked.
func (b *Bench) exchanges() []Exchange {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Exchange, len(b.log))
	for i, x := range b.log {
		x.Request, x.Response = b.shown(x.Request), b.shown(x.Response)
		out[i] = x
	}
	return out
}

// shown is a text that travelled, without its secrets, as JSON can hold it and a terminal
// can show it.
func (b *Bench) shown(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && !strings.ContainsRune("\r\n\t", r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(b.secrets.mask(text), "�"))
}

// Lives returns how long a credential that works goes on to work, in seconds, as Lasts does.
func (b *Bench) Lives(a *Agent) (seconds *float64, last Answer) {
	return b.Lasts(func() (bool, Answer) {
		seen := a.Profile()
		return seen.In(), seen.Answer
	})
}

// Lasts returns for how many seconds from now on the server goes on to answer that
// something works, which it has just said. It moves the clock on in steps of five minutes,
// and asks as often as that. After a day it gives up: nil, there is no end that was seen.
// Without a clock it waits for two seconds.
func (b *Bench) Lasts(ask func() (works bool, answer Answer)) (seconds *float64, last Answer) {
	works := true
	if b.Levers == nil {
		for range 2 {
			after(b.ctx, time.Second)
			if works, last = ask(); !works {
				return number(1), last
			}
		}
		return nil, last
	}
	const step, day = 5 * time.Minute, 24 * time.Hour
	for lived := step; works && lived <= day; lived += step {
		b.quietly(func() {
			b.Levers.Advance(step)
			works, last = ask()
		})
		if !works {
			b.note("classroom", "advance the clock by "+lived.String()+", asking every five minutes")
			_, last = ask() // once more, to show the answer
			return number(lived.Seconds()), last
		}
	}
	b.note("classroom", "advance the clock by "+day.String()+", asking every five minutes")
	_, last = ask()
	return nil, last
}

// note tells what was done without an exchange.
func (b *Bench) note(who, does string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, Exchange{Who: who, Does: does})
}

// fields are those that can be changed, in order.
func (b *Bench) fields() []string { return sortedKeys(b.Target.Change.Fields) }

// kept returns how many records the server of ours holds for the agent's user, and their
// bytes. Where they cannot be seen in the store, the strategy itself tells the bytes.
func (b *Bench) kept(a *Agent) (records, bytes int) {
	all, bytes, visible := b.Levers.Records(b.Target.Strategy, a.user.Username)
	if visible {
		return len(all), bytes
	}
	held, _ := lookUp(a.Act("inspect", b.Target.Inspect, nil).json(), "/held/bytes").(float64)
	return 0, int(held)
}

// times measures how long the server says that it takes to read a profile.
func (b *Bench) times(a *Agent) *Spread {
	all := make([]int, repeat)
	b.quietly(func() {
		for i := range all {
			all[i] = a.Profile().microseconds()
		}
	})
	slices.Sort(all)
	return &Spread{all[repeat/2], all[repeat*95/100-1]}
}

// givenBytes counts what an answer gives a client to hold from now on: the lines with
// cookies, or the token.
func (b *Bench) givenBytes(a Answer) int {
	n := 0
	for _, line := range a.Header["Set-Cookie"] {
		n += len("Set-Cookie: \r\n") + len(line)
	}
	if b.Target.bearer() {
		n += len(a.text(b.Target.Credential.Bearer))
	}
	return n
}

// node starts another server beside the first and returns its address.
func (b *Bench) node(n Node) string {
	other, err := b.server.Node(b.ctx, n)
	b.check(err)
	b.closers = append(b.closers, other.Close)
	return other.URL()
}

func number(f float64) *float64 { return &f }
