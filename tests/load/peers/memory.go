package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gin-contrib/sessions/memstore" //nolint:depguard // the peer
	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/session"
	"github.com/valyala/fasthttp"
)

// A keeper returns a function that begins a login with these values, in memory.
type keeper func() func(values map[string]any) error

var keepers = map[string]keeper{
	"scs": func() func(map[string]any) error {
		s := scs.New()
		return func(values map[string]any) error {
			ctx, err := s.Load(context.Background(), "")
			if err != nil {
				return err
			}
			for name, value := range values {
				s.Put(ctx, name, value)
			}
			_, _, err = s.Commit(ctx)
			return err
		}
	},
	"memstore": func() func(map[string]any) error {
		s := memstore.NewStore(secret)
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		return func(values map[string]any) error {
			one, err := s.New(r, "session")
			if err != nil {
				return err
			}
			for name, value := range values {
				one.Values[name] = value
			}
			return s.Save(r, httptest.NewRecorder(), one)
		}
	},
	"fiber-session": func() func(map[string]any) error {
		app, s := fiber.New(), session.NewStore()
		return func(values map[string]any) error {
			c := app.AcquireCtx(&fasthttp.RequestCtx{})
			defer app.ReleaseCtx(c)
			one, err := s.Get(c)
			if err != nil {
				return err
			}
			defer one.Release()
			for name, value := range values {
				one.Set(name, value)
			}
			return one.Save()
		}
	},
}

// keepLogins returns how many bytes of memory a login takes among so many, each of which
// belongs to an account of its own.
func keepLogins(name, number string) (float64, error) {
	keep := keepers[name]
	if keep == nil {
		return 0, fmt.Errorf("there is no store %q", name)
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0, err
	}
	begin := keep()
	before := heap()
	for i := range n {
		if err := begin(numbered(i).values()); err != nil {
			return 0, err
		}
	}
	each := float64(heap()-before) / float64(n)
	runtime.KeepAlive(begin)
	return each, nil
}

// numbered returns the profile of a new login to an account.
func numbered(i int) (p profile) {
	p.User.ID, p.User.Username, p.User.DisplayName, p.User.Role = fmt.Sprintf("%026d", i), fmt.Sprintf("user-%d", i), fmt.Sprintf("User %d", i), "member"
	p.State.Theme, p.State.Language, p.State.Credits, p.Version = "light", "en", 100, 1
	p.IssuedAt = time.Now()
	p.ExpiresAt = p.IssuedAt.Add(8 * time.Hour)
	return p
}

// heap returns how many bytes are in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one has swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) // #nosec G115 -- bytes of memory
}
