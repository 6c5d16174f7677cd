package state

import (
	"net/http"
	"time"
)

// SetClock makes a GinStore judge expiry by another clock than that of the machine.
func (s *GinStore) SetClock(now func() time.Time) { s.now = now }

// OpenAndRefresh renews the login of a request as a server does.
func OpenAndRefresh(s Strategy, w http.ResponseWriter, r *http.Request, presented string) (Login, Credential, error) {
	h, err := s.Open(r, presented)
	if err != nil {
		return h.Login, Credential{}, err
	}
	return s.Refresh(w, r, h)
}

// OpenAndEnd ends the login of a request as a server does.
func OpenAndEnd(s Strategy, w http.ResponseWriter, r *http.Request, presented string) (Login, error) {
	h, err := s.Open(r, presented)
	if err != nil {
		return h.Login, err
	}
	return h.Login, s.End(w, r, h)
}
