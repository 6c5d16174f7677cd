package api

import (
	"context"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/language"

	"statelab/auth"
	"statelab/state"
)

// A column is one strategy behind the contract that all of them serve. No
// method asks which strategy it has: what only some can do is an interface that
// they implement or not.
type column struct {
	*Server
	slug     string
	store    state.Store // at the strategy's Place
	strategy state.Strategy
	traits   state.Traits
}

// Profile answers who somebody is and what their state is, the same for every
// strategy.
type Profile struct {
	Strategy  string    `json:"strategy"`
	User      User      `json:"user"`
	State     State     `json:"state"`
	Version   int64     `json:"version"`
	IssuedAt  time.Time `json:"issued_at,format:RFC3339"` // in UTC and whole seconds
	ExpiresAt time.Time `json:"expires_at,format:RFC3339"`
}

// User is the part of a login that was copied from the account.
type User struct {
	ID          string `json:"id"`
	Username    string `json:"username"`
	DisplayName string `json:"display_name"`
	Role        string `json:"role"`
}

// State is the part of a login that its owner changes.
type State struct {
	Theme    string   `json:"theme"`
	Language string   `json:"language"`
	Nickname string   `json:"nickname"`
	Note     string   `json:"note"`
	Credits  int64    `json:"credits"`
	Cart     []string `json:"cart"`
}

// appendTo appends the profile as encoding it would: the same bytes, which
// FuzzProfile holds it to. Pages ask for it again and again, and to reflect on its
// fields took as long as to find the login.
func (p *Profile) appendTo(b []byte) []byte {
	// The error is that of text in no UTF-8, which no decoder of ours lets in.
	text := func(before, value string) { b, _ = jsontext.AppendQuote(append(b, before...), value) }
	number := func(before string, value int64) { b = strconv.AppendInt(append(b, before...), value, 10) }
	date := func(before string, value time.Time) { b = value.AppendFormat(append(b, before...), time.RFC3339) }

	text(`{"strategy":`, p.Strategy)
	text(`,"user":{"id":`, p.User.ID)
	text(`,"username":`, p.User.Username)
	text(`,"display_name":`, p.User.DisplayName)
	text(`,"role":`, p.User.Role)
	text(`},"state":{"theme":`, p.State.Theme)
	text(`,"language":`, p.State.Language)
	text(`,"nickname":`, p.State.Nickname)
	text(`,"note":`, p.State.Note)
	number(`,"credits":`, p.State.Credits)
	b = append(b, `,"cart":[`...)
	for i, item := range p.State.Cart {
		text(","[:min(i, 1)], item)
	}
	number(`]},"version":`, p.Version)
	date(`,"issued_at":"`, p.IssuedAt)
	date(`","expires_at":"`, p.ExpiresAt)
	return append(b, `"}`...)
}

// Login is a Profile and what the client must hold from now on.
type Login struct {
	Profile
	Credential state.Credential `json:"credential"`
}

func (col *column) profileOf(l state.Login) Profile {
	return Profile{
		Strategy: col.slug,
		User:     User{l.Subject, l.Username, l.DisplayName, l.Role},
		State:    State{l.Theme, l.Language, l.Nickname, l.Note, l.Credits, l.Cart},
		Version:  l.Version, IssuedAt: l.IssuedAt.Time(), ExpiresAt: l.ExpiresAt.Time(),
	}
}

// logged answers with a login and its validator.
func (col *column) logged(c *gin.Context, l state.Login, credential state.Credential, err error) (int, any, error) {
	if err != nil {
		return 0, nil, err
	}
	tag(c, l)
	return http.StatusOK, Login{col.profileOf(l), credential}, nil
}

// tag sets the validator of a profile, and returns it.
func tag(c *gin.Context, l state.Login) string {
	x := of(c)
	x.etag[0] = etagOf(l)
	c.Writer.Header()["Etag"] = x.etag[:]
	return x.etag[0]
}

// etagOf returns the validator of a profile (RFC 9110, 8.8.3): the login, the
// version of its state, and a hash of what changes without being a change of
// state, the role and the end.
func etagOf(l state.Login) string {
	h := fnv.New32a()
	_, _ = h.Write(strconv.AppendInt([]byte(l.Role), int64(l.ExpiresAt), 10))
	b := make([]byte, 0, 64)
	b = append(appendVersion(b, l), hex.EncodeToString(h.Sum(nil))...)
	return string(append(b, '"'))
}

// appendVersion appends the part of the validator that If-Match looks at.
func appendVersion(b []byte, l state.Login) []byte {
	b = append(append(b, '"'), l.ID...)
	return append(strconv.AppendInt(append(b, '.'), l.Version, 10), '.')
}

// tags yields the entity tags of a header field's lines (RFC 9110, 8.8.3), weak
// ones with their prefix.
func tags(lines []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for tag := range strings.SplitSeq(line, ",") { // no tag of ours has a comma
				if !yield(strings.TrimSpace(tag)) {
					return
				}
			}
		}
	}
}

// noneMatches says whether If-None-Match allows a full answer. It compares
// weakly (RFC 9110, 13.1.2).
func noneMatches(r *http.Request, etag string) bool {
	for tag := range tags(r.Header["If-None-Match"]) {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return false
		}
	}
	return true
}

// matches says whether If-Match, if there is one, allows a change. Of a tag the
// login and the version count: a refresh is no change of state. It compares
// strongly (RFC 9110, 13.1.1).
func matches(r *http.Request, l state.Login) bool {
	lines, conditional := r.Header["If-Match"]
	if !conditional {
		return true
	}
	want := string(appendVersion(nil, l))
	for tag := range tags(lines) {
		if tag == "*" || strings.HasPrefix(tag, want) && strings.HasSuffix(tag, `"`) {
			return true
		}
	}
	return false
}

// load returns the login that the request carries, and notes the time it took.
func (col *column) load(c *gin.Context) (state.Login, error) {
	x := of(c)
	before := time.Since(x.start) // reads one clock, where time.Now reads two
	l, err := col.strategy.Load(c.Request)
	x.auth += time.Since(x.start) - before
	x.about(l)
	return l, err
}

func (col *column) login(c *gin.Context) (int, any, error) {
	in, err := decode[struct {
		Username Required[string] `json:"username"`
		Password Required[string] `json:"password"`
	}](c, jsonType)
	if err != nil {
		return 0, nil, err
	}
	l, credential, err := col.signIn(c, in.Username.Value, in.Password.Value)
	col.attempted(c, in.Username.Value, l, err)
	return col.logged(c, l, credential, err)
}

// signIn checks a password and starts a login.
func (col *column) signIn(c *gin.Context, username, password string) (state.Login, state.Credential, error) {
	if err := col.addDemoAccounts(c.Request.Context()); err != nil {
		return state.Login{}, state.Credential{}, err
	}
	start := time.Now()
	a, still, err := col.accounts.SignIn(c.Request.Context(), username, password, of(c).client)
	of(c).auth = time.Since(start)
	if err != nil {
		return state.Login{}, state.Credential{}, failed(err)
	}
	l, credential, err := col.strategy.Start(c.Writer, c.Request, state.NewLogin(a.ID, a.Username, a.DisplayName, a.Role))
	if err != nil {
		return state.Login{}, state.Credential{}, err
	}
	if err := still(c.Request.Context()); err != nil {
		col.takeBack(c, l)
		return state.Login{}, state.Credential{}, failed(err)
	}
	return l, credential, nil
}

// takeBack ends a login whose credential nobody has been handed.
func (col *column) takeBack(c *gin.Context, l state.Login) {
	c.Writer.Header().Del("Set-Cookie")
	if lister, ok := col.strategy.(state.Lister); ok { // else that was all there is of it
		// A store that fails here keeps a record that nothing opens.
		_ = lister.EndLogin(context.WithoutCancel(c.Request.Context()), l.Subject, l.ID)
	}
}

func (col *column) profile(c *gin.Context) (int, any, error) {
	l, err := col.load(c)
	if err != nil {
		return 0, nil, err
	}
	if !noneMatches(c.Request, tag(c, l)) {
		return http.StatusNotModified, nil, nil
	}
	p := col.profileOf(l)
	return http.StatusOK, &p, nil // encoding a value would copy it first
}

// conflicts is how often a change is tried again that lost against another.
const conflicts = 32

// change applies f to the login l that the request carries, and keeps it. If
// another request was faster, f is applied to what that one has left.
func (col *column) change(c *gin.Context, l state.Login, f func(*state.Login) error) (int, any, error) {
	for range conflicts {
		if !matches(c.Request, l) {
			return 0, nil, faultf("version_mismatch", "It is version %d now. Read it again and decide anew.", l.Version)
		}
		next := l
		if err := f(&next); err != nil {
			return 0, nil, err
		}
		next.Version++
		saved, credential, err := col.strategy.Save(c.Writer, c.Request, next)
		if !errors.Is(err, state.ErrConflict) {
			return col.logged(c, saved, credential, err)
		}
		if l, err = col.load(c); err != nil {
			return 0, nil, err
		}
	}
	return 0, nil, state.ErrConflict
}

// patch is a merge patch of a profile (RFC 7396). Members that it does not name
// cannot be written, whoever asks.
type patch struct {
	Theme    Optional[string]   `json:"theme"`
	Language Optional[string]   `json:"language"`
	Nickname Optional[string]   `json:"nickname"`
	Note     Optional[string]   `json:"note"`
	Cart     Optional[[]string] `json:"cart"`
}

// check returns what is out of range.
func (p *patch) check() error {
	var wrong []FieldError
	demand := func(ok bool, pointer, detail string) {
		if !ok {
			wrong = append(wrong, FieldError{pointer, detail})
		}
	}
	if v := p.Theme; v.Present && !v.Null {
		demand(v.Value == "light" || v.Value == "dark" || v.Value == "system", "/theme", "A theme is light, dark or system.")
	}
	if v := p.Language; v.Present && !v.Null {
		demand(isLanguage(v.Value), "/language", "A language is a tag of BCP 47, such as en or ko-KR.")
	}
	demand(utf8.RuneCountInString(p.Nickname.Value) <= 64, "/nickname", "A nickname has at most 64 characters.")
	demand(!auth.HasHidden(p.Nickname.Value), "/nickname",
		"A nickname has no control characters of the direction of text, and no separators of lines.")
	demand(utf8.RuneCountInString(p.Note.Value) <= 256, "/note", "A note has at most 256 characters.")
	demand(len(p.Cart.Value) <= 200, "/cart", "A cart has at most 200 items.")
	for i, item := range p.Cart.Value {
		n := utf8.RuneCountInString(item)
		demand(n >= 1 && n <= 100, "/cart/"+strconv.Itoa(i), "An item has 1 to 100 characters.")
	}
	if len(wrong) > 0 {
		return &fault{code: "validation_failed", detail: "A member of the body is out of range.", errors: wrong}
	}
	return nil
}

// subtags is the outline of a tag. The parser would also take en_US.
var subtags = regexp.MustCompile(`^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$`)

// isLanguage says whether s is well formed; a subtag that is not registered yet
// is no fault.
func isLanguage(s string) bool {
	if len(s) > 35 || !subtags.MatchString(s) { // RFC 5646, 4.4.1
		return false
	}
	_, err := language.Parse(s)
	var unknown language.ValueError
	return err == nil || errors.As(err, &unknown)
}

func (col *column) patch(c *gin.Context) (int, any, error) {
	l, err := col.load(c)
	if err != nil {
		return 0, nil, err
	}
	p, err := decode[patch](c, jsonType, mergePatchType)
	if err != nil {
		return 0, nil, err
	}
	if err := p.check(); err != nil {
		return 0, nil, err
	}
	var renamed bool
	status, body, err := col.change(c, l, func(l *state.Login) error {
		before := l.Nickname
		p.Theme.apply(&l.Theme, state.DefaultTheme)
		p.Language.apply(&l.Language, state.DefaultLanguage)
		p.Nickname.apply(&l.Nickname, "")
		p.Note.apply(&l.Note, "")
		p.Cart.apply(&l.Cart, nil)
		renamed = l.Nickname != before && l.Nickname != ""
		return nil
	})
	if err == nil && renamed && col.config.Classroom {
		col.config.guests.sign(col.slug, l.Username, p.Nickname.Value)
	}
	return status, body, err
}

func (col *column) spend(c *gin.Context) (int, any, error) {
	l, err := col.load(c)
	if err != nil {
		return 0, nil, err
	}
	in, err := decode[struct {
		Amount Required[int64] `json:"amount"`
	}](c, jsonType)
	if err != nil {
		return 0, nil, err
	}
	amount := in.Amount.Value
	if amount < 1 {
		return 0, nil, invalid("/amount", "An amount is at least 1.")
	}
	return col.change(c, l, func(l *state.Login) error {
		if amount > l.Credits {
			return faultf("insufficient_credits", "There are %d.", l.Credits)
		}
		l.Credits -= amount
		return nil
	})
}

// credentialFirst returns what is wrong with the credential, where something is,
// and else what is wrong with the body, which was looked at first because it may
// hold the credential.
func (col *column) credentialFirst(c *gin.Context, body error) error {
	if _, err := col.load(c); err != nil {
		return err
	}
	return body
}

// refresh renews the login. A strategy whose renewal takes a token of its own
// is a Presenter, and gets it from the body; the others are sent none.
func (col *column) refresh(c *gin.Context) (int, any, error) {
	presented := ""
	if _, ok := col.strategy.(state.Presenter); ok {
		in, err := decode[struct {
			RefreshToken Required[string] `json:"refresh_token"`
		}](c, jsonType)
		if err != nil {
			return 0, nil, err
		}
		presented = in.RefreshToken.Value
	} else if _, err := decodeOptional[struct{}](c, jsonType); err != nil {
		return 0, nil, col.credentialFirst(c, err)
	}
	start := time.Now()
	l, credential, err := col.strategy.Refresh(c.Writer, c.Request, presented)
	of(c).auth = time.Since(start)
	of(c).about(l)
	return col.logged(c, l, credential, err)
}

func (col *column) logout(c *gin.Context) (int, any, error) {
	in, err := decodeOptional[struct {
		Everywhere   bool    `json:"everywhere"`
		RefreshToken *string `json:"refresh_token"`
	}](c, jsonType)
	if err != nil {
		return 0, nil, col.credentialFirst(c, err)
	}
	presenter, presents := col.strategy.(state.Presenter)
	presented := ""
	if in.RefreshToken != nil {
		if presented = *in.RefreshToken; !presents {
			return 0, nil, col.credentialFirst(c, faultf("malformed_json", "There is no member /refresh_token here: this strategy has none."))
		}
	}
	if in.Everywhere {
		ender, ok := col.ender()
		if !ok {
			return 0, nil, col.cannot("end all logins of a user")
		}
		var l state.Login
		if presented != "" {
			l, err = presenter.Present(c.Request.Context(), presented)
		} else {
			l, err = col.load(c)
		}
		of(c).about(l)
		if err != nil {
			return 0, nil, err
		}
		// The others first: if that fails, this login can still try again.
		if err := ender.EndAll(c.Request.Context(), l.Subject, l.ID, state.MicrosOf(col.config.Now())); err != nil {
			return 0, nil, err
		}
		col.audit(c, "revocation", slog.String("of", "everywhere"))
	}
	return col.end(c, presented)
}

// end ends the login that the request carries or presents.
func (col *column) end(c *gin.Context, presented string) (int, any, error) {
	l, err := col.strategy.End(c.Writer, c.Request, presented)
	of(c).about(l)
	if err != nil {
		return 0, nil, err
	}
	col.audit(c, "logout")
	return http.StatusNoContent, nil, nil
}

// lister returns the strategy as a Lister, or says that it is none.
func (col *column) lister(what string) (state.Lister, error) {
	if l, ok := col.strategy.(state.Lister); ok {
		return l, nil
	}
	return nil, col.cannot(what)
}

// ender returns the strategy as an Ender, if it is one as it is configured.
func (col *column) ender() (state.Ender, bool) {
	e, ok := col.strategy.(state.Ender)
	return e, ok && col.traits.Everywhere
}

// cannot says what the strategy by its nature cannot do.
func (col *column) cannot(what string) error {
	return faultf("not_supported_by_strategy",
		"To %s, somebody must remember them; here the %s holds the only copy. Nothing has changed.", what, col.traits.Holder)
}

// LoginEntry is one login of a user, as its owner sees it.
type LoginEntry struct {
	ID        string    `json:"id"`
	Current   bool      `json:"current"`
	IssuedAt  time.Time `json:"issued_at,format:RFC3339"`
	LastSeen  time.Time `json:"last_seen,format:RFC3339"`
	ExpiresAt time.Time `json:"expires_at,format:RFC3339"`
}

// Logins is the answer of GET /{s}/logins.
type Logins struct {
	Logins []LoginEntry `json:"logins"`
}

func (col *column) logins(c *gin.Context) (int, any, error) {
	lister, err := col.lister("list the logins of a user")
	if err != nil {
		return 0, nil, err
	}
	l, err := col.load(c)
	if err != nil {
		return 0, nil, err
	}
	infos, err := lister.Logins(c.Request.Context(), l.Subject)
	if err != nil {
		return 0, nil, err
	}
	out := Logins{Logins: make([]LoginEntry, len(infos))}
	for i, in := range infos {
		out.Logins[i] = LoginEntry{in.ID, in.ID == l.ID, in.IssuedAt.Time(), in.LastSeen.Time(), in.ExpiresAt.Time()}
	}
	return http.StatusOK, out, nil
}

func (col *column) endLogin(c *gin.Context) (int, any, error) {
	lister, err := col.lister("end another login of a user")
	if err != nil {
		return 0, nil, err
	}
	l, err := col.load(c)
	if err != nil {
		return 0, nil, err
	}
	id := c.Param("id")
	if id == l.ID {
		return col.end(c, "")
	}
	switch err = lister.EndLogin(c.Request.Context(), l.Subject, id); {
	case err == nil:
		col.audit(c, "revocation", slog.String("of", "one"), slog.String("ended", col.fingerprint(id)))
	case errors.Is(err, state.ErrUnknown):
		err = faultf("not_found", "You have no such login.")
	}
	return http.StatusNoContent, nil, err
}

func (col *column) password(c *gin.Context) (int, any, error) {
	l, err := col.load(c)
	if err != nil {
		return 0, nil, err
	}
	in, err := decode[struct {
		Current Required[string] `json:"current_password"`
		New     Required[string] `json:"new_password"`
	}](c, jsonType)
	if err != nil {
		return 0, nil, err
	}
	ctx := c.Request.Context()
	err = col.accounts.ChangePassword(ctx, l.Subject, in.Current.Value, in.New.Value, of(c).client, func() error {
		// Whoever knew the old password is out, in every strategy that can put
		// somebody out (OWASP ASVS 5.0, 7.4.3), also if the client does not wait
		// for it. This login stays.
		return col.endOthers(context.WithoutCancel(ctx), l)
	})
	if errors.Is(err, auth.ErrNotFound) {
		err = state.ErrRevoked // the account is gone, and what it started with it
	}
	if err != nil {
		err = failed(err)
		col.audit(c, "password_change_refused", slog.String("code", faultOf(err).code))
		return 0, nil, err
	}
	col.audit(c, "revocation", slog.String("of", "others"), slog.String("by", "password_change"))
	return http.StatusNoContent, nil, nil
}

// Inspection is the answer of GET /{s}/inspect: what the request carried, what
// the server holds for it, and what finding out has cost.
type Inspection struct {
	Strategy string       `json:"strategy"`
	Traits   state.Traits `json:"traits"`
	state.Inspection
	Cost Cost `json:"cost"`
}

// Cost is what one request has cost.
type Cost struct {
	StoreReads   int   `json:"store_reads"`
	StoreWrites  int   `json:"store_writes"`
	Microseconds int64 `json:"microseconds"`
}

// inspect loads the login as every request does, and takes what that has cost;
// what it looks up besides, to show it, is not counted.
func (col *column) inspect(c *gin.Context) (int, any, error) {
	inspector, ok := col.strategy.(state.Inspector)
	if !ok {
		return 0, nil, faultf("not_supported_by_strategy", "It shows nothing of itself.")
	}
	if _, err := col.load(c); err != nil {
		return 0, nil, err
	}
	x := of(c)
	cost := Cost{x.cost.Reads, x.cost.Writes, x.auth.Microseconds()}
	in, err := inspector.Inspect(c.Request)
	return http.StatusOK, Inspection{col.slug, col.traits, in, cost}, err
}

// challenge is the WWW-Authenticate of a problem, or "" where none is due. Every
// 401 has one (RFC 9110, 11.6.1). Bearer is RFC 6750, 3, with the error of 3.1
// except where nothing was presented. The scheme Cookie is a draft's: Basic
// would open a dialog in browsers.
func (col *column) challenge(r *http.Request, status int, code string) string {
	namer, cookie := col.strategy.(state.CookieBased)
	switch {
	case cookie && status == http.StatusUnauthorized:
		return `Cookie realm="statelab", cookie-name="` + namer.CookieName(r) + `"`
	case cookie:
		return ""
	case code == "no_credential" || code == "bad_login":
		return `Bearer realm="statelab"`
	case status == http.StatusUnauthorized:
		return `Bearer realm="statelab", error="invalid_token"`
	case code == "ambiguous_credential":
		return `Bearer realm="statelab", error="invalid_request"`
	case code == "forbidden":
		return `Bearer realm="statelab", error="insufficient_scope"`
	}
	return ""
}
