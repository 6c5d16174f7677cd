// Package rest has what all handlers share: it decodes bodies, and encodes answers and
// problems. It knows which problem each error of the packages below is.
package rest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/go-json-experiment/json"

	"statelab/auth"
	"statelab/state"
	"statelab/state/keys"
)

// Problem is the body of every answer that is an error (RFC 9457). Code is
// stable; the sentences may change.
type Problem struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	Instance  string       `json:"instance"`
	Code      string       `json:"code"`
	RequestID string       `json:"request_id"`
	Errors    []FieldError `json:"errors,omitempty"` // of validation_failed
	Limit     int          `json:"limit,omitzero"`   // of credential_too_large and state_too_large, in bytes
	Size      int          `json:"size,omitzero"`    // of credential_too_large and state_too_large, in bytes
}

// FieldError says what is wrong with one member of the body.
type FieldError struct {
	Pointer string `json:"pointer"` // a JSON Pointer (RFC 6901)
	Detail  string `json:"detail"`
}

// kinds are all problems that there are, by code.
var kinds = map[string]struct {
	status int
	title  string
}{
	"malformed_json":            {http.StatusBadRequest, "The body is not the JSON that this route expects"},
	"invalid_request":           {http.StatusBadRequest, "The request is incomplete or contradicts itself"},
	"ambiguous_credential":      {http.StatusBadRequest, "The request carries two different credentials"},
	"bad_login":                 {http.StatusUnauthorized, "The username or the password is wrong"},
	"no_credential":             {http.StatusUnauthorized, "The request carries no credential"},
	"unknown_session":           {http.StatusUnauthorized, "The server does not know this login"},
	"bad_signature":             {http.StatusUnauthorized, "The server cannot verify the credential"},
	"expired":                   {http.StatusUnauthorized, "The credential has expired"},
	"not_yet_valid":             {http.StatusUnauthorized, "The credential is not valid yet"},
	"revoked":                   {http.StatusUnauthorized, "The login was revoked"},
	"reuse_detected":            {http.StatusUnauthorized, "The refresh token was used before"},
	"csrf_blocked":              {http.StatusForbidden, "The request comes from another origin"},
	"forbidden":                 {http.StatusForbidden, "This account does not have the permission"},
	"not_found":                 {http.StatusNotFound, "The server has no such resource"},
	"method_not_allowed":        {http.StatusMethodNotAllowed, "The route does not support this method"},
	"not_acceptable":            {http.StatusNotAcceptable, "The server has no answer of a type that the client accepts"},
	"username_taken":            {http.StatusConflict, "The username is taken"},
	"insufficient_credits":      {http.StatusConflict, "This login has too few credits"},
	"busy":                      {http.StatusConflict, "Another run is under way"},
	"version_mismatch":          {http.StatusPreconditionFailed, "The state has changed since the client read it"},
	"payload_too_large":         {http.StatusRequestEntityTooLarge, "The body is too large"},
	"credential_too_large":      {http.StatusRequestEntityTooLarge, "The state does not fit into the credential"},
	"state_too_large":           {http.StatusRequestEntityTooLarge, "The state is larger than the server can store"},
	"uri_too_long":              {http.StatusRequestURITooLong, "The request target is too long"},
	"unsupported_media_type":    {http.StatusUnsupportedMediaType, "The server does not accept the media type of the body"},
	"classroom_is_local":        {http.StatusMisdirectedRequest, "The classroom serves this machine only"},
	"validation_failed":         {http.StatusUnprocessableEntity, "A value is out of range"},
	"too_many_attempts":         {http.StatusTooManyRequests, "The client made too many attempts"},
	"header_too_large":          {http.StatusRequestHeaderFieldsTooLarge, "The request carries too many cookies"},
	"internal_error":            {http.StatusInternalServerError, "The server failed"},
	"not_supported_by_strategy": {http.StatusNotImplemented, "This strategy cannot do that"},
	"store_unavailable":         {http.StatusServiceUnavailable, "A store does not answer"},
	"overloaded":                {http.StatusServiceUnavailable, "The server is overloaded"},
	"signing_unavailable":       {http.StatusServiceUnavailable, "This server cannot sign credentials"},
}

// Codes returns the status of every code that a Problem can have.
func Codes() map[string]int {
	all := make(map[string]int, len(kinds))
	for code, kind := range kinds {
		all[code] = kind.status
	}
	return all
}

// A Fault is an error that already knows its code and what to tell the client.
type Fault struct {
	Code, Detail string
	Errors       []FieldError
	Limit, Size  int // of what is too large, in bytes
}

func (f *Fault) Error() string { return "api: " + f.Code + ": " + f.Detail }

// Status is that of an answer which is this fault.
func (f *Fault) Status() int { return kinds[f.Code].status }

// Faultf returns a *Fault with a code and a sentence for the client.
func Faultf(code, format string, args ...any) error {
	return &Fault{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Invalid says what is wrong with the member at pointer.
func Invalid(pointer, detail string) error {
	return &Fault{Code: "validation_failed", Detail: "One member of the body is out of range.",
		Errors: []FieldError{{pointer, detail}}}
}

// sentinels map the errors of other packages to a code and a sentence. What is
// not here is an internal error.
var sentinels = []struct {
	err          error
	code, detail string
}{
	{state.ErrNoCredential, "no_credential", "Log in first; then send the cookie or the token with each request."},
	{state.ErrAmbiguous, "ambiguous_credential", "The request has two credentials of one strategy with different values. Send one of them."},
	{state.ErrUnknown, "unknown_session", "The login ended, expired, got a new credential, or never existed. Log in again."},
	{state.ErrBadSignature, "bad_signature", "The credential was changed, was made with another key, or does not come from this server. Log in again."},
	{state.ErrExpired, "expired", "Refresh the credential, or log in again."},
	{state.ErrNotYetValid, "not_yet_valid", "The credential becomes valid later than this server's clock shows. Compare the two clocks."},
	{state.ErrRevoked, "revoked", "Log in again."},
	{state.ErrReuse, "reuse_detected", "A refresh token works once. The server ended the login, because a thief may have used the token. Log in again."},
	{state.ErrNotSupported, "not_supported_by_strategy", "The strategy stores the state in a way that does not permit this. The server changed nothing."},
	{state.ErrConflict, "overloaded", "Other requests changed this login at the same time. Try again."},
	{state.ErrFull, "overloaded", "The store is full, and the server ends no login to make space. Try again later."},
	{state.ErrUnavailable, "store_unavailable", "A store does not answer now. If the request asks for a change, it may have been made. Try again."},
	{keys.ErrNoKey, "signing_unavailable", "This server has public keys only; other servers of the service have the secret ones. The server changed nothing."},
	{auth.ErrBadLogin, "bad_login", "Check both. The password is case-sensitive."},
	{auth.ErrUsernameTaken, "username_taken", "Choose another username."},
	{auth.ErrOverloaded, "overloaded", "Too many sign-ins are waiting. Try again."},
}

// FaultOf turns any error into a fault.
func FaultOf(err error) *Fault {
	var (
		f         *Fault
		invalid   *auth.InvalidError
		throttled *auth.ThrottledError
		tooLarge  *state.TooLargeError
		unstored  *state.UnstorableError
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &invalid):
		return &Fault{Code: "validation_failed", Detail: "One member of the body is out of range.",
			Errors: []FieldError{{"/" + invalid.Member, invalid.Reason}}}
	case errors.As(err, &throttled):
		return &Fault{Code: "too_many_attempts", Detail: "Wait for the seconds in Retry-After. Existing logins are not affected."}
	case errors.As(err, &tooLarge):
		return &Fault{Code: "credential_too_large", Limit: tooLarge.Limit, Size: tooLarge.Size, Detail: fmt.Sprintf(
			"The credential would have %d bytes; the limit is %d. The server kept the old state.", tooLarge.Size, tooLarge.Limit)}
	case errors.As(err, &unstored):
		return &Fault{Code: "state_too_large", Detail: fmt.Sprintf(
			"The state would have %d bytes; the limit is %d. The server kept the old state.", unstored.Size, unstored.Limit),
			Limit: unstored.Limit, Size: unstored.Size}
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return &Fault{Code: s.code, Detail: s.detail}
		}
	}
	return &Fault{Code: "internal_error", Detail: "The log has the error under this request id."}
}

// ProblemOf returns the body that tells a client of a fault.
func ProblemOf(f *Fault, r *http.Request, requestID string) Problem {
	return Problem{
		Type: "urn:statelab:problem:" + f.Code, Title: kinds[f.Code].title, Status: f.Status(), Detail: f.Detail,
		Instance: instance(r), Code: f.Code, RequestID: requestID, Errors: f.Errors, Limit: f.Limit, Size: f.Size,
	}
}

// Failed turns an error of the accounts or of a store that says nothing else
// into what it then is: an outage.
func Failed(err error) error {
	if err == nil || FaultOf(err).Code != "internal_error" {
		return err
	}
	return fmt.Errorf("%w: %w", state.ErrUnavailable, err)
}

// instance is the path of the request, or "/" for one that is too long to be
// repeated.
func instance(r *http.Request) string {
	if path := r.URL.EscapedPath(); len(path) <= 256 {
		return path
	}
	return "/"
}

// deterministic keeps the members of maps in one order, so that an answer seen
// twice is the same answer.
var deterministic = json.Deterministic(true)

// buffers are kept between two answers, unless one has grown larger than MaxBody: a few
// large answers would otherwise hold their memory for a long time.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// headerJSON is shared by all answers and never written to.
var headerJSON = []string{"application/json; charset=utf-8"}

// An Appender encodes itself, faster than by reflection.
type Appender interface{ AppendJSON(b []byte) []byte }

// Write answers with v as JSON. Content-Type is set by then, if it is another one.
func Write(w http.ResponseWriter, status int, v any) {
	body, _ := buffers.Get().(*bytes.Buffer)
	defer func() {
		if body.Cap() <= MaxBody {
			buffers.Put(body)
		}
	}()
	body.Reset()
	if a, ok := v.(Appender); ok {
		body.Write(a.AppendJSON(body.AvailableBuffer()))
	} else if err := json.MarshalWrite(body, v, deterministic); err != nil {
		panic(err) // a type of ours that cannot be encoded is a mistake in the program
	}
	body.WriteByte('\n') // for terminals
	if h := w.Header(); h["Content-Type"] == nil {
		h["Content-Type"] = headerJSON
	}
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // the client may have left
}
