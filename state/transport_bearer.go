package state

import (
	"iter"
	"net/http"
	"strings"
)

// bearer is the Transport in the header Authorization (RFC 6750, 2.1). No other place
// counts: not the query, which ends in logs, and not the body.
type bearer struct{}

var _ Transport = bearer{}

// InAuthorization returns the transport of a bearer token.
func InAuthorization(Config) Transport { return bearer{} }

// Carriage implements Transport.
func (bearer) Carriage(*http.Request) Carriage {
	return Carriage{
		Kind: TransportBearer, Header: "Authorization", Name: "Authorization", Prefix: "Bearer ", Scheme: "Bearer", Limit: TokenLimit,
	}
}

// All implements Transport.
func (t bearer) All(r *http.Request) iter.Seq[string] {
	return func(yield func(string) bool) { t.each(r, yield) }
}

// each calls f with every value, until f returns false. The scheme has no case (RFC
// 9110, 11.1), and one space or more stand behind it (RFC 6750, 2.1).
func (bearer) each(r *http.Request, f func(string) bool) {
	for _, line := range r.Header["Authorization"] {
		if scheme, value, _ := strings.Cut(line, " "); strings.EqualFold(scheme, "Bearer") && !f(strings.TrimLeft(value, " ")) {
			return
		}
	}
}

// Read implements Transport. The scheme without a value is a credential, and a wrong one.
func (t bearer) Read(r *http.Request) (string, error) {
	var s single
	t.each(r, s.add)
	if s.err == nil && !s.found {
		return "", ErrNoCredential
	}
	return s.value, s.err
}

// Fits implements Transport.
func (bearer) Fits(_ *http.Request, value string) error {
	if len(value) > TokenLimit {
		return &TooLargeError{Limit: TokenLimit, Size: len(value)}
	}
	return nil
}

// Write implements Transport: the body of the answer has the value, and the client
// stores it.
func (t bearer) Write(_ http.ResponseWriter, r *http.Request, value string, l Lives) (Credential, error) {
	if err := t.Fits(r, value); err != nil {
		return Credential{}, err
	}
	return t.Carriage(r).describe(value, l.Credential), nil
}

// Clear implements Transport. What a script stores, only a script can remove.
func (bearer) Clear(http.ResponseWriter, *http.Request) {}
