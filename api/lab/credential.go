package lab

import (
	"bytes"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// A part of a credential that may be base64: what stands between other characters.
var encodedPart = regexp.MustCompile(`[A-Za-z0-9+/_-]{6,}={0,2}`)

// alphabets are the spellings of base64 that libraries use.
var alphabets = []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding}

// decode reads base64 in the alphabet that fits, without its padding.
func decode(part string) (decoded []byte, in *base64.Encoding) {
	bare := strings.TrimRight(part, "=")
	for _, in := range alphabets {
		if b, err := in.DecodeString(bare); err == nil {
			return b, in
		}
	}
	return nil, nil
}

// openings are all texts that can be got out of a credential without a key: by undoing
// percent-encoding, base64 and compression.
func openings(credential string) []string {
	all := []string{credential}
	plain, err := url.QueryUnescape(credential)
	if err != nil {
		plain = credential
	}
	all = append(all, plain)
	for _, part := range encodedPart.FindAllString(plain, -1) {
		b, in := decode(part)
		if in == nil {
			continue
		}
		all = append(all, string(b))
		if r, err := zlib.NewReader(bytes.NewReader(b)); err == nil {
			unpacked, _ := io.ReadAll(io.LimitReader(r, maxHeader))
			all = append(all, string(unpacked))
		}
		for _, inner := range encodedPart.FindAllString(string(b), -1) { // twice encoded, as securecookie does
			if b, in := decode(inner); in != nil {
				all = append(all, string(b))
			}
		}
	}
	return all
}

// reads says whether one of the words stands in a credential for all to read.
func reads(credential string, words ...string) bool {
	return slices.ContainsFunc(openings(credential), func(text string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return word != "" && strings.Contains(text, word) })
	})
}

// An edit is a credential that its client has changed.
type edit struct{ does, value string }

// edits are what an attacker tries on a credential of the user: other claims in it, one
// other bit in each part, and for a token another algorithm (RFC 8725, 2.1 and 3.1).
func edits(credential string, claims *strings.Replacer, publicKey []byte) []edit {
	plain, err := url.QueryUnescape(credential)
	escaped := err == nil && plain != credential
	if !escaped {
		plain = credential
	}
	var all []edit
	try := func(does, value string) {
		if value == plain || slices.ContainsFunc(all, func(e edit) bool { return e.value == value }) {
			return
		}
		if escaped {
			value = strings.ReplaceAll(url.QueryEscape(value), "+", "%20")
		}
		all = append(all, edit{does, value})
	}
	try("edit the claims", claims.Replace(plain))
	for _, at := range encodedPart.FindAllStringIndex(plain, -1) {
		part := plain[at[0]:at[1]]
		in := func(changed string) string { return plain[:at[0]] + changed + plain[at[1]:] }
		b, encoding := decode(part)
		if encoding == nil || len(b) == 0 {
			try("change one character", in(otherCharacter(part)))
			continue
		}
		again := func(b []byte) string {
			return in(encoding.EncodeToString(b) + part[len(strings.TrimRight(part, "=")):])
		}
		if changed := claims.Replace(string(b)); changed != string(b) {
			try("edit the claims", again([]byte(changed)))
		}
		flipped := slices.Clone(b)
		flipped[len(b)/2] ^= 1
		try("flip one bit", again(flipped))
	}
	if header, rest, ok := strings.Cut(plain, "."); ok {
		payload, _, ok := strings.Cut(rest, ".")
		var head map[string]any // of a JSON Web Token
		if b, _ := decode(header); ok && json.Unmarshal(b, &head) == nil {
			for _, e := range otherAlgorithms(payload, publicKey) {
				try(e.does, e.value)
			}
		}
	}
	return all
}

// otherAlgorithms are the payload of a token under no signature, and under one that the
// public key makes, taken for a secret.
func otherAlgorithms(payload string, publicKey []byte) []edit {
	head := func(alg string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","typ":"at+jwt"}`))
	}
	all := []edit{{"alg: none", head("none") + "." + payload + "."}}
	if publicKey != nil {
		signed := head("HS256") + "." + payload
		mac := hmac.New(sha256.New, publicKey)
		_, _ = mac.Write([]byte(signed))
		all = append(all, edit{"HS256 with the public key", signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))})
	}
	return all
}

// otherCharacter changes the character in the middle into another one of its kind.
func otherCharacter(s string) string {
	b := []byte(s)
	switch c := &b[len(b)/2]; *c {
	case '9', 'f', 'F', 'z', 'Z':
		*c--
	default:
		*c++
	}
	return string(b)
}

// publicKey returns the bytes of the key that the target publishes, or nil.
func (b *Bench) publicKey(a *Agent) []byte {
	if b.Levers == nil {
		return nil
	}
	answer := a.do("fetch the public key", Request{Method: http.MethodGet, Path: "/.well-known/jwks.json"}, nil)
	key, _ := decode(answer.text("/keys/0/x"))
	return key
}
