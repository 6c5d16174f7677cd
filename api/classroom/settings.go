package classroom

import (
	"cmp"
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
	Revocation      string `json:"revocation"`
	SessionIdle     string `json:"session_idle"`
	SessionMax      string `json:"session_max"`
	AccessTTL       string `json:"access_ttl"`
	RefreshTTL      string `json:"refresh_ttl"`
	RefreshOverlap  string `json:"refresh_overlap"`
	SameSite        string `json:"same_site"`
	OriginCheck     bool   `json:"origin_check"`
	SizeCheck       bool   `json:"size_check"`
	CredentialCache int64  `json:"credential_cache"`
}

// SettingsInForce are the answer of the routes of the settings.
type SettingsInForce struct {
	Settings
	Notes []string `json:"notes,omitempty"` // what a learner would wonder at
}

// lifetimes returns the members that are lifetimes, by name.
func (s *Settings) lifetimes() map[string]*string {
	return map[string]*string{
		"session_idle": &s.SessionIdle, "session_max": &s.SessionMax, "access_ttl": &s.AccessTTL, "refresh_ttl": &s.RefreshTTL,
		"refresh_overlap": &s.RefreshOverlap,
	}
}

// The values of settings that are words.
var (
	revocations = map[string]bool{"none": false, "denylist": true}
	sameSites   = map[string]http.SameSite{"Lax": http.SameSiteLaxMode, "Strict": http.SameSiteStrictMode, "None": http.SameSiteNoneMode}
)

// wordFor returns the word for a value.
func wordFor[T comparable](words map[string]T, value T) string {
	for word, v := range words {
		if v == value {
			return word
		}
	}
	return ""
}

func settingsOf(config *api.Config) Settings {
	out := Settings{
		Revocation: wordFor(revocations, config.Denylist), SameSite: cmp.Or(wordFor(sameSites, config.SameSite), "Lax"),
		OriginCheck: !config.NoOriginCheck, SizeCheck: !config.NoSizeCheck, CredentialCache: config.CredentialCache,
	}
	texts := out.lifetimes()
	for _, s := range state.Settings() {
		if text := texts[s.Member()]; text != nil {
			*text = time.Duration(*s.Of(&config.Limits)).String()
		}
	}
	return out
}

// settings answers with the settings in force.
func (room *Classroom) settings(c *gin.Context) (int, any, error) {
	config := room.server().Config()
	out := SettingsInForce{Settings: settingsOf(&config)}
	if config.SameSite == http.SameSiteNoneMode && !state.Secure(c.Request) {
		out.Notes = append(out.Notes, "Over plain HTTP the server sets cookies without Secure. "+
			"Browsers drop a cookie with SameSite=None and without Secure; curl keeps it. "+
			"To see it in a browser, start the server with --tls-cert.")
	}
	return http.StatusOK, out, nil
}

// set changes the settings that the body names. Lifetimes are given to logins
// when they begin or are renewed.
func (room *Classroom) set(c *gin.Context) (int, any, error) {
	room.pulling.Lock()
	defer room.pulling.Unlock()
	config := room.server().Config()
	in := settingsOf(&config)
	err := rest.DecodeInto(c, &in, rest.JSONType)
	if err == nil {
		err = in.apply(&config)
	}
	if err == nil {
		err = room.replace(config)
	}
	if err != nil {
		return 0, nil, err
	}
	return room.settings(c)
}

// apply changes config, or returns what is out of range.
func (s *Settings) apply(config *api.Config) error {
	var known bool
	if config.Denylist, known = revocations[s.Revocation]; !known {
		return rest.Invalid("/revocation", "Revocation is none or denylist.")
	}
	if config.SameSite, known = sameSites[s.SameSite]; !known {
		return rest.Invalid("/same_site", "SameSite is Lax, Strict or None.")
	}
	config.NoOriginCheck, config.NoSizeCheck, config.CredentialCache = !s.OriginCheck, !s.SizeCheck, s.CredentialCache
	texts := s.lifetimes()
	for _, setting := range state.Settings() {
		text := texts[setting.Member()]
		if text == nil {
			continue
		}
		d, err := time.ParseDuration(*text)
		if err != nil {
			return rest.Invalid("/"+setting.Member(), "Use a duration such as 15m or 8h.")
		}
		*setting.Of(&config.Limits) = int64(d)
	}
	var limit *state.LimitError
	if errors.As(config.Check(), &limit) {
		return rest.Invalid("/"+strings.ReplaceAll(limit.Flag, "-", "_"), limit.Reason)
	}
	return nil
}
