package tests

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state/store"
	"statelab/tests/harness"
)

func TestALoginOverTheLimitEndsTheOldestWithAnAuditLine(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, func(c *api.Config) { c.LoginsPerAccount = 2 })
	harness.Each(t, func(t *testing.T, slug string) {
		if !s.Traits(t, slug).Listable {
			return // the server keeps no record of its logins
		}
		_, first, _ := s.SignsIn(t, slug, harness.Alice, harness.AlicePassword)
		s.Clock.Advance(time.Second)
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		s.Clock.Advance(time.Second)
		line := s.Audited(t, func() { s.Login(t, slug, harness.Alice, harness.AlicePassword) }, "login_limit", "sign_in")[0]
		require.Equal(t, []any{slug, first}, []any{line["strategy"], line["ended"]})
		require.Len(t, c.Get("logins").Is(http.StatusOK).At("logins"), 2)
	})
}

// An account that has as many logins as it may, each with as much state as is stored, and
// lists them over 24 connections, takes the store from no other account.
func TestAnAccountWithAllThatItMayHaveRefusesNoOther(t *testing.T) {
	t.Parallel()
	const logins = 20
	s := harness.NewServer(t, func(c *api.Config) {
		require.NoError(t, c.Store.Close())
		c.Store, c.LoginsPerAccount = store.Guarded(c.DatabaseStore, store.Options{Patience: time.Minute}), logins // the machine may be busy
	})
	bystander := s.Login(t, "session", harness.Bob, harness.BobPassword)
	full := harness.Object{"cart": slices.Repeat([]string{strings.Repeat("가", 100)}, 70)}
	var c *harness.Client
	for range logins + 3 {
		c = s.Login(t, "session", harness.Alice, harness.AlicePassword)
		c.Patch(larger()).Is(http.StatusRequestEntityTooLarge, "state_too_large")
		c.Patch(full).Is(http.StatusOK)
		s.Clock.Advance(time.Microsecond)
	}
	entries, err := s.Config.Store.BySubject(t.Context(), c.Get("profile").Text("user.id"))
	require.NoError(t, err)
	require.Len(t, entries, logins)

	var listing sync.WaitGroup
	for range 24 {
		listing.Go(func() {
			require.Contains(t, []int{http.StatusOK, http.StatusServiceUnavailable}, c.Copy().Get("logins").Status)
		})
	}
	listed := make(chan struct{})
	go func() {
		defer close(listed)
		listing.Wait()
	}()
	for served := false; !served; {
		select {
		case <-listed:
			served = true
		default:
		}
		bystander.Get("profile").Is(http.StatusOK)
		bystander.Patch(harness.Object{"nickname": "Bob"}).Is(http.StatusOK)
	}
}
