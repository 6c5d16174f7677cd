package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
)

// Each bound is allowed, and what is beyond it is refused with what to use instead.
func TestLimitsHaveBounds(t *testing.T) {
	t.Parallel()
	for _, s := range state.Settings() {
		check := func(v int64) error {
			l := state.Limits{Lifetimes: state.DefaultLifetimes(), LoginsPerAccount: state.DefaultLoginsPerAccount}
			*s.Of(&l) = v
			return l.Check()
		}
		require.NoError(t, check(s.Default), s.Name)
		require.NoError(t, check(s.Min), s.Name)
		require.ErrorContains(t, check(s.Min-1), "--"+s.Name+" "+s.Text(s.Min-1))
		require.ErrorContains(t, check(s.Min-1), s.Text(s.Min), s.Name)
		if s.Max > 0 {
			require.NoError(t, check(s.Max), s.Name)
			require.ErrorContains(t, check(s.Max+1), s.Text(s.Max)+s.Reason, s.Name)
		}
	}
}

func TestADurationIsWrittenShort(t *testing.T) {
	t.Parallel()
	for text, d := range map[string]time.Duration{
		"0s": 0, "10s": 10 * time.Second, "1m": time.Minute, "1m10s": 70 * time.Second, "1h": time.Hour, "168h": 168 * time.Hour, "1h10m": 70 * time.Minute, "1.5s": 1500 * time.Millisecond,
	} {
		require.Equal(t, text, state.Short(d))
	}
}
