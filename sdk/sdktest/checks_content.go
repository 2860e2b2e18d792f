package sdktest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/islm-dev/islm/sdk"
)

func vocabularyChecks() []Check {
	return []Check{
		{ID: "vocab.utf8-nfc", Purpose: "terms, canonical forms and synonyms are UTF-8 in normal form C, without spaces at their ends", run: func(p *probe) {
			p.report(coded(p.describe().Diagnostics, "table.nfc", "table.encoding")...)
			for _, t := range p.someTerms() {
				for _, s := range append([]string{t.Text, t.Canonical}, t.Synonyms...) {
					switch {
					case !utf8.ValidString(s):
						p.fail("term %q: %q is not UTF-8", t.Text, s)
					case !norm.NFC.IsNormalString(s):
						p.fail("term %q: %q is not in Unicode normal form C", t.Text, s)
					case s != strings.TrimSpace(s):
						p.fail("term %q: %q begins or ends with a space", t.Text, s)
					}
				}
			}
		}},
		{ID: "vocab.text-present", Purpose: "every term has a text, and no synonym is empty", run: func(p *probe) {
			p.report(coded(p.describe().Diagnostics, "vocab.text")...)
			for i, t := range p.someTerms() {
				if strings.TrimSpace(t.Text) == "" {
					p.fail("term %d has no text", i)
				}
				if slices.ContainsFunc(t.Synonyms, func(s string) bool { return strings.TrimSpace(s) == "" }) {
					p.fail("term %q has an empty synonym", t.Text)
				}
			}
		}},
		{ID: "vocab.unique", Purpose: "no term is there twice for one language, and none is its own synonym", run: func(p *probe) {
			p.report(coded(p.describe().Diagnostics, "vocab.duplicate", "vocab.synonym")...)
			type key struct{ text, lang string }
			seen := map[key]bool{}
			for _, t := range p.someTerms() {
				k := key{t.Text, t.Lang}
				if seen[k] {
					p.fail("term %q (%s) is there twice", t.Text, t.Lang)
				}
				seen[k] = true
				if slices.Contains(t.Synonyms, t.Text) {
					p.fail("term %q is its own synonym", t.Text)
				}
			}
		}},
		{ID: "vocab.weights", Purpose: "weights are finite and not negative", run: func(p *probe) {
			p.report(coded(p.describe().Diagnostics, "table.weight")...)
			for _, t := range p.someTerms() {
				if !(t.Weight >= 0) || math.IsInf(t.Weight, 0) {
					p.fail("term %q has the weight %v", t.Text, t.Weight)
				}
			}
		}},
		{ID: "vocab.entities-resolve", Purpose: "every entity that a term names is among the facts", run: func(p *probe) {
			p.report(coded(p.describe().Diagnostics, "vocab.entity")...)
			linked := slices.ContainsFunc(p.someTerms(), func(t sdk.Term) bool { return t.EntityID != "" })
			if !linked {
				if len(p.findings) == 0 {
					p.skip("no term names an entity")
				}
				return
			}
			ids := p.entityIDs()
			for _, t := range p.someTerms() {
				if t.EntityID != "" && !ids[t.EntityID] {
					p.fail("term %q names the entity %q, which does not exist", t.Text, t.EntityID)
				}
			}
		}},
		{ID: "vocab.stable", Purpose: "two streams of the vocabulary are equal", run: func(p *probe) {
			p.same("the second stream differs from the first", p.someTerms(), drain(p.plugin.Vocabulary(p.ctx)).items)
		}},
	}
}

func (p *probe) someTerms() []sdk.Term {
	t := p.terms()
	if len(t.items) == 0 && len(p.findings) == 0 {
		p.skip("no terms")
	}
	return t.items
}

func (p *probe) entityIDs() map[string]bool {
	ids := map[string]bool{}
	for _, f := range p.facts().items {
		if f.Entity != nil {
			ids[f.Entity.ID] = true
		}
	}
	return ids
}

// rule is what of a rule the kit understands, whatever its kind.
type rule struct {
	file, id, kind, fn string
	params             map[string]string
	tests              []map[string]any // those in which it fires
	at                 sdk.Diagnostic   // where it stands
}

// parseRules reads the rule files; problems of their outline go to report.
func (p *probe) parseRules(report func(...sdk.Diagnostic)) []rule {
	files := p.rules()
	if len(files.items) == 0 {
		p.skip("no rules")
	}
	var out []rule
	for _, f := range files.items {
		ext := path.Ext(f.Path)
		if ext != ".yaml" && ext != ".yml" || path.Base(f.Path) == "pack.yaml" {
			continue
		}
		doc, ds := sdk.ParseYAML(f.Path, f.Data)
		report(coded(ds, "yaml")...)
		if doc == nil {
			continue
		}
		var content map[string]any
		report(coded(doc.Decode(&content), "yaml")...)
		fault := func(at, format string, args ...any) {
			d := doc.At(at)
			d.Summary = fmt.Sprintf(format, args...)
			report(d)
		}
		if s, ok := content["schema"].(string); !ok || s != "islm/rules.v1" {
			fault("schema", "the file has no schema: islm/rules.v1")
		}
		list, ok := content["rules"].([]any)
		if !ok {
			fault("rules", "the file has no list called rules")
		}
		for i, x := range list {
			at := fmt.Sprintf("rules[%d]", i)
			m, ok := x.(map[string]any)
			if !ok {
				fault(at, "a rule is a mapping")
				continue
			}
			r := rule{file: f.Path, at: doc.At(at), params: map[string]string{}}
			r.id, _ = m["id"].(string)
			r.kind, _ = m["do"].(string)
			do, _ := m["do"].(map[string]any)
			if do != nil {
				r.kind, _ = do["kind"].(string)
				r.fn, _ = do["func"].(string)
			}
			if r.id == "" {
				fault(at, "the rule has no id")
			}
			if r.kind == "" {
				fault(at, "rule %q has no kind: do: {kind: KIND, …}", r.id)
			}
			if params, ok := do["params"].(map[string]any); ok {
				for k, v := range params {
					r.params[k] = fmt.Sprint(v)
				}
			}
			tests, _ := m["tests"].(map[string]any)
			fires, _ := tests["fires"].([]any)
			for j, t := range fires {
				test, ok := t.(map[string]any)
				if !ok {
					fault(fmt.Sprintf("%s.tests.fires[%d]", at, j), "a test in which a rule fires is a mapping with in and out")
					continue
				}
				r.tests = append(r.tests, test)
			}
			out = append(out, r)
		}
	}
	return out
}

func quiet(...sdk.Diagnostic) {}

// book is what Options.Rules says, asked once.
func (p *probe) book() *rulebook {
	if p.seen.book == nil {
		d := p.describe()
		parse, tests, ran := p.rulebook(d.Name, d.Version, p.rules().items)
		p.seen.book = &rulebook{parse, tests, ran}
	}
	return p.seen.book
}

// rulebook is what the rule language has to say of a plugin's rules.
type rulebook struct {
	parse, tests sdk.Diagnostics
	ran          int
}

func ruleChecks() []Check {
	return []Check{
		{ID: "rules.parse", Purpose: "rule files are valid: keys, kinds, expressions, conditions, lists", run: func(p *probe) {
			p.parseRules(p.report)
			if p.rulebook == nil || len(p.findings) > 0 {
				return
			}
			p.report(p.book().parse...)
		}},
		{ID: "rules.ids-unique", Purpose: "no two rules of one file or pack have the same id", run: func(p *probe) {
			type key struct{ scope, id string }
			seen := map[key]bool{}
			for _, r := range p.parseRules(quiet) {
				k := key{strings.SplitN(r.file, "/", 2)[0], r.id}
				if seen[k] {
					d := r.at
					d.Summary = fmt.Sprintf("there are two rules called %q", r.id)
					p.report(d)
				}
				seen[k] = true
			}
		}},
		{ID: "rules.hooks-exist", Purpose: "every rule of kind code.v0 names an augmenter that exists", run: func(p *probe) {
			known := p.describe().Augmenters
			any := false
			for _, r := range p.parseRules(quiet) {
				if r.kind != "code.v0" {
					continue
				}
				any = true
				if !slices.Contains(known, r.fn) {
					d := r.at
					d.Summary = fmt.Sprintf("rule %q names the augmenter %q, which does not exist", r.id, r.fn)
					p.report(d)
				}
			}
			if !any {
				p.skip("no rules of kind code.v0")
			}
		}},
		{ID: "rules.tests-pass", Purpose: "every rule has tests, and they come out as written", run: func(p *probe) {
			ran := 0
			if p.rulebook != nil && len(p.rules().items) > 0 {
				book := p.book()
				if len(book.parse) > 0 {
					p.skip("the rules are not valid, see rules.parse")
				}
				p.report(book.tests...)
				ran += book.ran
			}
			for _, r := range p.parseRules(quiet) {
				if r.kind != "code.v0" || !slices.Contains(p.describe().Augmenters, r.fn) {
					continue
				}
				for i, t := range r.tests {
					in, ok := t["in"].(string)
					want, okOut := texts(t["out"])
					if !ok || !okOut {
						d := r.at
						d.Summary = fmt.Sprintf("test %d of rule %q has no text in and no list out", i, r.id)
						p.report(d)
						continue
					}
					ran++
					seed, _ := t["seed"].(int)
					req := sdk.AugmentRequest{Augmenter: r.fn, Params: r.params, Seed: uint64(seed)}
					got := drain(p.plugin.Augment(p.ctx, req, examples(sdk.Example{ID: r.id, Text: in})))
					if got.err != nil {
						p.fail("test %d of rule %q: %v", i, r.id, got.err)
						continue
					}
					p.report(coded(got.diags, "data", "augment")...)
					if have := names(got.items, func(e sdk.Example) string { return e.Text }); !slices.Equal(have, want) {
						d := r.at
						d.Summary = fmt.Sprintf("test %d of rule %q: %q became %q, not %q", i, r.id, in, have, want)
						p.report(d)
					}
				}
			}
			if ran == 0 && len(p.findings) == 0 {
				p.skip("no rules with tests")
			}
		}},
		{ID: "rules.digests", Purpose: "every rule file has the digest it claims, and Describe lists the same files", run: func(p *probe) {
			got := map[string]string{}
			for _, f := range p.rules().items {
				sum := sha256.Sum256(f.Data)
				if hex.EncodeToString(sum[:]) != f.SHA256 {
					p.fail("%s does not have the digest it claims", f.Path)
				}
				if _, twice := got[f.Path]; twice {
					p.fail("%s comes twice", f.Path)
				}
				got[f.Path] = f.SHA256
			}
			said := map[string]string{}
			for _, f := range p.describe().Rules {
				said[f.Path] = f.SHA256
			}
			if len(got) == 0 && len(said) == 0 {
				p.skip("no rules")
			}
			if !maps.Equal(got, said) {
				p.fail("Describe lists %v, the stream gives %v", slices.Sorted(maps.Keys(said)), slices.Sorted(maps.Keys(got)))
			}
		}},
	}
}

func texts(v any) ([]string, bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, true
	case []any:
		out := []string{}
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return nil, false
			}
			out = append(out, s)
		}
		return out, true
	}
	return nil, false
}

func factChecks() []Check {
	return []Check{
		{ID: "facts.schema", Purpose: "entity types and relations are declared, and a fact has an object or a literal", run: func(p *probe) {
			d := p.describe()
			p.report(coded(d.Diagnostics, "kg.type", "kg.relation", "kg.object", "kg.subject", "kg.id", "kg.columns")...)
			for _, f := range p.someFacts() {
				switch {
				case (f.Entity == nil) == (f.Fact == nil):
					p.fail("an element is neither an entity nor a fact")
				case f.Entity != nil && f.Entity.ID == "":
					p.fail("an entity has no id")
				case f.Entity != nil && !slices.Contains(d.KG.Entities, f.Entity.Type):
					p.fail("entity %q has the type %q, which is not declared", f.Entity.ID, f.Entity.Type)
				case f.Fact != nil:
					if f.Fact.Subject == "" {
						p.fail("a fact has no subject")
					}
					if (f.Fact.Object == "") == (f.Fact.Literal == "") {
						p.fail("a fact of %q has not exactly one of object and literal", f.Fact.Subject)
					}
					if !slices.Contains(d.KG.Relations, f.Fact.Relation) {
						p.fail("a fact of %q has the relation %q, which is not declared", f.Fact.Subject, f.Fact.Relation)
					}
				}
			}
		}},
		{ID: "facts.entities-first", Purpose: "all entities come before the first fact", run: func(p *probe) {
			if err := p.facts().err; err != nil && strings.Contains(err.Error(), "after its first fact") {
				p.stop("%v", err)
			}
			facts := false
			for _, f := range p.someFacts() {
				if f.Entity != nil && facts {
					p.fail("entity %q comes after a fact", f.Entity.ID)
				}
				facts = facts || f.Fact != nil
			}
		}},
		{ID: "facts.entities-unique", Purpose: "no two entities have the same id", run: func(p *probe) {
			p.report(coded(p.describe().Diagnostics, "kg.duplicate")...)
			seen := map[string]bool{}
			for _, f := range p.someFacts() {
				if f.Entity == nil {
					continue
				}
				if seen[f.Entity.ID] {
					p.fail("entity %q is there twice", f.Entity.ID)
				}
				seen[f.Entity.ID] = true
			}
		}},
		{ID: "facts.named", Purpose: "every entity has a name, in UTF-8 and normal form C", run: func(p *probe) {
			p.report(coded(p.describe().Diagnostics, "kg.names")...)
			for _, f := range p.someFacts() {
				if f.Entity == nil {
					continue
				}
				if len(f.Entity.Names) == 0 {
					p.fail("entity %q has no name", f.Entity.ID)
				}
				for _, n := range f.Entity.Names {
					if strings.TrimSpace(n) == "" || !utf8.ValidString(n) || !norm.NFC.IsNormalString(n) {
						p.fail("entity %q has the name %q", f.Entity.ID, n)
					}
				}
			}
		}},
		{ID: "facts.ids-resolve", Purpose: "every subject and object is an entity", run: func(p *probe) {
			p.report(coded(p.describe().Diagnostics, "kg.unknown-id")...)
			facts := p.someFacts()
			ids := p.entityIDs()
			for _, f := range facts {
				if f.Fact == nil {
					continue
				}
				for _, id := range []string{f.Fact.Subject, f.Fact.Object} {
					if id != "" && !ids[id] {
						p.fail("no entity has the id %q", id)
					}
				}
			}
		}},
	}
}

func (p *probe) someFacts() []sdk.FactItem {
	f := p.facts()
	if len(f.items) == 0 && len(p.findings) == 0 {
		p.skip("no facts")
	}
	return f.items
}

func headChecks() []Check {
	return []Check{
		{ID: "heads.known-kinds", Purpose: "every head has a kind that this version knows", run: func(p *probe) {
			for _, h := range p.someHeads() {
				if !slices.Contains(sdk.HeadKinds(), h.Kind) {
					p.fail("head %q has the kind %q; islm %s knows %s", h.Name, h.Kind, sdk.Version, strings.Join(sdk.HeadKinds(), ", "))
				}
			}
		}},
		{ID: "heads.labels-closed", Purpose: "labels are a list without gaps or doubles, and everything said about labels is about these", run: func(p *probe) {
			for _, h := range p.someHeads() {
				if slices.Contains(sdk.HeadKinds(), h.Kind) {
					p.report(coded(h.Check(), "head")...)
				}
			}
		}},
		{ID: "heads.datasets-exist", Purpose: "a head's dataset exists", run: func(p *probe) {
			d := p.describe()
			for _, h := range p.someHeads() {
				if h.Dataset != "" && !slices.Contains(datasetNames(d), h.Dataset) {
					p.fail("head %q trains on %q, but there is no such dataset", h.Name, h.Dataset)
				}
			}
		}},
		{ID: "features.valid", Purpose: "every feature has a known kind, classes that hold something, and patterns that compile", run: func(p *probe) {
			d := p.describe()
			if len(d.Features) == 0 && len(coded(d.Diagnostics, "feature")) == 0 {
				p.skip("the domain declares no features")
				return
			}
			p.report(sdk.CheckFeatures(d.Features)...)
		}},
		{ID: "heads.labels-covered", Purpose: "every label occurs in the head's embedded dataset, so that the sample can train it", run: func(p *probe) {
			d := p.describe()
			looked := false
			for _, h := range p.someHeads() {
				i := slices.IndexFunc(d.Datasets, func(s sdk.Dataset) bool { return s.Name == h.Dataset && s.Embedded })
				if i < 0 || len(h.Labels) == 0 {
					continue
				}
				looked = true
				used := map[string]bool{}
				for _, ex := range p.all(d.Datasets[i]).items {
					for l := range labelsOf(ex, h) {
						used[l] = true
					}
				}
				for _, l := range h.Labels {
					if !used[l] && (h.Kind != sdk.KindTag || l != "O") {
						p.fail("label %q of head %q does not occur in dataset %q", l, h.Name, h.Dataset)
					}
				}
			}
			if !looked {
				p.skip("no head with labels has an embedded dataset")
			}
		}},
	}
}

func (p *probe) someHeads() []sdk.HeadSpec {
	heads := p.describe().Heads
	if len(heads) == 0 {
		p.skip("no heads")
	}
	return heads
}

// labelsOf yields the labels that an example carries for a head, tags reduced to
// their types unless the head's labels are tags themselves.
func labelsOf(ex sdk.Example, h sdk.HeadSpec) map[string]bool {
	l, ok := ex.Labels[h.Name]
	if !ok {
		return nil
	}
	out := map[string]bool{}
	for _, v := range l.Values {
		out[v] = true
	}
	for _, s := range l.Spans {
		out[s.Label] = true
	}
	for _, t := range l.Tags {
		if h.Scheme != "none" {
			if t == "O" {
				continue
			}
			if _, kind, ok := strings.Cut(t, "-"); ok {
				t = kind
			}
		}
		out[t] = true
	}
	return out
}
