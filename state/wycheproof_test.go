package state

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"statelab/state/keys"
)

// verifies says whether the bytes of a token are what a key has signed. It uses
// what token.parse uses, and leaves out what the texts inside have to say, which
// in vectors are no claims.
func (s *token) verifies(text string, key any) bool {
	if len(text) > TokenLimit || strings.ContainsFunc(text, notJOSE) {
		return false
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return false
	}
	decoded, err := unbase64(parts[0])
	var h struct {
		header
		Alg string `json:"alg"`
	}
	if err != nil || json.Unmarshal(decoded, &h) != nil || h.Critical != nil || h.Alg != s.method.Alg() {
		return false
	}
	if _, err := s.parser.DecodeSegment(parts[1]); err != nil {
		return false
	}
	signature, err := s.parser.DecodeSegment(parts[2])
	return err == nil && s.method.Verify(parts[0]+"."+parts[1], signature, key) == nil
}

// wycheproof is a file of Project Wycheproof.
type wycheproof struct {
	Count  int `json:"numberOfTests"`
	Groups []struct {
		Private struct {
			Secret string `json:"k"` // of a symmetric key
		} `json:"private"`
		Public jsontext.Value `json:"public"`
		Tests  []struct {
			ID      int    `json:"tcId"`
			Comment string `json:"comment"`
			JWS     string `json:"jws"`
			Result  string `json:"result"`
		} `json:"tests"`
	} `json:"testGroups"`
}

// What we judge otherwise than Wycheproof, and why.
const (
	notOurAlgorithm = "refused: a server has one algorithm, chosen by its operator (RFC 8725, 3.1)"
	notOurAlphabet  = "refused: a decoder may skip what is not base64url, but then one token has many spellings (RFC 7515, 2: without any additional characters)"
	lostPadding     = "accepted: two vectors have lost the padding that was to be wrong with them, and are now the text of a valid one"
)

// Each vector is something that implementations have fallen for, or a token that
// they must take. An unexplained deviation is a failure, and so is an explanation
// that is not needed any more.
func TestWycheproofSignatures(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/wycheproof/json_web_signature_test.json")
	require.NoError(t, err)
	var vectors wycheproof
	require.NoError(t, json.Unmarshal(text, &vectors))

	for _, alg := range []string{"HS256", "EdDSA"} {
		s := newGenuine(t, "token", alg).Strategy.(*token)
		seen, valid, deviations := 0, map[string]bool{}, map[string]int{}
		for _, group := range vectors.Groups {
			// Where the vectors mean a key of another kind, its text is taken for the
			// secret, as by a verifier that confuses the two.
			secret, err := base64.RawURLEncoding.DecodeString(group.Private.Secret)
			require.NoError(t, err)
			var key any = secret
			if len(secret) == 0 {
				key = []byte(group.Public)
			}
			if alg == "EdDSA" {
				active, err := s.Keys.Active(keys.TokenEdDSA)
				require.NoError(t, err)
				key = active.Public()
			}
			for _, v := range group.Tests {
				seen++
				valid[v.JWS] = valid[v.JWS] || v.Result == "valid"
				switch accepted := s.verifies(v.JWS, key); {
				case accepted == (v.Result == "valid"):
				case !accepted && strings.ContainsFunc(v.JWS, notJOSE):
					deviations[notOurAlphabet]++
				case !accepted && declared(t, v.JWS) != alg:
					deviations[notOurAlgorithm]++
				case accepted && valid[v.JWS]:
					deviations[lostPadding]++
				default:
					t.Errorf("%s: vector %d, %s, is %s, and accepted: %t", alg, v.ID, v.Comment, v.Result, accepted)
				}
			}
		}
		require.Equal(t, vectors.Count, seen)
		want := map[string]map[string]int{
			"HS256": {notOurAlphabet: 2, notOurAlgorithm: 36, lostPadding: 2},
			"EdDSA": {notOurAlphabet: 2, notOurAlgorithm: 44},
		}
		require.Equal(t, want[alg], deviations)
	}
}

// declared is the algorithm that a token names.
func declared(t *testing.T, text string) string {
	t.Helper()
	encoded, _, _ := strings.Cut(text, ".")
	decoded, err := unbase64(encoded)
	require.NoError(t, err)
	var h struct {
		Alg string `json:"alg"`
	}
	require.NoError(t, json.Unmarshal(decoded, &h))
	return h.Alg
}

// The layer that the vectors are tried on is the one that tokens go through: it
// judges each change of a genuine token as parse does.
func TestTheLayerOfTheVectorsIsThatOfTokens(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"HS256", "EdDSA"} {
		g := newGenuine(t, "token", alg)
		s := g.Strategy.(*token)
		key, err := s.key(&jwt.Token{Raw: g.held})
		require.NoError(t, err)
		accepted := 0
		for i := range len(g.held) {
			for _, change := range []string{"", "A", "?", ".", "\n", "=", g.held[i : i+1]} {
				text := g.held[:i] + change + g.held[i+1:]
				_, err := s.parse(text)
				require.Equal(t, err == nil, s.verifies(text, key), "%s: character %d: %q", alg, i, change)
				if err == nil {
					accepted++
					require.Equal(t, g.held, text, fmt.Sprint(i))
				}
			}
		}
		require.GreaterOrEqual(t, accepted, len(g.held))
	}
}
