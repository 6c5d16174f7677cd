package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/api/attacker"
	"statelab/api/classroom"
	"statelab/tests/harness"
)

func TestTheInbox(t *testing.T) {
	t.Parallel()
	s, thief := harness.NewAttackedServer(t)
	here := thief.As("127.0.0.1")
	require.Equal(t, here, s.Pull(t, "GET", "inbox", nil).Text("origin"))
	require.Empty(t, s.Inbox(t))
	send := func(body string, status int) {
		t.Helper()
		a, _ := thief.Asks(t, "POST", here+"/inbox", body)
		require.Equal(t, status, a.StatusCode, body)
	}
	send(`{"strategy":"cookie","kind":"cookie","value":"a=<script>b"}`, 204)
	a, _ := thief.Asks(t, "GET", thief.As("localhost")+"/c?a=%3Cb%3E+c", "")
	require.Equal(t, 204, a.StatusCode)
	now := s.Clock.Now()
	require.Equal(t, []attacker.Entry{{At: now, Kind: "query", Value: "a=<b> c"}, {At: now, Strategy: "cookie", Kind: "cookie", Value: "a=<script>b"}}, s.Inbox(t), "the newest first")
	_, page := thief.Asks(t, "GET", here+"/inbox", "")
	require.Contains(t, page, "a=&lt;script&gt;b")
	require.NotContains(t, page, "a=<script>b")

	for _, wrong := range []string{"", "[]", "x", `{"strategy":"nothing","kind":"cookie","value":"a"}`, `{"strategy":"cookie","kind":"nothing","value":"a"}`} {
		send(wrong, 400)
	}
	send(`{"kind":"cookie","value":"`+harness.Long("x", 64<<10)+`"}`, 413)
	require.Len(t, s.Inbox(t), 2)

	send(`{"kind":"cookie","value":"`+harness.Long("é", attacker.MaxValue)[:attacker.MaxValue*2-4]+`"}`, 204)
	require.Equal(t, harness.Long("é", attacker.MaxValue/2), s.Inbox(t)[0].Value)
	for i := range attacker.MaxEntries {
		send(fmt.Sprintf(`{"strategy":"token","kind":"ride","value":"%d"}`, i), 204)
	}
	entries := s.Inbox(t)
	require.Len(t, entries, attacker.MaxEntries)
	require.Equal(t, "99", entries[0].Value)
	require.Equal(t, "0", entries[attacker.MaxEntries-1].Value, "older ones are gone")

	s.Set(t, harness.Object{"origin_check": false})
	s.Pull(t, "POST", "restart", nil).Is(http.StatusNoContent)
	require.Len(t, s.Inbox(t), attacker.MaxEntries, "the attacker is no part of the server")
	s.Pull(t, "DELETE", "inbox", nil).Is(http.StatusNoContent)
	require.Empty(t, s.Inbox(t))
	send(`{"kind":"cookie","value":"a"}`, 204)
	s.Reset(t)
	require.Empty(t, s.Inbox(t))

	send(`{"kind":"cookie","value":"a"}`, 204)
	a, _ = thief.Asks(t, "POST", here+"/inbox/empty", "", harness.From("cross-site", "http://evil.example"))
	require.Equal(t, 403, a.StatusCode)
	require.Len(t, s.Inbox(t), 1)
	a, _ = thief.Asks(t, "POST", here+"/inbox/empty", "", harness.From("same-origin", here))
	require.Equal(t, 303, a.StatusCode)
	require.Empty(t, s.Inbox(t))
}

func TestTheClassroomRemembersRequestsOfOtherOrigins(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	forged := func() []classroom.ForgedRequest {
		t.Helper()
		var out classroom.ForgedRequests
		require.NoError(t, json.Unmarshal(s.Pull(t, "GET", "forged", nil).Is(http.StatusOK).Body, &out))
		return out.Requests
	}
	for _, slug := range harness.Strategies {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		c.Get("profile").Is(http.StatusOK)
		require.Empty(t, forged(), "requests of the user are not remembered")
		path := "/" + slug + "/logout?try"
		c.Do("POST", path, nil, harness.From("same-site", "http://localhost:9090")).Is(http.StatusForbidden, "csrf_blocked")
		s.Client(t, slug).Do("POST", path, nil, harness.From("cross-site", "http://127.0.0.1:9090")).Is(http.StatusForbidden, "csrf_blocked")
		s.Client(t, slug).Do("OPTIONS", "/"+slug+"/spend", nil, harness.From("cross-site", "http://127.0.0.1:9090")).Is(http.StatusMethodNotAllowed)
		at := s.Clock.Now()
		require.Equal(t, []classroom.ForgedRequest{
			{At: at, Method: "OPTIONS", Path: "/" + slug + "/spend", Site: "cross-site", Status: 405, Code: "method_not_allowed"},
			{At: at, Method: "POST", Path: path, Site: "cross-site", Status: 403, Code: "csrf_blocked"},
			{At: at, Method: "POST", Path: path, Site: "same-site", Credential: true, Status: 403, Code: "csrf_blocked"},
		}, forged(), "the newest first")
		s.Reset(t)
		require.Empty(t, forged())
	}
	for i := range 201 {
		s.Client(t, "session").Do("GET", fmt.Sprintf("/session/profile?%d&%s", i, harness.Long("x", 300)), nil, harness.From("cross-site", "")).Is(http.StatusUnauthorized)
	}
	require.Len(t, forged(), 200)
	require.Len(t, forged()[0].Path, 256)
	require.Contains(t, forged()[199].Path, "?1&", "the oldest one is forgotten")
	s.Client(t, "").Do("GET", "/healthz", nil, harness.From("cross-site", "")).Is(http.StatusOK)
	require.Contains(t, forged()[0].Path, "?200&", "only strategies are watched")
}

func TestWithoutAnAttackerTheInboxIsEmpty(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	a := s.Pull(t, "GET", "inbox", nil).Is(http.StatusOK)
	require.JSONEq(t, `{"origin":null,"entries":[]}`, string(a.Body))
	s.Pull(t, "DELETE", "inbox", nil).Is(http.StatusNoContent)
	s.Pull(t, "POST", "reset", nil).Is(http.StatusNoContent)
	s.Client(t, "").Do("DELETE", "/classroom/inbox", nil, harness.From("same-site", "http://localhost:9090")).Is(http.StatusForbidden, "csrf_blocked")
}

func TestTheAttackersPages(t *testing.T) {
	t.Parallel()
	s, thief := harness.NewAttackedServer(t)
	victim := strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	for host, site := range map[string]string{"127.0.0.1": "cross-site", "localhost": "same-site"} {
		for _, path := range []string{"/", "/csrf", "/inbox", "/try", "/page.css", "/x.js", "/csrf.js", "/try.js"} {
			a, text := thief.Asks(t, "GET", thief.As(host)+path, "")
			require.Equal(t, 200, a.StatusCode, path)
			policy := a.Header.Get("Content-Security-Policy")
			require.Equal(t, "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: "+victim+"; connect-src "+victim+"; form-action 'self' "+victim+
				"; base-uri 'none'; frame-ancestors 'none'", policy)
			require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
			require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
			if path == "/" || path == "/csrf" || path == "/try" {
				require.Contains(t, text, `data-where="`+site+`"`)
			}
			if !strings.Contains(path, ".") {
				require.Contains(t, text, `<html lang="en">`)
				_, text = thief.Asks(t, "GET", thief.As(host)+path, "", harness.Header("Accept-Language", "ko-KR,en"))
				require.Contains(t, text, `<html lang="ko">`)
				_, text = thief.Asks(t, "GET", thief.As(host)+path+"?lang=en", "", harness.Header("Accept-Language", "ko"))
				require.Contains(t, text, `<html lang="en">`)
			}
		}
	}
	_, text := thief.Asks(t, "GET", thief.As("localhost")+"/?lang=ko", "")
	require.Contains(t, text, "다른 사람 사이트에서 하지 마세요")
	for _, slug := range harness.Strategies {
		require.Contains(t, text, victim+"/"+slug+"/guestbook")
	}
	for _, host := range []string{"evil.example", "localhost", "127.0.0.1.nip.io:" + thief.As("")[len("http://:"):]} {
		a, _ := thief.Asks(t, "GET", thief.As("127.0.0.1")+"/inbox", "", func(r *http.Request) { r.Host = host })
		require.Equal(t, http.StatusMisdirectedRequest, a.StatusCode, host)
	}
	for _, name := range []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host"} {
		for _, path := range []string{"/inbox", "/x.js", "/c?x"} {
			a, _ := thief.Asks(t, "GET", thief.As("localhost")+path, "", harness.Header(name, "203.0.113.7"))
			require.Equal(t, http.StatusMisdirectedRequest, a.StatusCode, "%s %s", name, path)
		}
	}
	a, _ := thief.Asks(t, "GET", thief.As("127.0.0.1")+"/attacker.go", "")
	require.Equal(t, 404, a.StatusCode)
	a, _ = thief.Asks(t, "PUT", thief.As("127.0.0.1")+"/inbox", "")
	require.Equal(t, 405, a.StatusCode)
}

func TestTheAttackerHasAListenerOfItsOwn(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0", "--attacker", "127.0.0.1:0")
	line := regexp.MustCompile(`attacker  (http://127\.0\.0\.1:\d+) and (http://localhost:\d+): pages`).FindStringSubmatch(p.Banner)
	require.NotNil(t, line, p.Banner)
	require.Equal(t, line[1], p.Client("").Do("GET", "/classroom/inbox", nil).Is(http.StatusOK).Text("origin"))
	for _, origin := range line[1:] {
		_, page := harness.Site{}.Asks(t, "GET", origin+"/", "")
		require.Contains(t, page, p.Base+"/session/guestbook")
	}
	const loot = "stolen-1-2-3-4-5-6-7-8-9-10-11-12"
	p.Canary.Remember(loot, harness.Tail)
	_, _ = harness.Site{}.Asks(t, "GET", line[1]+"/c?"+loot, "")
	require.Contains(t, string(p.Client("").Do("GET", "/classroom/inbox", nil).Is(http.StatusOK).Body), loot)
}

// attackerLine matches the line in which a program says where its attacker listens.
var attackerLine = regexp.MustCompile(`attacker  http://127\.0\.0\.1:(\d+) and http://localhost:(\d+): pages`)

func TestTheClassroomHasAnAttackerByDefault(t *testing.T) {
	t.Parallel()
	ports := map[string]bool{}
	for range 2 { // side by side: the port of the first is not free for the second
		p := harness.Start(t, t.TempDir(), []string{"STATELAB_ATTACKER="}, "--listen", "localhost:0")
		line := attackerLine.FindStringSubmatch(p.Banner)
		require.NotNil(t, line, p.Banner)
		require.Equal(t, line[1], line[2])
		_, page := harness.Site{}.Asks(t, "GET", "http://127.0.0.1:"+line[1]+"/", "")
		require.Contains(t, page, p.Base+"/session/guestbook")
		ports[line[1]] = true
	}
	require.Len(t, ports, 2)
}

func TestAnAttackerCanBeLeftOut(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), []string{"STATELAB_ATTACKER="}, "--listen", "localhost:0", "--attacker", "none")
	require.NotContains(t, p.Banner, "attacker")
	require.JSONEq(t, `{"origin":null,"entries":[]}`, string(p.Client("").Do("GET", "/classroom/inbox", nil).Is(http.StatusOK).Body))

	dir := t.TempDir()
	harness.ServiceKeys(t, dir)
	for _, args := range [][]string{nil, {"--attacker", "none"}} {
		service := harness.Start(t, dir, []string{"STATELAB_ATTACKER="}, append([]string{"--no-classroom", "--listen", "localhost:0"}, args...)...)
		require.NotContains(t, service.Banner, "attacker")
	}
}
