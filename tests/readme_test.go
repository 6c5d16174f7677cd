package tests

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/tests/harness"
)

// varying are the parts of an answer that differ from run to run.
var varying = []struct {
	expr *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`\r`), ""},
	{regexp.MustCompile(`\b[0-9A-HJKMNP-TV-Z]{26}\b`), "ULID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z`), "TIME"},
	{regexp.MustCompile(`(?m)^Age: \d+$|ttl=\d+$`), "SECONDS"},
	{regexp.MustCompile(`"request_id":"[0-9a-z]{16}"`), `"request_id":"ID"`},
	{regexp.MustCompile(`(?m)^[0-9a-f]{8}  `), "KEY       "},
	{regexp.MustCompile(`(statelab_\w+)=[\w.-]+`), "$1=VALUE"},
}

func steady(text string) string {
	for _, v := range varying {
		text = v.expr.ReplaceAllString(text, v.as)
	}
	return strings.TrimSpace(text)
}

// transcripts runs every console block of a text in one shell, as somebody who
// pastes line by line, and holds the answers to those printed.
func transcripts(t *testing.T, text, base string) int {
	t.Helper()
	program := harness.Script(t)
	dir, setup := t.TempDir(), ""
	commands := 0
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(text, -1) {
		for _, step := range regexp.MustCompile(`(?m)^\$ `).Split(block[1], -1)[1:] {
			command, printed, _ := strings.Cut(step, "\n")
			command = strings.NewReplacer("http://localhost:8080", base, "go run .", program).Replace(command)
			if strings.Contains(command, "=$(") {
				setup += command + "\n" // a variable of the shell, for the lines after it
				continue
			}
			cmd := exec.CommandContext(t.Context(), "sh", "-c", setup+command)
			cmd.Dir = dir
			out, err := cmd.Output()
			require.NoError(t, err, command)
			require.Equal(t, steady(printed), steady(string(out)), command)
			commands++
		}
	}
	return commands
}

func TestReadmeTranscripts(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0")
	require.GreaterOrEqual(t, transcripts(t, harness.Readme(t), p.Base), 12)
}

// The guides' blocks are executed as they stand, each guide in one shell.
func TestGuideCommands(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ko.md", "en.md"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "api", "web", "guide", name))
			require.NoError(t, err)
			p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0")
			script := "set -e\n"
			n := 0
			for _, block := range regexp.MustCompile("(?s)```bash\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
				if strings.Contains(block[1], "curl ") {
					script += block[1]
					n++
				}
			}
			require.Greater(t, n, 5)
			cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.ReplaceAll(script, "http://localhost:8080", p.Base))
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "200 OK")
			require.NotContains(t, string(out), `"status":400`)
			require.NotContains(t, string(out), `"status":404`)
			require.NotContains(t, string(out), `"status":415`)
		})
	}
}

func TestReadmeFlagsAreTheProgramsFlags(t *testing.T) {
	t.Parallel()
	help, err := harness.Command(t, t.TempDir(), nil, "serve", "--help").Output()
	require.NoError(t, err)
	rows := regexp.MustCompile("(?m)^\\| `(--[a-z-]+)` \\| `(STATELAB_[A-Z_]+)` \\| .* \\| (.*) \\|$").FindAllStringSubmatch(harness.Readme(t), -1)
	inReadme := map[string]bool{}
	flat := regexp.MustCompile(`\s+`).ReplaceAllString(string(help), " ")
	for _, row := range rows {
		inReadme[row[1]] = true
		require.Equal(t, "STATELAB_"+strings.ToUpper(strings.ReplaceAll(row[1][2:], "-", "_")), row[2])
		require.Contains(t, flat, row[1][2:])
		if standard := strings.Trim(row[3], "`"); standard != "true" {
			require.Contains(t, flat, "("+standard, row[1])
		}
	}
	for _, flag := range regexp.MustCompile(`(?m)^ {2,}(?:-\w, )?--(?:\[no-\])?([a-z-]+)`).FindAllStringSubmatch(string(help), -1) {
		if flag[1] != "help" {
			require.True(t, inReadme["--"+flag[1]], "--%s is not in the README", flag[1])
		}
	}
	require.NotEmpty(t, inReadme)
}

func TestReadmeLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(harness.Readme(t), -1) {
		if !strings.Contains(link[1], "://") {
			_, err := os.Stat(filepath.Join("..", link[1]))
			require.NoError(t, err)
		}
	}
}

// TestComparisonTable measures each cell of the README's comparison against a
// running server. Run with STATELAB_UPDATE=readme to write what it finds.
func TestComparisonTable(t *testing.T) {
	t.Parallel()
	const marker = "<!-- comparison: made by TestComparisonTable -->\n"
	table := marker + comparison(t)
	text := harness.Readme(t)
	if os.Getenv("STATELAB_UPDATE") == "readme" {
		begin := strings.Index(text, marker)
		end := begin + strings.Index(text[begin:], "\nThere is no winner.")
		require.NoError(t, os.WriteFile(harness.Root("README.md"), []byte(text[:begin]+table+text[end:]), 0o600))
		return
	}
	for line := range strings.SplitSeq(table, "\n") {
		if !strings.Contains(text, line) { // require.Contains would print all of the README
			t.Fatalf("the README does not say: %s", line)
		}
	}
}

func comparison(t *testing.T) string {
	type row struct {
		question string
		cell     func(slug string) string
	}
	var s *harness.Server
	fresh := func(slug string) *harness.Client { return s.Login(t, slug, harness.Alice, harness.AlicePassword) }
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return "no"
	}
	answers := func(a *harness.Answer) bool { return a.Status == http.StatusOK }
	rows := []row{
		{"who holds the state", func(slug string) string {
			if fresh(slug).Get("inspect").At("carried.decoded") == nil {
				return "the server"
			}
			return "the client"
		}},
		{"what travels", func(slug string) string {
			a := s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
			if a.Text("credential.kind") == "bearer" {
				return "`Authorization: Bearer`"
			}
			if s.Traits(t, slug).HTTPOnly {
				return "an HttpOnly cookie"
			}
			return "a cookie that scripts can read"
		}},
		{"bytes with each request, alice's first", func(slug string) string {
			return fmt.Sprint(fresh(slug).Get("inspect").Number("carried.bytes"))
		}},
		{"store look-ups with each request", func(slug string) string {
			c := fresh(slug)
			first, then := c.Get("inspect").Number("cost.store_reads"), c.Get("inspect").Number("cost.store_reads")
			if first != then {
				return fmt.Sprintf("%d, then %d", first, then)
			}
			return fmt.Sprint(then)
		}},
		{"a record on the server for each login", func(slug string) string {
			return yes(fresh(slug).Get("inspect").At("held") != nil)
		}},
		{"whoever sees the credential can read the state", func(slug string) string {
			c := fresh(slug)
			c.Patch(harness.Object{"note": "FINDME"}).Is(http.StatusOK)
			return yes(readable(c.Held(), "FINDME"))
		}},
		{"an edited credential is refused", func(slug string) string {
			return yes(!attacks["forgery"].try(t, s, slug))
		}},
		{"an older copy brings spent credits back", func(slug string) string {
			return yes(attacks["rollback"].try(t, s, slug))
		}},
		{"an identifier planted before the login is the victim's after it", func(slug string) string { return yes(attacks["fixation"].try(t, s, slug)) }},
		{"scripts can read it", func(slug string) string { return yes(attacks["theft by a script"].try(t, s, slug)) }},
		{"the server never ends it by itself", func(slug string) string { return yes(attacks["a login for ever"].try(t, s, slug)) }},
		{"a copy after logout lives for", func(slug string) string {
			c := fresh(slug)
			thief, lived := c.Copy(), time.Duration(0)
			c.Post("logout", nil).Is(http.StatusNoContent)
			for answers(thief.Get("profile")) && lived < 24*time.Hour {
				s.Clock.Advance(time.Minute)
				lived += time.Minute
			}
			switch lived {
			case 0:
				return "0s"
			case 24 * time.Hour:
				return "ever"
			}
			return strings.TrimSuffix(strings.TrimSuffix(lived.String(), "0s"), "0m")
		}},
		{"log out everywhere", func(slug string) string {
			c := fresh(slug)
			other := fresh(slug)
			if c.Post("logout", harness.Object{"everywhere": true}).Status == http.StatusNotImplemented {
				return "no: 501"
			}
			if answers(other.Get("profile")) {
				return "refresh at once, access at its end"
			}
			return "at once"
		}},
		{"the server can list a user's logins", func(slug string) string { return yes(answers(fresh(slug).Get("logins"))) }},
		{"use keeps it alive, idleness ends it", func(slug string) string { return yes(s.Traits(t, slug).Slides) }},
		{"lives on after a restart, memory store", func(slug string) string {
			c := fresh(slug)
			config := s.Config
			config.Store = store.NewMemory(store.Options{Now: s.Clock.Now})
			defer func() { require.NoError(t, config.Store.Close()) }()
			c.Server = harness.StartServer(t, config, s.Clock)
			return yes(answers(c.Get("profile")))
		}},
		{"another node sees a change after", func(slug string) string {
			c := fresh(slug)
			here, there := c.Server, harness.StartServer(t, s.Config, s.Clock)
			read := func() *harness.Answer {
				c.Server = there
				defer func() { c.Server = here }()
				return c.Get("profile")
			}
			if !answers(read()) {
				return "never: each has its own"
			}
			c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
			took := time.Duration(0)
			for ; read().Text("state.theme") != "dark"; took += time.Second {
				require.Less(t, took, time.Minute)
				s.Clock.Advance(time.Second)
			}
			return took.String()
		}},
		{"the browser sends it by itself (CSRF matters)", func(slug string) string { return yes(!fresh(slug).Bearer()) }},
		{"bytes it may have", func(slug string) string {
			if limit := s.Traits(t, slug).LimitBytes; limit > 0 {
				return fmt.Sprint(limit)
			}
			return "any state fits"
		}},
	}
	var b strings.Builder
	b.WriteString("| |")
	for _, slug := range harness.Strategies {
		fmt.Fprintf(&b, " `%s` |", slug)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(harness.Strategies)) + "\n")
	for _, r := range rows {
		b.WriteString("| " + r.question + " |")
		for _, slug := range harness.Strategies {
			s = harness.NewServer(t)
			fmt.Fprintf(&b, " %s |", r.cell(slug))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// readable says whether a text can be found in a credential without any key.
func readable(credential, text string) bool {
	for _, part := range strings.Split(credential, ".") {
		if strings.Contains(decoded(part), text) {
			return true
		}
	}
	return strings.Contains(credential, text)
}

// decoded is what a part of a credential says in base64url, or "".
func decoded(part string) string {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return ""
	}
	return string(text)
}

// A strategy's traits are promises, and the comparison is what is kept of them.
func TestTraitsAgreeWithTheComparison(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	text := harness.Readme(t)
	row := func(question string) []string {
		m := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(question) + ` \| (.*) \|$`).FindStringSubmatch(text)
		require.NotNil(t, m, question)
		return strings.Split(m[1], " | ")
	}
	for i, slug := range harness.Strategies {
		traits := s.Traits(t, slug)
		for question, want := range map[string]bool{
			"whoever sees the credential can read the state":                  traits.Readable,
			"an edited credential is refused":                                 traits.TamperProof,
			"an older copy brings spent credits back":                         !traits.RollbackProof,
			"scripts can read it":                                             !traits.HTTPOnly,
			"the server never ends it by itself":                              !traits.Expires,
			"an identifier planted before the login is the victim's after it": !traits.RenewsID,
			"the server can list a user's logins":                             traits.Listable,
			"lives on after a restart, memory store":                          harness.Outlives(traits),
			"the browser sends it by itself (CSRF matters)":                   traits.SentByBrowser,
		} {
			require.Equal(t, want, row(question)[i] == "yes", "%s: %s", slug, question)
		}
		require.Equal(t, traits.Holder == state.HolderServer, row("who holds the state")[i] == "the server", slug)
		require.Equal(t, traits.Revocable, row("a copy after logout lives for")[i] == "0s", slug)
		require.Equal(t, traits.Everywhere, row("log out everywhere")[i] != "no: 501", slug)
	}
}
