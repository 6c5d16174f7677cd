package auth

import "time"

// SetPatience sets how long a password waits for its turn to be hashed.
func (h *Argon2id) SetPatience(d time.Duration) { h.gate.patience = d }
