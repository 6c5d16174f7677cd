package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const passing = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"run","Package":"p","Test":"TestA/one"}
{"Action":"run","Package":"p","Test":"TestA/two"}
{"Action":"pass","Package":"p","Test":"TestA/one","Elapsed":2}
{"Action":"skip","Package":"p","Test":"TestA/two","Elapsed":0.5}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0.1}
{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p","Test":"TestB","Elapsed":1}
{"Action":"output","Package":"p","Output":"PASS\n"}
{"Action":"output","Package":"p","Output":"ok  \tp\t3.100s\n"}
{"Action":"pass","Package":"p","Elapsed":3.1}
`

func reportOf(text string) (int, string) {
	var out strings.Builder
	status := run(strings.NewReader(text), &out)
	return status, out.String()
}

func TestAPassingRunIsSummedUp(t *testing.T) {
	t.Parallel()
	status, out := reportOf(passing)
	require.Zero(t, status)
	require.Equal(t, "ok  \tp\t3.100s\n\nslowest tests, with their sub-tests\n     2.5 s  p.TestA\n     1.0 s  p.TestB\n\n"+
		"slowest packages\n     3.1 s  p\n\n2 passed, 0 failed, 1 skipped\n", out)
}

func TestAFailureIsShownAndFails(t *testing.T) {
	t.Parallel()
	status, out := reportOf(`{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: why\n"}
{"Action":"fail","Package":"p","Test":"TestA","Elapsed":1}
{"Action":"fail","Package":"p","Elapsed":1}
`)
	require.Equal(t, 1, status)
	require.Contains(t, out, "a_test.go:1: why")
	require.Contains(t, out, "0 passed, 1 failed, 0 skipped\n")
	status, out = reportOf(`{"Action":"build-output","ImportPath":"p","Output":"p.go:1: syntax error\n"}
{"Action":"build-fail","ImportPath":"p"}
`)
	require.Equal(t, 1, status)
	require.Contains(t, out, "syntax error")
}
