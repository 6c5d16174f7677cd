package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
	"statelab/state/store"
	"statelab/state/store/storetest"
)

// BenchmarkLoad is what a request pays for a login that the server keeps.
func BenchmarkLoad(b *testing.B) {
	storetest.Each(b, func(b *testing.B, open storetest.Open) {
		s, _ := open(b, store.Options{})
		now := state.MicrosOf(time.Now())
		k, r := state.KeyOf("benchmark"), storetest.Record(state.KindLogin, "01M807CMZT1DVTWSRYZMWSFTV1", now.Add(time.Hour))
		r.Login.ID, r.Login.IssuedAt, r.Login.ExpiresAt, r.LastSeen = k.String(), now, now.Add(8*time.Hour), now
		r.Rotation = state.Rotation{Current: [32]byte{1, 2, 3}, Salt: [16]byte{4}}
		require.NoError(b, s.Create(b.Context(), k, r))
		b.ReportAllocs()
		for b.Loop() {
			_, err := s.Load(b.Context(), k)
			require.NoError(b, err)
		}
	})
}
