package vocab

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

func TestSparsemax(t *testing.T) {
	// Martins and Astudillo 2016: tau = (0.9 + 0.8 - 1) / 2.
	out := sparsemax([]entry{{7, 0.9}, {3, 0.8}, {1, 0.1}})
	require.Len(t, out, 2)
	require.EqualValues(t, 7, out[0].at)
	require.InDelta(t, 0.55, out[0].value, 1e-12)
	require.InDelta(t, 0.45, out[1].value, 1e-12)
	require.Equal(t, []entry{{2, 1}}, sparsemax([]entry{{2, 0.3}}))
	require.Empty(t, sparsemax(nil))
}

// A new word begins as the old ones that stand where it stands.
func TestSimilarRows(t *testing.T) {
	base := tiny(t, "the", "bus", "tram", "stops", "here", "eat", "ripe", "pears", "plums", "now", "tro", "##lley", "rare", "##ly")
	var all []string
	for range 4 {
		all = append(all, "the bus stops here", "the tram stops here", "the trolley stops here", "eat ripe pears now", "eat ripe plums now")
	}
	all = append(all, "the rarely stops here")
	s, err := Choose(t.Context(), Request{Base: base, Max: All, Terms: []sdk.Term{{Text: "trolley"}, {Text: "rarely"}}, Texts: texts(all...)})
	require.NoError(t, err)
	rows, err := s.Rows(t.Context(), "similar", texts(all...))
	require.NoError(t, err)
	again, err := s.Rows(t.Context(), "similar", texts(all...))
	require.NoError(t, err)
	require.Equal(t, rows, again)
	require.Equal(t, "trolley", s.Added[0].Content)
	var sum, vehicles float32
	for i, id := range rows[0].From {
		sum += rows[0].Weights[i]
		if p := base.Piece(id); p == "bus" || p == "tram" {
			vehicles += rows[0].Weights[i]
		}
	}
	require.InDelta(t, 1, sum, 1e-6)
	require.Greater(t, vehicles, float32(0.8))
	require.Equal(t, s.Added[1].Pieces, rows[1].From) // seen once: the mean of its pieces
	require.Nil(t, rows[1].Weights)
	_, err = s.Rows(t.Context(), "similar", nil)
	require.ErrorContains(t, err, "texts of the domain")
	_, err = s.Rows(t.Context(), "guess", nil)
	require.ErrorContains(t, err, "unknown way")
}

func TestChooseLeavesIdleTerms(t *testing.T) {
	base := tiny(t, "switch", "##gear", "bus", "bar", "the")
	req := Request{Base: base, Max: All, Saved: 2, Terms: []sdk.Term{{Text: "switchgear"}, {Text: "bus bar"}, {Text: "gearbar"}}, Texts: texts("the switchgear", "the bus bar", "switchgear")}
	s, err := Choose(t.Context(), req)
	require.NoError(t, err)
	require.Len(t, s.Choices, 1)
	require.Equal(t, []Choice{{Text: "bus bar", Domain: true, Count: 1, Pieces: 2, Saved: 1}}, s.Idle)
	req.Texts = nil // nothing is known of what they save
	s, err = Choose(t.Context(), req)
	require.NoError(t, err)
	require.Len(t, s.Choices, 2)
}
