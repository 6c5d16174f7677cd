package memory

// Bytes returns what counts for the cap.
func (s *Store) Bytes() int64 { return s.bytes.Load() }
