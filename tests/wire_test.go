package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// What is no HTTP is refused before it is ours to answer, and what is barely
// HTTP has one meaning and one answer; the server goes on in both cases.
func TestMessagesOnTheWire(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	harness.Each(t, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		credential := "Cookie: " + harness.CookieName(slug) + "=" + c.Held() + "\r\n"
		if c.Bearer() {
			credential = "Authorization: Bearer " + c.Held() + "\r\n"
		}
		const host, body = "Host: HOST\r\n", `{"amount":1}`
		get := "GET /" + slug + "/profile HTTP/1.1\r\nConnection: close\r\n" + credential
		post := "POST /" + slug + "/spend HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Type: application/json\r\n" + credential
		chunks := "\r\nc\r\n" + body + "\r\n0\r\n\r\n"
		for what, test := range map[string]struct {
			text, want string
			cut        bool
		}{
			"nothing":                      {"", "", true},
			"half a header":                {get, "", true},
			"less than the length":         {post + "Content-Length: 13\r\n\r\n" + body, "1.1 400", true},
			"half a chunk":                 {post + "Transfer-Encoding: chunked\r\n\r\nff\r\n" + body, "1.1 400", true},
			"TLS":                          {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "1.1 400", false},
			"HTTP/0.9":                     {"GET /" + slug + "/profile\r\n\r\n", "1.1 400", false},
			"HTTP/1.0 without a host":      {"GET /" + slug + "/profile HTTP/1.0\r\n" + credential + "\r\n", "1.0 421", false},
			"HTTP/2.0":                     {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "1.1 421", true},
			"HTTP/3.0":                     {strings.Replace(get, "1.1", "3.0", 1) + host + "\r\n", "1.1 505", false},
			"no host":                      {get + "\r\n", "1.1 400", false},
			"two hosts":                    {get + host + host + "\r\n", "1.1 400", false},
			"a host on two lines":          {get + "Host: HOST\r\n x\r\n\r\n", "1.1 400", false},
			"a host with a path":           {get + "Host: localhost/@example.com\r\n\r\n", "1.1 400", false},
			"another host in the target":   {strings.Replace(get, "GET ", "GET http://example.com", 1) + host + "\r\n", "1.1 421", false},
			"a header without a colon":     {get + host + "X\r\n\r\n", "1.1 400", false},
			"a space before the colon":     {get + host + "X : 1\r\n\r\n", "1.1 400", false},
			"a NUL in a header":            {get + host + "X: \x00\r\n\r\n", "1.1 400", false},
			"a bare CR in a header":        {get + host + "X: a\rSet-Cookie: x\r\n\r\n", "1.1 400", false},
			"a NUL in the target":          {strings.Replace(get, slug, "\x00", 1) + host + "\r\n", "1.1 400", false},
			"half an escape in the target": {strings.Replace(get, slug, "%e", 1) + host + "\r\n", "1.1 400", false},
			"a target without a slash":     {strings.Replace(get, "/"+slug, slug, 1) + host + "\r\n", "1.1 400", false},
			"a target without a path":      {"GET http://HOST HTTP/1.1\r\nConnection: close\r\n" + host + "\r\n", "1.1 404", false},
			"a star for a target":          {"GET * HTTP/1.1\r\nConnection: close\r\n" + host + "\r\n", "1.1 404", false},
			"a tunnel":                     {"CONNECT HOST HTTP/1.1\r\nConnection: close\r\n" + host + "\r\n", "1.1 404", false},
			"a tunnel to a path":           {strings.Replace(get, "GET", "CONNECT", 1) + host + "\r\n", "1.1 405", false},
			"two lengths":                  {post + "Content-Length: 12\r\nContent-Length: 13\r\n\r\n" + body, "1.1 400", false},
			"a negative length":            {post + "Content-Length: -1\r\n\r\n" + body, "1.1 400", false},
			"a length with a sign":         {post + "Content-Length: +12\r\n\r\n" + body, "1.1 400", false},
			"a list of lengths":            {post + "Content-Length: 12, 12\r\n\r\n" + body, "1.1 400", false},
			"an unknown coding":            {post + "Transfer-Encoding: xchunked\r\n" + chunks, "1.1 501", false},
			"two codings":                  {post + "Transfer-Encoding: gzip, chunked\r\n" + chunks, "1.1 501", false},
			"one coding twice":             {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + chunks, "1.1 501", false},
			"a chunk of no size":           {post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body + "\r\n0\r\n\r\n", "1.1 400", false},
			"a chunk of a huge size":       {post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + body + "\r\n0\r\n\r\n", "1.1 400", false},
			"a chunk with a sign":          {post + "Transfer-Encoding: chunked\r\n\r\n+c\r\n" + body + "\r\n0\r\n\r\n", "1.1 400", false},
			"a length beside chunks":       {post + "Content-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n0\r\n\r\n", "1.1 400", false},
			"two megabytes of headers":     {get + host + harness.Long("X: "+harness.Long("x", 1000)+"\r\n", 2000) + "\r\n", "1.1 431", false},
		} {
			t.Run(what, func(t *testing.T) {
				before := c.In(t).Profile()
				back := s.Wire(t, test.text, test.cut)
				require.Equal(t, test.want, strings.TrimPrefix(back, "HTTP/")[:len(test.want)], "%.200s", back)
				require.NotContains(t, back, "Set-Cookie")
				require.LessOrEqual(t, strings.Count(back, "HTTP/1."), 1, "one message, two answers: %s", back)
				require.Equal(t, before, c.In(t).Profile())
			})
		}
		for _, good := range []string{
			get + host + "X: a\r\n b\r\n\r\n", // a folded line, which the server does not read
			post + "Content-Length: 12\r\n\r\n" + body,
			post + "Content-Length: 12\r\nContent-Length: 12\r\n\r\n" + body,
			post + "Transfer-Encoding: chunked\r\n\r\n1;x=y\r\n{\r\nb\r\n" + body[1:] + "\r\n0\r\n\r\n",
		} {
			require.Contains(t, s.Wire(t, good, false), "HTTP/1.1 200 ")
		}
	})
}

// Where two readers of a connection disagree on the end of a message, the rest
// of it is a request of the attacker's choice. Ours comes behind each of these on
// the same connection, and is not carried out.
func TestNoRequestHidesInAnother(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t, withDenylist) // so that a logout can be seen
	harness.Each(t, func(t *testing.T, slug string) {
		if !harness.Strict(s.Traits(t, slug)) {
			return // it may go on when it has ended
		}
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		held := "Cookie: statelab_" + slug + "=" + c.Held() + "\r\n"
		if c.Bearer() {
			held = "Authorization: Bearer " + c.Held() + "\r\n"
		}
		host := "Host: " + strings.TrimPrefix(s.URL, "http://") + "\r\n"
		hidden := "POST /" + slug + "/logout HTTP/1.1\r\n" + host + held + "\r\n"
		post := "POST /" + slug + "/spend HTTP/1.1\r\n" + host + "Content-Type: application/json\r\n" + held
		const body, end = "c\r\n{\"amount\":1}\r\n0\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\n\r\n"
		old := strings.Replace(post, "1.1", "1.0", 1) + "Connection: keep-alive\r\n"
		length := fmt.Sprintf("Content-Length: %d\r\n", len(body)+len(hidden))
		for name, test := range map[string]struct {
			text string
			want []string
		}{
			"a length that hides it, and chunks":     {post + length + "Transfer-Encoding: chunked\r\n\r\n" + body + hidden, []string{"200"}},
			"chunks, and a length that hides it":     {post + "Transfer-Encoding: chunked\r\n" + length + "\r\n" + body + hidden, []string{"200"}},
			"a length that ends before it":           {post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + body + hidden, []string{"200"}},
			"chunks in HTTP/1.0":                     {old + "Transfer-Encoding: chunked\r\n\r\n" + body + hidden, []string{"400", "400"}}, // the second is the size of the chunk
			"chunks in HTTP/1.0, and a length":       {old + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + body[:3] + hidden, []string{"400"}},
			"a chunk size that a bare LF ends":       {post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Replace(body, "\r\n", "\n", 1) + hidden, []string{"400"}},
			"an extension that a bare LF ends":       {post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Replace(body, "\r\n", ";a\nb\r\n", 1) + hidden, []string{"400"}},
			"a coding with a space in its name":      {post + length + "Transfer-Encoding : chunked\r\n\r\n" + body + hidden, []string{"400"}},
			"a coding behind a vertical tab":         {post + length + "Transfer-Encoding: \vchunked\r\n\r\n" + body + hidden, []string{"400"}},
			"a coding on a folded line":              {post + length + "Transfer-Encoding:\r\n x\r\n\r\n" + body + hidden, []string{"501"}},
			"a coding that is none":                  {post + length + "Transfer-Encoding: identity\r\n\r\n" + body + hidden, []string{"501"}},
			"a coding in quotes":                     {post + length + "Transfer-Encoding: \"chunked\"\r\n\r\n" + body + hidden, []string{"501"}},
			"a length in a trailer":                  {post + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n" + strings.TrimSuffix(body, "\r\n") + length + "\r\n" + hidden, []string{"400"}},
			"a length with a list of two":            {post + "Content-Length: 12, 40\r\n\r\n" + body + hidden, []string{"400"}},
			"a length in hexadecimal":                {post + "Content-Length: 0xc\r\n\r\n" + body + hidden, []string{"400"}},
			"a body of a GET":                        {"GET /" + slug + "/profile HTTP/1.1\r\n" + host + held + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden)) + hidden, []string{"200", "200"}},
			"a body of a HEAD":                       {"HEAD /" + slug + "/profile HTTP/1.1\r\n" + host + held + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden)) + hidden, []string{"200", "200"}},
			"a body that the server did not ask for": {"GET /nothing HTTP/1.1\r\n" + host + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden)) + hidden, []string{"404", "200"}},
			"a body of a request without a login":    {"POST /" + slug + "/spend HTTP/1.1\r\n" + host + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(hidden)) + hidden, []string{"401", "200"}},
		} {
			t.Run(name, func(t *testing.T) {
				back := s.Wire(t, test.text+end, false)
				require.Equal(t, test.want, harness.Statuses(back), "%s", back)
				c.In(t).Get("profile").Is(http.StatusOK) // it has not been logged out
			})
		}
		require.Equal(t, []string{"200", "204", "200"}, harness.Statuses(s.Wire(t, post+"Content-Length: 12\r\n\r\n{\"amount\":1}"+hidden+end, false)), "what does not hide is carried out")
		c.Get("profile").Is(http.StatusUnauthorized)
	})
}

// A target may name a scheme, and the client may write what it likes there: it
// must not turn a connection without TLS into one with it.
func TestASchemeInTheTargetIsNoTLS(t *testing.T) {
	t.Parallel()
	s := harness.NewServer(t)
	eachCookie(t, s, func(t *testing.T, slug string) {
		c := s.Login(t, slug, harness.Alice, harness.AlicePassword)
		const body = `{"username":"alice","password":"wonderland"}`
		login := s.Wire(t, fmt.Sprintf("POST https://HOST/%s/login HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", slug, len(body), body), false)
		require.Contains(t, login, "HTTP/1.1 200 ")
		require.Contains(t, login, "Set-Cookie: "+harness.CookieName(slug)+"=")
		prefixed := s.Wire(t, fmt.Sprintf("GET https://HOST/%s/profile HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nCookie: __Host-statelab_%[1]s=%s\r\n\r\n", slug, c.Held()), false)
		require.Contains(t, prefixed, "HTTP/1.1 401 ", "a __Host- cookie was taken without TLS")
	})
}
