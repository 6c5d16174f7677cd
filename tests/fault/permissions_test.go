package fault

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"statelab/state/store/storetest"
	"statelab/tests/harness"
)

// permissions are those of the line for Redis in OPERATING.md.
func permissions(t *testing.T) []string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^ACL SETUSER statelab on >PASSWORD (.*)$`).FindStringSubmatch(harness.Document(t, "api/OPERATING.md"))
	require.NotNil(t, line)
	return strings.Fields(line[1])
}

// as is the address of a Redis for a user that has these permissions there.
func as(t *testing.T, redis *storetest.Server, permissions ...string) string {
	t.Helper()
	allow(t, redis.Address, append([]string{"reset", "on", ">sesame"}, permissions...)...)
	return strings.Replace(redis.Address, "://", "://lab:sesame@", 1)
}

// allow gives the user permissions on every server at the address.
func allow(t *testing.T, address string, permissions ...string) {
	t.Helper()
	for _, host := range strings.Split(strings.TrimPrefix(address, "redis://"), ",") {
		client := redis.NewClient(&redis.Options{Addr: host})
		args := []any{"ACL", "SETUSER", "lab"}
		for _, p := range permissions {
			args = append(args, p)
		}
		require.NoError(t, client.Do(t.Context(), args...).Err())
		require.NoError(t, client.Close())
	}
}

// warned is what /readyz warns of, which fails nothing.
func warned(p *harness.Process) []string {
	var all []string
	for _, one := range p.Client("").Do("GET", "/readyz", nil).Is(http.StatusOK).At("warnings").([]any) {
		all = append(all, one.(string))
	}
	return all
}

// worksOver requires that two programs serve logins of the Redis at the address, and the
// catalogue, where a change at one counts at the other. It returns both.
func worksOver(t *testing.T, address string) [2]*harness.Process {
	t.Helper()
	dir := t.TempDir()
	args := []string{"--listen", "localhost:0", "--store", address, "--database", "sqlite:" + dir + "/x.db", "--keys", dir + "/keys.json"}
	nodes := [2]*harness.Process{harness.Start(t, dir, nil, args...), harness.Start(t, dir, nil, args...)}
	for _, slug := range []string{"session", "token"} {
		c := nodes[0].Client(slug)
		c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		c.Patch(harness.Object{"theme": "dark"}).Is(http.StatusOK)
		c.Get("logins").Is(http.StatusOK)
		c.Renew().Is(http.StatusOK)
		c.Post("logout", harness.Object{"everywhere": true}).Is(http.StatusNoContent)
		require.Equal(t, http.StatusUnauthorized, c.Renew().Status, "ended")
	}
	for i := range int64(6) {
		price := 5000 + i
		nodes[i%2].Client("").Costs("redis", price).Is(http.StatusOK)
		for _, n := range []int64{i % 2, 1 - i%2, i % 2} {
			require.Equal(t, price, nodes[n].Client("").Catalog("redis").Is(http.StatusOK).Price(), "node %d", n)
		}
		for _, n := range nodes {
			n.Client("").Catalog("redis").Is(http.StatusOK).Says("hit")
		}
	}
	return nodes
}

func TestTheDocumentedPermissionsOfRedisAreEnough(t *testing.T) {
	t.Parallel()
	redis := storetest.Redis(t, "--acl-pubsub-default", "resetchannels")
	for _, p := range worksOver(t, as(t, redis, permissions(t)...)) {
		require.Empty(t, warned(p))
		require.NotContains(t, p.Logged(), "level=WARN")
	}
}

func TestTheDocumentedPermissionsOfRedisAreEnoughForACluster(t *testing.T) {
	address := storetest.RedisCluster(t)
	allow(t, address, append([]string{"reset", "on", ">sesame"}, permissions(t)...)...)
	for _, p := range worksOver(t, strings.Replace(address, "://", "://lab:sesame@", 1)) {
		require.Empty(t, warned(p))
	}
}

// A user without some of the permissions loses what they are for, and no more. The log
// says so once, /readyz warns, and a metric counts.
func TestARedisThatRefusesSomethingIsUsedForTheRest(t *testing.T) {
	t.Parallel()
	all := permissions(t)
	for name, test := range map[string]struct {
		permissions []string
		warnings    []string
	}{
		"the field's user without channels": {[]string{"~statelab:*", "+@all"}, []string{"the channel"}},
		"no channels":                       {append(all, "resetchannels"), []string{"the channel"}},
		"no publish":                        {append(all, "-publish"), []string{"the channel"}},
		"no subscribe":                      {append(all, "-subscribe"), []string{"the channel"}},
		"no INFO":                           {append(all, "-info"), []string{"cannot see whether", "INFO: if"}},
		"nothing dangerous":                 {[]string{"~statelab:*", "&*", "+@all", "-@dangerous"}, []string{"cannot see whether", "INFO: if"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := storetest.Redis(t, "--acl-pubsub-default", "resetchannels")
			for i, p := range worksOver(t, as(t, redis, test.permissions...)) {
				require.Eventually(t, func() bool { return len(warned(p)) == len(test.warnings) }, time.Minute, 20*time.Millisecond, "%d: %v", i, warned(p))
				told := strings.Join(warned(p), "\n")
				metrics := string(p.Client("").Do("GET", "/metrics", nil).Is(http.StatusOK).Body)
				require.Contains(t, metrics, fmt.Sprintf("\nstatelab_warnings %d\n", len(test.warnings)))
				log := p.Logged()
				for _, w := range test.warnings {
					require.Contains(t, told, w)
					require.Equal(t, 1, strings.Count(log, w), "said once")
				}
				require.NotContains(t, log, "sesame")
			}
		})
	}
}

// What Redis allows later is used without a restart.
func TestAChannelThatIsAllowedLaterIsUsed(t *testing.T) {
	t.Parallel()
	redis := storetest.Redis(t, "--acl-pubsub-default", "resetchannels")
	address := as(t, redis, "~statelab:*", "+@all")
	p := worksOver(t, address)[0]
	require.Eventually(t, func() bool { return len(warned(p)) == 1 }, time.Minute, 20*time.Millisecond)
	allow(t, redis.Address, "&statelab:*")
	require.Eventually(t, func() bool {
		p.Client("").Costs("redis", 7000).Is(http.StatusOK)
		return len(warned(p)) == 0
	}, time.Minute, 20*time.Millisecond)
}

// A cache whose user may do nothing there keeps nothing; the logins are not its matter.
func TestACacheWithoutPermissionsIsBypassed(t *testing.T) {
	t.Parallel()
	for name, rights := range map[string][]string{
		"nothing":       {"~statelab:*", "&*", "+@connection"},
		"no GET":        {"~statelab:*", "&*", "+@all", "-get"},
		"no SET":        {"~statelab:*", "&*", "+@all", "-set"},
		"no scripts":    {"~statelab:*", "&*", "+@all", "-evalsha", "-eval"},
		"no keys of it": {"~other:*", "&*", "+@all"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := storetest.Redis(t)
			p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0", "--cache", as(t, redis, rights...))
			for i := range int64(3) {
				p.Client("").Costs("redis", 6000+i).Is(http.StatusOK)
				require.Equal(t, 6000+i, p.Client("").Catalog("redis").Is(http.StatusOK).Price())
			}
			require.Contains(t, strings.Join(warned(p), "\n"), "keeps nothing")
			require.Equal(t, 1, strings.Count(p.Logged(), "keeps nothing"))
		})
	}
}

// A Sentinel may have a user and a password of its own, which are not those of Redis.
func TestASentinelWithAPassword(t *testing.T) {
	t.Parallel()
	master := storetest.Redis(t, "--requirepass", "another", "--user", "lab", "on", ">sesame", "~statelab:*", "&statelab:*", "+@all")
	auth := "sentinel auth-pass main another"
	for _, c := range []struct {
		name     string
		sentinel *storetest.Server
		query    string
		status   int
	}{
		{"with a password", storetest.Sentinel(t, master, auth, "requirepass guard%dog"), "&sentinel_password=guard%25dog", http.StatusOK},
		{"with a user", storetest.Sentinel(t, master, auth, "user watcher on >guard ~* &* +@all", "user default off"), "&sentinel_user=watcher&sentinel_password=guard", http.StatusOK},
		{"with another password", storetest.Sentinel(t, master, auth, "requirepass guard"), "&sentinel_password=dog", http.StatusServiceUnavailable},
		{"with a password that it is not told", storetest.Sentinel(t, master, auth, "requirepass guard"), "", http.StatusServiceUnavailable},
		{"without a password", storetest.Sentinel(t, master, auth), "", http.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := strings.Replace(c.sentinel.Address, "://", "://lab:sesame@", 1) + "/0?master=main" + c.query
			p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0", "--store", address)
			p.Client("session").Post("login", harness.Credentials(harness.Alice, harness.AlicePassword)).Is(c.status)
			log := p.Logged()
			for _, secret := range []string{"sesame", "guard", "another"} {
				require.NotContains(t, log, secret)
			}
		})
	}
}
