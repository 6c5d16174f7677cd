// Package command is statelab's command line: it reads flags and variables, builds
// what they ask for, and serves until it is told to end.
package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"statelab/auth"
)

// A Program is the command line. Its zero fields are what statelab runs with;
// tests give it others.
type Program struct {
	OpenAPI []byte      // the text of openapi.yaml
	Hasher  auth.Hasher // zero: argon2id with auth.ProductionParams
	Rand    io.Reader   // zero: crypto/rand; must be cryptographically secure
	Times   Times       // zero: DefaultTimes
}

// Main runs the program with the arguments, the environment, the streams and the
// signals of this process, and returns its exit status. The first SIGINT or SIGTERM
// asks a server to drain, a second one ends the process at once.
func (p Program) Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop()
	}()
	return p.Run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
}

// complete returns p with its zero fields filled in.
func (p Program) complete(getenv func(string) string) Program {
	if p.Hasher == nil {
		p.Hasher = newHasher(getenv)
	}
	if p.Rand == nil {
		p.Rand = rand.Reader
	}
	if p.Times == (Times{}) {
		p.Times = DefaultTimes()
	}
	return p
}

// The exit statuses.
const (
	exitOK      = 0
	exitFailed  = 1 // it was started as asked and then failed
	exitRefused = 2 // it will not start this way
)

// Run runs one command until it is done or ctx ends, and returns the exit status of
// the process. It reads and writes nothing but what it is handed, apart from the
// files and addresses that the flags name, and the signal SIGHUP.
func (p Program) Run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	var cli commands
	status := -1
	parser, err := kong.New(&cli, kong.Name("statelab"),
		kong.Description("Where should the state of a login live? Without a command, statelab serves the classroom.\n\n"+
			"Each flag has an environment variable: --session-max has STATELAB_SESSION_MAX. The flag wins."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { status = code }),
		kong.PostBuild(describeLimits), kong.Resolvers(variables(getenv)), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(streams{stdin, stdout, stderr, getenv}, &cli, p.complete(getenv)))
	if err != nil {
		panic(err) // the commands below contradict each other
	}
	parsed, err := parser.Parse(args)
	if status >= 0 { // help was asked for and given
		return status
	}
	if err == nil {
		err = parsed.Run()
	}
	var refused *refusal
	var usage *kong.ParseError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &refused), errors.As(err, &usage):
		status = exitRefused
	default:
		status = exitFailed
	}
	_, _ = fmt.Fprintln(stderr, "statelab:", strings.ReplaceAll(err.Error(), "\n", " "))
	return status
}

// variables resolves flags that are not given from the environment, except those whose
// tag says that they have no variable.
func variables(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if flag.Tag.Get("variable") == "-" {
			return nil, nil
		}
		if v := getenv("STATELAB_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))); v != "" {
			return v, nil
		}
		return nil, nil
	})
}

// streams are what a command reads and writes besides its flags.
type streams struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
}

// A refusal says in one line why the program does not start, and what to do.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

type commands struct {
	Serve   serve          `cmd:"" default:"withargs" help:"Serve the API (the default)."`
	Compare compareCommand `cmd:"" help:"Run the experiments: what each strategy sends, costs and lets an attacker do."`
	Account accountCommand `cmd:"" help:"Add, change and list accounts. A running server follows within five seconds."`
	Keys    keysCommand    `cmd:"" help:"Make, list and rotate keys."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

type versionCommand struct{}

func (versionCommand) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, "statelab", version())
	return err
}

// version is the module's, or the revision it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value[:min(12, len(setting.Value))]
		}
	}
	return "devel"
}
