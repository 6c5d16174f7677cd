package command

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"statelab/api"
	"statelab/state"
)

// serve has the flags of the server. Those whose default depends on the
// classroom or on other variables are empty until settle.
type serve struct {
	Listen        string     `placeholder:"ADDRESS" help:"Address to serve on (localhost:8080). The classroom serves this machine only, unless --classroom-host is given. A service also reads the variable PORT."`
	Database      string     `placeholder:"URL" help:"Database of accounts: sqlite:PATH or postgres://... (sqlite:statelab-classroom.db; a service uses DATABASE_URL or sqlite:statelab.db)."`
	Store         string     `placeholder:"URL" help:"Store of logins: memory, database, redis://... or rediss://... (memory; a service also reads the variable REDIS_URL)."`
	Keys          string     `placeholder:"FILE" help:"Key file (statelab-classroom.keys.json, which the classroom creates if it is missing; a service uses statelab.keys.json)."`
	Classroom     bool       `default:"true" negatable:"" help:"Serve the classroom: demo accounts, for this machine (the default). --no-classroom serves other machines."`
	ClassroomHost []string   `placeholder:"NAME" help:"Names besides localhost by which the classroom answers, for containers and cloud editors (none). Every client that reaches one can use the published passwords."`
	Strategies    []string   `default:"session,cookie,cookie-sealed,token,session-gin" placeholder:"SLUG" help:"Strategies to mount (${default}, which are always mounted). The classroom mounts all."`
	TLSCert       string     `name:"tls-cert" placeholder:"FILE" help:"Certificate file for HTTPS, PEM, with its chain (none). The server reads a renewed file by itself."`
	TLSKey        string     `name:"tls-key" placeholder:"FILE" help:"Key file of --tls-cert, PEM (none)."`
	TrustedProxy  []string   `placeholder:"CIDR" help:"Networks of proxies, such as 10.0.0.0/8 (none). The server trusts X-Forwarded-For and X-Forwarded-Proto from them."`
	AllowOrigin   []string   `placeholder:"ORIGIN" help:"Origins whose pages may use the API with credentials, such as http://localhost:5173 (none)."`
	state.Limits  `embed:""` // their names, defaults and help are in state.Settings
	TokenAlg      string     `default:"EdDSA" enum:"EdDSA,HS256" help:"Algorithm that signs access tokens: EdDSA or HS256 (${default})."`
	Revocation    string     `enum:",none,denylist" default:"" placeholder:"HOW" help:"How the server revokes credentials that clients store: none, or denylist with a store read per request (none; a service uses denylist)."`
	Cache         string     `placeholder:"URL" help:"Redis for the cache policy redis, which servers share: redis://..., rediss://... or none (the Redis of --store, if there is one)."`
	Metrics       string     `placeholder:"ADDRESS" help:"Address to serve /metrics on, for Prometheus, such as localhost:9464 (none). The classroom serves this machine only."`
	Attacker      string     `placeholder:"ADDRESS" help:"Address of the attacker's pages, which are another origin, or none (127.0.0.1:9090 or the next free port; a service has none). For this machine only."`
	LogFormat     string     `default:"text" enum:"text,json" help:"Format of the log on standard error: text or json (${default})."`
	LogLevel      string     `default:"info" enum:"debug,info,warn,error" help:"Lowest level to log: debug, info, warn or error (${default}). Each request is one line at info."`
}

// serviceDatabase has the accounts of a service that is told of no other.
const serviceDatabase = "sqlite:statelab.db"

// noAttacker as the value of --attacker starts no attacker. Without a value, the
// classroom chooses the address.
const noAttacker = "none"

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
	if !s.Classroom {
		s.Attacker = cmp.Or(s.Attacker, noAttacker)
	}
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
		return refuse("%q is not an address: use --listen with an address such as localhost:8080, or PORT with a port such as 8080", s.Listen)
	}
	if s.Classroom && !isLoopback(s.Listen) && len(s.ClassroomHost) == 0 {
		return refuse("--listen %s would let other machines use the classroom and its published passwords: use localhost, or --no-classroom",
			s.Listen)
	}
	for _, name := range s.ClassroomHost {
		if !s.Classroom {
			return refuse("--classroom-host works in the classroom only: remove it, or remove --no-classroom")
		}
		if api.CheckOrigin("https://"+name) != nil {
			return refuse("--classroom-host %q is not a name: use one such as lesson-8080.example.dev, in lower case and without a scheme", name)
		}
	}
	if s.Classroom && len(s.TrustedProxy) > 0 {
		return refuse("--trusted-proxy: the classroom refuses requests that came through a proxy: remove the flag, or add --no-classroom")
	}
	if s.Cache != "none" && redisOf(s.Cache) == "" {
		return refuse("--cache: use redis://HOST:PORT, rediss://HOST:PORT or none")
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return refuse("--tls-cert and --tls-key belong together: use both or neither")
	}
	if s.Metrics != "" {
		if _, _, err := net.SplitHostPort(s.Metrics); err != nil {
			return refuse("--metrics %q is not an address: use one such as localhost:9464", s.Metrics)
		}
		if s.Classroom && !isLoopback(s.Metrics) {
			return refuse("--metrics %s would let other machines read the classroom's metrics: use localhost", s.Metrics)
		}
	}
	if s.Attacker != "" && s.Attacker != noAttacker {
		if !s.Classroom {
			return refuse("--attacker works in the classroom only: remove it, or remove --no-classroom")
		}
		if _, port, err := net.SplitHostPort(s.Attacker); err != nil || !isPort(port) {
			return refuse("--attacker %q is not an address: use one such as 127.0.0.1:9090, or none", s.Attacker)
		}
		if !isLoopback(s.Attacker) {
			return refuse("--attacker %s would let other machines read stolen credentials: use 127.0.0.1", s.Attacker)
		}
	}
	for _, origin := range s.AllowOrigin {
		if err := api.CheckOrigin(origin); err != nil {
			return refuse("--allow-origin: %v", err)
		}
	}
	if err := s.Check(); err != nil {
		return refuse("%v", err)
	}
	return nil
}

// describeLimits gives the flags of the limits what state.Settings says.
func describeLimits(k *kong.Kong) error {
	for _, command := range k.Model.Children {
		for _, flag := range command.Flags {
			for _, s := range state.Settings() {
				if flag.Name != s.Name {
					continue
				}
				flag.PlaceHolder, flag.Default, flag.HasDefault = "N", s.Text(s.Default), true
				if s.Lifetime {
					flag.PlaceHolder = "TIME"
				}
				flag.Help = fmt.Sprintf("%s (%s).", strings.TrimSuffix(s.Meaning, "."), flag.Default)
			}
		}
	}
	return nil
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
