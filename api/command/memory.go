package command

import (
	"runtime"
	"runtime/metrics"

	"github.com/alexedwards/argon2id"

	"statelab/auth"
)

// garbageFloor is how much garbage may lie about before it is collected,
// however little is alive, in bytes.
const garbageFloor = 16 << 20

// spareCollections keeps the collector from running every few hundred requests:
// a small server has 2 MB alive, and Go collects at 4. It returns a block to
// keep: the collector takes it for alive, and the system gives no memory for it,
// since nobody touches it. A higher GOGC would do the same until more is alive;
// its percentage, meant for 2 MB, lets hundreds pass once there are 40. A limit of
// the runtime (GOGC=off, GOMEMLIMIT=48MiB) has the collector run without a rest once
// as much is alive. 40,000 requests took 10 collections at 67 MB, 63 at 49 MB without
// the block, and 6 at 80 MB with the limit.
// An operator who sets GOGC decides alone.
func spareCollections(getenv func(string) string) []byte {
	if getenv("GOGC") != "" {
		return nil
	}
	return make([]byte, garbageFloor)
}

// smallHeap is how much may be alive besides hashes, in bytes, for garbage to be
// collected after each one: that takes some milliseconds, and a hash takes 50.
const smallHeap = 2 * garbageFloor

// collectSpent returns a function that collects what a hash leaves behind. Go
// alone would wait until that is as much as is alive, the memory of the hashes
// that run included, and hold twice as many. Where much else is alive, as much
// garbage is nothing new.
func collectSpent(params argon2id.Params) func() {
	hashes := uint64(runtime.GOMAXPROCS(0)) * uint64(params.Memory) << 10 // #nosec G115 -- not negative
	return func() {
		alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		if metrics.Read(alive); alive[0].Value.Uint64() < hashes+garbageFloor+smallHeap {
			runtime.GC()
		}
	}
}

// newHasher returns the hasher of a server. GOGC in the environment wins over
// what is done here about garbage.
func newHasher(getenv func(string) string) *auth.Argon2id {
	params := auth.ProductionParams()
	h := auth.NewArgon2id(params)
	if getenv("GOGC") == "" {
		h.Spent = collectSpent(params)
	}
	return h
}
