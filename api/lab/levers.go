package lab

import (
	"net/http"
	"strings"
	"time"
)

// Levers change a private server of ours while it runs, as a learner does on the page.
type Levers struct {
	b    *Bench
	base string
	line *line
}

func (b *Bench) levers(base string) *Levers {
	return &Levers{b: b, base: base, line: b.ends(newLine(true, b.dial))}
}

// pull pulls a lever and returns the answer. A refusal ends the experiment.
func (l *Levers) pull(does, method, path string, body any) Answer {
	text := []byte{}
	if body != nil {
		var err error
		text, err = marshal(body)
		l.b.check(err)
	}
	r, err := http.NewRequestWithContext(l.b.ctx, method, l.base+path, strings.NewReader(string(text)))
	l.b.check(err)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("User-Agent", "statelab")
	a := l.b.exchange("classroom", does, l.line, r)
	if !a.OK() && a.Status != http.StatusNotImplemented {
		l.b.fail("%s: the server answered %d %s", does, a.Status, a.Code())
	}
	return a
}

// Advance moves the server's clock, and that of the agents' cookies.
func (l *Levers) Advance(d time.Duration) {
	l.pull("advance the clock by "+d.String(), "POST", "/classroom/clock", map[string]any{"advance": d.String()})
	l.b.ahead += d
}

// Restart loses what a process loses when it ends.
func (l *Levers) Restart(keepKeys bool) {
	does := "restart with the same keys"
	if !keepKeys {
		does = "restart with new keys"
	}
	l.pull(does, "POST", "/classroom/restart", map[string]any{"keep_keys": keepKeys})
}

// Role gives an account another role.
func (l *Levers) Role(username, role string) {
	l.pull("make "+username+" a "+role, "PUT", "/classroom/accounts/"+username+"/role", map[string]any{"role": role})
}

// Set changes settings.
func (l *Levers) Set(settings map[string]any) {
	l.pull("change the settings", "PUT", "/classroom/settings", settings)
}

// Records returns the ids of what the store holds of a user's logins, and their bytes; not
// ok: the strategy's records cannot be seen.
func (l *Levers) Records(strategy, username string) (ids []string, bytes int, ok bool) {
	a := l.pull("look into the store", "GET", "/classroom/store/"+strategy, nil)
	if a.Status == http.StatusNotImplemented {
		return nil, 0, false
	}
	all, _ := lookUp(a.json(), "/records").([]any)
	for _, in := range all {
		id, _ := lookUp(in, "/id").(string)
		of, _ := lookUp(in, "/username").(string)
		size, _ := lookUp(in, "/bytes").(float64)
		if of == username {
			ids, bytes = append(ids, id), bytes+int(size)
		}
	}
	return ids, bytes, true
}

// Drop deletes a record.
func (l *Levers) Drop(strategy, id string) {
	l.pull("delete the record", "DELETE", "/classroom/store/"+strategy+"/"+id, nil)
}
