package rest

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxBody bounds every body, in bytes.
const MaxBody = 64 << 10

// The media types of bodies.
const (
	JSONType       = "application/json"
	MergePatchType = "application/merge-patch+json" // RFC 7396
)

// strict makes the one decoder: names count with their case, once each, and
// only those that are known; text is UTF-8; nothing follows the value; null is
// no string, number or boolean (OWASP ASVS 5.0, 15.3.3 and 15.3.5).
var (
	strict   = json.RejectUnknownMembers(true)
	refusals = json.JoinUnmarshalers(
		json.UnmarshalFromFunc(refuseNull[string]),
		json.UnmarshalFromFunc(refuseNull[int64]),
		json.UnmarshalFromFunc(refuseNull[*string]),
		json.UnmarshalFromFunc(refuseNull[*int64]),
		json.UnmarshalFromFunc(refuseNull[*bool]),
		json.UnmarshalFromFunc(refuseNull[bool]),
		json.UnmarshalFromFunc(refuseNull[[]string]),
	)
)

var errNull = errors.New("null is not a value here")

func refuseNull[T any](d *jsontext.Decoder, _ *T) error {
	if d.PeekKind() == 'n' {
		return errNull
	}
	return json.SkipFunc
}

// Decode reads the body of c, of one of the types named, as a T, which is a
// struct. Errors are faults: unsupported_media_type, payload_too_large,
// malformed_json, invalid_request.
func Decode[T any](c *gin.Context, types ...string) (T, error) {
	var v T
	err := DecodeInto(c, &v, types...)
	return v, err
}

// DecodeInto is Decode for the members that the body names. The others stay as they are.
func DecodeInto[T any](c *gin.Context, v *T, types ...string) error {
	if !hasType(c.Request, types) {
		// Refusing what a form can send keeps forms of other sites out, too
		// (OWASP CSRF Prevention: Disallowing Simple Content Types).
		return Faultf("unsupported_media_type",
			"Send the header Content-Type: %s (curl: -H 'Content-Type: %s').", types[0], types[0])
	}
	text, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, MaxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return Faultf("payload_too_large", "A body may have at most %d bytes.", MaxBody)
	}
	if err == nil {
		err = json.Unmarshal(text, v, strict, json.WithUnmarshalers(
			json.JoinUnmarshalers(json.UnmarshalFromFunc(refuseNull[T]), refusals)))
	}
	if err != nil {
		return Faultf("malformed_json", "%s", explain(err))
	}
	if name := missing(*v); name != "" {
		return Faultf("invalid_request", "The member %s is missing.", name)
	}
	return nil
}

// Required is a member that must be there.
type Required[T any] struct {
	Value   T
	present bool
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (m *Required[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	m.present = true
	return json.UnmarshalDecode(d, &m.Value)
}

func (m Required[T]) isMissing() bool { return !m.present }

// missing returns the name of a Required member of the struct v that was not in
// the body, or "".
func missing(v any) string {
	s := reflect.ValueOf(v)
	for i := range s.NumField() {
		if m, ok := s.Field(i).Interface().(interface{ isMissing() bool }); ok && m.isMissing() {
			return s.Type().Field(i).Tag.Get("json")
		}
	}
	return ""
}

// DecodeOptional is Decode for a body that may be empty, which then needs no
// type and yields the zero T.
func DecodeOptional[T any](c *gin.Context, types ...string) (T, error) {
	if c.Request.ContentLength < 0 { // chunked: there may be nothing in it
		peek := bufio.NewReader(c.Request.Body)
		if _, err := peek.Peek(1); errors.Is(err, io.EOF) {
			c.Request.ContentLength = 0
		}
		c.Request.Body = io.NopCloser(peek)
	}
	if c.Request.ContentLength == 0 {
		var zero T
		return zero, nil
	}
	return Decode[T](c, types...)
}

// hasType says whether the body has one of the media types, in UTF-8.
func hasType(r *http.Request, types []string) bool {
	lines := r.Header["Content-Type"]
	if len(lines) != 1 {
		return false
	}
	t, params, err := mime.ParseMediaType(lines[0])
	if err != nil {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	for _, want := range types {
		if t == want {
			return true
		}
	}
	return false
}

// explain says what is wrong with a body in words of ours. The decoder's own
// may quote the body, which may hold a password.
func explain(err error) string {
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	where := func(p jsontext.Pointer) string {
		if p == "" {
			return "the body"
		}
		// The pointer may be a name of the client's choosing, so it is bounded,
		// and a character that the bound cuts is left out.
		return strings.ToValidUTF8(string(p[:min(len(p), 64)]), "")
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "A member appears twice."
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return "The body may not contain " + where(semantic.JSONPointer) + ". Names of members are case-sensitive."
	case errors.As(err, &semantic):
		return "The value of " + where(semantic.JSONPointer) + " has the wrong type."
	case errors.As(err, &syntactic):
		return "The body is not one JSON value in UTF-8."
	}
	return "The server could not read the body."
}

// Optional is a member that may be absent, null, or a value: the three things
// that a merge patch tells apart.
type Optional[T any] struct {
	Present, Null bool
	Value         T
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom. It is called for members
// that are present.
func (o *Optional[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	o.Present = true
	if d.PeekKind() == 'n' {
		o.Null = true
		return d.SkipValue()
	}
	return json.UnmarshalDecode(d, &o.Value)
}

// Apply sets target to the value, or to its default for null.
func (o *Optional[T]) Apply(target *T, standard T) {
	switch {
	case o.Null:
		*target = standard
	case o.Present:
		*target = o.Value
	}
}
