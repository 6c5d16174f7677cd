package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api"
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
