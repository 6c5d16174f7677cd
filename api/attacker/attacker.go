// Package attacker is the other side of a classroom: pages of another origin that
// send requests in the name of whoever visits them (cross-site request forgery), a
// script for pages that let one in (cross-site scripting), and an inbox for what it
// brings home. It is served on a listener of its own, to this machine alone, and
// knows no more of its victim than any site on the web could.
//
// Nothing here is logged: what is sent here are credentials.
package attacker

import (
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits on what is kept, in entries and in bytes of one.
const (
	MaxEntries = 100
	MaxValue   = 8 << 10
)

// An Entry is something that a script has sent home.
type Entry struct {
	At       time.Time `json:"at,format:RFC3339"` // in UTC and whole seconds
	Strategy string    `json:"strategy"`          // whose page the script ran on; "": it did not say
	Kind     string    `json:"kind"`              // one of Kinds
	Value    string    `json:"value"`             // at most MaxValue bytes of it
}

// Kinds are what can be sent: what scripts read on a page, what a request has come
// to that a script made there, and whatever a script of somebody else's has written
// into an address.
var Kinds = []string{"cookie", "localStorage", "sessionStorage", "ride", "query"}

// An Attacker has an inbox, and is safe for concurrent use.
type Attacker struct {
	address string
	now     func() time.Time

	mu      sync.Mutex
	entries []Entry // the oldest first
}

// New returns an attacker at an address of this machine, such as 127.0.0.1:9090,
// who tells the time by now.
func New(address net.Addr, now func() time.Time) *Attacker {
	return &Attacker{address: address.String(), now: now}
}

// Origins are the two that the attacker's pages have, since this machine has two
// names: by its number, another site than http://localhost, and by its name the
// same site. A port makes another origin and no other site.
func (a *Attacker) Origins() []string {
	_, port, _ := net.SplitHostPort(a.address) // the address of a listener
	return []string{"http://" + a.address, "http://localhost:" + port}
}

// Entries returns what has been sent, the newest first, and at most MaxEntries of
// it: older ones are gone.
func (a *Attacker) Entries() []Entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	entries := append([]Entry{}, a.entries...)
	slices.Reverse(entries)
	return entries
}

// Empty forgets all of them.
func (a *Attacker) Empty() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entries = nil
}

// receive keeps what a script has sent.
func (a *Attacker) receive(strategy, kind, value string) {
	value = strings.ToValidUTF8(value[:min(len(value), MaxValue)], "")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.entries = append(a.entries, Entry{a.now().UTC().Truncate(time.Second), strategy, kind, value})
	if over := len(a.entries) - MaxEntries; over > 0 {
		a.entries = slices.Delete(a.entries, 0, over)
	}
}
