package augment

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/vm"

	"github.com/islm-dev/islm/augment/edit"
	"github.com/islm-dev/islm/augment/gazetteer"
	"github.com/islm-dev/islm/sdk"
)

// state is what one goroutine needs for one example. Its memory is used again.
type state struct {
	ex   *sdk.Example
	draw Draw

	hits    []hit
	found   []candidate
	names   []gazetteer.Match
	queue   []uint32 // rules that may match, ascending
	marks   []uint32 // per rule the round in which it was queued
	wanted  []uint32 // per rule the round in which a regular expression's prefilter let the text through
	round   uint32
	heads   []string
	spans   []headSpan
	hasTags bool

	matches []edit.Match
	ctx     edit.Context
	env     env
	filled  bool
	machine vm.VM
	buf     []byte
	keyed   bool
	key     [2]uint64
	pcg     rand.PCG
	rng     *rand.Rand

	edits    []edit.Edit
	groups   []group
	taken    []edit.Edit
	acting   []uint32
	changed  []change
	rewrites []uint32
	trained  []uint32 // rules that are left to the trainer

	trace func(rule uint32, m edit.Match, what Outcome, why func() string) // nil outside of explanations
}

// candidate is where an alternative of a rule matches.
type candidate struct {
	rule       uint32
	alt        uint16
	row        int32
	start, end int
	entity     string
}

type headSpan struct {
	head string
	sdk.Span
}

// group are the edits of one rule at one match; they stand or fall together.
type group struct {
	rule     uint32
	from, to int // of state.edits
	match    edit.Match
	rewrite  bool
	taken    bool
}

type change struct {
	head string
	to   sdk.Label
}

func (e *Engine) newState() *state {
	st := &state{marks: make([]uint32, len(e.rules)), wanted: make([]uint32, len(e.rules))}
	st.rng = rand.New(&st.pcg)
	st.ctx.Resources = e.opt.Resources
	return st
}

func (st *state) begin(ex *sdk.Example, d Draw) {
	st.ex, st.draw = ex, d
	st.hits, st.found, st.queue = st.hits[:0], st.found[:0], st.queue[:0]
	st.spans, st.heads, st.hasTags = st.spans[:0], st.heads[:0], false
	st.edits, st.groups, st.taken, st.acting = st.edits[:0], st.groups[:0], st.taken[:0], st.acting[:0]
	st.changed, st.rewrites, st.trained = st.changed[:0], st.rewrites[:0], st.trained[:0]
	st.filled, st.keyed = false, false
	if st.round++; st.round == 0 { // the counter came round
		clear(st.marks)
		clear(st.wanted)
		st.round = 1
	}
}

// release lets go of the example.
func (st *state) release() {
	st.ex, st.ctx.Example, st.ctx.Text = nil, nil, ""
	clear(st.groups)
	clear(st.changed)
}

func (st *state) enqueue(rule uint32) {
	if st.marks[rule] != st.round {
		st.marks[rule] = st.round
		st.queue = append(st.queue, rule)
	}
}

// find looks for everything that all rules look for and queues the rules that
// may match. It reports whether there are any.
func (e *Engine) find(st *state) bool {
	text := st.ex.Text
	odd := false
	if e.auto != nil {
		st.hits, odd = e.auto.scan(st.hits, text)
		for _, h := range st.hits {
			e.hit(st, h)
		}
	}
	if len(e.guarded) > 0 {
		var have classes
		for i := range len(text) {
			have |= e.table[text[i]]
		}
		for _, g := range e.guarded {
			if g.need&have == g.need {
				st.wanted[g.rule] = st.round
				st.enqueue(g.rule)
			}
		}
	}
	if odd {
		for i, r := range e.rules {
			if r.regexes {
				st.wanted[i] = st.round
				st.enqueue(uint32(i))
			}
		}
	}
	for i := range e.big {
		e.lookUp(st, &e.big[i])
	}
	if len(e.byLabel)+len(e.anyLabel) > 0 && len(st.ex.Labels) > 0 {
		e.findSpans(st)
	}
	for _, ri := range e.always {
		st.enqueue(ri)
	}
	if len(st.queue) == 0 || !utf8.ValidString(text) {
		return false
	}
	if len(st.queue) > 1 {
		slices.Sort(st.queue)
		if len(st.found) > 1 {
			slices.SortStableFunc(st.found, func(a, b candidate) int { return cmp.Compare(a.rule, b.rule) })
		}
	}
	st.ctx.Reset(st.ex)
	return true
}

// hit takes note of an occurrence of a pattern.
func (e *Engine) hit(st *state, h hit) {
	p := &e.patterns[h.pattern]
	if p.source == fromRegex {
		st.wanted[p.rule] = st.round
		st.enqueue(p.rule)
		return
	}
	end := int(h.end)
	start := end - int(e.auto.lengths[h.pattern])
	if !p.folded && st.ex.Text[start:end] != p.form || p.words && !edit.AtWordBorders(st.ex.Text, start, end) {
		return
	}
	st.found = append(st.found, candidate{rule: p.rule, alt: p.alt, row: p.row, start: start, end: end})
	st.enqueue(p.rule)
}

// lookUp runs the matcher of a large list, or of a graph's entities.
func (e *Engine) lookUp(st *state, b *bigList) {
	st.names = b.m.Append(st.names[:0], st.ex.Text)
	for _, m := range st.names {
		for _, u := range b.users {
			c := candidate{rule: u.rule, alt: u.alt, row: int32(m.IDs[0]), start: m.Start, end: m.End}
			if b.ids != nil {
				if c.row, c.entity = -1, e.entity(b, m.IDs, e.rules[u.rule].match[u.alt].query); c.entity == "" {
					continue
				}
			}
			st.found = append(st.found, c)
			st.enqueue(u.rule)
		}
	}
}

// entity is the first of the entities with a name that the query has answers for.
func (e *Engine) entity(b *bigList, ids []uint32, q *edit.Query) string {
	g := e.opt.Resources.Graph
	for _, i := range ids {
		id := b.ids[i]
		if q.Given(g, id) && (!q.Asks() || q.Answered(g, id)) {
			return id
		}
	}
	return ""
}

// findSpans collects the labelled spans and queues the rules that want them.
func (e *Engine) findSpans(st *state) {
	for h, l := range st.ex.Labels {
		if l.Spans != nil || l.Tags != nil {
			st.heads = append(st.heads, h)
		}
	}
	slices.Sort(st.heads)
	var scratch []sdk.Span
	for _, h := range st.heads {
		l := st.ex.Labels[h]
		scratch = append(scratch[:0], l.Spans...)
		if l.Tags != nil {
			scratch = edit.AppendTagSpans(scratch, st.ex.Tokens, l.Tags)
		}
		for _, s := range scratch {
			st.spans = append(st.spans, headSpan{h, s})
			for _, ri := range e.byLabel[s.Label] {
				st.enqueue(ri)
			}
		}
	}
	if len(st.spans) > 0 {
		for _, ri := range e.anyLabel {
			st.enqueue(ri)
		}
	}
}

// run collects the edits of one rule.
func (e *Engine) run(st *state, ri uint32) {
	r := e.rules[ri]
	e.collect(st, ri)
	if len(st.matches) == 0 {
		if st.trace != nil {
			st.note(ri, edit.Match{}, NoMatch, nil)
		}
		return
	}
	for _, h := range r.changes {
		l, ok := st.ex.Labels[h]
		if !ok {
			continue
		}
		if _, ok := changed(l, r.Labels.Change[h]); !ok {
			if st.trace != nil {
				st.note(ri, st.matches[0], OtherLabel, func() string {
					return fmt.Sprintf("the rule does not say what %s of %q becomes", valueText(l), h)
				})
			}
			return
		}
	}
	if r.where != nil {
		e.fillEnv(st, r)
		if !r.where.usesMatch {
			st.env.Match = matchEnv{}
			if ok, err := r.where.holds(&st.machine, &st.env); !ok {
				if st.trace != nil {
					st.note(ri, st.matches[0], ConditionFalse, whyFalse(r, err))
				}
				return
			}
		}
	}
	st.seed(e.opt.Seed, r)
	chosen := st.matches[:0]
	for _, m := range st.matches {
		if r.Probability != nil && *r.Probability < 1 && !e.opt.Certain && st.rng.Float64() >= *r.Probability {
			if st.trace != nil {
				st.note(ri, m, NotDrawn, func() string { return fmt.Sprintf("probability %v", *r.Probability) })
			}
			continue
		}
		if r.where != nil && r.where.usesMatch {
			st.env.at(&m)
			if ok, err := r.where.holds(&st.machine, &st.env); !ok {
				if st.trace != nil {
					st.note(ri, m, ConditionFalse, whyFalse(r, err))
				}
				continue
			}
		}
		chosen = append(chosen, m)
	}
	limit := r.MaxPerExample
	if limit == 0 {
		limit = len(chosen)
	}
	if len(r.changes) > 0 {
		limit = min(limit, 1) // a label changes once
	}
	if limit < len(chosen) {
		st.rng.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	}
	st.ctx.Rand, st.ctx.Lang = st.rng, st.lang(r)
	done := 0
	for i := range chosen {
		if done == limit {
			if st.trace != nil {
				st.note(ri, chosen[i], OverLimit, overLimit(limit))
			}
			continue
		}
		if e.act(st, ri, chosen[i]) {
			done++
		}
	}
}

// act asks the rule's action for its edits at one match.
func (e *Engine) act(st *state, ri uint32, m edit.Match) bool {
	r := e.rules[ri]
	from := len(st.edits)
	if r.trained {
		st.trained = append(st.trained, ri)
		if st.trace != nil {
			st.note(ri, m, Fired, func() string { return "left to the trainer" })
		}
		return true
	}
	if r.rewriter != nil {
		st.groups = append(st.groups, group{rule: ri, from: from, to: from, match: m, rewrite: true})
		return true
	}
	st.ctx.Begin(m)
	r.Action.Edit(&st.ctx)
	edits := st.ctx.Edits()
	if len(edits) == 0 {
		if st.trace != nil {
			st.note(ri, m, NothingToDo, nil)
		}
		return false
	}
	slices.SortStableFunc(edits, edit.Compare)
	if why := edit.Refusal(st.ex, edits, r.keeps); why != "" {
		if st.trace != nil {
			st.note(ri, m, Refused, func() string { return why })
		}
		return false
	}
	st.edits = append(st.edits, edits...)
	st.groups = append(st.groups, group{rule: ri, from: from, to: len(st.edits), match: m})
	return true
}

// collect gathers the matches of one rule, leftmost-longest.
func (e *Engine) collect(st *state, ri uint32) {
	st.matches = st.matches[:0]
	r := e.rules[ri]
	at := sort.Search(len(st.found), func(i int) bool { return st.found[i].rule >= ri })
	for ; at < len(st.found) && st.found[at].rule == ri && len(st.matches) < maxMatches; at++ {
		c := &st.found[at]
		a := &r.match[c.alt]
		m := edit.Match{Start: c.start, End: c.end, EntityID: c.entity}
		if c.row >= 0 {
			m.List, m.Row = a.list, int(c.row)
		}
		if a.query != nil {
			m.Label = a.query.Type
		}
		st.match(a, m)
	}
	for j := range r.match {
		a := &r.match[j]
		switch a.source {
		case fromRegex:
			if st.wanted[ri] != st.round {
				continue
			}
			for _, loc := range a.re.FindAllStringSubmatchIndex(st.ex.Text, maxMatches) {
				if loc[0] < loc[1] {
					st.match(a, edit.Match{Start: loc[0], End: loc[1], Groups: loc, Names: a.groups})
				}
			}
		case fromEntity:
			for _, s := range st.spans {
				if a.wants(s) {
					st.match(a, edit.Match{Start: s.Start, End: s.End, Head: s.head, Label: s.Label, EntityID: s.EntityID})
				}
			}
		case fromPart:
			for _, s := range st.spans {
				if a.wants(s) {
					st.part(a, s)
				}
			}
		case fromWord:
			for _, w := range st.ctx.Words() {
				if len(st.matches) >= maxMatches {
					break
				}
				if first, _ := utf8.DecodeRuneInString(st.ex.Text[w.Start:w.End]); edit.IsWord(first) && (a.min == 0 || utf8.RuneCountInString(st.ex.Text[w.Start:w.End]) >= a.min) {
					st.match(a, edit.Match{Start: w.Start, End: w.End})
				}
			}
		case fromText:
			if st.ex.Text != "" {
				st.match(a, edit.Match{Start: 0, End: len(st.ex.Text)})
			}
		}
	}
	if len(st.matches) > 1 {
		st.matches = sortMatches(st.matches)
	}
}

func (a *alternative) wants(s headSpan) bool {
	return (a.labels == nil || slices.Contains(a.labels, s.Label)) && (a.head == "" || a.head == s.head)
}

// match adds a match unless it is excepted.
func (st *state) match(a *alternative, m edit.Match) {
	if len(st.matches) >= maxMatches || a.except != nil && a.except[strings.ToLower(st.ex.Text[m.Start:m.End])] {
		return
	}
	st.matches = append(st.matches, m)
}

// part adds the matches within a span.
func (st *state) part(a *alternative, s headSpan) {
	words := st.ctx.Words()
	first := sort.Search(len(words), func(i int) bool { return words[i].Start >= s.Start })
	last := first
	for last < len(words) && words[last].End <= s.End {
		last++
	}
	add := func(w sdk.Token) {
		st.match(a, edit.Match{Start: w.Start, End: w.End, Head: s.head, Label: s.Label, EntityID: s.EntityID})
	}
	switch {
	case first == last:
	case a.which == "first":
		add(words[first])
	case a.which == "last":
		add(words[last-1])
	case a.which == "inner":
		for _, w := range words[first+1 : max(first+1, last-1)] {
			add(w)
		}
	default:
		for _, w := range words[first:last] {
			add(w)
		}
	}
}

func (e *Engine) fillEnv(st *state, r *active) {
	if !st.filled {
		st.env.fill(st.ex, "", len(st.ctx.Words()))
		st.filled = true
	}
	st.env.Lang = st.lang(r)
}

func (st *state) lang(r *active) string {
	if l, ok := st.ex.Meta["lang"]; ok {
		return l
	}
	return r.pack.Manifest.Lang
}

// seed gives the generator the state for one rule and example.
func (st *state) seed(seed uint64, r *active) {
	st.makeKey(seed)
	st.pcg.Seed(mix(st.key[0]+r.key[0]), mix(st.key[1]+r.key[1]))
}

// chosen reports whether a rule is the one of its group that may act.
func (st *state) chosen(seed uint64, r *active) bool {
	st.makeKey(seed)
	return int(mix(st.key[0]^mix(st.key[1]+r.group))%uint64(r.size)) == r.place
}

// makeKey makes the number that stands for seed, draw and example.
func (st *state) makeKey(seed uint64) {
	if !st.keyed {
		b := append(st.buf[:0], "islm/rules.v1\x00"...)
		b = binary.LittleEndian.AppendUint64(b, seed)
		b = binary.LittleEndian.AppendUint64(b, uint64(st.draw.Epoch))
		b = binary.LittleEndian.AppendUint64(b, uint64(st.draw.Copy))
		b = append(b, st.ex.ID...)
		st.buf = b
		sum := sha256.Sum256(b)
		st.key = [2]uint64{binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])}
		st.keyed = true
	}
}

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// collides returns an edit already taken that excludes one of these.
func (st *state) collides(edits []edit.Edit) (edit.Edit, bool) {
	for _, x := range edits {
		i := sort.Search(len(st.taken), func(i int) bool { return st.taken[i].End >= x.Start })
		for ; i < len(st.taken) && st.taken[i].Start <= x.End; i++ {
			if edit.Overlap(st.taken[i], x) {
				return st.taken[i], true
			}
		}
	}
	return edit.Edit{}, false
}

// rewrite lets the rules that make whole examples work on what the edits gave.
func (e *Engine) rewrite(st *state, out *sdk.Example) {
	for _, ri := range st.rewrites {
		r := e.rules[ri]
		st.seed(e.opt.Seed, r)
		var c edit.Context
		c.Reset(out)
		c.Begin(edit.Match{Start: 0, End: len(out.Text)})
		c.Rand, c.Lang, c.Resources = st.rng, st.lang(r), e.opt.Resources
		made, err := r.rewriter.Rewrite(&c)
		if err != nil {
			if st.trace != nil {
				st.note(ri, edit.Match{}, Refused, func() string { return err.Error() })
			}
			continue
		}
		made = slices.DeleteFunc(made, func(x sdk.Example) bool { return Refusal(out, &x) != "" })
		if len(made) == 0 {
			if st.trace != nil {
				st.note(ri, edit.Match{}, NothingToDo, nil)
			}
			continue
		}
		x := made[st.rng.IntN(len(made))]
		x.ID, x.File, x.Line = out.ID, out.File, out.Line
		*out = x
	}
}

// Refusal says why a whole example that a function made of another cannot stand
// for it, or "".
func Refusal(from, made *sdk.Example) string {
	switch ds := made.Check(); {
	case ds.HasErrors():
		return ds[0].Summary
	case edit.Blank(made.Text):
		return "it has no text"
	case len(made.Text) > growth(len(from.Text)):
		return fmt.Sprintf("its text is %d bytes long, at most %d are allowed", len(made.Text), growth(len(from.Text)))
	}
	return ""
}

// provenance is the Meta of a variant: that of the example and, under
// "augment", which rules of which packs did what.
func (e *Engine) provenance(st *state) map[string]string {
	meta := make(map[string]string, len(st.ex.Meta)+1)
	for k, v := range st.ex.Meta {
		meta[k] = v
	}
	b := st.buf[:0]
	if before := meta[ProvenanceKey]; strings.HasPrefix(before, "[") && strings.HasSuffix(before, "]") && len(before) > 2 {
		b = append(append(b, before[:len(before)-1]...), ',')
	} else {
		b = append(b, '[')
	}
	for i, ri := range st.acting {
		r := e.rules[ri]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"pack":`...)
		b = appendQuoted(b, r.pack.Manifest.Name)
		b = append(b, `,"version":`...)
		b = appendQuoted(b, r.pack.Manifest.Version)
		b = append(b, `,"rule":`...)
		b = appendQuoted(b, r.ID)
		b = append(b, `,"edits":[`...)
		first := true
		for _, g := range st.groups {
			if g.rule != ri || !g.taken {
				continue
			}
			for _, x := range st.edits[g.from:g.to] {
				if !first {
					b = append(b, ',')
				}
				first = false
				b = strconv.AppendInt(append(b, '['), int64(x.Start), 10)
				b = strconv.AppendInt(append(b, ','), int64(x.End), 10)
				b = append(appendQuoted(append(b, ','), x.New), ']')
			}
		}
		b = append(b, "]}"...)
	}
	b = append(b, ']')
	st.buf = b
	meta[ProvenanceKey] = string(b)
	if len(st.changed) > 0 {
		meta[ContrastKey] = st.ex.ID
	}
	return meta
}

// Keys of Meta that the engine writes.
const (
	// ProvenanceKey holds a JSON list: for each rule that acted its pack, version,
	// ID and edits as [start, end, new text], offsets in the parent's text. Where a
	// variant is varied again the entries follow those of its parent.
	ProvenanceKey = "augment"
	// ContrastKey holds the ID of the example from which the variant differs in a
	// label: the other half of a counterfactual pair.
	ContrastKey = "augment.contrast"
)

// appendQuoted appends a JSON text.
func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf || c == 0x7f {
			raw, err := json.Marshal(s)
			if err != nil { // a string cannot fail
				return append(b, `""`...)
			}
			return append(b, raw...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func overLimit(limit int) func() string {
	return func() string { return fmt.Sprintf("at most %d in one example", limit) }
}

// note tells an explanation; callers look at trace first, so that nothing is
// allocated without one.
func (st *state) note(rule uint32, m edit.Match, what Outcome, why func() string) {
	st.trace(rule, m, what, why)
}

func whyFalse(r *active, err error) func() string {
	return func() string {
		if err != nil {
			return fmt.Sprintf("%s: %v", strings.TrimSpace(r.Where), err)
		}
		return strings.TrimSpace(r.Where)
	}
}

func valueText(l sdk.Label) string {
	switch {
	case len(l.Values) > 0:
		return strings.Join(l.Values, ", ")
	case l.Number != nil:
		return numberText(*l.Number)
	}
	return "the label"
}
