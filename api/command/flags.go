package command

import (
	"cmp"
	"net"
	"strconv"
	"strings"
	"time"

	"statelab/api"
	"statelab/state"
)

// serve has the flags of the server. Those whose default depends on the
// classroom or on other variables are empty until settle.
type serve struct {
	Listen           string        `placeholder:"ADDRESS" help:"Address to serve on (localhost:8080); the classroom serves loopback only, a service also takes the variable PORT."`
	Database         string        `placeholder:"URL" help:"Where accounts are kept: sqlite:PATH or postgres://... (sqlite:statelab-classroom.db; for a service DATABASE_URL or sqlite:statelab.db)."`
	Store            string        `placeholder:"URL" help:"Where logins are kept: memory, database, redis://... or rediss://... (memory; a service also takes the variable REDIS_URL)."`
	Keys             string        `placeholder:"FILE" help:"The key file (statelab-classroom.keys.json, which the classroom makes if it is missing; for a service statelab.keys.json)."`
	Classroom        bool          `default:"true" negatable:"" help:"Serve the classroom: demo accounts, this machine only (the default). Without it, statelab is a service for others."`
	Strategies       []string      `default:"session,cookie,cookie-sealed,token" placeholder:"SLUG" help:"The strategies to mount (${default}, which always are); the classroom mounts all."`
	TLSCert          string        `name:"tls-cert" placeholder:"FILE" help:"The certificate to serve HTTPS with, PEM, with its chain (none). A renewed file is picked up."`
	TLSKey           string        `name:"tls-key" placeholder:"FILE" help:"The key of --tls-cert, PEM (none)."`
	TrustedProxy     []string      `placeholder:"CIDR" help:"Networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, such as 10.0.0.0/8 (none)."`
	AllowOrigin      []string      `placeholder:"ORIGIN" help:"Origins whose pages may use the API with credentials, such as http://localhost:5173 (none)."`
	SessionIdle      time.Duration `default:"15m" placeholder:"TIME" help:"A login held by the server ends after so long without a request (${default})."`
	SessionMax       time.Duration `default:"8h" placeholder:"TIME" help:"A session or a cookie ends after so long, however often it is refreshed (${default})."`
	AccessTTL        time.Duration `name:"access-ttl" default:"15m" placeholder:"TIME" help:"An access token is valid for so long (${default})."`
	RefreshTTL       time.Duration `name:"refresh-ttl" default:"168h" placeholder:"TIME" help:"A token login ends after so long, however often it is refreshed (${default})."`
	RefreshOverlap   time.Duration `default:"10s" placeholder:"TIME" help:"The previous refresh token still returns the same successor for so long (${default})."`
	TokenAlg         string        `default:"EdDSA" enum:"EdDSA,HS256" help:"What signs access tokens: EdDSA or HS256 (${default})."`
	Revocation       string        `enum:",none,denylist" default:"" placeholder:"HOW" help:"Whether copies held by clients can be ended: none, or denylist, a look-up in the store with each request (none; for a service denylist)."`
	CredentialCache  int           `default:"0" placeholder:"N" help:"How many verified credentials each client-held strategy may remember (${default}: each is verified each time)."`
	LoginsPerAccount int           `default:"100" placeholder:"N" help:"How many live logins an account may have in each strategy, 1 to 100 (${default}); the next one ends the oldest."`
	Cache            string        `placeholder:"URL" help:"Where nodes keep answers together, for the cache policy redis: redis://..., rediss://... or none (the Redis of --store, if there is one)."`
	Metrics          string        `placeholder:"ADDRESS" help:"Address to serve /metrics on, for Prometheus, such as localhost:9464 (none); the classroom serves loopback only."`
	Attacker         string        `placeholder:"ADDRESS" help:"Address to serve the attacker's pages on, another origin, such as 127.0.0.1:9090 (none); classroom and loopback only."`
	LogFormat        string        `default:"text" enum:"text,json" help:"The form of the log on standard error: text or json (${default})."`
	LogLevel         string        `default:"info" enum:"debug,info,warn,error" help:"The least level to log: debug, info, warn or error (${default}); a line for each request is info."`
}

// serviceDatabase has the accounts of a service that is told of no other.
const serviceDatabase = "sqlite:statelab.db"

// settle fills in what was given neither as a flag nor as its variable. Outside
// the classroom the variables that platforms set come first.
func (s *serve) settle(getenv func(string) string) {
	database, keyFile, revocation := "sqlite:statelab-classroom.db", "statelab-classroom.keys.json", "none"
	var listen, databaseURL, redisURL string
	if !s.Classroom {
		database, keyFile, revocation = serviceDatabase, "statelab.keys.json", "denylist"
		databaseURL, redisURL = getenv("DATABASE_URL"), getenv("REDIS_URL")
		if port := getenv("PORT"); port != "" {
			listen = ":" + port
		}
	}
	s.Listen = cmp.Or(s.Listen, listen, "localhost:8080")
	s.Database = cmp.Or(s.Database, databaseURL, database)
	s.Store = cmp.Or(s.Store, redisURL, "memory")
	s.Cache = cmp.Or(s.Cache, redisOf(s.Store), "none")
	s.Keys = cmp.Or(s.Keys, keyFile)
	s.Revocation = cmp.Or(s.Revocation, revocation)
}

// redisOf returns the address of a store if it is one of Redis, or "".
func redisOf(address string) string {
	if scheme, _, _ := strings.Cut(address, "://"); scheme != "redis" && scheme != "rediss" {
		return ""
	}
	return address
}

// check refuses what cannot work and what would not be safe.
func (s *serve) check() error {
	if err := state.CheckNames(s.Classroom, s.Strategies); err != nil {
		return refuse("--strategies: %v", err)
	}
	if _, port, err := net.SplitHostPort(s.Listen); err != nil || !isPort(port) {
		return refuse("%q is no address to serve on: give --listen, or PORT, one such as localhost:8080, or 8080", s.Listen)
	}
	if s.Classroom && !isLoopback(s.Listen) {
		return refuse("--listen %s would show the classroom, with its published passwords, to others: use localhost, or --no-classroom", s.Listen)
	}
	if s.Classroom && len(s.TrustedProxy) > 0 {
		return refuse("--trusted-proxy: the classroom answers no request that came through a proxy: leave it out, or add --no-classroom")
	}
	if s.Cache != "none" && redisOf(s.Cache) == "" {
		return refuse("--cache: use redis://HOST:PORT, rediss://HOST:PORT or none")
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return refuse("--tls-cert and --tls-key belong together: give both or neither")
	}
	if s.Metrics != "" {
		if _, _, err := net.SplitHostPort(s.Metrics); err != nil {
			return refuse("--metrics %q is no address: use one such as localhost:9464", s.Metrics)
		}
		if s.Classroom && !isLoopback(s.Metrics) {
			return refuse("--metrics %s would show the classroom to others: use localhost", s.Metrics)
		}
	}
	if s.Attacker != "" {
		if !s.Classroom {
			return refuse("--attacker is for lessons: leave it out, or leave out --no-classroom")
		}
		if _, port, err := net.SplitHostPort(s.Attacker); err != nil || !isPort(port) {
			return refuse("--attacker %q is no address: use one such as 127.0.0.1:9090", s.Attacker)
		}
		if !isLoopback(s.Attacker) {
			return refuse("--attacker %s would show others what it steals: use 127.0.0.1", s.Attacker)
		}
	}
	for _, origin := range s.AllowOrigin {
		if err := api.CheckOrigin(origin); err != nil {
			return refuse("--allow-origin: %v", err)
		}
	}
	if err := api.CheckLimits(s.lifetimes(), s.CredentialCache, s.LoginsPerAccount); err != nil {
		return refuse("%v", err)
	}
	return nil
}

func (s *serve) lifetimes() state.Lifetimes {
	return state.Lifetimes{
		SessionIdle: s.SessionIdle, SessionMax: s.SessionMax,
		AccessTTL: s.AccessTTL, RefreshTTL: s.RefreshTTL, RefreshOverlap: s.RefreshOverlap,
	}
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// isLoopback says whether only this machine reaches what listens on the address.
func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address) // checked
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
