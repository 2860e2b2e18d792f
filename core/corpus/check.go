package corpus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// check looks at the examples of all splits together.
func (c *Corpus) check(req *Request, p *problems) {
	if p.diagnosticsHaveErrors() && len(c.Train)+len(c.Valid)+len(c.Test) == 0 {
		return
	}
	c.checkIDs(p)
	c.checkLeaks(req, p)
	if req.Closed {
		return
	}
	c.checkConflicts(p)
	if len(c.Train) == 0 && !req.Whole && !req.Check {
		p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.train", Summary: "there are no examples to train on", Remedy: "name them with --data or --set data.train=FILE"})
		return
	}
	if len(c.Heads) == 0 && !req.Unlabelled && !p.diagnosticsHaveErrors() && !req.Whole {
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.label", Summary: "no example has a label",
			Remedy: "data.label names the column or field with the labels"}
		if slices.ContainsFunc(c.Inputs, func(in Input) bool { return formatOf(in.Path) == "text" }) {
			d.Remedy = "lines of text have none: give labelled examples in another format, or --set data.format=NAME where a domain reads such files"
		}
		if req.Check {
			d.Severity = sdk.Info
		}
		if len(c.Inputs) > 0 {
			d.File = c.Inputs[0].Path
		}
		p.add(d)
		return
	}
	if !p.diagnosticsHaveErrors() { // else the counts are incomplete
		if !req.Unlabelled && !slices.ContainsFunc(c.Heads, sdk.HeadSpec.LanguageModel) {
			c.checkLabelled(p)
		}
		c.checkClasses(req, p)
		c.checkApart(p)
	}
	if len(c.Valid) == 0 && len(c.Train) > 0 && !req.Whole && req.Only == "" {
		p.add(sdk.Diagnostic{Severity: sdk.Info, Code: "data.valid", Summary: "there are no validation examples: no early stop and no choice of the best checkpoint", Remedy: "--set data.valid=FILE names some; one file alone is split"})
	}
}

func (p *problems) diagnosticsHaveErrors() bool { return p.ds.HasErrors() }

// checkLabelled warns of training examples without any label.
func (c *Corpus) checkLabelled(p *problems) {
	n, first := 0, (*sdk.Example)(nil)
	for i := range c.Train {
		if len(c.Train[i].Labels) == 0 {
			if n == 0 {
				first = &c.Train[i]
			}
			n++
		}
	}
	if n > 0 && n < len(c.Train) {
		p.add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.unlabelled", File: first.File, Line: first.Line,
			Summary: fmt.Sprintf("%d of %d training examples have no label, the first here: nothing is learned from them", n, len(c.Train)),
			Remedy:  "label them, or look whether the name of the field is misspelt there"})
	}
}

// checkIDs reports IDs that one file, or one split, gives twice. Splits that lie
// in files of their own may each count from one.
func (c *Corpus) checkIDs(p *problems) {
	first, where := map[string]*sdk.Example{}, map[string]string{}
	for _, split := range SplitNames() {
		examples := c.Split(split)
		for i := range examples {
			ex := &examples[i]
			if before, ok := first[ex.ID]; ok && (before.File == ex.File || where[ex.ID] == split) {
				d := sdk.Diagnostic{Severity: sdk.Error, Code: "data.id", File: ex.File, Line: ex.Line,
					Summary: fmt.Sprintf("the ID %q was used before: %s:%d", clip(ex.ID), before.File, before.Line),
					Remedy:  "each row wants an ID of its own, or none"}
				p.add(d)
				continue
			}
			first[ex.ID], where[ex.ID] = ex, split
		}
	}
}

// checkLeaks counts texts that train shares with valid and test.
func (c *Corpus) checkLeaks(_ *Request, p *problems) {
	train := make(map[string]bool, len(c.Train))
	for i := range c.Train {
		train[textKey(&c.Train[i])] = true
	}
	if len(train) == 0 {
		return
	}
	for _, split := range []string{"valid", "test"} {
		n, first := 0, (*sdk.Example)(nil)
		examples := c.Split(split)
		for i := range examples {
			if train[textKey(&examples[i])] {
				if n == 0 {
					first = &examples[i]
				}
				n++
			}
		}
		if n > 0 {
			p.add(sdk.Diagnostic{Severity: sdk.Info, Code: "data.leak", File: first.File, Line: first.Line,
				Summary: fmt.Sprintf("%d of %d texts of %s are also in train (%.1f %%), the first here: scores look better than they are", n, len(examples), split, 100*float64(n)/float64(len(examples))),
				Remedy:  "remove them, or let islm split one file by the hash of its texts"})
		}
	}
}

// textKey is equal for texts that differ only in blanks and case.
func textKey(ex *sdk.Example) string {
	return strings.ToLower(strings.Join(strings.Fields(ex.Text+" \x00 "+ex.TextB), " "))
}

// checkConflicts warns of equal texts with different labels.
func (c *Corpus) checkConflicts(p *problems) {
	type key struct{ text, head string }
	type seen struct {
		label string
		ex    *sdk.Example
	}
	writes := map[string]bool{}
	for _, h := range c.Heads {
		writes[h.Name] = h.Kind == sdk.KindGenerate
	}
	first := map[key]seen{}
	for _, split := range SplitNames() {
		examples := c.Split(split)
		for i := range examples {
			ex := &examples[i]
			for _, head := range sortedKeys(ex.Labels) {
				l := ex.Labels[head]
				if writes[head] {
					continue // one prompt, several answers
				}
				if l.Tags != nil || l.Number != nil || l.Spans != nil {
					continue
				}
				k := key{ex.Text + "\x00" + ex.TextB, head}
				label := strings.Join(l.Values, ", ")
				before, ok := first[k]
				if !ok {
					first[k] = seen{label, ex}
					continue
				}
				if before.label != label {
					p.add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.conflict", File: ex.File, Line: ex.Line,
						Summary: fmt.Sprintf("the same text is labelled %q here and %q in %s:%d", label, before.label, before.ex.File, before.ex.Line),
						Detail:  fmt.Sprintf("%q", clip(ex.Text)), Remedy: "both rows stay; correct the one that is wrong"})
				}
			}
		}
	}
}

// checkClasses reports heads that training cannot tell apart.
func (c *Corpus) checkClasses(req *Request, p *problems) {
	for _, h := range c.Heads {
		if h.LanguageModel() {
			continue
		}
		counts, n := map[string]int{}, 0
		for i := range c.Train {
			l, ok := c.Train[i].Labels[h.Name]
			if !ok {
				continue
			}
			n++
			for _, v := range l.Values {
				counts[v]++
			}
			for _, t := range l.Tags {
				counts[t]++
			}
		}
		if n == 0 {
			if len(c.Train) > 0 && !slices.Contains(req.Keep, h.Name) {
				p.add(sdk.Diagnostic{Severity: sdk.Warning, Code: "data.class", Summary: fmt.Sprintf("head %q has labels, but none in train: it cannot be learned", h.Name)})
			}
			continue
		}
		labels := sortedKeys(counts)
		if req.Grow && slices.ContainsFunc(req.Heads, func(o sdk.HeadSpec) bool { return o.Name == h.Name }) {
			continue // it knows other labels already
		}
		d := sdk.Diagnostic{Severity: sdk.Warning, Code: "data.class", File: c.Train[0].File}
		switch {
		case h.Kind == sdk.KindClassify && len(labels) == 1:
			d.Summary = fmt.Sprintf("every example of train has the label %q: head %q has nothing to learn", labels[0], h.Name)
			d.Remedy = "add examples of other labels"
			if len(h.Labels) < 2 {
				d.Severity = sdk.Error
			}
		case h.Kind == sdk.KindTag && len(labels) == 1:
			d.Summary = fmt.Sprintf("every token of train has the tag %q: head %q has nothing to learn", labels[0], h.Name)
			d.Remedy = "add examples with other tags"
			if len(h.Labels) == 0 || h.Scheme == schemeNone && len(h.Labels) < 2 {
				d.Severity = sdk.Error
			}
		case h.Kind == sdk.KindMultilabel && len(labels) == 0:
			d.Summary = fmt.Sprintf("no example of train has a label of head %q: there is nothing to learn", h.Name)
			if len(h.Labels) == 0 {
				d.Severity = sdk.Error
			}
		default:
			continue
		}
		if req.Check && d.Severity == sdk.Error && len(c.Train) == 0 {
			d.Severity = sdk.Warning
		}
		p.add(d)
	}
}

// checkApart reports rows of two texts whose labels want them read one by one and
// at once.
func (c *Corpus) checkApart(p *problems) {
	for _, split := range SplitNames() {
		examples := c.Split(split)
		for i := range examples {
			ex := &examples[i]
			apart, together := "", ""
			for _, h := range c.Heads {
				if _, ok := ex.Labels[h.Name]; !ok {
					continue
				}
				if h.Apart() {
					apart = h.Name
				} else {
					together = h.Name
				}
			}
			if ex.TextB != "" && apart != "" && together != "" {
				p.add(sdk.Diagnostic{Severity: sdk.Error, Code: "data.pair", File: ex.File, Line: ex.Line,
					Summary: fmt.Sprintf("head %q reads the two texts of a row one by one, head %q both at once: a row cannot have labels of both", apart, together),
					Remedy:  "give the labels in two rows"})
				return
			}
		}
	}
}
