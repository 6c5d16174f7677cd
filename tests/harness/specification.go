package harness

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"fmt"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

// SpecificationText returns openapi.yaml.
func SpecificationText(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(Root("openapi.yaml"))
	require.NoError(t, err)
	return text
}

// contract is openapi.yaml: the router finds the operation of a request, and each
// schema is compiled once for the whole run.
type contract struct {
	routers.Router
	Document *openapi3.T // without its servers: the ports of tests differ
	Servers  openapi3.Servers
	mu       sync.Mutex
	good     map[judged]bool // texts that were found valid
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by the pointer to each
}

// Specification is openapi.yaml, loaded once for the run.
var Specification = sync.OnceValues(func() (*contract, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromFile(Root("openapi.yaml"))
	if err != nil {
		return nil, err
	}
	servers := doc.Servers
	doc.Servers = nil
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(Root("openapi.yaml"))
	if err != nil {
		return nil, err
	}
	if text, err = yaml.YAMLToJSON(text); err != nil {
		return nil, err
	}
	all, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	return &contract{Router: router, Document: doc, Servers: servers, compiler: compiler, schemas: map[string]*jsonschema.Schema{},
		good: map[judged]bool{}}, compiler.AddResource("openapi.json", all)
})

// A judged text is a header or a body that the schema at a pointer was held to.
type judged struct{ pointer, content string }

// holds returns what is wrong with a text by the schema at a pointer. Most answers of a
// run say what another has said, and are not judged again.
func (c *contract) holds(pointer, content string, value func() (any, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := judged{pointer, content}
	if c.good[t] {
		return nil
	}
	v, err := value()
	if err != nil {
		return err
	}
	if err := c.valid(pointer, v); err != nil {
		return err
	}
	c.good[t] = true
	return nil
}

// valid returns what is wrong with a value by the schema at a pointer.
func (c *contract) valid(pointer string, value any) error {
	if c.schemas[pointer] == nil {
		schema, err := c.compiler.Compile("openapi.json" + pointer)
		if err != nil {
			return err
		}
		c.schemas[pointer] = schema
	}
	return c.schemas[pointer].Validate(value)
}

// sometimes are the headers that an answer may lack although its response names
// them: the last page has no Link, and only some answers set a cookie.
var sometimes = []string{"Age", "Cache-Control", "Link", "Set-Cookie"}

// Answers returns what is wrong with an answer to a route: its status, a header
// that is missing, or its body.
func (c *contract) Answers(route *routers.Route, status int, header http.Header, body []byte) error {
	response := route.Operation.Responses.Status(status)
	if response == nil {
		return fmt.Errorf("the status %d is not described", status)
	}
	at := response.Ref
	if at == "" {
		at = "#/paths/" + escaped(route.Path) + "/" + strings.ToLower(route.Method) + "/responses/" + strconv.Itoa(status)
	}
	if err := c.headers(at, response.Value.Headers, header); err != nil {
		return err
	}
	if len(response.Value.Content) == 0 {
		return nil // or a few words for clients that do not follow
	}
	mediaType, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	if err != nil {
		return err
	}
	content := response.Value.Content.Get(mediaType)
	if content == nil {
		return fmt.Errorf("the type %s is not described", mediaType)
	}
	if !strings.HasSuffix(mediaType, "json") || content.Schema == nil {
		return nil
	}
	// The request id differs each time and has a schema of its own.
	same := strings.ReplaceAll(string(body), `"`+header.Get("X-Request-Id")+`"`, `"the request id"`)
	return c.holds(at+"/content/"+escaped(mediaType)+"/schema", same, func() (any, error) {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if problem, ok := value.(map[string]any); ok && mediaType == "application/problem+json" {
			// The examples of a response name the codes that it has.
			if code, _ := problem["code"].(string); content.Examples[code] == nil {
				return nil, fmt.Errorf("the code %q is not described for the status %d", code, status)
			}
		}
		return value, err
	})
}

// headers returns what is wrong with the headers of an answer.
func (c *contract) headers(at string, all openapi3.Headers, header http.Header) error {
	for name, described := range all {
		value, there := header[http.CanonicalHeaderKey(name)]
		if !there {
			if !slices.Contains(sometimes, name) {
				return fmt.Errorf("the header %s is missing", name)
			}
			continue
		}
		where := described.Ref
		if where == "" {
			where = at + "/headers/" + escaped(name)
		}
		number := described.Value.Schema.Value.Type.Is("integer")
		if err := c.holds(where+"/schema", value[0], func() (any, error) {
			if number {
				return stdjson.Number(value[0]), nil
			}
			return value[0], nil
		}); err != nil {
			return fmt.Errorf("the header %s: %w", name, err)
		}
	}
	return nil
}

// Route returns the operation that a request is for, and the strategy in its path,
// or "". A path whose parameter is not in the parameter's enum is not described.
func (c *contract) Route(r *http.Request) (*routers.Route, string, error) {
	route, params, err := c.FindRoute(r)
	if err != nil {
		return nil, "", err
	}
	for _, p := range route.Operation.Parameters {
		if values := p.Value.Schema.Value.Enum; p.Value.In == openapi3.ParameterInPath && values != nil && !slices.Contains(values, any(params[p.Value.Name])) {
			return nil, "", fmt.Errorf("there is no %s %q", p.Value.Name, params[p.Value.Name])
		}
	}
	if route.Path == "/seed/" {
		return route, "seed", nil
	}
	return route, params["strategy"], nil
}

// escaped writes a name as a part of a JSON pointer in a URL's fragment.
func escaped(name string) string {
	name = strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
	return strings.ReplaceAll(strings.ReplaceAll(name, "{", "%7B"), "}", "%7D")
}

// checkSpecification validates an answer by openapi.yaml, and by the traits of the
// strategy that gave it. It ignores requests to paths that the file does not have.
func (a *Answer) checkSpecification(r *http.Request) {
	t := a.T
	t.Helper()
	c, err := Specification()
	require.NoError(t, err)
	probe := r.Clone(context.Background())
	if probe.Method == http.MethodHead {
		return // every GET answers HEAD, which has no body to validate
	}
	route, slug, err := c.Route(probe)
	if err != nil {
		if strings.HasPrefix(r.URL.Path, "/docs/") || strings.HasPrefix(r.URL.Path, "/web/") {
			return // files of pages, which are no part of the contract
		}
		require.Contains(t, []int{400, 403, 404, 405, 414, 421, 431}, a.Status,
			"%s %s is answered and not in openapi.yaml", r.Method, r.URL.Path)
		return
	}
	require.NoError(t, c.Answers(route, a.Status, a.Header, a.Body), "%s %s: %s", r.Method, r.URL.Path, a.Body)
	if slug != "" {
		require.NoError(t, KeepsPromise(route.Operation.OperationID, slug, a), "%s %s: %s", r.Method, r.URL.Path, a.Body)
	}
}
