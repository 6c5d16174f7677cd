package tests

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/auth"
	"statelab/tests/harness"
)

// usernames returns those of a page of the members.
func usernames(a *harness.Answer) []string {
	var all []string
	for _, m := range a.Is(http.StatusOK).At("members").([]any) {
		all = append(all, m.(map[string]any)["username"].(string))
	}
	return all
}

func TestMembersArePaged(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	const accounts = auth.MaxPage + 5
	for n := range accounts - 3 { // and the three of the classroom
		s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": fmt.Sprintf("member-%03d", n), "password": "twinkle twinkle"}).Is(http.StatusCreated)
	}
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Teacher, harness.TeacherPassword)
		next := regexp.MustCompile(`^<(/` + slug + `/members\?limit=(\d+)&after=[a-z0-9._-]+)>; rel="next"$`)
		for query, pages := range map[string][]int{
			"": {100, 5}, "?limit=100": {100, 5}, "?limit=50": {50, 50, 5}, "?after=member-100": {2}, "?limit=2&after=member-098": {2, 2}, "?limit=1&after=zzz": {0}, "?after=a..": {100, 5},
		} {
			path, seen := "/"+slug+"/members"+query, []string{}
			for i, want := range pages {
				a := c.Do("GET", path, nil)
				page := usernames(a)
				require.Len(t, page, want, "%s, page %d", query, i)
				seen = append(seen, page...)
				if i == len(pages)-1 {
					require.Empty(t, a.Header.Values("Link"), "the last page")
					break
				}
				link := next.FindStringSubmatch(a.Header.Get("Link"))
				require.NotNil(t, link, a.Header.Get("Link"))
				path = link[1]
			}
			require.IsIncreasing(t, seen)
		}
	})
}

func TestPagesThatCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Teacher, harness.TeacherPassword)
		for _, query := range []string{
			"limit=0", "limit=101", "limit=-1", "limit=", "limit=x", "limit=1.0", "limit=1&limit=2", "limit=99999999999999999999",
			"after=", "after=al", "after=ALICE", "after=%00abc", "after=alice&after=bob", "after=' OR 1=1 --", "after=%zz", "a;b",
		} {
			c.Do("GET", "/"+slug+"/members?"+strings.ReplaceAll(query, " ", "%20"), nil).Is(http.StatusBadRequest, "invalid_request")
		}
		s.Login(t, slug, harness.Alice, harness.AlicePassword).Do("GET", "/"+slug+"/members?limit=0", nil).Is(http.StatusForbidden, "forbidden")
		s.Client(t, slug).Do("GET", "/"+slug+"/members?limit=0", nil).Is(http.StatusUnauthorized, "no_credential")
	})
}

func TestTheAccountCommandListsMoreThanAPage(t *testing.T) {
	t.Parallel()
	p := harness.Start(t, t.TempDir(), nil, "--listen", "localhost:0")
	for n := range auth.MaxPage {
		p.Client("").Do("POST", "/accounts", harness.Object{"username": fmt.Sprintf("member-%03d", n), "password": "twinkle twinkle"}).Is(http.StatusCreated)
	}
	require.Equal(t, 1+3+auth.MaxPage, strings.Count(p.Account("", "list"), "\n"))
}
