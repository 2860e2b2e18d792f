package features

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/islm-dev/islm/sdk"
)

// fields splits at spaces.
func fields(text string) []sdk.Token {
	var words []sdk.Token
	at := 0
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\n' }) {
		start := at + strings.Index(text[at:], w)
		at = start + len(w)
		words = append(words, sdk.Token{Start: start, End: at})
	}
	return words
}

// named gives the class names of one feature of each word.
func named(t *testing.T, spec sdk.FeatureSpec, text string) string {
	x, ds := New([]sdk.FeatureSpec{spec})
	require.Empty(t, ds)
	var names []string
	for _, row := range x.Extract(text, fields(text)) {
		require.Len(t, row, 1)
		names = append(names, x.Spec().Classes[0][row[0]])
	}
	return strings.Join(names, " ")
}

func TestKinds(t *testing.T) {
	units := []sdk.FeatureClass{{Name: "mass", Words: []string{"mg", "kg", "Mg"}}, {Name: "dose", Match: `\d+(mg|ml)`}, {Name: "volume", Words: []string{"ml", "mg"}, Match: "5ml|l"}}
	for _, c := range []struct {
		spec       sdk.FeatureSpec
		text, want string
	}{
		{sdk.FeatureSpec{Kind: sdk.FeatureShape}, "profit London EU I O'Brien iPhone 1996 1,000.5 B12 , 北京 Ünlü ÉÉ U.S. well-known 50% MacBook A股 नमस्ते",
			"lower capital upper initial mixed mixed number numeric alnum sign caseless capital upper upper lower numeric mixed upper caseless"},
		{sdk.FeatureSpec{Kind: sdk.FeatureCasing}, "The London EU iPhone 12 . The . profit A",
			"first capital upper mixed none none first none lower capital"},
		{sdk.FeatureSpec{Kind: sdk.FeatureSentence}, "SOCCER - JAPAN GET LUCKY WIN", "all-capitals all-capitals all-capitals all-capitals all-capitals all-capitals"},
		{sdk.FeatureSpec{Kind: sdk.FeatureSentence}, "I A .\nA Weekly Market Report of Note\nJAPAN 2 !  ok", "none none none title-case title-case title-case title-case title-case title-case all-capitals all-capitals all-capitals none"},
		{sdk.FeatureSpec{Kind: sdk.FeatureDigits}, "1 12 123 1234 12345 1996 2100 1.5 -0,5 1,000.5 1996-08-22 12/5 2024年3月 12:30 3rd B12 ５ word",
			"one two three four many year four decimal decimal grouped date date date time ordinal other other none"},
		{sdk.FeatureSpec{Kind: sdk.FeatureClasses, Classes: units}, "mg ml 5mg 5ml l MG 5mgs Mg", "mass volume dose dose volume none none mass"},
		{sdk.FeatureSpec{Kind: sdk.FeatureClasses, Classes: units, Fold: true}, "MG ML 5MG", "mass volume dose"},
	} {
		c.spec.Name = "f"
		assert.Equal(t, c.want, named(t, c.spec, c.text), "%s of %q", c.spec.Kind, c.text)
	}
}

func TestSpec(t *testing.T) {
	x, ds := New(Default())
	require.Empty(t, ds)
	spec := x.Spec()
	assert.Equal(t, []string{"shape", "sentence"}, spec.Names)
	assert.Equal(t, []int{11, 3}, spec.Counts())
	assert.Len(t, spec.Digest, 64)
	same, _ := New(Default())
	assert.Equal(t, spec, same.Spec())
	other, _ := New(Default()[:1])
	assert.NotEqual(t, spec.Digest, other.Spec().Digest)
	assert.Empty(t, x.Extract("", nil))
	none, ds := New(nil)
	require.Empty(t, ds)
	assert.Equal(t, [][]uint16{{}}, none.Extract("a", []sdk.Token{{Start: 0, End: 1}}))
}

func TestProblemsComeAllAtOnce(t *testing.T) {
	x, ds := New([]sdk.FeatureSpec{
		{Kind: sdk.FeatureShape},
		{Name: "a b", Kind: "shape.v1"},
		{Name: "c", Kind: sdk.FeatureClasses},
		{Name: "c", Kind: sdk.FeatureShape, Fold: true},
		{Name: "d", Kind: sdk.FeatureClasses, Classes: []sdk.FeatureClass{{Name: "none", Words: []string{"a"}}, {Name: "x"}, {Name: "x", Match: "("}, {Name: "y", Words: []string{"two words", ""}}}},
	})
	assert.Nil(t, x)
	var got []string
	for _, d := range ds {
		got = append(got, d.Code+" "+d.Path)
	}
	assert.Equal(t, []string{
		"feature.name [0]", "feature.name [1].name", "feature.kind [1].kind", "feature.classes [2]", "feature.duplicate [3].name", "feature.classes [3]",
		"feature.class [4].classes[0].name", "feature.class [4].classes[1]", "feature.class [4].classes[2].name", "feature.match [4].classes[2].match",
		"feature.word [4].classes[3].words[0]", "feature.word [4].classes[3].words[1]",
	}, got)
}

// Whatever the text, every class is one that the Spec names.
func TestClassesExist(t *testing.T) {
	specs := append(Default(), sdk.FeatureSpec{Name: "digits", Kind: sdk.FeatureDigits}, sdk.FeatureSpec{Name: "casing", Kind: sdk.FeatureCasing},
		sdk.FeatureSpec{Name: "unit", Kind: sdk.FeatureClasses, Classes: []sdk.FeatureClass{{Name: "x", Match: ".*a"}}})
	x, ds := New(specs)
	require.Empty(t, ds)
	counts := x.Spec().Counts()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		words := fields(text)
		rows := x.Extract(text, words)
		if len(rows) != len(words) {
			t.Fatalf("%d rows for %d words", len(rows), len(words))
		}
		for _, row := range rows {
			for f, class := range row {
				if int(class) >= counts[f] {
					t.Fatalf("class %d of feature %d", class, f)
				}
			}
		}
	})
}
