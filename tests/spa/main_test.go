package main

import (
	"testing"

	"statelab/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
