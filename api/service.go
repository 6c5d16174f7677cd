package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5/static"
	"github.com/swaggest/swgui/v5emb"

	"statelab/api/rest"
	"statelab/api/web"
	"statelab/state"
	"statelab/state/keys"
)

// nothing answers with a problem.
func (s *Server) nothing(code, detail string) gin.HandlerFunc {
	return func(c *gin.Context) { s.Fail(c, rest.Faultf(code, "%s", detail)) }
}

// Index is the answer of GET / to clients that are no browsers.
type Index struct {
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	Strategies []IndexStrategy   `json:"strategies"`
	Links      map[string]string `json:"links"`
}

// IndexStrategy is one strategy in the Index.
type IndexStrategy struct {
	Slug   string       `json:"slug"`
	Traits state.Traits `json:"traits"`
}

// index answers a browser with the page and everybody else with an Index.
func (s *Server) index(c *gin.Context) {
	c.Writer.Header().Add("Vary", "Accept")
	if !wantsHTML(c.Request) {
		s.JSON(s.indexJSON)(c)
		return
	}
	if s.leadsToLocalhost(c) {
		return
	}
	s.HTML(c, web.ContentSecurityPolicy, func(b *bytes.Buffer) error { return web.Index(b, s.page(c)) })
}

// leadsToLocalhost redirects a browser from 127.0.0.1 to localhost in the
// classroom, and reports whether it did. Cookies, and the lessons on them, need
// one name: to a browser, 127.0.0.1 is another site than localhost.
func (s *Server) leadsToLocalhost(c *gin.Context) bool {
	host, port, _ := strings.Cut(c.Request.Host, ":")
	if host != "127.0.0.1" || !s.config.Classroom || isForwarded(c.Request.Header) {
		return false
	}
	c.Redirect(http.StatusTemporaryRedirect, scheme(c.Request)+"://localhost:"+port+c.Request.URL.Path)
	return true
}

// scheme returns the scheme by which the client has come.
func scheme(r *http.Request) string {
	if state.Secure(r) {
		return "https"
	}
	return "http"
}

// wantsHTML says whether a client names HTML: browsers do, curl and fetch do not.
func wantsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

func (s *Server) indexJSON(*gin.Context) (int, any, error) {
	in := Index{Name: "statelab", Version: s.config.Version, Links: map[string]string{
		"page": "/", "documentation": "/docs", "openapi_yaml": "/openapi.yaml", "openapi_json": "/openapi.json",
		"jwks": "/.well-known/jwks.json", "health": "/healthz", "readiness": "/readyz", "accounts": "/accounts",
	}}
	for _, g := range s.groups {
		in.Strategies = append(in.Strategies, IndexStrategy{g.Slug, g.Traits})
	}
	return http.StatusOK, in, nil
}

// page is what the HTML documents show of this server.
func (s *Server) page(c *gin.Context) web.Page {
	p := web.Page{
		Version: s.config.Version, Policies: CachePolicies(), Language: web.Language(c.GetHeader("Accept-Language")), Settings: state.Settings(),
	}
	for _, g := range s.groups {
		p.Columns = append(p.Columns, web.Column{Slug: g.Slug, Traits: g.Traits})
	}
	if p.Classroom = s.config.Extension != nil; s.config.Classroom {
		for _, d := range DemoAccounts() {
			p.Accounts = append(p.Accounts, web.Account{Username: d.Username, Password: d.Password, Role: d.Role})
		}
	}
	return p
}

// page answers with the strategy's own page, where its cookie's path makes its
// storage visible.
func (g *Group) page(c *gin.Context) {
	g.HTML(c, web.FramedPolicy, func(b *bytes.Buffer) error { return web.Strategy(b, g.Server.page(c), g.Slug) })
}

// ownPage answers with the page of a strategy that has one. What it shows may be
// somebody's markup, and it is of one origin with all the other pages here: a
// script in it could open them, read what they show, and ask in their name. So its
// policy lets no script run, nothing be loaded, and the form be sent to the page
// alone: markup that somebody has put into their name is seen, and reaches nothing.
func (g *Group) ownPage(paged state.Paged) gin.HandlerFunc {
	return func(c *gin.Context) {
		html, err := paged.Page(c.Writer, c.Request)
		if err != nil {
			g.Fail(c, err)
			return
		}
		h := c.Writer.Header()
		h["Content-Type"] = headerHTML
		h["Referrer-Policy"] = headerSameSite // as in html
		h["Content-Security-Policy"] = []string{"default-src 'none'; base-uri 'none'; frame-ancestors 'self'; form-action " +
			scheme(c.Request) + "://" + c.Request.Host + c.Request.URL.Path}
		c.Writer.WriteHeader(http.StatusOK)
		_, _ = c.Writer.WriteString(html)
	}
}

// form signs in whoever has filled in the form of such a page, and leads back to
// it.
func (g *Group) form(c *gin.Context) {
	r := c.Request
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != formType {
		g.Fail(c, rest.Faultf("unsupported_media_type", "Send the form as %s.", formType))
		return
	}
	if err := rest.OnlyIdentity(c); err != nil {
		g.Fail(c, err)
		return
	}
	r.Body = http.MaxBytesReader(c.Writer, r.Body, rest.MaxBody)
	if err := r.ParseForm(); err != nil {
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			g.Fail(c, rest.Faultf("payload_too_large", "A body may have at most %d bytes.", rest.MaxBody))
			return
		}
		g.Fail(c, rest.Faultf("invalid_request", "The body is not a form."))
		return
	}
	if _, _, err := g.signIn(c, r.PostForm.Get("username"), r.PostForm.Get("password")); err != nil {
		g.Fail(c, err)
		return
	}
	c.Redirect(http.StatusSeeOther, r.URL.Path)
}

const formType = "application/x-www-form-urlencoded"

// HTML answers with a document under the policy that its scripts work in.
func (s *Server) HTML(c *gin.Context, policy string, render func(*bytes.Buffer) error) {
	var b bytes.Buffer
	if err := render(&b); err != nil {
		s.Fail(c, err)
		return
	}
	h := c.Writer.Header()
	h["Content-Type"] = headerHTML
	h["Referrer-Policy"] = headerSameSite // with no-referrer, a form of the page would send Origin: null
	h["Content-Security-Policy"] = []string{policy}
	h.Add("Vary", "Accept-Language")
	c.Writer.WriteHeader(http.StatusOK)
	_, _ = b.WriteTo(c.Writer)
}

// guide answers a browser with a guide as HTML, which names the origin by which
// the browser has come. It returns false for other clients: they get the Markdown.
func (s *Server) guide(c *gin.Context, language string) bool {
	c.Writer.Header().Add("Vary", "Accept")
	if !wantsHTML(c.Request) {
		return false
	}
	if s.leadsToLocalhost(c) {
		return true
	}
	s.HTML(c, web.ContentSecurityPolicy, func(b *bytes.Buffer) error {
		p := s.page(c)
		p.Language = language
		return web.Guide(b, p, scheme(c.Request)+"://"+c.Request.Host)
	})
	return true
}

// asset answers with a file that the pages use.
func (s *Server) asset(c *gin.Context) {
	name := strings.TrimPrefix(c.Param("name"), "/")
	if language := web.GuideLanguage(name); language != "" && s.guide(c, language) {
		return
	}
	tag := web.ETag(name)
	if tag == "" {
		s.Fail(c, rest.Faultf("not_found", "The server has no such file."))
		return
	}
	content, err := fs.ReadFile(web.Assets, name)
	if err != nil {
		s.Fail(c, err)
		return
	}
	serve(c, name, web.ContentType(name), tag, bytes.NewReader(content))
}

// specification answers with the contract in one of its two forms, which is
// made when it is first asked for.
func (s *Server) specification(contentType string, form func([]byte) ([]byte, error)) gin.HandlerFunc {
	made := sync.OnceValues(func() ([]byte, error) { return form(s.config.OpenAPI) })
	return func(c *gin.Context) {
		content, err := made()
		if err != nil {
			s.Fail(c, err)
			return
		}
		Serve(c, contentType, content)
	}
}

// Serve answers with content under a validator that is made of it.
func Serve(c *gin.Context, contentType string, content []byte) {
	sum := sha256.Sum256(content)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	serve(c, "", contentType, tag, bytes.NewReader(content))
}

// serve answers with content under a validator: a browser asks each time and
// mostly hears 304, so it never runs what an older version has sent.
func serve(c *gin.Context, name, contentType, tag string, content io.ReadSeeker) {
	h := c.Writer.Header()
	h["Content-Type"] = []string{contentType}
	h["Etag"] = []string{tag}
	h["Cache-Control"] = []string{"no-cache"}
	onlyWhole(c.Request)
	http.ServeContent(c.Writer, c.Request, name, time.Time{}, content)
}

// onlyWhole has a file answered whole or not modified, nothing in between: these
// are small files, and the errors of ServeContent are plain text.
func onlyWhole(r *http.Request) {
	for _, name := range []string{"Range", "If-Range", "If-Match", "If-Unmodified-Since"} {
		r.Header.Del(name)
	}
}

func isFile(files fs.FS, name string) bool {
	info, err := fs.Stat(files, name)
	return err == nil && info.Mode().IsRegular()
}

// documentation is Swagger UI over openapi.json. It also lists the schemas, folded,
// because that of ProblemCode documents the errors.
func documentation() http.Handler {
	return v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "statelab", SwaggerJSON: "/openapi.json", BasePath: "/docs",
		SettingsUI: map[string]string{"defaultModelsExpandDepth": "0"},
		// The name of a tag stands beside the first line of its text.
		AppendHead: "<style>.swagger-ui .opblock-tag { align-items: baseline }</style>",
	})
}

// docs answers with the interactive documentation, which brings scripts and
// styles of its own, all of them from here.
func (s *Server) docs(h http.Handler) gin.HandlerFunc {
	const policy = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; " +
		"img-src 'self' data:; connect-src 'self'; font-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	return func(c *gin.Context) {
		if name := strings.TrimPrefix(c.Param("name"), "/"); name != "" && !isFile(static.FS, name) && !isFile(static.FS, name+".gz") {
			s.Fail(c, rest.Faultf("not_found", "The server has no such file."))
			return
		}
		onlyWhole(c.Request)
		header := c.Writer.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("Cache-Control", "no-cache")
		if c.Param("name") == "" {
			header["Referrer-Policy"] = headerSameSite // as in html
		}
		h.ServeHTTP(c.Writer, c.Request)
	}
}

// jwks answers with the public keys that verify our tokens (RFC 7517).
func (s *Server) jwks(c *gin.Context) (int, any, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	if s.config.TokenAlg == jwt.SigningMethodEdDSA.Alg() {
		for _, k := range s.config.Keys.Verifying(keys.TokenEdDSA) {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Public(), KeyID: k.ID, Algorithm: s.config.TokenAlg, Use: "sig"})
		}
	}
	c.Writer.Header().Set("Cache-Control", "public, max-age=60")
	return http.StatusOK, set, nil
}

func (s *Server) health(*gin.Context) (int, any, error) {
	return http.StatusOK, map[string]string{"status": "ok"}, nil
}

// Readiness is the answer of GET /readyz.
type Readiness struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"`
	// Refusing has what refuses requests of every client although all parts are in
	// order: bounds that have refused one lately, and storeWrites.
	Refusing []string `json:"refusing"`
	// Warnings has what works in part only, such as for a user of Redis without some of
	// the permissions: it fails no check.
	Warnings []string `json:"warnings"`
}

// storeWrites stands in Readiness.Refusing for a store that answers and takes no
// writes, such as one that is full or a replica.
const storeWrites = "store_writes"

// patience bounds how long /readyz waits for what it depends on.
const patience = time.Second

// ready says whether this server can do its work, and if not, which parts are not in
// order; why is in the log, since it may name hosts.
//
// A bound that refuses requests does not make it unready: the logins that exist go on,
// and a load balancer that took the server out would send all of them to the others. A
// bound of one account or one address is not even named.
func (s *Server) ready(c *gin.Context) (int, any, error) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), patience)
	defer cancel()
	if s.draining.Load() {
		return 0, nil, rest.Faultf("overloaded", "This server is shutting down.")
	}
	out := Readiness{Status: "ready", Checks: map[string]string{}, Refusing: s.refusing(), Warnings: []string{}}
	var failing []string
	var reasons error
	own := []Check{{"database", s.accounts.Ping}, {"database", s.CompleteDemoAccounts}, {"store", s.store.Ping}}
	for _, part := range append(own, s.config.Checks...) {
		if ctx.Err() != nil {
			break // a part that hangs has taken the time of those after it
		}
		err := part.Ask(ctx)
		if err != nil && !slices.Contains(failing, part.Name) {
			failing = append(failing, part.Name)
		}
		reasons = errors.Join(reasons, err)
		out.Checks[part.Name] = "ok"
	}
	if len(failing) > 0 {
		fault := rest.Faultf("store_unavailable", "These parts of the server do not work: %s.", strings.Join(failing, ", "))
		return 0, nil, fmt.Errorf("%w: %w", fault, reasons)
	}
	out.Warnings = append(out.Warnings, s.config.warnings(ctx)...)
	return http.StatusOK, out, nil
}

// warnings returns what works in part only.
func (c *Config) warnings(ctx context.Context) []string {
	if c.Warnings == nil {
		return nil
	}
	return c.Warnings(ctx)
}

// refusing returns what refuses requests of every client.
func (s *Server) refusing() []string {
	all := []string{}
	for _, b := range s.metrics.refusals.lately() {
		all = append(all, string(b))
	}
	for _, kept := range []state.Store{s.config.Store, s.config.DatabaseStore} {
		if w, ok := kept.(interface{ RefusesWrites() bool }); ok && w.RefusesWrites() && !slices.Contains(all, storeWrites) {
			all = append(all, storeWrites)
		}
	}
	return all
}

// register makes an account. It is the way in for everybody; roles are given
// elsewhere.
func (s *Server) register(c *gin.Context) (int, any, error) {
	in, err := rest.Decode[struct {
		Username    rest.Required[string] `json:"username"`
		Password    rest.Required[string] `json:"password"`
		DisplayName *string               `json:"display_name"`
	}](c, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	if in.DisplayName == nil {
		in.DisplayName = &in.Username.Value
	}
	if err := s.CompleteDemoAccounts(c.Request.Context()); err != nil {
		return 0, nil, err
	}
	a, err := s.accounts.Register(c.Request.Context(), in.Username.Value, in.Password.Value, *in.DisplayName, requestOf(c).client)
	if err != nil {
		err = rest.Failed(err)
		s.Audit(c, "registration_refused", s.usernameAttr(in.Username.Value), slog.String("code", rest.FaultOf(err).Code))
		return 0, nil, err
	}
	requestOf(c).about(state.Login{Subject: a.ID})
	s.Audit(c, "registration")
	return http.StatusCreated, User{a.ID, a.Username, a.DisplayName, a.Role}, nil
}
