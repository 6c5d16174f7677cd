package lab

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

// A shop is a server with sessions that is not ours. A test can spoil its answers.
type shop struct {
	mu       sync.Mutex
	sessions map[string]string // username by identifier
	fields   map[string]string // of alice
	requests int
	// spoil answers a request in another way, or not: then it returns false.
	spoil func(n int, w http.ResponseWriter, r *http.Request) bool
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	n := s.requests
	s.mu.Unlock()
	if s.spoil != nil && s.spoil(n, w, r) {
		return
	}
	_ = r.ParseForm()
	change := map[string]string{}
	_ = json.UnmarshalRead(r.Body, &change)
	s.mu.Lock()
	defer s.mu.Unlock()
	id := ""
	if c, err := r.Cookie("id"); err == nil {
		id = c.Value
	}
	switch {
	case r.URL.Path == "/login" && r.Method == http.MethodGet:
		_, _ = fmt.Fprint(w, `<input name="csrf" value="a&#43;b-token">`)
	case r.URL.Path == "/login":
		if r.Form.Get("csrf") != "a+b-token" || r.Form.Get("password") == "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		id = fmt.Sprintf("session-%d-of-the-shop", n)
		s.sessions[id] = r.Form.Get("username")
		http.SetCookie(w, &http.Cookie{Name: "id", Value: id, Path: "/"})
		w.WriteHeader(http.StatusFound)
	case s.sessions[id] == "":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/me":
		body := map[string]string{"username": s.sessions[id]}
		maps.Copy(body, s.fields)
		_ = json.MarshalWrite(w, body)
	case r.URL.Path == "/settings":
		maps.Copy(s.fields, change)
	case r.URL.Path == "/logout":
		delete(s.sessions, id)
	}
}

// open starts a shop and returns its target.
func open(t *testing.T, spoil func(n int, w http.ResponseWriter, r *http.Request) bool) (*shop, *Target) {
	t.Helper()
	s := &shop{sessions: map[string]string{}, fields: map[string]string{"theme": "dark", "language": "ko"}, spoil: spoil}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	target, err := readText(t, strings.Replace(shopFile, "http://localhost:3000", h.URL, 1))
	require.NoError(t, err)
	return s, target
}

// try runs all experiments, and requires that no password shows.
func try(t *testing.T, target *Target, experiments []*Experiment) (*Report, error) {
	t.Helper()
	report, err := new(Laboratory).Run(t.Context(), Plan{Experiments: experiments, Targets: []*Target{target}})
	text, failed := json.Marshal(report)
	require.NoError(t, failed)
	shown := string(text) + fmt.Sprint(err)
	for _, secret := range []string{"jabber", "tulgey"} {
		require.NotContains(t, shown, secret)
	}
	require.NotContains(t, shown, "\x1b")
	return report, err
}

func TestAForeignServerIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(n int, w http.ResponseWriter, r *http.Request) bool{
		"good": nil,
		"fails for a while": func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n < 30 || n > 33 {
				return false
			}
			w.WriteHeader(http.StatusInternalServerError)
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, target := open(t, spoil)
			report, err := try(t, target, Experiments())
			require.NoError(t, err)
			require.True(t, report.Strategies[0].Foreign)
			require.Equal(t, "cookie id", report.Strategies[0].Credential.Where)
			failed := 0
			for _, o := range report.Experiments {
				require.Nil(t, o.Results[0].Expected)
				require.Nil(t, o.Results[0].AsExpected)
				if o.Results[0].Error != nil {
					failed++
					require.NotNil(t, spoil, *o.Results[0].Error)
				}
			}
			require.Equal(t, spoil != nil, failed > 0)
			require.Empty(t, s.sessions)
			require.Equal(t, map[string]string{"theme": "dark", "language": "ko"}, s.fields)
			require.LessOrEqual(t, s.requests, maxRequests)
		})
	}
}

func TestRequestsToAForeignServerAreBounded(t *testing.T) {
	t.Parallel()
	s, target := open(t, nil)
	found, _ := Find([]string{"rollback", "tamper", "fixation"})
	var many []*Experiment
	for range 20 {
		many = append(many, found...)
	}
	report, err := try(t, target, many)
	require.NoError(t, err)
	require.LessOrEqual(t, s.requests, maxRequests)
	require.Contains(t, *report.Experiments[len(many)-1].Results[0].Error, "all the requests")
	require.Empty(t, s.sessions)
	require.Equal(t, "ko", s.fields["language"])
}

// An outage is no refusal: wherever a server fails for a moment, each experiment finds what
// it finds without, or says that it has found nothing.
func TestAnOutageOfAForeignServerIsNoResult(t *testing.T) {
	t.Parallel()
	_, target := open(t, nil)
	well, err := try(t, target, Experiments())
	require.NoError(t, err)
	for n := 1; n <= 150; n += 2 {
		_, target := open(t, func(now int, w http.ResponseWriter, _ *http.Request) bool {
			if now < n || now > n+2 {
				return false
			}
			w.WriteHeader(http.StatusInternalServerError)
			return true
		})
		report, err := try(t, target, Experiments())
		if err != nil {
			require.ErrorContains(t, err, "the server answered 500", n)
			continue
		}
		for i, o := range report.Experiments {
			if found := o.Results[0]; found.Error == nil {
				require.Equal(t, well.Experiments[i].Results[0].Attack, found.Attack, "%d: %s", n, o.ID)
			}
		}
	}
}

// A hostile server gets an error or a result with its exchange: no hang, no panic, and no
// secret on the screen.
func TestHostileServers(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 64<<20))
	_ = z.Close()
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		want   string // in the error; "": the experiments go on
	}{
		"endless body": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<16)); err != nil {
					return
				}
			}
		}, "more than 1048576 bytes"},
		"slow body": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte("x"))
				_ = http.NewResponseController(w).Flush()
				after(r.Context(), 10*time.Millisecond)
			}
		}, "did not answer in time"},
		"huge headers": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 2*maxHeader))
		}, "headers"},
		"many cookies": {func(w http.ResponseWriter, _ *http.Request) {
			for i := range maxCookies + 1 {
				w.Header().Add("Set-Cookie", fmt.Sprintf("c%d=valu%d", i, i))
			}
		}, "more than 100 cookies"},
		"no answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"redirects": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, "login.before.csrf"}, // #nosec G710 -- a loop, on purpose
		"gzip bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}, "login.before.csrf"},
		"broken cookies": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Set-Cookie"] = []string{"", "=", ";;;", "id", "id=\"jabberwocky", "a b=c; Path=\x01", "id=\xff\xfe"}
		}, "malformed MIME header line"},
		"an echo": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Echo", "jabberwocky")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"code":"jabberwocky","text":"%sjabberwocky \u001b[2J"}`, strings.Repeat("x", maxShown-38))
		}, "login.before.csrf"},
	} {
		for _, from := range []int{1, 14} { // at the first request, and after the logins
			t.Run(fmt.Sprint(name, " ", from), func(t *testing.T) {
				t.Parallel()
				_, target := open(t, func(n int, w http.ResponseWriter, r *http.Request) bool {
					if n < from {
						return false
					}
					c.answer(w, r)
					return true
				})
				target.patience = 300 * time.Millisecond
				report, err := try(t, target, Experiments())
				if from == 1 {
					require.Error(t, err)
					return
				}
				failed := []string{fmt.Sprint(err)}
				if report != nil {
					for _, o := range report.Experiments {
						if o.Results[0].Error != nil {
							failed = append(failed, *o.Results[0].Error)
						}
					}
				}
				require.Contains(t, strings.Join(failed, "\n"), c.want)
			})
		}
	}
}

// What a hostile server puts where an experiment reads is shown without secrets, and as
// JSON and a terminal can hold it.
func TestValuesOfAHostileServer(t *testing.T) {
	t.Parallel()
	s, target := open(t, nil)
	target.Change.Read = "/theme"
	target.Change.Fields = map[string][]string{"theme": {"jabberwocky", "\x00\x1b[2J"}}
	found, _ := Find([]string{"rollback"})
	report, err := try(t, target, found)
	require.NoError(t, err)
	require.Equal(t, "…", report.Experiments[0].Results[0].Values["before"])
	require.Equal(t, "��[2J", report.Experiments[0].Results[0].Values["after"])
	require.Equal(t, "dark", s.fields["theme"])
}

// A server may write a text in many ways; none of them shows the secret.
func TestSecretsAreHiddenHoweverTheyAreSpelled(t *testing.T) {
	t.Parallel()
	s := &secrets{}
	const secret = `p/a&s<s>'w"ö+r d😀`
	s.hide(secret)
	for name, text := range map[string]string{
		"as it is":               secret,
		"a form":                 "password=p%2Fa%26s%3Cs%3E%27w%22%C3%B6%2Br+d%F0%9F%98%80",
		"a form in lower case":   "password=p%2fa%26s%3cs%3e%27w%22%c3%b6%2br+d%f0%9f%98%80",
		"a path":                 "/p%2Fa&s%3Cs%3E%27w%22%C3%B6+r%20d%F0%9F%98%80",
		"HTML":                   "p/a&amp;s&lt;s&gt;&#39;w&#34;ö+r d😀",
		"JSON":                   `{"p":"p/a&s<s>'w\"ö+r d😀"}`,
		"JSON of Go":             `{"p":"p/a\u0026s\u003cs\u003e'w\"ö+r d😀"}`,
		"JSON of Python":         `{"p":"p/a&s<s>'w\"\u00f6+r d\ud83d\ude00"}`,
		"JSON of PHP":            `{"p":"p\/a&s<s>'w\"\u00f6+r d\ud83d\ude00"}`,
		"JSON of .NET or Django": `{"p":"p/a\u0026s\u003Cs\u003E\u0027w\"\u00F6+r d\uD83D\uDE00"}`,
	} {
		shown := s.mask(text)
		require.NotContains(t, shown, "r d", name)
		require.NotContains(t, shown, "w\\", name)
		require.Contains(t, shown, "…", name)
	}
}

func TestALoginThatFailsShowsItsExchange(t *testing.T) {
	t.Parallel()
	_, target := open(t, func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusTeapot)
		}
		return r.Method == http.MethodPost
	})
	_, err := try(t, target, Experiments())
	require.ErrorContains(t, err, "shop: alice could not log in: the server answered 418")
	var failed *TargetError
	require.ErrorAs(t, err, &failed)
	require.Contains(t, failed.Last.Request, "POST /login HTTP/1.1")
	require.Contains(t, failed.Last.Response, "418 I'm a teapot")

	_, target = open(t, nil)
	target.Profile.User = "/theme"
	_, err = try(t, target, Experiments())
	require.ErrorContains(t, err, `the profile names both users "dark"`)

	_, target = open(t, nil)
	target.Name = "session"
	_, err = (&Laboratory{Strategies: []string{"session"}}).Run(t.Context(), Plan{Strategies: []string{"session"}, Targets: []*Target{target}})
	require.ErrorContains(t, err, "two columns")
}

func TestOnlyNearAddressesAreSpokenTo(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "10.0.0.1": true, "172.16.0.1": true, "192.168.1.1": true, "fd00::1": true,
		"::ffff:10.0.0.1": true, "::ffff:8.8.8.8": false, "8.8.8.8": false, "169.254.169.254": false, "fe80::1": false, "0.0.0.0": false,
		"::": false, "172.32.0.1": false, "100.64.0.1": false, "2001:db8::1": false,
	} {
		require.Equal(t, want, near(netip.MustParseAddr(address)), address)
		target := &Target{Name: "far", Base: (&url.URL{Scheme: "http", Host: "[" + address + "]"}).String()}
		if !strings.Contains(address, ":") {
			target.Base = "http://" + address
		}
		_, err := target.dialer(t.Context())
		require.Equal(t, want, err == nil, "%s: %v", address, err)
		target.Anywhere = true
		_, err = target.dialer(t.Context())
		require.NoError(t, err)
	}
}
