package tests

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"hash"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"statelab/api"
	"statelab/state"
	"statelab/state/keys"
	"statelab/tests/harness"
	"statelab/tests/seeded"
)

// The answers to a request without, and with a bad access token (RFC 6750, 3).
const (
	bareChallenge    = `Bearer realm="statelab"`
	invalidChallenge = `Bearer realm="statelab", error="invalid_token"`
)

// algorithms are what access tokens can be signed with, and the keys for it.
var algorithms = map[string]keys.Purpose{"EdDSA": keys.TokenEdDSA, "HS256": keys.TokenHS256}

// A forge makes tokens as the server does, from parts that a test has changed.
type forge struct {
	t              testing.TB
	c              *harness.Client // who has the genuine token
	header, claims string          // JSON
	sign           func(input string) []byte
}

// eachToken runs a test for every strategy whose credential is a token and every
// algorithm, with the means to make such tokens.
func eachToken(t *testing.T, f func(t *testing.T, s *harness.Server, m forge)) {
	for alg, purpose := range algorithms {
		s := harness.NewServer(t, func(c *api.Config) { c.TokenAlg = alg })
		for _, slug := range harness.Strategies {
			c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
			parts := strings.Split(c.Held(), ".")
			if len(parts) != 3 {
				continue
			}
			t.Run(slug+" "+alg, func(t *testing.T) {
				c := c.In(t)
				key, err := s.Config.Keys.Active(purpose)
				require.NoError(t, err)
				m := forge{t, c, unbase64(t, parts[0]), unbase64(t, parts[1]), signWith(key)}
				require.Equal(t, c.Held(), m.token(), "the forge does not work as the server does")
				f(t, s, m)
			})
		}
	}
}

// signWith returns the signature by a key of the server.
func signWith(k *keys.Key) func(string) []byte {
	if k.Signer() != nil {
		return func(input string) []byte { return ed25519.Sign(k.Signer(), []byte(input)) }
	}
	return macWith(sha256.New, k.Secret())
}

func macWith(h func() hash.Hash, secret []byte) func(string) []byte {
	return func(input string) []byte {
		mac := hmac.New(h, secret)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	}
}

func base64Of(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func unbase64(t testing.TB, text string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	require.NoError(t, err)
	return string(b)
}

// token is the compact form of the parts.
func (m forge) token() string {
	input := base64Of([]byte(m.header)) + "." + base64Of([]byte(m.claims))
	return input + "." + base64Of(m.sign(input))
}

// edit sets a member of a JSON object; the value "" removes it.
func edit(t testing.TB, text, name, value string) string {
	t.Helper()
	var members map[string]jsontext.Value
	require.NoError(t, json.Unmarshal([]byte(text), &members))
	if members[name] = jsontext.Value(value); value == "" {
		delete(members, name)
	}
	edited, err := json.Marshal(members)
	require.NoError(t, err)
	return string(edited)
}

func (m forge) withHeader(name, value string) forge {
	m.header = edit(m.t, m.header, name, value)
	return m
}

func (m forge) withClaim(name, value string) forge {
	m.claims = edit(m.t, m.claims, name, value)
	return m
}

func (m forge) withHeaderText(text string) forge { m.header = text; return m }

func (m forge) withClaimsText(text string) forge { m.claims = text; return m }

func (m forge) signedBy(sign func(string) []byte) forge { m.sign = sign; return m }

// accepts requires a token to open the profile.
func (m forge) accepts(t testing.TB, token string) *harness.Answer {
	t.Helper()
	return m.c.Server.Client(t, m.c.Slug).Hold(token).Get("profile").Is(http.StatusOK)
}

// refuses requires a token to open nothing, with this code.
func (m forge) refuses(t testing.TB, token, code string) {
	t.Helper()
	c := m.c.Server.Client(t, m.c.Slug).Hold(token)
	for _, a := range []*harness.Answer{c.Get("profile"), c.Patch(harness.Object{"theme": "dark"})} {
		a.Is(http.StatusUnauthorized, code)
		require.Equal(t, []string{c.Challenge(invalidChallenge)}, a.Header["Www-Authenticate"])
	}
}

// refusesAll requires each token to be one that the server did not make.
func (m forge) refusesAll(t *testing.T, tokens map[string]string) {
	t.Helper()
	m.accepts(t, m.token())
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, m.token(), tokens[name], "nothing is wrong with it")
			m.refuses(t, tokens[name], "bad_signature")
		})
	}
	m.accepts(t, m.token())
}

func TestNoTokenIsUnsigned(t *testing.T) {
	t.Parallel()
	eachToken(t, func(t *testing.T, _ *harness.Server, m forge) {
		bad := map[string]string{}
		for _, alg := range []string{"none", "None", "NONE", "noNE", "nOne", "", "null", "plain"} {
			for name, signature := range map[string][]byte{"empty": nil, "a byte": {0}, "zeros": make([]byte, 64), "genuine": m.sign(m.token())} {
				bad[fmt.Sprintf("%q, signature %s", alg, name)] = m.withHeader("alg", `"`+alg+`"`).signedBy(func(string) []byte { return signature }).token()
			}
			two, _ := strings.CutSuffix(m.withHeader("alg", `"`+alg+`"`).signedBy(func(string) []byte { return nil }).token(), ".")
			bad[fmt.Sprintf("%q, two parts", alg)] = two
		}
		for name, value := range map[string]string{"none at all": "", "null": `null`, "a list": `["EdDSA"]`, "true": `true`, "zero": `0`, "an object": `{}`} {
			bad[name] = m.withHeader("alg", value).token()
		}
		m.refusesAll(t, bad)
	})
}

func TestATokenHasOneAlgorithm(t *testing.T) {
	t.Parallel()
	eachToken(t, func(t *testing.T, s *harness.Server, m forge) {
		eddsa, err := s.Config.Keys.Active(keys.TokenEdDSA)
		require.NoError(t, err)
		hs256, err := s.Config.Keys.Active(keys.TokenHS256)
		require.NoError(t, err)
		cookie, err := s.Config.Keys.Active(keys.CookieSigning)
		require.NoError(t, err)

		public := eddsa.Public()
		der, err := x509.MarshalPKIXPublicKey(public)
		require.NoError(t, err)
		text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		set := s.Client(t, "").Do("GET", "/.well-known/jwks.json", nil).Body
		x := base64Of(public)
		bad := map[string]string{}
		for name, secret := range map[string][]byte{
			"empty": {}, "raw": public, "hex": []byte(hex.EncodeToString(public)), "HEX": []byte(strings.ToUpper(hex.EncodeToString(public))),
			"base64url": []byte(x), "base64url, padded": []byte(base64.URLEncoding.EncodeToString(public)),
			"base64": []byte(base64.StdEncoding.EncodeToString(public)), "base64, bare": []byte(base64.RawStdEncoding.EncodeToString(public)),
			"DER": der, "DER in base64": []byte(base64.StdEncoding.EncodeToString(der)), "DER in hex": []byte(hex.EncodeToString(der)),
			"PEM": text, "PEM, trimmed": bytes.TrimSpace(text), "PEM, CRLF": bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")),
			"PEM of another type": pem.EncodeToMemory(&pem.Block{Type: "ED25519 PUBLIC KEY", Bytes: public}),
			"the set":             set, "JWK": []byte(`{"kty":"OKP","crv":"Ed25519","x":"` + x + `"}`), "JWK, sorted": []byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`),
			"the id": []byte(eddsa.ID), "the issuer": []byte(state.Issuer), "a word": []byte("secret"),
		} {
			for alg, h := range map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New} {
				for _, id := range []string{eddsa.ID, hs256.ID, m.c.Slug} {
					bad["MAC with the public key: "+name+" "+alg+" "+id] = m.withHeader("alg", `"`+alg+`"`).withHeader("kid", `"`+id+`"`).signedBy(macWith(h, secret)).token()
				}
			}
		}
		// Keys of ours, each in the place of another.
		for name, other := range map[string]struct {
			alg  string
			key  *keys.Key
			sign func(string) []byte
		}{
			"EdDSA": {"EdDSA", eddsa, signWith(eddsa)}, "HS256": {"HS256", hs256, signWith(hs256)},
			"HS256 by the seed": {"HS256", eddsa, macWith(sha256.New, eddsa.Secret())}, "HS256 by the cookies' key": {"HS256", cookie, signWith(cookie)},
			"HS384": {"HS384", hs256, macWith(sha512.New384, hs256.Secret())}, "HS512": {"HS512", hs256, macWith(sha512.New, hs256.Secret())},
			"EdDSA by HS256's key": {"EdDSA", hs256, func(input string) []byte { return ed25519.Sign(ed25519.NewKeyFromSeed(hs256.Secret()), []byte(input)) }},
		} {
			forged := m.withHeader("alg", `"`+other.alg+`"`).withHeader("kid", `"`+other.key.ID+`"`).signedBy(other.sign).token()
			if !bytes.Equal(other.sign("x"), m.sign("x")) {
				bad["made with "+name] = forged
			}
		}
		for _, alg := range []string{"EDDSA", "eddsa", "hs256", "Ed25519", "RS256", "PS256", "ES256", "HS256 ", "dir", "A256GCM"} {
			bad["named "+alg] = m.withHeader("alg", `"`+alg+`"`).token()
		}
		m.refusesAll(t, bad)
	})
}

func TestTheHeaderOfAToken(t *testing.T) {
	t.Parallel()
	eachToken(t, func(t *testing.T, s *harness.Server, m forge) {
		var header struct {
			Alg string `json:"alg"`
			Kid string `json:"kid"`
		}
		require.NoError(t, json.Unmarshal([]byte(m.header), &header))
		cookie, err := s.Config.Keys.Active(keys.CookieSigning)
		require.NoError(t, err)
		bad := map[string]string{}
		for name, values := range map[string][]string{
			"typ": {"", `null`, `""`, `"JWT"`, `"AT+JWT"`, `"at+JWT"`, `"jwt"`, `"dpop+jwt"`, `"rt+jwt"`, `"at+jwt "`, `["at+jwt"]`, `1`},
			"kid": {"", `null`, `""`, `1`, `["` + header.Kid + `"]`, `{"$gt":""}`, `"' OR 1=1 --"`, `"` + header.Kid + `' --"`, `"../../../../etc/passwd"`, `"/dev/null"`,
				`"http://127.0.0.1:1/key"`, `"\u0000"`, `"` + header.Kid + `\u0000"`, `"` + header.Kid + ` "`, `"` + strings.ToUpper(header.Kid) + `"`, `"` + header.Kid[:7] + `"`,
				`"` + harness.Long("a", 5000) + `"`, `"` + cookie.ID + `"`, `"*"`, `"0"`, `"가"`},
			"crit": {`["exp"]`, `["b64"]`, `["kid"]`, `[]`, `""`, `null`, `["x"]`},
		} {
			for _, value := range values {
				bad[fmt.Sprintf("%s %.20s", name, value)] = m.withHeader(name, value).token()
			}
		}
		unencoded := m.withHeader("b64", `false`).withHeader("crit", `["b64"]`)
		input := base64Of([]byte(unencoded.header)) + "." + unencoded.claims
		bad["a payload in clear"] = input + "." + base64Of(m.sign(input))
		bad["a payload in clear, signed as such"] = base64Of([]byte(unencoded.header)) + "." + base64Of([]byte(m.claims)) + "." + base64Of(m.sign(input))
		for name, text := range map[string]string{
			"nothing": ``, "null": `null`, "a list": `[` + m.header + `]`, "text": `"x"`, "half of it": m.header[:len(m.header)/2], "twice": m.header + m.header,
			"a word behind": m.header + "x", "a byte order mark": "\ufeff" + m.header, "UTF-16": utf16Of(m.header, 0, 8),
			"not UTF-8":     strings.Replace(m.header, "{", "{\"x\":\"\xff\",", 1),
			"none, then it": strings.Replace(m.header, "{", `{"alg":"none",`, 1), "it, then it": strings.Replace(m.header, "{", `{"alg":"`+header.Alg+`",`, 1),
			"two ids": strings.Replace(m.header, "{", `{"kid":"x",`, 1), "two types": strings.Replace(m.header, "{", `{"typ":"JWT",`, 1),
			"names in capitals": strings.ToUpper(m.header),
		} {
			bad["the header is "+name] = m.withHeaderText(text).token()
		}
		m.refusesAll(t, bad)
		m.accepts(t, m.withHeader("x-unknown", `1`).token()) // what must not be understood is ignored (RFC 7515, 4)
	})
}

func TestKeysComeFromNowhereElse(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	public, private, err := ed25519.GenerateKey(seeded.Reader(t))
	require.NoError(t, err)
	url := "http://" + listener.Addr().String() + "/keys"
	jwk := `{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"mine","x":"` + base64Of(public) + `"}`

	eachToken(t, func(t *testing.T, _ *harness.Server, m forge) {
		bad := map[string]string{}
		for name, value := range map[string]string{
			"jwk": jwk, "jku": `"` + url + `"`, "x5u": `"` + url + `"`, "x5c": `["` + base64.StdEncoding.EncodeToString(public) + `"]`, "x5t": `"` + base64Of(public[:20]) + `"`,
			"kid": `"` + url + `"`, "iss": `"` + url + `"`,
		} {
			mine := m.withHeader(name, value).signedBy(func(input string) []byte { return ed25519.Sign(private, []byte(input)) })
			bad[name] = mine.token()
			bad[name+" as EdDSA"] = mine.withHeader("alg", `"EdDSA"`).token()
			bad[name+" without an id"] = mine.withHeader("alg", `"EdDSA"`).withHeader("kid", "").token()
			bad[name+" with its id"] = mine.withHeader("alg", `"EdDSA"`).withHeader("kid", `"mine"`).token()
			bad[name+" as HS256"] = mine.withHeader("alg", `"HS256"`).signedBy(macWith(sha256.New, public)).token()
		}
		bad["iss in the claims"] = m.withClaim("iss", `"`+url+`"`).token()
		m.refusesAll(t, bad)
		m.accepts(t, m.withHeader("jku", `"`+url+`"`).token()) // it is not looked at
	})
	require.NoError(t, listener.Close())
	<-accepting
	require.Zero(t, connections.Load(), "a header of a token made the server connect")
}

func TestTheClaimsOfAToken(t *testing.T) {
	t.Parallel()
	eachToken(t, func(t *testing.T, s *harness.Server, m forge) {
		now := s.Clock.Now().Unix()
		bad := map[string]string{}
		for name, values := range map[string][]string{
			"iss":       {"", `null`, `""`, `"Statelab"`, `"statelab "`, `"https://example.com"`, `["statelab"]`, `1`},
			"aud":       {"", `null`, `""`, `"statelab"`, `"` + strings.ToUpper(m.c.Slug) + `"`, `"` + m.c.Slug + ` "`, `["` + m.c.Slug + `"]`, `["x","` + m.c.Slug + `"]`, `[]`, `{}`, `1`, `"*"`},
			"exp":       {"", `null`, `0`, `"` + fmt.Sprint(now+60) + `"`, fmt.Sprintf("%d.5", now+60), `1e10`, `1e400`, `true`, `[]`, `9223372036854775808`},
			"nbf":       {`"0"`, `1.5`, `1e400`, `[]`, `true`},
			"iat":       {"", `null`, `"0"`, `1.5`, `1e400`, `[]`},
			"sub":       {"", `null`, `""`, `1`, `["x"]`, `{}`},
			"jti":       {"", `null`, `""`, `1`},
			"sid":       {"", `null`, `""`, `1`},
			"client_id": {"", `null`, `""`, `"x"`, `"Statelab"`, `["statelab"]`, `1`},
			"credits":   {`"100"`, `1.5`, `1e2`}, "cart": {`"x"`, `[1]`, `{}`}, "role": {`1`, `["admin"]`, `{}`},
		} {
			for _, value := range values {
				bad[fmt.Sprintf("%s %s", name, value)] = m.withClaim(name, value).token()
			}
		}
		for _, other := range harness.Strategies {
			if other != m.c.Slug {
				bad["aud is "+other] = m.withClaim("aud", `"`+other+`"`).token()
			}
		}
		for _, twice := range []string{
			`"iss":"statelab"`, `"aud":"x"`, `"exp":` + fmt.Sprint(now+9999), `"nbf":0`, `"iat":0`, `"sub":"x"`, `"jti":"x"`, `"client_id":"statelab"`, `"role":"admin"`, `"r\u006fle":"admin"`,
		} {
			bad["twice: "+twice] = m.withClaimsText(strings.Replace(m.claims, "{", "{"+twice+",", 1)).token()
			bad["twice, at the end: "+twice] = m.withClaimsText(strings.TrimSuffix(m.claims, "}") + "," + twice + "}").token()
		}
		for name, text := range map[string]string{
			"nothing": ``, "null": `null`, "a list": `[` + m.claims + `]`, "text": `"x"`, "empty": `{}`, "half of it": m.claims[:len(m.claims)/2], "twice": m.claims + m.claims,
			"a word behind": m.claims + "x", "a NUL behind": m.claims + "\x00", "a byte order mark": "\ufeff" + m.claims, "UTF-16": utf16Of(m.claims, 0, 8),
			"not UTF-8": strings.Replace(m.claims, `"Alice"`, "\"Al\xffce\"", 1), "half a pair": strings.Replace(m.claims, `"Alice"`, `"Al\ud800"`, 1),
			"deep": strings.Replace(m.claims, "{", `{"x":`+strings.Repeat("[", 2500)+strings.Repeat("]", 2500)+`,`, 1)[:len(m.claims)+2000],
		} {
			bad["the claims are "+name] = m.withClaimsText(text).token()
		}
		m.refusesAll(t, bad)
		for _, exp := range []int64{now + 1, now + 3600} {
			m.accepts(t, m.withClaim("exp", fmt.Sprint(exp)).token())
		}
		m.accepts(t, m.withClaim("x-unknown", `[1]`).token())
	})
}

func TestTheDatesOfAToken(t *testing.T) {
	t.Parallel()
	eachToken(t, func(t *testing.T, s *harness.Server, m forge) {
		now := s.Clock.Now().Unix()
		for _, test := range []struct {
			claim string
			at    int64
			code  string
		}{
			{"exp", now, "expired"}, {"exp", now - 1, "expired"}, {"exp", 1, "expired"}, {"exp", -1, "expired"}, {"exp", -1 << 62, "expired"},
			{"nbf", now + 3, "not_yet_valid"}, {"iat", now + 3, "not_yet_valid"}, {"nbf", now + 3600, "not_yet_valid"}, {"iat", now + 3600, "not_yet_valid"},
		} {
			t.Run(fmt.Sprint(test.claim, " ", test.at-now), func(t *testing.T) {
				m.refuses(t, m.withClaim(test.claim, fmt.Sprint(test.at)).token(), test.code)
				forged := m.withClaim(test.claim, fmt.Sprint(test.at)).signedBy(macWith(sha256.New, []byte("x")))
				m.refuses(t, forged.token(), "bad_signature") // what is not ours has no date
			})
		}
		for _, claim := range []string{"nbf", "iat"} { // the clock of another node may be ahead
			m.accepts(t, m.withClaim(claim, fmt.Sprint(now+2)).token())
		}
		s.Clock.Advance(15*time.Minute - time.Second)
		m.accepts(t, m.token())
		s.Clock.Advance(time.Second)
		m.refuses(t, m.token(), "expired") // "on or after" (RFC 7519, 4.1.4)
		s.Clock.Advance(-15*time.Minute - 3*time.Second)
		m.refuses(t, m.token(), "not_yet_valid")
		s.Clock.Advance(time.Second)
		m.accepts(t, m.token())
	})
}

// Nobody can turn a token into another text that is accepted.
func TestATokenHasOneSpelling(t *testing.T) {
	t.Parallel()
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	eachToken(t, func(t *testing.T, _ *harness.Server, m forge) {
		genuine := m.token()
		parts := strings.Split(genuine, ".")
		bad := map[string]string{
			"a fourth part": genuine + ".x", "an empty fourth part": genuine + ".", "a part less": parts[0] + "." + parts[1], "no signature": parts[0] + "." + parts[1] + ".",
			"five parts": genuine + "." + parts[1] + "." + parts[2], "JWE": strings.Repeat(parts[0]+".", 4) + parts[2], "no header": "." + parts[1] + "." + parts[2],
			"no claims": parts[0] + ".." + parts[2], "points": "..", "a point": ".", "padding": genuine + "=", "more padding": genuine + "==", "padding inside": parts[0] + "=." + parts[1] + "." + parts[2],
			"standard base64": parts[0] + "." + parts[1] + "." + base64.StdEncoding.EncodeToString(m.sign(parts[0]+"."+parts[1])), "a percent": genuine + "%3d", "a comma": genuine + "," + genuine,
			"quotes": `"` + genuine + `"`, "a tab in front": "\t" + genuine, "a space inside": parts[0] + ". " + parts[1] + "." + parts[2], "a tab": parts[0] + ".\t" + parts[1] + "." + parts[2],
			"a zero byte more": parts[0] + "." + parts[1] + "." + base64Of(append(m.sign(parts[0]+"."+parts[1]), 0)), "twice": genuine + genuine, "in capitals": strings.ToUpper(genuine),
			"a soft hyphen": genuine + "\u00ad", "a long one": genuine + harness.Long("A", 9000), "in another order": parts[1] + "." + parts[0] + "." + parts[2],
			"a role of its own": parts[0] + "." + base64Of([]byte(strings.Replace(m.claims, `"member"`, `"admin"`, 1))) + "." + parts[2],
			"more credits":      parts[0] + "." + base64Of([]byte(strings.Replace(m.claims, `"credits":100`, `"credits":999`, 1))) + "." + parts[2],
		}
		signature := m.sign(parts[0] + "." + parts[1])
		for bit := 0; bit < 8*len(signature); bit += 5 {
			flipped := slices.Clone(signature)
			flipped[bit/8] ^= 1 << (bit % 8)
			bad[fmt.Sprintf("bit %d of the signature", bit)] = parts[0] + "." + parts[1] + "." + base64Of(flipped)
		}
		for i := 0; i < len(genuine); i += 11 {
			if genuine[i] != '.' {
				other := alphabet[(strings.IndexByte(alphabet, genuine[i])+1)%64]
				bad[fmt.Sprintf("character %d", i)] = genuine[:i] + string(other) + genuine[i+1:]
			}
		}
		// The last character of a part has bits to spare.
		for i, part := range parts {
			for _, last := range alphabet {
				if changed := part[:len(part)-1] + string(last); changed != part {
					all := slices.Clone(parts)
					all[i] = changed
					bad[fmt.Sprintf("part %d ends with %c", i, last)] = strings.Join(all, ".")
				}
			}
		}
		if len(signature) == ed25519.SignatureSize {
			// S plus the order of the group: another number for the same point (RFC 8032, 8.4).
			order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
			little := slices.Clone(signature[32:])
			slices.Reverse(little)
			sum := new(big.Int).Add(new(big.Int).SetBytes(little), order).FillBytes(make([]byte, 32))
			slices.Reverse(sum)
			bad["S plus the order"] = parts[0] + "." + parts[1] + "." + base64Of(append(slices.Clone(signature[:32]), sum...))
		}
		m.refusesAll(t, bad)
	})
}

func TestKeysOfATokenThatAreNotItsOwn(t *testing.T) {
	t.Parallel()
	eachToken(t, func(t *testing.T, s *harness.Server, m forge) {
		alien := harness.NewServer(t, func(c *api.Config) { c.TokenAlg = s.Config.TokenAlg }).Login(t, m.c.Slug, harness.Alice, harness.AlicePassword).Held()
		m.refuses(t, alien, "bad_signature")

		// A second key of the ring verifies what it has signed, under its own id.
		ring, purpose := s.Config.Keys, algorithms[s.Config.TokenAlg]
		var all []*keys.Key
		for _, p := range keys.Purposes() {
			all = append(all, ring.Verifying(p)...)
		}
		secret := make([]byte, 32)
		_, err := io.ReadFull(seeded.Reader(t), secret)
		require.NoError(t, err)
		second, err := keys.NewKey(purpose, secret, s.Clock.Now())
		require.NoError(t, err)
		ring.Replace(append(all, second)...)
		t.Cleanup(func() { ring.Replace(all...) })

		older := m.withHeader("kid", `"`+second.ID+`"`)
		m.accepts(t, older.signedBy(signWith(second)).token())
		m.refuses(t, older.token(), "bad_signature")
		m.refuses(t, m.signedBy(signWith(second)).token(), "bad_signature")
		ring.Replace(all...)
		m.refuses(t, older.signedBy(signWith(second)).token(), "bad_signature")
		m.accepts(t, m.token())
	})
}

func TestTheAuthorizationHeader(t *testing.T) {
	t.Parallel()
	eachToken(t, func(t *testing.T, s *harness.Server, m forge) {
		if !m.c.Bearer() {
			return // it is not looked at, of cookies, badCookies are the table
		}
		theirs, mine := s.Login(t, m.c.Slug, harness.Bob, harness.BobPassword).Access, m.token()
		expired := m.withClaim("exp", "1").token()
		for name, test := range map[string]struct {
			lines     []string
			status    int
			code      string
			challenge string
		}{
			"genuine":              {[]string{"Bearer " + mine}, 200, "", ""},
			"lower case":           {[]string{"bearer " + mine}, 200, "", ""},
			"upper case":           {[]string{"BEARER " + mine}, 200, "", ""},
			"the same twice":       {[]string{"Bearer " + mine, "Bearer " + mine}, 200, "", ""},
			"none":                 {nil, 401, "no_credential", bareChallenge},
			"nothing in it":        {[]string{""}, 401, "no_credential", bareChallenge},
			"another scheme":       {[]string{"Basic YWxpY2U6d29uZGVybGFuZA=="}, 401, "no_credential", bareChallenge},
			"no scheme":            {[]string{mine}, 401, "no_credential", bareChallenge},
			"a scheme like it":     {[]string{"BearerX " + mine, "Bear " + mine, "Bearer:" + mine}, 401, "no_credential", bareChallenge},
			"no token":             {[]string{"Bearer"}, 401, "bad_signature", invalidChallenge},
			"a space and no token": {[]string{"Bearer "}, 401, "bad_signature", invalidChallenge},
			"two spaces":           {[]string{"Bearer  " + mine}, 200, "", ""},
			"many spaces":          {[]string{"bEARER" + harness.Long(" ", 100) + mine}, 200, "", ""},
			"a tab":                {[]string{"Bearer\t" + mine}, 401, "no_credential", bareChallenge},
			"a space and a tab":    {[]string{"Bearer \t" + mine}, 401, "bad_signature", invalidChallenge},
			"twice, spaced":        {[]string{"Bearer " + mine, "Bearer   " + mine}, 200, "", ""},
			"a word":               {[]string{"Bearer x"}, 401, "bad_signature", invalidChallenge},
			"a list":               {[]string{"Bearer " + mine + ", Bearer " + theirs}, 401, "bad_signature", invalidChallenge},
			"a parameter":          {[]string{"Bearer token=" + mine}, 401, "bad_signature", invalidChallenge},
			"a refresh token":      {[]string{"Bearer " + m.c.Refresh}, 401, "bad_signature", invalidChallenge},
			"expired":              {[]string{"Bearer " + expired}, 401, "expired", invalidChallenge},
			"not yet valid":        {[]string{"Bearer " + m.withClaim("nbf", "4000000000").token()}, 401, "not_yet_valid", invalidChallenge},
			"two":                  {[]string{"Bearer " + mine, "Bearer " + theirs}, 400, "ambiguous_credential", `Bearer realm="statelab", error="invalid_request"`},
			"two, one bad":         {[]string{"Bearer " + mine, "Bearer x"}, 400, "ambiguous_credential", `Bearer realm="statelab", error="invalid_request"`},
			"two, one expired":     {[]string{"bearer " + expired, "Bearer " + mine}, 400, "ambiguous_credential", `Bearer realm="statelab", error="invalid_request"`},
		} {
			t.Run(name, func(t *testing.T) {
				for _, route := range []string{"profile", "inspect", "logins", "members"} {
					if test.status != http.StatusOK || route != "members" {
						a := s.Client(t, m.c.Slug).Do("GET", "/"+m.c.Slug+"/"+route, nil, harness.Header("Authorization", test.lines...)).Is(test.status)
						require.Equal(t, test.code, a.Code())
						require.Equal(t, test.challenge, a.Header.Get("WWW-Authenticate"))
					}
				}
			})
		}
		folded := s.Wire(t, "GET /"+m.c.Slug+"/profile HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nAuthorization: Bearer "+mine[:50]+"\r\n "+mine[50:]+"\r\n\r\n", false)
		require.Contains(t, folded, "HTTP/1.1 401 ", "a token on two lines")
		a := s.Client(t, m.c.Slug).Post("login", harness.Credentials(harness.Alice, "wrong")).Is(http.StatusUnauthorized, "bad_login")
		require.Equal(t, bareChallenge, a.Header.Get("WWW-Authenticate"), "no token was presented")
	})
}

func TestAccessAndRefreshTokensAreNotEachOther(t *testing.T) {
	t.Parallel()
	eachToken(t, func(t *testing.T, s *harness.Server, m forge) {
		c, refresh := m.c, m.c.Renews()
		present := func(t *testing.T, route, token string) *harness.Answer {
			other := s.Client(t, c.Slug)
			if c.Bearer() {
				return other.Post(route, harness.Object{"refresh_token": token})
			}
			other.Hold(c.Held()).Cookies[harness.CookieName(c.Slug)+"_refresh"] = token
			return other.Post("refresh", nil) // the one route that the cookie is sent to
		}
		for name, presented := range map[string]string{
			"an access token": m.token(), "its start": m.token()[:44], "a word": "x", "unknown": harness.Long("A", 44), "43 characters": refresh[:43], "45 characters": refresh + "A",
			"another lookup": harness.Long("A", 22) + refresh[22:], "the login's id": c.Get("inspect").Text("held.record.login.sid"), "spaces": " " + refresh[1:], "Korean": harness.Long("가", 44), "tabs": "A" + harness.Long("\t", 42) + "A",
		} {
			t.Run(name, func(t *testing.T) {
				c := c.In(t)
				for _, route := range []string{"refresh", "logout"} {
					a := present(t, route, presented).Is(http.StatusUnauthorized, "unknown_session")
					require.Equal(t, c.Challenge(invalidChallenge), a.Header.Get("WWW-Authenticate"))
				}
				require.Equal(t, refresh, c.Renews())
			})
		}
		if c.Bearer() {
			s.Client(t, c.Slug).Post("logout", harness.Object{"everywhere": true, "refresh_token": harness.Long("A", 44)}).Is(http.StatusUnauthorized, "unknown_session")
		}
		c.Renewed() // the family is alive after all of this

		// Half a refresh token is known to be used up or to have been guessed.
		present(t, "refresh", c.Renews()[:22]+harness.Long("A", 22)).Is(http.StatusUnauthorized, "reuse_detected")
		c.Renew().Is(http.StatusUnauthorized, "revoked")
	})
}
