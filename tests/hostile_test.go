package tests

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"statelab/auth"
	"statelab/state"
	"statelab/tests/harness"
)

// badBodies makes what no decoder may take for the good body, by what is wrong.
func badBodies(t testing.TB, r harness.BodyRoute) map[string]string {
	t.Helper()
	var members map[string]jsontext.Value
	require.NoError(t, json.Unmarshal([]byte(r.Good), &members))
	bad := map[string]string{
		"null": `null`, "an array": `[` + r.Good + `]`, "a string": `"x"`, "a number": `1`, "a boolean": `true`, "white space": " \n",
		"half of it": r.Good[:len(r.Good)/2], "all but the end": r.Good[:len(r.Good)-1],
		"twice": r.Good + r.Good, "a word behind": r.Good + " x", "a bracket behind": r.Good + "}", "a NUL behind": r.Good + "\x00",
		"a comma at the end": strings.TrimSuffix(r.Good, "}") + ",}", "a comment": r.Good + "//", "bare names": `{amount:1}`, "single quotes": `{'amount':1}`,
		"arrays, 30,000 deep":  strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000),
		"objects, 10,000 deep": strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000),
		"a byte order mark":    "\ufeff" + r.Good, "UTF-16 with a mark": utf16Of("\ufeff"+r.Good, 0, 8), "UTF-16": utf16Of(r.Good, 8, 0),
		"form": "username=alice&password=wonderland",
	}
	with := func(name, value string) string { return strings.Replace(r.Good, "{", `{"`+name+`":`+value+`,`, 1) }
	if len(members) == 0 {
		with = func(name, value string) string { return `{"` + name + `":` + value + `}` }
	}
	for _, name := range []string{
		"", "unknown", "a/b~1", "__proto__", strings.Repeat("x", 5000), strings.Repeat("é", 40), strings.Repeat("가", 40), strings.Repeat("😀", 40),
		"role", "credits", "version", "user", "id", "sub", "username ", "strategy", "state", "issued_at", "expires_at", "credential",
	} {
		bad["the member "+name[:min(8, len(name))]] = with(name, "1")
	}
	for _, text := range []string{
		"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", `\ud800`, `\udc00`, `\ud800\u0041`, // no UTF-8, no code points
		"\x00", "\n", "\x1f", `\x`, `\u12`, `\u{1}`, // no JSON
	} {
		bad[fmt.Sprintf("the name %q", text)] = with(text, "1")
		for name, value := range members {
			if value.Kind() == '"' {
				bad[fmt.Sprintf("%s: %q", name, text)] = strings.Replace(r.Good, string(value), `"`+text+`"`, 1)
			}
		}
	}
	for name, value := range members {
		bad[name+" twice"] = with(name, string(value))
		bad[name+" twice, once escaped"] = with(fmt.Sprintf(`\u%04x`, name[0])+name[1:], string(value))
		bad[name+" twice, once in capitals"] = with(strings.ToUpper(name), string(value))
		bad[name+" in capitals"] = strings.Replace(r.Good, name, strings.ToUpper(name), 1)
		bad[name+" with one capital"] = strings.Replace(r.Good, name, strings.ToUpper(name[:1])+name[1:], 1)
		for kind, wrong := range map[jsontext.Kind][]string{
			'n': {`null`}, 't': {`true`}, '"': {`"x"`}, '{': {`{}`}, '[': {`[]`},
			'0': {`1`, `1.5`, `1e-1`, `1.0000000000000000000001`, `9223372036854775807.5`, `1e19`, `1e99999999999999999999`, `NaN`, `Infinity`, `01`, `+1`, `1_000`, `0x10`, `.5`, `9223372036854775808`, `-9223372036854775809`, `1e400`},
		} {
			switch {
			case kind == value.Kind(), kind == 't' && value.Kind() == 'f':
				wrong = wrong[1:]
			case kind == 'n' && r.Method == "PATCH": // the default
				continue
			case kind == '0': // one number is as wrong as another
				wrong = wrong[:1]
			}
			for _, w := range wrong {
				bad[name+": "+w] = strings.Replace(r.Good, `"`+name+`":`+string(value), `"`+name+`":`+w, 1)
			}
		}
		if value.Kind() == '[' {
			for _, w := range []string{`[null]`, `[1]`, `[["x"]]`, `["x",{}]`, `["x",]`, `["x"`} {
				bad[name+": "+w] = strings.Replace(r.Good, string(value), w, 1)
			}
		}
	}
	return bad
}

// utf16Of writes each code unit in two bytes, shifted so far.
func utf16Of(text string, first, second int) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = append(b, byte(unit>>first), byte(unit>>second))
	}
	return string(b)
}

func TestBadBodiesChangeNothing(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, slug string) {
		s := harness.NewServer(t)
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before, accounts, records := c.Profile(), s.Login(t, slug, harness.Teacher, harness.TeacherPassword).Get("members").Body, s.Records(t)
		routes := c.BodyRoutes()
		for _, r := range routes {
			bad := badBodies(t, r)
			for _, name := range slices.Sorted(maps.Keys(bad)) {
				t.Run(r.Path+" "+name, func(t *testing.T) {
					c.In(t).Do(r.Method, r.Path, harness.Raw(bad[name])).IsRefused(http.StatusBadRequest, "malformed_json")
				})
			}
			require.Equal(t, before, c.Profile(), r.Path)
		}
		require.Equal(t, records, s.Records(t), "a body that was refused has made a record")
		require.Equal(t, string(accounts), string(s.Login(t, slug, harness.Teacher, harness.TeacherPassword).Get("members").Body))

		// It was the bodies: with the good ones every route does what it is for.
		for _, r := range routes {
			require.Less(t, c.Do(r.Method, r.Path, harness.Raw(r.Good)).Status, 300, r.Path)
		}
	})
}

func TestWhatMustBeThereIsAskedFor(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before := c.Profile()
		for _, r := range c.BodyRoutes() {
			var members map[string]jsontext.Value
			require.NoError(t, json.Unmarshal([]byte(r.Good), &members))
			for name := range members {
				if r.Method == "PATCH" || name == "everywhere" || name == "display_name" || strings.HasSuffix(r.Path, "/logout") {
					continue
				}
				rest := maps.Clone(members)
				delete(rest, name)
				t.Run(r.Path+" without "+name, func(t *testing.T) {
					c := c.In(t)
					a := c.Do(r.Method, r.Path, rest)
					c.Refused(before, a, http.StatusBadRequest, "invalid_request")
					require.Contains(t, a.Text("detail"), name)
				})
			}
		}
		a := c.Patch(harness.Raw(`{}`)).Is(http.StatusOK)
		require.Equal(t, int64(1), a.Number("version")-1, "a patch without members is a change all the same")
	})
}

func TestBodiesOfOtherMediaTypes(t *testing.T) {
	t.Parallel()
	harness.Each(t, func(t *testing.T, slug string) {
		s := harness.NewServer(t)
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before := c.Profile()
		routes := c.BodyRoutes()
		for _, r := range routes {
			for _, lines := range [][]string{
				nil, {""}, {"text/plain"}, {"text/json"}, {"application/x-www-form-urlencoded"}, {"multipart/form-data; boundary=x"},
				{"application/json; charset=latin-1"}, {"application/json; charset=utf-16"}, {"application/json; charset=utf-8; charset=latin-1"},
				{"application/json; profile=x"}, {"application/json", "application/json"}, {"application/json", "text/plain"}, {"application/json, text/plain"},
				{"application/jsonx"}, {"application/ld+json"}, {"application/*"}, {"*/*"}, {"json"}, {"application"}, {"/"}, {"application /json"}, {"application/json;;"},
				{"text/plain; application/json"}, {"application/merge-patch+json"},
			} {
				if r.Method == "PATCH" && slices.Equal(lines, []string{"application/merge-patch+json"}) {
					continue
				}
				t.Run(fmt.Sprint(r.Path, lines), func(t *testing.T) {
					c.In(t).Do(r.Method, r.Path, harness.Raw(r.Good), harness.Header("Content-Type", lines...)).IsRefused(http.StatusUnsupportedMediaType, "unsupported_media_type")
				})
			}
			require.Equal(t, before, c.Profile(), r.Path)
		}
		for i, r := range routes {
			good := []string{"application/json", "APPLICATION/JSON", `application/json; charset="UTF-8"`, "application/json;charset=utf-8", " application/json "}
			require.Less(t, c.Do(r.Method, r.Path, harness.Raw(r.Good), harness.Header("Content-Type", good[i%len(good)])).Status, 300, r.Path)
		}
	})
}

func TestABodyWithAContentEncodingIsRefused(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	refused := func(c *harness.Client, r harness.BodyRoute, body string, lines []string) *harness.Answer {
		a := c.Do(r.Method, r.Path, harness.Raw(body), harness.Header("Content-Encoding", lines...))
		require.Equal(t, "identity", a.Is(http.StatusUnsupportedMediaType, "unsupported_media_type").Header.Get("Accept-Encoding"), "what it would take")
		return a
	}
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before := c.Profile()
		for _, r := range append(c.BodyRoutes(), harness.BodyRoute{Method: "PATCH", Path: "/cache/memory/catalog/SKU-0001", Good: `{"price":4200}`}) {
			for _, lines := range [][]string{{"x-unknown"}, {"gzip"}, {"identity, gzip"}, {"identity", "br"}, {`"identity"`}, {"identity;q=1"}} {
				c.Refused(before, refused(c, r, r.Good, lines), http.StatusUnsupportedMediaType, "unsupported_media_type")
			}
		}
		for _, lines := range [][]string{{"identity"}, {"IDENTITY"}, {""}, {"identity,, identity"}, {"identity", "identity"}} {
			c.Do("PATCH", "/"+slug+"/profile", harness.Object{"theme": "dark"}, harness.Header("Content-Encoding", lines...)).Is(http.StatusOK)
		}
		c.Do("POST", "/"+slug+"/logout", nil, harness.Header("Content-Encoding", "gzip")).Is(http.StatusNoContent) // nothing is encoded
	})
	form := harness.BodyRoute{Method: "POST", Path: "/seed/"}
	c := s.Client(t, harness.Seed)
	a := c.Do(form.Method, form.Path, harness.Raw("username=alice&password=wonderland"), harness.Header("Content-Type", "application/x-www-form-urlencoded"), harness.Header("Content-Encoding", "gzip"))
	a.Is(http.StatusUnsupportedMediaType, "unsupported_media_type")
	require.NotEmpty(t, a.Header.Get("Accept-Encoding"))
}

func TestAnIntegerMayBeWrittenWithAFractionOfZeroOrAnExponent(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		for text, left := range map[string]int64{"1.0": 99, "1e1": 90, "1E+1": 90, "0.3e2": 70, "300e-1": 70, "100.000": 0, "1000000000000000000000e-20": 90, "1." + harness.Long("0", 60_000): 99} {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			require.Equal(t, left, c.Do("POST", "/"+slug+"/spend", harness.Raw(`{"amount":`+text+`}`)).Is(http.StatusOK).Number("state.credits"), "%.20s", text)
		}
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before := c.Profile()
		for text, status := range map[string]int{"0.0": 422, "-0.0": 422, "0e99999999999999999999": 422, "-1.0": 422, "9223372036854775807.0": 409, "9.223372036854775807e18": 409} {
			c.Refused(before, c.Do("POST", "/"+slug+"/spend", harness.Raw(`{"amount":`+text+`}`)), status, map[int]string{422: "validation_failed", 409: "insufficient_credits"}[status])
		}
	})
	c := s.Client(t, "")
	require.Equal(t, int64(4200), c.Do("PATCH", "/cache/memory/catalog/SKU-0001", harness.Raw(`{"price":4.2e3}`)).Is(http.StatusOK).Number("price"))
	c.Do("PUT", "/classroom/settings", harness.Raw(`{"credential_cache":1.0e1}`)).Is(http.StatusOK)
	c.Do("PUT", "/classroom/settings", harness.Raw(`{"credential_cache":1.5}`)).Is(http.StatusBadRequest, "malformed_json")
}

// chunked sends the body without saying how long it is.
func chunked(r *http.Request) {
	r.ContentLength = -1
	r.Body = io.NopCloser(bufio.NewReader(r.Body))
}

func TestABodyHasAtMost64KiB(t *testing.T) {
	t.Parallel()
	known := func(*http.Request) {}
	harness.Each(t, func(t *testing.T, slug string) {
		s := harness.NewServer(t)
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before := c.Profile()
		routes := c.BodyRoutes()
		for _, r := range routes {
			for name, send := range map[string]func(*http.Request){"known": known, "chunked": chunked} {
				for what, body := range map[string]string{
					"spaces behind":   r.Good + strings.Repeat(" ", 64<<10+1-len(r.Good)),
					"spaces in front": strings.Repeat(" ", 64<<10+1-len(r.Good)) + r.Good,
					"a long string":   `{"x":"` + strings.Repeat("x", 64<<10) + `"}`,
					"200 KiB":         strings.Repeat(" ", 200<<10) + r.Good,
				} {
					t.Run(r.Path+" "+name+" "+what, func(t *testing.T) {
						c := c.In(t)
						c.Refused(before, c.Do(r.Method, r.Path, harness.Raw(body), send), http.StatusRequestEntityTooLarge, "payload_too_large")
					})
				}
			}
		}
		for i, r := range routes {
			send := []func(*http.Request){known, chunked}[i%2]
			require.Less(t, c.Do(r.Method, r.Path, harness.Raw(r.Good+strings.Repeat(" ", 64<<10-len(r.Good))), send).Status, 300, r.Path)
		}
		c.Do("POST", "/"+slug+"/login", harness.Credentials(harness.Alice, harness.AlicePassword), chunked).Is(http.StatusUnauthorized, "bad_login") // it has another password now
	})
}

func TestAnEmptyBodyNeedsNoType(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		for name, empty := range map[string]func(*http.Request){
			"none":        func(*http.Request) {},
			"no bytes":    func(r *http.Request) { r.Body, r.ContentLength = http.NoBody, 0 },
			"chunked":     func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("")), -1 },
			"of any type": harness.Header("Content-Type", "text/plain"),
		} {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			c.Do("POST", "/"+slug+"/logout", nil, empty).Is(http.StatusNoContent)
			if a := c.Do("POST", "/"+slug+"/spend", nil, empty); a.Status != http.StatusUnauthorized { // a copy may live on
				require.Contains(t, []int{400, 415}, a.Status, name)
			}
		}
	})
}

func TestRangesAreExactAndCountCodePoints(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	patch := func(name string, value any) func(*harness.Client) *harness.Answer {
		return func(c *harness.Client) *harness.Answer { return c.Patch(harness.Object{name: value}) }
	}
	spend := func(amount int64) func(*harness.Client) *harness.Answer {
		return func(c *harness.Client) *harness.Answer { return c.Post("spend", harness.Object{"amount": amount}) }
	}
	items := func(n int, item string) []string { return slices.Repeat([]string{item}, n) }
	harness.Each(t, func(t *testing.T, slug string) {
		for _, ok := range []func(*harness.Client) *harness.Answer{
			patch("nickname", ""), patch("nickname", harness.Long("x", 64)), patch("nickname", harness.Long("가", 64)), patch("nickname", harness.Long("😀", 64)), patch("nickname", "\u0000"),
			patch("note", harness.Long("x", 256)), patch("note", harness.Long("가", 256)), patch("note", harness.Long("😀", 256)), patch("note", "<script>\u2028\\\""),
			patch("cart", []string{}), patch("cart", items(200, "x")), patch("cart", items(1, harness.Long("가", 100))), patch("cart", items(2, harness.Long("😀", 100))),
			patch("theme", "system"), patch("language", "ko-KR"), patch("language", "zh-Hant-TW"), patch("language", "sl-rozaj-biske-1994"), patch("language", "xx"),
			spend(1), spend(99),
		} {
			ok(s.Login(t, slug, harness.Alice, harness.AlicePassword)).Is(http.StatusOK)
		}
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		for name, bad := range map[string]struct {
			ask     func(*harness.Client) *harness.Answer
			pointer string
		}{
			"nickname, 65":       {patch("nickname", harness.Long("x", 65)), "/nickname"},
			"nickname, 65 가":     {patch("nickname", harness.Long("가", 65)), "/nickname"},
			"nickname, 65 😀":     {patch("nickname", harness.Long("😀", 65)), "/nickname"},
			"note, 257 가":        {patch("note", harness.Long("가", 257)), "/note"},
			"cart, 201":          {patch("cart", items(201, "x")), "/cart"},
			"an item, 0":         {patch("cart", []string{"x", ""}), "/cart/1"},
			"an item, 101 가":     {patch("cart", []string{"x", "x", harness.Long("가", 101)}), "/cart/2"},
			"no theme":           {patch("theme", ""), "/theme"},
			"theme in capitals":  {patch("theme", "Dark"), "/theme"},
			"theme with a space": {patch("theme", "dark "), "/theme"},
			"no language":        {patch("language", ""), "/language"},
			"language, spaces":   {patch("language", " en"), "/language"},
			"language, POSIX":    {patch("language", "en_US"), "/language"},
			"language, markup":   {patch("language", "<b>"), "/language"},
			"language, a hyphen": {patch("language", "en-"), "/language"},
			"language, digits":   {patch("language", "12"), "/language"},
			"language, 36":       {patch("language", "en-x-"+harness.Long("a1b2c3d-", 4)), "/language"},
			"amount 0":           {spend(0), "/amount"},
			"amount -1":          {spend(-1), "/amount"},
			"amount least":       {spend(-1 << 63), "/amount"},
		} {
			t.Run(name, func(t *testing.T) {
				c := c.In(t)
				before := c.Profile()
				a := bad.ask(c)
				c.Refused(before, a, http.StatusUnprocessableEntity, "validation_failed")
				require.Equal(t, bad.pointer, a.At("errors").([]any)[0].(map[string]any)["pointer"])
			})
		}
		before := c.Profile()
		for _, amount := range []int64{101, 1 << 53, 1<<63 - 1} {
			c.Refused(before, c.Post("spend", harness.Object{"amount": amount}), http.StatusConflict, "insufficient_credits")
		}
		several := c.Patch(harness.Object{"theme": "", "note": harness.Long("x", 257), "cart": []string{""}})
		c.Refused(before, several, http.StatusUnprocessableEntity, "validation_failed")
		require.Len(t, several.At("errors"), 3, "all of them are told at once")
	})
}

// hidden returns names with a character each that cannot be seen and changes how
// the text around it is shown: the controls of its direction, and the separators
// of lines and paragraphs.
func hidden() (all []string) {
	for _, r := range []rune{0x061c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069} {
		all = append(all, "a"+string(r)+"b")
	}
	return all
}

func TestNicknamesHaveNoHiddenCharacters(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before := c.Profile()
		for _, name := range hidden() {
			a := c.Patch(harness.Object{"nickname": name}).Is(http.StatusUnprocessableEntity, "validation_failed")
			require.Equal(t, "/nickname", a.At("errors").([]any)[0].(map[string]any)["pointer"])
		}
		require.Equal(t, before, c.Profile())
		c.Patch(harness.Object{"nickname": "عليس\u200d앨리스"}).Is(http.StatusOK) // a joiner belongs to scripts and emoji
	})
}

func TestAPasswordIsNotTheUsername(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		username := "member-" + slug
		s.Client(t, "").Do("POST", "/accounts", harness.Object{"username": username, "password": "twinkle twinkle"}).Is(http.StatusCreated)
		c := s.Login(t, slug, username, "twinkle twinkle")
		for _, password := range []string{username, strings.ToUpper(username), "StateLab"} {
			a := c.Route("PUT", "password", harness.Object{"current_password": "twinkle twinkle", "new_password": password}).
				Is(http.StatusUnprocessableEntity, "validation_failed")
			reason := a.At("errors").([]any)[0].(map[string]any)
			require.Equal(t, "/new_password", reason["pointer"])
			require.Contains(t, reason["detail"], "try it first")
		}
		c.Route("PUT", "password", harness.Object{"current_password": "twinkle twinkle", "new_password": username + "!"}).Is(http.StatusNoContent)
	})
}

func TestRangesOfAnAccount(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	c := s.Client(t, "")
	password := "twinkle twinkle"
	for _, ok := range []harness.Object{
		{"username": "abc", "password": password}, {"username": harness.Long("x", 32), "password": password}, {"username": "A.b_C-9", "password": password},
		{"username": "name1", "password": password, "display_name": harness.Long("가", 64)}, {"username": "name2", "password": password, "display_name": harness.Long("😀", 64)},
		{"username": "name3", "password": harness.Long("😀", 8)}, {"username": "name4", "password": harness.Long("가", 128)}, {"username": "name5", "password": "nul\u0000\u0000nul"},
	} {
		c.Do("POST", "/accounts", ok).Is(http.StatusCreated)
	}
	for pointer, values := range map[string][]string{
		"username":     {"", "ab", harness.Long("x", 33), "al ice", "älice", "ａｌｉｃｅ", "alice\u0000", "alice\n", "al/ice", "alice@x", "😀😀😀", "\u212aate", "dorm\u0130ce", "hou\u017fe", "\uff4bate"},
		"password":     {"dormouse-9", "Dormouse-9", "STATELAB", "StateLab", "", harness.Long("😀", 7), harness.Long("x", 129), harness.Long("가", 129)},
		"display_name": {"", harness.Long("x", 65), harness.Long("가", 65), harness.Long("😀", 65), "a\u0000b"}, // NUL: not every database takes it
	} {
		if pointer == "display_name" {
			values = append(values, hidden()...)
		}
		for _, value := range values {
			t.Run(fmt.Sprintf("%s %.20q", pointer, value), func(t *testing.T) {
				body := harness.Object{"username": "dormouse-9", "password": password}
				body[pointer] = value
				a := c.In(t).Do("POST", "/accounts", body).Is(http.StatusUnprocessableEntity, "validation_failed")
				require.Equal(t, "/"+pointer, a.At("errors").([]any)[0].(map[string]any)["pointer"])
			})
		}
	}
	s.Client(t, "session").Post("login", harness.Credentials("dormouse-9", password)).Is(http.StatusUnauthorized, "bad_login")
	c.Do("POST", "/accounts", harness.Object{"username": "ALICE", "password": password}).Is(http.StatusConflict, "username_taken")
}

// likeKim are names that the case folding of Unicode, in one way or another, makes kim.
var likeKim = []string{"\u212aim", "k\u0130m", "k\u0131m", "\uff4bim", "\uff2bim"}

func TestANameThatIsOnlyFoldedToAUsernameIsAnother(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	const password = "twinkle twinkle"
	c := s.Client(t, "session")
	c.Do("POST", "/accounts", harness.Object{"username": "kim", "password": password}).Is(http.StatusCreated)
	teacher := s.Client(t, "session")
	for _, name := range likeKim {
		c.Do("POST", "/accounts", harness.Object{"username": name, "password": password}).Is(http.StatusUnprocessableEntity, "validation_failed")
		c.Post("login", harness.Credentials(name, password)).Is(http.StatusUnauthorized, "bad_login")
		teacher.Do("PUT", "/classroom/accounts/"+url.PathEscape(name)+"/role", harness.Object{"role": "admin"}).Is(http.StatusNotFound, "not_found")
	}
	s.Clock.Advance(auth.ThrottleWindow)
	require.Equal(t, "member", c.Post("login", harness.Credentials("KIM", password)).Is(http.StatusOK).At("user.role"))
}

// Each fault of a request is repaired in turn; the next one in the documented
// order is told, by every route that reads a body after the credential.
func TestTheFirstFaultIsTold(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before := c.Profile()
		for _, r := range c.BodyRoutes() {
			if !strings.HasPrefix(r.Path, "/"+slug) || strings.HasSuffix(r.Path, "/login") || strings.Contains(r.Good, "refresh_token") {
				continue // the body is or may be the credential
			}
			var repaired []func(*http.Request)
			for _, step := range []struct {
				status int
				code   string
				repair func(*http.Request)
			}{
				{421, "classroom_is_local", func(r2 *http.Request) { r2.Host = "" }},
				{414, "uri_too_long", func(r2 *http.Request) { r2.URL.RawQuery = "" }},
				{431, "header_too_large", harness.Header("Cookie")},
				{403, "csrf_blocked", harness.Header("Sec-Fetch-Site", "same-origin")},
				{405, "method_not_allowed", func(r2 *http.Request) { r2.Method = r.Method }},
				{406, "not_acceptable", harness.Header("Accept", "application/json")},
				{401, "no_credential", func(r2 *http.Request) {
					if c.Access != "" {
						r2.Header.Set("Authorization", "Bearer "+c.Access)
					} else {
						r2.Header.Set("Cookie", harness.CookieName(slug)+"="+c.Held())
					}
				}},
				{415, "unsupported_media_type", harness.Header("Content-Type", "application/json")},
				{413, "payload_too_large", func(r2 *http.Request) {
					r2.Body, r2.ContentLength = io.NopCloser(strings.NewReader("[")), 1
				}},
				{400, "malformed_json", nil},
			} {
				t.Run(r.Path+" "+step.code, func(t *testing.T) {
					a := s.Client(t, slug).Do("TRACE", r.Path+"?"+harness.Long("q", 9000), harness.Raw("["+harness.Long(" ", 64<<10)), append([]func(*http.Request){
						func(r *http.Request) { r.Host = "example.com" }, harness.Header("Cookie", harness.Long("a=b;", 101)), harness.Header("Sec-Fetch-Site", "cross-site"),
						harness.Header("Accept", "text/html"), harness.Header("Content-Type", "text/plain"),
					}, repaired...)...)
					c.In(t).Refused(before, a, step.status, step.code)
				})
				repaired = append(repaired, step.repair)
			}
		}
		c.Patch(harness.Object{"theme": "blue"}).Is(http.StatusUnprocessableEntity)
		c.Do("POST", "/"+slug+"/spend", harness.Object{"amount": 0}, harness.Header("If-Match", `"x"`)).Is(http.StatusUnprocessableEntity)
	})
	for _, path := range []string{"/nothing", "/session/nothing"} {
		foreign := func(r *http.Request) { r.Host = "example.com" }
		s.Client(t, "").Do("POST", path, nil, foreign, harness.Header("Sec-Fetch-Site", "cross-site")).Is(http.StatusMisdirectedRequest, "classroom_is_local")
		s.Client(t, "").Do("POST", path, nil, harness.Header("Sec-Fetch-Site", "cross-site")).Is(http.StatusForbidden, "csrf_blocked")
		s.Client(t, "").Do("POST", path, nil).Is(http.StatusNotFound, "not_found")
	}
}

// What a user had written into a login goes with the login, even where a record
// stays to say that it was ended.
func TestWhatHasEndedKeepsNoState(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		for what, end := range map[string]func(c *harness.Client, another func() *harness.Client){
			"logout": func(c *harness.Client, _ func() *harness.Client) { c.Post("logout", nil) },
			"relogin": func(c *harness.Client, _ func() *harness.Client) {
				c.Post("login", harness.Credentials(harness.Alice, harness.AlicePassword))
			},
			"everywhere": func(_ *harness.Client, another func() *harness.Client) {
				another().Post("logout", harness.Object{"everywhere": true})
			},
			"from another": func(c *harness.Client, another func() *harness.Client) {
				another().Route("DELETE", "logins/"+c.ID(), nil)
			},
		} {
			t.Run(what, func(t *testing.T) {
				if !s.Traits(t, slug).Listable {
					return // the server holds nothing
				}
				username := strings.ReplaceAll(slug+"."+what, " ", "-")
				s.Client(t, slug).Do("POST", "/accounts", harness.Object{"username": username, "password": "twinkle twinkle"}).Is(http.StatusCreated)
				c := s.Login(t, slug, username, "twinkle twinkle")
				subject := c.Patch(harness.Object{"note": "what nobody else shall know"}).Is(http.StatusOK).Text("user.id")
				end(c, func() *harness.Client { return s.Login(t, slug, username, "twinkle twinkle") })
				entries, err := s.Keeper(t, slug).BySubject(t.Context(), subject)
				require.NoError(t, err)
				for _, e := range entries {
					require.Empty(t, e.Login.Note, "revoked: %t", e.Rotation.Revoked)
				}
			})
		}
	})
}

func TestATargetHasAtMost8KiB(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		path := "/" + slug + "/profile?"
		c.Do("GET", path+harness.Long("q", 8<<10-len(path)), nil).Is(http.StatusOK)
		for _, n := range []int{8<<10 + 1, 16 << 10, 28 << 10} {
			c.Do("GET", path+harness.Long("q", n-len(path)), nil).Is(http.StatusRequestURITooLong, "uri_too_long")
			c.Do("GET", "/"+slug+"/logins/"+harness.Long("%2e", n/3), nil).Is(http.StatusRequestURITooLong, "uri_too_long")
		}
	})
}

func TestPreconditionsThatAreNone(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before, tag := c.Profile(), c.Get("profile").Header.Get("ETag")
		of := strings.Trim(tag, `"`)
		for _, lines := range [][]string{
			{""}, {"x"}, {`"`}, {`""`}, {`"*"`}, {"**"}, {",,,"}, {of}, {`"` + of}, {of + `"`}, {"W/" + tag}, {"w/" + tag}, {`'` + of + `'`}, {`"` + of[:20] + `"`},
			{`"` + harness.Long("x", 4096) + `"`}, {`"x"`, `"y"`}, {"\xff"}, {strings.Replace(tag, ".1.", ".2.", 1)}, {strings.Replace(tag, ".1.", ".01.", 1)},
			{strings.Replace(tag, ".1.", ".1", 1)}, {strings.ToUpper(tag)}, {" " + of + " "},
			{`"a,*,b"`}, {`"a, *, b"`}, {"*, *"}, {"*", "*"}, {`"x", *`}, {`"x` + tag}, {"x, " + tag}, {`"x,` + of + `"`}, {`"x" ` + tag},
		} {
			t.Run(fmt.Sprintf("%.20q", lines), func(t *testing.T) {
				c := c.In(t)
				c.Refused(before, c.Do("PATCH", "/"+slug+"/profile", harness.Object{"theme": "dark"}, harness.Header("If-Match", lines...)), http.StatusPreconditionFailed, "version_mismatch")
				if !strings.HasPrefix(lines[0], "W/") { // which If-None-Match compares weakly
					c.Do("GET", "/"+slug+"/profile", nil, harness.Header("If-None-Match", lines...)).Is(http.StatusOK)
				}
			})
		}
		c.Do("PATCH", "/"+slug+"/profile", harness.Object{"theme": "dark"}, harness.Header("If-Match", `"x,y"`, `"a,*,b" ,, `+tag)).Is(http.StatusOK)
		c.Do("PATCH", "/"+slug+"/profile", harness.Object{"theme": "dark"}, harness.Header("If-Match", " *")).Is(http.StatusOK)
	})
}

func TestOnlyJSONIsAnswered(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		before := c.Profile()
		for _, lines := range [][]string{
			nil, {""}, {"*/*"}, {"application/*"}, {"application/json"}, {"APPLICATION/JSON"}, {"application/json; charset=utf-8"}, {"application/json;q=0.001"},
			{"application/problem+json"}, {"text/html, */*;q=0.1"}, {"text/html", "application/json"}, {" text/html ,application/json ; q=0.5"},
			{"application/json;q=nan"}, {"application/json;q=0, application/json"},
		} {
			c.Do("GET", "/"+slug+"/profile", nil, harness.Header("Accept", lines...)).Is(http.StatusOK)
			c.Do("POST", "/"+slug+"/spend", harness.Object{"amount": 1000}, harness.Header("Accept", lines...)).Is(http.StatusConflict)
		}
		for _, lines := range [][]string{
			{"text/html"}, {"text/html,application/xhtml+xml,application/xml;q=0.9"}, {"image/*"}, {"application/jsonp"}, {"json"}, {"application"}, {"*/json"}, {"text/html", "text/plain"},
			{"application/json;q=0"}, {"application/json; q=0"}, {"application/json;q=0.0"}, {"application/json;q=0.00"}, {"application/json;q=0.000"}, {"application/json;Q=0"},
			{"application/json;v=1;q=0"}, {"*/*;q=0"}, {"application/xml", "application/*;q=0"},
		} {
			t.Run(fmt.Sprint(lines), func(t *testing.T) {
				c := c.In(t)
				accept := harness.Header("Accept", lines...)
				c.Refused(before, c.Do("GET", "/"+slug+"/profile", nil, accept), http.StatusNotAcceptable, "not_acceptable")
				c.Refused(before, c.Do("PATCH", "/"+slug+"/profile", harness.Object{"theme": "dark"}, accept), http.StatusNotAcceptable, "not_acceptable")
				c.Refused(before, c.Do("POST", "/"+slug+"/logout", nil, accept), http.StatusNotAcceptable, "not_acceptable")
				c.Do("POST", "/accounts", harness.Object{"username": "dormouse", "password": "twinkle twinkle"}, accept).Is(http.StatusNotAcceptable, "not_acceptable")
			})
		}
	})
}

// cartOf fills a cart with n characters in items of at most 100.
func cartOf(n int, character string) []string {
	cart := []string{}
	for ; n > 0; n -= 100 {
		cart = append(cart, harness.Long(character, min(n, 100)))
	}
	return cart
}

func TestAStateThatDoesNotFitIsRefusedWhole(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		limit := int64(s.Traits(t, slug).LimitBytes)
		for _, character := range []string{"q", "가", "😀"} {
			t.Run(character, func(t *testing.T) {
				c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
				put := func(n int) *harness.Answer { return c.Patch(harness.Object{"cart": cartOf(n, character)}) }
				limit, code, much := limit, "credential_too_large", 20_000/len(character)
				if limit == 0 { // the server stores it
					limit, code, much = state.StateLimit, "state_too_large", 60_000/len(character)
				}
				if code == "state_too_large" && len(character) == 1 {
					put(20_000).Is(http.StatusOK)
					require.Equal(t, 20_000, strings.Count(c.Profile(), character), "the longest cart of one-byte characters fits")
					return
				}
				for range 10 { // from here on the version has two digits
					put(0).Is(http.StatusOK)
				}
				most := sort.Search(20_000, func(n int) bool { return put(n+1).Status != http.StatusOK })
				put(most).Is(http.StatusOK)
				held, refresh, before := c.Held(), c.Renews(), c.Profile()
				require.LessOrEqual(t, int64(len(held)), limit)

				a := put(most + 1)
				c.Refused(before, a, http.StatusRequestEntityTooLarge, code)
				require.Equal(t, limit, a.Number("limit"))
				require.Greater(t, a.Number("size"), limit)
				require.Less(t, a.Number("size"), limit+16, "it was refused before it had to be")
				require.Equal(t, []string{held, refresh}, []string{c.Held(), c.Renews()}, "the client was given another credential")

				c.Refused(before, put(much), http.StatusRequestEntityTooLarge, code)
				c.Renewed()
				require.Equal(t, most, strings.Count(c.Profile(), character), "the largest state can be renewed")
				put(0).Is(http.StatusOK)
				c.Post("logout", nil).Is(http.StatusNoContent)
			})
		}
	})
}
