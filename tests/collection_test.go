package tests

import (
	"os"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"statelab/tests/harness"
)

// The collection walks through every strategy, in parallel: a folder each, with
// the same requests.
func TestTheCollectionWalksThroughEveryStrategy(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("postman/statelab.postman_collection.json")
	require.NoError(t, err)
	var collection struct {
		Item []struct {
			Name string `json:"name"`
			Item []struct {
				Name string `json:"name"`
			} `json:"item"`
		} `json:"item"`
	}
	require.NoError(t, json.Unmarshal(text, &collection))
	walks := map[string][]string{}
	for _, folder := range collection.Item {
		for _, request := range folder.Item {
			walks[folder.Name] = append(walks[folder.Name], request.Name)
		}
	}
	for _, slug := range harness.Strategies {
		require.NotEmpty(t, walks[slug], slug)
		require.Equal(t, walks[harness.Strategies[0]], walks[slug], slug)
	}
}
