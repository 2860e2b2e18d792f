package augment_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/augment/kind"
	"github.com/islm-dev/islm/augment/packs"
	"github.com/islm-dev/islm/sdk"
)

// BenchmarkSynonyms wants ISLM_WORDNET, a folder with WordNet's files.
func BenchmarkSynonyms(b *testing.B) {
	dir := os.Getenv("ISLM_WORDNET")
	if dir == "" {
		b.Skip("ISLM_WORDNET is not set")
	}
	w, err := kind.OpenWordNet(dir)
	require.NoError(b, err)
	p, ds := packs.Load("eda")
	require.Empty(b, ds)
	e, ds := augment.NewEngine([]*augment.Pack{p}, augment.Options{Resources: augment.Resources{Thesaurus: w}, Skip: []string{"random-insertion", "random-exchange", "random-deletion"}})
	require.Empty(b, ds)
	ex := sdk.Example{ID: "1", Text: "The company said on Monday that profit rose sharply in the third quarter, as demand for its products grew.", Labels: map[string]sdk.Label{"sentiment": {Values: []string{"positive"}}}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e.Variant(&ex, augment.Draw{Epoch: i})
	}
}
