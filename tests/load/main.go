// Load measures what statelab costs from outside: CPU time per request over
// loopback, against the least that a Gin server could take for the same
// exchange, and the memory that many logins at once take. It runs on Linux,
// whose /proc tells what a process has used.
//
//	go run ./tests/load                          all strategies, in about four minutes
//	go run ./tests/load -only session -slices 5  a quick look at one
//	go run ./tests/load -stores memory           session against gin-contrib/sessions, over the same store
//	go run ./tests/load -caches memory,redis     the catalogue under its cache policies
//	go run ./tests/load -peers                   strategies beside servers that others would build for the job
//	go run ./tests/load -memory 1000000          the memory of a login among a million, in stores in memory
//	go run ./tests/load -logins 50               memory and latency while 50 clients log in at once
//
// Stores are servers that run already, on this machine and for nothing else: what
// Redis has counted is reset.
//
// CPU time per request is compared, and not requests per second, which swing
// with whatever else the machine does. A slice is so many seconds of requests to
// one server. Slices come in pairs, one to statelab and one to the limit, in
// random order, and a ratio is that of one pair: what disturbs the machine
// disturbs both. The line A/A is the limit against a second process of itself;
// a ratio within its spread means nothing.
package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// run is the program. Whatever it starts has ended, and whatever it wrote to
// disk is gone, when it returns.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	if len(args) == 1 && args[0] == taskCommand {
		return serveTask(ctx, stdin, stdout)
	}
	if len(args) == 2 && args[0] == memoryCommand {
		return keepLogins(args[1], stdout)
	}
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, longest+10*time.Minute) // for building and logging in
	defer cancel()
	dir, err := os.MkdirTemp("", "statelab-load-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if o.memory > 0 {
		fmt.Fprintln(stdout, machine(os.Args[0]))
		return bench{o, dir, "", stdout, stderr}.compareMemory(ctx)
	}
	if o.bin == "" {
		o.bin = filepath.Join(dir, "statelab")
		build := exec.CommandContext(ctx, "go", "build", "-o", o.bin, "statelab") // #nosec G204 -- our own module
		build.Stderr = stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building statelab: %w; run it inside the module, or name a binary with -bin", err)
		}
	}
	fmt.Fprintln(stdout, machine(o.bin))
	b := bench{o, dir, "limit", stdout, stderr}
	if o.logins > 0 {
		return b.flood(ctx)
	}
	if o.peers {
		return b.comparePeers(ctx)
	}
	if o.caches != nil {
		return b.compareCaches(ctx)
	}
	if o.stores != nil {
		return b.compareStores(ctx)
	}
	return b.compare(ctx)
}

type options struct {
	slices, conns, logins int
	seconds               float64
	only, stores, caches  []string
	bin                   string
	peers                 bool
	memory                int
}

// A bench is where one run takes place.
type bench struct {
	options
	dir            string // removed at the end
	against        string // what statelab is measured against
	stdout, stderr io.Writer
}

// longest bounds a run: the access tokens that it begins with live an hour.
const longest = 45 * time.Minute

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.slices, "slices", 20, "pairs of slices for each line of the table, 1 to 200")
	f.Float64Var(&o.seconds, "seconds", 1, "length of a slice, 0.01 to 10; below 0.1 the numbers mean little")
	f.IntVar(&o.conns, "conns", 64, "keep-alive connections, each with one request at a time, 1 to 512")
	f.IntVar(&o.logins, "logins", 0, "instead of all that, measure so many logins at once, up to 512")
	f.StringVar(&o.bin, "bin", "", "the statelab to measure, instead of building it")
	f.BoolVar(&o.peers, "peers", false, "instead of all that, measure strategies and servers that others would build for the job")
	f.IntVar(&o.memory, "memory", 0, "instead of all that, measure the memory of a login among so many, up to 2000000, in stores in memory")
	only := f.String("only", "", "strategies to measure, such as session,token, instead of all")
	stores := f.String("stores", "", "instead of all that, measure session over these stores, such as memory,redis://127.0.0.1:6379,\npostgres://USER@127.0.0.1/NAME, against those of gin-contrib/sessions")
	caches := f.String("caches", "", "instead of all that, measure the catalogue under these cache policies, such as none,http,memory, with a\nslice of full answers and one of 304; redis needs STATELAB_CACHE")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if *stores != "" {
		o.stores = strings.Split(*stores, ",")
	}
	if *caches != "" {
		o.caches = strings.Split(*caches, ",")
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
	}
	if o.bin != "" { // the server runs in a directory of its own
		if o.bin, err = filepath.Abs(o.bin); err != nil {
			return o, err
		}
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("there is no argument %q: see -help", f.Arg(0))
	case o.slices < 1 || o.slices > 200, o.seconds < 0.01 || o.seconds > 10, o.conns < 1 || o.conns > 512, o.logins < 0 || o.logins > 512,
		o.memory < 0 || o.memory > 2_000_000:
		return o, errors.New("a number is out of its range: see -help")
	case o.only != nil && (o.peers || o.memory > 0):
		return o, errors.New("-only is for a measurement of strategies alone")
	}
	return o, nil
}

var modelName = regexp.MustCompile(`(?m)^model name\s*:\s*(.*)$`)

// machine says what the numbers were measured on.
func machine(bin string) string {
	model, version := runtime.GOARCH, runtime.Version()
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := modelName.FindSubmatch(text); m != nil {
			model = string(m[1])
		}
	}
	if info, err := buildinfo.ReadFile(bin); err == nil {
		version = info.GoVersion
	}
	return fmt.Sprintf("machine: %s, %d cores, %s, load average %s", model, runtime.NumCPU(), version, loadAverage())
}

// loadAverage is the machine's over the last minute. Above the number of cores
// before a run, somebody else is busy here.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}
