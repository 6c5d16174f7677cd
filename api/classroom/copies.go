package classroom

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json/jsontext"

	"statelab/api"
	"statelab/api/rest"
	"statelab/state"
)

// A thief is somebody who has seen a request: in a backup, on a wire without TLS,
// on a borrowed computer. The classroom plays the thief, since no script of a page
// can: it reads no HttpOnly cookie and writes no header Cookie. For the same reason
// it never shows a copy. A script that an attacker has got into a page could ask
// for copies too, and what it would then hold is the name of one.

// maxCopies is how many copies a thief remembers. The oldest is forgotten first.
const maxCopies = 100

// copied is a credential as a request carried it.
type copied struct {
	Copy
	carriage state.Carriage // how the request carried it
	value    string
}

// Copy tells of a copied credential what everybody may know who has seen it.
type Copy struct {
	ID         string           `json:"id"`
	Strategy   string           `json:"strategy"`
	TakenAt    time.Time        `json:"taken_at,format:RFC3339"`
	Credential CopiedCredential `json:"credential"`
	// Payload is the part of it that can be read without a key; null if none can.
	Payload jsontext.Value `json:"payload"`
}

// CopiedCredential describes a credential without its value.
type CopiedCredential struct {
	Kind        string `json:"kind"` // "cookie" or "bearer"
	Name        string `json:"name"` // of the cookie or the header
	Bytes       int    `json:"bytes"`
	ValueMasked string `json:"value_masked"`
}

// Copies is the answer of GET /classroom/copies.
type Copies struct {
	Copies []Copy `json:"copies"`
}

// find returns the copy with the id that is of the strategy, or of any for "".
func (room *Classroom) find(id, strategy string) (*copied, error) {
	for _, taken := range room.copies.newest() {
		if taken.ID == id && (strategy == "" || taken.Strategy == strategy) {
			return taken, nil
		}
	}
	return nil, rest.Faultf("not_found", "The server has no such copy. Make another one.")
}

// carrying returns the credential that the request carries for the strategy,
// whether it is good or not.
func carrying(g *api.Group, r *http.Request) (*copied, error) {
	for value := range g.Strategy.All(r) {
		if value == "" {
			break
		}
		carriage := g.Strategy.Carriage(r)
		payload, _, _ := readable(value)
		return &copied{carriage: carriage, value: value, Copy: Copy{Strategy: g.Slug, Payload: payload, Credential: CopiedCredential{
			Kind: carriage.Kind, Name: carriage.Name, Bytes: carriage.Bytes(value), ValueMasked: state.Mask(value),
		}}}, nil
	}
	return nil, state.ErrNoCredential
}

// copy takes a copy of the credential that the request carries.
func (room *Classroom) copy(c *gin.Context, g *api.Group) (int, any, error) {
	if _, err := rest.DecodeOptional[struct{}](c, rest.JSONType); err != nil {
		return 0, nil, err
	}
	taken, err := carrying(g, c.Request)
	if err != nil {
		return 0, nil, err
	}
	taken.ID, taken.TakenAt = strings.ToLower(rand.Text()[:16]), room.Clock.Now().UTC()
	room.copies.add(taken)
	return http.StatusCreated, taken.Copy, nil
}

// shown tells which copies there are, the newest first.
func (room *Classroom) shown(*gin.Context) (int, any, error) {
	out := Copies{[]Copy{}}
	for _, taken := range room.copies.newest() {
		out.Copies = append(out.Copies, taken.Copy)
	}
	return http.StatusOK, out, nil
}

// restore puts a copy back where it came from, as its owner can with the developer
// tools of a browser: the way back to an older state, if the state is in it. The
// route is the strategy's own, because a cookie without a path gets that of the
// route which has set it.
func (room *Classroom) restore(c *gin.Context, g *api.Group) (int, any, error) {
	in, err := rest.Decode[struct {
		ID rest.Required[string] `json:"id"`
	}](c, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	taken, err := room.find(in.ID.Value, g.Slug)
	if err != nil {
		return 0, nil, err
	}
	carriage := g.Strategy.Carriage(c.Request)
	if !carriage.SentByBrowser {
		return 0, nil, rest.Faultf("not_supported_by_strategy",
			"A script stores this credential, so the script must restore the old one. The server changed nothing.")
	}
	http.SetCookie(c.Writer, carriage.Cookie(taken.value, 0))
	return http.StatusOK, taken.Copy, nil
}

// Sent is the answer of POST /classroom/copies/{id}/send: what the thief sent and
// was told.
type Sent struct {
	At         time.Time        `json:"at,format:RFC3339"`
	Credential CopiedCredential `json:"credential"` // as it was sent
	Status     int              `json:"status"`
	Body       jsontext.Value   `json:"body"` // null without one
}

// send makes a request with a copy, as a client of its own that has nothing else.
// The credential can be changed before: either the part of it that can be read, or
// one character.
func (room *Classroom) send(c *gin.Context) (int, any, error) {
	in, err := rest.Decode[struct {
		Method  rest.Required[string] `json:"method"`
		Path    rest.Required[string] `json:"path"` // below the strategy's own
		Body    jsontext.Value        `json:"body"`
		Payload jsontext.Value        `json:"payload"`
		Garble  bool                  `json:"garble"`
	}](c, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	taken, err := room.find(c.Param("id"), "")
	if err != nil {
		return 0, nil, err
	}
	value := taken.value
	if in.Payload != nil {
		_, put, ok := readable(value)
		switch {
		case in.Payload.Kind() != '{':
			return 0, nil, rest.Invalid("/payload", "The payload must be a JSON object.")
		case !ok:
			return 0, nil, rest.Invalid("/payload",
				"This credential has no part that a thief can read or replace. Use garble to change a character.")
		}
		value = put(in.Payload)
	}
	if in.Garble {
		value = garbled(value)
	}
	target, err := url.Parse("/" + taken.Strategy + in.Path.Value)
	if err != nil || !strings.HasPrefix(in.Path.Value, "/") || !slices.Contains(thiefMethods, in.Method.Value) {
		return 0, nil, rest.Invalid("/path", "Use a method of the contract and a path below the strategy, such as GET and /profile.")
	}
	r := c.Request.Clone(c.Request.Context())
	r.Method, r.URL, r.RequestURI, r.TransferEncoding = in.Method.Value, target, target.RequestURI(), nil
	r.Header = http.Header{"Accept": {rest.JSONType}, "User-Agent": {"thief"}}
	r.Body, r.ContentLength = http.NoBody, 0
	if in.Body != nil {
		r.Header.Set("Content-Type", rest.JSONType)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(in.Body)), int64(len(in.Body))
	}
	out := Sent{At: room.Clock.Now().UTC(), Credential: taken.Credential}
	out.Credential.ValueMasked = state.Mask(value)
	out.Credential.Bytes = taken.carriage.Bytes(value)
	taken.carriage.Attach(r.Header, value)
	answer := &recorder{header: http.Header{}}
	room.ServeHTTP(answer, r)
	out.Status = answer.status
	if jsontext.Value(answer.body.Bytes()).IsValid() {
		out.Body = answer.body.Bytes()
	}
	return http.StatusOK, out, nil
}

// thiefMethods are those of the contract.
var thiefMethods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// readable finds the part of a credential that is JSON to everybody: between its
// dots in base64url (a JWT, a signed cookie), or the whole of it percent-encoded.
// Of several the last counts, since a JWT begins with its header. put returns the
// credential with another JSON in that place and all else as it was: a seal, if
// there is one, is that of what stood there before. What is longer than any
// credential is not looked into: it may be nested deeper than an answer can show.
func readable(value string) (payload jsontext.Value, put func(jsontext.Value) string, ok bool) {
	if len(value) > api.MaxCookieBytes {
		return nil, nil, false
	}
	parts := strings.Split(value, ".")
	for i, part := range slices.Backward(parts) {
		text, err := base64.RawURLEncoding.DecodeString(part)
		if v := jsontext.Value(text); err == nil && v.IsValid() && v.Kind() == '{' {
			return v, func(other jsontext.Value) string {
				changed := slices.Clone(parts)
				changed[i] = base64.RawURLEncoding.EncodeToString(other)
				return strings.Join(changed, ".")
			}, true
		}
	}
	text, err := url.PathUnescape(value)
	if v := jsontext.Value(text); err == nil && v.IsValid() && v.Kind() == '{' {
		return v, func(other jsontext.Value) string { return url.PathEscape(string(other)) }, true
	}
	return nil, nil, false
}

// garbled changes one character in the middle of a credential into another that
// may stand there.
func garbled(value string) string {
	b := []byte(value)
	if i := len(b) / 2; b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}

// recorder is an answer that stays in this process.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *recorder) Header() http.Header { return h.header }

func (h *recorder) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

func (h *recorder) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(b)
}
