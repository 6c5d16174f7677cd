package state

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"statelab/state/keys"
)

// fuzzNow is the moment at which all of this happens.
var fuzzNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// repeatable is randomness that is the same in each process, so that what one
// worker has found is good for the others.
func repeatable(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func fuzzRing(tb testing.TB, seed byte) *keys.Ring {
	tb.Helper()
	ring, err := keys.Generate(repeatable(seed), fuzzNow)
	require.NoError(tb, err)
	return ring
}

// one is a store with room for one record.
type one struct {
	Store
	mu  sync.Mutex
	key Key
	rec Record
}

func (s *one) Create(_ context.Context, k Key, r Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key, s.rec = k, r
	s.rec.Rev = 1
	return nil
}

func (s *one) Logins(context.Context, LoginQuery) ([]LoginHead, error) { return nil, nil }

func (s *one) Load(_ context.Context, k Key) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k != s.key {
		return Record{}, ErrNotFound
	}
	return s.rec, nil
}

func (s *one) Update(_ context.Context, k Key, rev int64, r Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case k != s.key:
		return ErrNotFound
	case rev != s.rec.Rev:
		return ErrConflict
	}
	s.rec = r
	s.rec.Rev = rev + 1
	return nil
}

func (s *one) Delete(context.Context, Key) error { return nil }

// A genuine credential: the strategy that it is good for, the login that it
// opens, and the text of it.
type genuine struct {
	Strategy
	login         Login
	held, refresh string
}

// newGenuine logs in.
func newGenuine(tb testing.TB, slug, alg string) genuine {
	tb.Helper()
	s, err := New(Config{
		Slug: slug, Store: new(one), Keys: fuzzRing(tb, 1), Now: func() time.Time { return fuzzNow }, Rand: repeatable(2),
		Roles: func(context.Context, string) (string, error) { return "member", nil }, Limits: Limits{Lifetimes: DefaultLifetimes()}, TokenAlg: alg,
	})
	require.NoError(tb, err)
	w := httptest.NewRecorder()
	l, credential, err := s.Start(w, httptest.NewRequest(http.MethodPost, "/", nil), NewLogin("01M807", "alice", "Alice", "member"))
	require.NoError(tb, err)
	return genuine{s, l, held(w, credential), credential.RefreshToken}
}

// held returns the credential that a client holds after an answer: of its cookies the
// last one set, or its access token.
func held(w *httptest.ResponseRecorder, credential Credential) string {
	if cookies := w.Result().Cookies(); len(cookies) > 0 {
		return cookies[len(cookies)-1].Value
	}
	return credential.AccessToken
}

// opens requires what was presented to be the credential, and what it opened the
// login. Sealing the same twice gives two texts, so there only the login tells.
func (g genuine) opens(t *testing.T, presented string, l Login) {
	t.Helper()
	if !g.Traits().TamperProof {
		return // it may be anything, and no fault of the server
	}
	require.Equal(t, g.login, l, "%q opened another login", presented)
	if g.Traits().ProtectedBy != ProtectedByEncryption {
		require.Equal(t, g.held, presented)
	}
}

// refused requires an error to be one of those that blame the credential.
func refused(t *testing.T, err error) {
	t.Helper()
	for _, known := range []error{ErrNoCredential, ErrAmbiguous, ErrUnknown, ErrBadSignature, ErrExpired, ErrNotYetValid, ErrRevoked, ErrReuse} {
		if errors.Is(err, known) {
			return
		}
	}
	require.NoError(t, err, "a bad credential is not the server's fault")
}

// A codec takes back what it has made, and nothing else: not one bit, not one
// character, not one spelling.
func FuzzCookieCodecs(f *testing.F) {
	ring, other := fuzzRing(f, 1), fuzzRing(f, 3)
	codecs := []codec{signed{"cookie", ring}, sealed{"cookie-sealed", ring}}
	strangers := []codec{signed{"cookie-sealed", ring}, sealed{"cookie", ring}, signed{"cookie", other}, sealed{"cookie-sealed", other}}
	for _, payload := range []string{``, `{}`, `{"sid":"x"}`, "\x00", strings.Repeat("가", 1000)} {
		f.Add([]byte(payload), uint(0), byte('A'), "")
		f.Add([]byte(payload), uint(7), byte('.'), ".")
		f.Add([]byte(payload), uint(43), byte('\n'), "=")
	}
	f.Fuzz(func(t *testing.T, payload []byte, at uint, put byte, tail string) {
		for _, c := range codecs {
			value, err := c.encode(payload)
			require.NoError(t, err)
			back, _, err := c.decode(value)
			require.NoError(t, err)
			require.True(t, bytes.Equal(payload, back))

			i := int(at % uint(len(value)))
			for _, changed := range []string{value[:i] + string(put) + value[i+1:], value[:i] + string(put) + value[i:], value[:i] + value[i+1:], value[:i] + tail, value + tail, tail + value} {
				if changed != value {
					_, _, err := c.decode(changed)
					require.ErrorIs(t, err, ErrBadSignature, "%q for %q", changed, value)
				}
			}
			for _, stranger := range strangers {
				_, _, err := stranger.decode(value)
				require.ErrorIs(t, err, ErrBadSignature)
			}
		}
	})
}

// A cookie that nobody of us made opens nothing, however it looks.
func FuzzCookieValue(f *testing.F) {
	var all []genuine
	for _, d := range definitions {
		if g := newGenuine(f, d.Slug, ""); g.Traits().Transport == TransportCookie {
			all = append(all, g)
			for _, value := range []string{g.held, g.held + "; statelab_" + d.Slug + "=x", g.held[:len(g.held)-1], g.held + "=", " " + g.held} {
				f.Add(value)
			}
		}
	}
	for _, value := range []string{``, `.`, `..`, `""`, `a.b`, strings.Repeat("A", opaqueChars), strings.Repeat("A", 200) + "." + strings.Repeat("A", macChars), "\x00", "\xff", "=;=;="} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, g := range all {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Cookie"] = []string{g.Carriage(r).Prefix + value}
			l, err := g.Load(r)
			if err == nil {
				first, _, _ := strings.Cut(value, ";")
				g.opens(t, strings.TrimRight(first, " \t"), l.Login)
				continue
			}
			if errors.Is(err, ErrFull) {
				require.False(t, g.Traits().StrictID, "only what adopts any identifier has to keep it")
				continue
			}
			refused(t, err)
			w := httptest.NewRecorder()
			_, _, err = OpenAndRefresh(g, w, r, "")
			require.Error(t, err)
			require.Empty(t, w.Header()["Set-Cookie"])
			_, err = OpenAndEnd(g, w, r, "")
			refused(t, err)
		}
	})
}

// A bearer token that nobody of us made opens nothing, in any header.
func FuzzAuthorization(f *testing.F) {
	var all []genuine
	for _, alg := range []string{"EdDSA", "HS256"} {
		for _, d := range definitions {
			g := newGenuine(f, d.Slug, alg)
			if g.Traits().Transport != TransportBearer {
				continue
			}
			all = append(all, g)
			f.Add("Bearer "+g.held, "")
			f.Add("bearer "+g.held, "Bearer "+g.held)
			f.Add("Bearer "+g.held+"=", "Bearer x")
			f.Add("Bearer "+g.held[:strings.LastIndex(g.held, ".")+1], "")
			f.Add("Bearer "+g.refresh, "")
		}
	}
	for _, header := range []string{``, `Bearer`, `Bearer `, `Bearer  x`, `Basic x`, `Bearer eyJhbGciOiJub25lIn0.e30.`, `Bearer .`, `Bearer ..`, `Bearer a.b.c.d.e`, "Bearer \x00", "bEaReR \xff"} {
		f.Add(header, header)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		for _, g := range all {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Authorization"] = []string{first, second}
			l, err := g.Load(r)
			if err != nil {
				refused(t, err)
				continue
			}
			scheme, presented, _ := strings.Cut(first, " ")
			if !strings.EqualFold(scheme, "Bearer") {
				scheme, presented, _ = strings.Cut(second, " ")
			}
			require.True(t, strings.EqualFold(scheme, "Bearer"), "%q, %q", first, second)
			g.opens(t, presented, l.Login)
		}
	})
}

// Whatever stands in a token with our signature, it is read as we would write
// it, or refused: reading and writing never disagree on what a claim is.
func FuzzClaims(f *testing.F) {
	g := newGenuine(f, "token", "EdDSA")
	s := g.Strategy.(*token)
	key, err := s.Keys.Active(s.purpose)
	require.NoError(f, err)
	payload, err := jwt.NewParser().DecodeSegment(strings.Split(g.held, ".")[1])
	require.NoError(f, err)
	f.Add(string(payload))
	for _, change := range []string{`"iss":"statelab"`, `"exp":1e400`, `"exp":-1`, `"aud":["token"]`, `"sub":null`, `"role":"admin"`, `"cart":null`, `"x":[[[]]]`, `"exp":9223372036854775807`, "\"x\":\"\xff\""} {
		f.Add(strings.Replace(string(payload), "{", "{"+change+",", 1))
		f.Add("{" + change + "}")
	}
	for _, text := range []string{``, `null`, `[]`, `"x"`, `{}`, `{} {}`, "\ufeff{}"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		encode := func(s string) string { return b64.EncodeToString([]byte(s)) }
		input := encode(`{"alg":"EdDSA","kid":"`+key.ID+`","typ":"at+jwt"}`) + "." + encode(payload)
		signature, err := s.method.Sign(input, key.Signer())
		require.NoError(t, err)
		c, err := s.parse(input + "." + b64.EncodeToString(signature))
		if err != nil {
			refused(t, err)
			return
		}
		require.Greater(t, c.Expires, fuzzNow.Unix())
		require.LessOrEqual(t, c.NotBefore, fuzzNow.Unix())
		require.Equal(t, []string{Issuer, "token", clientID}, []string{c.Issuer, c.Audience, c.ClientID})
		require.True(t, jsontext.Value(payload).IsValid(), "the strict decoder would have refused %q", payload)
		text, err := json.Marshal(c)
		require.NoError(t, err)
		var again claims
		require.NoError(t, json.Unmarshal(text, &again))
		require.Len(t, again.Cart, len(c.Cart))
		c.Cart, again.Cart = nil, nil
		require.Equal(t, *c, again)
	})
}

// An opaque credential opens its own record, and a guess opens none; what is
// presented in place of it does not change what it opens.
func FuzzOpaque(f *testing.F) {
	for _, d := range definitions {
		g := newGenuine(f, d.Slug, "")
		f.Add(g.held)
		f.Add(g.refresh)
	}
	for _, guess := range []string{``, strings.Repeat("A", opaqueChars), strings.Repeat("\x00", opaqueChars), strings.Repeat("가", 15)[:opaqueChars], strings.Repeat("=", opaqueChars)} {
		f.Add(guess)
	}
	f.Fuzz(func(t *testing.T, guess string) {
		if k, ok := ParseKey(guess); ok {
			require.Equal(t, guess, k.String(), "a key has one spelling")
		}
		store, random := new(one), repeatable(4)
		credential, key, rotation, err := mint(random, "x")
		require.NoError(t, err)
		require.Len(t, credential, opaqueChars)
		require.NoError(t, store.Create(t.Context(), key, Record{Rotation: rotation}))

		keep := func(*Record) error { return nil }
		for _, changed := range []string{guess, credential[:secretChars] + guess, guess + credential[secretChars:], credential + guess, strings.Replace(credential, credential[:1], guess, 1)} {
			if changed == credential {
				continue
			}
			_, _, err := open(t.Context(), store, "x", changed)
			require.ErrorIs(t, err, ErrUnknown, "%q for %q", changed, credential)
			if p, ok := parseOpaque("x", changed); ok {
				_, _, err := rotate(t.Context(), store, p, Record{}, 1, time.Minute, keep)
				refused(t, err)
				require.Error(t, err)
			}
		}
		require.Equal(t, int64(1), store.rec.Rev, "a guess has written")

		o, ok := parseOpaque("x", credential)
		require.True(t, ok)
		rec, successor, err := rotate(t.Context(), store, o, Record{}, 1, time.Minute, keep)
		require.NoError(t, err)
		require.NotEqual(t, o.secret, successor)
		_, same, err := rotate(t.Context(), store, o, Record{}, 2, time.Minute, keep)
		require.NoError(t, err)
		require.Equal(t, successor, same, "within the overlap there is one successor")
		_, _, err = rotate(t.Context(), store, o, Record{}, Micros(time.Minute.Microseconds())+1, time.Minute, keep)
		require.ErrorIs(t, err, ErrReuse)
		require.Equal(t, rec.Rotation, store.rec.Rotation)
	})
}

// A record that a store outside the process keeps comes back as it was, and
// nothing else is taken for one.
func FuzzRecord(f *testing.F) {
	rec := Record{Kind: KindLogin, Strategy: "x", Login: NewLogin("s", "alice", "Alice", "member"), Count: 1, Expires: 1, Foreign: []byte{0, 255}}
	text, err := rec.Encode()
	require.NoError(f, err)
	f.Add(text)
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`{"v":2,"kind":"login"}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		var doc recordDocument
		if json.Unmarshal(text, &doc) != nil {
			return
		}
		first, err := doc.Encode()
		require.NoError(t, err)
		var again recordDocument
		require.NoError(t, json.Unmarshal(first, &again))
		second, err := again.Encode()
		require.NoError(t, err)
		require.Equal(t, string(first), string(second))
	})
}
