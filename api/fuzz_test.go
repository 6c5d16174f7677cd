package api

import (
	"bytes"
	stdjson "encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/api/cache"
	"statelab/api/rest"
	"statelab/state"
)

var engine = gin.New()

// decodeBody is decode on a request with this body.
func decodeBody[T any](body []byte, contentType string) (T, error) {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	c := gin.CreateTestContextOnly(httptest.NewRecorder(), engine)
	c.Request = r
	return rest.Decode[T](c, rest.JSONType)
}

// bodies are where the search begins.
var bodies = []string{
	``, ` `, `{}`, `null`, `[]`, `1`, `"x"`, `{`, `{}{}`, `{} x`, `{"theme":"dark"}`, `{"theme":null}`, `{"theme":"dark","theme":"light"}`, `{"theme":"dark","\u0074heme":"light"}`,
	`{"Theme":"dark"}`, `{"credits":1}`, `{"cart":["a","가"]}`, `{"cart":[null]}`, `{"cart":[[]]}`, `{"cart":null}`, `{"nickname":"\ud800"}`, `{"nickname":"\ud83d\ude00"}`, `{"nickname":"\u0000"}`,
	"{\"nickname\":\"\xff\"}", "\ufeff{}", `{"note":"` + strings.Repeat("x", 300) + `"}`, `{"` + strings.Repeat("é", 40) + `":1}`, `{"` + strings.Repeat("😀", 40) + `":1}`,
	`{"a~/b":1}`, strings.Repeat("[", 200), `{"language":"ko-KR","note":"` + "\u2028" + `"}`, "\xff\xfe{\x00}\x00",
}

// What the strict decoder takes is JSON in the narrowest sense: every other
// decoder reads the same out of it. What it refuses it can say, in a problem
// that can be sent.
func FuzzDecode(f *testing.F) {
	for _, body := range bodies {
		f.Add([]byte(body))
	}
	known := []string{"theme", "language", "nickname", "note", "cart"}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := decodeBody[patch](body, rest.JSONType)
		if err != nil {
			fault := rest.FaultOf(err)
			require.Contains(t, []string{"malformed_json", "payload_too_large"}, fault.Code)
			_, err := json.Marshal(rest.Problem{Detail: fault.Detail})
			require.NoError(t, err, "%q", fault.Detail)
			return
		}
		require.LessOrEqual(t, len(body), rest.MaxBody)
		require.True(t, utf8.Valid(body))
		var loose map[string]stdjson.RawMessage
		require.NoError(t, stdjson.Unmarshal(body, &loose))
		require.NotNil(t, loose)
		seen := 0
		for name := range loose {
			require.True(t, slices.Contains(known, name), "%q", name)
		}
		for name, o := range map[string]struct {
			present, null bool
			value         any
		}{
			"theme": {p.Theme.Present, p.Theme.Null, p.Theme.Value}, "language": {p.Language.Present, p.Language.Null, p.Language.Value},
			"nickname": {p.Nickname.Present, p.Nickname.Null, p.Nickname.Value}, "note": {p.Note.Present, p.Note.Null, p.Note.Value},
			"cart": {p.Cart.Present, p.Cart.Null, p.Cart.Value},
		} {
			text, present := loose[name]
			require.Equal(t, present, o.present, name)
			if present {
				seen++
				require.Equal(t, string(text) == "null", o.null, name)
			}
			if present && !o.null {
				want, err := stdjson.Marshal(o.value)
				require.NoError(t, err)
				require.JSONEq(t, string(want), string(text), name)
			}
		}
		require.Len(t, loose, seen)

		// Encoding what was read, and reading that, changes nothing.
		again, err := stdjson.Marshal(loose)
		require.NoError(t, err)
		q, err := decodeBody[patch](again, rest.JSONType)
		require.NoError(t, err)
		require.Equal(t, p, q)
		_ = p.check() // says something or nothing, and does not fall over
	})
}

// The smallest bodies with numbers and booleans: a number that is taken is that integer
// however it is spelled, and null is neither.
func FuzzDecodeScalars(f *testing.F) {
	for _, body := range append(slices.Clone(bodies), `{"amount":1}`, `{"amount":-9223372036854775808}`, `{"amount":9223372036854775808}`, `{"amount":1.0}`, `{"amount":1e2}`, `{"amount":-0}`, `{"amount":-12.50E1}`, `{"amount":0e99999999999}`, `{"amount":1.5}`, `{"amount":9223372036854775807.0}`, `{"amount":9.3e18}`, `{"amount":null}`,
		`{"amount":"1"}`, `{"everywhere":true}`, `{"everywhere":null}`, `{"everywhere":0}`, `{"amount":1,"everywhere":false}`, `{"name":null}`, `{"names":null}`, `{"names":[""],"name":""}`) {
		f.Add([]byte(body))
	}
	type scalars struct {
		Amount     rest.Optional[int64] `json:"amount"`
		Everywhere bool                 `json:"everywhere"`
		Name       string               `json:"name"`
		Names      []string             `json:"names"`
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		v, err := decodeBody[scalars](body, "application/json; charset=utf-8")
		if err != nil {
			return
		}
		var loose map[string]stdjson.RawMessage
		require.NoError(t, stdjson.Unmarshal(body, &loose))
		for name, text := range loose {
			switch first := text[0]; name {
			case "amount":
				require.True(t, v.Amount.Present)
				if !v.Amount.Null {
					number, ok := new(big.Rat).SetString(string(text))
					require.True(t, ok)
					require.Zero(t, number.Cmp(new(big.Rat).SetInt64(v.Amount.Value)), "%.40s became %d", text, v.Amount.Value)
				}
			case "everywhere":
				require.Equal(t, map[string]bool{"true": true, "false": false}[string(text)], v.Everywhere)
				require.Contains(t, "tf", string(first))
			case "name":
				require.Equal(t, byte('"'), first)
			case "names":
				want, err := stdjson.Marshal(v.Names)
				require.NoError(t, err)
				require.JSONEq(t, string(want), string(text))
			default:
				t.Fatalf("an unknown member %q was taken", name)
			}
		}
	})
}

// A profile is appended as it would be encoded, whatever its user has written.
func FuzzProfile(f *testing.F) {
	f.Add("alice", "Alice", "", "", int64(100), int64(1), int64(0))
	f.Add("bob", "밥 \u2028", "\"\\\b\f\n\r\t\x00\x1f\x7f", "a\x00</script>&", int64(-1), int64(9007199254740993), int64(253402300799))
	f.Add("", "😀", "[],{}", "\ufffd", int64(0), int64(0), int64(1))
	f.Fuzz(func(t *testing.T, username, name, nickname, items string, credits, version, seconds int64) {
		const endOfDates = 253402300800 // the first second that RFC 3339 cannot write
		l := state.Login{
			// No two are alike, or one could stand in another's place.
			Subject: "subject " + username, Username: username, DisplayName: "name " + name, Role: "role " + name,
			Theme: "theme " + nickname, Language: "language " + items, Nickname: "nickname " + nickname, Note: "note " + items,
			Credits: credits, Version: version,
			IssuedAt: state.Micros(max(0, seconds%endOfDates) * 1e6), ExpiresAt: state.Micros(max(0, seconds/2%endOfDates) * 1e6),
		}
		if items != "" {
			l.Cart = strings.Split(items, "\x00")
		}
		p := (&Group{Slug: "slug " + username}).profileOf(l)
		want, err := json.Marshal(p)
		if err != nil { // text that is no UTF-8, which no decoder of ours lets in
			return
		}
		require.Equal(t, string(want), string(p.AppendJSON(nil)))
	})
}

// No header makes the reading of it fall over, and none is read as two things.
func FuzzHeaders(f *testing.F) {
	for _, header := range []string{
		``, `*/*`, `application/json`, `text/html, application/json;q=0.5`, `application/json;q=0`, `application/json; charset=utf-8`, `application/json; charset="utf-8"; x=y`, `;;,,==`,
		`"x"`, `W/"x"`, `*`, `"a","b"`, `text/html;level="1,2"`, `localhost:80`, `[::1]:80`, `[::1`, "\xff",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for _, name := range []string{"Accept", "Content-Type", "If-Match", "If-None-Match", "Cookie", "Authorization"} {
			r.Header[name] = []string{header}
		}
		r.Host = header
		if _, err := decodeBody[struct{}]([]byte("{}"), header); err == nil {
			require.True(t, strings.HasPrefix(strings.ToLower(strings.TrimSpace(header)), rest.JSONType), header)
		}
		if Accepted(r, rest.JSONType) != "" {
			lower := strings.ToLower(header)
			require.True(t, strings.Contains(lower, rest.JSONType) || strings.Contains(lower, "application/*") || strings.Contains(lower, "*/*") || emptyRange(header), header)
		}
		if isLocal(header) {
			lower := strings.ToLower(header)
			require.True(t, strings.HasPrefix(lower, "localhost") || strings.HasPrefix(lower, "127.0.0.1") || strings.HasPrefix(lower, "[::1]") || lower == "::1" || strings.HasPrefix(lower, "[localhost]") || strings.HasPrefix(lower, "[127.0.0.1]"), header)
		}
		const etag = `"AAAAAAAAAAAAAAAAAAAAAA.1.00000000"`
		if !cache.NoneMatch(r, etag) {
			require.True(t, strings.Contains(header, etag) || strings.Contains(header, "*"), header)
		}
	})
}

// emptyRange says whether a list has an element without a media range.
func emptyRange(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if mediaRange, _, _ := strings.Cut(part, ";"); strings.TrimSpace(mediaRange) == "" {
			return true
		}
	}
	return false
}
