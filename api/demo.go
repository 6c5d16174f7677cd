package api

import (
	"context"

	"statelab/api/rest"
	"statelab/auth"
)

// DemoAccount is an account of the classroom. Its password is public.
type DemoAccount struct {
	Username, Password, DisplayName, Role string
}

// DemoAccounts are the accounts that a classroom starts with.
func DemoAccounts() []DemoAccount {
	return []DemoAccount{
		{"alice", "wonderland", "Alice", auth.RoleMember},
		{"bob", "cheshire-cat", "Bob", auth.RoleMember},
		{"teacher", "queen-of-hearts", "Teacher", auth.RoleAdmin},
	}
}

// PublishedPasswords are those of the demo accounts. A service accepts none of them at a
// sign-in, and refuses them as new passwords: it does not start beside a demo account with
// its published password, so one account that chose it would keep the service down.
func PublishedPasswords() []string {
	var all []string
	for _, d := range DemoAccounts() {
		all = append(all, d.Password)
	}
	return all
}

// FindDemoAccount returns the username of a demo account that is in the database with its
// published password, or "". An account with the name and another password belongs to a
// user.
func (s *Server) FindDemoAccount(ctx context.Context) (string, error) {
	for _, d := range DemoAccounts() {
		switch opens, err := s.accounts.Opens(ctx, d.Username, d.Password); {
		case err != nil:
			return "", err
		case opens:
			return d.Username, nil
		}
	}
	return "", nil
}

// AddDemoAccounts makes the demo accounts that do not exist yet. If the database is down,
// the error wraps state.ErrUnavailable, and the server makes them once the database
// answers: before the first sign-in or registration, and before /readyz reports ready.
func (s *Server) AddDemoAccounts(ctx context.Context) error {
	s.config.Process.demo.Store(true)
	return s.CompleteDemoAccounts(ctx)
}

// CompleteDemoAccounts does what AddDemoAccounts has left undone. Parallel calls are safe: one
// of them makes each account.
func (s *Server) CompleteDemoAccounts(ctx context.Context) error {
	if !s.config.Process.demo.Load() {
		return nil
	}
	for _, d := range DemoAccounts() {
		if err := s.accounts.Demo(ctx, d.Username, d.Password, d.DisplayName, d.Role); err != nil {
			return rest.Failed(err)
		}
	}
	s.config.Process.demo.Store(false)
	return nil
}
