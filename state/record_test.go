package state_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"statelab/state"
)

// What a version has written, every later one reads. The documents in testdata
// are never edited: a new version adds its own.
func TestOlderDocumentsStillLoad(t *testing.T) {
	t.Parallel()
	now := state.Micros(1767323045000006)
	for name, want := range map[string]state.Record{
		"record-v1.json": {
			Kind: state.KindFamily, Strategy: "token",
			Login: state.Login{
				ID: "aGVsbG8gd29ybGQgMTIzNA", Subject: "01M807CMZT1DVTWSRYZMWSFTV1",
				Username: "alice", DisplayName: "Alice 앨리스", Role: "member",
				Theme: "dark", Language: "ko", Nickname: "<ally>", Note: "curiouser & curiouser", Credits: 70, Cart: []string{"책", "a book"},
				Version: 3, IssuedAt: now, ExpiresAt: now.Add(8 * time.Hour),
			},
			Rotation: state.Rotation{
				Current: sha256.Sum256([]byte("current")), Previous: sha256.Sum256([]byte("previous")),
				Salt: [16]byte{1, 2, 255}, RotatedAt: now.Add(time.Minute), Revoked: true,
			},
			Count: 7, Foreign: []byte{0, 255, 'x'}, LastSeen: now.Add(time.Minute), Expires: now.Add(15 * time.Minute),
		},
		"record-v1-least.json": {Kind: state.KindCounter, Expires: now.Add(15 * time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			doc, err := os.ReadFile("testdata/" + name)
			require.NoError(t, err)
			want.Rev = 5
			got, err := state.DecodeRecord(doc, 5)
			require.NoError(t, err)
			require.Equal(t, want, got)

			later := bytes.Replace(doc, []byte(`{"v":1,`), []byte(`{"v":2,`), 1)
			require.NotEqual(t, doc, later)
			_, err = state.DecodeRecord(later, 5)
			require.ErrorIs(t, err, state.ErrNotFound, "a later version is not guessed at")
		})
	}
}

// Nodes of the version before ours may still be running, so what we write is
// what they read until the version says otherwise.
func TestTheDocumentOfAVersionStaysTheSame(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("testdata/record-v1.json")
	require.NoError(t, err)
	r, err := state.DecodeRecord(doc, 1)
	require.NoError(t, err)
	again, err := r.Encode()
	require.NoError(t, err)
	require.Equal(t, string(bytes.TrimSpace(doc)), string(again))
}
