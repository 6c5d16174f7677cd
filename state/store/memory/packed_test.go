package memory

import (
	"math/rand" //nolint:depguard // testing/quick takes this one
	"reflect"
	"testing"
	"testing/quick"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/tests/seeded"
)

// The records have a value in every member, also in those that a later version adds.
func TestAPackedRecordIsComplete(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(seeded.Rand(t).Int64())) // #nosec G404 -- it must be repeatable
	draw := func() state.Record {
		v, ok := quick.Value(reflect.TypeFor[state.Record](), random)
		require.True(t, ok)
		r := v.Interface().(state.Record)
		if len(r.Login.Cart) == 0 {
			r.Login.Cart = nil // an empty cart is kept as none
		}
		return r
	}
	var p packed
	for range 1000 {
		r := draw()
		p.set(&r) // over what was there
		got := p.record()
		require.Equal(t, r, got)
		require.Equal(t, sizeOf(&r), sizeOf(&got), "what was counted is what is taken off")
		require.Equal(t, r.Login.Subject, p.subject())
	}
	empty := state.Record{}
	p.set(&empty)
	require.Equal(t, empty, p.record())
	require.Equal(t, packed{texts: p.texts}, p, "what is empty takes no memory")
}
