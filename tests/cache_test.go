package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/auth"
	"statelab/tests/harness"
	"statelab/tests/seeded"
)

func TestPricesThatAreNone(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, "")
	for body, want := range map[string]string{
		`{"price":0}`: "validation_failed", `{"price":-1}`: "validation_failed", `{"price":100000001}`: "validation_failed",
		`{"price":9223372036854775807}`: "validation_failed",
		`{"price":1.5}`:                 "malformed_json", `{"price":"1"}`: "malformed_json", `{"price":null}`: "malformed_json", `{"price":1e3,"x":1}`: "malformed_json",
		`{"Price":1}`: "malformed_json", `{"price":1,"price":2}`: "malformed_json", `[1]`: "malformed_json", `{"price":9223372036854775808}`: "malformed_json",
		`{}`: "invalid_request",
	} {
		a := c.Do("PATCH", harness.CatalogPath("none")+"/SKU-0001", harness.Raw(body))
		require.Equal(t, want, a.Code(), body)
		if want == "validation_failed" {
			require.Equal(t, "/price", a.JSON.(map[string]any)["errors"].([]any)[0].(map[string]any)["pointer"])
		}
	}
	c.Do("PATCH", harness.CatalogPath("none")+"/SKU-0001", harness.Raw(`{"price":1}`), harness.Setting("Content-Type: text/plain")).Is(http.StatusUnsupportedMediaType)
	for _, sku := range []string{"sku-0001", "SKU-0001%20", "SKU-00010", "%27%20OR%201=1", strings.Repeat("x", 3000)} {
		c.Do("PATCH", harness.CatalogPath("none")+"/"+sku, harness.Object{"price": 1}).Is(http.StatusNotFound, "not_found")
	}
	require.EqualValues(t, harness.FirstPrice, c.Catalog("none").Price())
	for _, price := range []int64{1, 100_000_000} {
		require.Equal(t, price, c.Costs("none", price).Is(http.StatusOK).Number("price"))
	}
}

// In the classroom anybody may change a price, but no page of another origin; where
// others are served, an admin by a token, and nobody by a cookie, which a browser
// sends whoever asks it to.
func TestWhoMayChangeAPrice(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	s.Client(t, "").Do("PATCH", harness.CatalogPath("none")+"/SKU-0001", harness.Object{"price": 1}, harness.Setting("Origin: http://evil.test", "Sec-Fetch-Site: cross-site")).
		Is(http.StatusForbidden, "csrf_blocked")
	require.EqualValues(t, harness.FirstPrice, s.Client(t, "").Catalog("none").Price())

	s = serviceWithPeople(t)
	try := func(c *harness.Client) *harness.Answer { return c.Costs("memory", 4200) }
	a := try(s.Client(t, "")).Is(http.StatusUnauthorized, "no_credential")
	require.Contains(t, a.Header.Get("WWW-Authenticate"), "Bearer")
	bad := s.Client(t, "")
	bad.Access = "x.y.z"
	try(bad).Is(http.StatusUnauthorized, "bad_signature")
	for _, slug := range []string{"session", "cookie", "cookie-sealed"} {
		c := s.Login(t, slug, "boss", "the password of the boss")
		c.Get("members").Is(http.StatusOK)
		carry := c.Held()
		other := s.Client(t, "")
		other.Send = harness.Setting("Cookie: " + harness.CookieName(slug) + "=" + carry)
		try(other).Is(http.StatusUnauthorized, "no_credential")
	}
	try(s.Login(t, "token", "clerk", "the password of the clerk")).Is(http.StatusForbidden, "forbidden")
	admin := s.Login(t, "token", "boss", "the password of the boss")
	require.EqualValues(t, harness.FirstPrice, s.Client(t, "").Catalog("memory").Price())
	try(admin).Is(http.StatusOK)
	require.EqualValues(t, 4200, s.Client(t, "").Catalog("memory").Price())
	admin.Do("PATCH", harness.CatalogPath("memory")+"/SKU-9999", harness.Object{"price": 1}).Is(http.StatusNotFound, "not_found")
	admin.Costs("memory", 0).Is(http.StatusUnprocessableEntity, "validation_failed")
}

// serviceWithPeople starts a service with an admin and a member.
func serviceWithPeople(t *testing.T, options ...harness.Option) *harness.Server {
	t.Helper()
	s := harness.NewServer(t, append(options, func(c *api.Config) { c.Classroom = false })...)
	operator := auth.New(auth.Config{Database: s.Config.Database, Hasher: harness.CheapHasher(), Now: s.Clock.Now, Rand: seeded.Reader(t)})
	for _, who := range [][3]string{{"boss", "the password of the boss", "admin"}, {"clerk", "the password of the clerk", "member"}} {
		_, err := operator.Add(t.Context(), who[0], who[1], who[0], who[2])
		require.NoError(t, err)
	}
	return s
}

// Hits and misses are counted, and nothing that a client chooses is a label.
func TestCacheMetrics(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, "")
	for range 3 {
		c.Catalog("memory")
	}
	c.Do("GET", harness.CatalogPath("memory")+"?x=FINDME", nil)
	s.Clock.Advance(time.Minute)
	c.Catalog("memory")
	c.Catalog("memory", "Cache-Control: no-cache")
	c.Catalog("memory", "Cookie: a=b")
	c.Catalog("redis")
	text := s.Exposition()
	for labels, want := range map[string]int{
		`outcome="hit",policy="memory"`: 3, `outcome="miss",policy="memory"`: 1, `outcome="stale",policy="memory"`: 1, `outcome="refused",policy="memory"`: 1,
		`outcome="bypass",policy="memory"`: 1, `outcome="collapsed",policy="memory"`: 0, `outcome="bypass",policy="redis"`: 1, `outcome="hit",policy="none"`: 0,
	} {
		require.Contains(t, text, fmt.Sprintf("statelab_cache_total{%s} %d\n", labels, want))
	}
	require.NotContains(t, text, "FINDME")
}

// A change whose end is not known may have been made: nothing is kept that would
// hide it.
func TestAChangeInDoubtVoidsWhatIsKept(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, "")
	for _, statement := range []string{ // a commit that fails
		`CREATE TABLE parents (id INTEGER PRIMARY KEY)`,
		`CREATE TABLE children (parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED)`,
		`CREATE TRIGGER orphan AFTER UPDATE ON catalog_state BEGIN INSERT INTO children VALUES (1); END`,
	} {
		_, err := s.Config.Database.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	for name, change := range map[string]func() *harness.Answer{
		"a price": func() *harness.Answer { return c.Costs("memory", 4200) },
		"a reset": func() *harness.Answer { return c.Do("POST", "/classroom/reset", nil) },
	} {
		c.Catalog("memory")
		c.Catalog("memory").Says("hit")
		change().Is(http.StatusServiceUnavailable, "store_unavailable")
		require.Equal(t, "fwd=uri-miss; stored", c.Catalog("memory").Kept(), name)
	}
}

// Where a page of another origin may read answers, what is kept for one origin is
// not handed to another.
func TestCachedAnswersAndOrigins(t *testing.T) {
	t.Parallel()
	const one, two = "http://one.test", "http://two.test"
	s := harness.NewServer(t, func(c *api.Config) { c.AllowOrigins = []string{one, two} })
	c := s.Client(t, "")
	for range 2 {
		for _, origin := range []string{one, two, ""} {
			var headers []string
			if origin != "" {
				headers = append(headers, "Origin: "+origin)
			}
			a := c.Catalog("memory", headers...).Is(http.StatusOK)
			require.Equal(t, origin, a.Header.Get("Access-Control-Allow-Origin"))
		}
	}
	require.Len(t, c.Catalog("memory", "Origin: "+one).Header["Access-Control-Allow-Origin"], 1)
	c.Catalog("memory", "Origin: "+one).Says("hit")
}
