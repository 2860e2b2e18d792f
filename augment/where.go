package augment

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/sdk"
)

// maxConditionNodes bounds the size of a condition.
const maxConditionNodes = 300

// condition is a compiled where clause.
type condition struct {
	program   *vm.Program
	usesMatch bool // else it is asked once per example
}

// matchEnv is the match as conditions see it.
type matchEnv struct {
	Text   string            `expr:"text"`
	Before string            `expr:"before"` // the text in front of the match
	After  string            `expr:"after"`
	Start  int               `expr:"start"` // bytes
	End    int               `expr:"end"`
	Label  string            `expr:"label"`  // of the span that matched
	Head   string            `expr:"head"`   // of the span that matched
	Entity string            `expr:"entity"` // entity ID
	List   string            `expr:"list"`   // name of the list
	Groups map[string]string `expr:"groups"` // named groups of the regular expression
}

// spanEnv is a labelled span as conditions see it.
type spanEnv struct {
	Text   string `expr:"text"`
	Label  string `expr:"label"`
	Head   string `expr:"head"`
	Entity string `expr:"entity"`
	Start  int    `expr:"start"`
	End    int    `expr:"end"`
}

// env is what conditions see.
type env struct {
	Text    string              `expr:"text"`
	TextB   string              `expr:"text_b"`
	ID      string              `expr:"id"`
	Lang    string              `expr:"lang"`
	Meta    map[string]string   `expr:"meta"`
	Labels  map[string]string   `expr:"labels"`  // the value of each head that has one; of several the first
	Classes map[string][]string `expr:"classes"` // all values of each head
	Numbers map[string]float64  `expr:"numbers"` // of regression heads
	Spans   []spanEnv           `expr:"spans"`   // by head and start
	Words   int                 `expr:"words"`   // number of words
	Match   matchEnv            `expr:"match"`
}

func envNames() []string {
	return []string{"text", "text_b", "id", "lang", "meta", "labels", "classes", "numbers", "spans", "words", "match", "in_list"}
}

// allowed are the functions of a condition: none makes a longer value than its
// input, or runs for longer than its input is long.
func allowed() []string {
	return []string{"all", "none", "any", "one", "count", "len", "abs", "ceil", "floor", "round", "int", "float", "string", "trim", "upper", "lower", "indexOf", "lastIndexOf", "hasPrefix", "hasSuffix", "max", "min"}
}

// bounds looks for what could make a condition slow.
type bounds struct {
	usesMatch bool
	problems  []string
	lists     map[string]*edit.List
}

// Visit looks at one node.
func (b *bounds) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		b.usesMatch = b.usesMatch || n.Value == "match"
	case *ast.BinaryNode:
		switch n.Operator {
		case "..":
			b.problems = append(b.problems, "ranges (a..b) are not allowed in conditions")
		case "matches":
			if _, ok := n.Right.(*ast.StringNode); !ok {
				b.problems = append(b.problems, "the right side of matches must be a fixed regular expression")
			}
		case "**", "^":
			b.problems = append(b.problems, "powers are not allowed in conditions")
		}
	case *ast.BuiltinNode:
		if !slices.Contains(allowed(), n.Name) { // loops are part of the grammar, whatever is disabled
			b.problems = append(b.problems, fmt.Sprintf("the function %s is not allowed in conditions; there are %s", n.Name, strings.Join(allowed(), ", ")))
		}
		for _, a := range n.Arguments {
			if p, ok := a.(*ast.PredicateNode); ok {
				inner := &nested{}
				ast.Walk(&p.Node, inner)
				if inner.found {
					b.problems = append(b.problems, fmt.Sprintf("%s holds another loop: loops are not nested in conditions", n.Name))
				}
			}
		}
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok && id.Value == "in_list" && len(n.Arguments) > 0 {
			name, ok := n.Arguments[0].(*ast.StringNode)
			if !ok {
				b.problems = append(b.problems, "the first argument of in_list must be the name of a list")
			} else if b.lists[name.Value] == nil {
				b.problems = append(b.problems, fmt.Sprintf("the pack has no list called %q", name.Value))
			}
		}
	}
}

type nested struct{ found bool }

// Visit looks at one node.
func (n *nested) Visit(node *ast.Node) {
	if _, ok := (*node).(*ast.PredicateNode); ok {
		n.found = true
	}
}

// unknownName finds the name that the checker does not know.
var unknownName = regexp.MustCompile(`unknown name (\w+)`)

// compileWhere compiles and type-checks a condition.
func compileWhere(source string, lists map[string]*edit.List, sets *listSets) (*condition, string, string) {
	b := &bounds{lists: lists}
	options := []expr.Option{expr.Env(&env{}), expr.AsBool(), expr.MaxNodes(maxConditionNodes), expr.DisableAllBuiltins(),
		expr.Function("in_list", func(params ...any) (any, error) {
			name, ok1 := params[0].(string)
			text, ok2 := params[1].(string)
			return ok1 && ok2 && sets.has(name, text), nil
		}, new(func(string, string) bool)), expr.Patch(b)}
	for _, name := range allowed() {
		options = append(options, expr.EnableBuiltin(name))
	}
	program, err := expr.Compile(source, options...)
	if err != nil {
		var fe *file.Error
		if !errors.As(err, &fe) {
			return nil, err.Error(), ""
		}
		remedy := ""
		if m := unknownName.FindStringSubmatch(fe.Message); m != nil {
			if near := sdk.Nearest(m[1], slices.Concat(envNames(), allowed())); near != "" {
				remedy = fmt.Sprintf("did you mean %q?", near)
			} else {
				remedy = "conditions know " + strings.Join(envNames(), ", ") + " and the functions " + strings.Join(allowed(), ", ")
			}
		}
		return nil, fmt.Sprintf("%s (line %d, column %d of the condition)", fe.Message, max(fe.Line, 1), fe.Column+1), remedy
	}
	if len(b.problems) > 0 {
		return nil, b.problems[0], ""
	}
	return &condition{program: program, usesMatch: b.usesMatch}, "", ""
}

// listSets answers in_list.
type listSets struct {
	lists map[string]*edit.List
	sets  map[string]map[string]bool
}

func newListSets(lists map[string]*edit.List) *listSets {
	return &listSets{lists: lists, sets: map[string]map[string]bool{}}
}

// prepare makes the set of a list; after that the sets are only read.
func (s *listSets) prepare(name string) {
	l := s.lists[name]
	if l == nil || s.sets[name] != nil {
		return
	}
	set := map[string]bool{}
	for _, row := range l.Rows {
		for _, f := range row {
			set[foldIf(f, l.Fold)] = true
		}
	}
	s.sets[name] = set
}

func (s *listSets) has(name, text string) bool {
	l := s.lists[name]
	return l != nil && s.sets[name][foldIf(text, l.Fold)]
}

func foldIf(s string, fold bool) string {
	if fold {
		return strings.ToLower(s)
	}
	return s
}

// conjuncts splits a condition at its outermost "and", for the mutation check.
func conjuncts(source string) []string {
	tree, err := parser.Parse(source)
	if err != nil {
		return nil
	}
	var parts []string
	var split func(n ast.Node)
	split = func(n ast.Node) {
		if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "and" || b.Operator == "&&") {
			split(b.Left)
			split(b.Right)
			return
		}
		parts = append(parts, n.String())
	}
	split(tree.Node)
	return parts
}

// fill sets what of the environment belongs to the example.
func (e *env) fill(ex *sdk.Example, lang string, words int) {
	e.Text, e.TextB, e.ID, e.Lang, e.Meta, e.Words = ex.Text, ex.TextB, ex.ID, lang, ex.Meta, words
	if e.Labels == nil {
		e.Labels, e.Classes, e.Numbers = map[string]string{}, map[string][]string{}, map[string]float64{}
	}
	clear(e.Labels)
	clear(e.Classes)
	clear(e.Numbers)
	e.Spans = e.Spans[:0]
	heads := make([]string, 0, len(ex.Labels))
	for h := range ex.Labels {
		heads = append(heads, h)
	}
	slices.Sort(heads)
	for _, h := range heads {
		l := ex.Labels[h]
		if len(l.Values) > 0 {
			e.Labels[h] = l.Values[0]
			e.Classes[h] = l.Values
		}
		if l.Number != nil {
			e.Numbers[h] = *l.Number
			e.Labels[h] = numberText(*l.Number)
		}
		from := len(e.Spans)
		for _, s := range l.Spans {
			e.Spans = append(e.Spans, spanEnv{Text: ex.Text[s.Start:s.End], Label: s.Label, Head: h, Entity: s.EntityID, Start: s.Start, End: s.End})
		}
		for _, s := range edit.TagSpans(ex.Tokens, l.Tags) {
			e.Spans = append(e.Spans, spanEnv{Text: ex.Text[s.Start:s.End], Label: s.Label, Head: h, Start: s.Start, End: s.End})
		}
		slices.SortStableFunc(e.Spans[from:], func(a, b spanEnv) int { return a.Start - b.Start })
	}
}

// at sets what belongs to a match.
func (e *env) at(m *edit.Match) {
	e.Match = matchEnv{Text: m.Text(e.Text), Before: e.Text[:m.Start], After: e.Text[m.End:], Start: m.Start, End: m.End,
		Label: m.Label, Head: m.Head, Entity: m.EntityID, Groups: e.Match.Groups}
	clear(e.Match.Groups)
	if m.List != nil {
		e.Match.List = m.List.Name
	}
	for _, n := range m.Names {
		if g, _, _, ok := m.Group(e.Text, n); ok {
			if e.Match.Groups == nil {
				e.Match.Groups = map[string]string{}
			}
			e.Match.Groups[n] = g
		}
	}
}

// holds evaluates a condition. What fails while it runs (a division by zero, an
// index out of range) counts as false and is told.
func (c *condition) holds(machine *vm.VM, e *env) (bool, error) {
	v, err := machine.Run(c.program, e)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("the condition gives %v, true or false is wanted", reflect.TypeOf(v))
	}
	return b, nil
}
