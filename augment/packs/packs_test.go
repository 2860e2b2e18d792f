package packs_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/packs"
)

// Every pack that ships passes its tests and the mutation check.
func TestShippedPacks(t *testing.T) {
	require.NotEmpty(t, packs.Names())
	for _, name := range packs.Names() {
		p, ds := packs.Load(name)
		require.Empty(t, ds, "%s", ds)
		rep := p.Test(augment.TestOptions{})
		require.True(t, rep.OK(), "%s: %s", name, rep.Diagnostics())
	}
}
