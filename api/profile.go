package api

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/language"

	"statelab/api/cache"
	"statelab/api/rest"
	"statelab/auth"
	"statelab/state"
)

// Profile describes the user of a login and its state, in the same form for every strategy.
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

// AppendJSON appends the profile as encoding it would: the same bytes, which
// FuzzProfile holds it to. Pages ask for it again and again, and to reflect on its
// fields took as long as to find the login.
func (p *Profile) AppendJSON(b []byte) []byte {
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

func (g *Group) profileOf(l state.Login) Profile {
	return Profile{
		Strategy: g.Slug,
		User:     User{l.Subject, l.Username, l.DisplayName, l.Role},
		State:    State{l.Theme, l.Language, l.Nickname, l.Note, l.Credits, l.Cart},
		Version:  l.Version, IssuedAt: l.IssuedAt.Time(), ExpiresAt: l.ExpiresAt.Time(),
	}
}

// logged answers with a login and its validator.
func (g *Group) logged(c *gin.Context, l state.Login, credential state.Credential, err error) (int, any, error) {
	if err != nil {
		return 0, nil, err
	}
	tag(c, l)
	return http.StatusOK, Login{g.profileOf(l), credential}, nil
}

func (g *Group) profile(c *gin.Context) (int, any, error) {
	h, err := g.Load(c)
	if err != nil {
		return 0, nil, err
	}
	if !cache.NoneMatch(c.Request, tag(c, h.Login)) {
		return http.StatusNotModified, nil, nil
	}
	p := g.profileOf(h.Login)
	return http.StatusOK, &p, nil // encoding a value would copy it first
}

// conflicts is how often a change is tried again that lost against another.
const conflicts = 32

// change applies f to the login h that the request carries, and keeps it. If
// another request was faster, f is applied to what that one has left.
func (g *Group) change(c *gin.Context, h state.Held, f func(*state.Login) error) (int, any, error) {
	for range conflicts {
		if !matches(c.Request, h.Login) {
			return 0, nil, rest.Faultf("version_mismatch", "The state has version %d now. Read it again before you change it.", h.Version)
		}
		next := h.Login
		if err := f(&next); err != nil {
			return 0, nil, err
		}
		next.Version++
		saved, credential, err := g.Strategy.Save(c.Writer, c.Request, h, next)
		if !errors.Is(err, state.ErrConflict) {
			return g.logged(c, saved, credential, err)
		}
		if h, err = g.Load(c); err != nil {
			return 0, nil, err
		}
	}
	return 0, nil, state.ErrConflict
}

// patch is a merge patch of a profile (RFC 7396). No user can write a member that it does
// not name, not even an admin.
type patch struct {
	Theme    rest.Optional[string]   `json:"theme"`
	Language rest.Optional[string]   `json:"language"`
	Nickname rest.Optional[string]   `json:"nickname"`
	Note     rest.Optional[string]   `json:"note"`
	Cart     rest.Optional[[]string] `json:"cart"`
}

// maxFieldErrors is how many errors an answer names. A body of 64 KiB can have 20,000 items
// that are wrong, and the answer must not be many times as large.
const maxFieldErrors = 10

// maxItems is how many items a cart has.
const maxItems = 200

// check returns what is out of range.
func (p *patch) check() error {
	var wrong []rest.FieldError
	demand := func(ok bool, pointer, detail string) {
		if !ok && len(wrong) < maxFieldErrors {
			wrong = append(wrong, rest.FieldError{Pointer: pointer, Detail: detail})
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
		"A nickname may not contain line separators or characters that control the direction of text.")
	demand(utf8.RuneCountInString(p.Note.Value) <= 256, "/note", "A note has at most 256 characters.")
	items := p.Cart.Value
	if demand(len(items) <= maxItems, "/cart", "A cart has at most 200 items."); len(items) > maxItems {
		items = nil // the number alone is wrong enough
	}
	for i, item := range items {
		n := utf8.RuneCountInString(item)
		demand(n >= 1 && n <= 100, "/cart/"+strconv.Itoa(i), "An item has 1 to 100 characters.")
	}
	if len(wrong) > 0 {
		return &rest.Fault{Code: "validation_failed", Detail: "A member of the body is out of range.", Errors: wrong}
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

func (g *Group) patch(c *gin.Context) (int, any, error) {
	h, err := g.Load(c)
	if err != nil {
		return 0, nil, err
	}
	p, err := rest.Decode[patch](c, rest.JSONType, rest.MergePatchType)
	if err != nil {
		return 0, nil, err
	}
	if err := p.check(); err != nil {
		return 0, nil, err
	}
	var renamed bool
	status, body, err := g.change(c, h, func(l *state.Login) error {
		before := l.Nickname
		p.Theme.Apply(&l.Theme, state.DefaultTheme)
		p.Language.Apply(&l.Language, state.DefaultLanguage)
		p.Nickname.Apply(&l.Nickname, "")
		p.Note.Apply(&l.Note, "")
		p.Cart.Apply(&l.Cart, nil)
		renamed = l.Nickname != before && l.Nickname != ""
		return nil
	})
	if e := g.config.Extension; err == nil && renamed && e != nil {
		e.Nicknamed(g.Slug, h.Username, p.Nickname.Value)
	}
	return status, body, err
}

func (g *Group) spend(c *gin.Context) (int, any, error) {
	h, err := g.Load(c)
	if err != nil {
		return 0, nil, err
	}
	in, err := rest.Decode[struct {
		Amount rest.Required[int64] `json:"amount"`
	}](c, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	amount := in.Amount.Value
	if amount < 1 {
		return 0, nil, rest.Invalid("/amount", "An amount is at least 1.")
	}
	return g.change(c, h, func(l *state.Login) error {
		if amount > l.Credits {
			return rest.Faultf("insufficient_credits", "This login has %d credits.", l.Credits)
		}
		l.Credits -= amount
		return nil
	})
}
