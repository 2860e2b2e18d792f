package corpus

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// group is all labels that were written under one head's name, or without one.
type group struct {
	head string // "" = bare
	tags bool   // tags and spans, which go to a head of words
	only string // the kind of head that alone takes such labels: answers, relations
	refs []ref
}

// ref is one label of one row.
type ref struct {
	split string
	row   *row
	label *rawLabel
}

// resolveHeads sorts the labels of all rows to heads: named labels to their
// head, bare ones to the one head that covers them, labels that nobody declares
// to a new head. It fills in Example.Labels and returns the heads that have
// labels, declared ones first, with complete label sets.
func resolveHeads(splits map[string][]row, req *Request, p *problems) []sdk.HeadSpec {
	groups := collect(splits)
	declared := make([]sdk.HeadSpec, len(req.Heads))
	var labelled []sdk.HeadSpec // declared heads that learn labels
	for i, h := range req.Heads {
		declared[i] = req.Plan.Apply(h)
		if declared[i].Kind == sdk.KindTag && declared[i].Scheme != schemeNone {
			declared[i].Labels = recipe.EntityTypes(declared[i].Labels)
		}
		if !declared[i].LanguageModel() {
			labelled = append(labelled, declared[i])
		}
	}
	for i := range groups {
		if groups[i].head == "" {
			groups[i].head = bareHead(&groups[i], labelled, req, p)
		}
	}
	groups = merge(groups)
	var used, fresh []sdk.HeadSpec
	for _, h := range declared {
		i := slices.IndexFunc(groups, func(g group) bool { return g.head == h.Name })
		if i < 0 {
			if slices.Contains(req.Keep, h.Name) && !h.LanguageModel() {
				used = append(used, h)
			}
			continue
		}
		if fill(&h, &groups[i], true, req, p) {
			used = append(used, h)
		}
	}
	for i := range groups {
		g := &groups[i]
		if g.head == "" || slices.ContainsFunc(declared, func(h sdk.HeadSpec) bool { return h.Name == g.head }) {
			continue
		}
		if req.Closed {
			p.notice("data.head", g.refs[0].row.File, "labels of %q are left aside: the model has no such head", g.head)
			continue
		}
		h := req.Plan.Apply(sdk.HeadSpec{Name: g.head})
		if fill(&h, g, false, req, p) {
			fresh = append(fresh, h)
		}
	}
	heads := append(append(used, fresh...), languageModels(groups, declared, req, p)...)
	var writers []string
	for _, h := range heads {
		if h.Kind == sdk.KindGenerate {
			writers = append(writers, h.Name)
		}
	}
	if i := slices.IndexFunc(heads, func(h sdk.HeadSpec) bool { return h.Kind == sdk.KindQA || h.Kind == sdk.KindRelation }); i >= 0 && len(writers) > 0 {
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.head", Path: "heads", Summary: fmt.Sprintf("head %s writes behind the text, which head %s of kind %s reads in a form of its own", writers[0], heads[i].Name, heads[i].Kind),
			Remedy: "train them as two models"})
	}
	if len(writers) > 1 {
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.head", Path: "heads", Summary: fmt.Sprintf("the heads %s write text, but only one text can follow a prompt", strings.Join(writers, " and ")),
			Remedy: "train them as two models"})
	}
	var idle []string
	for _, h := range labelled {
		if !slices.Contains(req.Keep, h.Name) && !slices.ContainsFunc(groups, func(g group) bool { return g.head == h.Name }) {
			idle = append(idle, h.Name)
		}
	}
	if len(idle) > 0 && len(heads) > 0 && !req.Closed {
		p.notice("data.head", "", "%s without labels in the data: %s", plural(len(idle), "head stays out", "heads stay out"), strings.Join(idle, ", "))
	}
	names := make([]string, 0, len(declared)+len(heads))
	for _, h := range slices.Concat(declared, heads) {
		names = append(names, h.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(req.Plan.Heads)) {
		if !slices.Contains(names, name) && len(names) > 0 && !req.Plan.Apply(sdk.HeadSpec{Name: name}).LanguageModel() {
			d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.head", Path: "heads." + name, Summary: fmt.Sprintf("the recipe changes head %q, which neither plugin nor data have", name), Remedy: "heads: " + strings.Join(slices.Compact(names), ", "), Source: sdk.FromHost}
			if near := sdk.Nearest(name, names); near != "" {
				d.Remedy = fmt.Sprintf("did you mean %q? (%s)", near, d.Remedy)
			}
			p.add(d)
		}
	}
	return heads
}

// languageModels are the heads that learn the texts of a run: declared ones, and
// those that the recipe alone names. They come last, so that another head is the one
// that config.json holds.
func languageModels(groups []group, declared []sdk.HeadSpec, req *Request, p *problems) (out []sdk.HeadSpec) {
	if req.Closed {
		return nil
	}
	var all []sdk.HeadSpec
	for _, h := range declared {
		if h.LanguageModel() {
			all = append(all, h)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(req.Plan.Heads)) {
		if req.Plan.Apply(sdk.HeadSpec{Name: name}).LanguageModel() && !slices.ContainsFunc(declared, func(h sdk.HeadSpec) bool { return h.Name == name }) {
			all = append(all, req.Plan.Apply(sdk.HeadSpec{Name: name}))
		}
	}
	for _, h := range all {
		path := "heads." + h.Name
		labels := slices.ContainsFunc(groups, func(g group) bool { return g.head == h.Name })
		switch w := req.Plan.Heads[h.Name].Weight; {
		case labels: // which fill reports
		case w != nil && *w == 0:
			if req.Plan.Objective == recipe.ObjectiveContinue && slices.Contains(req.Keep, h.Name) {
				p.add(sdk.Diagnostic{Severity: sdk.Info, Code: "data.head", Path: path, Summary: fmt.Sprintf("head %s of kind %s leaves the model: its weight is 0", h.Name, h.Kind)})
			}
		case !slices.Contains([]string{"", recipe.ObjectiveFinetune, recipe.ObjectiveDistill, recipe.ObjectiveContinue}, req.Plan.Objective):
			p.add(sdk.Diagnostic{Severity: sdk.Info, Code: "data.head", Path: path, Summary: fmt.Sprintf("head %s of kind %s stays out: objective %s trains no language model beside other heads", h.Name, h.Kind, req.Plan.Objective)})
		case len(out) > 0:
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.head", Path: path, Summary: fmt.Sprintf("the heads %s and %s are both language models of the same texts", out[0].Name, h.Name), Remedy: "leave one out: --set " + path + ".weight=0"})
		default:
			h.Labels = nil
			out = append(out, h)
		}
	}
	return out
}

// collect groups the labels of all rows by head, in the order of the data.
func collect(splits map[string][]row) []group {
	var groups []group
	index := map[string]int{}
	for _, split := range SplitNames() {
		rows := splits[split]
		for i := range rows {
			for k := range rows[i].labels {
				l := &rows[i].labels[k]
				tags := l.form == formTags || l.form == formSpans
				key := l.head
				only := map[form]string{formAnswers: sdk.KindQA, formRelation: sdk.KindRelation}[l.form]
				switch {
				case key == "" && tags:
					key = "\x00tags"
				case key == "":
					key = "\x00" + only
				}
				g, ok := index[key]
				if !ok {
					g = len(groups)
					index[key] = g
					groups = append(groups, group{head: l.head, tags: tags, only: only})
				}
				groups[g].refs = append(groups[g].refs, ref{split, &rows[i], l})
			}
		}
	}
	slices.SortStableFunc(groups, func(a, b group) int { return cmp.Compare(a.head, b.head) })
	return groups
}

// merge joins groups that came to the same head.
func merge(groups []group) []group {
	var out []group
	for _, g := range groups {
		i := slices.IndexFunc(out, func(o group) bool { return o.head == g.head && g.head != "" })
		if i < 0 {
			out = append(out, g)
			continue
		}
		out[i].refs = append(out[i].refs, g.refs...)
	}
	return out
}

// seen counts the labels of a group as classes: of texts, lists and numbers
// their texts, of tags the tags, of spans B-LABEL.
func (g *group) seen() map[string]int {
	counts := map[string]int{}
	for _, r := range g.refs {
		for _, v := range r.label.values {
			counts[v]++
		}
		for _, t := range r.label.tags {
			counts[t]++
		}
		if g.tags {
			for _, s := range r.label.spans {
				counts["B-"+s.Label]++
			}
		}
	}
	return counts
}

func (g *group) has(f form) bool {
	return slices.ContainsFunc(g.refs, func(r ref) bool { return r.label.form == f })
}

// fits reports whether a head's kind takes the labels of the group.
func (g *group) fits(h sdk.HeadSpec) bool {
	if g.only != "" || h.Kind == sdk.KindQA || h.Kind == sdk.KindRelation {
		return g.only == h.Kind
	}
	switch h.Kind {
	case sdk.KindTag, sdk.KindSpan:
		return g.tags
	case sdk.KindClassify, sdk.KindPair, sdk.KindPattern:
		return !g.tags && !g.has(formMulti) && !g.has(formText)
	case sdk.KindMultilabel:
		return !g.tags && !g.has(formText)
	case sdk.KindGenerate:
		return !g.tags
	case sdk.KindRegress, sdk.KindRank, sdk.KindEmbed:
		return !g.tags && !slices.ContainsFunc(g.refs, func(r ref) bool { _, ok := amount(r.label); return !ok })
	}
	return false
}

// unknown lists the labels of the group that the head does not have, sorted.
func (g *group) unknown(h sdk.HeadSpec) []string {
	counts := g.seen()
	var labels []string
	if g.tags && (h.Scheme != schemeNone || h.Kind == sdk.KindSpan) {
		labels = entityTypes(counts)
		for tag := range counts {
			if _, _, ok := splitTag(tag); !ok {
				labels = append(labels, tag)
			}
		}
	} else {
		labels = slices.Collect(maps.Keys(counts))
	}
	slices.Sort(labels)
	return slices.DeleteFunc(labels, func(l string) bool { return slices.Contains(h.Labels, l) })
}

// bareHead finds the head of labels that name none. "" means that there is no
// one head, which is reported.
func bareHead(g *group, declared []sdk.HeadSpec, req *Request, p *problems) string {
	first := g.refs[0].row
	if name := req.Plan.Data.Head; name != "" {
		i := slices.IndexFunc(declared, func(h sdk.HeadSpec) bool { return h.Name == name })
		if i >= 0 && g.fits(declared[i]) || i < 0 && !req.Closed {
			return name
		}
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.head", File: first.File, Line: first.Line, Path: "data.head"}
		if i < 0 {
			names := headNames(declared)
			d.Summary = fmt.Sprintf("data.head names %q, the model's heads are %s", name, strings.Join(names, ", "))
			if near := sdk.Nearest(name, names); near != "" {
				d.Remedy = fmt.Sprintf("did you mean %q?", near)
			}
		} else {
			d.Summary = fmt.Sprintf("data.head names %q, a head of kind %s that these labels do not fit", name, declared[i].Kind)
		}
		p.add(d)
		return ""
	}
	if len(declared) == 0 {
		if req.Closed {
			return ""
		}
		return newName(g)
	}
	var fitting, covering []sdk.HeadSpec
	for _, h := range declared {
		if !g.fits(h) {
			continue
		}
		fitting = append(fitting, h)
		if numeric(h.Kind) || h.Kind == sdk.KindQA || h.Kind == sdk.KindGenerate && g.has(formText) || h.Kind != sdk.KindGenerate && len(g.unknown(h)) == 0 {
			covering = append(covering, h)
		}
	}
	if len(covering) == 1 {
		return covering[0].Name
	}
	if len(covering) == 0 && len(fitting) == 1 && (req.Closed || req.Grow) {
		return fitting[0].Name // its unknown labels are reported there, or added
	}
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.head", File: first.File, Line: first.Line}
	if len(covering) > 1 {
		d.Summary = "these labels fit several heads: " + strings.Join(headNames(covering), ", ")
		d.Remedy = "choose one with --set data.head=" + covering[0].Name
		p.add(d)
		return ""
	}
	shown := slices.Sorted(maps.Keys(g.seen()))
	d.Summary = "no head has all of these labels: " + list(shown, 8)
	best := slices.MinFunc(append(fitting, sdk.HeadSpec{}), func(a, b sdk.HeadSpec) int {
		return cmp.Compare(misses(g, a), misses(g, b))
	})
	var lines []string
	for _, h := range fitting {
		lines = append(lines, fmt.Sprintf("head %s has not: %s", h.Name, list(g.unknown(h), 5)))
	}
	d.Detail = strings.Join(lines, "\n")
	d.Remedy = "name the head with --set data.head=NAME; a new name makes a new head"
	if best.Name != "" && misses(g, best) < len(g.seen()) {
		d.Remedy = fmt.Sprintf("correct the labels that %s does not know, or name the head with --set data.head=NAME; a new name makes a new head", best.Name)
	}
	p.add(d)
	return ""
}

func misses(g *group, h sdk.HeadSpec) int {
	if h.Name == "" {
		return len(g.seen()) + 1
	}
	return len(g.unknown(h))
}

func headNames(heads []sdk.HeadSpec) []string {
	names := make([]string, len(heads))
	for i, h := range heads {
		names[i] = h.Name
	}
	return names
}

// newName names a head that nobody declares.
func newName(g *group) string {
	switch g.only {
	case sdk.KindQA:
		return "answer"
	case sdk.KindRelation:
		return "relation"
	}
	if g.has(formText) {
		return "answer"
	}
	if !g.tags {
		return "label"
	}
	if looksBIO(slices.Collect(maps.Keys(g.seen()))) {
		return "ner"
	}
	return "tags"
}

// list writes the first n of some words.
func list(words []string, n int) string {
	if len(words) <= n {
		return strings.Join(words, ", ")
	}
	return strings.Join(words[:n], ", ") + fmt.Sprintf(" and %d more", len(words)-n)
}

// fill completes a head from its labels and writes the labels into the
// examples. It reports what does not fit and whether the head can be used.
func fill(h *sdk.HeadSpec, g *group, declared bool, req *Request, p *problems) bool {
	first := g.refs[0].row
	if h.Kind == "" {
		h.Kind = kindFor(g, first, p)
	}
	switch h.Kind {
	case sdk.KindTag:
		return fillTags(h, g, declared, req, p)
	case sdk.KindSpan:
		return fillSpans(h, g, declared, req, p)
	case sdk.KindQA:
		return fillAnswers(h, g, req, p)
	case sdk.KindRelation:
		return fillRelations(h, g, declared, req, p)
	case sdk.KindMLM, sdk.KindCLM:
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.head", File: first.File, Line: first.Line,
			Summary: fmt.Sprintf("head %q of kind %s learns from the texts themselves: it takes no labels", h.Name, h.Kind), Remedy: "give the labels, or the language model, another name"})
		return false
	case sdk.KindClassify, sdk.KindPair, sdk.KindPattern, sdk.KindMultilabel, sdk.KindRegress, sdk.KindRank, sdk.KindEmbed, sdk.KindGenerate:
	default:
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.head", File: first.File, Line: first.Line,
			Summary: fmt.Sprintf("head %q is of kind %s, which this version does not train", h.Name, h.Kind), Remedy: "kinds: " + strings.Join(trainable(), ", ")})
		return false
	}
	if h.Kind == sdk.KindMultilabel { // a|b in a cell of a table
		for _, r := range g.refs {
			if v := r.label.values; r.label.form == formSingle && len(v) == 1 && strings.Contains(v[0], "|") && !slices.Contains(h.Labels, v[0]) {
				r.label.values = nil
				for part := range strings.SplitSeq(v[0], "|") {
					if part = strings.TrimSpace(part); part != "" {
						r.label.values = append(r.label.values, part)
					}
				}
			}
		}
	}
	if numeric(h.Kind) { // the cells of a table are texts
		for _, r := range g.refs {
			if n, ok := amount(r.label); ok {
				r.label.form, r.label.number = formNumber, n
			}
		}
	}
	ok := true
	for _, r := range g.refs {
		if (h.Kind == sdk.KindPair || h.Kind == sdk.KindRank || h.Kind == sdk.KindEmbed) && r.row.TextB == "" {
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.pair", File: r.row.File, Line: r.row.Line,
				Summary: fmt.Sprintf("head %q of kind %s wants two texts, here text_b is missing", h.Name, h.Kind), Remedy: "data.text_b names the field of the second text"})
			ok = false
			continue
		}
		if l := r.label; l.form == formNumber && (l.number < 0 || l.number > 1) && unitRange(h) {
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.label", File: r.row.File, Line: r.row.Line,
				Summary: fmt.Sprintf("the number %g of head %q is not in 0..1", l.number, h.Name), Remedy: "scale the labels to 0..1"})
			ok = false
			continue
		}
		if why := misfit(h, r.label); why != "" {
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.label", File: r.row.File, Line: r.row.Line,
				Summary: fmt.Sprintf("%s does not fit head %q of kind %s", why, h.Name, h.Kind)})
			ok = false
			continue
		}
		label := sdk.Label{Values: r.label.values}
		switch h.Kind {
		case sdk.KindRegress, sdk.KindRank, sdk.KindEmbed:
			n := r.label.number
			label = sdk.Label{Number: &n}
		case sdk.KindMultilabel:
			label.Values = slices.Compact(slices.Sorted(slices.Values(r.label.values)))
			if label.Values == nil {
				label.Values = []string{}
			}
		}
		set(r.row, h.Name, label)
	}
	if numeric(h.Kind) || h.Kind == sdk.KindGenerate {
		h.Labels = nil
		return ok
	}
	labelSet(h, slices.Sorted(maps.Keys(g.seen())), g, declared, req, p)
	return ok
}

// amount is the number that a label gives; the cells of a table give it as text.
func amount(l *rawLabel) (float64, bool) {
	if l.form == formNumber {
		return l.number, true
	}
	if l.form != formSingle || len(l.values) != 1 {
		return 0, false
	}
	n, err := strconv.ParseFloat(l.values[0], 64)
	return n, err == nil && !math.IsInf(n, 0) && !math.IsNaN(n)
}

// numeric reports whether the labels of a kind are numbers.
func numeric(kind string) bool {
	return kind == sdk.KindRegress || kind == sdk.KindRank || kind == sdk.KindEmbed
}

// unitRange reports whether a head's numbers are similarities or probabilities.
func unitRange(h *sdk.HeadSpec) bool {
	return h.Kind == sdk.KindEmbed || h.Kind == sdk.KindRank && h.Loss != "mse"
}

// trainable are the kinds that a corpus can hold.
func trainable() []string {
	return []string{sdk.KindClassify, sdk.KindMultilabel, sdk.KindPair, sdk.KindRegress, sdk.KindRank, sdk.KindEmbed, sdk.KindTag, sdk.KindSpan, sdk.KindQA, sdk.KindRelation, sdk.KindGenerate}
}

// kindFor chooses the kind of a new head.
func kindFor(g *group, first *row, p *problems) string {
	switch {
	case g.only != "":
		return g.only
	case g.tags:
		return sdk.KindTag
	case g.has(formText):
		return sdk.KindGenerate
	case g.has(formMulti):
		return sdk.KindMultilabel
	case g.has(formNumber) && !g.has(formSingle):
		counts := g.seen()
		binary := slices.ContainsFunc(slices.Collect(maps.Keys(counts)), func(v string) bool { return v != "0" && v != "1" })
		if !binary {
			p.notice("data.guess", first.File, "the numbers 0 and 1 are taken as two classes; heads.%s.kind=%s takes them as amounts", headOr(g, "label"), sdk.KindRegress)
			return sdk.KindClassify
		}
		return sdk.KindRegress
	}
	return sdk.KindClassify
}

func headOr(g *group, name string) string {
	if g.head != "" {
		return g.head
	}
	return name
}

// misfit says what is wrong with a label for a head, "" for nothing.
func misfit(h *sdk.HeadSpec, l *rawLabel) string {
	switch {
	case l.form == formTags || l.form == formSpans:
		return "a list of tags or spans"
	case l.form == formAnswers || l.form == formRelation:
		return "an answer or relation"
	case numeric(h.Kind) && l.form != formNumber:
		return fmt.Sprintf("the label %q, which is no number,", clip(strings.Join(l.values, ", ")))
	case (h.Kind == sdk.KindClassify || h.Kind == sdk.KindPair || h.Kind == sdk.KindPattern) && len(l.values) != 1:
		return fmt.Sprintf("a list of %s", plural(len(l.values), "label", "labels"))
	case h.Kind == sdk.KindGenerate && !slices.ContainsFunc(l.values, func(v string) bool { return strings.TrimSpace(v) != "" }):
		return "an empty text"
	case slices.Contains(l.values, "") && h.Kind != sdk.KindGenerate:
		return "an empty label"
	}
	return ""
}

// labelSet checks the labels seen against those declared, or makes the set of a
// new head.
func labelSet(h *sdk.HeadSpec, seen []string, g *group, declared bool, req *Request, p *problems) {
	given := h.Labels
	source := fmt.Sprintf("head %q", h.Name)
	if !declared && len(given) == 0 {
		given, source = req.Plan.Data.Labels, "data.labels"
	}
	if h.Kind == sdk.KindTag && h.Scheme != schemeNone || h.Kind == sdk.KindSpan {
		given = recipe.EntityTypes(given)
	}
	if len(given) == 0 {
		h.Labels = seen
		testOnly(h, g, p)
		return
	}
	h.Labels = slices.Clone(given)
	for _, label := range seen {
		if slices.Contains(given, label) {
			continue
		}
		if declared && req.Grow {
			h.Labels = append(h.Labels, label)
			continue
		}
		n, at := occurrences(g, label, h)
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.label", File: at.File, Line: at.Line,
			Summary: fmt.Sprintf("unknown label %q, here and in %s", label, plural(n-1, "more row", "more rows")),
			Detail:  source + " has: " + list(given, 12),
			Remedy:  "correct the label or add it to the labels"}
		if n == 1 {
			d.Summary = fmt.Sprintf("unknown label %q", label)
		}
		if near := sdk.Nearest(label, given); near != "" {
			d.Remedy = fmt.Sprintf("did you mean %q? Otherwise add the label", near)
		}
		if req.Closed {
			d.Remedy = "the model cannot give this label: remove these rows or evaluate another head"
			if near := sdk.Nearest(label, given); near != "" {
				d.Remedy = fmt.Sprintf("did you mean %q? The model gives no other labels", near)
			}
		}
		p.add(d)
	}
	if n := len(h.ClassWeights); n > 0 && n != len(h.Labels) {
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.head", Path: "heads." + h.Name + ".class_weights", Summary: fmt.Sprintf("%d class weights for %d labels of head %q", n, len(h.Labels), h.Name)})
	}
}

// occurrences counts the rows with a label and finds the first.
func occurrences(g *group, label string, h *sdk.HeadSpec) (n int, first *row) {
	for _, r := range g.refs {
		if !holds(r.label, label, h) {
			continue
		}
		if n == 0 {
			first = r.row
		}
		n++
	}
	if first == nil {
		first = g.refs[0].row
	}
	return n, first
}

func holds(l *rawLabel, label string, h *sdk.HeadSpec) bool {
	if slices.Contains(l.values, label) {
		return true
	}
	entity := func(tag string) bool {
		if h.Scheme == schemeNone {
			return tag == label
		}
		_, t, ok := splitTag(tag)
		return ok && t == label
	}
	return slices.ContainsFunc(l.tags, entity) || slices.ContainsFunc(l.spans, func(s sdk.Span) bool { return s.Label == label })
}

// testOnly warns of labels of a new head that training never sees. They stay
// labels of the head, so that supports are exact and every row counts.
func testOnly(h *sdk.HeadSpec, g *group, p *problems) {
	type place struct {
		train, other int
		first        *row
		split        string
	}
	places := map[string]*place{}
	training := false
	for _, r := range g.refs {
		training = training || r.split == "train"
		for _, label := range h.Labels {
			if !holds(r.label, label, h) {
				continue
			}
			pl := places[label]
			if pl == nil {
				pl = &place{}
				places[label] = pl
			}
			if r.split == "train" {
				pl.train++
				continue
			}
			if pl.other == 0 {
				pl.first, pl.split = r.row, r.split
			}
			pl.other++
		}
	}
	if !training {
		return
	}
	for _, label := range h.Labels {
		pl := places[label]
		if pl == nil || pl.train > 0 {
			continue
		}
		d := sdk.Diagnostic{Severity: sdk.Warning, Code: "data.label", File: pl.first.File, Line: pl.first.Line,
			Summary: fmt.Sprintf("label %q occurs in %s (%s) but never in train: it cannot be learned", label, pl.split, plural(pl.other, "row", "rows")),
			Detail:  "The rows stay; the model has an output for this label that no example trains.",
			Remedy:  "correct the label, or add rows with it to train"}
		known := slices.DeleteFunc(slices.Clone(h.Labels), func(l string) bool { return l == label })
		if near := sdk.Nearest(label, known); near != "" {
			d.Remedy = fmt.Sprintf("if %q is meant, correct it; else add rows with it to train", near)
		}
		p.add(d)
	}
}

func set(r *row, head string, l sdk.Label) {
	if r.Labels == nil {
		r.Labels = map[string]sdk.Label{}
	}
	r.Labels[head] = l
}

// fillTags completes a tag head: tags in the head's scheme, spans as tags of
// tokens that are found where the data have none.
func fillTags(h *sdk.HeadSpec, g *group, declared bool, req *Request, p *problems) bool {
	first := g.refs[0].row
	want := h.Scheme
	if want == "" {
		want = schemeBIO
		if !declared {
			want = req.Plan.Data.Scheme
		}
	}
	ok := true
	var sequences []tagSequence
	var of []int
	for i, r := range g.refs {
		switch r.label.form {
		case formTags:
			sequences, of = append(sequences, tagSequence{r.row.File, r.row.Line, r.label.tags}), append(of, i)
		case formSpans:
			if r.row.Tokens == nil {
				r.row.Tokens = Words(r.row.Text)
			}
		default:
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.label", File: r.row.File, Line: r.row.Line,
				Summary: fmt.Sprintf("the label %q does not fit head %q of kind %s", clip(strings.Join(r.label.values, ", ")), h.Name, h.Kind), Remedy: "a tag head wants tokens with tags, or spans"})
			ok = false
		}
	}
	if len(sequences) > 0 {
		want = convertTags(h.Name, sequences, want, declared || h.Scheme != "" || g.has(formSpans), p)
		for k, i := range of {
			g.refs[i].label.tags = sequences[k].tags
		}
	}
	h.Scheme = want
	if want == schemeBIO {
		h.Scheme = ""
	}
	for _, r := range g.refs {
		switch r.label.form {
		case formTags:
			set(r.row, h.Name, sdk.Label{Tags: r.label.tags})
		case formSpans:
			tags := spanTags(r.row, r.label.spans, p)
			if want == "bilou" {
				tags = toBILOU(tags)
			}
			if want == schemeNone {
				p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.label", File: first.File, Line: first.Line,
					Summary: fmt.Sprintf("head %q has scheme none, which wants tags for tokens; the data have spans", h.Name)})
				return false
			}
			set(r.row, h.Name, sdk.Label{Tags: tags, Spans: r.label.spans})
		}
	}
	seen := slices.Sorted(maps.Keys(g.seen()))
	if want != schemeNone {
		seen = entityTypes(g.seen())
	}
	labelSet(h, seen, g, declared, req, p)
	return ok
}

// fillSpans completes a head of spans: spans as they are, those of tags read with
// conlleval's rules. Spans that overlap stay.
func fillSpans(h *sdk.HeadSpec, g *group, declared bool, req *Request, p *problems) bool {
	ok := true
	var sequences []tagSequence
	var of []int
	for i, r := range g.refs {
		switch {
		case r.label.form == formTags:
			sequences, of = append(sequences, tagSequence{r.row.File, r.row.Line, r.label.tags}), append(of, i)
		case r.label.form != formSpans:
			p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.label", File: r.row.File, Line: r.row.Line,
				Summary: fmt.Sprintf("the label %q does not fit head %q of kind %s", clip(strings.Join(r.label.values, ", ")), h.Name, h.Kind), Remedy: "a head of spans wants spans, or tokens with tags"})
			ok = false
		case r.row.Tokens == nil:
			r.row.Tokens = Words(r.row.Text)
		}
	}
	convertTags(h.Name, sequences, schemeBIO, true, p)
	for k, i := range of {
		r := g.refs[i]
		r.label.tags = sequences[k].tags
		spans := []sdk.Span{}
		for w, tag := range r.label.tags { // BIO now
			switch prefix, label, _ := splitTag(tag); prefix {
			case 'B':
				spans = append(spans, sdk.Span{Start: r.row.Tokens[w].Start, End: r.row.Tokens[w].End, Label: label})
			case 'I':
				spans[len(spans)-1].End = r.row.Tokens[w].End
			}
		}
		set(r.row, h.Name, sdk.Label{Spans: spans})
	}
	for _, r := range g.refs {
		if r.label.form != formSpans {
			continue
		}
		for _, s := range r.label.spans {
			if from, to, exact := wordsIn(r.row.Tokens, s); from > to || !exact {
				what := "cuts a word, and is taken with the whole word"
				if from > to {
					what = "holds no word and is lost"
				}
				p.add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.span", File: r.row.File, Line: r.row.Line,
					Summary: fmt.Sprintf("span %q [%d, %d) %q %s", s.Label, s.Start, s.End, clip(r.row.Text[s.Start:s.End]), what)})
			}
		}
		set(r.row, h.Name, sdk.Label{Spans: r.label.spans})
	}
	labelSet(h, entityTypes(g.seen()), g, declared, req, p)
	return ok
}

// wordsIn finds the tokens that a span touches; from > to if there are none, exact
// if it begins and ends with them.
func wordsIn(tokens []sdk.Token, s sdk.Span) (from, to int, exact bool) {
	from, to = len(tokens), -1
	for i, t := range tokens {
		if t.End > s.Start && t.Start < s.End {
			from, to = min(from, i), i
		}
	}
	return from, to, from <= to && tokens[from].Start == s.Start && tokens[to].End == s.End
}

// spanTags gives the tokens of a row BIO tags from spans. A token that a span
// only touches belongs to it, with a warning. Of spans that overlap the one that
// begins first, then the longer, keeps the words, with a warning.
func spanTags(r *row, spans []sdk.Span, p *problems) []string {
	slices.SortStableFunc(spans, func(a, b sdk.Span) int { return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End)) })
	tags := make([]string, len(r.Tokens))
	for i := range tags {
		tags[i] = "O"
	}
	for _, s := range spans {
		begun, taken := false, false
		for i, t := range r.Tokens {
			if t.End <= s.Start || t.Start >= s.End {
				continue
			}
			if t.Start < s.Start || t.End > s.End {
				p.add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.span", File: r.File, Line: r.Line,
					Summary: fmt.Sprintf("span %q [%d, %d) %q cuts the word %q, which is tagged as a whole", s.Label, s.Start, s.End, clip(r.Text[s.Start:s.End]), clip(r.Text[t.Start:t.End]))})
			}
			if tags[i] != "O" {
				taken = true
				continue
			}
			tags[i] = "I-" + s.Label
			if !begun {
				tags[i], begun = "B-"+s.Label, true
			}
		}
		if !begun || taken {
			what := "overlaps another span, which keeps the words they share"
			switch {
			case !taken:
				what = "holds no word and is lost"
			case !begun:
				what = "lies within the words of another span and is lost"
			}
			p.add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.span", File: r.File, Line: r.Line,
				Summary: fmt.Sprintf("span %q [%d, %d) %q %s", s.Label, s.Start, s.End, clip(r.Text[s.Start:s.End]), what),
				Remedy:  "a tag head gives each word one tag: a head of kind " + sdk.KindSpan + " keeps spans that overlap"})
		}
	}
	return tags
}
