package rest

import (
	"bufio"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
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
		json.UnmarshalFromFunc(decodeInteger),
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

// decodeInteger takes every spelling of an integer: 1.0 and 1e2 are integers too (JSON
// Schema 2020-12, 6.1.1), and 1.5 is none.
func decodeInteger(d *jsontext.Decoder, n *int64) error {
	switch d.PeekKind() {
	case 'n':
		return errNull
	case '0':
	default:
		return json.SkipFunc // the decoder says what is wrong with it
	}
	value, err := d.ReadValue()
	if err != nil {
		return err
	}
	*n, err = integerOf(string(value))
	return err
}

// integerOf returns the integer that a number of JSON is. It counts digits and computes
// no power: an exponent can be as long as the body.
func integerOf(number string) (int64, error) {
	mantissa, exponent := number, "0"
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		mantissa, exponent = number[:i], number[i+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	if strings.Trim(digits, "-0") == "" {
		return 0, nil // whatever the exponent is
	}
	zeros, err := strconv.ParseInt(exponent, 10, 32)
	if err != nil {
		return 0, err
	}
	significant := strings.TrimRight(digits, "0")
	zeros += int64(len(digits) - len(significant) - len(fraction))
	if zeros < 0 || zeros > 18 { // a fraction; more digits than an int64 has
		return 0, strconv.ErrRange
	}
	return strconv.ParseInt(significant+strings.Repeat("0", int(zeros)), 10, 64)
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
	if err := OnlyIdentity(c); err != nil {
		return err
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

// OnlyIdentity refuses a body that the client has encoded (RFC 9110, 15.5.16): the
// server decompresses nothing, since a small body could become a very large one.
func OnlyIdentity(c *gin.Context) error {
	for _, line := range c.Request.Header["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = strings.Trim(coding, " \t"); coding != "" && !strings.EqualFold(coding, "identity") {
				c.Writer.Header()["Accept-Encoding"] = []string{"identity"} // RFC 9110, 12.5.3
				return Faultf("unsupported_media_type", "Send the body without a Content-Encoding.")
			}
		}
	}
	return nil
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
