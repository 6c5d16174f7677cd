package store

// What the tests of SQL's plans and sweeps look at.
const (
	SQLLoad       = sqlLoad
	SQLBySubject  = sqlBySubject
	SQLLogins     = sqlLogins
	SQLDelete     = sqlDelete
	SQLRevoke     = sqlRevoke
	SQLSweep      = sqlSweep
	SQLSweepBatch = sqlSweepBatch
)

// ParseRedis is how NewRedis reads its address.
var ParseRedis = parseRedis
