package classroom

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"statelab/api"
	"statelab/api/rest"
	"statelab/state"
)

// Settings are what a classroom can change without a restart. Durations are
// written as the flags take them.
type Settings struct {
	Revocation      string   `json:"revocation"`
	SessionIdle     string   `json:"session_idle"`
	SessionMax      string   `json:"session_max"`
	AccessTTL       string   `json:"access_ttl"`
	RefreshTTL      string   `json:"refresh_ttl"`
	RefreshOverlap  string   `json:"refresh_overlap"`
	SameSite        string   `json:"same_site"`
	OriginCheck     bool     `json:"origin_check"`
	SizeCheck       bool     `json:"size_check"`
	CredentialCache int      `json:"credential_cache"`
	Notes           []string `json:"notes,omitempty"` // what a learner would wonder at
}

// sameSites are the values that a cookie's attribute can have, by name.
var sameSites = map[string]http.SameSite{"Lax": http.SameSiteLaxMode, "Strict": http.SameSiteStrictMode, "None": http.SameSiteNoneMode}

func settingsOf(config api.Config, r *http.Request) Settings {
	l := config.Lifetimes
	out := Settings{
		Revocation: "none", SessionIdle: l.SessionIdle.String(), SessionMax: l.SessionMax.String(),
		AccessTTL: l.AccessTTL.String(), RefreshTTL: l.RefreshTTL.String(), RefreshOverlap: l.RefreshOverlap.String(),
		SameSite: "Lax", OriginCheck: !config.NoOriginCheck, SizeCheck: !config.NoSizeCheck, CredentialCache: config.CredentialCache,
	}
	if config.Denylist {
		out.Revocation = "denylist"
	}
	for name, value := range sameSites {
		if value == config.SameSite {
			out.SameSite = name
		}
	}
	if config.SameSite == http.SameSiteNoneMode && !state.Secure(r) {
		out.Notes = append(out.Notes, "Over plain HTTP the server sets cookies without Secure. Browsers drop a cookie with SameSite=None and without Secure; curl keeps it. To see it in a browser, start the server with --tls-cert.")
	}
	return out
}

// settings tells the settings in force.
func (room *Classroom) settings(c *gin.Context) (int, any, error) {
	return http.StatusOK, settingsOf(room.server().Config(), c.Request), nil
}

// set changes the settings that the body names. Lifetimes are given to logins
// when they begin or are renewed.
func (room *Classroom) set(c *gin.Context) (int, any, error) {
	in, err := rest.Decode[changes](c, rest.JSONType)
	if err != nil {
		return 0, nil, err
	}
	room.pulling.Lock()
	defer room.pulling.Unlock()
	config := room.server().Config()
	if err := in.apply(&config); err != nil {
		return 0, nil, err
	}
	if err := room.replace(config); err != nil {
		return 0, nil, err
	}
	return http.StatusOK, settingsOf(config, c.Request), nil
}

// changes are the settings that a body names.
type changes struct {
	Revocation      *string `json:"revocation"`
	SessionIdle     *string `json:"session_idle"`
	SessionMax      *string `json:"session_max"`
	AccessTTL       *string `json:"access_ttl"`
	RefreshTTL      *string `json:"refresh_ttl"`
	RefreshOverlap  *string `json:"refresh_overlap"`
	SameSite        *string `json:"same_site"`
	OriginCheck     *bool   `json:"origin_check"`
	SizeCheck       *bool   `json:"size_check"`
	CredentialCache *int64  `json:"credential_cache"`
}

// apply changes config, or returns what is out of range.
func (in *changes) apply(config *api.Config) error {
	if in.Revocation != nil {
		if *in.Revocation != "none" && *in.Revocation != "denylist" {
			return rest.Invalid("/revocation", "Revocation is none or denylist.")
		}
		config.Denylist = *in.Revocation == "denylist"
	}
	if in.SameSite != nil {
		value, ok := sameSites[*in.SameSite]
		if !ok {
			return rest.Invalid("/same_site", "SameSite is Lax, Strict or None.")
		}
		config.SameSite = value
	}
	if in.OriginCheck != nil {
		config.NoOriginCheck = !*in.OriginCheck
	}
	if in.SizeCheck != nil {
		config.NoSizeCheck = !*in.SizeCheck
	}
	if in.CredentialCache != nil {
		config.CredentialCache = int(*in.CredentialCache)
	}
	l := &config.Lifetimes
	texts := map[string]*string{
		"session-idle": in.SessionIdle, "session-max": in.SessionMax, "access-ttl": in.AccessTTL, "refresh-ttl": in.RefreshTTL,
		"refresh-overlap": in.RefreshOverlap,
	}
	for _, s := range state.LifetimeSettings() {
		if texts[s.Name] == nil {
			continue
		}
		d, err := time.ParseDuration(*texts[s.Name])
		if err != nil {
			return rest.Invalid("/"+s.Member(), "Use a duration such as 15m or 8h.")
		}
		*s.Of(l) = d
	}
	var limit *api.LimitError
	if errors.As(api.CheckLimits(*l, config.CredentialCache, config.LoginsPerAccount), &limit) {
		return rest.Invalid("/"+strings.ReplaceAll(limit.Flag, "-", "_"), limit.Reason)
	}
	return nil
}
