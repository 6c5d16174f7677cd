package catalog_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/api/catalog"
	"statelab/state/store/sqlstore"
	"statelab/state/store/storetest"
)

// eachDatabase runs a test on a new database of each kind.
func eachDatabase(t *testing.T, test func(t *testing.T, address string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite:"+t.TempDir()+"/x.db")
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, storetest.Database(t)+storetest.Patient)
	})
}

// open opens a node's catalogue. On a busy machine the patience of a node that waits
// for another one's migration can end: then it starts again, as an operator would
// let it.
func open(t *testing.T, address string) *catalog.Catalog {
	var db *sqlstore.Database
	var err error
	for range 20 {
		db, err = sqlstore.OpenDatabase(t.Context(), address, sqlstore.Migrations{Table: "catalog_version", Files: catalog.Migrations()})
		if err == nil {
			break
		}
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	c := catalog.New(db.DB, func() time.Time { return now }, time.Minute)
	return c
}

// Nodes that find another one migrating ask again after a second: this test takes
// some seconds, and next to no time of the processors.
func TestCatalog(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, address string) {
		ctx := t.Context()
		// Several nodes start at once: the items are made once.
		var nodes [3]*catalog.Catalog
		var all sync.WaitGroup
		for i := range nodes {
			all.Go(func() { nodes[i] = open(t, address) })
		}
		all.Wait()
		require.NotContains(t, nodes, (*catalog.Catalog)(nil))
		c := nodes[0]
		items, first, err := c.Read(ctx)
		require.NoError(t, err)
		require.Len(t, items, 2000)
		names := map[string]bool{}
		for i, item := range items {
			require.Regexp(t, `^SKU-[0-9]{4}$`, item.SKU)
			require.Regexp(t, `^[A-Z][a-z]+ [a-z]+ [a-z]+$`, item.Name)
			require.GreaterOrEqual(t, item.Price, int64(500))
			require.Less(t, item.Price, int64(20500))
			require.False(t, names[item.Name])
			require.True(t, i == 0 || items[i-1].SKU < item.SKU)
			names[item.Name] = true
		}
		require.Equal(t, catalog.Item{SKU: "SKU-0001", Name: "Amber bamboo bag", Price: 8419}, items[0])

		changed, err := c.SetPrice(ctx, "SKU-0001", 4200)
		require.NoError(t, err)
		require.Equal(t, catalog.Item{SKU: "SKU-0001", Name: "Amber bamboo bag", Price: 4200}, changed)
		again, second, err := nodes[1].Read(ctx)
		require.NoError(t, err)
		require.Equal(t, changed, again[0])
		require.Equal(t, items[1:], again[1:])
		require.Equal(t, first.Number+1, second.Number)
		require.True(t, second.WrittenAt.Equal(time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)))
		alone, err := c.Version(ctx)
		require.NoError(t, err)
		require.Equal(t, second, alone)

		for _, sku := range []string{"SKU-9999", "", "SKU-0001\x00", "\xff", "' OR 1=1"} {
			_, err = c.SetPrice(ctx, sku, 1)
			require.ErrorIs(t, err, catalog.ErrNotFound, "%q", sku)
		}
		alone, err = c.Version(ctx)
		require.NoError(t, err)
		require.Equal(t, second, alone, "nothing has changed")

		require.NoError(t, c.Reset(ctx))
		again, third, err := c.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, items, again)
		require.Equal(t, second.Number+1, third.Number)

		// Writers beside each other: each makes a version.
		for i := range 10 {
			all.Go(func() {
				if _, err := nodes[i%3].SetPrice(ctx, "SKU-0002", int64(i+1)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		alone, err = c.Version(ctx)
		require.NoError(t, err)
		require.Equal(t, third.Number+10, alone.Number)
	})
}
