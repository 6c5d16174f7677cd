package harness

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"statelab/state"
)

// KeepsPromise returns what is wrong with an answer of a strategy. openapi.yaml has
// one template for all strategies; the traits say where they differ.
func KeepsPromise(operation, slug string, a *Answer) error {
	p := Promises()[slug]
	if told, ok := a.At("strategy").(string); ok && told != slug {
		return fmt.Errorf("the body is of %s", told)
	}
	switch a.Status {
	case http.StatusUnauthorized:
		if code := a.Code(); code != "bad_login" && !slices.Contains(Refusals(p.Traits), code) {
			return fmt.Errorf("the code %s is not one of %s", code, slug)
		}
	case http.StatusNotImplemented:
		if !slices.Contains(Cannot(p.Traits), unsupported[operation]) {
			return fmt.Errorf("%s can do that", slug)
		}
	case http.StatusNotFound:
		if p.Mount == state.MountAlways && slices.Contains(ofEachStrategy, operation) {
			return fmt.Errorf("%s is mounted always", slug)
		}
	}
	if a.At("credential.bytes") != nil && !strings.Contains(operation, "Copy") && operation != "copyCredential" {
		return credentialKept(operation, p.Traits, a)
	}
	return nil
}

// credentialKept returns what is wrong with the credential in an answer.
func credentialKept(operation string, traits state.Traits, a *Answer) error {
	if kind := a.Text("credential.kind"); kind != traits.Transport {
		return fmt.Errorf("the credential is a %s, not a %s", kind, traits.Transport)
	}
	renewed := operation == "startLogin" || operation == "refreshLogin"
	bearer := traits.Transport == state.TransportBearer
	if token := a.Text("credential.refresh_token"); (token != "") != (renewed && traits.RefreshToken == state.RefreshTokenBody) {
		return fmt.Errorf("the refresh token is %q", token)
	}
	set := a.setCount() > 0
	switch {
	case bearer && set:
		return fmt.Errorf("a cookie is set")
	case !bearer && !set && (renewed && traits.RenewsID || traits.Holder == state.HolderClient):
		return fmt.Errorf("no cookie is set")
	case set && !renewed && traits.Holder == state.HolderServer && traits.RenewsID:
		return fmt.Errorf("a cookie is set, although the credential stays")
	}
	return nil
}

// Refusals are the codes of 401 that a strategy has after the login.
func Refusals(traits state.Traits) []string {
	codes := []string{"no_credential", "revoked"}
	if traits.Holder == state.HolderServer {
		return append(codes, "unknown_session")
	}
	codes = append(codes, "bad_signature", "expired")
	if traits.KeptIn != "" { // a refresh token with a record on the server
		codes = append(codes, "not_yet_valid", "unknown_session", "reuse_detected")
	}
	return codes
}

// Cannot are the things that a strategy answers with 501, as openapi.yaml names them.
func Cannot(traits state.Traits) []string {
	var all []string
	for what, cannot := range map[string]bool{
		"refresh": !traits.RenewsID, "logins": !traits.Listable, "everywhere": !traits.Everywhere,
		"restore": traits.Transport == state.TransportBearer, "store": traits.KeptIn == state.PlaceProcess,
	} {
		if cannot {
			all = append(all, what)
		}
	}
	return all
}

// unsupported names what an operation does that a strategy may not support.
var unsupported = map[string]string{
	"refreshLogin": "refresh", "listLogins": "logins", "endLogin": "logins", "logOut": "everywhere",
	"restoreCopy": "restore", "listRecords": "store", "deleteRecord": "store",
}

// ofEachStrategy are the operations that every server has for each mounted strategy.
var ofEachStrategy = []string{"startLogin", "readProfile", "changeProfile", "spendCredits", "refreshLogin", "logOut", "inspectRequest",
	"listLogins", "changePassword", "listMembers", "showPage"}
