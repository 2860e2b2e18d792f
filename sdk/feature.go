package sdk

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// FeatureSpec declares a feature of words: a class for each word of a text, made
// by hand, that a model can be given beside its own pieces. Package core/features
// computes it.
//
//	features:
//	  - {name: shape, kind: shape.v0}
//	  - name: unit
//	    kind: classes.v0
//	    classes:
//	      - {name: mass, words: [mg, g, kg]}
//	      - {name: dose, match: '[0-9]+(\.[0-9]+)?(mg|ml)'}
type FeatureSpec struct {
	Name string `yaml:"name" json:"name" required:"true"` // unique in the domain
	Kind string `yaml:"kind" json:"kind" required:"true"` // one of FeatureKinds
	// Classes of classes.v0; the first that a word belongs to is the word's.
	Classes []FeatureClass `yaml:"classes" json:"classes,omitempty"`
	// Fold: words of Classes are compared in small letters.
	Fold bool `yaml:"fold" json:"fold,omitempty"`
}

// FeatureClass is a class of words, by list, by pattern, or by both.
type FeatureClass struct {
	Name  string   `yaml:"name" json:"name" required:"true"`
	Words []string `yaml:"words" json:"words,omitempty"`
	Match string   `yaml:"match" json:"match,omitempty"` // RE2 expression for the whole word
}

// Kinds of features. Those but classes.v0 need no settings.
const (
	FeatureShape    = "shape.v0"    // lower, capital, upper, initial, mixed, number, numeric, alnum, sign, caseless
	FeatureCasing   = "casing.v0"   // lower, capital, upper, mixed, and first: a capital where a sentence begins
	FeatureSentence = "sentence.v0" // of each word of the sentence: all-capitals, title-case
	FeatureDigits   = "digits.v0"   // one to many digits, year, decimal, grouped, date, time, ordinal, other
	FeatureClasses  = "classes.v0"  // as declared
)

// FeatureKinds lists the kinds of features that this version knows, sorted.
func FeatureKinds() []string {
	return []string{FeatureCasing, FeatureClasses, FeatureDigits, FeatureSentence, FeatureShape}
}

// MaxFeatureClasses bounds the classes of a feature, the class "none" left out.
const MaxFeatureClasses = 4095

// CheckFeatures reports what is wrong with declared features. Paths of the
// diagnostics are those within the list, as [0].kind.
func CheckFeatures(specs []FeatureSpec) (ds Diagnostics) {
	add := func(code, at, remedy, format string, args ...any) {
		ds.Add(Diagnostic{Code: code, Path: at, Remedy: remedy, Summary: fmt.Sprintf(format, args...)})
	}
	seen := map[string]bool{}
	for i, s := range specs {
		at := fmt.Sprintf("[%d]", i)
		switch {
		case s.Name == "":
			add("feature.name", at, "", "the feature has no name")
		case !simpleName.MatchString(s.Name):
			add("feature.name", at+".name", "use letters, digits, _ - and .", "%q is no name for a feature", s.Name)
		case seen[s.Name]:
			add("feature.duplicate", at+".name", "", "feature %q is declared twice", s.Name)
		}
		seen[s.Name] = true
		switch {
		case !slices.Contains(FeatureKinds(), s.Kind):
			if s.Kind != "" {
				add("feature.kind", at+".kind", didYouMean(s.Kind, FeatureKinds()), "feature %q has the unknown kind %q", s.Name, s.Kind)
			}
		case s.Kind == FeatureClasses && len(s.Classes) == 0:
			add("feature.classes", at, "list them: classes: [{name: mass, words: [mg, kg]}]", "feature %q has no classes", s.Name)
		case s.Kind != FeatureClasses && (len(s.Classes) > 0 || s.Fold):
			add("feature.classes", at, "drop classes and fold, or make it kind: "+FeatureClasses, "feature %q of kind %s takes no classes", s.Name, s.Kind)
		case len(s.Classes) > MaxFeatureClasses:
			add("feature.classes", at+".classes", "", "feature %q has %d classes, it may have %d", s.Name, len(s.Classes), MaxFeatureClasses)
		}
		classes := map[string]bool{"none": true}
		for j, c := range s.Classes {
			at := fmt.Sprintf("%s.classes[%d]", at, j)
			if c.Name == "none" {
				add("feature.class", at+".name", "the class of all other words is called so", `a class of feature %q is called "none"`, s.Name)
			} else if classes[c.Name] {
				add("feature.class", at+".name", "", "class %q of feature %q is declared twice", c.Name, s.Name)
			}
			classes[c.Name] = true
			if len(c.Words) == 0 && c.Match == "" {
				add("feature.class", at, "give it words or a pattern: match", "class %q of feature %q holds nothing", c.Name, s.Name)
			}
			if c.Match != "" {
				if _, err := regexp.Compile(c.Match); err != nil {
					add("feature.match", at+".match", "see https://github.com/google/re2/wiki/Syntax", "the pattern of class %q: %v", c.Name, err)
				}
			}
			for k, w := range c.Words {
				if w == "" || !utf8.ValidString(w) || strings.ContainsAny(w, " \t\n") {
					add("feature.word", fmt.Sprintf("%s.words[%d]", at, k), "features are of single words", "%q is no single word", w)
				}
			}
		}
	}
	return ds
}
