package main

import (
	"encoding/json"
	"net"
	"net/http"

	"github.com/alexedwards/scs/v2"
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/session"
)

const loginPath = "/session/login"

// scsPeer keeps a value for each member in scs, in memory.
func scsPeer(j job, listener net.Listener) error {
	sessions := scs.New()
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+loginPath, func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.RenewToken(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		for name, value := range j.profile.values() {
			sessions.Put(r.Context(), name, value)
		}
		_, _ = w.Write([]byte("{}"))
	})
	mux.HandleFunc("GET "+j.Path, func(w http.ResponseWriter, r *http.Request) {
		p, ok := profileOf(func(name string) any { return sessions.Get(r.Context(), name) })
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		j.headers(w.Header().Set)
		_ = json.NewEncoder(w).Encode(p)
	})
	return http.Serve(listener, sessions.LoadAndSave(mux)) // #nosec G114 -- for a minute, on this machine
}

// fiberPeer keeps the same in Fiber's sessions, in memory.
func fiberPeer(j job, listener net.Listener) error {
	app := fiber.New()
	app.Use(session.New())
	app.Post(loginPath, func(c fiber.Ctx) error {
		s := session.FromContext(c)
		if err := s.Regenerate(); err != nil {
			return err
		}
		for name, value := range j.profile.values() {
			s.Set(name, value)
		}
		return c.SendString("{}")
	})
	app.Get(j.Path, func(c fiber.Ctx) error {
		s := session.FromContext(c)
		p, ok := profileOf(func(name string) any { return s.Get(name) })
		if !ok {
			return c.SendStatus(http.StatusUnauthorized)
		}
		j.headers(c.Set)
		return json.NewEncoder(c).Encode(p)
	})
	return app.Listener(listener, fiber.ListenConfig{DisableStartupMessage: true})
}
