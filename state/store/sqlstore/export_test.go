package sqlstore

// What the tests of plans and sweeps look at.
const (
	LoadRecord    = loadRecord
	LoadSubject   = loadSubject
	ListLogins    = listLogins
	DeleteLogins  = deleteLogins
	RevokeLogins  = revokeLogins
	DeleteExpired = deleteExpired
	SweepBatch    = sweepBatch
)
