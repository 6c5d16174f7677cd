package rest

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// It does not run beside other tests, which would take the buffer from the pool.
func TestALargeAnswerDoesNotKeepItsMemory(t *testing.T) {
	for range 100 {
		w := httptest.NewRecorder()
		Write(w, http.StatusOK, strings.Repeat("x", 2*MaxBody))
		require.Equal(t, 2*MaxBody+len("\"\"\n"), w.Body.Len())
		body, _ := buffers.Get().(*bytes.Buffer)
		require.LessOrEqual(t, body.Cap(), MaxBody)
	}
}
