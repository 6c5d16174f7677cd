package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strings"

	"github.com/gin-gonic/gin"

	"statelab/state"
)

// auditLine writes a line of the audit trail: who may come in, who is out, and why
// (OWASP Logging: Which events to log). It names people by the ids of their
// accounts and logins by fingerprints, and never holds a credential.
func (s *Server) auditLine(ctx context.Context, event string, attrs ...slog.Attr) {
	s.log.LogAttrs(ctx, slog.LevelInfo, "audit", append([]slog.Attr{slog.String("event", event)}, attrs...)...)
}

// audit writes a line about the request: on top of attrs its strategy, whose it
// is as far as that is known, where it comes from, and its id.
func (s *Server) audit(c *gin.Context, event string, attrs ...slog.Attr) {
	x := of(c)
	if x.column != nil {
		attrs = append(attrs, slog.String("strategy", x.column.slug))
	}
	if x.subject != "" {
		attrs = append(attrs, slog.String("subject", x.subject))
	}
	if x.login != "" {
		attrs = append(attrs, slog.String("login", s.fingerprint(x.login)))
	}
	s.auditLine(x, event, append(attrs, slog.String("address", x.client), slog.String("request_id", x.id[0]))...)
}

// about notes whose login the request turned out to be about.
func (x *exchange) about(l state.Login) { x.subject, x.login = l.Subject, l.ID }

// limited writes a line about a login that has ended because a newer one of its
// account began beyond the limit.
func (s *Server) limited(ctx context.Context, slug string, ended state.Login) {
	attrs := []slog.Attr{
		slog.String("strategy", slug), slog.String("subject", ended.Subject), slog.String("ended", s.fingerprint(ended.ID)),
	}
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		attrs = append(attrs, slog.String("address", x.client), slog.String("request_id", x.id[0]))
	}
	s.auditLine(ctx, "login_limit", attrs...)
}

// fingerprint is the same for the same text as long as the process lives, so that
// the lines about one login are found (OWASP Session Management: Logging Sessions
// Life Cycle), and says nothing else of it.
func (s *Server) fingerprint(text string) string {
	mac := hmac.New(sha256.New, s.config.salt[:])
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// attempted tells the audit trail and the metrics how a sign-in went. A username
// may be a password that was typed into the wrong field, so all that is told of
// it is whether it is the same as another one.
func (col *column) attempted(c *gin.Context, username string, l state.Login, err error) {
	attrs := []slog.Attr{slog.String("username", col.fingerprint(strings.ToLower(username)))}
	event, code := "sign_in", ""
	if err == nil {
		of(c).about(l)
	} else {
		event, code = "sign_in_refused", faultOf(err).code
		attrs = append(attrs, slog.String("code", code))
	}
	col.metrics.signIn(col.slug, code)
	col.audit(c, event, attrs...)
}

// audited are the problems that leave a line in the trail, wherever they come
// up, with the event that they are.
var audited = map[string]string{
	"csrf_blocked":   "csrf_blocked",
	"forbidden":      "forbidden",
	"reuse_detected": "refresh_reuse",
}
