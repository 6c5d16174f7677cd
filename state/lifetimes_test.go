package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
)

// Each bound is allowed, and what is beyond it is refused with what to use instead.
func TestLifetimesHaveBounds(t *testing.T) {
	t.Parallel()
	for _, s := range state.LifetimeSettings() {
		require.NoError(t, s.Check(s.Default), s.Name)
		require.NoError(t, s.Check(s.Min), s.Name)
		require.ErrorContains(t, s.Check(s.Min-1), state.Short(s.Min), s.Name)
		if s.Max > 0 {
			require.NoError(t, s.Check(s.Max), s.Name)
			require.ErrorContains(t, s.Check(s.Max+1), state.Short(s.Max)+", because "+s.Reason, s.Name)
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
