package tests

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/keys"
	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// parts are what a library makes a token of.
type parts struct {
	Header jsontext.Value `json:"header"`
	Claims jsontext.Value `json:"claims"`
}

func (m forge) parts() parts { return parts{jsontext.Value(m.header), jsontext.Value(m.claims)} }

// others is what jose and jsonwebtoken make of tokens.
type others struct {
	Tokens      map[string]string            `json:"tokens"`
	Refusals    map[string]map[string]string `json:"refusals"` // by library and token
	Thumbprints map[string]string            `json:"thumbprints"`
}

// askOthers has jose and jsonwebtoken verify tokens, and mint and verify others,
// with the key of the server.
func askOthers(t *testing.T, s *harness.Server, slug string, tokens map[string]string, mint map[string]parts) others {
	t.Helper()
	modules := os.Getenv("STATELAB_NODE_MODULES")
	node, err := exec.LookPath("node")
	storetest.Need(t, "node", err == nil && modules != "", "install Node.js, and let STATELAB_NODE_MODULES name a node_modules with jose and jsonwebtoken")

	key, err := s.Config.Keys.Active(algorithms[s.Config.TokenAlg])
	require.NoError(t, err)
	task := harness.Object{
		"jwks": s.URL + "/.well-known/jwks.json", "alg": s.Config.TokenAlg, "issuer": state.Issuer, "audience": slug, "now": s.Clock.Now().Unix(),
		"tokens": tokens, "parts": mint,
	}
	if key.Purpose == keys.TokenHS256 {
		task["secret"] = base64Of(key.Secret())
	} else {
		task["key"] = harness.Object{"kty": "OKP", "crv": "Ed25519", "x": base64Of(key.Public()), "d": base64Of(key.Secret())} // RFC 8037, 2
	}
	text, err := json.Marshal(task)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), node, "interop/interop.mjs")
	cmd.Env = append(os.Environ(), "STATELAB_NODE_MODULES="+modules)
	cmd.Stdin = bytes.NewReader(text)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	require.NoError(t, err, "%s", said.String())
	var back others
	require.NoError(t, json.Unmarshal(out, &back))
	return back
}

// libraries are the two, and whether they know an algorithm: jsonwebtoken has no
// EdDSA, so that HS256 alone is tried with both.
var libraries = map[string]func(alg string) bool{
	"jose":         func(string) bool { return true },
	"jsonwebtoken": func(alg string) bool { return alg == "HS256" },
}

// A flaw is one thing that is wrong with a token that has our signature. Some
// are left to the caller by a library: it has no option for them.
type flaw struct {
	forge
	leaves func(library, alg string) bool
}

func nobody(_, _ string) bool { return false }

func jsonwebtoken(library, _ string) bool { return library == "jsonwebtoken" }

func whoHasOneKey(library, alg string) bool { return jsonwebtoken(library, alg) || alg == "HS256" }

func whoeverReadsLists(_, _ string) bool { return true } // RFC 7519, 4.1.3 allows a list; our own tokens never have one

// faults are tokens with one thing wrong each.
func (m forge) flaws(now int64) map[string]flaw {
	alg := map[string]string{"EdDSA": `"Ed25519"`, "HS256": `"HS512"`}[m.c.Server.Config.TokenAlg]
	return map[string]flaw{
		"typ": {m.withHeader("typ", `"JWT"`), jsonwebtoken}, "no typ": {m.withHeader("typ", ""), jsonwebtoken},
		"alg": {m.withHeader("alg", alg), nobody}, "kid": {m.withHeader("kid", `"0a1b2c3d"`), whoHasOneKey},
		"crit": {m.withHeader("x", `1`).withHeader("crit", `["x"]`), jsonwebtoken},
		"aud":  {m.withClaim("aud", `"session"`), nobody}, "aud in a list": {m.withClaim("aud", `["`+m.c.Slug+`"]`), whoeverReadsLists},
		"iss": {m.withClaim("iss", `"somebody"`), nobody}, "no iss": {m.withClaim("iss", ""), nobody},
		"exp":    {m.withClaim("exp", fmt.Sprint(now)), nobody}, // "on or after" (RFC 7519, 4.1.4)
		"no exp": {m.withClaim("exp", ""), jsonwebtoken}, "no jti": {m.withClaim("jti", ""), jsonwebtoken},
		"nbf": {m.withClaim("nbf", fmt.Sprint(now+60)), nobody},
	}
}

// What we mint others verify, what others mint we verify, and what one side
// refuses the other does, but for what a library leaves to its caller.
func TestOthersAgreeOnTokens(t *testing.T) {
	t.Parallel()
	eachToken(t, func(t *testing.T, s *harness.Server, m forge) {
		alg := s.Config.TokenAlg
		faults := m.flaws(s.Clock.Now().Unix())
		tampered := m.c.Copy()
		tampered.Edit()
		tokens := map[string]string{"genuine": m.token(), "tampered": tampered.Access}
		mint := map[string]parts{"genuine": m.parts()}
		for name, f := range faults {
			tokens[name] = f.token()
			mint[name] = f.parts()
		}
		back := askOthers(t, s, m.c.Slug, tokens, mint)

		for library, knows := range libraries {
			refusals := back.Refusals[library]
			if !knows(alg) {
				for name := range back.Tokens {
					require.NotEmpty(t, refusals[name], "%s has learnt %s: here is another one to agree with", library, alg)
				}
				continue
			}
			for name := range back.Tokens {
				what := strings.TrimPrefix(strings.TrimPrefix(name, "jose: "), "jsonwebtoken: ")
				f, wrong := faults[what]
				refuses := what == "tampered" || wrong && !f.leaves(library, alg)
				require.Equal(t, refuses, refusals[name] != "", "%s, %s: %s", library, name, refusals[name])
			}
			for name := range maps.Keys(mint) {
				require.Empty(t, refusals["mint "+name], "%s cannot mint %s", library, name)
			}
		}
		for name, token := range back.Tokens {
			t.Run(name, func(t *testing.T) {
				if name == "genuine" || strings.HasSuffix(name, ": genuine") {
					require.Equal(t, m.c.Profile(), string(m.accepts(t, token).Body))
					return
				}
				a := s.Client(t, m.c.Slug).Do("GET", "/"+m.c.Slug+"/profile", nil, harness.Header("Authorization", "Bearer "+token))
				require.Equal(t, http.StatusUnauthorized, a.Status, "%s", a.Body)
			})
		}
	})
}

// The set has what RFC 7517, 4 and RFC 8037, 2 say of such a key, no more, and
// never a secret: of a shared one there is nothing to publish.
func TestOthersReadOurKeySet(t *testing.T) {
	t.Parallel()
	eachToken(t, func(t *testing.T, s *harness.Server, m forge) {
		key, err := s.Config.Keys.Active(algorithms[s.Config.TokenAlg])
		require.NoError(t, err)
		set := s.Client(t, "").Do("GET", "/.well-known/jwks.json", nil).Is(http.StatusOK)
		want, thumbprints := []any{}, map[string]string{}
		if s.Config.TokenAlg == "EdDSA" {
			x := base64Of(key.Public())
			want = append(want, map[string]any{"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "EdDSA", "use": "sig", "kid": key.ID})
			sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`)) // RFC 7638, 3; RFC 8037, A.3
			thumbprints[key.ID] = base64Of(sum[:])
		}
		require.Equal(t, map[string]any{"keys": want}, set.JSON)
		require.Equal(t, thumbprints, askOthers(t, s, m.c.Slug, nil, nil).Thumbprints)
	})
}
