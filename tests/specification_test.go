package tests

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/api/rest"
	"statelab/state"
	"statelab/tests/harness"
)

func specificationDocument(t *testing.T) *openapi3.T {
	t.Helper()
	c, err := harness.Specification()
	require.NoError(t, err)
	return c.Document
}

// specificationRoutes are the methods and paths of openapi.yaml, with a path for each
// value of a parameter that has an enum. Other parameters are {}.
func specificationRoutes(t *testing.T) []string {
	t.Helper()
	var all []string
	for path, item := range specificationDocument(t).Paths.Map() {
		for method, op := range item.Operations() {
			paths := []string{path}
			for _, p := range op.Parameters {
				var expanded []string
				for _, value := range p.Value.Schema.Value.Enum {
					for _, path := range paths {
						expanded = append(expanded, strings.ReplaceAll(path, "{"+p.Value.Name+"}", value.(string)))
					}
				}
				if expanded != nil {
					paths = expanded
				}
			}
			for _, path := range paths {
				all = append(all, method+" "+regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "{}"))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Gin registers a path for each strategy and each cache policy; openapi.yaml has one
// template. Both name the same routes, those of static files apart.
func TestEveryRouteIsInTheSpecificationAndNoOther(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	require.NoError(t, specificationDocument(t).Validate(t.Context()))
	registered := map[string]bool{}
	for _, r := range s.Routes() {
		if r.Method == http.MethodHead || strings.HasSuffix(r.Path, "/*name") {
			continue
		}
		path := r.Path
		if strings.HasPrefix(path, "/classroom/store/:strategy") {
			for _, slug := range harness.Strategies {
				one := strings.Replace(path, ":strategy", slug, 1)
				registered[r.Method+" "+regexp.MustCompile(`:\w+`).ReplaceAllString(one, "{}")] = true
			}
			continue
		}
		registered[r.Method+" "+regexp.MustCompile(`:\w+`).ReplaceAllString(path, "{}")] = true
	}
	require.Equal(t, slices.Sorted(maps.Keys(registered)), specificationRoutes(t))
}

func TestEnumsOfTheSpecificationAgreeWithTheProgram(t *testing.T) {
	t.Parallel()
	schemas := specificationDocument(t).Components.Schemas
	for name, want := range map[string][]string{
		"Strategy": state.Slugs(), "CachePolicy": api.CachePolicies(), "ProblemCode": slices.Collect(maps.Keys(rest.Codes())),
	} {
		var have []string
		for _, value := range schemas[name].Value.Enum {
			have = append(have, value.(string))
		}
		require.ElementsMatch(t, want, have, name)
	}
	var slugs []string
	for _, value := range schemas["Strategy"].Value.Enum {
		slugs = append(slugs, value.(string))
	}
	require.Equal(t, state.Slugs(), slugs, "the enum has the order of comparison")
}

// The table under the tag "strategies" says in words what the traits say as data.
func TestTheTableOfStrategiesAgreesWithTheTraits(t *testing.T) {
	t.Parallel()
	code := regexp.MustCompile("`([a-z_-]+)`")
	words := func(cell string) []string {
		var all []string
		for _, m := range code.FindAllStringSubmatch(cell, -1) {
			all = append(all, m[1])
		}
		return all
	}
	mounts := map[state.Mount]string{state.MountAlways: "always", state.MountNamed: "named", state.MountLessons: "lesson"}
	var slugs []string
	for line := range strings.Lines(specificationDocument(t).Tags.Get("strategies").Description) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| `") || len(cells) != 6 {
			continue
		}
		slug := words(cells[0])[0]
		slugs = append(slugs, slug)
		p := harness.Promises()[slug]
		require.True(t, strings.HasPrefix(strings.TrimSpace(cells[1]), "the "+p.Holder), line)
		kind, carries, _ := strings.Cut(strings.TrimSpace(cells[2]), ": ")
		require.Equal(t, p.Transport, kind, line)
		require.Equal(t, p.Holder == state.HolderClient, carries == "the state", line)
		require.ElementsMatch(t, harness.Refusals(p.Traits), append(words(cells[3]), "no_credential", "revoked"), line)
		require.ElementsMatch(t, harness.Cannot(p.Traits), words(cells[4]), line)
		require.Equal(t, mounts[p.Mount], strings.TrimSpace(cells[5]), line)
	}
	require.Equal(t, state.Slugs(), slugs)
}

// Every code of 401 that the table names for a strategy can happen. That no other does,
// the harness checks with each answer of the whole run.
func TestEveryRefusalOfTheTableHappens(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, slug string) {
		t.Parallel()
		s := harness.NewServer(t)
		login := func() *harness.Client { return s.Login(t, slug, harness.Alice, harness.AlicePassword) }
		happened := map[string]bool{}
		refused := func(a *harness.Answer) { happened[a.Is(http.StatusUnauthorized).Code()] = true }

		refused(s.Client(t, slug).Get("profile"))
		refused(login().Hold("AAAAAAAAAAAAAAAAAAAAAABBBBBBBBBBBBBBBBBBBBBB").Get("profile"))
		if c := login(); c.Renews() != "" {
			old := c.Copy()
			c.Renew().Is(http.StatusOK)
			s.Clock.Advance(state.DefaultLifetimes().RefreshOverlap + time.Second)
			refused(old.Renew())
			c = login()
			if c.Refresh != "" {
				c.Refresh = strings.Repeat("A", 44)
			} else {
				c.Cookies[c.CookieName()+"_refresh"] = strings.Repeat("A", 44)
			}
			refused(c.Renew())
			c = login()
			s.Clock.Advance(-time.Hour)
			refused(c.Get("profile"))
			s.Clock.Advance(time.Hour)
		}
		c := login()
		s.Clock.Advance(c.Lives() + time.Second)
		if c.Get("profile").Status == http.StatusUnauthorized { // seed has no end
			refused(c.Get("profile"))
		}
		c = login()
		_, err := s.Config.Database.ExecContext(t.Context(), `DELETE FROM accounts WHERE id = ?`, c.Get("profile").Text("user.id"))
		require.NoError(t, err)
		change := harness.Object{"current_password": harness.AlicePassword, "new_password": "through the looking-glass"}
		refused(c.Route("PUT", "password", change))
		require.ElementsMatch(t, harness.Refusals(harness.Promises()[slug].Traits), slices.Collect(maps.Keys(happened)))
	})
}

// A check that cannot fail checks nothing: each of these answers has one fault, and
// is refused.
func TestTheSpecificationRefusesWrongAnswers(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	good := s.Login(t, "session", harness.Alice, harness.AlicePassword).Get("profile").Is(http.StatusOK)
	c, err := harness.Specification()
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/session/profile", nil)
	require.NoError(t, err)
	route, _, err := c.Route(r)
	require.NoError(t, err)
	validate := func(status int, header http.Header, body string) error {
		return c.Answers(route, status, header, []byte(body))
	}
	require.NoError(t, validate(200, good.Header, string(good.Body)))
	for name, change := range map[string]func(string) string{
		"a surprising member": func(b string) string { return strings.Replace(b, `{`, `{"extra":1,`, 1) },
		"a missing member":    func(b string) string { return strings.Replace(b, `"version":1,`, ``, 1) },
		"a wrong type":        func(b string) string { return strings.Replace(b, `"version":1`, `"version":"1"`, 1) },
		"no such theme":       func(b string) string { return strings.Replace(b, `"light"`, `"blue"`, 1) },
		"no date at all":      func(b string) string { return strings.Replace(b, `2026-01-02T03:04:05Z`, `yesterday`, 1) },
		"no date by a hair":   func(b string) string { return strings.Replace(b, `2026-01-02T03:04:05Z`, `2026-13-45T03:04:05Z`, 1) },
		"no such strategy":    func(b string) string { return strings.Replace(b, `"session"`, `"sessions"`, 1) },
	} {
		changed := change(string(good.Body))
		require.NotEqual(t, string(good.Body), changed, name)
		require.Error(t, validate(200, good.Header, changed), name)
	}
	require.Error(t, validate(418, good.Header, string(good.Body)), "a status that is not described")
	bare := good.Header.Clone()
	bare.Del("ETag")
	require.Error(t, validate(200, bare, string(good.Body)), "a header that is missing")

	bad := s.Client(t, "session").Get("profile").Is(http.StatusUnauthorized, "no_credential")
	require.NoError(t, validate(401, bad.Header, string(bad.Body)))
	other := strings.ReplaceAll(string(bad.Body), "no_credential", "bad_login")
	require.Error(t, validate(401, bad.Header, other), "the code of another operation")
	_, _, err = c.Route(httptest.NewRequestWithContext(t.Context(), "GET", "/sessions/profile", nil))
	require.Error(t, err, "a path of no strategy")
}

// What the one template hides is validated by the traits: these answers are those of
// another strategy, or of another operation.
func TestAnswersOfAnotherStrategyAreRefused(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	login := func(slug string) *harness.Answer {
		return s.Client(t, slug).Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
	}
	session, cookie, token := login("session"), login("cookie"), login("token")
	c := s.Login(t, "cookie", harness.Alice, harness.AlicePassword)
	none := c.Get("logins").Is(http.StatusNotImplemented)
	bad := c.Hold("broken").Get("profile").Is(http.StatusUnauthorized, "bad_signature")
	require.NoError(t, harness.KeepsPromise("startLogin", "session", session))
	require.NoError(t, harness.KeepsPromise("readProfile", "cookie", bad))
	require.NoError(t, harness.KeepsPromise("listLogins", "cookie", none))

	relabeled := func(a *harness.Answer, slug string) *harness.Answer {
		b := *a
		b.JSON = maps.Clone(a.JSON.(map[string]any))
		b.JSON.(map[string]any)["strategy"] = slug
		return &b
	}
	silent := *session
	silent.Cookies = nil
	for name, err := range map[string]error{
		"the slug of another strategy":          harness.KeepsPromise("startLogin", "cookie", session),
		"a cookie of a bearer strategy":         harness.KeepsPromise("startLogin", "token", relabeled(session, "token")),
		"a token of a cookie strategy":          harness.KeepsPromise("startLogin", "cookie", relabeled(token, "cookie")),
		"a login that sets no cookie":           harness.KeepsPromise("startLogin", "session", &silent),
		"a refresh token after a change":        harness.KeepsPromise("changeProfile", "token", token),
		"a new cookie where it stays":           harness.KeepsPromise("changeProfile", "session", relabeled(cookie, "session")),
		"a code of another strategy":            harness.KeepsPromise("readProfile", "session", bad),
		"501 of a strategy that can":            harness.KeepsPromise("listLogins", "session", none),
		"501 of an operation that all can":      harness.KeepsPromise("readProfile", "cookie", none),
		"404 of a strategy that is not mounted": harness.KeepsPromise("readProfile", "session", s.Client(t, "session").Get("nothing").Is(404)),
	} {
		require.Error(t, err, name)
	}
}

// Every code that the program can answer is documented with its status, and no other;
// each has an example.
func TestEveryCodeIsDocumented(t *testing.T) {
	t.Parallel()
	doc := specificationDocument(t)
	documented := map[string]int{}
	table := regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \|$`).FindAllStringSubmatch(doc.Components.Schemas["ProblemCode"].Value.Description, -1)
	for _, row := range table {
		for _, code := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row[2], -1) {
			status, err := strconv.Atoi(row[1])
			require.NoError(t, err)
			documented[code[1]] = status
		}
	}
	require.Equal(t, rest.Codes(), documented)
	for code, status := range rest.Codes() {
		example := doc.Components.Examples[code+"_problem"].Value.Value.(map[string]any)
		require.Equal(t, code, example["code"])
		require.Equal(t, "urn:statelab:problem:"+code, example["type"])
		require.InDelta(t, status, example["status"], 0, code)
	}
}

// Generators make one program of all kinds of components and of the operations, and
// name types after both. So no two names are alike, and a value of an enum that would
// be a constant with the name of a type has a name of its own.
func TestNamesAreHarmlessInGeneratedPrograms(t *testing.T) {
	t.Parallel()
	doc := specificationDocument(t)
	letters := regexp.MustCompile(`[^A-Za-z0-9]`)
	plain := func(name string) string { return strings.ToLower(letters.ReplaceAllString(name, "")) }
	seen := map[string]string{"client": "of the generated client", "server": "of the generated server"}
	take := func(name, what string) {
		require.NotContains(t, seen, plain(name), "%s is %s and %s", name, what, seen[plain(name)])
		seen[plain(name)] = what
	}
	components := doc.Components
	for what, names := range map[string][]string{
		"a schema": slices.Collect(maps.Keys(components.Schemas)), "a response": slices.Collect(maps.Keys(components.Responses)),
		"a parameter": slices.Collect(maps.Keys(components.Parameters)), "a header": slices.Collect(maps.Keys(components.Headers)),
		"an example": slices.Collect(maps.Keys(components.Examples)), "a security scheme": slices.Collect(maps.Keys(components.SecuritySchemes)),
	} {
		for _, name := range names {
			take(name, what)
		}
	}
	var operations []string
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			operations = append(operations, op.OperationID)
			take(op.OperationID, "an operation")
		}
	}
	for _, id := range operations {
		for _, suffix := range []string{"Request", "Response", "Responses", "Params", "Body", "JSONBody", "JSONRequestBody", "Data", "Error",
			"Errors", "Req", "Res", "OK"} {
			take(id+suffix, "made of the operation "+id)
		}
	}
	for name, schema := range components.Schemas {
		own := map[string]*openapi3.SchemaRef{name: schema}
		for member, property := range schema.Value.Properties {
			if property.Ref == "" {
				own[name+member] = property
				if property.Value.Enum != nil || property.Value.Type.Is("object") {
					take(name+member, "made of a member of "+name)
				}
			}
		}
		for place, schema := range own {
			named := schema.Value.Extensions["x-enum-varnames"] != nil
			for _, value := range schema.Value.Enum {
				also := seen[plain(value.(string))]
				require.True(t, named || also == "" || place == "Strategy", "%s has the value %s, which is also %s", place, value, also)
			}
		}
	}
}

// What generators handle badly is not in it: problems made by allOf, headers that an
// answer must have although CORS may hide them, and paths without their 404.
func TestTheSpecificationIsKindToGenerators(t *testing.T) {
	t.Parallel()
	doc := specificationDocument(t)
	require.NotContains(t, string(harness.SpecificationText(t)), "allOf")
	for name, header := range doc.Components.Headers {
		require.False(t, header.Value.Required, name)
	}
	for path, item := range doc.Paths.Map() {
		require.Empty(t, item.Parameters, "%s: Swagger UI shows no name of a parameter that stands beside the operations", path)
		for method, op := range item.Operations() {
			if strings.Contains(path, "{") {
				require.NotNil(t, op.Responses.Status(http.StatusNotFound), "%s %s", method, path)
			}
			for status, response := range op.Responses.Map() {
				if content := response.Value.Content.Get("application/problem+json"); content != nil {
					require.Equal(t, "#/components/schemas/Problem", content.Schema.Ref, "%s %s %s", method, path, status)
				}
			}
		}
	}
}

// The first thing on /docs is what to do first.
func TestTheDocumentationBeginsInFewWords(t *testing.T) {
	t.Parallel()
	doc := specificationDocument(t)
	first := doc.Tags[0]
	require.Equal(t, []string{"login"}, doc.Paths.Find("/{strategy}/login").Post.Tags)
	require.Equal(t, "login", first.Name)
	words := strings.Fields(strings.Join([]string{doc.Info.Title, doc.Info.Summary, doc.Info.Description, first.Name, first.Description}, " "))
	require.LessOrEqual(t, len(words), 150)
	c, err := harness.Specification()
	require.NoError(t, err)
	require.Len(t, c.Servers, 1)
	require.Equal(t, "/", c.Servers[0].URL, "requests go to the port of the page")
}

func TestTheSpecificationIsServed(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, "")
	yaml := c.Do("GET", "/openapi.yaml", nil).Is(http.StatusOK)
	require.Equal(t, string(harness.SpecificationText(t)), string(yaml.Body))
	var doc map[string]any
	require.NoError(t, json.Unmarshal(c.Do("GET", "/openapi.json", nil).Is(http.StatusOK).Body, &doc))
	require.Equal(t, "3.1.0", doc["openapi"])
	c.Do("GET", "/openapi.json", nil, func(r *http.Request) {
		r.Header.Set("If-None-Match", c.Do("GET", "/openapi.json", nil).Header.Get("ETag"))
	}).
		Is(http.StatusNotModified)
	require.Contains(t, string(c.Do("GET", "/docs", nil).Is(http.StatusOK).Body), "swagger")
	c.Do("GET", "/docs/swagger-ui.css", nil).Is(http.StatusOK)
	c.Do("GET", "/docs/nothing", nil).Is(http.StatusNotFound, "not_found")
	c.Do("GET", "/web/nothing.js", nil).Is(http.StatusNotFound, "not_found")
}
