package sdktest

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

// goodFiles is a domain that uses everything and passes every check.
func goodFiles() fstest.MapFS {
	text := map[string]string{
		"domain.yaml": `schema: islm/domain.v0
name: energy
version: 0.1.0
summary: Outage tickets and tariffs.
licences:
  - {data: "vocab/*", spdx: CC0-1.0}
  - {data: "kg/*", spdx: CC0-1.0}
  - {data: "rules/*", spdx: CC0-1.0}
  - {data: "data/*", spdx: CC0-1.0}
options:
  - {name: region, type: enum, values: [north, south], default: north, help: Which network.}
  - {name: depth, type: int, default: "2", help: How deep.}
  - {name: key, required: true, help: The key of the archive.}
  - {name: token, secret: true, help: The token of the archive.}
datasets:
  tickets: {task: intent, heads: [intent, names], format: jsonl}
  archive: {task: intent, hook: archive, splits: [train]}
heads:
  - {name: intent, kind: classify.v0, labels: [billing, outage], dataset: tickets, descriptions: {billing: {en: about money}}}
  - {name: names, kind: tag.v0, labels: [ORG], dataset: tickets}
features: [{name: shape, kind: shape.v0}]
kg:
  entities: [Operator]
  relations: [competes_with]
advice:
  train: {epochs: 4}
`,
		"vocab/terms.tsv": "text\tkind\tsynonyms\tentity\nNordstrom AG\tname\tNordstrom\tnord\nkilowatt hour\tunit\tkWh\t\n",
		"kg/entities.tsv": "id\ttype\tnames\nnord\tOperator\tNordstrom AG|Nordstrom\nsued\tOperator\tSüdstrom\n",
		"kg/facts.tsv":    "subject\trelation\tobject\nnord\tcompetes_with\tsued\n",
		"rules/shout.yaml": `schema: islm/rules.v1
rules:
  - id: shout
    match: {text: true}
    do: {kind: code.v0, func: shout, params: {mark: "!"}}
    labels: {keep: all}
    tests:
      fires:
        - {in: the power is gone, seed: 1, out: ["THE POWER IS GONE!"]}
`,
		"data/tickets.train.jsonl": `{"id": "a", "text": "The bill of Nordstrom is wrong.", "labels": {"intent": "billing", "names": {"spans": [{"start": 12, "end": 21, "label": "ORG"}]}}}
{"id": "b", "text": "Größter Ausfall bei Südstrom seit Mai.", "labels": {"intent": "outage", "names": {"spans": [{"start": 22, "end": 31, "label": "ORG"}]}}}
`,
		"data/tickets.test.jsonl": `{"id": "c", "text": "No power since noon.", "label": "outage"}
`,
	}
	fsys := fstest.MapFS{}
	for name, t := range text {
		fsys[name] = &fstest.MapFile{Data: []byte(t)}
	}
	return fsys
}

func goodDomain() sdk.Domain {
	return sdk.Domain{
		FS: goodFiles(),
		Readers: map[string]sdk.Reader{"archive": func(_ context.Context, req sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
			return func(yield func(sdk.Example, error) bool) {
				if _, err := os.Stat(req.Path); err != nil {
					yield(sdk.Example{}, fmt.Errorf("open the archive: %w", err))
				}
			}
		}},
		Augmenters: map[string]sdk.Augmenter{"shout": func(ctx context.Context, ex sdk.Example, _ *rand.Rand) ([]sdk.Example, error) {
			return []sdk.Example{{Text: strings.ToUpper(ex.Text) + sdk.Param(ctx, "mark")}}, nil
		}},
	}
}

// edit replaces text in one of the domain's files.
func edit(d *sdk.Domain, file, old, with string) {
	fsys := maps.Clone(d.FS.(fstest.MapFS))
	data := string(fsys[file].Data)
	if !strings.Contains(data, old) {
		panic(fmt.Sprintf("%s does not contain %q", file, old))
	}
	fsys[file] = &fstest.MapFile{Data: []byte(strings.Replace(data, old, with, 1))}
	d.FS = fsys
}

// fake answers some calls itself and leaves the rest to a real plugin: it stands
// for plugins in other languages, which package serve does not keep from mistakes.
type fake struct {
	Plugin
	describe   func(context.Context) (*sdk.Description, error)
	configure  func(context.Context, map[string]string) (sdk.Diagnostics, error)
	vocabulary func(context.Context) iter.Seq2[sdk.Term, error]
	rules      func(context.Context) iter.Seq2[sdk.RuleFile, error]
	facts      func(context.Context) iter.Seq2[sdk.FactItem, error]
	read       func(context.Context, sdk.ReadRequest) iter.Seq2[sdk.Example, error]
	augment    func(context.Context, sdk.AugmentRequest, iter.Seq2[sdk.Example, error]) iter.Seq2[sdk.Example, error]
}

func (f *fake) Describe(ctx context.Context) (*sdk.Description, error) {
	if f.describe != nil {
		return f.describe(ctx)
	}
	return f.Plugin.Describe(ctx)
}

func (f *fake) Configure(ctx context.Context, o map[string]string) (sdk.Diagnostics, error) {
	if f.configure != nil {
		return f.configure(ctx, o)
	}
	return f.Plugin.Configure(ctx, o)
}

func (f *fake) Vocabulary(ctx context.Context) iter.Seq2[sdk.Term, error] {
	if f.vocabulary != nil {
		return f.vocabulary(ctx)
	}
	return f.Plugin.Vocabulary(ctx)
}

func (f *fake) Rules(ctx context.Context) iter.Seq2[sdk.RuleFile, error] {
	if f.rules != nil {
		return f.rules(ctx)
	}
	return f.Plugin.Rules(ctx)
}

func (f *fake) Facts(ctx context.Context) iter.Seq2[sdk.FactItem, error] {
	if f.facts != nil {
		return f.facts(ctx)
	}
	return f.Plugin.Facts(ctx)
}

func (f *fake) Read(ctx context.Context, r sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
	if f.read != nil {
		return f.read(ctx, r)
	}
	return f.Plugin.Read(ctx, r)
}

func (f *fake) Augment(ctx context.Context, r sdk.AugmentRequest, in iter.Seq2[sdk.Example, error]) iter.Seq2[sdk.Example, error] {
	if f.augment != nil {
		return f.augment(ctx, r, in)
	}
	return f.Plugin.Augment(ctx, r, in)
}

// described alters the description.
func described(change func(*sdk.Description)) func(*fake) {
	return func(f *fake) {
		f.describe = func(ctx context.Context) (*sdk.Description, error) {
			d, err := f.Plugin.Describe(ctx)
			if err == nil {
				change(d)
			}
			return d, err
		}
	}
}

// termed alters the terms.
func termed(change func(*sdk.Term)) func(*fake) {
	return func(f *fake) {
		f.vocabulary = func(ctx context.Context) iter.Seq2[sdk.Term, error] {
			return altered(f.Plugin.Vocabulary(ctx), change)
		}
	}
}

// rowed alters the examples that are read.
func rowed(change func(*sdk.Example)) func(*fake) {
	return func(f *fake) {
		f.read = func(ctx context.Context, r sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
			return altered(f.Plugin.Read(ctx, r), change)
		}
	}
}

// augmented alters the examples that augmenters make.
func augmented(change func(*sdk.Example)) func(*fake) {
	return func(f *fake) {
		f.augment = func(ctx context.Context, r sdk.AugmentRequest, in iter.Seq2[sdk.Example, error]) iter.Seq2[sdk.Example, error] {
			return altered(f.Plugin.Augment(ctx, r, in), change)
		}
	}
}

func altered[T any](seq iter.Seq2[T, error], change func(*T)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for x, err := range seq {
			if err == nil {
				change(&x)
			}
			if !yield(x, err) {
				return
			}
		}
	}
}

func stream[T any](items ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range items {
			if !yield(x, nil) {
				return
			}
		}
	}
}

func failing[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		yield(zero, err)
	}
}

// wrapped is a subject whose plugins are altered.
type wrapped struct {
	*domain
	alter func(*fake)
}

func (w *wrapped) launch(ctx context.Context) (Plugin, error) {
	p, err := w.domain.launch(ctx)
	if err != nil {
		return nil, err
	}
	f := &fake{Plugin: p}
	w.alter(f)
	return f, nil
}

// broken is one way to break the good domain.
type broken struct {
	check  string
	name   string
	domain func(*sdk.Domain)
	plugin func(*fake)
	rules  Rulebook
	mode   string // of the test binary as a plugin process
	file   string // name of that binary, if not islm-plugin-energy
}

func brokenDomains() []broken {
	const manifest, terms, entities, factsFile, ruleFile, train, test = "domain.yaml", "vocab/terms.tsv", "kg/entities.tsv", "kg/facts.tsv", "rules/shout.yaml", "data/tickets.train.jsonl", "data/tickets.test.jsonl"
	in := func(file, old, with string) func(*sdk.Domain) {
		return func(d *sdk.Domain) { edit(d, file, old, with) }
	}
	augmenter := func(f sdk.Augmenter) func(*sdk.Domain) {
		return func(d *sdk.Domain) { d.Augmenters = map[string]sdk.Augmenter{"shout": f} }
	}
	var calls, starts atomic.Int64
	return []broken{
		{check: "describe.valid", domain: in(manifest, "version: 0.1.0", "version: one")},
		{check: "describe.valid", name: "name", domain: in(manifest, "name: energy", "name: Energy_1")},
		{check: "describe.valid", name: "fails", plugin: func(f *fake) {
			f.describe = func(context.Context) (*sdk.Description, error) { return nil, fmt.Errorf("no") }
		}},
		{check: "describe.valid", name: "nil", plugin: func(f *fake) {
			f.describe = func(context.Context) (*sdk.Description, error) { return nil, nil } //nolint:nilnil // that is the mistake
		}},
		{check: "describe.valid", name: "digest", plugin: described(func(d *sdk.Description) { d.Digest, d.SDKVersion, d.ProtocolMinor = "none", "x", -1 })},
		{check: "describe.summary", domain: in(manifest, "summary: Outage tickets and tariffs.\n", "")},
		{check: "describe.summary", name: "lines", domain: in(manifest, "summary: Outage tickets and tariffs.", `summary: "a\nb"`)},
		{check: "describe.stable", plugin: described(func(d *sdk.Description) { d.Summary = fmt.Sprint(calls.Add(1)) })},
		{check: "describe.same-after-restart", plugin: func(f *fake) {
			n := starts.Add(1)
			described(func(d *sdk.Description) { d.Summary = fmt.Sprint(n) })(f)
		}},
		{check: "manifest.strict", domain: in(manifest, "summary:", "synopsis:")},
		{check: "manifest.strict", name: "no manifest", domain: func(d *sdk.Domain) { d.FS = fstest.MapFS{} }},
		{check: "manifest.names-unique", domain: in(manifest, "{name: names, kind", "{name: intent, kind")},
		{check: "manifest.names-unique", name: "empty", plugin: described(func(d *sdk.Description) { d.Augmenters = append(d.Augmenters, "") })},
		{check: "licence.declared", domain: in(manifest, `  - {data: "vocab/*", spdx: CC0-1.0}`+"\n", "")},
		{check: "licence.declared", name: "data", domain: in(manifest, `  - {data: "data/*", spdx: CC0-1.0}`+"\n", "")},
		{check: "licence.declared", name: "rules", domain: in(manifest, `  - {data: "rules/*", spdx: CC0-1.0}`+"\n", "")},
		{check: "dataset.readable", domain: func(d *sdk.Domain) { d.Readers = nil }},
		{check: "dataset.readable", name: "all", plugin: described(func(d *sdk.Description) {
			d.Datasets = append(d.Datasets, sdk.Dataset{Name: "x", Splits: []string{"dev"}, Task: "nothing"}, sdk.Dataset{Name: "y", Embedded: true})
		})},
		{check: "advice.mapping", domain: in(manifest, "train: {epochs: 4}", `train: {epochs: 4, "": 1}`)},
		{check: "advice.mapping", name: "null", plugin: described(func(d *sdk.Description) { d.Advice = map[string]any{"train": nil} })},

		{check: "option.defaults-valid", domain: in(manifest, `default: "2"`, "default: two")},
		{check: "option.defaults-valid", name: "type", plugin: described(func(d *sdk.Description) { d.Options[0].Type = "colour" })},
		{check: "option.help", domain: in(manifest, ", help: How deep.", "")},
		{check: "option.secret-without-default", domain: in(manifest, "secret: true", "secret: true, default: abc")},
		{check: "option.defaults-accepted", plugin: func(f *fake) {
			f.configure = func(context.Context, map[string]string) (sdk.Diagnostics, error) { return nil, fmt.Errorf("no") }
		}},
		{check: "option.unknown-is-diagnostic", plugin: func(f *fake) {
			f.configure = func(context.Context, map[string]string) (sdk.Diagnostics, error) { return nil, nil }
		}},
		{check: "option.unknown-is-diagnostic", name: "error", plugin: func(f *fake) {
			f.configure = func(ctx context.Context, o map[string]string) (sdk.Diagnostics, error) {
				ds, err := f.Plugin.Configure(ctx, o)
				if err == nil {
					err = ds.Err()
				}
				return nil, err
			}
		}},
		{check: "option.missing-is-diagnostic", plugin: func(f *fake) {
			f.configure = func(context.Context, map[string]string) (sdk.Diagnostics, error) { return nil, nil }
		}},
		{check: "option.wrong-type-is-diagnostic", plugin: func(f *fake) {
			f.configure = func(context.Context, map[string]string) (sdk.Diagnostics, error) { return nil, nil }
		}},
		{check: "option.secret-not-repeated", plugin: func(f *fake) {
			f.configure = func(_ context.Context, o map[string]string) (sdk.Diagnostics, error) {
				return sdk.Diagnostics{{Severity: sdk.Warning, Summary: "got " + fmt.Sprint(o)}}, nil
			}
		}},

		{check: "vocab.utf8-nfc", domain: in(terms, "kilowatt hour", "kilowatt hou\u0308r")},
		{check: "vocab.utf8-nfc", name: "hook", domain: func(d *sdk.Domain) {
			d.Terms = func(context.Context) iter.Seq2[sdk.Term, error] { return stream(sdk.Term{Text: "u\u0308ber"}) }
		}},
		{check: "vocab.utf8-nfc", name: "space", plugin: termed(func(t *sdk.Term) { t.Canonical = "x " })},
		{check: "vocab.text-present", plugin: termed(func(t *sdk.Term) { t.Text = "" })},
		{check: "vocab.text-present", name: "file", domain: in(terms, "kilowatt hour", "")},
		{check: "vocab.text-present", name: "synonym", plugin: termed(func(t *sdk.Term) { t.Synonyms = []string{" "} })},
		{check: "vocab.unique", domain: in(terms, "kilowatt hour", "Nordstrom AG")},
		{check: "vocab.unique", name: "hook", domain: func(d *sdk.Domain) {
			d.Terms = func(context.Context) iter.Seq2[sdk.Term, error] { return stream(sdk.Term{Text: "kilowatt hour"}) }
		}},
		{check: "vocab.unique", name: "own synonym", domain: in(terms, "kWh", "kilowatt hour")},
		{check: "vocab.weights", plugin: termed(func(t *sdk.Term) { t.Weight = math.NaN() })},
		{check: "vocab.weights", name: "negative", domain: func(d *sdk.Domain) {
			d.Terms = func(context.Context) iter.Seq2[sdk.Term, error] { return stream(sdk.Term{Text: "x", Weight: -1}) }
		}},
		{check: "vocab.entities-resolve", domain: in(terms, "\tnord\n", "\tsouth\n")},
		{check: "vocab.entities-resolve", name: "hook", domain: func(d *sdk.Domain) {
			d.Terms = func(context.Context) iter.Seq2[sdk.Term, error] { return stream(sdk.Term{Text: "x", EntityID: "y"}) }
		}},
		{check: "vocab.stable", domain: func(d *sdk.Domain) {
			d.Terms = func(context.Context) iter.Seq2[sdk.Term, error] {
				return stream(sdk.Term{Text: fmt.Sprint("term ", calls.Add(1))})
			}
		}},

		{check: "rules.parse", domain: in(ruleFile, "rules:", "rules: [")},
		{check: "rules.parse", name: "schema", domain: in(ruleFile, "schema: islm/rules.v1\n", "")},
		{check: "rules.parse", name: "id", domain: in(ruleFile, "id: shout", `id: ""`)},
		{check: "rules.parse", name: "kind", domain: in(ruleFile, "kind: code.v0, ", "")},
		{check: "rules.parse", name: "list", domain: in(ruleFile, "rules:", "rule:")},
		{check: "rules.ids-unique", domain: in(ruleFile, "rules:\n", "rules:\n  - {id: shout, do: {kind: code.v0, func: shout}}\n")},
		{check: "rules.hooks-exist", domain: in(ruleFile, "func: shout", "func: whisper")},
		{check: "rules.tests-pass", domain: in(ruleFile, "THE POWER IS GONE!", "the power is gone?")},
		{check: "rules.parse", name: "language", rules: func(string, string, []sdk.RuleFile) (parse, tests sdk.Diagnostics, ran int) {
			return sdk.Diagnostics{{Code: "rules.where", Summary: "no"}}, nil, 0
		}},
		{check: "rules.tests-pass", name: "language", rules: func(string, string, []sdk.RuleFile) (parse, tests sdk.Diagnostics, ran int) {
			return nil, sdk.Diagnostics{{Code: "rules.test", Summary: "no"}}, 1
		}},
		{check: "rules.tests-pass", name: "form", domain: in(ruleFile, "in: the power is gone, ", "")},
		{check: "rules.digests", plugin: func(f *fake) {
			f.rules = func(ctx context.Context) iter.Seq2[sdk.RuleFile, error] {
				return altered(f.Plugin.Rules(ctx), func(r *sdk.RuleFile) { r.Data = append(r.Data, '#') })
			}
		}},
		{check: "rules.digests", name: "list", plugin: described(func(d *sdk.Description) { d.Rules = nil })},

		{check: "facts.schema", domain: in(entities, "nord\tOperator", "nord\tCompany")},
		{check: "facts.schema", name: "relation", domain: in(factsFile, "competes_with", "hates")},
		{check: "facts.schema", name: "hook", domain: func(d *sdk.Domain) {
			d.Facts = func(context.Context) iter.Seq2[sdk.FactItem, error] {
				return stream(sdk.FactItem{Fact: &sdk.Fact{Subject: "nord", Relation: "competes_with"}})
			}
		}},
		{check: "facts.entities-first", domain: func(d *sdk.Domain) {
			d.Facts = func(context.Context) iter.Seq2[sdk.FactItem, error] {
				return stream(sdk.FactItem{Fact: &sdk.Fact{Subject: "nord", Relation: "competes_with", Object: "sued"}}, sdk.FactItem{Entity: &sdk.Entity{ID: "x", Type: "Operator"}})
			}
		}},
		{check: "facts.entities-first", name: "foreign", plugin: func(f *fake) {
			f.facts = func(context.Context) iter.Seq2[sdk.FactItem, error] {
				return stream(sdk.FactItem{Fact: &sdk.Fact{Subject: "x"}}, sdk.FactItem{Entity: &sdk.Entity{ID: "x", Type: "Operator"}})
			}
		}},
		{check: "facts.entities-unique", domain: in(entities, "sued\t", "nord\t")},
		{check: "facts.entities-unique", name: "hook", domain: func(d *sdk.Domain) {
			d.Facts = func(context.Context) iter.Seq2[sdk.FactItem, error] {
				return stream(sdk.FactItem{Entity: &sdk.Entity{ID: "nord", Type: "Operator", Names: []string{"N"}}})
			}
		}},
		{check: "facts.named", domain: in(entities, "\tSüdstrom", "\t")},
		{check: "facts.ids-resolve", domain: in(factsFile, "\tsued", "\twest")},
		{check: "facts.ids-resolve", name: "hook", domain: func(d *sdk.Domain) {
			d.Facts = func(context.Context) iter.Seq2[sdk.FactItem, error] {
				return stream(sdk.FactItem{Fact: &sdk.Fact{Subject: "nobody", Relation: "competes_with", Object: "nord"}})
			}
		}},

		{check: "heads.known-kinds", domain: in(manifest, "classify.v0", "classify.v7")},
		{check: "heads.labels-closed", domain: in(manifest, "labels: [billing, outage]", "labels: [billing, outage, billing]")},
		{check: "heads.labels-closed", name: "descriptions", domain: in(manifest, "descriptions: {billing:", "descriptions: {biling:")},
		{check: "heads.datasets-exist", domain: in(manifest, "labels: [ORG], dataset: tickets", "labels: [ORG], dataset: letters")},
		{check: "features.valid", domain: in(manifest, "shape.v0", "shape.v7")},
		{check: "features.valid", name: "over the wire", plugin: described(func(d *sdk.Description) {
			d.Features = []sdk.FeatureSpec{{Name: "unit", Kind: sdk.FeatureClasses, Classes: []sdk.FeatureClass{{Name: "mass", Match: "("}}}}
		})},
		{check: "heads.labels-covered", domain: in(manifest, "labels: [billing, outage]", "labels: [billing, outage, churn]")},

		{check: "read.rows-valid", domain: in(train, `"id": "b"`, `"ident": "b"`)},
		{check: "read.rows-valid", name: "no JSON", domain: in(test, `{"id"`, `{id`)},
		{check: "read.spans-valid", domain: in(train, `"end": 21`, `"end": 2100`)},
		{check: "read.spans-valid", name: "rune", domain: in(train, `"start": 22`, `"start": 24`)},
		{check: "read.spans-valid", name: "foreign", plugin: rowed(func(e *sdk.Example) {
			e.Labels = map[string]sdk.Label{"names": {Spans: []sdk.Span{{Start: 3, End: 3, Label: "ORG"}}}}
		})},
		{check: "read.text-present", plugin: rowed(func(e *sdk.Example) { e.Text = " " })},
		{check: "read.text-present", name: "file", domain: in(test, "No power since noon.", "")},
		{check: "read.ids-unique", domain: in(train, `"id": "b"`, `"id": "a"`)},
		{check: "read.ids-unique", name: "empty", plugin: rowed(func(e *sdk.Example) { e.ID = "" })},
		{check: "read.splits-readable", domain: func(d *sdk.Domain) {
			fsys := maps.Clone(d.FS.(fstest.MapFS))
			fsys[test] = &fstest.MapFile{}
			d.FS = fsys
		}},
		{check: "read.splits-disjoint", domain: in(test, "No power since noon.", "The bill of Nordstrom is wrong.")},
		{check: "read.heads-resolve", domain: in(manifest, "tickets: {task: intent, ", "tickets: {")},
		{check: "read.heads-resolve", name: "unknown", domain: in(train, `"labels": {"intent"`, `"labels": {"purpose"`)},
		{check: "read.labels-known", domain: in(test, `"outage"`, `"outrage"`)},
		{check: "read.labels-known", name: "span", domain: in(train, `"label": "ORG"`, `"label": "PER"`)},
		{check: "read.labels-fit-kind", domain: in(test, `"label": "outage"`, `"label": ["outage", "billing"]`)},
		{check: "read.labels-fit-kind", name: "tag", domain: in(train, `"names": {"spans": [{"start": 12, "end": 21, "label": "ORG"}]}`, `"names": "ORG"`)},
		{check: "read.no-conflicts", domain: in(test, `{"id": "c"`, `{"id": "d", "text": "No power since noon.", "label": "billing"}`+"\n"+`{"id": "c"`)},
		{check: "read.limit", plugin: func(f *fake) {
			f.read = func(ctx context.Context, r sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
				r.Limit = 0
				return f.Plugin.Read(ctx, r)
			}
		}},
		{check: "read.stable", plugin: rowed(func(e *sdk.Example) { e.Meta = map[string]string{"n": fmt.Sprint(calls.Add(1))} })},
		{check: "read.unknown-dataset-is-error", plugin: func(f *fake) {
			f.read = func(ctx context.Context, r sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
				if strings.HasPrefix(r.Dataset, "no-such") {
					return stream[sdk.Example]()
				}
				return f.Plugin.Read(ctx, r)
			}
		}},
		{check: "read.unknown-dataset-is-error", name: "split", plugin: func(f *fake) {
			f.read = func(ctx context.Context, r sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
				r.Split = ""
				return f.Plugin.Read(ctx, r)
			}
		}},
		{check: "read.missing-file-is-error", domain: func(d *sdk.Domain) {
			d.Readers = map[string]sdk.Reader{"archive": func(context.Context, sdk.ReadRequest) iter.Seq2[sdk.Example, error] { return stream[sdk.Example]() }}
		}},
		{check: "read.missing-file-is-error", name: "panics", domain: func(d *sdk.Domain) {
			d.Readers = map[string]sdk.Reader{"archive": func(context.Context, sdk.ReadRequest) iter.Seq2[sdk.Example, error] { panic("no file") }}
		}},

		{check: "augment.deterministic", domain: augmenter(func(_ context.Context, ex sdk.Example, _ *rand.Rand) ([]sdk.Example, error) {
			return []sdk.Example{{Text: fmt.Sprint(ex.Text, calls.Add(1))}}, nil
		})},
		{check: "augment.batch-independent", plugin: func(f *fake) { // the first of a batch is special
			f.augment = func(ctx context.Context, r sdk.AugmentRequest, in iter.Seq2[sdk.Example, error]) iter.Seq2[sdk.Example, error] {
				n := 0
				return altered(f.Plugin.Augment(ctx, r, in), func(e *sdk.Example) { n++; e.Text += fmt.Sprint(n) })
			}
		}},
		{check: "augment.order-independent", plugin: func(f *fake) {
			f.augment = func(ctx context.Context, r sdk.AugmentRequest, in iter.Seq2[sdk.Example, error]) iter.Seq2[sdk.Example, error] {
				last := ""
				return altered(f.Plugin.Augment(ctx, r, in), func(e *sdk.Example) { e.Text, last = e.Text+last, e.Parent })
			}
		}},
		{check: "augment.parent-set", plugin: augmented(func(e *sdk.Example) { e.Parent = "" })},
		{check: "augment.parent-set", name: "order", plugin: func(f *fake) {
			f.augment = func(ctx context.Context, r sdk.AugmentRequest, in iter.Seq2[sdk.Example, error]) iter.Seq2[sdk.Example, error] {
				got, _, _ := sdk.Collect(f.Plugin.Augment(ctx, r, in))
				slices.Reverse(got)
				return stream(got...)
			}
		}},
		{check: "augment.ids-unique", plugin: augmented(func(e *sdk.Example) { e.ID = e.Parent })},
		{check: "augment.spans-valid", domain: augmenter(func(_ context.Context, ex sdk.Example, _ *rand.Rand) ([]sdk.Example, error) {
			return []sdk.Example{{Text: "short", Labels: ex.Labels}}, nil
		})},
		{check: "augment.spans-valid", name: "foreign", plugin: augmented(func(e *sdk.Example) {
			e.Labels = map[string]sdk.Label{"names": {Spans: []sdk.Span{{Start: -1, End: 3, Label: "ORG"}}}}
		})},
		{check: "augment.heads-kept", domain: augmenter(func(_ context.Context, ex sdk.Example, _ *rand.Rand) ([]sdk.Example, error) {
			return []sdk.Example{{Text: ex.Text, Labels: map[string]sdk.Label{"mood": {Values: []string{"bad"}}}}}, nil
		})},
		{check: "augment.unknown-is-error", plugin: func(f *fake) {
			f.augment = func(ctx context.Context, r sdk.AugmentRequest, in iter.Seq2[sdk.Example, error]) iter.Seq2[sdk.Example, error] {
				if strings.HasPrefix(r.Augmenter, "no-such") {
					return stream[sdk.Example]()
				}
				return f.Plugin.Augment(ctx, r, in)
			}
		}},

		{check: "stream.complete", domain: func(d *sdk.Domain) {
			d.Terms = func(context.Context) iter.Seq2[sdk.Term, error] { return failing[sdk.Term](fmt.Errorf("no disk")) }
		}},
		{check: "stream.complete", name: "panics", domain: func(d *sdk.Domain) {
			d.Facts = func(context.Context) iter.Seq2[sdk.FactItem, error] { panic("oh") }
		}},
		{check: "stream.under-limit", domain: func(d *sdk.Domain) {
			d.Terms = func(context.Context) iter.Seq2[sdk.Term, error] {
				return stream(sdk.Term{Text: strings.Repeat("x", 17<<20)})
			}
		}},
		{check: "stream.early-stop", plugin: func(f *fake) {
			left := false
			f.vocabulary = func(ctx context.Context) iter.Seq2[sdk.Term, error] {
				return func(yield func(sdk.Term, error) bool) {
					for t, err := range f.Plugin.Vocabulary(ctx) {
						if !yield(t, err) {
							left = true
							return
						}
					}
				}
			}
			f.describe = func(ctx context.Context) (*sdk.Description, error) {
				if left {
					return nil, fmt.Errorf("still busy")
				}
				return f.Plugin.Describe(ctx)
			}
		}},
		{check: "stream.cancel-fast", domain: func(d *sdk.Domain) { // a hook that does not look at its context
			d.Terms = func(context.Context) iter.Seq2[sdk.Term, error] {
				return func(yield func(sdk.Term, error) bool) {
					time.Sleep(1500 * time.Millisecond)
					yield(sdk.Term{Text: "late"}, nil)
				}
			}
		}},
		{check: "stream.cancel-fast", name: "foreign", plugin: func(f *fake) {
			f.vocabulary = func(context.Context) iter.Seq2[sdk.Term, error] {
				return func(yield func(sdk.Term, error) bool) {
					time.Sleep(1300 * time.Millisecond)
				}
			}
		}},
		{check: "process.concurrent-calls", plugin: func(f *fake) {
			var busy atomic.Bool
			f.vocabulary = func(ctx context.Context) iter.Seq2[sdk.Term, error] {
				if !busy.CompareAndSwap(false, true) {
					return failing[sdk.Term](fmt.Errorf("busy"))
				}
				time.Sleep(20 * time.Millisecond)
				defer busy.Store(false)
				items, _, err := sdk.Collect(f.Plugin.Vocabulary(ctx))
				if err != nil {
					return failing[sdk.Term](err)
				}
				return stream(items...)
			}
		}},
		{check: "process.survives-errors", plugin: func(f *fake) {
			failed := false
			f.read = func(ctx context.Context, r sdk.ReadRequest) iter.Seq2[sdk.Example, error] {
				failed = failed || strings.HasPrefix(r.Dataset, "no-such")
				return f.Plugin.Read(ctx, r)
			}
			f.describe = func(ctx context.Context) (*sdk.Description, error) {
				if failed {
					return nil, fmt.Errorf("dead")
				}
				return f.Plugin.Describe(ctx)
			}
		}},

		{check: "process.starts", mode: "dies"},
		{check: "process.handshake", mode: "prints-first"},
		{check: "process.handshake", name: "nonsense", mode: "nonsense"},
		{check: "process.refuses-hand-start", mode: "content-by-hand"},
		{check: "describe.matches-binary-name", mode: "good", file: "islm-plugin-finance"},
		{check: "describe.command-equals-rpc", mode: "describes-otherwise"},
		{check: "stdout.silent", mode: "prints-later"},
		{check: "logs.json", mode: "logs-text"},
		{check: "process.exits-with-host", mode: "stays"},
		{check: "process.leaves-no-socket", mode: "leaves-socket"},
		{check: "process.closes-fast", mode: "closes-slowly"},
	}
}

// TestGood holds the kit to its word on a domain without mistakes.
func TestGood(t *testing.T) {
	r, err := conform(t.Context(), goodDomain(), Options{})
	require.NoError(t, err)
	require.True(t, r.OK(), "%s", r)
	assert.Zero(t, r.Count(Skipped), "the good domain gives occasion for every check\n%s", r)
	assert.GreaterOrEqual(t, r.Count(Passed), 50)
}

func TestBroken(t *testing.T) {
	for _, b := range brokenDomains() {
		if b.mode != "" {
			continue // TestBrokenProcess
		}
		t.Run(b.check+"/"+b.name, func(t *testing.T) {
			d := goodDomain()
			if b.domain != nil {
				b.domain(&d)
			}
			s := &domain{}
			s.domain = s.watched(d)
			var subject subject = s
			if b.plugin != nil {
				subject = &wrapped{domain: s, alter: b.plugin}
			}
			r, err := run(t.Context(), subject, Options{Only: []string{"describe.valid", b.check}, Rules: b.rules}, func(c Check) bool { return !c.Process })
			require.NoError(t, err)
			i := slices.IndexFunc(r.Results, func(x Result) bool { return x.ID == b.check })
			require.GreaterOrEqual(t, i, 0)
			assert.Equal(t, Failed, r.Results[i].Status, "%s", r)
			assert.NotContains(t, r.Results[i].Diagnostics.String(), "the check broke")
		})
	}
}

// TestEveryCheckCanFail: no check is without a domain that fails it.
func TestEveryCheckCanFail(t *testing.T) {
	cases := brokenDomains()
	ids := map[string]bool{}
	for _, c := range Checks() {
		assert.False(t, ids[c.ID], "two checks are called %s", c.ID)
		ids[c.ID] = true
		assert.Regexp(t, `^[a-z]+\.[a-z0-9-]+$`, c.ID)
		assert.NotEmpty(t, c.Purpose)
		i := slices.IndexFunc(cases, func(b broken) bool { return b.check == c.ID })
		assert.GreaterOrEqual(t, i, 0, "no broken plugin fails %s", c.ID)
		if i >= 0 {
			assert.Equal(t, c.Process, cases[i].mode != "", c.ID)
		}
	}
	for _, b := range cases {
		assert.True(t, ids[b.check], b.check)
	}
}

func TestSkips(t *testing.T) {
	d := goodDomain()
	edit(&d, "domain.yaml", "summary: Outage tickets and tariffs.\n", "")
	r, err := conform(t.Context(), d, Options{Skip: []Skip{ParseSkip("describe.summary: comes with 0.2.0")}})
	require.NoError(t, err)
	assert.True(t, r.OK())
	assert.Contains(t, r.String(), "comes with 0.2.0")
	for _, o := range []Options{
		{Skip: []Skip{ParseSkip("describe.sumary: x")}}, {Skip: []Skip{ParseSkip("describe.summary")}}, {Only: []string{"raed"}},
	} {
		_, err := conform(t.Context(), d, o)
		require.Error(t, err)
	}
	r, err = conform(t.Context(), d, Options{Only: []string{"read"}})
	require.NoError(t, err)
	for _, x := range r.Results {
		assert.Equal(t, "read", area(x.ID))
	}
}

func TestReport(t *testing.T) {
	d := goodDomain()
	edit(&d, "vocab/terms.tsv", "kilowatt hour", "kilowatt\x01 hou\u0308r")
	r, err := conform(t.Context(), d, Options{Only: []string{"vocab", "describe"}, Skip: []Skip{{"vocab.stable", "slow <machine>"}}})
	require.NoError(t, err)
	assert.False(t, r.OK())
	assert.Equal(t, "energy", r.Plugin)
	out, err := r.JUnit()
	require.NoError(t, err)
	assert.Contains(t, string(out), `<testsuite name="islm plugin check energy" tests="10" failures="1" skipped="1"`)
	assert.Contains(t, string(out), `<testcase classname="energy" name="vocab.utf8-nfc"`)
	assert.Contains(t, string(out), `message="slow &lt;machine&gt;"`)
	assert.NotContains(t, string(out), "\x01")
	assert.True(t, r.Diagnostics().HasErrors())
	assert.Contains(t, r.String(), "fail  vocab.utf8-nfc")
}

// copySelf puts this test binary under the name of a plugin.
func copySelf(t *testing.T, name string) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "p") // t.TempDir may be too long for a socket beside it
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, name)
	if os.Link(exe, path) == nil {
		return path
	}
	data, err := os.ReadFile(exe)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, data, 0o755)) //nolint:gosec // it is a program
	return path
}
