package catalog

import "time"

// SetPatience sets the time that one use of the database may take.
func (c *Catalog) SetPatience(d time.Duration) { c.patience = d }
