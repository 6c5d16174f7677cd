package tests

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/tests/harness"
)

// eachCookie runs a test for every strategy whose credential is a cookie.
func eachCookie(t *testing.T, s *harness.Server, f func(t *testing.T, slug string)) {
	harness.Each(t, func(t *testing.T, slug string) {
		if s.Traits(t, slug).Transport == state.TransportCookie {
			f(t, slug)
		}
	})
}

// eachStrict runs a test for every strategy that is strict and has a cookie.
func eachStrict(t *testing.T, s *harness.Server, f func(t *testing.T, slug string)) {
	eachCookie(t, s, func(t *testing.T, slug string) {
		if harness.Strict(s.Traits(t, slug)) {
			f(t, slug)
		}
	})
}

// foreign is the code for a credential that the server did not make.
func foreign(traits state.Traits) string {
	if traits.Holder == state.HolderServer {
		return "unknown_session"
	}
	return "bad_signature"
}

// badCookies are headers that carry no usable credential of a strategy, by what
// is wrong with them. Mine and theirs are two that would be.
func badCookies(name, mine, theirs, other, unknown string) map[string]struct {
	lines  []string
	status int
	code   string
} {
	return map[string]struct {
		lines  []string
		status int
		code   string
	}{
		"none":                     {nil, 401, "no_credential"},
		"no value":                 {[]string{name + "="}, 401, "no_credential"},
		"no equals sign":           {[]string{name}, 401, "no_credential"},
		"only a value":             {[]string{mine}, 401, "no_credential"},
		"only separators":          {[]string{";;; ; =;=="}, 401, "no_credential"},
		"in capitals":              {[]string{strings.ToUpper(name) + "=" + mine}, 401, "no_credential"},
		"a longer name":            {[]string{name + "x=" + mine}, 401, "no_credential"},
		"a space in the name":      {[]string{name + " =" + mine}, 401, "no_credential"},
		"a prefix without TLS":     {[]string{"__Host-" + name + "=" + mine}, 401, "no_credential"},
		"a prefix in capitals":     {[]string{"__HOST-" + name + "=" + mine}, 401, "no_credential"},
		"inside another":           {[]string{"x=" + name + "=" + mine}, 401, "no_credential"},
		"of another strategy":      {[]string{name + "=" + other}, 401, unknown},
		"quoted":                   {[]string{name + `="` + mine + `"`}, 401, unknown},
		"escaped":                  {[]string{name + fmt.Sprintf("=%%%02x", mine[0]) + mine[1:]}, 401, unknown},
		"a word":                   {[]string{name + "=x"}, 401, unknown},
		"a point":                  {[]string{name + "=."}, 401, unknown},
		"well formed and unknown":  {[]string{name + "=" + harness.Long("A", 44)}, 401, unknown},
		"44 other bytes":           {[]string{name + "=" + harness.Long("\xff", 44)}, 401, unknown},
		"Korean":                   {[]string{name + "=" + harness.Long("가", 44)}, 401, unknown},
		"8 KiB":                    {[]string{name + "=" + harness.Long("A", 8<<10)}, 401, unknown},
		"one character less":       {[]string{name + "=" + mine[1:]}, 401, unknown},
		"one character more":       {[]string{name + "=" + mine + "A"}, 401, unknown},
		"another user's too":       {[]string{name + "=" + mine + "; " + name + "=" + theirs}, 400, "ambiguous_credential"},
		"another user's first":     {[]string{name + "=" + theirs, name + "=" + mine}, 400, "ambiguous_credential"},
		"a wrong one too":          {[]string{name + "=" + mine, name + "=x"}, 400, "ambiguous_credential"},
		"a wrong one first":        {[]string{name + "=x;" + name + "=" + mine}, 400, "ambiguous_credential"},
		"101 cookies":              {[]string{name + "=" + mine + harness.Long("; a=b", 100)}, 431, "header_too_large"},
		"101 cookies in 101 lines": {append(slices.Repeat([]string{"a=b"}, 100), name+"="+mine), 431, "header_too_large"},
		"3001 cookies":             {[]string{name + "=" + mine + harness.Long("; a=b", 3000)}, 431, "header_too_large"},
		"more than 16 KiB":         {[]string{name + "=" + mine + ";" + harness.Long("b", 16<<10-len(name+"="+mine))}, 431, "header_too_large"},
		"more than 16 KiB in two":  {[]string{name + "=" + mine, harness.Long("b", 16<<10+1-len(name+"="+mine))}, 431, "header_too_large"},
	}
}

func TestACookieThatIsNoCredentialReadsNothing(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	eachStrict(t, s, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		other := s.Login(t, harness.Strategies[(slices.Index(harness.Strategies, slug)+1)%len(harness.Strategies)], harness.Alice, harness.AlicePassword)
		name, mine, theirs := harness.CookieName(slug), c.Held(), s.Login(t, slug, harness.Bob, harness.BobPassword).Held()
		before, records := c.Profile(), s.Records(t)
		for what, bad := range badCookies(name, mine, theirs, other.Held(), foreign(s.Traits(t, slug))) {
			t.Run(what, func(t *testing.T) {
				c := c.In(t)
				cookies := harness.Header("Cookie", bad.lines...)
				c.Refused(before, c.Do("GET", "/"+slug+"/profile", nil, cookies), bad.status, bad.code)
				c.Refused(before, c.Do("PATCH", "/"+slug+"/profile", harness.Object{"theme": "dark"}, cookies), bad.status, bad.code)
			})
		}
		require.Equal(t, records, s.Records(t), "a request without a credential has made a record")

		// What is no fault: the same value twice, and everything up to the limits.
		for _, lines := range [][]string{
			{name + "=" + mine + "; " + name + "=" + mine}, {name + "=" + mine, "  " + name + "=" + mine + "  "}, {"a=b;" + name + "=" + mine + ";"},
			{name + "=" + mine + harness.Long("; a=b", 99)}, {name + "=" + mine, harness.Long("b", 16<<10-len(name+"="+mine))},
		} {
			require.Equal(t, before, string(c.Do("GET", "/"+slug+"/profile", nil, harness.Header("Cookie", lines...)).Is(http.StatusOK).Body))
		}
	})
}

func TestTheOrderOfCookiesMeansNothing(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	eachStrict(t, s, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		values := []string{c.Held(), s.Login(t, slug, harness.Bob, harness.BobPassword).Held(), "x", "", `""`}
		for i, a := range values {
			for _, b := range values[i+1:] {
				ask := func(first, second string) *harness.Answer {
					return c.Do("GET", "/"+slug+"/profile", nil, harness.Header("Cookie", harness.CookieName(slug)+"="+first+"; statelab_"+slug+"="+second))
				}
				require.Equal(t, ask(a, b).Status, ask(b, a).Status, "%.8q and %.8q", a, b)
			}
		}
	})
}

func TestABadCookieNeverBlocksALogin(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	eachStrict(t, s, func(t *testing.T, slug string) {
		other := s.Login(t, harness.Strategies[(slices.Index(harness.Strategies, slug)+1)%len(harness.Strategies)], harness.Alice, harness.AlicePassword)
		cases := func() map[string]struct {
			lines  []string
			status int
			code   string
		} {
			mine, theirs := s.Login(t, slug, harness.Alice, harness.AlicePassword), s.Login(t, slug, harness.Bob, harness.BobPassword)
			return badCookies(harness.CookieName(slug), mine.Held(), theirs.Held(), other.Held(), "")
		}
		for _, what := range slices.Sorted(maps.Keys(cases())) {
			t.Run(what, func(t *testing.T) {
				bad := cases()[what] // of logins that are alive
				c := s.Client(t, slug)
				a := c.Do("POST", "/"+slug+"/login", harness.Credentials(harness.Teacher, harness.TeacherPassword), harness.Header("Cookie", bad.lines...))
				if bad.status == http.StatusRequestHeaderFieldsTooLarge {
					a.Is(bad.status, bad.code)
					return
				}
				a.Is(http.StatusOK)
				require.NotContains(t, strings.Join(bad.lines, ""), c.Held(), "an identifier from the request was adopted")
				require.Contains(t, c.Profile(), harness.Teacher)
			})
		}
	})
}

func TestACredentialCountsInItsPlaceOnly(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		held, name := c.Held(), harness.CookieName(slug)
		for what, change := range map[string]func(*http.Request){
			"nowhere":      func(*http.Request) {},
			"in the query": func(r *http.Request) { r.URL.RawQuery = name + "=" + held + "&access_token=" + held + "&sid=" + held },
			"in headers": func(r *http.Request) {
				r.Header.Set("X-Session-Id", held)
				r.Header.Set("X-Access-Token", held)
				r.Header.Set(name, held)
			},
			"with another scheme":  harness.Header("Authorization", "Session "+held, "Token "+held, held),
			"as Basic":             harness.Header("Authorization", "Basic "+held),
			"where the other is":   func(r *http.Request) { swap(r, c.Bearer(), held, name) },
			"in cookies by others": harness.Header("Cookie", "sid="+held+"; access_token="+held+"; session="+held+"; Authorization=Bearer "+held),
		} {
			t.Run(what, func(t *testing.T) {
				s.Client(t, slug).Do("GET", "/"+slug+"/profile", nil, change).Is(http.StatusUnauthorized, "no_credential")
				s.Client(t, slug).Do("POST", "/"+slug+"/spend", harness.Object{"amount": 1}, change).Is(http.StatusUnauthorized, "no_credential")
			})
		}
		form := "access_token=" + held + "&" + name + "=" + held
		s.Client(t, slug).Do("POST", "/"+slug+"/spend", harness.Raw(form), harness.Header("Content-Type", "application/x-www-form-urlencoded")).Is(http.StatusUnauthorized, "no_credential")
	})
}

// swap puts a token where a cookie belongs, and the other way round.
func swap(r *http.Request, bearer bool, held, name string) {
	if bearer {
		r.Header.Set("Cookie", name+"="+held)
	} else {
		r.Header.Set("Authorization", "Bearer "+held)
	}
}
