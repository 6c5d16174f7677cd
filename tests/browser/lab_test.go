package browser

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"statelab/api/attacker"
	"statelab/state"
	"statelab/tests/harness"
)

// What the classroom's page has besides the table: a thief, levers, caches, and a
// column without a server. Each story is tried with all strategies, and what must
// come of it is in their traits.

// loot is a selector of something in the thief's copy of a strategy.
func loot(slug, inner string) string { return fmt.Sprintf(`[data-copy-of=%q] %s`, slug, inner) }

// told is the status that the thief was told last.
func (v *visitor) told(slug string) string {
	v.t.Helper()
	return v.text(loot(slug, "[data-field=told]"))
}

// everywhere requires what the thief is told of each strategy.
func (v *visitor) everywhere(works func(state.Traits) bool) {
	v.t.Helper()
	for _, slug := range harness.Strategies {
		require.Equal(v.t, works(v.s.Traits(v.t, slug)), v.told(slug) == "200", "%s: %s", slug, v.text(loot(slug, "")))
	}
}

func TestAThiefEditsAndReplaysCopies(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.addsAll()
		v.opensTab("attacker")
		v.clicks(testid("thief-copy"))
		require.Empty(t, v.texts("[data-copy-of]"), "there is nothing to copy")
		v.acts("login")
		v.clicks(testid("thief-copy"))
		require.Equal(t, harness.Strategies, js[[]string](v, `[...document.querySelectorAll('[data-copy-of]')].map((e) => e.dataset.copyOf)`))

		// Where nothing protects it, a credential makes its writer an admin.
		v.clicks(testid("thief-forge"))
		for _, slug := range harness.Strategies {
			forged := !v.s.Traits(t, slug).TamperProof
			require.Equal(t, forged, v.told(slug) == "200", slug)
			if forged {
				require.Equal(t, "✘ "+v.phrase("thief.admin", "count", "3"), v.text(loot(slug, "[data-field=told_more]")))
			}
		}

		// By hand: more credits.
		for _, slug := range harness.Strategies {
			v.clicks(loot(slug, "summary"))
			if v.s.Traits(t, slug).Readable {
				v.does(fmt.Sprintf(`(() => { const text = document.querySelector(%q); text.value = text.value.replace('"credits": 100', '"credits": 100000'); })()`, loot(slug, "textarea")))
				require.Contains(t, js[string](v, fmt.Sprintf(`document.querySelector(%q).value`, loot(slug, "textarea"))), "100000")
			}
			v.clicks(loot(slug, "[data-send]"))
			v.until(fmt.Sprintf(`!document.querySelector(%q).textContent.includes('?')`, loot(slug, "")))
		}
		v.until(`[...document.querySelectorAll('[data-copy-of]')].every((e) => e.dataset.outcome)`)
		v.everywhere(func(traits state.Traits) bool { return !traits.TamperProof })

		// An old copy brings the credits back where the client holds them.
		v.acts("spend")
		v.showsAll(fields{"credits": v.phrase("credits", "count", "70")})
		v.clicks(testid("thief-restore"))
		for _, slug := range harness.Strategies {
			want := "70"
			if !v.s.Traits(t, slug).RollbackProof {
				want = "100"
			}
			v.shows(slug, fields{"status": "200", "credits": v.phrase("credits", "count", want)})
		}

		// A copy after the logout.
		v.acts("logout")
		v.until(fmt.Sprintf(`[...document.querySelectorAll('[data-copy-of] [data-field=life]')].filter((e) => e.textContent).length === %d`, len(harness.Strategies)))
		v.clicks(testid("thief-use"))
		v.everywhere(func(traits state.Traits) bool { return !traits.Revocable })
		require.NotContains(t, js[string](v, `document.querySelector('[data-thief]').textContent`), "thief.", "every word is there")
	})
}

// A copy dies after what the comparison says, and not before.
func TestACopyLivesAsLongAsItsStrategySays(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.addsAll()
		v.opensTab("attacker")
		v.acts("login")
		v.clicks(testid("thief-copy"))
		v.acts("logout")
		v.until(fmt.Sprintf(`[...document.querySelectorAll('[data-copy-of] [data-field=life]')].filter((e) => e.textContent).length === %d`, len(harness.Strategies)))
		alive := func(lives func(slug string, traits state.Traits) bool) {
			t.Helper()
			v.opensTab("attacker")
			v.clicks(testid("thief-use"))
			for _, slug := range harness.Strategies {
				traits := v.s.Traits(t, slug)
				require.Equal(t, lives(slug, traits), v.told(slug) == "200", slug)
			}
		}
		alive(func(_ string, traits state.Traits) bool { return !traits.Revocable })
		v.opensTab("levers")
		v.clicks(testid("advance-16m"))
		tokens := map[string]bool{} // whose access token has a life of its own
		for _, slug := range harness.Strategies {
			tokens[slug] = v.s.Login(t, slug, harness.Alice, harness.AlicePassword).Renews() != ""
		}
		alive(func(slug string, traits state.Traits) bool { return !traits.Revocable && !tokens[slug] })
		for slug := range tokens {
			if tokens[slug] {
				require.Contains(t, v.text(loot(slug, "[data-field=life]")), "16 min", slug)
				require.Equal(t, "expired", v.text(loot(slug, "[data-field=told_code]")))
			}
		}
		v.opensTab("levers")
		v.clicks(testid("advance-8h"))
		alive(func(_ string, traits state.Traits) bool { return !traits.Revocable && !traits.Expires })
		v.opensTab("levers")
		v.clicks(testid("lever-reset"))
		v.until(`document.querySelector('[data-levers]').ariaBusy === 'false'`)
		require.Equal(t, v.word("lever.pulled"), v.text(testid("pulled")))
	})
}

// An attacker who plants an identifier has the victim's login where the server
// adopts any identifier and renews none.
func TestAnIdentifierCanBePlantedWhereAnyIsAdopted(t *testing.T) {
	onPage(t, english, func(t *testing.T, v *visitor) {
		v.addsAll()
		for _, slug := range harness.Strategies {
			if v.s.Traits(t, slug).SentByBrowser {
				v.does(fmt.Sprintf(`fetch('/%s/profile').then(() => { document.cookie = %q; })`, slug, harness.CookieName(slug)+"=of-my-making; path=/"+slug))
			}
		}
		v.acts("login")
		v.showsAll(fields{"status": "200", "user": "Alice"})
		for _, slug := range harness.Strategies {
			traits := v.s.Traits(t, slug)
			if !traits.SentByBrowser {
				continue
			}
			thief := v.s.Client(t, slug).Hold("of-my-making")
			adopted := !traits.StrictID && traits.Holder == state.HolderServer
			require.Equal(t, adopted, thief.Get("profile").Status == http.StatusOK, slug)
		}
	})
}

func TestTheLeversWorkAndExplainThemselves(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.toggles("session-stock")
		v.acts("login")
		v.opensTab("levers")
		v.until(`document.querySelector('[data-field=clock]').textContent`)
		setting := func(name string) string {
			return js[string](v, fmt.Sprintf(`(() => { const e = document.querySelector('[data-setting=%q]'); return e.type === 'checkbox' ? String(e.checked) : e.value; })()`, name))
		}
		pulls := func(selector, curl string) {
			t.Helper()
			v.clicks(selector)
			v.until(fmt.Sprintf(`document.querySelector('[data-field=pulled_curl]').textContent.includes(%q)`, curl))
			v.settles()
		}
		pulls(testid("lever-role"), `-X PUT -H 'Content-Type: application/json' -d '{"role":"admin"}' `+v.origin+"/classroom/accounts/alice/role")
		v.shows("session", fields{"role": v.word("role.admin")})
		v.shows("cookie", fields{"role": ""}) // a photograph

		pulls(testid("lever-store"), "/classroom/store/session")
		require.Equal(t, []string{"alice"}, v.texts("[data-records] b"))
		v.clicks("[data-records] button")
		v.until(fmt.Sprintf(`document.querySelector('[data-records]').textContent === %q`, v.word("lever.store.empty")))
		v.settles()
		v.shows("session", fields{"status": "401", "code": "unknown_session"})
		v.shows("cookie", fields{"status": "200"})

		v.acts("login")
		v.clicks(testid("keep-keys"))
		pulls(testid("lever-restart"), `{"keep_keys":false}`)
		v.until(`document.querySelector('td[data-strategy=cookie] [data-field=status]').textContent === '401'`)
		v.shows("cookie", fields{"code": "bad_signature"})
		v.shows("session", fields{"code": "unknown_session"})
		v.shows("session-stock", fields{"code": "unknown_session"})

		v.acts("login")
		pulls(testid("lever-rotate"), `{"keep_previous":true}`)
		v.until(`document.querySelector('td[data-strategy=cookie] [data-field=status]').textContent === '200'`)
		v.clicks(testid("keep-previous"))
		pulls(testid("lever-rotate"), `{"keep_previous":false}`)
		v.until(`document.querySelector('td[data-strategy=cookie] [data-field=status]').textContent === '401'`)
		v.shows("session", fields{"status": "200"})

		require.Equal(t, "none", setting("revocation"))
		v.does(`(() => { const e = document.querySelector('[data-setting=revocation]'); e.value = 'denylist'; e.dispatchEvent(new Event('change')); })()`)
		v.until(`document.querySelector('[data-field=pulled_curl]').textContent.includes('denylist')`)
		v.settles()
		require.Equal(t, "denylist", v.s.Pull(t, "GET", "settings", nil).Text("revocation"))
		v.does(`(() => { const e = document.querySelector('[data-setting=access_ttl]'); e.value = '9h'; e.dispatchEvent(new Event('change')); })()`)
		refused := strings.NewReplacer("{setting}", "access_ttl", "{min}", "1s", "{max}", "1h").Replace(v.word("lever.refused.range"))
		v.until(fmt.Sprintf(`document.querySelector('[data-field=pulled]').textContent === %q`, refused))
		v.until(`document.querySelector('[data-setting=access_ttl]').value === '15m0s'`) // what is in force

		pulls(testid("lever-reset"), "/classroom/reset")
		v.until(`document.querySelector('[data-setting=revocation]').value === 'none'`)
		v.clicks(testid("advance-16m"))
		v.until(`document.querySelector('[data-field=clock]').textContent.includes('16')`)
		require.NotContains(t, js[string](v, `document.querySelector('[data-levers]').textContent`), "lever.", "every word is there")
	})
}

// The cart is filled until a browser would keep no more of it, and then without the
// check that prevents this.
func TestACookieIsFullAt4096Bytes(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.addsAll()
		v.acts("login")
		limited := func(slug string) bool { return v.s.Traits(t, slug).LimitBytes == state.CookieLimit }
		for range 20 {
			v.acts("cart")
			if v.field("cookie", "status") != "200" {
				break
			}
		}
		v.acts("cart", "cart", "cart")
		for _, slug := range harness.Strategies {
			if !limited(slug) {
				v.shows(slug, fields{"status": "200"})
				continue
			}
			v.shows(slug, fields{"status": "413", "code": "credential_too_large"})
			require.Contains(t, v.field(slug, "sentence"), "4096", slug)
			width, err := strconv.Atoi(js[string](v, fmt.Sprintf(`document.querySelector(%q).getAttribute('width')`, "tr[data-row=sent] "+cell(slug, ".bar rect"))))
			require.NoError(t, err)
			require.Less(t, width, 4200, "the gauge stands before the line")
			require.Greater(t, width, 2500, slug)
		}
		v.s.Set(t, harness.Object{"size_check": false})
		v.acts("cart")
		for _, slug := range harness.Strategies {
			if limited(slug) {
				v.shows(slug, fields{"status": "200"})
				require.Contains(t, v.field(slug, "note"), strings.Split(v.word("note.dropped"), "{bytes}")[0], "the browser has kept the old one")
			} else {
				v.shows(slug, fields{"note": ""})
			}
		}
		said := map[string]string{}
		for _, slug := range harness.Strategies {
			said[slug] = v.field(slug, "version")
		}
		v.acts("profile")
		for _, slug := range harness.Strategies {
			require.Equal(t, limited(slug), v.field(slug, "version") != said[slug], "what was saved is lost")
		}
	})
}

// The column has theme and cart in the browser alone: no request, and no login.
func TestAColumnWithoutAServerSendsNothing(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.toggles("localStorage")
		require.Equal(t, []string{"session", "cookie", "token", "localStorage"}, v.columns())
		v.acts("login")
		v.shows("localStorage", fields{"sentence": v.word("local.said.nothing"), "bytes_up": v.phrase("bytes", "count", "0"), "reads": "0", "user": "", "kept": v.word("local.kept")})
		v.acts("theme", "cart")
		v.shows("localStorage", fields{"theme": v.word("theme.dark"), "sentence": v.word("local.said.kept"), "cart": v.phrase("items", "count", "10")})
		v.shows("session", fields{"theme": v.word("theme.dark")})
		v.acts("logout")
		v.reloads()
		v.shows("localStorage", fields{"theme": v.word("theme.dark")}) // no act has ended anything
		for _, sent := range v.asks() {
			require.NotContains(t, sent, "localStorage")
		}
		require.Len(t, v.texts(".lane"), 3)
	})
}

// TestThePageShowsTheInbox has the page plant a script, and shows what it brings
// home: of every login that scripts can read, and of no other.
func TestThePageShowsTheInbox(t *testing.T) {
	s, thief := harness.NewAttackedServer(t)
	v := browser(t).visit(t, s, "en")
	v.opens("/#s=" + strings.Join(harness.Strategies, ","))
	v.acts("login")
	v.opensTab("attacker")
	v.until(fmt.Sprintf(`document.querySelector('[data-field=inbox_where] a')?.textContent === %q`, thief.As("127.0.0.1")))
	require.Equal(t, harness.Strategies, v.texts("[data-field=inbox_books] a"))
	v.clicks(testid("inbox-plant"))
	for _, slug := range harness.Strategies {
		v.shows(slug, fields{"status": "200"})
	}

	// A victim comes by, in another tab of the same browser.
	tab, cancel := chromedp.NewContext(v.tab)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(tab))
	victim := &visitor{t: t, s: s, origin: v.origin, language: v.language, tab: tab}
	for _, slug := range harness.Strategies {
		victim.goes(v.origin + "/" + slug + "/guestbook")
		require.Eventually(t, func() bool { // sooner than on the page, which asks once a second
			return slices.ContainsFunc(s.Inbox(t), func(e attacker.Entry) bool { return e.Strategy == slug && e.Kind == "ride" })
		}, patience, patience/3000)
	}
	for _, slug := range harness.Strategies {
		v.until(fmt.Sprintf(`[...document.querySelectorAll('[data-entries] li')].some((e) => e.querySelector('b')?.textContent === %q && e.textContent.includes(' ride '))`, slug))
		readable := js[bool](v, fmt.Sprintf(`[...document.querySelectorAll('[data-entries] li')].some((e) => e.querySelector('b')?.textContent === %q && e.querySelector('code').textContent.includes(%q))`, slug, harness.CookieName(slug)+"="))
		traits := s.Traits(t, slug)
		require.Equal(t, traits.SentByBrowser && !traits.HTTPOnly, readable, slug)
	}
	v.clicks(testid("inbox-empty"))
	v.until(fmt.Sprintf(`document.querySelector('[data-entries]').textContent === %q`, v.word("inbox.nothing")))
	_ = v.console() // the guestbooks ask for a token that no page has kept
}

// The page reads the catalog under every policy: who had it, and which is wrong after
// a write. A write does not reach what a browser keeps.
func TestEachCachePolicySaysWhoHadTheAnswer(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.acts("login")
		v.opensTab("caches")
		had := func(policy string) string {
			t.Helper()
			return v.text(fmt.Sprintf("[data-policy=%q] [data-field=had]", policy))
		}
		shows := func(want map[string]string) {
			t.Helper()
			for policy, key := range want {
				require.Equal(t, v.word("cache."+key), had(policy), policy)
			}
		}
		require.Equal(t, []string{"none", "http", "memory", "redis"}, v.texts("[data-policy] h3"))
		v.clicks(testid("caches-read"))
		shows(map[string]string{"none": "bypass", "http": "bypass", "memory": "miss", "redis": "absent"})
		v.s.Clock.Advance(time.Second) // what is computed anew is another answer
		v.clicks(testid("caches-read"))
		shows(map[string]string{"none": "bypass", "http": "browser", "memory": "hit", "redis": "absent"})

		v.clicks(testid("caches-write"))
		shows(map[string]string{"none": "bypass", "http": "browser", "memory": "miss"})
		wrong := strings.Split(v.word("cache.wrong"), "{time}")
		truth := func(policy string) string { return v.text(fmt.Sprintf("[data-policy=%q] [data-field=truth]", policy)) }
		for _, policy := range []string{"none", "http", "memory", "redis"} {
			require.Equal(t, policy == "http", strings.HasPrefix(truth(policy), wrong[0]) && strings.HasSuffix(truth(policy), wrong[1]), truth(policy))
		}
		v.clicks(testid("caches-read"))
		shows(map[string]string{"none": "bypass", "http": "browser", "memory": "hit"})
	})
}
