package augment

import (
	"fmt"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/augment/kind"
	"github.com/islm-dev/islm/sdk"
)

// source is what an alternative of a match looks for.
type source uint8

const (
	fromLiteral source = iota
	fromRegex
	fromList
	fromEntity
	fromPart
	fromGraph
	fromWord
	fromText
)

func (s source) String() string {
	return [...]string{"literal", "regex", "list", "entity", "part", "kg", "word", "text"}[s]
}

// alternative is one way for a rule to match.
type alternative struct {
	source   source
	literals []string
	re       *regexp.Regexp
	groups   []string
	need     need
	list     *edit.List
	labels   []string // nil means any
	head     string
	which    string
	query    *edit.Query
	fold     bool
	words    bool
	min      int
	except   map[string]bool // folded
	at       string          // path within the rule, for messages
}

// maxRegexBytes bounds an expression as written: compiling one costs time and
// memory by its length.
const maxRegexBytes = 2000

// kindSet are the kinds by name, with their names in order.
func kindSet(kinds []edit.Kind) (map[string]edit.Kind, []string) {
	set := map[string]edit.Kind{}
	for _, k := range kinds {
		set[k.Name] = k
	}
	return set, slices.Sorted(maps.Keys(set))
}

func (l *loader) useKinds() {
	if l.kinds == nil {
		l.kinds = kind.All()
	}
}

// compile checks one rule and makes it ready for use; nil if it cannot be used.
func (l *loader) compile(doc *sdk.Document, file, at string, rule Rule) *CompiledRule {
	before := len(l.ds)
	r := reporter{doc, &l.ds}
	c := &CompiledRule{Rule: rule, File: file, Line: doc.At(at).Line, Kind: rule.kind(), doc: doc, path: at, lists: l.pack.Lists}
	if rule.ID != "" {
		if !ruleID.MatchString(rule.ID) || len(rule.ID) > 100 {
			r.report("rules.id", at+".id", "use lower-case letters and digits, with - or . between them", "%q is no ID for a rule", rule.ID)
		}
		place := fmt.Sprintf("%s:%d", file, c.Line)
		if first, ok := l.ids[rule.ID]; ok {
			r.report("rules.duplicate", at+".id", "rename one of the two", "there are two rules called %q, the first at %s", rule.ID, first)
		} else {
			l.ids[rule.ID] = place
		}
	}
	if p := rule.Probability; p != nil && !(*p > 0 && *p <= 1) {
		r.report("rules.probability", at+".probability", "use a number above 0 and up to 1", "probability %v is out of range", *p)
	}
	if rule.MaxPerExample < 0 {
		r.report("rules.max", at+".max_per_example", "use 1 or more, or leave it out", "max_per_example %d is out of range", rule.MaxPerExample)
	}
	l.labels(r, at, &rule)
	c.match = l.alternatives(r, at+".match", &rule.Match, 0)
	if rule.Where != "" {
		sets := newListSets(l.pack.Lists)
		for name := range l.pack.Lists {
			if strings.Contains(rule.Where, name) {
				sets.prepare(name)
			}
		}
		var problem, remedy string
		if c.where, problem, remedy = compileWhere(rule.Where, l.pack.Lists, sets); c.where == nil {
			r.report("rules.where", at+".where", remedy, "the condition is not valid: %s", problem)
		}
	}
	c.Action = l.action(r, at, c)
	if n, ok := c.Action.(edit.Needy); ok {
		c.needs = n.Needs()
	}
	for _, a := range c.match {
		if a.source == fromGraph {
			c.needs.Graph = true
			c.needs.Types = append(c.needs.Types, a.query.Type)
		}
	}
	if len(l.ds) > before && l.ds[before:].HasErrors() || c.Action == nil {
		return nil
	}
	var err error
	if c.Digest, err = rule.digest(l.pack.Manifest.Name, l.pack.Lists); err != nil {
		r.report("rules.digest", at, "", "%v", err)
		return nil
	}
	return c
}

// labels checks what a rule says of labels.
func (l *loader) labels(r reporter, at string, rule *Rule) {
	if rule.Labels == nil {
		r.report("rules.labels", at, "say what stays true: labels: {keep: all}, or {keep: [HEAD], change: {HEAD: {OLD: NEW}}}", "rule %q does not say what becomes of the labels", rule.ID)
		return
	}
	if len(rule.Labels.Keep) > 1 && rule.Labels.keepsAll() {
		r.report("rules.labels", at+".labels.keep", "write keep: all alone", "all stands beside names of heads")
	}
	for _, head := range slices.Sorted(maps.Keys(rule.Labels.Change)) {
		p := at + ".labels.change." + head
		if slices.Contains(rule.Labels.Keep, head) {
			r.report("rules.labels", p, "drop one of the two", "head %q is both kept and changed", head)
		}
		to := rule.Labels.Change[head]
		if len(to) == 0 {
			r.report("rules.labels", p, "write OLD: NEW for each label", "nothing is said of how %q changes", head)
		}
		for _, old := range slices.Sorted(maps.Keys(to)) {
			if to[old] == "" {
				r.report("rules.labels", p, "to leave the head without a label, neither keep nor change it", "label %q of head %q becomes nothing", old, head)
			}
		}
	}
}

// keys of a match that are alternatives to each other.
func matchKeys() []string {
	return []string{"literal", "regex", "list", "entity", "part", "kg", "word", "text", "any"}
}

// alternatives compiles a match.
func (l *loader) alternatives(r reporter, at string, m *MatchSpec, depth int) []alternative {
	given := map[string]bool{"literal": m.Literal != nil, "regex": m.Regex != nil, "list": m.List != nil, "entity": m.Entity != nil,
		"part": m.Part != nil, "kg": m.KG != "", "word": m.Word, "text": m.Text, "any": m.Any != nil}
	var keys []string
	for _, k := range matchKeys() {
		if given[k] {
			keys = append(keys, k)
		}
	}
	switch {
	case len(keys) == 0:
		r.report("rules.match", at, "give one of "+strings.Join(matchKeys(), ", "), "the rule does not say where it matches")
		return nil
	case len(keys) > 1:
		r.report("rules.match", at, "to match either, write any: [{…}, {…}]", "the match gives %s, which exclude each other", strings.Join(keys, " and "))
		return nil
	}
	l.fitting(r, at, m, keys[0])
	if keys[0] == "any" {
		if depth > 0 {
			r.report("rules.match", at+".any", "write all alternatives in one list", "any stands within any")
			return nil
		}
		if len(m.Any) == 0 {
			r.report("rules.match", at+".any", "", "any has no alternatives")
		}
		var all []alternative
		for i := range m.Any {
			all = append(all, l.alternatives(r, fmt.Sprintf("%s.any[%d]", at, i), &m.Any[i], depth+1)...)
		}
		return all
	}
	base := alternative{fold: m.Fold == nil || *m.Fold, words: m.Words == nil || *m.Words, min: m.Min, head: m.Head, at: at + "." + keys[0]}
	if len(m.Except) > 0 {
		base.except = map[string]bool{}
		for i, name := range m.Except {
			list := l.find(r, fmt.Sprintf("%s.except[%d]", at, i), name)
			if list == nil {
				continue
			}
			for _, row := range list.Rows {
				for _, f := range row {
					base.except[strings.ToLower(f)] = true
				}
			}
		}
	}
	switch keys[0] {
	case "literal":
		base.source = fromLiteral
		for i, s := range m.Literal {
			if strings.TrimSpace(s) == "" {
				r.report("rules.match", fmt.Sprintf("%s.literal[%d]", at, i), "", "the literal is empty")
				continue
			}
			base.literals = append(base.literals, s)
		}
		return []alternative{base}
	case "regex":
		return l.regexes(r, at, m, base)
	case "list":
		var all []alternative
		for i, name := range m.List {
			a := base
			a.source = fromList
			if a.list = l.find(r, fmt.Sprintf("%s.list[%d]", at, i), name); a.list != nil {
				if m.Fold == nil {
					a.fold = a.list.Fold
				}
				all = append(all, a)
			}
		}
		return all
	case "entity":
		base.source, base.labels = fromEntity, anyLabel(m.Entity)
	case "part":
		base.source, base.labels, base.which = fromPart, anyLabel(m.Part.Of), m.Part.Which
		if base.which == "" {
			base.which = "words"
		}
		if !slices.Contains(partNames(), base.which) {
			r.report("rules.match", at+".part.which", didYouMean(base.which, partNames()), "%q is no part of a span", base.which)
		}
	case "kg":
		q, err := edit.ParseQuery(m.KG)
		if err != nil {
			r.report("rules.query", at+".kg", "", "the query is not valid: %v", err)
			return nil
		}
		if q.Type == "" {
			r.report("rules.query", at+".kg", "begin it with the type: \"type Company, same type, not a synonym\"", "the query does not say which entities are looked for")
			return nil
		}
		base.source, base.query = fromGraph, q
	case "word":
		base.source = fromWord
	case "text":
		base.source = fromText
	}
	return []alternative{base}
}

// fitting reports keys that have no meaning for the kind of match.
func (l *loader) fitting(r reporter, at string, m *MatchSpec, key string) {
	wrong := func(name string, given bool, keys ...string) {
		if given && !slices.Contains(keys, key) {
			r.report("rules.match", at+"."+name, name+" goes with "+strings.Join(keys, ", "), "%s has no meaning for a match by %s", name, key)
		}
	}
	wrong("head", m.Head != "", "entity", "part")
	wrong("fold", m.Fold != nil, "literal", "list", "regex")
	wrong("words", m.Words != nil, "literal", "list", "kg")
	wrong("min", m.Min != 0, "word")
	wrong("except", len(m.Except) > 0, "literal", "regex", "list", "entity", "part", "kg", "word")
	if m.Min < 0 {
		r.report("rules.match", at+".min", "", "min %d is out of range", m.Min)
	}
}

func (l *loader) regexes(r reporter, at string, m *MatchSpec, base alternative) []alternative {
	var all []alternative
	for i, source := range m.Regex {
		a, p := base, fmt.Sprintf("%s.regex[%d]", at, i)
		if len(m.Regex) == 1 {
			p = at + ".regex"
		}
		a.source = fromRegex
		a.fold = m.Fold != nil && *m.Fold
		if a.fold {
			source = "(?i)" + source
		}
		if len(source) > maxRegexBytes {
			r.report("rules.regex", p, "use a list for many words", "the regular expression has %d bytes, the limit is %d", len(source), maxRegexBytes)
			continue
		}
		tree, err := syntax.Parse(source, syntax.Perl)
		if err != nil {
			r.report("rules.regex", p, "the syntax is RE2's: no look-around, no back-references; see https://github.com/google/re2/wiki/Syntax", "the regular expression is not valid: %v", err)
			continue
		}
		if a.re, err = regexp.Compile(source); err != nil {
			r.report("rules.regex", p, "", "the regular expression is not valid: %v", err)
			continue
		}
		if a.re.MatchString("") {
			r.report("rules.regex", p, "make it match at least one character", "the regular expression also matches the empty text, that is, everywhere")
			continue
		}
		a.groups, a.need = a.re.SubexpNames(), needOf(tree)
		all = append(all, a)
	}
	return all
}

func (l *loader) find(r reporter, at, name string) *edit.List {
	if list := l.pack.Lists[name]; list != nil {
		return list
	}
	known := slices.Sorted(maps.Keys(l.pack.Lists))
	remedy := fmt.Sprintf("add lists/%s.tsv to the pack, or lists: in the rule file", name)
	if near := sdk.Nearest(name, known); near != "" {
		remedy = fmt.Sprintf("did you mean %q?", near)
	}
	r.report("rules.list", at, remedy, "the pack has no list called %q", name)
	return nil
}

func anyLabel(labels []string) []string {
	if slices.Contains(labels, "*") {
		return nil
	}
	return labels
}

// action makes what the rule does.
func (l *loader) action(r reporter, at string, c *CompiledRule) edit.Action {
	set, names := kindSet(l.kinds)
	p := at + ".do"
	if c.Kind == "" {
		if c.Do != nil {
			r.report("rules.kind", p, "write do: {kind: KIND, …}; kinds: "+strings.Join(names, ", "), "the rule does not say what it does")
		}
		return nil
	}
	k, ok := set[c.Kind]
	if !ok {
		if _, ok := set[c.Kind+".v0"]; ok {
			r.report("rules.kind", p+".kind", fmt.Sprintf("write %s.v0", c.Kind), "the kind %q has no version", c.Kind)
		} else {
			r.report("rules.kind", p+".kind", didYouMean(c.Kind, names), "unknown kind %q", c.Kind)
		}
		return nil
	}
	b := &edit.Build{
		Decode: func(into any) bool {
			if _, scalar := c.Do.(string); scalar { // the kind alone: only what the kind requires can be missing
				empty, ds := sdk.ParseYAML(r.doc.Name(), []byte("{}"))
				if empty != nil {
					ds = empty.Decode(into)
				}
				for _, d := range ds {
					at := r.doc.At(p)
					at.Code, at.Summary, at.Remedy = d.Code, p+"."+d.Summary, d.Remedy
					l.ds.Add(at)
				}
				return !ds.HasErrors()
			}
			ds := r.doc.DecodeAt(p, into, "kind")
			l.ds.Add(ds...)
			return !ds.HasErrors()
		},
		Report: func(code, path, remedy, format string, args ...any) {
			full := p
			if path != "" {
				full += "." + path
			}
			r.report(code, full, remedy, format, args...)
		},
		Lists: l.pack.Lists,
		Match: shapeOf(c.match),
	}
	if c.Labels != nil {
		b.KeepsAll = c.Labels.keepsAll()
		if !b.KeepsAll {
			b.Keeps = c.Labels.Keep
		}
		b.Changes = slices.Sorted(maps.Keys(c.Labels.Change))
	}
	before := len(l.ds)
	a := k.New(b)
	if a == nil && !l.ds[before:].HasErrors() {
		r.report("rules.kind", p, "", "%s gave no action for this rule", c.Kind)
	}
	return a
}

func shapeOf(match []alternative) edit.Shape {
	var s edit.Shape
	first := true
	for _, a := range match {
		if name := a.source.String(); !slices.Contains(s.Kinds, name) {
			s.Kinds = append(s.Kinds, name)
		}
		if a.list != nil {
			s.Lists = append(s.Lists, a.list.Name)
		}
		s.Types = append(s.Types, a.labels...)
		if a.query != nil {
			s.Types = append(s.Types, a.query.Type)
		}
		var groups []string
		for _, g := range a.groups {
			if g != "" {
				groups = append(groups, g)
			}
		}
		if first {
			s.Groups = groups
		} else {
			s.Groups = slices.DeleteFunc(slices.Clone(s.Groups), func(g string) bool { return !slices.Contains(groups, g) })
		}
		first = false
	}
	return s
}
