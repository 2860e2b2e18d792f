package features

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// None is the class of a word of which a feature says nothing, and of whatever
// belongs to no word; it is class 0 of every feature.
const None = "none"

// Spec says what an Extractor gives.
type Spec struct {
	Names   []string   `json:"names"`   // of the features, in order
	Classes [][]string `json:"classes"` // of each feature the names of its classes; the first is None
	// Digest is the sha256 of the declarations, in hexadecimal. Kinds carry their
	// version in their name, so equal digests give equal classes.
	Digest string `json:"digest"`
}

// Counts gives the number of classes of each feature, None included.
func (s Spec) Counts() []int {
	counts := make([]int, len(s.Classes))
	for i, c := range s.Classes {
		counts[i] = len(c)
	}
	return counts
}

// Default declares the features used where nobody declares any: the shape of a
// word, and whether its sentence is all capitals or a title.
func Default() []sdk.FeatureSpec {
	return []sdk.FeatureSpec{{Name: "shape", Kind: sdk.FeatureShape}, {Name: "sentence", Kind: sdk.FeatureSentence}}
}

// Extractor computes features. It is safe for concurrent use.
type Extractor struct {
	specs []sdk.FeatureSpec
	lists []*classList // of each feature; nil unless it is of kind classes.v0
	spec  Spec
}

// classList is the content of a feature of kind classes.v0.
type classList struct {
	fold    bool
	words   map[string]uint16 // the first class that lists the word
	matches []classMatch      // by class
}

type classMatch struct {
	class uint16
	expr  *regexp.Regexp
}

// New makes an Extractor, or returns all that is wrong with the declarations.
func New(specs []sdk.FeatureSpec) (*Extractor, sdk.Diagnostics) {
	ds := sdk.CheckFeatures(specs)
	if ds.HasErrors() {
		return nil, ds
	}
	x := &Extractor{specs: specs, lists: make([]*classList, len(specs))}
	for i, s := range specs {
		names := append([]string{None}, kindClasses(s.Kind)...)
		if s.Kind == sdk.FeatureClasses {
			list := &classList{fold: s.Fold, words: map[string]uint16{}}
			for j, c := range s.Classes {
				names = append(names, c.Name)
				class := uint16(j + 1)
				for _, w := range c.Words {
					if s.Fold {
						w = strings.ToLower(w)
					}
					if _, known := list.words[w]; !known {
						list.words[w] = class
					}
				}
				if c.Match == "" {
					continue
				}
				expr, err := regexp.Compile(`^(?:` + c.Match + `)$`)
				if err != nil {
					ds.Errorf("feature.match", "the pattern of class %q of feature %q: %v", c.Name, s.Name, err)
					return nil, ds
				}
				list.matches = append(list.matches, classMatch{class, expr})
			}
			x.lists[i] = list
		}
		x.spec.Names = append(x.spec.Names, s.Name)
		x.spec.Classes = append(x.spec.Classes, names)
	}
	canonical, err := json.Marshal(specs)
	if err != nil { // strings and booleans always marshal
		ds.Errorf("feature.digest", "%v", err)
		return nil, ds
	}
	x.spec.Digest = fmt.Sprintf("%x", sha256.Sum256(canonical))
	return x, ds
}

// Spec says which features there are.
func (x *Extractor) Spec() Spec { return x.spec }

// Extract gives each word one class for each feature, as an index in
// Spec.Classes. text is the text as written, before a tokenizer changes it;
// words are stretches of it, in order and within it.
func (x *Extractor) Extract(text string, words []sdk.Token) [][]uint16 {
	rows := make([][]uint16, len(words))
	flat := make([]uint16, len(words)*len(x.specs))
	for i := range rows {
		rows[i], flat = flat[:len(x.specs):len(x.specs)], flat[len(x.specs):]
	}
	var sentences []sentence
	for f, s := range x.specs {
		if sentences == nil && (s.Kind == sdk.FeatureSentence || s.Kind == sdk.FeatureCasing) {
			sentences = splitSentences(text, words)
		}
		if s.Kind == sdk.FeatureSentence || s.Kind == sdk.FeatureCasing {
			for _, sent := range sentences {
				sent.classes(s.Kind, text, words, func(word int, class uint16) { rows[word][f] = class })
			}
			continue
		}
		for i, w := range words {
			word := text[w.Start:w.End]
			switch s.Kind {
			case sdk.FeatureShape:
				rows[i][f] = shapeOf(word)
			case sdk.FeatureDigits:
				rows[i][f] = digitsOf(word)
			case sdk.FeatureClasses:
				rows[i][f] = x.lists[f].of(word)
			}
		}
	}
	return rows
}

// of gives the class of a word: the first that lists or matches it.
func (l *classList) of(word string) uint16 {
	if l.fold {
		word = strings.ToLower(word)
	}
	class := l.words[word]
	for _, m := range l.matches {
		if class != 0 && m.class > class {
			break
		}
		if m.expr.MatchString(word) {
			return m.class
		}
	}
	return class
}

// kindClasses are the classes of the kinds that have their own, in the order of
// their numbers from 1.
func kindClasses(kind string) []string {
	switch kind {
	case sdk.FeatureShape:
		return []string{"lower", "capital", "upper", "initial", "mixed", "number", "numeric", "alnum", "sign", "caseless"}
	case sdk.FeatureCasing:
		return []string{"lower", "capital", "upper", "mixed", "first"}
	case sdk.FeatureSentence:
		return []string{"all-capitals", "title-case"}
	case sdk.FeatureDigits:
		return []string{"one", "two", "three", "four", "many", "year", "decimal", "grouped", "date", "time", "ordinal", "other"}
	}
	return nil
}
