package kg

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// linkedStretches are the mentions of a text as "surface→entity".
func linkedStretches(l *Linker, text string) string {
	var out []string
	for _, m := range l.Link(text) {
		out = append(out, fmt.Sprintf("%s→%d", text[m.Start:m.End], m.Entity))
	}
	return strings.Join(out, " | ")
}

func TestAbbreviations(t *testing.T) {
	g := newLinkFixture(
		linkEntity{names: []string{"myotonic dystrophy"}, typ: "Disease"},
		linkEntity{names: []string{"ataxia telangiectasia"}, typ: "Disease"},
		linkEntity{names: []string{"DM locus"}, typ: "Gene"},
		linkEntity{names: []string{"HD"}, typ: "Gene"},
		linkEntity{names: []string{"Huntington disease"}, typ: "Disease"},
		linkEntity{names: []string{"von Hippel-Lindau disease"}, typ: "Disease"},
	)
	for _, c := range []struct{ text, want string }{
		{"Myotonic dystrophy (DM) is; DM and the DM locus, DMD, dm", "Myotonic dystrophy→0 | DM→0 | DM→0 | DM locus→2"},
		{"myotonic dystrophy ( DM ) and DM", "myotonic dystrophy→0 | DM→0 | DM→0"},
		{"DM, that is myotonic dystrophy [DM; 160900]", "DM→0 | myotonic dystrophy→0 | DM→0"},
		{"ataxia telangiectasia ( A - T ) . A - T , A-T", "ataxia telangiectasia→1 | A - T→1 | A - T→1"},
		{"Huntington disease (HD)", "Huntington disease→4 | HD→4"}, // the text's definition holds, not the graph's name
		{"the HD gene", "HD→3"},
		{"von Hippel-Lindau disease (VHL)", "von Hippel-Lindau disease→5 | VHL→5"},
		{"von Hippel-Lindau disease (VLH)", "von Hippel-Lindau disease→5"}, // letters out of order
		{"myotonic dystrophy (see DM)", "myotonic dystrophy→0"},
		{"myotonic dystrophy (1993)", "myotonic dystrophy→0"},
		{"myotonic dystrophy (DM", "myotonic dystrophy→0"},
		{"myotonic dystrophy (YD)", "myotonic dystrophy→0"}, // no word begins with it
		{"myotonic dystrophy (md)", "myotonic dystrophy→0"}, // words in small letters explain, they do not abbreviate
		{"myotonic dystrophy (Myotonic dystrophy)", "myotonic dystrophy→0 | Myotonic dystrophy→0"},
		{"(DM) DM ()", ""},
	} {
		assert.Equal(t, c.want, linkedStretches(newLinker(g, LinkOptions{Abbreviations: true}), c.text), c.text)
	}
	assert.Equal(t, "myotonic dystrophy→0", linkedStretches(newLinker(g, LinkOptions{}), "myotonic dystrophy (DM) DM"))
	l := newLinker(g, LinkOptions{Abbreviations: true})
	const text = "myotonic dystrophy (DM) is DM"
	mentions, why := l.Explain(text)
	assert.Equal(t, l.Link(text), mentions)
	assert.Len(t, why, 3)
}

// FuzzAbbreviations: mentions are in order, apart and on rune boundaries,
// whatever the text.
func FuzzAbbreviations(f *testing.F) {
	g := newLinkFixture(linkEntity{names: []string{"alpha beta"}, typ: "T"}, linkEntity{names: []string{"AB"}, typ: "T"}, linkEntity{names: []string{"甲乙丙"}, typ: "T"})
	l := newLinker(g, LinkOptions{Abbreviations: true})
	f.Add("alpha beta (AB) AB ABAB 甲乙丙 (甲丙) alpha beta (A\xff)")
	f.Add("alpha beta[A-B] A-B-A-B")
	f.Fuzz(func(t *testing.T, text string) {
		last := 0
		for _, m := range l.Link(text) {
			if m.Start < last || m.End <= m.Start || m.End > len(text) {
				t.Fatalf("mention %d-%d after %d of %q", m.Start, m.End, last, text)
			}
			last = m.End
		}
	})
}
