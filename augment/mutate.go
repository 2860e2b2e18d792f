package augment

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"github.com/islm-dev/islm/augment/edit"
)

// mutant is a rule with one part taken away.
type mutant struct {
	rule Rule
	what string // "without …"
	at   string // the part, as a path within the rule
}

// mutants lists the ways to weaken a rule: each alternative of its match taken
// away (of any, literals, regular expressions and their branches, lists, types),
// exceptions taken away, each clause of its condition taken away, each head that
// it keeps and each change of a label taken away.
func (r *CompiledRule) mutants() []mutant {
	var out []mutant
	add := func(at, what string, change func(*Rule)) {
		m := mutant{rule: r.copy(), what: what, at: at}
		change(&m.rule)
		out = append(out, m)
	}
	matchMutants("match", &r.Match, func(at, what string, change func(*MatchSpec)) {
		add(at, what, func(c *Rule) { change(&c.Match) })
	})
	for _, w := range whereMutants(r.Where) {
		add("where", "without the condition "+w.without, func(c *Rule) { c.Where = w.rest })
	}
	if _, votes := r.Action.(edit.Voter); votes || r.Labels == nil {
		return out // a labelling rule changes nothing that labels could survive
	}
	for i, h := range r.Labels.Keep {
		add(fmt.Sprintf("labels.keep[%d]", i), fmt.Sprintf("without keep: %s", h), func(c *Rule) { c.Labels.Keep = slices.Delete(c.Labels.Keep, i, i+1) })
	}
	for _, h := range slices.Sorted(maps.Keys(r.Labels.Change)) {
		for _, old := range slices.Sorted(maps.Keys(r.Labels.Change[h])) {
			add("labels.change."+h, fmt.Sprintf("without the change of %s from %s", h, old), func(c *Rule) {
				if delete(c.Labels.Change[h], old); len(c.Labels.Change[h]) == 0 {
					delete(c.Labels.Change, h)
				}
			})
		}
	}
	return out
}

// copy copies what mutants change.
func (r *CompiledRule) copy() Rule {
	c := r.Rule
	c.Match = copyMatch(c.Match)
	if c.Labels != nil {
		l := LabelSpec{Keep: slices.Clone(c.Labels.Keep)}
		if c.Labels.Change != nil {
			l.Change = map[string]map[string]string{}
			for h, to := range c.Labels.Change {
				l.Change[h] = maps.Clone(to)
			}
		}
		c.Labels = &l
	}
	return c
}

func copyMatch(m MatchSpec) MatchSpec {
	m.Literal, m.Regex, m.List, m.Entity, m.Except = slices.Clone(m.Literal), slices.Clone(m.Regex), slices.Clone(m.List), slices.Clone(m.Entity), slices.Clone(m.Except)
	if m.Part != nil {
		p := *m.Part
		p.Of = slices.Clone(p.Of)
		m.Part = &p
	}
	m.Any = slices.Clone(m.Any)
	for i := range m.Any {
		m.Any[i] = copyMatch(m.Any[i])
	}
	return m
}

// matchMutants calls add for every part of a match that can be taken away.
func matchMutants(at string, m *MatchSpec, add func(at, what string, change func(*MatchSpec))) {
	names := func(key string, list edit.Names, of func(*MatchSpec) *edit.Names) {
		if len(list) < 2 {
			return
		}
		for i, s := range list {
			add(fmt.Sprintf("%s.%s[%d]", at, key, i), fmt.Sprintf("without %s %q", key, s), func(c *MatchSpec) {
				l := of(c)
				*l = slices.Delete(*l, i, i+1)
			})
		}
	}
	names("literal", m.Literal, func(c *MatchSpec) *edit.Names { return &c.Literal })
	names("regex", m.Regex, func(c *MatchSpec) *edit.Names { return &c.Regex })
	names("list", m.List, func(c *MatchSpec) *edit.Names { return &c.List })
	names("entity", m.Entity, func(c *MatchSpec) *edit.Names { return &c.Entity })
	if m.Part != nil {
		names("part.of", m.Part.Of, func(c *MatchSpec) *edit.Names { return &c.Part.Of })
	}
	if len(m.Except) > 0 {
		add(at+".except", "without except", func(c *MatchSpec) { c.Except = nil })
	}
	for i, source := range m.Regex {
		for _, b := range branches(source) {
			add(at+".regex", fmt.Sprintf("without the branch %s of the regular expression", b.without), func(c *MatchSpec) { c.Regex[i] = b.rest })
		}
	}
	for i := range m.Any {
		if len(m.Any) > 1 {
			add(fmt.Sprintf("%s.any[%d]", at, i), fmt.Sprintf("without alternative %d", i+1), func(c *MatchSpec) { c.Any = slices.Delete(c.Any, i, i+1) })
		}
		matchMutants(fmt.Sprintf("%s.any[%d]", at, i), &m.Any[i], func(at, what string, change func(*MatchSpec)) {
			add(at, what, func(c *MatchSpec) { change(&c.Any[i]) })
		})
	}
}

// less is a text with a part taken away.
type less struct{ rest, without string }

// branches takes away each branch of each alternation of a regular expression.
// The parser pulls common beginnings out, so that climbed|climbs is
// climb(ed|s) here.
func branches(source string) []less {
	count := 0
	if tree, err := syntax.Parse(source, syntax.Perl); err == nil {
		walkRegexp(tree, func(re *syntax.Regexp) {
			if re.Op == syntax.OpAlternate {
				count += len(re.Sub)
			}
		})
	}
	var out []less
	for n := range count {
		tree, err := syntax.Parse(source, syntax.Perl)
		if err != nil {
			return out
		}
		i, without := 0, ""
		walkRegexp(tree, func(re *syntax.Regexp) {
			if re.Op != syntax.OpAlternate {
				return
			}
			if k := n - i; k >= 0 && k < len(re.Sub) && without == "" {
				without = re.Sub[k].String()
				re.Sub = slices.Delete(slices.Clone(re.Sub), k, k+1)
				i += len(re.Sub) + 1
				return
			}
			i += len(re.Sub)
		})
		out = append(out, less{tree.String(), without})
	}
	return out
}

func walkRegexp(re *syntax.Regexp, f func(*syntax.Regexp)) {
	f(re)
	for _, s := range re.Sub {
		walkRegexp(s, f)
	}
}

// whereMutants takes away each clause of a condition: of "and" (or the condition
// itself, if it is one clause) and of each outermost "or".
func whereMutants(source string) []less {
	if source == "" {
		return nil
	}
	parts := conjuncts(source)
	if len(parts) < 2 {
		out := []less{{"", source}}
		return append(out, orMutants(source, nil, nil)...)
	}
	var out []less
	for i, p := range parts {
		rest := slices.Concat(parts[:i], parts[i+1:])
		out = append(out, less{joinAnd(rest), p})
		out = append(out, orMutants(p, parts[:i], parts[i+1:])...)
	}
	return out
}

func orMutants(clause string, before, after []string) []less {
	tree, err := parser.Parse(clause)
	if err != nil {
		return nil
	}
	var parts []string
	var split func(n ast.Node)
	split = func(n ast.Node) {
		if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "or" || b.Operator == "||") {
			split(b.Left)
			split(b.Right)
			return
		}
		parts = append(parts, n.String())
	}
	split(tree.Node)
	if len(parts) < 2 {
		return nil
	}
	var out []less
	for i, p := range parts {
		rest := slices.Concat(parts[:i], parts[i+1:])
		or := "(" + strings.Join(rest, ") or (") + ")"
		out = append(out, less{joinAnd(slices.Concat(before, []string{or}, after)), p})
	}
	return out
}

func joinAnd(parts []string) string { return "(" + strings.Join(parts, ") and (") + ")" }
