package sdktest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/islm-dev/islm/sdk"
)

// eachDataset runs f over the whole of each embedded dataset.
func (p *probe) eachDataset(f func(sdk.Dataset, *collected[sdk.Example])) {
	for _, d := range p.embedded() {
		f(d, p.all(d))
	}
}

func readChecks() []Check {
	return []Check{
		{ID: "read.rows-valid", Purpose: "no row of an embedded dataset has a problem of its form", run: func(p *probe) {
			p.eachDataset(func(_ sdk.Dataset, rows *collected[sdk.Example]) {
				for _, d := range coded(rows.diags, "data") {
					if !slices.Contains(spanCodes(), d.Code) {
						p.report(d)
					}
				}
			})
		}},
		{ID: "read.spans-valid", Purpose: "offsets are bytes on rune boundaries inside the text, start < end, one tag per token", run: func(p *probe) {
			p.eachDataset(func(_ sdk.Dataset, rows *collected[sdk.Example]) {
				p.report(coded(rows.diags, spanCodes()...)...)
				for _, ex := range rows.items {
					p.report(coded(ex.Check(), spanCodes()...)...)
				}
			})
		}},
		{ID: "read.text-present", Purpose: "every example has a text in UTF-8", run: func(p *probe) {
			p.eachDataset(func(d sdk.Dataset, rows *collected[sdk.Example]) {
				for _, ex := range rows.items {
					if strings.TrimSpace(ex.Text) == "" || !utf8.ValidString(ex.Text+ex.TextB) {
						p.fail("example %q of dataset %q has no proper text", ex.ID, d.Name)
					}
				}
			})
		}},
		{ID: "read.ids-unique", Purpose: "every example of a dataset has an ID of its own", run: func(p *probe) {
			p.eachDataset(func(d sdk.Dataset, rows *collected[sdk.Example]) {
				seen := map[string]bool{}
				for _, ex := range rows.items {
					switch {
					case ex.ID == "":
						p.fail("an example of dataset %q has no ID", d.Name)
					case seen[ex.ID]:
						p.fail("two examples of dataset %q have the ID %q", d.Name, ex.ID)
					}
					seen[ex.ID] = true
				}
			})
		}},
		{ID: "read.splits-readable", Purpose: "every declared split has examples, and all of them together are the dataset", run: func(p *probe) {
			p.eachDataset(func(d sdk.Dataset, rows *collected[sdk.Example]) {
				var ids []string
				for _, s := range d.Splits {
					part := p.read(sdk.ReadRequest{Dataset: d.Name, Split: s})
					if part.err != nil {
						p.fail("split %q of dataset %q: %v", s, d.Name, part.err)
					} else if len(part.items) == 0 {
						p.fail("split %q of dataset %q is empty", s, d.Name)
					}
					ids = append(ids, names(part.items, func(e sdk.Example) string { return e.ID })...)
				}
				if whole := names(rows.items, func(e sdk.Example) string { return e.ID }); len(whole) != len(ids) {
					p.fail("the splits of dataset %q hold %d examples, the whole of it %d", d.Name, len(ids), len(whole))
				}
			})
		}},
		{ID: "read.splits-disjoint", Purpose: "no text is in two splits of a dataset", run: func(p *probe) {
			several := false
			p.eachDataset(func(d sdk.Dataset, _ *collected[sdk.Example]) {
				several = several || len(d.Splits) > 1
				home := map[string]string{}
				for _, s := range d.Splits {
					for _, ex := range p.read(sdk.ReadRequest{Dataset: d.Name, Split: s}).items {
						key := ex.Text + "\x00" + ex.TextB
						if other, ok := home[key]; ok && other != s {
							p.fail("splits %q and %q of dataset %q share the text of example %q", other, s, d.Name, ex.ID)
						}
						home[key] = s
					}
				}
			})
			if !several {
				p.skip("no dataset has several splits")
			}
		}},
		{ID: "read.heads-resolve", Purpose: "every label belongs to a head that exists", run: func(p *probe) {
			desc := p.describe()
			p.eachDataset(func(d sdk.Dataset, rows *collected[sdk.Example]) {
				for _, ex := range rows.items {
					for name := range ex.Labels {
						if name == "" {
							p.fail("example %q of dataset %q has a bare label: the dataset needs a task", ex.ID, d.Name)
						} else if _, ok := head(desc, name); !ok {
							p.fail("example %q of dataset %q has a label for %q, but there is no such head", ex.ID, d.Name, name)
						}
					}
				}
			})
		}},
		{ID: "read.labels-known", Purpose: "every label is one of its head's", run: func(p *probe) {
			desc := p.describe()
			p.eachDataset(func(d sdk.Dataset, rows *collected[sdk.Example]) {
				for _, ex := range rows.items {
					for name := range ex.Labels {
						h, ok := head(desc, name)
						if !ok || len(h.Labels) == 0 {
							continue
						}
						for l := range labelsOf(ex, h) {
							if !slices.Contains(h.Labels, l) {
								p.fail("example %q of dataset %q has the label %q, which head %q does not have", ex.ID, d.Name, l, name)
							}
						}
					}
				}
			})
		}},
		{ID: "read.labels-fit-kind", Purpose: "a label has the form that its head's kind wants", run: func(p *probe) {
			desc := p.describe()
			p.eachDataset(func(d sdk.Dataset, rows *collected[sdk.Example]) {
				for _, ex := range rows.items {
					for name, l := range ex.Labels {
						if h, ok := head(desc, name); ok {
							if why := misfit(h.Kind, l); why != "" {
								p.fail("example %q of dataset %q: head %q (%s) %s", ex.ID, d.Name, name, h.Kind, why)
							}
						}
					}
				}
			})
		}},
		{ID: "read.no-conflicts", Purpose: "the same text does not carry different labels", run: func(p *probe) {
			p.eachDataset(func(d sdk.Dataset, rows *collected[sdk.Example]) {
				type key struct{ text, head string }
				said := map[key]string{}
				for _, ex := range rows.items {
					for name, l := range ex.Labels {
						k, v := key{ex.Text + "\x00" + ex.TextB, name}, fmt.Sprint(l.Values, l.Tags, l.Spans)
						if other, ok := said[k]; ok && other != v {
							p.fail("example %q of dataset %q contradicts an earlier one with the same text", ex.ID, d.Name)
						}
						said[k] = v
					}
				}
			})
		}},
		{ID: "read.limit", Purpose: "a limit gives the first examples and no more", run: func(p *probe) {
			p.eachDataset(func(d sdk.Dataset, rows *collected[sdk.Example]) {
				for _, n := range []int{1, len(rows.items) + 1} {
					part := drain(p.plugin.Read(p.ctx, sdk.ReadRequest{Dataset: d.Name, Limit: n}))
					want := rows.items[:min(n, len(rows.items))]
					if !slices.Equal(names(part.items, func(e sdk.Example) string { return e.ID }), names(want, func(e sdk.Example) string { return e.ID })) {
						p.fail("limit %d of dataset %q gives %d examples, or not the first ones", n, d.Name, len(part.items))
					}
				}
			})
		}},
		{ID: "read.stable", Purpose: "two streams of a dataset are equal", run: func(p *probe) {
			p.eachDataset(func(d sdk.Dataset, rows *collected[sdk.Example]) {
				p.same("the second stream of dataset "+d.Name+" differs from the first", rows.items, drain(p.plugin.Read(p.ctx, sdk.ReadRequest{Dataset: d.Name})).items)
			})
		}},
		{ID: "read.unknown-dataset-is-error", Purpose: "an unknown dataset or split is an error, not an empty stream", run: func(p *probe) {
			d := p.describe()
			if got := drain(p.plugin.Read(p.ctx, sdk.ReadRequest{Dataset: "no-such-dataset-xyz"})); got.err == nil && !got.diags.HasErrors() {
				p.fail("reading an unknown dataset gives no error")
			}
			for _, s := range d.Datasets {
				if got := drain(p.plugin.Read(p.ctx, sdk.ReadRequest{Dataset: s.Name, Split: "no-such-split-xyz"})); got.err == nil && !got.diags.HasErrors() {
					p.fail("reading an unknown split of dataset %q gives no error", s.Name)
				}
			}
		}},
		{ID: "read.missing-file-is-error", Purpose: "a reader that is given a file that is not there says so", run: func(p *probe) {
			any := false
			for _, d := range p.describe().Datasets {
				if d.Hook == "" || d.Embedded {
					continue
				}
				any = true
				missing := filepath.Join(string(filepath.Separator)+"no-such-folder-xyz", "data.txt")
				got := drain(p.plugin.Read(p.ctx, sdk.ReadRequest{Dataset: d.Name, Path: missing, Limit: sampleRows}))
				switch {
				case got.err == nil && !got.diags.HasErrors():
					p.fail("reader %q gives no error for a path that does not exist", d.Hook)
				case hasCode(got.err, "plugin.panic"), hasCode(got.err, "plugin.crashed"), hasCode(got.err, "plugin.silent"):
					p.fail("reader %q: %v", d.Hook, got.err)
				}
			}
			if !any {
				p.skip("no dataset is read by a hook")
			}
		}},
	}
}

func spanCodes() []string { return []string{"data.span", "data.token", "data.tags"} }

func hasCode(err error, code string) bool {
	ds, _, _ := sdk.DiagnosticsOf(err)
	return slices.ContainsFunc(ds, func(d sdk.Diagnostic) bool { return d.Code == code })
}

// misfit says why a label does not suit a kind of head, or "".
func misfit(kind string, l sdk.Label) string {
	switch kind {
	case sdk.KindClassify, sdk.KindPair:
		if len(l.Values) != 1 {
			return fmt.Sprintf("wants one label, not %d", len(l.Values))
		}
	case sdk.KindMultilabel:
		if l.Tags != nil || l.Spans != nil || l.Number != nil {
			return "wants a list of labels"
		}
	case sdk.KindRegress, sdk.KindRank:
		if l.Number == nil {
			return "wants a number"
		}
	case sdk.KindTag:
		if l.Values != nil || l.Number != nil {
			return "wants tags or spans"
		}
	case sdk.KindQA:
		if l.Values == nil || l.Spans == nil {
			return "wants answers: their texts in values and their places in spans"
		}
	case sdk.KindRelation:
		if len(l.Spans) != 2 || l.Spans[0].Label != sdk.MentionHead || l.Spans[1].Label != sdk.MentionTail || len(l.Values) != 1 {
			return "wants one label and two spans, " + sdk.MentionHead + " and " + sdk.MentionTail
		}
	case sdk.KindSpan:
		if l.Values != nil || l.Number != nil || l.Tags != nil {
			return "wants spans"
		}
	}
	return ""
}

func examples(list ...sdk.Example) iter.Seq2[sdk.Example, error] {
	return func(yield func(sdk.Example, error) bool) {
		for _, ex := range list {
			if !yield(ex, nil) {
				return
			}
		}
	}
}

// eachAugmenter runs f for every augmenter with examples to try it on: of the
// embedded datasets, else a few of the kit's own.
func (p *probe) eachAugmenter(f func(sdk.AugmentRequest, []sdk.Example)) {
	d := p.describe()
	if len(d.Augmenters) == 0 {
		p.skip("no augmenters")
	}
	var sample []sdk.Example
	for _, s := range d.Datasets {
		if s.Embedded && len(sample) < augmentRows {
			rows := p.all(s).items
			sample = append(sample, rows[:min(len(rows), augmentRows-len(sample))]...)
		}
	}
	if len(sample) == 0 {
		for i, text := range []string{"The first sentence is short.", "A second one, with a number: 42.", "Größe und Maß, naïve café.", "第三句话很短。"} {
			sample = append(sample, sdk.Example{ID: fmt.Sprintf("kit:%d", i), Text: text})
		}
	}
	for i := range sample { // IDs of different datasets may be equal
		sample[i] = sample[i].Clone()
		sample[i].ID = fmt.Sprintf("%d/%s", i, sample[i].ID)
	}
	for _, a := range d.Augmenters {
		f(sdk.AugmentRequest{Augmenter: a, Seed: 42, Params: p.paramsOf(a)}, sample)
	}
}

// paramsOf gives the parameters of the first rule that uses an augmenter.
func (p *probe) paramsOf(augmenter string) (params map[string]string) {
	if len(p.rules().items) == 0 {
		return nil
	}
	for _, r := range p.parseRules(quiet) {
		if r.kind == "code.v0" && r.fn == augmenter {
			return r.params
		}
	}
	return nil
}

func (p *probe) augment(req sdk.AugmentRequest, in []sdk.Example) *collected[sdk.Example] {
	got := drain(p.plugin.Augment(p.ctx, req, examples(in...)))
	if got.err != nil {
		p.stop("augmenter %q: %v", req.Augmenter, got.err)
	}
	return got
}

func byParent(list []sdk.Example) map[string][]sdk.Example {
	m := map[string][]sdk.Example{}
	for _, ex := range list {
		m[ex.Parent] = append(m[ex.Parent], ex)
	}
	return m
}

func augmentChecks() []Check {
	return []Check{
		{ID: "augment.deterministic", Purpose: "the same seed and examples give the same result", run: func(p *probe) {
			p.eachAugmenter(func(req sdk.AugmentRequest, in []sdk.Example) {
				p.same("the second run of augmenter "+req.Augmenter+" differs from the first", p.augment(req, in).items, p.augment(req, in).items)
			})
		}},
		{ID: "augment.batch-independent", Purpose: "an example alone becomes what it becomes among others", run: func(p *probe) {
			p.eachAugmenter(func(req sdk.AugmentRequest, in []sdk.Example) {
				var single []sdk.Example
				for _, ex := range in {
					single = append(single, p.augment(req, []sdk.Example{ex}).items...)
				}
				p.same("augmenter "+req.Augmenter+" gives something else for single examples", p.augment(req, in).items, single)
			})
		}},
		{ID: "augment.order-independent", Purpose: "the order of the examples changes nothing but the order of the results", run: func(p *probe) {
			p.eachAugmenter(func(req sdk.AugmentRequest, in []sdk.Example) {
				reversed := slices.Clone(in)
				slices.Reverse(reversed)
				p.same("augmenter "+req.Augmenter+" gives something else in another order", byParent(p.augment(req, in).items), byParent(p.augment(req, reversed).items))
			})
		}},
		{ID: "augment.parent-set", Purpose: "every new example names the one it was made from, in the order of these", run: func(p *probe) {
			p.eachAugmenter(func(req sdk.AugmentRequest, in []sdk.Example) {
				at := 0
				for _, ex := range p.augment(req, in).items {
					i := slices.IndexFunc(in, func(e sdk.Example) bool { return e.ID == ex.Parent })
					if i < 0 {
						p.fail("augmenter %q: example %q has the parent %q, which was not among its examples", req.Augmenter, ex.ID, ex.Parent)
						continue
					}
					if i < at {
						p.fail("augmenter %q: the results of %q come after those of a later example", req.Augmenter, ex.Parent)
					}
					at = max(at, i)
				}
			})
		}},
		{ID: "augment.ids-unique", Purpose: "new examples have IDs of their own, none that of an original", run: func(p *probe) {
			p.eachAugmenter(func(req sdk.AugmentRequest, in []sdk.Example) {
				seen := map[string]bool{}
				for _, ex := range in {
					seen[ex.ID] = true
				}
				for _, ex := range p.augment(req, in).items {
					if ex.ID == "" || seen[ex.ID] {
						p.fail("augmenter %q gives the ID %q twice, or that of an original", req.Augmenter, ex.ID)
					}
					seen[ex.ID] = true
				}
			})
		}},
		{ID: "augment.spans-valid", Purpose: "offsets of new examples fit their texts", run: func(p *probe) {
			p.eachAugmenter(func(req sdk.AugmentRequest, in []sdk.Example) {
				got := p.augment(req, in)
				p.report(coded(got.diags, append(spanCodes(), "data.encoding")...)...)
				for _, ex := range got.items {
					p.report(coded(ex.Check(), "data")...)
				}
			})
		}},
		{ID: "augment.heads-kept", Purpose: "new examples carry labels of heads that exist", run: func(p *probe) {
			d := p.describe()
			p.eachAugmenter(func(req sdk.AugmentRequest, in []sdk.Example) {
				for _, ex := range p.augment(req, in).items {
					for name := range ex.Labels {
						if _, ok := head(d, name); !ok {
							p.fail("augmenter %q gives example %q a label for %q, but there is no such head", req.Augmenter, ex.ID, name)
						}
					}
				}
			})
		}},
		{ID: "augment.unknown-is-error", Purpose: "an unknown augmenter is an error, not an empty stream", run: func(p *probe) {
			p.describe()
			got := drain(p.plugin.Augment(p.ctx, sdk.AugmentRequest{Augmenter: "no-such-augmenter-xyz"}, examples(sdk.Example{ID: "a", Text: "a"})))
			if got.err == nil && !got.diags.HasErrors() {
				p.fail("running an unknown augmenter gives no error")
			}
		}},
	}
}

// streams are all streams that a plugin gives without a file of the user's.
func (p *probe) streams() map[string]func(ctx context.Context) iter.Seq2[struct{}, error] {
	out := map[string]func(ctx context.Context) iter.Seq2[struct{}, error]{
		"the vocabulary": func(ctx context.Context) iter.Seq2[struct{}, error] { return blind(p.plugin.Vocabulary(ctx)) },
		"the rules":      func(ctx context.Context) iter.Seq2[struct{}, error] { return blind(p.plugin.Rules(ctx)) },
		"the facts":      func(ctx context.Context) iter.Seq2[struct{}, error] { return blind(p.plugin.Facts(ctx)) },
	}
	for _, d := range p.describe().Datasets {
		if d.Embedded {
			out["dataset "+d.Name] = func(ctx context.Context) iter.Seq2[struct{}, error] {
				return blind(p.plugin.Read(ctx, sdk.ReadRequest{Dataset: d.Name}))
			}
		}
	}
	return out
}

func blind[T any](seq iter.Seq2[T, error]) iter.Seq2[struct{}, error] {
	return func(yield func(struct{}, error) bool) {
		for _, err := range seq {
			if !yield(struct{}{}, err) {
				return
			}
		}
	}
}

func streamChecks() []Check {
	return []Check{
		{ID: "stream.complete", Purpose: "every stream ends without an error", run: func(p *probe) {
			p.streamErrors(func(err error) bool { return !hasCode(err, "plugin.too-large") })
		}},
		{ID: "stream.under-limit", Purpose: "no message exceeds 16 MiB", run: func(p *probe) {
			p.streamErrors(func(err error) bool { return hasCode(err, "plugin.too-large") })
		}},
		{ID: "stream.early-stop", Purpose: "a stream that is left after its first element does no harm to the next", run: func(p *probe) {
			for name, open := range p.streams() {
				for range open(p.ctx) { //nolint:errcheck // stream.complete looks at errors //nolint:errcheck // the element is not looked at
					break
				}
				if _, err := p.plugin.Describe(p.ctx); err != nil {
					p.fail("after %s was left early: %v", name, err)
				}
			}
		}},
		{ID: "stream.cancel-fast", Purpose: "a cancelled stream ends within a second, and so does the hook behind it", run: func(p *probe) {
			for name, open := range p.streams() {
				ctx, cancel := context.WithCancel(p.ctx)
				var began, ended time.Time
				var once sync.Once
				stop := func() { once.Do(func() { began = time.Now(); cancel() }) }
				timer := time.AfterFunc(100*time.Millisecond, stop)
				n := 0
				for range open(ctx) { //nolint:errcheck // cancelled: an error is expected //nolint:errcheck // the element is not looked at
					stop()
					if n++; n > 1_000_000 {
						break
					}
				}
				ended = time.Now()
				timer.Stop()
				stop()
				if took := ended.Sub(began); took > cancelWithin {
					p.fail("%s went on for %s after it was cancelled", name, took.Round(time.Millisecond))
				}
				if !p.subject.idle(cancelWithin) {
					p.fail("the hook behind %s still runs %s after its stream was cancelled", name, cancelWithin)
				}
			}
		}},
	}
}

func (p *probe) streamErrors(wanted func(error) bool) {
	p.describe()
	look := func(name string, err error) {
		if err != nil && wanted(err) && !errors.Is(err, context.Canceled) {
			p.fail("%s: %v", name, err)
		}
	}
	look("the vocabulary", p.terms().err)
	look("the rules", p.rules().err)
	look("the facts", p.facts().err)
	for _, d := range p.describe().Datasets {
		if d.Embedded {
			look("dataset "+d.Name, p.all(d).err)
		}
	}
}
