package lab

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// An Agent is one user agent: a cookie jar, or a bearer token, and a connection of its
// own. What it does is a step of the experiment. If a server cannot be spoken to, or has
// failed at what it has given itself, the step ends the experiment: an outage is no refusal.
type Agent struct {
	Name string
	user User
	b    *Bench
	base string // the node that it speaks to
	line *line

	jar     *jar
	access  string // the bearer token, or ""
	refresh string // the refresh token, or ""
	made    bool   // it holds what the server has not given

	csrf      string // sent instead of the token of a page, if it is given
	out       bool   // has logged out
	meanwhile func() // done while the server waits for the body of the next request
}

// agent returns a user agent without a credential.
func (b *Bench) agent(name string, user User) *Agent {
	a := &Agent{Name: name, user: user, b: b, base: b.Target.Base, line: b.ends(newLine(b.server != nil, b.dial)), jar: newJar(b.now)}
	b.secrets.hide(user.Password)
	return a
}

// Copy returns a thief's agent: it holds everything that the client holds.
func (a *Agent) Copy(name string) *Agent {
	c := a.b.agent(name, a.user)
	c.base = a.base
	c.Restore(a.Keep())
	c.jar.hoards = true
	return c
}

// Held is what a client holds.
type Held struct {
	jar             *jar
	access, refresh string
	made            bool
}

// Keep returns a copy of what the client holds.
func (a *Agent) Keep() Held { return Held{a.jar.copy(), a.access, a.refresh, a.made} }

// Restore has the client hold what it once held.
func (a *Agent) Restore(h Held) {
	a.jar, a.access, a.refresh, a.made = h.jar.copy(), h.access, h.refresh, h.made
}

// Forget deletes what the client holds, as a user does in the browser's tools.
func (a *Agent) Forget() { a.Restore(Held{jar: newJar(a.b.now)}) }

// At has the agent speak to another node. Cookies do not tell ports apart.
func (a *Agent) At(base string) *Agent {
	a.base = base
	return a
}

// do sends a request with the agent's credential and keeps what the answer gives.
func (a *Agent) do(does string, r Request, vs values, headers ...string) (answer Answer) {
	if vs == nil {
		vs = values{}
	}
	vs["username"], vs["password"] = a.user.Username, a.user.Password
	if a.refresh != "" {
		vs["refresh"] = a.refresh
	}
	if _, given := vs["csrf"]; !given && r.names("csrf") {
		vs["csrf"] = a.token()
	}
	contentType, body, err := r.body(vs)
	a.b.check(err)
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(a.b.ctx, method, a.base+vs.text(r.Path), strings.NewReader(body))
	a.b.check(err)
	req.Header.Set("Accept", "application/json, */*;q=0.5")
	req.Header.Set("User-Agent", "statelab")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if a.access != "" {
		req.Header.Set("Authorization", "Bearer "+a.access)
	}
	if line := cookieLine(a.jar.of(req.URL.Path)); line != "" {
		req.Header.Set("Cookie", line)
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	if a.meanwhile != nil {
		req.Header.Set("Expect", "100-continue")
		answer = a.b.interrupted(req, body, a.meanwhile, func(req *http.Request) Answer { return a.b.exchange(a.Name, does, a.line, req) })
	} else {
		answer = a.b.exchange(a.Name, does, a.line, req)
	}
	if answer.Status >= http.StatusInternalServerError && a.b.Levers == nil && !a.made {
		a.b.fail("%s: the server answered %d", does, answer.Status)
	}
	a.jar.keep(answer.Header, req.URL.Path)
	for _, c := range a.jar.cookies {
		a.b.secrets.add(c.Value)
	}
	return answer
}

// cookieLine is the value of the header Cookie.
func cookieLine(cookies []*http.Cookie) string {
	var pairs []string
	for _, c := range cookies {
		value := c.Value
		if c.Quoted {
			value = `"` + value + `"`
		}
		pairs = append(pairs, c.Name+"="+value)
	}
	return strings.Join(pairs, "; ")
}

// Login logs the agent in and returns it. A login that fails ends the experiment.
func (a *Agent) Login() *Agent {
	t := a.b.Target
	vs := values{}
	if t.Login.Before != nil && !t.Login.Request.names("csrf") {
		a.Visit()
	}
	answer := a.do("log in", t.Login.Request, vs)
	wanted := t.Login.OK
	if wanted == nil {
		wanted = Statuses{http.StatusOK}
	}
	if !slices.Contains(wanted, answer.Status) {
		a.b.fail("%s could not log in: the server answered %d", a.Name, answer.Status)
	}
	a.take(answer)
	a.b.in, a.out = append(a.b.in, a), false
	return a
}

// token fetches the page with the form, as a browser does before it sends it, and returns
// the token in it.
func (a *Agent) token() string {
	if a.csrf != "" {
		return a.csrf
	}
	after := a.meanwhile
	a.meanwhile = nil
	token := a.b.Target.Login.Before.token(a.Visit())
	a.meanwhile = after
	if token == "" {
		a.b.fail("login.before.csrf finds nothing in the page")
	}
	return token
}

// Visit fetches what the target has for visitors.
func (a *Agent) Visit() Answer {
	if before := a.b.Target.Login.Before; before != nil {
		return a.do("visit", Request{Path: before.Path}, nil)
	}
	return a.do("visit", a.b.Target.Profile.Request, nil)
}

// take keeps the tokens that an answer has.
func (a *Agent) take(answer Answer) {
	t := a.b.Target
	if !t.bearer() || !answer.OK() {
		return
	}
	if token := answer.text(t.Credential.Bearer); token != "" {
		a.access = token
		a.b.secrets.add(token)
	}
	if t.Credential.Refresh != "" {
		if token := answer.text(t.Credential.Refresh); token != "" {
			a.refresh = token
			a.b.secrets.add(token)
		}
	}
}

// Seen is what a server has answered to the question who is logged in.
type Seen struct {
	Answer
	User string // who, or ""
}

// In says whether the server knows the client as one of its users.
func (s Seen) In() bool { return s.User != "" }

// Profile asks who is logged in.
func (a *Agent) Profile() Seen { return a.profile("read the profile") }

func (a *Agent) profile(does string) Seen {
	s := Seen{Answer: a.do(does, a.b.Target.Profile.Request, nil)}
	answer := s.Answer
	if answer.Status >= 200 && answer.Status < 300 {
		s.User = answer.text(a.b.Target.Profile.User)
	}
	return s
}

// Read returns a field of the profile, or "".
func (a *Agent) Read(field string) string { return a.field(a.Profile().Answer, field) }

func (a *Agent) field(answer Answer, field string) string {
	return answer.text(values{"field": field}.text(a.b.Target.Change.Read))
}

// Change sets a field of the state.
func (a *Agent) Change(field, value string, headers ...string) Answer {
	a.b.mu.Lock()
	a.b.changed = true
	a.b.mu.Unlock()
	answer := a.do("change "+field, a.b.Target.Change.Request, values{"field": field, "value": value}, headers...)
	a.take(answer)
	return answer
}

// Act does one of the target's other acts, with values if it needs some.
func (a *Agent) Act(does string, act *Act, vs values, headers ...string) Answer {
	answer := a.do(does, act.Request, vs, headers...)
	a.take(answer)
	return answer
}

// Refresh renews the login.
func (a *Agent) Refresh() Answer { return a.Act("refresh", a.b.Target.Refresh, nil) }

// Logout ends the login. The client keeps what the server does not take from it.
func (a *Agent) Logout() Answer {
	answer := a.ends("log out", a.b.Target.Logout)
	a.out = answer.OK() // else it is tried again in the end
	return answer
}

// LogoutEverywhere ends all logins of the user.
func (a *Agent) LogoutEverywhere() Answer {
	return a.ends("log out everywhere", a.b.Target.LogoutEverywhere)
}

// ends ends logins. Where a target's file may be wrong, a refusal ends the experiment.
func (a *Agent) ends(does string, act *Act) Answer {
	answer := a.Act(does, act, nil)
	if !answer.OK() && a.b.Levers == nil {
		a.b.fail("%s: the server answered %d", does, answer.Status)
	}
	return answer
}

// Spend takes 30 credits.
func (a *Agent) Spend() Answer { return a.Act("spend 30 credits", a.b.Target.Spend, nil) }

// credentials names the cookies that are the login: without one of them the server does not
// know the client. It is found out once, by leaving out one after the other.
func (a *Agent) credentials() []string {
	if a.b.Target.bearer() {
		return nil
	}
	if a.b.names == nil {
		a.b.quietly(func() {
			names := []string{}
			for _, c := range a.jar.of(a.b.Target.Profile.Request.path()) {
				without := a.Copy(a.Name)
				without.made = true
				maps.DeleteFunc(without.jar.cookies, func(id cookieID, _ *http.Cookie) bool { return id.name == c.Name })
				if !without.Profile().In() {
					names = append(names, c.Name)
				}
			}
			a.b.names = names
		})
	}
	return a.b.names
}

// Credential returns the values that are the login, by the name of their cookie or "".
func (a *Agent) Credential() map[string]string {
	if a.b.Target.bearer() {
		return map[string]string{"": a.access}
	}
	held := map[string]string{}
	names := a.credentials()
	for id, c := range a.jar.cookies {
		if slices.Contains(names, id.name) {
			held[id.name] = c.Value
		}
	}
	return held
}

// Put has the client hold another value as its credential.
func (a *Agent) Put(name, value string) {
	a.made = true
	if name == "" {
		a.access = value
		return
	}
	for id, c := range a.jar.cookies {
		if id.name == name {
			c.Value, c.Quoted = value, false
		}
	}
}

// carries returns the bytes of the credential in each request: the token after "Bearer ", or
// the cookies with their names. Our own answers count in the same way.
func (a *Agent) carries() int {
	if a.b.Target.bearer() {
		return len("Bearer ") + len(a.access)
	}
	names := a.credentials()
	var mine []*http.Cookie
	for _, c := range a.jar.of(a.b.Target.Profile.Request.path()) {
		if slices.Contains(names, c.Name) {
			mine = append(mine, c)
		}
	}
	return len(cookieLine(mine))
}

// holds returns the bytes of all that the client holds: names and values of cookies, and
// tokens.
func (a *Agent) holds() int {
	n := len(a.access) + len(a.refresh)
	for id, c := range a.jar.cookies {
		n += len(id.name) + len(c.Value)
	}
	return n
}

// sameSite returns the attribute of the credential's cookie: "Lax", "Strict", "None", or ""
// if it has none.
func (a *Agent) sameSite() string {
	for id, c := range a.jar.cookies {
		if contains(a.credentials(), id.name) {
			for _, attr := range attributes(c) {
				if value, ok := strings.CutPrefix(attr, "SameSite="); ok {
					return value
				}
			}
		}
	}
	return ""
}

// holdsOther says whether the client holds other values than another one.
func (a *Agent) holdsOther(than *Agent) bool { return !maps.Equal(a.Credential(), than.Credential()) }
