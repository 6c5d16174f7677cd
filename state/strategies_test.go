package state

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLessonsAreForTheClassroom(t *testing.T) {
	t.Parallel()
	all := []Definition{{Slug: "always", Mount: MountAlways}, {Slug: "named", Mount: MountNamed}, {Slug: "lesson", Mount: MountLessons}}
	for _, classroom := range []bool{true, false} {
		require.NoError(t, checkNames(all, classroom, nil))
		require.NoError(t, checkNames(all, classroom, []string{"named", "always"}))
		require.ErrorContains(t, checkNames(all, classroom, []string{"always", "nothing"}), "nothing")
	}
	require.NoError(t, checkNames(all, true, []string{"lesson"}))
	require.ErrorContains(t, checkNames(all, false, []string{"named", "lesson"}), "lesson")

	require.Equal(t, []bool{true, false, false}, mounted(all, false))
	require.Equal(t, []bool{true, true, false}, mounted(all, false, "named", "lesson"))
	require.Equal(t, []bool{true, true, true}, mounted(all, true))
}

func mounted(all []Definition, classroom bool, named ...string) []bool {
	var are []bool
	for _, d := range all {
		are = append(are, d.Mounted(classroom, named))
	}
	return are
}
