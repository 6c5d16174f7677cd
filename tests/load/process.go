package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a server under measurement, and a child of ours.
type process struct {
	cmd  *exec.Cmd
	end  context.CancelFunc
	addr string // host and port
}

var announced = regexp.MustCompile(`http://(localhost:\d+)`)

// start runs a server in the directory dir and returns when it has said on its
// standard output where it serves. The caller stops it. The server's standard
// input begins with the given text and stays open until then.
func start(ctx context.Context, dir, stdin string, stderr io.Writer, name string, args ...string) (*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &process{cmd: exec.CommandContext(ctx, name, args...), end: cancel} // #nosec G204 -- what the user asks to measure
	p.cmd.Dir, p.cmd.Stderr = dir, stderr
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 15 * time.Second // then it is killed
	in, err := p.cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	if _, err := io.WriteString(in, stdin); err != nil {
		p.stop()
		return nil, err
	}
	impatience := time.AfterFunc(30*time.Second, cancel)
	defer impatience.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := announced.FindStringSubmatch(lines.Text()); m != nil {
			p.addr = m[1]
			go func() { _, _ = io.Copy(io.Discard, out) }() // until the process ends
			return p, nil
		}
	}
	p.stop()
	return nil, fmt.Errorf("%s does not serve", filepath.Base(name))
}

// stop ends the process and returns when it has ended.
func (p *process) stop() {
	p.end()
	_ = p.cmd.Wait() // that it was ended is no news
}

// statelab starts the server that is measured. Its log level is warn, so that no
// request leaves a line: the limit writes none either.
func (b bench) statelab(ctx context.Context, name string, args ...string) (*process, error) {
	return start(ctx, b.dir, "", b.stderr, b.bin, append([]string{
		"--listen=localhost:0", "--log-level=" + logLevel, "--access-ttl=1h", "--session-idle=1h",
		"--database=sqlite:" + filepath.Join(b.dir, name+".db"), "--keys=" + filepath.Join(b.dir, name+".keys.json"),
	}, args...)...)
}

const logLevel = "warn"

// cpu returns how long the process has been on a processor, in user and in
// system mode. The kernel counts nanoseconds for each thread, and adds them up
// when a thread leaves its processor and at each tick (1 to 10 ms); the tens of
// milliseconds of /proc/PID/stat would be a percent or two of a slice. Between
// slices the server waits for requests, so next to nothing is outstanding. Go
// ends no thread, so none takes its time along.
func (p *process) cpu() (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil || len(files) == 0 {
		return 0, errors.Join(err, errors.New("the server has ended, or this is no Linux"))
	}
	var sum time.Duration
	for _, name := range files {
		text, err := os.ReadFile(name) // #nosec G304 -- in /proc
		if err != nil {
			return 0, err
		}
		onCPU, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(onCPU, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		sum += time.Duration(n)
	}
	return sum, nil
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s*(\d+) kB$`)

// peak returns the most memory that the process has ever held at once, in MiB.
func (p *process) peak() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	m := highWater.FindSubmatch(text)
	if m == nil {
		return 0, errors.New("/proc tells no VmHWM here")
	}
	kib, err := strconv.ParseFloat(string(m[1]), 64)
	return kib / 1024, err
}
