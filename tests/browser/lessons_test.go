package browser

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// chooses chooses a lesson.
func (v *visitor) chooses(lesson string) {
	v.t.Helper()
	v.does(fmt.Sprintf(`(() => {
		const choice = document.querySelector('[data-testid=lesson]');
		choice.value = %q;
		choice.dispatchEvent(new Event('change'));
	})()`, lesson))
	require.Equal(v.t, v.word("lesson."+lesson+".how"), v.text("[data-field=learned]"))
	require.Empty(v.t, v.done())
}

// learned requires that every step of the lesson is ticked, and that the page says
// in a sentence what it has shown.
func (v *visitor) learned(lesson string) {
	v.t.Helper()
	v.until(fmt.Sprintf(`document.querySelector('[data-field=learned]').textContent === %q`, v.word("lesson."+lesson+".learned")))
	require.Empty(v.t, v.texts("[data-step][data-done=false]"))
}

func TestTheLessonOnAFullCartCanBeCompleted(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.chooses("wall")
		v.acts("login")
		v.acts("cart")
		require.Equal(t, []string{"login", "fill"}, v.done())
		for range 12 {
			v.acts("cart")
		}
		v.learned("wall")
	})
}

func TestTheLessonOnAThiefCanBeCompleted(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.chooses("thief")
		v.opensTab("attacker")
		v.clicks(testid("thief-copy"))
		require.Empty(t, v.done(), "there is nothing to copy")
		require.Equal(t, v.word("thief.nothing"), v.text("[data-field=thief_said]"))
		v.acts("login")
		v.clicks(testid("thief-copy"), testid("thief-use"))
		require.Equal(t, []string{"copied"}, v.done(), "a copy that works before the logout is no surprise")
		v.acts("logout")
		v.until(`[...document.querySelectorAll('[data-copy-of] [data-field=life]')].every((e) => e.textContent)`)
		v.clicks(testid("thief-use"))
		v.learned("thief")
	})
}

func TestTheLessonOnBecomingAnAdminCanBeCompleted(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.chooses("admin")
		v.toggles("cookie-plain")
		v.acts("login")
		v.opensTab("attacker")
		v.clicks(testid("thief-copy"))
		require.Equal(t, []string{"copied"}, v.done())
		v.clicks(testid("thief-forge"))
		v.learned("admin")
	})
}

func TestTheLessonOnAStaleCacheCanBeCompleted(t *testing.T) {
	onPage(t, both, func(t *testing.T, v *visitor) {
		v.chooses("cache")
		v.opensTab("caches")
		v.clicks(testid("caches-read"))
		require.Empty(t, v.done(), "the first answers are computed")
		v.clicks(testid("caches-read"))
		require.Equal(t, []string{"read"}, v.done())
		// The browser has an answer for thirty seconds. A busy machine may take longer from
		// one click to the next, and then the learner tries again.
		for range 5 {
			v.clicks(testid("caches-write"))
			if slices.Contains(v.done(), "stale") {
				break
			}
			v.clicks(testid("caches-read"))
		}
		v.learned("cache")
	})
}

func TestTheLessonOnAForgedRequestCanBeCompleted(t *testing.T) {
	chromium := browser(t)
	for _, language := range both {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			v := visitAttacked(t, chromium, language, "session", "cookie", "token")
			v.chooses("forged")
			v.acts("login")
			v.forges()
			require.Equal(t, []string{"login"}, v.done(), "what was stopped has changed nothing")
			v.opensTab("levers")
			v.clicks(`[data-setting=origin_check]`)
			require.Equal(t, []string{"login", "unchecked"}, v.done())
			v.opensTab("attacker")
			v.forges()
			v.learned("forged")
		})
	}
}
