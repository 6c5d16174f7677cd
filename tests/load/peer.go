package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-contrib/sessions"                 //nolint:depguard // the peer
	"github.com/gin-contrib/sessions/cookie"          //nolint:depguard // as above
	"github.com/gin-contrib/sessions/memstore"        //nolint:depguard // as above
	"github.com/gin-contrib/sessions/postgres"        //nolint:depguard // as above
	redistore "github.com/gin-contrib/sessions/redis" //nolint:depguard // as above
	"github.com/gin-gonic/gin"                        //nolint:depguard // as above
	_ "github.com/jackc/pgx/v5/stdlib"                // the driver "pgx"
	"github.com/redis/go-redis/v9"
)

// A profile is what the peer keeps of a login, a value for each member, and what
// it answers.
type profile struct {
	Strategy string `json:"strategy"`
	User     struct {
		ID          string `json:"id"`
		Username    string `json:"username"`
		DisplayName string `json:"display_name"`
		Role        string `json:"role"`
	} `json:"user"`
	State struct {
		Theme    string   `json:"theme"`
		Language string   `json:"language"`
		Nickname string   `json:"nickname"`
		Note     string   `json:"note"`
		Credits  int64    `json:"credits"`
		Cart     []string `json:"cart"`
	} `json:"state"`
	Version   int64     `json:"version"`
	IssuedAt  time.Time `json:"issued_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

// peer does the job of the session strategy as the README of
// gin-contrib/sessions has it: sessions.Sessions, sessions.Default, a value for
// each member of the profile. Each login is one to the profile of the answer;
// it asks for no password, which is not what is measured.
func peer(e *gin.Engine, t task) error {
	var p profile
	if err := json.Unmarshal(t.Answer.Body, &p); err != nil {
		return err
	}
	s, err := peerStore(t.Store)
	if err != nil {
		return err
	}
	e.Use(sessions.Sessions("peer_session", s))
	e.POST("/session/login", func(c *gin.Context) {
		s := sessions.Default(c)
		for name, value := range map[string]any{
			"sub": p.User.ID, "username": p.User.Username, "name": p.User.DisplayName, "role": p.User.Role,
			"theme": p.State.Theme, "language": p.State.Language, "nickname": p.State.Nickname, "note": p.State.Note,
			"credits": p.State.Credits, "cart": p.State.Cart,
			"version": p.Version, "issued_at": p.IssuedAt.Unix(), "expires_at": p.ExpiresAt.Unix(),
		} {
			s.Set(name, value)
		}
		if err := s.Save(); err != nil {
			c.JSON(http.StatusInternalServerError, err.Error())
			return
		}
		c.JSON(http.StatusOK, struct{}{})
	})
	set := t.headers()
	e.GET(t.Path, func(c *gin.Context) {
		s := sessions.Default(c)
		text := func(name string) string { v, _ := s.Get(name).(string); return v }
		number := func(name string) int64 { v, _ := s.Get(name).(int64); return v }
		p := profile{
			Strategy: "session", Version: number("version"),
			IssuedAt: time.Unix(number("issued_at"), 0).UTC(), ExpiresAt: time.Unix(number("expires_at"), 0).UTC(),
		}
		p.User.ID, p.User.Username, p.User.DisplayName, p.User.Role = text("sub"), text("username"), text("name"), text("role")
		p.State.Theme, p.State.Language, p.State.Nickname, p.State.Note = text("theme"), text("language"), text("nickname"), text("note")
		p.State.Credits = number("credits")
		if p.State.Cart, _ = s.Get("cart").([]string); p.State.Cart == nil {
			p.State.Cart = []string{} // gob has no empty list
		}
		if p.User.ID == "" || !now().Before(p.ExpiresAt) {
			c.Status(http.StatusUnauthorized)
			return
		}
		set(c.Writer.Header())
		_ = json.NewEncoder(c.Writer).Encode(p) // as c.JSON, and with statelab's newline
	})
	return nil
}

// peerStore returns gin-contrib's store of the kind of an address. Its pools
// are as large as they can be of use, since a small one would be all that is
// measured.
func peerStore(address string) (sessions.Store, error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	switch kind(address) {
	case "memory":
		return memstore.NewStore(secret), nil
	case "cookie":
		return cookie.NewStore(secret, secret), nil // signed and encrypted
	case "redis":
		u, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		return redistore.NewStore(peerPool, "tcp", u.Host, "", "", secret)
	case "postgres":
		db, err := sql.Open("pgx", address)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(16) // as statelab
		db.SetMaxIdleConns(16)
		return postgres.NewStore(db, secret)
	}
	return nil, fmt.Errorf("no store of gin-contrib is like %s: use memory, redis://HOST:PORT or postgres://USER@HOST/NAME", address)
}

const peerPool = 64

func kind(address string) string {
	scheme, _, _ := strings.Cut(address, "://")
	return scheme
}

// compareStores measures the session strategy over each store against its peer
// over the same store.
func (b bench) compareStores(ctx context.Context) error {
	b.against = "gin-contrib"
	var pairs, controls []*pair
	for i, address := range b.stores {
		args := []string{"--store=" + address}
		if kind(address) == "postgres" {
			args = []string{"--store=database", "--database=" + address}
		}
		ours, err := b.statelab(ctx, fmt.Sprint("store", i), args...)
		if err != nil {
			return err
		}
		defer ours.stop()
		visits, a, err := b.logIn(ctx, ours.addr, "session")
		if err != nil {
			return err
		}
		var peers [2]target
		for side := range peers {
			if peers[side], err = b.beside(ctx, task{profilePath("session"), a, address}, nil); err != nil {
				return err
			}
			defer peers[side].stop()
		}
		pairs = append(pairs, &pair{name: "session, " + kind(address), servers: [2]target{{ours, visits}, peers[0]}})
		controls = append(controls, &pair{name: "A/A, " + kind(address), servers: peers})
	}
	pairs = append(pairs, controls...)
	if err := b.measure(ctx, pairs); err != nil {
		return err
	}
	if err := b.print(pairs); err != nil {
		return err
	}
	for i, address := range b.stores {
		if kind(address) == "redis" {
			for side, name := range []string{"statelab", b.against} {
				if err := b.roundTrips(ctx, address, name, pairs[i].servers[side]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

var commandCalls = regexp.MustCompile(`(?m)^cmdstat_([^:]+):calls=(\d+)`)

// roundTrips tells what a server asks Redis for during a slice, as Redis counts
// it.
func (b bench) roundTrips(ctx context.Context, address, name string, t target) error {
	o, err := redis.ParseURL(address)
	if err != nil {
		return err
	}
	r := redis.NewClient(o)
	defer func() { _ = r.Close() }()
	if err := r.ConfigResetStat(ctx).Err(); err != nil {
		return err
	}
	n, _, err := t.slice(ctx, b.conns, time.Second)
	if err != nil {
		return err
	}
	text, err := r.Info(ctx, "commandstats").Result()
	if err != nil {
		return err
	}
	var told []string
	for _, m := range commandCalls.FindAllStringSubmatch(text, -1) {
		calls, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return err
		}
		if perRequest := calls / float64(n+b.conns); perRequest >= 0.005 { // each connection has made one more
			told = append(told, fmt.Sprintf("%s %.2f", m[1], perRequest))
		}
	}
	slices.Sort(told)
	fmt.Fprintf(b.stdout, "commands at Redis per request of %s: %s\n", name, strings.Join(told, ", "))
	return nil
}
