package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"

	"github.com/gin-gonic/gin"

	"statelab/api/rest"
	"statelab/auth"
	"statelab/state"
)

// AuditLine writes a line of the audit trail: who may come in, who is out, and why
// (OWASP Logging: Which events to log). It names people by the ids of their
// accounts and logins by fingerprints, and never holds a credential.
func (s *Server) AuditLine(ctx context.Context, event string, attrs ...slog.Attr) {
	s.log.LogAttrs(ctx, slog.LevelInfo, "audit", append([]slog.Attr{slog.String("event", event)}, attrs...)...)
}

// Audit writes a line about the request: on top of attrs its strategy, whose it
// is as far as that is known, where it comes from, and its id.
func (s *Server) Audit(c *gin.Context, event string, attrs ...slog.Attr) {
	x := requestOf(c)
	if x.group != nil {
		attrs = append(attrs, slog.String("strategy", x.group.Slug))
	}
	if x.subject != "" {
		attrs = append(attrs, slog.String("subject", x.subject))
	}
	if x.login != "" {
		attrs = append(attrs, slog.String("login", s.fingerprint(x.login)))
	}
	s.AuditLine(x, event, append(attrs, slog.String("address", x.client), slog.String("request_id", x.id[0]))...)
}

// about notes whose login the request turned out to be about.
func (x *request) about(l state.Login) { x.subject, x.login = l.Subject, l.ID }

// limited writes a line about a login that has ended because a newer one of its
// account began beyond the limit, and counts it.
func (s *Server) limited(ctx context.Context, slug, subject, ended string) {
	s.auditEnded(ctx, "login_limit", slug, subject, ended)
	s.metrics.refusals.add(boundLogins)
}

// replaced writes a line about a login that has ended because the client that carried it
// signed in to another account.
func (s *Server) replaced(ctx context.Context, slug string, ended state.Login) {
	s.auditEnded(ctx, "revocation", slug, ended.Subject, ended.ID, slog.String("of", "one"), slog.String("by", "sign_in"))
}

// auditEnded writes a line about a login that ends by the request of another login.
func (s *Server) auditEnded(ctx context.Context, event, slug, subject, ended string, attrs ...slog.Attr) {
	attrs = append(attrs,
		slog.String("strategy", slug), slog.String("subject", subject), slog.String("ended", s.fingerprint(ended)))
	if x, ok := ctx.Value(requestKey{}).(*request); ok {
		attrs = append(attrs, slog.String("address", x.client), slog.String("request_id", x.id[0]))
	}
	s.AuditLine(ctx, event, attrs...)
}

// fingerprint is the same for the same text as long as the process lives, so that
// the lines about one login are found (OWASP Session Management: Logging Sessions
// Life Cycle), and says nothing else of it.
func (s *Server) fingerprint(text string) string {
	mac := hmac.New(sha256.New, s.config.Process.salt[:])
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// usernameAttr is what a line says of a username that a client sent: whether it is the
// same as another one, and nothing else, since it may be a password that was typed into
// the wrong field.
func (s *Server) usernameAttr(username string) slog.Attr {
	return slog.String("username", s.fingerprint(auth.Fold(username)))
}

// attempted tells the audit trail and the metrics how a sign-in went.
func (g *Group) attempted(c *gin.Context, username string, l state.Login, err error) {
	attrs := []slog.Attr{g.usernameAttr(username)}
	event, code := "sign_in", ""
	if err == nil {
		requestOf(c).about(l)
	} else {
		event, code = "sign_in_refused", rest.FaultOf(err).Code
		attrs = append(attrs, slog.String("code", code))
	}
	g.metrics.signIn(g.Slug, code)
	g.Audit(c, event, attrs...)
}

// audited are the problems that leave a line in the trail, wherever they come
// up, with the event that they are.
var audited = map[string]string{
	"csrf_blocked":   "csrf_blocked",
	"forbidden":      "forbidden",
	"reuse_detected": "refresh_reuse",
}
