package augment

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/augment/gazetteer"
	"github.com/islm-dev/islm/sdk"
)

// Limits of one example. They bound time and output for any text.
const (
	maxExampleBytes = 1 << 20 // longer texts stay as they are
	maxMatches      = 2000    // of one rule in one text
)

// growth is how long a text may become.
func growth(n int) int { return 4*n + 4096 }

// Options of an engine.
type Options struct {
	// Seed is the run's seed.
	Seed uint64
	// Resources are what rules may ask besides the example.
	Resources edit.Resources
	// Skip leaves out rules, by PACK/RULE or RULE, to see what they are worth.
	Skip []string
	// Certain makes every probability 1, for tests and for counting what could fire.
	Certain bool
	// Votes takes the labelling rules (label.v0) and no others; without it they are
	// left out.
	Votes bool
	// Take chooses rules; nil takes all. Draws stay those of all rules, so that
	// engines that share out the rules of the same packs draw as one would.
	Take func(pack string, r *CompiledRule) bool
	// Bare leaves out the provenance in Meta, for training, where nobody reads it.
	Bare bool
}

// Engine applies the rules of packs to examples. It is safe for use by many
// goroutines, and what it makes of an example depends on nothing but the example,
// the options, the packs and the draw.
type Engine struct {
	opt      Options
	rules    []*active
	auto     *automaton
	patterns []pattern
	big      []bigList
	always   []uint32            // rules with word or text
	byLabel  map[string][]uint32 // rules that want a labelled span
	anyLabel []uint32
	guarded  []guard // expressions without literals, by the properties of texts they need
	table    [256]classes
	pool     sync.Pool
}

// active is a rule in an engine.
type active struct {
	*CompiledRule
	pack     *Pack
	priority [2]int
	key      [2]uint64 // of the digest
	keepAll  bool
	changes  []string // heads
	rewriter edit.Rewriter
	trained  bool // acts in the trainer
	keeps    func(head string) bool
	regexes  bool // some alternative is a regular expression
	// the place among the rules of which one may act; size 0 for a rule on its own
	group       uint64
	place, size int
}

// pattern is one entry of the automaton.
type pattern struct {
	rule   uint32
	alt    uint16
	source source // literal, list, or regex for what one needs
	words  bool
	folded bool   // found in any case
	form   string // as written, where case counts
	row    int32
}

// bigList is a list that is looked for by a matcher of its own.
type bigList struct {
	m     *gazetteer.Matcher
	users []altRef
	ids   []string // entities by number, for knowledge graphs
}

type altRef struct {
	rule uint32
	alt  uint16
}

// guard is a regular expression that is run when the text has some properties.
type guard struct {
	rule uint32
	need classes
}

// largeList is how many forms make a list get a matcher of its own.
const largeList = 5000

// NewEngine makes an engine of packs that loaded without errors. Rules that need
// a resource which is not there are left out with a warning.
func NewEngine(packs []*Pack, opt Options) (*Engine, sdk.Diagnostics) {
	var ds sdk.Diagnostics
	e := &Engine{opt: opt, byLabel: map[string][]uint32{}, table: classTable()}
	e.opt.Resources.Thesaurus = remember(opt.Resources.Thesaurus)
	seen := map[string]bool{}
	for _, p := range packs {
		if p.bad {
			ds.Errorf("pack.bad", "pack %s has errors and cannot be used", p)
			continue
		}
		if seen[p.Manifest.Name] {
			ds.Errorf("pack.duplicate", "pack %q is given twice", p.Manifest.Name)
			continue
		}
		seen[p.Manifest.Name] = true
		for _, r := range p.Rules {
			if slices.Contains(opt.Skip, r.ID) || slices.Contains(opt.Skip, p.Manifest.Name+"/"+r.ID) {
				continue
			}
			if what := missing(r.needs, opt.Resources); what != "" {
				ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "rules.resource", File: r.File, Line: r.Line,
					Summary: fmt.Sprintf("rule %s/%s needs %s and does nothing here", p.Manifest.Name, r.ID, what)})
				continue
			}
			if _, votes := r.Action.(edit.Voter); votes != opt.Votes {
				continue
			}
			e.add(p, r)
		}
	}
	e.choose()
	if opt.Take != nil {
		e.rules = slices.DeleteFunc(e.rules, func(r *active) bool { return !opt.Take(r.pack.Manifest.Name, r.CompiledRule) })
	}
	e.index()
	e.pool.New = func() any { return e.newState() }
	return e, ds
}

// choose numbers the rules of each group of which one may act.
func (e *Engine) choose() {
	groups := map[string][]*active{}
	for _, r := range e.rules {
		if r.OneOf != "" {
			name := r.pack.Manifest.Name + "/" + r.OneOf
			groups[name] = append(groups[name], r)
		}
	}
	for name, members := range groups {
		sum := sha256.Sum256([]byte(name))
		for i, r := range members {
			r.group, r.place, r.size = binary.LittleEndian.Uint64(sum[:]), i, len(members)
		}
	}
}

func missing(n edit.Needs, r edit.Resources) string {
	switch {
	case n.Graph && r.Graph == nil:
		return "a knowledge graph"
	case n.Thesaurus && r.Thesaurus == nil:
		return "a thesaurus such as WordNet"
	case n.Coder && r.Coder == nil:
		return "its plugin's code"
	}
	return ""
}

func (e *Engine) add(p *Pack, r *CompiledRule) {
	a := &active{CompiledRule: r, pack: p, priority: [2]int{p.Manifest.Priority, r.Priority}, keepAll: r.Labels.keepsAll()}
	if raw, err := hex.DecodeString(r.Digest); err == nil && len(raw) >= 16 {
		a.key = [2]uint64{binary.LittleEndian.Uint64(raw), binary.LittleEndian.Uint64(raw[8:])}
	}
	for h := range r.Labels.Change {
		a.changes = append(a.changes, h)
	}
	slices.Sort(a.changes)
	a.rewriter, _ = r.Action.(edit.Rewriter)
	_, a.trained = r.Action.(edit.Trained)
	a.keeps = func(head string) bool {
		return a.keepAll || slices.Contains(r.Labels.Keep, head) || slices.Contains(a.changes, head)
	}
	for _, m := range r.match {
		a.regexes = a.regexes || m.source == fromRegex
	}
	e.rules = append(e.rules, a)
}

// index sorts the alternatives of all rules by how they are found.
func (e *Engine) index() {
	var folded [][]byte
	lists := map[string]int{} // key of a big list -> index
	add := func(p pattern, form string) {
		e.patterns = append(e.patterns, p)
		folded = append(folded, fold(form))
	}
	build := func(limit int) bool {
		e.patterns, folded, e.big, e.always, e.anyLabel, e.guarded = nil, nil, nil, nil, nil, nil
		clear(e.byLabel)
		clear(lists)
		for i, r := range e.rules {
			ri := uint32(i)
			for j := range r.match {
				a := &r.match[j]
				p := pattern{rule: ri, alt: uint16(j), source: a.source, words: a.words, folded: a.fold, row: -1}
				switch a.source {
				case fromLiteral:
					for _, form := range a.literals {
						p.form = form
						add(p, form)
					}
				case fromRegex:
					if len(a.need.literals) == 0 {
						e.guarded = append(e.guarded, guard{ri, a.need.classes})
					}
					for _, form := range a.need.literals {
						add(p, form)
					}
				case fromList:
					if forms(a.list) > limit {
						e.addBig(lists, fmt.Sprintf("%p %t %t", a.list, a.fold, a.words), altRef{ri, uint16(j)}, func() bigList {
							return bigList{m: gazetteer.Build(rowsOf(a.list), gazetteer.Options{FoldCase: a.fold, Words: a.words})}
						})
						continue
					}
					for row, forms := range a.list.Rows {
						for _, form := range forms {
							p.form, p.row = form, int32(row)
							add(p, form)
						}
					}
				case fromGraph:
					e.addBig(lists, fmt.Sprintf("kg %s %t", a.query.Type, a.words), altRef{ri, uint16(j)}, func() bigList {
						ids := e.opt.Resources.Graph.OfType(a.query.Type)
						return bigList{ids: ids, m: gazetteer.Build(namesOf(e.opt.Resources.Graph, ids), gazetteer.Options{FoldCase: false, Words: a.words})}
					})
				case fromEntity, fromPart:
					if a.labels == nil {
						e.anyLabel = append(e.anyLabel, ri)
					}
					for _, l := range a.labels {
						e.byLabel[l] = append(e.byLabel[l], ri)
					}
				case fromWord, fromText:
					e.always = append(e.always, ri)
				}
			}
		}
		if len(folded) == 0 {
			e.auto = nil
			return true
		}
		var ok bool
		e.auto, ok = newAutomaton(folded)
		return ok
	}
	// A pack whose literals alone exceed the table is beyond MaxRules times the
	// size of a rule file; its lists go first.
	for _, limit := range []int{largeList, 500, 0} {
		if build(limit) {
			return
		}
	}
}

func (e *Engine) addBig(known map[string]int, key string, ref altRef, make func() bigList) {
	i, ok := known[key]
	if !ok {
		i = len(e.big)
		known[key] = i
		e.big = append(e.big, make())
	}
	e.big[i].users = append(e.big[i].users, ref)
}

func forms(l *edit.List) int {
	n := 0
	for _, r := range l.Rows {
		n += len(r)
	}
	return n
}

func rowsOf(l *edit.List) iter.Seq2[string, uint32] {
	return func(yield func(string, uint32) bool) {
		for i, row := range l.Rows {
			for _, f := range row {
				if !yield(f, uint32(i)) {
					return
				}
			}
		}
	}
}

func namesOf(g edit.Graph, ids []string) iter.Seq2[string, uint32] {
	return func(yield func(string, uint32) bool) {
		for i, id := range ids {
			for _, n := range g.Names(id) {
				if !yield(n, uint32(i)) {
					return
				}
			}
		}
	}
}

// Rules is the number of rules that can act.
func (e *Engine) Rules() int { return len(e.rules) }

// Draw says which variant of an example is wanted.
type Draw struct {
	Epoch int
	Copy  int // of several variants in one epoch, from 0
}

// Variant makes one variant of an example. It returns ex itself where no rule
// changes anything. ex is not written to; the variant shares with it what is the
// same in both.
//
// The variant's Parent is the ID of ex, its ID that of ex with "~" and the number
// of the copy, from 1.
func (e *Engine) Variant(ex *sdk.Example, d Draw) *sdk.Example {
	st, ok := e.pool.Get().(*state)
	if !ok {
		st = e.newState()
	}
	out := e.variant(st, ex, d)
	st.release()
	e.pool.Put(st)
	return out
}

// Trained lists the rules that the trainer is to carry out on an example in this
// draw, in the order of packs and rules.
func (e *Engine) Trained(ex *sdk.Example, d Draw) (out []*CompiledRule) {
	st, ok := e.pool.Get().(*state)
	if !ok {
		st = e.newState()
	}
	e.variant(st, ex, d)
	for _, ri := range st.trained {
		out = append(out, e.rules[ri].CompiledRule)
	}
	st.release()
	e.pool.Put(st)
	return out
}

func (e *Engine) variant(st *state, ex *sdk.Example, d Draw) *sdk.Example {
	st.begin(ex, d)
	if len(ex.Text) > maxExampleBytes || len(e.rules) == 0 {
		return ex
	}
	if !e.find(st) {
		return ex
	}
	for _, ri := range st.queue {
		if r := e.rules[ri]; r.size > 1 && !st.chosen(e.opt.Seed, r) {
			if st.trace != nil {
				st.note(ri, edit.Match{}, NotDrawn, func() string { return fmt.Sprintf("another rule of %s was drawn", r.OneOf) })
			}
			continue
		}
		e.run(st, ri)
	}
	return e.finish(st)
}

// finish resolves the edits of all rules, makes them and moves the labels.
func (e *Engine) finish(st *state) *sdk.Example {
	e.resolve(st)
	ex := st.ex
	if len(st.taken) == 0 && len(st.rewrites) == 0 {
		return ex
	}
	keeps := func(head string) bool {
		for _, ri := range st.acting {
			if !e.rules[ri].keeps(head) {
				return false
			}
		}
		return true
	}
	out := edit.Apply(ex, st.taken, keeps)
	if len(st.changed) > 0 {
		labels := make(map[string]sdk.Label, len(out.Labels))
		for h, l := range out.Labels {
			labels[h] = l
		}
		for _, c := range st.changed {
			if _, ok := labels[c.head]; ok {
				labels[c.head] = c.to
			}
		}
		out.Labels = labels
	}
	e.rewrite(st, &out)
	if edit.Blank(out.Text) || out.Text == ex.Text && len(st.changed) == 0 && out.TextB == ex.TextB {
		return ex
	}
	out.Parent = ex.ID
	if out.ID == ex.ID {
		out.ID = ex.ID + "~" + copyName(st.draw.Copy)
	}
	if !e.opt.Bare {
		out.Meta = e.provenance(st)
	}
	return &out
}

func copyName(n int) string {
	if n == 0 {
		return "1"
	}
	return fmt.Sprint(n + 1)
}

// resolve takes the edits that can stand together, the higher priority first,
// then in the order of packs, rules and places.
func (e *Engine) resolve(st *state) {
	slices.SortStableFunc(st.groups, func(a, b group) int {
		p, q := e.rules[a.rule].priority, e.rules[b.rule].priority
		return cmp.Or(cmp.Compare(q[0], p[0]), cmp.Compare(q[1], p[1]), cmp.Compare(a.rule, b.rule))
	})
	size, limit := len(st.ex.Text), growth(len(st.ex.Text))
	for i := range st.groups {
		g := &st.groups[i]
		edits := st.edits[g.from:g.to]
		if g.rewrite {
			if e.mayChange(st, g) {
				st.rewrites = append(st.rewrites, g.rule)
				e.take(st, g)
			}
			continue
		}
		if by, ok := st.collides(edits); ok {
			if st.trace != nil {
				st.note(g.rule, g.match, Overlapped, func() string {
					return fmt.Sprintf("overlaps an edit at [%d, %d) of %s", by.Start, by.End, e.owner(st, by))
				})
			}
			continue
		}
		if !e.mayChange(st, g) {
			continue
		}
		grown := 0
		for _, x := range edits {
			grown += len(x.New) - (x.End - x.Start)
		}
		if size+grown > limit {
			if st.trace != nil {
				st.note(g.rule, g.match, Refused, func() string { return "the text would grow beyond the limit" })
			}
			continue
		}
		size += grown
		for _, x := range edits {
			at, _ := slices.BinarySearchFunc(st.taken, x, edit.Compare)
			st.taken = slices.Insert(st.taken, at, x)
		}
		e.take(st, g)
	}
}

// mayChange refuses a second change of the same head.
func (e *Engine) mayChange(st *state, g *group) bool {
	for _, h := range e.rules[g.rule].changes {
		for _, c := range st.changed {
			if c.head == h {
				if st.trace != nil {
					st.note(g.rule, g.match, Overlapped, func() string { return fmt.Sprintf("the label of %q is already changed", h) })
				}
				return false
			}
		}
	}
	return true
}

// take notes a group as done.
func (e *Engine) take(st *state, g *group) {
	r := e.rules[g.rule]
	g.taken = true
	if !slices.Contains(st.acting, g.rule) {
		st.acting = append(st.acting, g.rule)
	}
	for _, h := range r.changes {
		if old, ok := st.ex.Labels[h]; ok {
			if to, ok := changed(old, r.Labels.Change[h]); ok {
				st.changed = append(st.changed, change{h, to})
			}
		}
	}
	if st.trace != nil {
		st.note(g.rule, g.match, Fired, func() string { return describe(st.ex.Text, st.edits[g.from:g.to]) })
	}
}

// owner names the rule of an edit that is taken.
func (e *Engine) owner(st *state, x edit.Edit) string {
	for _, g := range st.groups {
		if g.taken && slices.ContainsFunc(st.edits[g.from:g.to], func(y edit.Edit) bool { return y.Start == x.Start && y.End == x.End && y.New == x.New }) {
			return e.rules[g.rule].pack.Manifest.Name + "/" + e.rules[g.rule].ID
		}
	}
	return "another rule"
}

func describe(text string, edits []edit.Edit) string {
	var parts []string
	for _, x := range edits {
		parts = append(parts, fmt.Sprintf("%q → %q", text[x.Start:x.End], x.New))
	}
	return strings.Join(parts, ", ")
}
