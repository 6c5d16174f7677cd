package state

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// chiSquare is how far what was drawn is from evenly distributed over the n
// characters that turned up, and bound what chance exceeds once in a billion
// times (Wilson and Hilferty's approximation, six standard deviations).
func chiSquare(drawn map[byte]int, total, n int) float64 {
	expected, sum := float64(total)/float64(n), 0.0
	for i := range len(alphabet) {
		if count, ok := drawn[alphabet[i]]; ok {
			sum += math.Pow(float64(count)-expected, 2) / expected
		}
	}
	return sum + float64(n-len(drawn))*expected // those that never turned up
}

func bound(n int) float64 {
	free := float64(n - 1)
	return free * math.Pow(1-2/(9*free)+6*math.Sqrt(2/(9*free)), 3)
}

// requireRandom requires texts of 22 characters each, that is of 128 bits in
// base64url, to differ all from each other and to prefer no character anywhere.
func requireRandom(t *testing.T, what string, texts []string) {
	t.Helper()
	seen := map[string]bool{}
	places := make([]map[byte]int, secretChars)
	for i := range places {
		places[i] = map[byte]int{}
	}
	for _, text := range texts {
		require.Len(t, text, secretChars, what)
		require.False(t, seen[text], "%s: %s twice", what, text)
		seen[text] = true
		for i := range places {
			places[i][text[i]]++
		}
	}
	for i, drawn := range places {
		n := len(alphabet)
		if i == secretChars-1 {
			n = 4 // the last character has two bits of the 128
		}
		require.Less(t, chiSquare(drawn, len(texts), n), bound(n), "%s, character %d: %v", what, i, drawn)
	}
}

// Ten thousand logins have ten thousand identifiers of 128 random bits (OWASP
// ASVS 5.0, 7.2.3), wherever a strategy needs one. The source of the strategies is
// the same in each run, so that the statistics never fail by chance.
func TestCredentialsAreRandom(t *testing.T) {
	t.Parallel()
	const logins = 10_000
	for _, d := range definitions {
		if d.Place == PlaceProcess {
			continue // an engine of others draws them
		}
		t.Run(d.Slug, func(t *testing.T) {
			t.Parallel()
			s, err := New(Config{
				Slug: d.Slug, Store: new(one), Keys: fuzzRing(t, 1), Now: func() time.Time { return fuzzNow }, Rand: repeatable(5),
				Roles: func(context.Context, string) (string, error) { return "member", nil }, Limits: Limits{Lifetimes: DefaultLifetimes()},
				TokenAlg: "HS256", // the cheaper one
			})
			require.NoError(t, err)
			drawn := map[string][]string{}
			for range logins {
				w := httptest.NewRecorder()
				l, credential, err := s.Start(w, httptest.NewRequest(http.MethodPost, "/", nil), NewLogin("01M807", "alice", "Alice", "member"))
				require.NoError(t, err)
				drawn["the login"] = append(drawn["the login"], l.ID)
				opaque := credential.RefreshToken
				if s.Traits().Holder == HolderServer {
					opaque = held(w, credential)
				}
				if opaque != "" {
					drawn["the look-up"] = append(drawn["the look-up"], opaque[:secretChars])
					drawn["the secret"] = append(drawn["the secret"], opaque[secretChars:])
				}
				if s.Traits().ProtectedBy == ProtectedBySignature && credential.AccessToken != "" {
					var c claims
					_, _, err := jwt.NewParser().ParseUnverified(credential.AccessToken, &c)
					require.NoError(t, err)
					drawn["jti"] = append(drawn["jti"], c.ID)
				}
			}
			for what, texts := range drawn {
				requireRandom(t, what, texts)
			}
		})
	}
}

// The statistics see what is not random enough.
func TestWhatIsNotRandomIsSeen(t *testing.T) {
	t.Parallel()
	fair := func(i int) map[byte]int {
		drawn := map[byte]int{}
		for n := range 10_000 {
			drawn[alphabet[(n*i)%64]]++
		}
		return drawn
	}
	require.Less(t, chiSquare(fair(1), 10_000, 64), bound(64))
	require.Greater(t, chiSquare(fair(2), 10_000, 64), bound(64), "half of the characters")
	require.Greater(t, chiSquare(map[byte]int{'A': 10_000}, 10_000, 4), bound(4), "always the same")
}

// Whoever sees two sealed cookies cannot tell whether they hold the same.
func TestTwoSealsOfOneStateDiffer(t *testing.T) {
	t.Parallel()
	c := sealed{"cookie-sealed", fuzzRing(t, 1)}
	first, err := c.encode([]byte(strings.Repeat("the same ", 100)))
	require.NoError(t, err)
	second, err := c.encode([]byte(strings.Repeat("the same ", 100)))
	require.NoError(t, err)
	require.Len(t, second, len(first))
	same := 0
	for i := range first {
		if first[i] == second[i] {
			same++
		}
	}
	require.Less(t, same, len(first)/16, "one character in 64 is the same by chance")
}
