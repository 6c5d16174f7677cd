package lab_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/api/lab"
)

// A twin is a private server with one thing broken: a proxy in front of it changes what
// passes. Its nodes are twins, too.
type twin struct {
	lab.Server
	wrap  func(http.Handler) http.Handler
	node  func(lab.Node) lab.Node
	front *httptest.Server
}

// twins is a Factory of twins of another one's servers.
func twins(start lab.Factory, wrap func(http.Handler) http.Handler, node func(lab.Node) lab.Node) lab.Factory {
	return func(ctx context.Context) (lab.Server, error) {
		s, err := start(ctx)
		if err != nil {
			return nil, err
		}
		return newTwin(s, wrap, node)
	}
}

func newTwin(s lab.Server, wrap func(http.Handler) http.Handler, node func(lab.Node) lab.Node) (lab.Server, error) {
	target, err := url.Parse(s.URL())
	if err != nil {
		return nil, err
	}
	var h http.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	if wrap != nil {
		h = wrap(h)
	}
	return &twin{s, wrap, node, httptest.NewServer(h)}, nil
}

func (t *twin) URL() string { return t.front.URL }

func (t *twin) Node(ctx context.Context, n lab.Node) (lab.Server, error) {
	if t.node != nil {
		n = t.node(n)
	}
	s, err := t.Server.Node(ctx, n)
	if err != nil {
		return nil, err
	}
	return newTwin(s, t.wrap, t.node)
}

func (t *twin) Close() error {
	t.front.Close()
	return t.Server.Close()
}

// broken are the twins: for each experiment one that must make it report another outcome
// for a strategy, by the member that then differs.
var broken = map[string]struct {
	strategy string
	differs  string
	wrap     func(http.Handler) http.Handler
	node     func(lab.Node) lab.Node
}{
	"E01": {"cookie", "new_credential", onlyFor("PATCH", dropCookies), nil},
	"E03": {"session", "attack", showNotes, nil},
	"E04": {"session", "attack", newestCookie, nil},
	"E05": {"cookie", "attack", newestCookie, nil},
	"E06": {"session", "attack", ignoreLogout, nil},
	"E07": {"session", "attack", ignoreLogout, nil},
	"E08": {"session", "attack", ignoreLogout, nil},
	"E09": {"session", "stale_s", remember("/members"), nil},
	"E10": {"session", "attack", adoptCookies, nil},
	"E11": {"session", "attack", hideOrigin, nil},
	"E14": {"token", "attack", newestRefreshToken, nil},
	"E15": {"cookie", "same_keys", loseKeys, nil},
	"E16": {"session", "shared_store", nil, func(n lab.Node) lab.Node {
		n.SharedStore = false
		return n
	}},
	"E18": {"session", "wall", refuseLarge, nil},
	"E19": {"session", "lost", writeWhole, nil},
	"E21": {"session", "stale_s", remember("/profile"), nil},
}

// Each experiment can fail: on its twin it reports what it never reports otherwise.
func TestEachExperimentFailsOnItsTwin(t *testing.T) {
	t.Parallel()
	for _, e := range lab.Experiments() {
		t.Run(e.ID, func(t *testing.T) {
			t.Parallel()
			b, ok := broken[e.ID]
			require.True(t, ok, "it has no twin")
			l := laboratory(t)
			l.Start = twins(l.Start, b.wrap, b.node)
			report, err := l.Run(t.Context(), lab.Plan{Experiments: []*lab.Experiment{e}, Strategies: []string{b.strategy}})
			require.NoError(t, err)
			r := report.Experiments[0].Results[0]
			require.Nil(t, r.Error, "%v", r.Error)
			require.NotNil(t, r.AsExpected)
			require.False(t, *r.AsExpected)
			require.Contains(t, r.Unexpected, b.differs)
		})
	}
}

// A message between servers takes real time, while E21 counts the seconds of a clock that
// it advances: a message that is late is no stale answer, and one that never comes is.
func TestALateMessageIsNoStaleAnswer(t *testing.T) {
	t.Parallel()
	for name, comes := range map[string]bool{"late": true, "never": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var changed atomic.Int64
			l := laboratory(t)
			l.SharedCache = true
			l.Start = twins(l.Start, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if at := changed.Load(); comes && at != 0 && time.Now().UnixNano()-at > int64(100*time.Millisecond) {
						r.URL.Path = strings.Replace(r.URL.Path, "/cache/memory/", "/cache/none/", 1)
					}
					next.ServeHTTP(w, r)
					if r.Method == http.MethodPatch && strings.HasPrefix(r.URL.Path, "/cache/memory/") {
						changed.Store(time.Now().UnixNano())
					}
				})
			}, nil)
			found, _ := lab.Find([]string{"E21"})
			report, err := l.Run(t.Context(), lab.Plan{Experiments: found})
			require.NoError(t, err)
			results := report.Experiments[0].Results
			i := slices.IndexFunc(results, func(r lab.Result) bool { return r.Strategy == "cache/memory" })
			require.Nil(t, results[i].Error, "%v", results[i].Error)
			met := *results[i].AsExpected
			require.Equal(t, comes, met, "%v", results[i].Why)
		})
	}
}

// answered is an answer that a twin changes before it passes.
func answered(next http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	next.ServeHTTP(w, r)
	return w
}

func pass(w http.ResponseWriter, a *httptest.ResponseRecorder) {
	for name, values := range a.Header() {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(a.Code)
	_, _ = w.Write(a.Body.Bytes())
}

// onlyFor applies a change to the requests of a method.
func onlyFor(method string, wrap func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		changed := wrap(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == method {
				changed.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func dropCookies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := answered(next, r)
		a.Header().Del("Set-Cookie")
		pass(w, a)
	})
}

// showNotes writes the note into the cookie, for all to read.
func showNotes(next http.Handler) http.Handler {
	const mark = ".note:"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, _, _ := strings.Cut(r.Header.Get("Cookie"), mark)
		if cookie != "" {
			r.Header.Set("Cookie", cookie)
		}
		a := answered(next, r)
		var in struct {
			State struct {
				Note string `json:"note"`
			} `json:"state"`
		}
		if r.Method == http.MethodPatch && json.Unmarshal(a.Body.Bytes(), &in) == nil && in.State.Note != "" {
			a.Header().Set("Set-Cookie", cookie+mark+strings.ReplaceAll(in.State.Note, " ", "%20")+"; Path=/session; HttpOnly")
		}
		pass(w, a)
	})
}

// newestCookie takes any cookie for the one that was given last.
func newestCookie(next http.Handler) http.Handler {
	var mu sync.Mutex
	newest := ""
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if r.Header.Get("Cookie") != "" {
			r.Header.Set("Cookie", newest)
		}
		mu.Unlock()
		a := answered(next, r)
		if given, _, _ := strings.Cut(a.Header().Get("Set-Cookie"), ";"); given != "" {
			mu.Lock()
			newest = given
			mu.Unlock()
		}
		pass(w, a)
	})
}

func ignoreLogout(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/logout") {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// remember answers a path for ever as it was answered first to the same credential.
func remember(path string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		var mu sync.Mutex
		first := map[string]*httptest.ResponseRecorder{}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, path) {
				next.ServeHTTP(w, r)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			key := r.Header.Get("Cookie")
			if first[key] == nil {
				first[key] = answered(next, r)
			}
			pass(w, first[key])
		})
	}
}

// adoptCookies gives a login the cookie that the request carried.
func adoptCookies(next http.Handler) http.Handler {
	var mu sync.Mutex
	given := map[string]string{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		carried := r.Header.Get("Cookie")
		mu.Lock()
		if given[carried] != "" {
			r.Header.Set("Cookie", given[carried])
		}
		mu.Unlock()
		a := answered(next, r)
		set, _, _ := strings.Cut(a.Header().Get("Set-Cookie"), ";")
		if carried != "" && set != "" && strings.HasSuffix(r.URL.Path, "/login") {
			mu.Lock()
			given[carried] = set
			mu.Unlock()
			a.Header().Del("Set-Cookie")
		}
		pass(w, a)
	})
}

func hideOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Origin")
		r.Header.Del("Sec-Fetch-Site")
		next.ServeHTTP(w, r)
	})
}

var refreshToken = regexp.MustCompile(`"refresh_token":"([^"]*)"`)

// newestRefreshToken takes any refresh token for the one that was given last.
func newestRefreshToken(next http.Handler) http.Handler {
	var mu sync.Mutex
	newest := ""
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/refresh") {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			body = refreshToken.ReplaceAll(body, []byte(`"refresh_token":"`+newest+`"`))
			mu.Unlock()
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
		a := answered(next, r)
		if found := refreshToken.FindSubmatch(a.Body.Bytes()); found != nil {
			mu.Lock()
			newest = string(found[1])
			mu.Unlock()
		}
		pass(w, a)
	})
}

func loseKeys(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/classroom/restart" {
			body := []byte(`{"keep_keys":false}`)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		}
		next.ServeHTTP(w, r)
	})
}

func refuseLarge(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 2000 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// writeWhole does what many frameworks do: it loads the record when a request comes, and
// writes all of it when it has been changed.
func writeWhole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPatch {
			next.ServeHTTP(w, r)
			return
		}
		before := httptest.NewRequest(http.MethodGet, r.URL.Path, nil)
		before.Header.Set("Cookie", r.Header.Get("Cookie"))
		var in struct {
			State map[string]any `json:"state"`
		}
		_ = json.Unmarshal(answered(next, before).Body.Bytes(), &in)
		body, _ := io.ReadAll(r.Body)
		var change map[string]any
		_ = json.Unmarshal(body, &change)
		whole := map[string]any{"theme": in.State["theme"], "language": in.State["language"]}
		for name, value := range change {
			whole[name] = value
		}
		body, _ = json.Marshal(whole)
		r.Header.Del("If-Match")
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		next.ServeHTTP(w, r)
	})
}

// refuses answers some requests with 503.
func refuses(which func(*http.Request) bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if which(r) {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// A server that fails in the middle of an experiment ends that experiment, and never counts
// as a result.
func TestAServerThatFailsIsNoResult(t *testing.T) {
	t.Parallel()
	run := func(id, slug string, which func(*http.Request) bool) (lab.Result, error) {
		l := laboratory(t)
		l.Start = twins(l.Start, refuses(which), nil)
		found, _ := lab.Find([]string{id})
		report, err := l.Run(t.Context(), lab.Plan{Experiments: found, Strategies: []string{slug}})
		if report == nil {
			return lab.Result{}, err
		}
		return report.Experiments[0].Results[0], err
	}
	_, err := run("E07", "cookie", func(r *http.Request) bool { return r.URL.Path == "/classroom/settings" })
	require.ErrorContains(t, err, "change the settings", "the variant with the denylist")

	_, err = run("E03", "session", func(r *http.Request) bool { return r.URL.Path == "/session/inspect" })
	require.ErrorContains(t, err, "what the strategy promises")

	var changed atomic.Bool
	r, err := run("E21", "session", func(r *http.Request) bool {
		if r.Method == http.MethodPatch {
			changed.Store(true)
		}
		return changed.Load() && r.Method == http.MethodGet && r.URL.Path == "/session/profile"
	})
	require.NoError(t, err)
	require.NotNil(t, r.Error)
	require.False(t, *r.AsExpected)
}
