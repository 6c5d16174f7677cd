// Slowest shows a run of tests, and what took the longest in it:
//
//	go test -json ./... | go run ./tests/slowest
//
// It prints what go test prints for each package, all that failed tests have written, and
// at the end the ten slowest tests and packages. A test with sub-tests costs what they cost
// together, since those that run in parallel do not count into its own time. Its exit
// status is 1 if a test or a package has failed.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() { os.Exit(run(os.Stdin, os.Stdout)) }

// An event is a line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of a build that has written something
	Elapsed                       float64
}

// A cost is what a test or a package took, in seconds.
type cost struct {
	name    string
	seconds float64
}

// longest is how many of each are shown.
const longest = 10

// A report is what is known of a run so far.
type report struct {
	out      io.Writer
	written  map[string][]string // by tests that have not ended
	leaves   map[string]float64  // of each test, what its sub-tests without sub-tests took
	hasSubs  map[string]bool
	packages []cost
	counts   map[string]int // of tests without sub-tests, by how they ended
	failed   bool
}

func run(in io.Reader, out io.Writer) int {
	r := &report{
		out: out, written: map[string][]string{}, leaves: map[string]float64{}, hasSubs: map[string]bool{}, counts: map[string]int{},
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			_, _ = fmt.Fprintln(out, lines.Text()) // not of go test: of a tool that it ran
			continue
		}
		r.see(e)
	}
	if err := lines.Err(); err != nil {
		_, _ = fmt.Fprintln(out, err)
		return 1
	}
	r.conclude()
	if r.failed {
		return 1
	}
	return 0
}

func (r *report) see(e event) {
	name := e.Package + "." + e.Test
	switch {
	case e.Action == "output" && e.Test == "", e.Action == "build-output":
		if e.Output != "PASS\n" {
			_, _ = io.WriteString(r.out, e.Output)
		}
	case e.Action == "output":
		r.written[name] = append(r.written[name], e.Output)
	case e.Action == "run":
		if i := strings.LastIndex(name, "/"); strings.Contains(e.Test, "/") {
			r.hasSubs[name[:i]] = true
		}
	case e.Action == "pass", e.Action == "fail", e.Action == "skip":
		r.end(e, name)
	case e.Action == "build-fail":
		r.failed = true
	}
}

// end counts a test or a package that has ended.
func (r *report) end(e event, name string) {
	if e.Action == "fail" {
		r.failed = true
		for _, text := range r.written[name] {
			_, _ = io.WriteString(r.out, text)
		}
	}
	delete(r.written, name)
	if e.Test == "" {
		for test, texts := range r.written { // of tests that a panic or the time limit has cut off
			if e.Action == "fail" && strings.HasPrefix(test, name) {
				_, _ = io.WriteString(r.out, strings.Join(texts, ""))
			}
		}
		r.packages = append(r.packages, cost{e.Package, e.Elapsed})
		return
	}
	if r.hasSubs[name] {
		return
	}
	top, _, _ := strings.Cut(e.Test, "/")
	r.leaves[e.Package+"."+top] += e.Elapsed
	r.counts[e.Action]++
}

// conclude prints what took the longest, and how many tests there were.
func (r *report) conclude() {
	var tests []cost
	for name, seconds := range r.leaves {
		tests = append(tests, cost{name, seconds})
	}
	r.show("slowest tests, with their sub-tests", tests)
	r.show("slowest packages", r.packages)
	_, _ = fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.counts["pass"], r.counts["fail"], r.counts["skip"])
}

func (r *report) show(title string, costs []cost) {
	slices.SortFunc(costs, func(a, b cost) int { return cmp.Or(cmp.Compare(b.seconds, a.seconds), cmp.Compare(a.name, b.name)) })
	_, _ = fmt.Fprintf(r.out, "\n%s\n", title)
	for _, c := range costs[:min(longest, len(costs))] {
		_, _ = fmt.Fprintf(r.out, "%8.1f s  %s\n", c.seconds, c.name)
	}
}
