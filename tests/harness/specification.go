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

	"statelab/state"
)

// SpecificationText returns openapi.yaml.
func SpecificationText(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(Root("openapi.yaml"))
	require.NoError(t, err)
	return text
}

// contract is openapi.yaml: the router finds what a request is, and schemas are
// compiled once for the whole run.
type contract struct {
	routers.Router
	Document *openapi3.T
	mu       sync.Mutex
	good     map[judged]bool // what a schema was found to hold for
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
	doc.Servers = nil // the tests' ports differ
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
	return &contract{Router: router, Document: doc, compiler: compiler, schemas: map[string]*jsonschema.Schema{}, good: map[judged]bool{}}, compiler.AddResource("openapi.json", all)
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

// Answers returns what is wrong with an answer to a route: its status, a header
// that must be there, or its body.
func (c *contract) Answers(route *routers.Route, status int, header http.Header, body []byte) error {
	response := route.Operation.Responses.Status(status)
	if response == nil {
		return fmt.Errorf("the status %d is not described", status)
	}
	at := response.Ref
	if at == "" {
		at = "#/paths/" + escaped(route.Path) + "/" + strings.ToLower(route.Method) + "/responses/" + strconv.Itoa(status)
	}
	for name, described := range response.Value.Headers {
		value, there := header[http.CanonicalHeaderKey(name)]
		if !there {
			if described.Value.Required {
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
	// The request id, which is another one each time, has been held to its own schema.
	same := strings.ReplaceAll(string(body), `"`+header.Get("X-Request-Id")+`"`, `"the request id"`)
	return c.holds(at+"/content/"+escaped(mediaType)+"/schema", same, func() (any, error) {
		return jsonschema.UnmarshalJSON(bytes.NewReader(body))
	})
}

// escaped writes a name as a part of a JSON pointer in a URL's fragment.
func escaped(name string) string {
	name = strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
	return strings.ReplaceAll(strings.ReplaceAll(name, "{", "%7B"), "}", "%7D")
}

// checkSpecification holds an answer to openapi.yaml. Requests that it does not
// know, such as those to no route, are not its subject.
func (a *Answer) checkSpecification(r *http.Request) {
	t := a.T
	t.Helper()
	c, err := Specification()
	require.NoError(t, err)
	probe := r.Clone(context.Background())
	if probe.Method == http.MethodHead {
		return // every GET answers HEAD, which has no body to look at
	}
	route, _, err := c.FindRoute(probe)
	if err == nil && a.Code() == "not_found" && route.Operation.Responses.Status(http.StatusNotFound) == nil {
		slug, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		require.True(t, slices.ContainsFunc(state.Definitions(), func(d state.Definition) bool {
			return d.Slug == slug && d.Mount != state.MountAlways
		}), "%s %s is in openapi.yaml and not there", r.Method, r.URL.Path)
		return // a group that is not mounted
	}
	if err != nil {
		require.Contains(t, []int{400, 403, 404, 405, 414, 421, 431}, a.Status,
			"%s %s is answered and not in openapi.yaml", r.Method, r.URL.Path)
		return
	}
	require.NoError(t, c.Answers(route, a.Status, a.Header, a.Body), "%s %s: %s", r.Method, r.URL.Path, a.Body)
}
