package kind_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment"
)

// The examples of the reference are rules with tests: all outcomes of each text.
func TestReferenceExamples(t *testing.T) {
	p, ds := augment.LoadDir("testdata/reference", augment.LoadOptions{})
	require.Empty(t, ds, "%s", ds)
	rep := p.Test(augment.TestOptions{NoMutants: true})
	for _, r := range rep.Results {
		if r.Failure != "" {
			t.Errorf("%s %s (line %d): %s\n%s", r.Rule, r.Name, r.Line, r.Failure, r.Detail)
		}
		require.Empty(t, r.Skipped, "%s", r.Rule)
	}
}
