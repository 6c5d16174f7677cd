package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/tests/seeded"
)

// skewed are a node that signs tokens and one that verifies them, each by its own clock.
type skewed struct {
	signs, verifies     state.Strategy
	signedAt, verifying time.Time
}

func newSkewed(t *testing.T, slug, alg string, credentialCache int64) *skewed {
	t.Helper()
	n := new(skewed)
	config := newConfig(t, slug)
	config.TokenAlg, config.CredentialCache = alg, credentialCache
	node := func(now *time.Time) state.Strategy {
		c := config
		c.Now = func() time.Time { return *now }
		s, err := state.New(c)
		require.NoError(t, err)
		return s
	}
	n.signs, n.verifies = node(&n.signedAt), node(&n.verifying)
	return n
}

func TestATokenOfANodeWhoseClockIsAheadIsValidAtOnceAndNoLonger(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ttl := state.DefaultLifetimes().AccessTTL
	for _, test := range []struct {
		slug, alg       string
		tokens          int
		credentialCache int64
	}{{"token", "EdDSA", 1000, 0}, {"token", "HS256", 200, 0}, {"token-cookie", "EdDSA", 50, 0}, {"token", "EdDSA", 50, 50}} {
		for _, skew := range []time.Duration{50 * time.Millisecond, time.Second, -time.Second} {
			t.Run(fmt.Sprint(test, " ", skew), func(t *testing.T) {
				t.Parallel()
				draw, n := seeded.Rand(t), newSkewed(t, test.slug, test.alg, test.credentialCache)
				for i := range test.tokens {
					n.verifying = begin.Add(time.Duration(i)*time.Minute + time.Duration(draw.Int64N(int64(time.Second))))
					n.signedAt = n.verifying.Add(skew)
					r := carrying(t, n.signs)
					_, err := n.verifies.Load(r)
					require.NoError(t, err, "a fresh token")

					exp := n.signedAt.Truncate(time.Second).Add(ttl)
					n.verifying = exp.Add(-time.Nanosecond)
					_, err = n.verifies.Load(r)
					require.NoError(t, err, "before its exp")
					n.verifying = exp.Add(time.Duration(draw.Int64N(int64(3 * time.Second))))
					_, err = n.verifies.Load(r)
					require.ErrorIs(t, err, state.ErrExpired, "%s after its exp", n.verifying.Sub(exp))
				}
			})
		}
	}
}

func TestATokenOfANodeWhoseClockIsFarAheadIsNotValidYet(t *testing.T) {
	t.Parallel()
	n := newSkewed(t, "token", "EdDSA", 10)
	n.signedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := carrying(t, n.signs)
	for range 2 { // verified, and remembered
		n.verifying = n.signedAt.Add(-3 * time.Second)
		_, err := n.verifies.Load(r)
		require.ErrorIs(t, err, state.ErrNotYetValid)
		n.verifying = n.signedAt.Add(-2 * time.Second)
		_, err = n.verifies.Load(r)
		require.NoError(t, err)
	}
}
