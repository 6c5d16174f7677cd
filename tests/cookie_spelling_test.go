package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/keys"
	"statelab/tests/harness"
)

// clientHeld runs a test for every strategy whose cookie is the state. A token in
// a cookie is one of eachToken's.
func clientHeld(t *testing.T, s *harness.Server, f func(t *testing.T, slug string)) {
	eachStrict(t, s, func(t *testing.T, slug string) {
		if s.Traits(t, slug).Holder == state.HolderClient && s.Login(t, slug, harness.Alice, harness.AlicePassword).Renews() == "" {
			f(t, slug)
		}
	})
}

func TestACookieHasOneSpelling(t *testing.T) {
	t.Parallel()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	s := harness.NewServer(t)
	clientHeld(t, s, func(t *testing.T, slug string) {
		c, b := s.Login(t, slug, harness.Alice, harness.AlicePassword), s.Login(t, slug, harness.Bob, harness.BobPassword)
		name, mine, theirs := harness.CookieName(slug), c.Held(), b.Held()
		bad := map[string]string{
			"half": mine[:len(mine)/2], "nothing in front": "." + mine, "a point behind": mine + ".", "a point in front of it": mine[:1] + "." + mine[1:], "padding": mine + "=", "twice": mine + mine,
			"a character more": mine + "A", "a character less": mine[:len(mine)-1], "four characters less": mine[:len(mine)-4], "the end of another": mine[:len(mine)-43] + theirs[len(theirs)-43:],
			"the start of another": theirs[:len(theirs)-43] + mine[len(mine)-43:], "a third part": mine + "." + mine[len(mine)-43:], "standard base64": strings.NewReplacer("-", "+", "_", "/").Replace(mine) + "A",
			"in capitals": strings.ToUpper(mine), "a JWT": "eyJhbGciOiJub25lIn0." + mine + ".", "nothing but zeros": harness.Long("A", len(mine)), "an empty payload": mine[len(mine)-44:],
			"JSON in clear": `{"sub":"x"}`, "base64 of JSON": base64Of([]byte(`{"role":"admin"}`)), "base64 of JSON with a signature": base64Of([]byte(`{"role":"admin"}`)) + mine[len(mine)-44:],
		}
		for i := range mine {
			if at := strings.IndexByte(alphabet, mine[i]); at >= 0 {
				bad[fmt.Sprintf("character %d, one bit", i)] = mine[:i] + string(alphabet[at^1]) + mine[i+1:]
			} else {
				bad[fmt.Sprintf("character %d gone", i)] = mine[:i] + mine[i+1:]
			}
		}
		for _, last := range alphabet {
			if changed := mine[:len(mine)-1] + string(last); changed != mine {
				bad["ends with "+string(last)] = changed
			}
		}
		for _, other := range harness.Strategies {
			if other != slug {
				bad["of "+other] = s.Login(t, other, harness.Alice, harness.AlicePassword).Held()
			}
		}
		before := c.Profile()
		for what, value := range bad {
			t.Run(what, func(t *testing.T) {
				c := c.In(t)
				a := c.Do("GET", "/"+slug+"/profile", nil, harness.Header("Cookie", name+"="+value))
				c.Refused(before, a, http.StatusUnauthorized, "bad_signature")
			})
		}
		alien := harness.NewServer(t).Login(t, slug, harness.Alice, harness.AlicePassword).Held()
		c.Refused(before, c.Do("GET", "/"+slug+"/profile", nil, harness.Header("Cookie", name+"="+alien)), http.StatusUnauthorized, "bad_signature")
	})
}

// What another version of the program has sealed with the same key is refused
// unless it is a whole login of this version.
func TestACookieOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	seal := map[string]func(slug, payload string) string{
		state.ProtectedBySignature: func(slug, payload string) string {
			key, err := s.Config.Keys.Active(keys.CookieSigning)
			require.NoError(t, err)
			text := base64Of([]byte(payload))
			return text + "." + base64Of(signWith(key)(slug+"\x00"+text))
		},
		state.ProtectedByEncryption: func(slug, payload string) string {
			key, err := s.Config.Keys.Active(keys.CookieSealing)
			require.NoError(t, err)
			return base64Of(key.AEAD().Seal(nil, nil, []byte(payload), []byte(slug))) //nolint:gosec // the cipher draws its nonce itself
		},
	}
	clientHeld(t, s, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		var whole jsontext.Value
		var in struct {
			Carried struct {
				Decoded jsontext.Value `json:"decoded"`
			} `json:"carried"`
		}
		require.NoError(t, json.Unmarshal(c.Get("inspect").Body, &in))
		whole = in.Carried.Decoded
		seal := func(payload string) string { return seal[s.Traits(t, slug).ProtectedBy](slug, payload) }
		ask := func(t *testing.T, payload string) *harness.Answer {
			return s.Client(t, slug).Do("GET", "/"+slug+"/profile", nil, harness.Header("Cookie", harness.CookieName(slug)+"="+seal(payload)))
		}
		require.Equal(t, c.Profile(), string(ask(t, string(whole)).Is(http.StatusOK).Body))

		future := `"expires_at":4000000000000000`
		for name, payload := range map[string]string{
			"nothing": ``, "null": `null`, "a list": `[]`, "text": `"x"`, "half of it": string(whole[:len(whole)/2]), "twice": string(whole) + string(whole), "bytes": "\x00\x01\xff",
			"a name twice": strings.Replace(string(whole), "{", `{"role":"admin",`, 1), "credits in a string": edit(t, string(whole), "credits", `"100"`), "a date in a string": edit(t, string(whole), "expires_at", `"2030-01-01"`),
			"only a date": `{` + future + `}`, "of other members": `{"user_id":1,"name":"alice",` + future + `}`, "without a subject": edit(t, string(whole), "sub", ""), "without an id": edit(t, string(whole), "sid", ""),
			"of another encoding": string(append([]byte{0x0d, 0xff, 0x81}, whole...)),
		} {
			t.Run(name, func(t *testing.T) { ask(t, payload).Is(http.StatusUnauthorized, "bad_signature") })
		}
	})
}
