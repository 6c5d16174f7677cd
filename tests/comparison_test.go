package tests

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/memory"
	"statelab/tests/harness"
)

// comparisonMarker stands before each table that TestComparisonTable makes.
const comparisonMarker = "<!-- comparison: made by TestComparisonTable -->\n"

// comparisonGroups are the strategies of the tables in state/README.md, one table each.
var comparisonGroups = [][]string{
	{"session", "session-db", "session-cached", "session-bearer", "token", "token-cookie"},
	{"cookie-plain", "cookie", "cookie-sealed"},
	{"session-gin", "session-stock", "seed"},
}

// shortComparison is the table of README.md: three strategies, and the rows that
// decide between them.
var shortComparison = struct{ slugs, questions []string }{
	[]string{"session", "cookie", "token"},
	[]string{
		"who stores the state", "bytes sent with each request", "store reads per request", "the state can be read from the credential",
		"a copy works after a logout for", "log out everywhere", "the browser adds it to requests (CSRF is possible)",
	},
}

// TestComparisonTable measures each cell of the documents' comparisons on a running
// server. Run with STATELAB_UPDATE=readme to write what it finds.
func TestComparisonTable(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, harness.Strategies, slices.Concat(comparisonGroups...), "each strategy is in one group")
	questions, cells := comparison(t)
	var full []string
	for _, slugs := range comparisonGroups {
		full = append(full, comparisonTable(questions, slugs, cells))
	}
	harness.HoldTables(t, "README.md", comparisonMarker, comparisonTable(shortComparison.questions, shortComparison.slugs, cells))
	harness.HoldTables(t, "state/README.md", comparisonMarker, full...)
}

// comparisonTable draws a table with a row for each question and a column for each strategy.
func comparisonTable(questions, slugs []string, cells map[string]map[string]string) string {
	var b strings.Builder
	b.WriteString("| |")
	for _, slug := range slugs {
		fmt.Fprintf(&b, " `%s` |", slug)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(slugs)) + "\n")
	for _, question := range questions {
		b.WriteString("| " + question + " |")
		for _, slug := range slugs {
			fmt.Fprintf(&b, " %s |", cells[question][slug])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// documentedCells reads the comparison back from state/README.md, by question and strategy.
func documentedCells(t *testing.T) map[string]map[string]string {
	t.Helper()
	cells := map[string]map[string]string{}
	for _, table := range strings.Split(harness.Document(t, "state/README.md"), comparisonMarker)[1:] {
		table, _, _ = strings.Cut(table, "\n\n")
		var slugs []string
		for i, line := range strings.Split(table, "\n") {
			row := strings.Split(strings.Trim(line, "| "), " | ")
			switch i {
			case 0:
				slugs = regexp.MustCompile(`[a-z][a-z-]+`).FindAllString(line, -1)
			case 1: // the line between head and rows
			default:
				if cells[row[0]] == nil {
					cells[row[0]] = map[string]string{}
				}
				for n, slug := range slugs {
					cells[row[0]][slug] = row[n+1]
				}
			}
		}
	}
	return cells
}

// comparison measures every question for every strategy, each on a server of its own.
func comparison(t *testing.T) (questions []string, cells map[string]map[string]string) {
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
		{"who stores the state", func(slug string) string {
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
		{"bytes sent with each request", func(slug string) string {
			return fmt.Sprint(fresh(slug).Get("inspect").Number("carried.bytes"))
		}},
		{"store reads per request", func(slug string) string {
			c := fresh(slug)
			first, then := c.Get("inspect").Number("cost.store_reads"), c.Get("inspect").Number("cost.store_reads")
			if first != then {
				return fmt.Sprintf("%d, then %d", first, then)
			}
			return fmt.Sprint(then)
		}},
		{"the server keeps a record of each login", func(slug string) string {
			return yes(fresh(slug).Get("inspect").At("held") != nil)
		}},
		{"the state can be read from the credential", func(slug string) string {
			c := fresh(slug)
			c.Patch(harness.Object{"note": "FINDME"}).Is(http.StatusOK)
			return yes(readable(c.Held(), "FINDME"))
		}},
		{"the server refuses an edited credential", func(slug string) string {
			return yes(!attacks["forgery"].try(t, s, slug))
		}},
		{"an older copy brings spent credits back", func(slug string) string {
			return yes(attacks["rollback"].try(t, s, slug))
		}},
		{"an identifier set before the login stays valid (session fixation)", func(slug string) string { return yes(attacks["fixation"].try(t, s, slug)) }},
		{"a script in the page can read it", func(slug string) string { return yes(attacks["theft by a script"].try(t, s, slug)) }},
		{"it never expires on the server", func(slug string) string { return yes(attacks["a login for ever"].try(t, s, slug)) }},
		{"a copy works after a logout for", func(slug string) string {
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
				return "for ever"
			}
			return strings.TrimSuffix(strings.TrimSuffix(lived.String(), "0s"), "0m")
		}},
		{"log out everywhere", func(slug string) string {
			c := fresh(slug)
			other := fresh(slug)
			if c.Post("logout", harness.Object{"everywhere": true}).Status == http.StatusNotImplemented {
				return "not possible: 501"
			}
			if answers(other.Get("profile")) {
				return "the refresh token at once, the access token when it expires"
			}
			return "at once"
		}},
		{"the server can list a user's logins", func(slug string) string { return yes(answers(fresh(slug).Get("logins"))) }},
		{"requests extend it, idle time ends it", func(slug string) string { return yes(s.Traits(t, slug).Slides) }},
		{"it survives a restart with the store `memory`", func(slug string) string {
			c := fresh(slug)
			config := s.Config
			config.Store = memory.New(store.Options{Now: s.Clock.Now})
			defer func() { require.NoError(t, config.Store.Close()) }()
			c.Server = harness.StartServer(t, config, s.Clock)
			return yes(answers(c.Get("profile")))
		}},
		{"another server sees a change after", func(slug string) string {
			c := fresh(slug)
			here, there := c.Server, harness.StartServer(t, s.Config, s.Clock)
			read := func() *harness.Answer {
				c.Server = there
				defer func() { c.Server = here }()
				return c.Get("profile")
			}
			if !answers(read()) {
				return "never: each has its own store"
			}
			c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
			took := time.Duration(0)
			for ; read().Text("state.theme") != "dark"; took += time.Second {
				require.Less(t, took, time.Minute)
				s.Clock.Advance(time.Second)
			}
			return took.String()
		}},
		{"the browser adds it to requests (CSRF is possible)", func(slug string) string { return yes(!fresh(slug).Bearer()) }},
		{"size limit in bytes", func(slug string) string {
			if limit := s.Traits(t, slug).LimitBytes; limit > 0 {
				return fmt.Sprint(limit)
			}
			return "none"
		}},
	}
	cells = map[string]map[string]string{}
	for _, r := range rows {
		questions = append(questions, r.question)
		cells[r.question] = map[string]string{}
		for _, slug := range harness.Strategies {
			s = harness.NewServer(t)
			cells[r.question][slug] = r.cell(slug)
		}
	}
	return questions, cells
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

// TestTraitsAgreeWithTheComparison compares what strategies promise with what was measured.
func TestTraitsAgreeWithTheComparison(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	cells := documentedCells(t)
	for _, slug := range harness.Strategies {
		traits := s.Traits(t, slug)
		for question, want := range map[string]bool{
			"the state can be read from the credential":                         traits.Readable,
			"the server refuses an edited credential":                           traits.TamperProof,
			"an older copy brings spent credits back":                           !traits.RollbackProof,
			"a script in the page can read it":                                  !traits.HTTPOnly,
			"it never expires on the server":                                    !traits.Expires,
			"an identifier set before the login stays valid (session fixation)": !traits.RenewsID,
			"the server can list a user's logins":                               traits.Listable,
			"it survives a restart with the store `memory`":                     harness.Outlives(traits),
			"the browser adds it to requests (CSRF is possible)":                traits.SentByBrowser,
		} {
			require.Equal(t, want, cells[question][slug] == "yes", "%s: %s", slug, question)
		}
		require.Equal(t, traits.Holder == state.HolderServer, cells["who stores the state"][slug] == "the server", slug)
		require.Equal(t, traits.Revocable, cells["a copy works after a logout for"][slug] == "0s", slug)
		require.Equal(t, traits.Everywhere, cells["log out everywhere"][slug] != "not possible: 501", slug)
	}
}
