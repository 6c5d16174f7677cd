package command

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"statelab/state/keys"
)

// keysCommand is what an operator does with a key file.
type keysCommand struct {
	Init   keysInit   `cmd:"" help:"Make a key file for a service. The command never overwrites a file."`
	List   keysList   `cmd:"" help:"List the keys, without their secrets."`
	Rotate keysRotate `cmd:"" help:"Make new keys to sign with. The previous keys still verify."`
}

// keyFile is the flag that these commands share.
type keyFile struct {
	Keys string `default:"statelab.keys.json" placeholder:"FILE" help:"The key file (${default})."`
}

type keysInit struct{ keyFile }

func (c keysInit) Run(s streams, p Program) error {
	return listed(s.out)(keys.Init(c.Keys, p.Rand, time.Now()))
}

type keysList struct {
	keyFile
	Public bool `help:"Print a key file for servers that only verify tokens. It has public keys and no secret."`
}

func (c keysList) Run(s streams) error {
	ring, err := keys.Load(c.Keys)
	if err == nil && c.Public {
		return ring.WritePublic(s.out)
	}
	return listed(s.out)(ring, err)
}

type keysRotate struct {
	keyFile
	DropPrevious bool `help:"Drop the previous keys. The server then refuses all cookies and access tokens of clients."`
}

func (c keysRotate) Run(s streams, p Program) error {
	return listed(s.out)(keys.Rotate(c.Keys, p.Rand, time.Now(), c.DropPrevious))
}

// listed prints the keys of a file, or refuses what was asked for.
func listed(w io.Writer) func(*keys.Ring, error) error {
	return func(ring *keys.Ring, err error) error {
		if err != nil {
			return refuse("%v", err)
		}
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "ID\tPURPOSE\tCREATED\tUSE")
		for _, k := range ring.All() {
			does := "verifies"
			if active, err := ring.Active(k.Purpose); err == nil && active == k {
				does = "signs"
			}
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", k.ID, k.Purpose, k.Created.Format(time.RFC3339), does)
		}
		return table.Flush()
	}
}
