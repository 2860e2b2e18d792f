package core

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/islm-dev/islm/augment"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
	"github.com/islm-dev/islm/sdk/host"
)

// codeKind is the kind of the rules that a plugin's function carries out.
const codeKind = "code.v0"

// maxCodeErrors is how many variants of one rule are reported one by one.
const maxCodeErrors = 10

// codeRule is a rule whose variants a plugin makes before training, while it
// still runs. Training draws from what is kept.
type codeRule struct {
	pack   *augment.Pack
	rule   *augment.CompiledRule
	maker  *plugin
	digest string // of all that the variants depend on
	made   prepared
}

func (c *codeRule) name() string { return c.pack.Manifest.Name + "/" + c.rule.ID }

// prepared are variants by the ID of their example; it stands for the plugin in
// training.
type prepared map[string][]sdk.Example

// Run returns all variants of the example; the engine draws one.
func (p prepared) Run(_ context.Context, _ string, _ map[string]string, ex sdk.Example, _ uint64) ([]sdk.Example, error) {
	return p[ex.ID], nil
}

// asked takes note of what an engine would have a function do.
type asked struct {
	function string
	params   map[string]string
	examples []sdk.Example
}

// Run keeps the example and makes nothing of it.
func (a *asked) Run(_ context.Context, name string, params map[string]string, ex sdk.Example, _ uint64) ([]sdk.Example, error) {
	a.function, a.params = name, params
	if n := len(a.examples); n == 0 || a.examples[n-1].ID != ex.ID { // a rule may match at several places
		a.examples = append(a.examples, ex)
	}
	return nil, nil
}

// takeCode lists the rules that plugins carry out. A function is looked for in the
// plugin that the rule came with; the rules of other packs are orphans, which do
// nothing and are warned of.
func (r *rules) takeCode(chosen []*augment.Pack, skip []string, makers map[*augment.Pack]*plugin) (orphans []string, ds sdk.Diagnostics) {
	for _, p := range chosen {
		for _, rule := range p.Rules {
			name := p.Manifest.Name + "/" + rule.ID
			switch {
			case rule.Kind != codeKind || slices.Contains(skip, name) || slices.Contains(skip, rule.ID):
			case makers[p] == nil:
				orphans = append(orphans, name)
				ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "rules.resource", File: rule.File, Line: rule.Line,
					Summary: fmt.Sprintf("rule %s needs its plugin's code and does nothing here", name), Remedy: "ship the pack with the plugin that has the function, and name that in domain.name"})
			default:
				r.code = append(r.code, &codeRule{pack: p, rule: rule, maker: makers[p]})
			}
		}
	}
	return orphans, ds
}

// codeRequest says what the plugins' functions are to work on.
type codeRequest struct {
	heads    []sdk.HeadSpec
	train    []sdk.Example
	variants int    // of each example and rule
	home     string // folder of finished stages, …/stages/code
}

// makeCode has the plugins make the variants of all code rules, or finds what an
// earlier run left. A variant that cannot stand is an error.
func (r *rules) makeCode(ctx context.Context, req codeRequest) (ds sdk.Diagnostics, err error) {
	if r == nil {
		return nil, nil
	}
	for _, c := range r.code {
		a := r.ask(c, req.train)
		if c.digest, err = c.digestOf(r.shared.Seed, req.variants, a); err != nil {
			return ds, err
		}
		path := filepath.Join(req.home, c.digest+".jsonl")
		data, err := readVariants(path)
		reused := err == nil
		if !reused {
			var more sdk.Diagnostics
			data, more, err = c.make(ctx, r.shared.Seed, req.variants, a)
			if ds = append(ds, more...); err != nil {
				return ds, err
			}
			if more.HasErrors() {
				continue
			}
		}
		n, more, err := c.take(data, a, req.heads)
		if ds = append(ds, more...); err != nil {
			return ds, err
		}
		if more.HasErrors() {
			continue
		}
		if !reused {
			if err := writeVariants(path, data); err != nil {
				return ds, err
			}
		}
		r.stages = append(r.stages, Stage{"code", "sha256:" + c.digest, fmt.Sprintf("%s: %d variants of %d examples", c.name(), n, len(c.made)), reused})
	}
	return ds, nil
}

// ask finds the examples that a rule can act on, as its function is to see them:
// with the labels that the rule keeps or changes.
func (r *rules) ask(c *codeRule, train []sdk.Example) *asked {
	alone := *c.pack
	alone.Rules = []*augment.CompiledRule{c.rule}
	a := &asked{}
	opt := r.shared
	opt.Certain, opt.Resources.Coder = true, a
	e, _ := augment.NewEngine([]*augment.Pack{&alone}, opt) // its warnings are those of the run's engine
	for i := range train {
		e.Variant(&train[i], augment.Draw{})
	}
	return a
}

// digestOf names everything that the variants depend on: seed, count, plugin,
// rule, function, parameters and examples.
func (c *codeRule) digestOf(seed uint64, variants int, a *asked) (string, error) {
	program := c.maker.entry.SHA256
	if c.maker.entry.Path != "" {
		sum, err := host.Checksum(c.maker.entry.Path)
		if err != nil {
			return "", err
		}
		program = hex.EncodeToString(sum)
	}
	h := sha256.New()
	fmt.Fprintf(h, "islm/code.v1\nseed %d variants %d\nplugin %q %s %s\nrule %s %s\nfunction %q\n", seed, variants, c.maker.about.Name, program, c.maker.host.Digest(), c.name(), c.rule.Digest, a.function)
	enc := json.NewEncoder(h)
	if err := enc.Encode(a.params); err != nil {
		return "", fmt.Errorf("digest of rule %s: %w", c.name(), err)
	}
	for _, ex := range a.examples {
		ex.File, ex.Line = "", 0 // where the data lie is no part of them
		if err := enc.Encode(ex); err != nil {
			return "", fmt.Errorf("digest of rule %s: %w", c.name(), err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// make runs the function over the examples once for each variant, with another
// seed each time. Where it makes several of one example, one is drawn.
func (c *codeRule) make(ctx context.Context, seed uint64, variants int, a *asked) ([]byte, sdk.Diagnostics, error) {
	var out bytes.Buffer
	var ds sdk.Diagnostics
	if len(a.examples) == 0 {
		return nil, nil, nil
	}
	enc := json.NewEncoder(&out)
	for k := range variants {
		sum := sha256.Sum256(fmt.Appendf(nil, "islm/code.v1 %d %s %d", seed, c.rule.Digest, k))
		req := sdk.AugmentRequest{Augmenter: a.function, Params: maps.Clone(a.params), Seed: binary.LittleEndian.Uint64(sum[:8])}
		items, more, err := sdk.Collect(c.maker.host.Augment(ctx, req, each(a.examples)))
		if ds = append(ds, more...); err != nil {
			return nil, ds, err
		}
		byParent := map[string][]sdk.Example{}
		for _, x := range items {
			byParent[x.Parent] = append(byParent[x.Parent], x)
		}
		for i := range a.examples {
			id := a.examples[i].ID
			some := byParent[id]
			delete(byParent, id)
			if len(some) == 0 {
				continue
			}
			x := some[sdk.AugmentRand(req.Seed, "islm/draw", id).IntN(len(some))]
			x.ID, x.Parent, x.File, x.Line = fmt.Sprintf("%s~%s~%d", id, c.name(), k+1), id, "", 0
			if err := enc.Encode(x); err != nil {
				return nil, ds, fmt.Errorf("keep what rule %s made of %s: %w", c.name(), id, err)
			}
		}
		for _, id := range slices.Sorted(maps.Keys(byParent)) {
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "augment.code", Source: sdk.FromPlugin,
				Summary: fmt.Sprintf("rule %s: function %s gave a variant of %q, which it was not sent", c.name(), a.function, id), Remedy: "the variant's parent is the ID of the example that it was made from"})
			break
		}
	}
	return out.Bytes(), ds, nil
}

// take reads kept variants and checks them: texts, offsets, and labels that the
// heads have. A label that the function left out is a warning.
func (c *codeRule) take(data []byte, a *asked, heads []sdk.HeadSpec) (n int, ds sdk.Diagnostics, err error) {
	parents := map[string]*sdk.Example{}
	for i := range a.examples {
		parents[a.examples[i].ID] = &a.examples[i]
	}
	c.made = prepared{}
	bad, lost := 0, map[string]int{}
	for dec := json.NewDecoder(bytes.NewReader(data)); dec.More(); n++ {
		var x sdk.Example
		if err := dec.Decode(&x); err != nil {
			return n, ds, fmt.Errorf("read the variants of rule %s: %w", c.name(), err)
		}
		from := parents[x.Parent]
		if from == nil {
			return n, ds, fmt.Errorf("read the variants of rule %s: there is no example %q", c.name(), x.Parent)
		}
		for _, h := range heads { // JSON has no empty lists here
			if l, ok := x.Labels[h.Name]; ok && h.Kind == sdk.KindMultilabel && l.Values == nil {
				l.Values = []string{}
				x.Labels[h.Name] = l
			}
		}
		why := augment.Refusal(from, &x)
		if why == "" {
			why = wrongLabel(from, &x, heads)
		}
		if why != "" {
			if bad++; bad <= maxCodeErrors {
				ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "augment.code", File: from.File, Line: from.Line, Source: sdk.FromPlugin,
					Summary: fmt.Sprintf("rule %s: what function %s made of example %q cannot be used: %s", c.name(), a.function, from.ID, why),
					Remedy:  fmt.Sprintf("mend the function, or leave the rule out: --set augment.without=%s", c.name())})
			}
			continue
		}
		for head := range from.Labels {
			if _, ok := x.Labels[head]; !ok {
				lost[head]++
			}
		}
		c.made[from.ID] = append(c.made[from.ID], x)
	}
	if bad > maxCodeErrors {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "augment.code", Source: sdk.FromPlugin, Summary: fmt.Sprintf("rule %s: %d more variants cannot be used", c.name(), bad-maxCodeErrors)})
	}
	for _, head := range slices.Sorted(maps.Keys(lost)) {
		ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "augment.code-label", Source: sdk.FromPlugin,
			Summary: fmt.Sprintf("rule %s: %d of %d variants have no label for head %q, which their examples have: it learns nothing from them", c.name(), lost[head], n, head)})
	}
	return n, ds, nil
}

// wrongLabel says which label of a variant its head does not have, or "".
func wrongLabel(from, made *sdk.Example, heads []sdk.HeadSpec) string {
	for _, name := range slices.Sorted(maps.Keys(made.Labels)) {
		l := made.Labels[name]
		was, had := from.Labels[name]
		i := slices.IndexFunc(heads, func(h sdk.HeadSpec) bool { return h.Name == name })
		if i < 0 {
			if !had {
				return fmt.Sprintf("it has a label for %q, and there is no such head", name)
			}
			continue
		}
		known, h := recipe.Outputs(heads[i]), heads[i]
		got, before, form := l.Values, was.Values, l.Values != nil
		switch h.Kind {
		case sdk.KindTag:
			got, before, form = l.Tags, was.Tags, l.Tags != nil || was.Tags == nil
		case sdk.KindRegress, sdk.KindRank, sdk.KindEmbed:
			got, form = nil, l.Number != nil
		case sdk.KindSpan, sdk.KindQA:
			got, form = nil, l.Spans != nil
		case sdk.KindMultilabel:
		default:
			form = len(l.Values) == 1
		}
		if !form {
			return fmt.Sprintf("its label for head %q is none of kind %s", name, h.Kind)
		}
		for _, v := range got {
			if !slices.Contains(known, v) && !slices.Contains(before, v) {
				return fmt.Sprintf("head %q has no label %q", name, v)
			}
		}
	}
	return ""
}

func each(examples []sdk.Example) iter.Seq2[sdk.Example, error] {
	return func(yield func(sdk.Example, error) bool) {
		for _, ex := range examples {
			if !yield(ex, nil) {
				return
			}
		}
	}
}

// codeEngines are engines of one rule each that answer with the kept variants.
func (r *rules) codeEngines() (engines []*augment.Engine) {
	for _, c := range r.code {
		opt := r.shared
		opt.Resources.Coder = c.made
		opt.Take = func(pack string, rule *augment.CompiledRule) bool {
			return pack == c.pack.Manifest.Name && rule.ID == c.rule.ID
		}
		e, _ := augment.NewEngine(r.packs, opt) // its warnings are those of the run's engine
		engines = append(engines, e)
	}
	return engines
}

// readVariants reads a finished stage: the sha256 of what follows, in hex, and a
// line for each variant. A damaged file counts as none.
func readVariants(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	head, body, ok := bytes.Cut(data, []byte("\n"))
	if sum := sha256.Sum256(body); !ok || string(head) != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%s is damaged: %w", path, fs.ErrInvalid)
	}
	return body, nil
}

// writeVariants keeps a finished stage. Of two writers either may win: both have
// the same.
func writeVariants(path string, body []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the stage's folder: %w", err)
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("keep variants: %w", err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // gone after the rename
	sum := sha256.Sum256(body)
	_, err = fmt.Fprintf(f, "%x\n%s", sum, body)
	err = errors.Join(err, f.Chmod(0o644))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keep variants: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("keep variants: %w", err)
	}
	return nil
}
