package lab

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// made is a report of one experiment with a row of each kind.
func made() *Report {
	no, why, lived, day := false, "the server did not answer", 0.0, 28800.0
	reads, writes, reason := 1, 0, "unknown_session"
	return &Report{
		Run:        RunInfo{At: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), Commit: "abc", Go: "go1.26", Machine: "2 processors", Store: "memory", Database: "sqlite"},
		Strategies: []Strategy{{ID: "session"}, {ID: "token"}, {ID: "상점|shop", Foreign: true}},
		Experiments: []Outcome{{
			ID: "E07", Name: "replay", Question: Text{En: "Log out, then replay", Ko: "로그아웃한 뒤 다시 쓰기"},
			Columns: []string{"attack", "status", "lived_s", "reason", "store_cost"},
			Results: []Result{
				{
					Strategy: "session", Mark: Good, Attack: Blocked, Status: []int{204, 401}, LivedS: &lived, Reason: &reason,
					StoreReads: &reads, StoreWrites: &writes, AsExpected: new(true),
				},
				{
					Strategy: "token", Mark: Bad, Attack: Succeeds, LivedS: &day, AsExpected: &no, Unexpected: []string{"lived_s"},
					Expected: Expected{"lived_s": between(1, 900)}, Error: &why,
					Variants: []Result{{Strategy: "token", Variant: "denylist", Mark: Good, Attack: Blocked, LivedS: &lived, StoreReads: &reads, StoreWrites: &writes}},
				},
				{
					Strategy: "상점|shop", Mark: Neutral, Attack: NotApplicable, Why: map[string]string{"attack": "no_logout", "lived_s": "not_measured"},
					Wire: []Exchange{{Who: "alice", Does: "log in", Request: "GET / HTTP/1.1\r\n\r\n", Response: "HTTP/1.1 200 OK\r\n\r\n\x1b[2J\u202efin"}},
				},
			},
		}},
	}
}

func TestATableHasARowForEachResultWithMarkUnitsAndReason(t *testing.T) {
	t.Parallel()
	shown := made().Show(View{Language: "en"})
	for _, line := range []string{
		`E07  Log out, then replay`,
		`session +✔ blocked +204 401 +0 s +unknown_session +1/0 +a store read per request`,
		`token +✘ succeeds +– +8 h +– +– +large requests.+`,
		`token \+denylist +✔ blocked +– +0 s +– +1/0 +a store read with each request`,
		`상점\|shop +– not applicable \[1\] +– +– +– +–`,
		`\[1\] the target file describes no logout`,
		`surprise: token did not end: the server did not answer`,
		`surprise: token: .+ is 8 h, expected 1 s to 15 min`,
		`4 rows, 1 as expected, 1 surprises    the exchanges: statelab compare E07 --wire`,
		`measured 2026-11-21T09:00:00Z, statelab abc, go1.26, 2 processors, store memory, database sqlite`,
	} {
		require.Regexp(t, `(?m)^`+line+`$`, shown)
	}
}

// TestKoreanCellsTakeTwoColumns requires that each cell of a column begins at the same
// column of the terminal.
func TestKoreanCellsTakeTwoColumns(t *testing.T) {
	t.Parallel()
	require.Equal(t, 12, columns("a 가나 ✔ ×한"))
	require.Equal(t, 2, columns("ᄀ")+columns("\u0301"), "a wide letter, and an accent that is drawn over it")
	drawn := sheet{[]string{"전략", "시간\n초", "z"}, [][]string{{"session", "8시간", "1"}, {"상점", "15 min", "1"}}}.text()
	at := -1
	for _, line := range strings.Split(strings.TrimSpace(drawn), "\n") {
		if last := strings.LastIndexAny(line, "z1"); last > 0 && strings.HasSuffix(line, line[last:]) && !strings.HasSuffix(line, "초") {
			if at < 0 {
				at = columns(line[:last])
			}
			require.Equal(t, at, columns(line[:last]), "%q", drawn)
		}
	}
	require.Equal(t, len("session  15 min  "), at)
	require.Contains(t, made().Show(View{Language: "ko"}), "로그아웃한 뒤 다시 쓰기\n전략")
}

func TestMarkdownEscapesCellsAndTheTerminalGetsNoCommands(t *testing.T) {
	t.Parallel()
	for _, markdown := range []bool{true, false} {
		shown := made().Show(View{Language: "en", Markdown: markdown, Wire: true})
		require.NotContains(t, shown, "\x1b", "a command to the terminal, from another server")
		require.NotContains(t, shown, "\u202e", "a change of the direction of writing")
		require.Contains(t, shown, "(1) alice: log in\n\n    GET / HTTP/1.1\n\n    HTTP/1.1 200 OK\n    \n    [2Jfin\n")
		require.Equal(t, markdown, strings.Contains(shown, `| 상점\|shop | – not applicable `))
	}
}

func TestTheOverviewHasAMarkForEachExperimentAndStrategy(t *testing.T) {
	t.Parallel()
	shown := made().Show(View{Language: "en", Overview: true})
	require.Regexp(t, `^ +session  token  상점\|shop\nE07 replay  ✔        ✘      –\n✔ .+ ✘ .+ ◐ .+ – `, shown)
	facts := made().Facts("en", []string{"session", "token"}, "replay", "readable")
	require.Equal(t, []string{
		"| | `session` | `token` |", "|---|---|---|", "| a copy works after a logout for | 0 s | 8 h |", "",
	}, strings.Split(facts, "\n"), "a fact that the report has nothing of has no row")
}

func TestTimesAndListsAreReadable(t *testing.T) {
	t.Parallel()
	p := &printer{View: View{Language: "en"}}
	for value, want := range map[float64]string{0: "0 s", 28: "28 s", 90: "90 s", 900: "15 min", 28800: "8 h", 29100: "8 h 5 min"} {
		require.Equal(t, want, p.value("lived_s", value))
	}
	require.Equal(t, "edited claims, one flipped bit ×2", p.value("believed", []any{"edit the claims", "flip one bit", "flip one bit"}))
	require.Equal(t, "200 200", p.value("status", []any{200.0, 200.0}))
	require.Equal(t, "3/42 µs", p.value("server_us", map[string]any{"p50": 3.0, "p95": 42.0}))
	p.Language = "ko"
	require.Equal(t, "8시간 5분", p.value("lived_s", 29100.0))
}

func TestStepsAreShownInTheLanguageOfTheReader(t *testing.T) {
	t.Parallel()
	for english, want := range map[string][2]string{
		"advance the clock by 1h16m0s":         {"advance the clock by 1 h 16 min", "시계를 1시간 16분 앞으로"},
		"put 12 items into the cart":           {"put 12 items into the cart", "장바구니에 12개 담기"},
		"HS256 with the public key, then read": {"HS256 with the public key, then read", "공개 키로 HS256 서명하고 읽기"},
		"alice":                                {"alice", "alice"},
	} {
		for i, language := range []string{"en", "ko"} {
			p := &printer{View: View{Language: language}}
			require.Equal(t, want[i], p.step(english))
		}
	}
}
