package main

import (
	"context"
	"fmt"
	"net/http"
)

// compareCaches measures the catalogue under each policy, answered in full and with
// 304, against the fair limit of an answer in full. An answer that is kept for half
// a minute is computed anew now and then, as in real life.
func (b bench) compareCaches(ctx context.Context) error {
	server, err := b.statelab(ctx, "caches")
	if err != nil {
		return err
	}
	defer server.stop()
	var pairs []*pair
	var limits [2]target
	for _, policy := range b.caches {
		path := "/cache/" + policy + "/catalog"
		full := request("GET", server.addr, path, "", "")
		var a answer
		for range 2 { // the second one is kept, if anybody keeps it
			status, got, err := fetch(ctx, server.addr, full)
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("%s answers %d: %w", path, status, err)
			}
			a = got
		}
		if limits[0].process == nil {
			for i := range limits {
				if limits[i], err = b.beside(ctx, task{Path: path, Answer: a}, []visit{{request: full}}); err != nil {
					return err
				}
				defer limits[i].stop()
			}
			pairs = append(pairs, &pair{name: "A/A", servers: limits})
		}
		pairs = append(pairs, &pair{name: policy, servers: [2]target{{server, []visit{{request: full, body: a.Body, varies: true}}}, limits[0]}})
		// Any answer that the client has will do, whichever it is.
		known := request("GET", server.addr, path, "If-None-Match: *\r\n", "")
		if status, _, err := fetch(ctx, server.addr, known); err == nil && status == http.StatusNotModified {
			pairs = append(pairs, &pair{name: policy + " 304", servers: [2]target{{server, []visit{{request: known, short: true}}}, limits[0]}})
		}
	}
	if err := b.measure(ctx, pairs); err != nil {
		return err
	}
	return b.print(append(pairs[1:], pairs[0]))
}
