package augment

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// RulesSchema is the schema of rule files.
const RulesSchema = "islm/rules.v1"

// ruleFile is one file of rules.
type ruleFile struct {
	Schema string                  `yaml:"schema" schema:"islm/rules.v1"`
	Lists  map[string][]edit.Names `yaml:"lists"`
	Rules  []Rule                  `yaml:"rules" required:"true"`
	// Graph and Thesaurus stand in for the real ones where the rules are tested.
	Graph     *GraphSpec            `yaml:"graph"`
	Thesaurus map[string]edit.Names `yaml:"thesaurus"`
}

// Rule is one rule as it is written.
type Rule struct {
	ID      string    `yaml:"id" required:"true" json:"id"`
	Summary string    `yaml:"summary" json:"-"`
	Match   MatchSpec `yaml:"match" json:"match"`
	// Where is a condition on the example, its labels and the match, in the
	// language of expr-lang/expr.
	Where string `yaml:"where" json:"where,omitempty"`
	// Do is what the rule does: a mapping with the key kind and the kind's own
	// keys, or the kind alone as a text.
	Do any `yaml:"do" required:"true" json:"do"`
	// Probability is that of each match; nil means 1.
	Probability *float64 `yaml:"probability" json:"probability,omitempty"`
	// MaxPerExample bounds the matches at which the rule acts in one example; 0
	// means all. Which ones is drawn.
	MaxPerExample int `yaml:"max_per_example" json:"max_per_example,omitempty"`
	// Priority decides between edits that overlap: the higher one stays.
	Priority int `yaml:"priority" json:"priority,omitempty"`
	// OneOf names a group of the pack's rules of which one, drawn anew for each
	// variant, may act.
	OneOf  string     `yaml:"one_of" json:"one_of,omitempty"`
	Labels *LabelSpec `yaml:"labels" json:"labels"`
	Tests  TestSpec   `yaml:"tests" json:"-"`
}

// MatchSpec says where a rule matches: one of the keys from literal to any, and
// what belongs to it.
type MatchSpec struct {
	Literal edit.Names  `yaml:"literal" json:"literal,omitempty"`
	Regex   edit.Names  `yaml:"regex" json:"regex,omitempty"`   // RE2
	List    edit.Names  `yaml:"list" json:"list,omitempty"`     // entries of lists of the pack
	Entity  edit.Names  `yaml:"entity" json:"entity,omitempty"` // labels of spans or entity tags; "*" is any
	Part    *PartSpec   `yaml:"part" json:"part,omitempty"`
	KG      string      `yaml:"kg" json:"kg,omitempty"` // mentions of entities of a knowledge graph, see edit.Query
	Word    bool        `yaml:"word" json:"word,omitempty"`
	Text    bool        `yaml:"text" json:"text,omitempty"` // the whole text
	Any     []MatchSpec `yaml:"any" json:"any,omitempty"`

	Head string `yaml:"head" json:"head,omitempty"` // of entity and part; "" means every head
	Fold *bool  `yaml:"fold" json:"fold,omitempty"` // in any case; default true for literal and list, false for regex
	// Words says that a match does not begin or end within a word; default true
	// for literal, list and kg.
	Words *bool `yaml:"words" json:"words,omitempty"`
	Min   int   `yaml:"min" json:"min,omitempty"` // letters of a word at least
	// Except names lists whose entries are no matches.
	Except edit.Names `yaml:"except" json:"except,omitempty"`
}

// PartSpec is a part of a labelled span.
type PartSpec struct {
	Of    edit.Names `yaml:"of" json:"of" required:"true"` // labels; "*" is any
	Which string     `yaml:"which" json:"which,omitempty"` // first, last, inner or words (default: each word)
}

func partNames() []string { return []string{"first", "last", "inner", "words"} }

// LabelSpec says what becomes of the labels. A head that is neither kept nor
// changed has no label in the output, so that a rule touches no label it does
// not speak of.
type LabelSpec struct {
	Keep edit.Names `yaml:"keep" json:"keep,omitempty"` // heads, or all
	// Change gives for a head the new value of each old one; "*" stands for every
	// other value. An example whose value is not named keeps the rule from firing.
	Change map[string]map[string]string `yaml:"change" json:"change,omitempty"`
}

func (l *LabelSpec) keepsAll() bool { return l != nil && slices.Contains(l.Keep, "all") }

// Spans, tags and numbers in tests: see TestCase.

// TestSpec are the tests of a rule.
type TestSpec struct {
	Fires  []TestCase `yaml:"fires"`
	Silent []TestCase `yaml:"silent"`
	Labels []TestCase `yaml:"labels"`
}

// TestCase is one text and what the rule makes of it. A text alone stands for a
// case with nothing but In.
//
// In the texts [surface](LABEL) or [surface](LABEL#entity) marks a labelled span
// of the head Head; \[ stands for the sign itself.
type TestCase struct {
	In     string                `yaml:"in" required:"true"`
	TextB  string                `yaml:"text_b"`
	Labels map[string]edit.Names `yaml:"labels"` // values by head
	// Numbers are the values of regression heads.
	Numbers map[string]float64 `yaml:"numbers"`
	Meta    map[string]string  `yaml:"meta"`
	Head    string             `yaml:"head"`   // default entities
	Tokens  bool               `yaml:"tokens"` // the example has tokens, spans are BIO tags
	Seed    *uint64            `yaml:"seed"`   // one draw with this seed instead of all outcomes
	Out     edit.Names         `yaml:"out"`    // all outcomes, each a text with marks
	Like    string             `yaml:"like"`   // instead of out: every outcome matches this regular expression as a whole
	// OutLabels are the labels of every outcome, all heads with values; absent, they
	// are not looked at. OutNumbers likewise.
	OutLabels  map[string]edit.Names `yaml:"out_labels"`
	OutNumbers map[string]float64    `yaml:"out_numbers"`
}

// UnmarshalText takes the text of a case.
func (t *TestCase) UnmarshalText(text []byte) error {
	t.In = string(text)
	return nil
}

// digest identifies what a rule does: its fields but summary and tests, and the
// entries of the lists it names.
func (r *Rule) digest(pack string, lists map[string]*edit.List) (string, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("digest of rule %s: %w", r.ID, err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "islm/rule.v1\x00%s\x00%s\x00", pack, raw)
	var names []string
	named := func(s string) {
		if lists[s] != nil && !slices.Contains(names, s) {
			names = append(names, s)
		}
	}
	r.Match.strings(named)
	allStrings(r.Do, named)
	slices.Sort(names)
	for _, n := range names {
		writeList(h, lists[n])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func writeList(w io.Writer, l *edit.List) {
	fmt.Fprintf(w, "list %q %t\n", l.Name, l.Fold)
	for _, row := range l.Rows {
		fmt.Fprintf(w, "%q\n", row)
	}
}

// strings calls f for every name that the match may take for that of a list.
func (m *MatchSpec) strings(f func(string)) {
	for _, s := range slices.Concat(m.List, m.Except) {
		f(s)
	}
	for i := range m.Any {
		m.Any[i].strings(f)
	}
}

func allStrings(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case []any:
		for _, x := range v {
			allStrings(x, f)
		}
	case map[string]any:
		for _, x := range v {
			allStrings(x, f)
		}
	}
}

// kind is the name of the rule's kind, "" if it has none.
func (r *Rule) kind() string {
	switch do := r.Do.(type) {
	case string:
		return do
	case map[string]any:
		k, _ := do["kind"].(string)
		return k
	}
	return ""
}

// reporter places problems within a rule file.
type reporter struct {
	doc *sdk.Document
	ds  *sdk.Diagnostics
}

func (r reporter) report(code, at, remedy, format string, args ...any) {
	d := r.doc.At(at)
	d.Code, d.Remedy, d.Summary = code, remedy, fmt.Sprintf(format, args...)
	r.ds.Add(d)
}

func didYouMean(word string, known []string) string {
	if near := sdk.Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return ""
	}
	s := "there are: "
	for i, k := range known {
		if i > 0 {
			s += ", "
		}
		s += k
	}
	return s
}
