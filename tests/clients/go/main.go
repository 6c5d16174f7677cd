// Command go is a client of statelab in Go, over the package that oapi-codegen makes of
// openapi.yaml. It logs in, reads the profile and handles errors by their code, once
// with a cookie and once with an access token:
//
//	go generate ./... && go run . http://localhost:8080
//
// It is a module of its own: the server needs nothing of it.
package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"os"
	"time"

	"statelab/tests/clients/go/statelab"
)

func main() {
	base := "http://localhost:8080"
	if len(os.Args) > 1 {
		base = os.Args[1]
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, strategy := range []statelab.Strategy{statelab.StrategySession, statelab.StrategyToken} {
		if err := visit(ctx, base, strategy); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", strategy, err)
			os.Exit(1)
		}
	}
}

// keeper keeps what an answer gives and sends it with the next request: the jar keeps
// cookies.
type keeper struct {
	http.Client
	token string
}

// Do sends a request.
func (k *keeper) Do(r *http.Request) (*http.Response, error) {
	if k.token != "" {
		r.Header.Set("Authorization", "Bearer "+k.token)
	}
	return k.Client.Do(r)
}

// keep keeps the access token of a login that has one.
func (k *keeper) keep(login *statelab.Login) error {
	kind, err := login.Credential.Discriminator()
	if err != nil || kind != string(statelab.BearerCredentialKindBearer) {
		return err
	}
	bearer, err := login.Credential.AsBearerCredential()
	k.token = bearer.AccessToken
	return err
}

// advice says what a user can do about a problem. The code is stable; titles and details
// may change.
func advice(p *statelab.Problem) string {
	if p == nil {
		return "no problem"
	}
	switch p.Code {
	case statelab.CodeBadLogin:
		return "check username and password"
	case statelab.CodeNoCredential, statelab.CodeUnknownSession, statelab.CodeExpired:
		return "log in"
	case statelab.CodeInsufficientCredits:
		return "spend less"
	default:
		return p.Detail
	}
}

// visit makes the requests of one login.
func visit(ctx context.Context, base string, strategy statelab.Strategy) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	kept := &keeper{Client: http.Client{Jar: jar}}
	api, err := statelab.NewClientWithResponses(base, statelab.WithHTTPClient(kept))
	if err != nil {
		return err
	}

	before, err := api.ReadProfileWithResponse(ctx, strategy, nil)
	if err != nil {
		return err
	}
	if given := advice(before.ApplicationproblemJSON401); given != "log in" {
		return fmt.Errorf("before the login: %s", given)
	}
	login, err := api.StartLoginWithResponse(ctx, strategy, statelab.PasswordLogin{Username: "alice", Password: "wonderland"})
	if err != nil {
		return err
	}
	if login.JSON200 == nil {
		return fmt.Errorf("login: %s: %s", login.Status(), advice(login.ApplicationproblemJSON401))
	}
	if err := kept.keep(login.JSON200); err != nil {
		return err
	}

	profile, err := api.ReadProfileWithResponse(ctx, strategy, nil)
	if err != nil {
		return err
	}
	if profile.JSON200 == nil {
		return fmt.Errorf("profile: %s: %s", profile.Status(), advice(profile.ApplicationproblemJSON401))
	}
	p := profile.JSON200
	fmt.Printf("%s: %s has %d credits\n", p.Strategy, p.User.DisplayName, p.State.Credits)

	spent, err := api.SpendCreditsWithResponse(ctx, strategy, nil, statelab.Spending{Amount: 1000})
	if err != nil {
		return err
	}
	if given := advice(spent.ApplicationproblemJSON409); given != "spend less" {
		return fmt.Errorf("spend: %s: %s", spent.Status(), given)
	}
	logout, err := api.LogOutWithResponse(ctx, strategy, statelab.LogoutScope{})
	if err != nil {
		return err
	}
	if logout.StatusCode() != http.StatusNoContent {
		return fmt.Errorf("logout: %s", logout.Status())
	}
	return nil
}
