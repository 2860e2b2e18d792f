package recipe

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/islm-dev/islm/sdk"
	"github.com/stretchr/testify/require"
)

func mustPlan(t *testing.T, in Sources) *Plan {
	t.Helper()
	p, ds := Resolve(in)
	if len(ds) > 0 {
		t.Fatalf("diagnostics:\n%s", ds)
	}
	return p
}

func TestDefaults(t *testing.T) {
	p := mustPlan(t, Sources{})
	want := map[string]any{
		"Seed": p.Seed == 42, "Preset": p.Preset == "finetune", "Objective": p.Objective == "finetune", "Advice": p.Domain.Advice,
		"Epochs": p.Train.Epochs == 3, "Batch": p.Train.BatchSize == 16, "Accumulate": p.Train.Accumulate == 1, "LR": p.Train.LR == 5e-5,
		"Schedule": p.Train.Schedule == "linear", "Warmup": p.Train.Warmup == 0.06, "Decay": p.Train.WeightDecay == 0.01,
		"Dropout": p.Train.Dropout == nil, "Clip": p.Train.Clip == 1, "Optimizer": p.Train.Optimizer == "adamw", "Precision": p.Train.Precision == "auto",
		"EvalEvery": p.Train.EvalEvery == 0, "Patience": p.Train.Patience == 0, "Padding": p.Data.Padding == "longest", "MaxLength": p.Data.MaxLength == 0,
		"Mode": p.Augment.Mode == "replace", "Inject": len(p.Knowledge.Inject) == 0 && p.Knowledge.Control == ControlOff, "Extend": p.Vocab.Extend == 0, "Shuffle": p.Train.Shuffle,
	}
	for name, ok := range want {
		if ok != true {
			t.Errorf("default of %s is not the promised one", name)
		}
	}
}

// Each key has help and a type, each field of the plan has a key, and each
// default is what an empty recipe gives.
func TestKeysCoverPlan(t *testing.T) {
	p := mustPlan(t, Sources{})
	for _, k := range Keys() {
		typ := fieldType(k.Path)
		if typ == nil || k.Help == "" || k.Type == "" {
			t.Errorf("%s: incomplete: field %v, type %q, help %q", k.Path, typ, k.Type, k.Help)
			continue
		}
		if strings.Contains(k.Path, "NAME") {
			continue
		}
		got, _ := p.Text(k.Path)
		want := k.Default
		if typ.Kind() == reflect.String {
			want = quote(want)
		}
		if got != want {
			t.Errorf("%s: an empty recipe gives %s, the table says %s", k.Path, got, want)
		}
	}
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			at := strings.TrimPrefix(path+"."+f.Tag.Get("yaml"), ".")
			switch {
			case at == "schema" || at == "-":
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type, at)
			case f.Type.Kind() == reflect.Map && f.Type.Elem().Kind() == reflect.Struct:
				walk(f.Type.Elem(), at+".NAME")
			default:
				if _, ok := FindKey(at); !ok {
					t.Errorf("%s has no entry in the table of keys", at)
				}
			}
		}
	}
	walk(reflect.TypeFor[Plan](), "")
}

func TestLayers(t *testing.T) {
	in := Sources{
		Advice: []Advice{{Domain: "finance", Values: map[string]any{"train": map[string]any{"lr": 3e-5, "epochs": 7}, "vocab.extend": 200, "train.warmup": "0.1"}}},
		File:   &File{Name: "r.yaml", Data: []byte("preset: tutorial\ntrain:\n  epochs: 4\n  batch_size: 8\ndomain: [finance, legal]\n")},
		Sets:   []string{"train.batch_size=32", "heads.sentiment.loss=bce", "data.labels=b, a", "train.freeze=embeddings, layers 0-3"},
	}
	p := mustPlan(t, in)
	if p.Train.LR != 3e-5 || p.Train.Epochs != 4 || p.Train.BatchSize != 32 || p.Vocab.Extend != 200 || p.Train.Schedule != "constant" || p.Train.Warmup != 0.1 {
		t.Errorf("train %+v, vocab %+v", p.Train, p.Vocab)
	}
	if diff := cmp.Diff([]string{"finance", "legal"}, p.Domain.Names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b", "a"}, p.Data.Labels); diff != "" {
		t.Error(diff)
	}
	if p.Heads["sentiment"].Loss != "bce" {
		t.Errorf("heads %+v", p.Heads)
	}
	for key, want := range map[string]string{"train.lr": "advice of finance", "train.epochs": "r.yaml:3:11", "train.batch_size": "--set", "train.schedule": "preset tutorial"} {
		if got := p.Origin[key]; got != want {
			t.Errorf("origin of %s: %q, want %q", key, got, want)
		}
	}

	in.Sets = append(in.Sets, "domain.advice=off")
	if p = mustPlan(t, in); p.Train.LR != 2e-5 || p.Vocab.Extend != 0 || p.Domain.Advice {
		t.Errorf("advice was not ignored: lr %v, extend %d", p.Train.LR, p.Vocab.Extend)
	}
}

func TestDomainForms(t *testing.T) {
	for name, tc := range map[string]struct {
		yaml    string
		names   []string
		options map[string]string
		advice  bool
	}{
		"scalar": {"domain: finance", []string{"finance"}, map[string]string{}, true},
		"commas": {"domain: finance, legal", []string{"finance", "legal"}, map[string]string{}, true},
		"list":   {"domain: [finance, legal]", []string{"finance", "legal"}, map[string]string{}, true},
		"map":    {"domain: {name: finance, advice: off, options: {lang: en, finance.year: 2020}}", []string{"finance"}, map[string]string{"lang": "en", "finance.year": "2020"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustPlan(t, Sources{File: &File{Name: "r.yaml", Data: []byte(tc.yaml)}})
			if diff := cmp.Diff(DomainPlan{Names: tc.names, Advice: tc.advice, Options: tc.options}, p.Domain); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		yaml string
		sets []string
		want []string // parts of one diagnostic each, in order
	}{
		"unknown key":         {"train:\n  epoch: 3\n", nil, []string{`error[recipe.unknown-key] r.yaml:2:3: unknown key "train.epoch"` + "\n" + `    remedy: did you mean "train.epochs"?`}},
		"key of a group":      {"lr: 3e-5\n", nil, []string{`did you mean "train.lr"?`}},
		"unknown group":       {"trian:\n  lr: 1\n", nil, []string{`error[recipe.unknown-key] r.yaml:1:1: unknown key "trian"` + "\n" + `    remedy: did you mean "train"?`}},
		"quoted number":       {"train: {epochs: '3'}\n", nil, []string{`error[recipe.type] r.yaml:1:17: train.epochs wants a whole number, this is the text "3"`}},
		"fraction":            {"train: {epochs: 2.5}\n", nil, []string{`train.epochs wants a whole number`}},
		"range":               {"train: {lr: -1}\n", nil, []string{`error[recipe.range] r.yaml:1:13: train.lr is -1`}},
		"not a number":        {"", []string{"train.lr=nan"}, []string{`train.lr is NaN`}},
		"infinite":            {"train: {clip: .inf}\n", nil, []string{`train.clip wants a number or off`}},
		"enum":                {"train: {schedule: lineer}\n", nil, []string{`train.schedule cannot be "lineer"` + "\n" + `    remedy: did you mean "linear"?`}},
		"several at once":     {"train: {lr: fast, epochs: [1]}\nbase:\n", []string{"train.foo=1", "x"}, []string{`--set:x`, `r.yaml:1:13: train.lr wants a number`, `r.yaml:1:27: train.epochs wants a whole number, this is a list`, `r.yaml:2:6: base has no value`, `--set:train.foo=1: unknown key`}},
		"unsorted by layer":   {"", []string{"train.lr=x", "train.lr=1"}, []string{"--set:train.lr=x"}},
		"group as scalar":     {"train: 5\n", nil, []string{`train is a group of keys, this is "5"`}},
		"duplicate key":       {"seed: 1\nseed: 2\n", nil, []string{`yaml.duplicate-key`}},
		"no map":              {"- a\n", nil, []string{`a recipe is a map of keys`}},
		"broken":              {"train: [\n", nil, []string{`yaml.syntax`}},
		"preset":              {"preset: nre\n", nil, []string{`r.yaml:1:9: preset cannot be "nre"` + "\n" + `    remedy: did you mean "ner"?`}},
		"freeze":              {"train: {freeze: [embeddings, layer x]}\n", nil, []string{`r.yaml:1:30: train.freeze: "layer x" is not understood`}},
		"split":               {"data: {split: [0.5, 0.1, 0.1]}\n", nil, []string{`data.split wants three shares`}},
		"nesterov":            {"train: {nesterov: on}\n", nil, []string{`train.nesterov wants a momentum`}},
		"duplicate label":     {"data: {labels: [a, b, a]}\n", nil, []string{`r.yaml:1:23: data.labels names "a" twice`}},
		"control characters":  {"", []string{"data.path=a\x00b"}, []string{`data.path: the text is not UTF-8 or holds a control character`}},
		"device":              {"", []string{"train.device=gpu"}, []string{`wanted: auto, cpu, cuda or cuda:N`}},
		"unknown adapters":    {"", []string{"train.peft=lorra"}, []string{`train.peft cannot be "lorra"` + "\n" + `    remedy: did you mean "lora"?`}},
		"frozen adapters":     {"", []string{"train.peft=lora", "train.lr=1e-3", "train.freeze=embeddings"}, []string{`train.peft=lora freezes the encoder`}},
		"thaw what":           {"", []string{"train.unfreeze_every=2"}, []string{`train.unfreeze_every wants something frozen`}},
		"rows of terms":       {"", []string{"train.peft=ia3", "train.lr=1e-2", "vocab.extend=all"}, []string{`error[adapter.vocabulary] --set:vocab.extend: adapters of the kind ia3 have no place for the rows of new terms`}},
		"adalora's shares":    {"", []string{"train.peft=adalora", "train.lr=1e-3", "peft.warmup=0.6", "peft.final=0.4"}, []string{`leave no steps in which ranks fall`}},
		"schema":              {"schema: islm/plan.v9\n", nil, []string{`unknown schema "islm/plan.v9"`}},
		"head's key":          {"heads: {sentiment: {los: bce}}\n", nil, []string{`did you mean "heads.sentiment.loss"?`}},
		"flow of a set":       {"", []string{"data.labels=[a"}, []string{`--set:data.labels=[a: not valid YAML`}},
		"share of a stream":   {"", []string{"preset=pretrain", "data.share=0.5"}, []string{`data.share takes a part of labelled examples; pre-training reads running text`}},
		"controls of nothing": {"", []string{"eval.controls=3"}, []string{`eval.controls holds injected knowledge against controls, knowledge.inject is empty`}},
		"patience and no run": {"", []string{"train.patience=2", "train.eval_every=off"}, []string{`train.patience wants validations`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, ds := Resolve(Sources{File: &File{Name: "r.yaml", Data: []byte(tc.yaml)}, Sets: tc.sets})
			if len(ds) != len(tc.want) {
				t.Fatalf("%d diagnostics, want %d:\n%s", len(ds), len(tc.want), ds)
			}
			for i, want := range tc.want {
				if got := ds[i].String(); !strings.Contains(got, want) {
					t.Errorf("diagnostic %d is\n%s\nwant in it\n%s", i, got, want)
				}
			}
		})
	}
}

func TestAdviceHasLimits(t *testing.T) {
	_, ds := Resolve(Sources{Advice: []Advice{{Domain: "finance", Values: map[string]any{"seed": 1, "data": map[string]any{"path": "x"}, "train": map[string]any{"lrr": 1}}}}})
	var codes []string
	for _, d := range ds {
		codes = append(codes, d.Code+" "+d.File+" "+d.Path)
	}
	want := []string{"recipe.advice advice of finance data.path", "recipe.advice advice of finance seed", "recipe.unknown-key advice of finance train.lrr"}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Error(diff)
	}
}

func TestYAMLRoundTrip(t *testing.T) {
	p := mustPlan(t, Sources{Preset: "tutorial", Sets: []string{
		"domain=finance", "domain.options.finance.lang=zh", "data.path=数据/a b.csv", `data.fields={text: "q: \"x\"", label: 'yes'}`, "data.labels=[yes, 007, 'a, b']",
		"train.dropout=0.1", "heads.a.dropout=model", "heads.a.crf=on", "heads.topic.class_weights=[1, 0.25]", "heads.topic.labels=off, on", "train.freeze=all but top 2",
		"train.checkpoint_every=100", "seed=18446744073709551615", "augment.mode=add:2", "train.head_lr=1e-4", "eval.by=\tx",
	}})
	text := p.YAML()
	q, ds := Parse("plan.yaml", text)
	if len(ds) > 0 {
		t.Fatalf("%s\n%s", ds, text)
	}
	p.Origin, q.Origin = nil, nil
	if diff := cmp.Diff(p, q); diff != "" {
		t.Errorf("(-written +read)\n%s\n%s", diff, text)
	}
	if string(q.YAML()) != string(text) {
		t.Error("the second writing differs from the first")
	}
	if a, ds := Parse("plan.yaml", p.Annotated()); len(ds) > 0 || len(Diff(p, a)) > 0 {
		t.Errorf("annotated plan: %s %v", ds, Diff(p, a))
	}
}

func TestPresetsResolve(t *testing.T) {
	var names []string
	for _, preset := range Presets() {
		names = append(names, preset.Name)
		p := mustPlan(t, Sources{Preset: preset.Name})
		if p.Preset != preset.Name || !strings.HasSuffix(preset.Summary, ".") {
			t.Errorf("preset %s: plan has %q, summary %q", preset.Name, p.Preset, preset.Summary)
		}
	}
	if diff := cmp.Diff([]string{"continue", "controls", "distill", "fewshot", "finetune", "lora", "ner", "pretrain", "quick", "tapt", "tutorial"}, names); diff != "" {
		t.Error(diff)
	}
	tutorial := mustPlan(t, Sources{Preset: "tutorial"})
	tr := tutorial.Train
	if tr.Optimizer != "adamw" || tr.LR != 2e-5 || tr.WeightDecay != 0 || tr.Schedule != "constant" || tr.Warmup != 0 || tr.Clip != 0 || tr.BatchSize != 16 || tr.Epochs != 5 || !tr.Shuffle || tutorial.Data.Padding != "max" || tutorial.Data.MaxLength != 128 {
		t.Errorf("tutorial: %+v", tr)
	}
}

func TestDiffDigestAdopt(t *testing.T) {
	a, b := mustPlan(t, Sources{}), mustPlan(t, Sources{Sets: []string{"train.lr=1e-5", "data.max_length=64", "data.path=x", "heads.a.loss=ce"}})
	if diff := cmp.Diff([]string{"data.path", "data.max_length", "heads.a.loss", "train.lr"}, Diff(a, b)); diff != "" {
		t.Error(diff)
	}
	if a.Digest(StageVocab) != b.Digest(StageVocab) || a.Digest(StageCorpus) == b.Digest(StageCorpus) || a.Digest(StageTrain) == b.Digest(StageTrain) {
		t.Error("digests do not follow the stages")
	}
	b = mustPlan(t, Sources{Sets: []string{"data.path=y"}})
	if a.Digest(StageCorpus) != b.Digest(StageCorpus) {
		t.Error("a path is no part of a digest")
	}
	recorded := mustPlan(t, Sources{Sets: []string{"train.precision=bf16", "train.threads=2", "data.max_length=256"}})
	a.Adopt(recorded)
	if d := Diff(recorded, a); len(d) > 0 {
		t.Errorf("after Adopt the plans differ in %v", d)
	}
}

func TestFrozen(t *testing.T) {
	for item, want := range map[string]Frozen{
		"":                       {Layers: make([]bool, 4)},
		"embeddings, layers 0-1": {Embeddings: true, Layers: []bool{true, true, false, false}},
		"layer 3":                {Layers: []bool{false, false, false, true}},
		"all but top 1":          {Embeddings: true, Layers: []bool{true, true, true, false}},
		"all but top 0":          {Embeddings: true, Layers: []bool{true, true, true, true}},
		"encoder":                {Embeddings: true, Encoder: true, Layers: []bool{true, true, true, true}},
	} {
		p := mustPlan(t, Sources{Sets: []string{"train.freeze=" + item}})
		got, err := p.Train.Frozen(4)
		if err != nil {
			t.Errorf("%q: %v", item, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", item, diff)
		}
	}
	for _, item := range []string{"layer 4", "layers 2-9", "all but top 5"} {
		p := mustPlan(t, Sources{Sets: []string{"train.freeze=" + item}})
		if _, err := p.Train.Frozen(4); err == nil {
			t.Errorf("%q: no error for 4 layers", item)
		}
	}
}

func TestOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.yaml")
	if err := os.WriteFile(file, []byte("seed: 7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	in, err := Open(file)
	if err != nil || mustPlan(t, in).Seed != 7 {
		t.Errorf("%+v, %v", in, err)
	}
	if in, err := Open("ner"); err != nil || in.Preset != "ner" {
		t.Errorf("%+v, %v", in, err)
	}
	if _, err := Open("tutoral"); err == nil || !strings.Contains(err.Error(), `did you mean "tutorial"?`) {
		t.Errorf("error %v", err)
	}
	if _, err := Open("no/such.yaml"); err == nil {
		t.Error("no error for a file that is not there")
	}
}

func TestOutputsAndApply(t *testing.T) {
	tag := sdk.HeadSpec{Name: "ner", Kind: sdk.KindTag, Labels: []string{"ORG", "LOC"}}
	if diff := cmp.Diff([]string{"O", "B-ORG", "I-ORG", "B-LOC", "I-LOC"}, Outputs(tag)); diff != "" {
		t.Error(diff)
	}
	p := mustPlan(t, Sources{Sets: []string{"heads.ner.scheme=none", "heads.ner.weight=0.5", "train.dropout=0.2", "heads.ner.metrics=accuracy"}})
	tag = p.Apply(tag)
	if diff := cmp.Diff([]string{"ORG", "LOC"}, Outputs(tag)); diff != "" {
		t.Error(diff)
	}
	if tag.Weight != 0.5 || *tag.Dropout != 0.2 || tag.Metrics[0] != "accuracy" || tag.CRF {
		t.Errorf("%+v", tag)
	}
}

func FuzzResolve(f *testing.F) {
	for _, p := range Presets() {
		f.Add(p.Text, "train.lr=3e-5")
	}
	f.Add(string(Defaults().YAML()), "data.labels=[a, b]")
	f.Add("domain: {name: [a], options: {b: c}}", "heads.x.dropout=0.5")
	f.Add("data: {fields: {text: ' #'}}", "domain.options.a=\u2028")
	f.Fuzz(func(t *testing.T, text, item string) {
		p, ds := Resolve(Sources{File: &File{Name: "f.yaml", Data: []byte(text)}, Sets: []string{item}})
		if ds.HasErrors() {
			return
		}
		q, ds := Parse("plan.yaml", p.YAML())
		if len(ds) > 0 {
			t.Fatalf("the written plan is not read back: %s\n%s", ds, p.YAML())
		}
		if d := Diff(p, q); len(d) > 0 {
			t.Fatalf("differs in %v\n%s\n%s", d, p.YAML(), q.YAML())
		}
	})
}

func TestKnowledgeKeys(t *testing.T) {
	p := mustPlan(t, Sources{Sets: []string{"knowledge.inject=features, text", "knowledge.entity_layers=[3, 4]", "knowledge.entity_size=96"}})
	if !p.Knowledge.Has(InjectFeatures) || !p.Knowledge.Has(InjectText) || p.Knowledge.Has(InjectEntity) || !p.Knowledge.NeedsGraph() {
		t.Errorf("inject %v", p.Knowledge.Inject)
	}
	again, ds := Parse("plan.yaml", p.YAML())
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	if diff := cmp.Diff(p.Knowledge, again.Knowledge); diff != "" {
		t.Error(diff)
	}
	if p = mustPlan(t, Sources{File: &File{Name: "r.yaml", Data: []byte("knowledge:\n  inject: off\n")}}); len(p.Knowledge.Inject) != 0 {
		t.Errorf("off gives %v", p.Knowledge.Inject)
	}
	for _, set := range []string{"knowledge.inject=[off, text]", "knowledge.inject=[text, text]", "knowledge.inject=texts", "knowledge.entity_layers=[1.5]", "knowledge.control=shuffled"} {
		if _, ds := Resolve(Sources{Sets: []string{set}}); !ds.HasErrors() {
			t.Errorf("%s is taken", set)
		}
	}
}

func TestContinueFloors(t *testing.T) {
	plan, ds := Resolve(Sources{Sets: []string{"objective=continue", `continue.floors={"*": "-0.02", refund: 0.9, "intent/refund": 0.95}`, "continue.floors.a.b=0.5"}})
	require.Empty(t, ds)
	require.Equal(t, &Floor{Text: "0.95", Value: 0.95}, plan.Continue.Floor("intent", "refund"))
	require.Equal(t, &Floor{Text: "0.9", Value: 0.9}, plan.Continue.Floor("other", "refund"))
	require.Equal(t, &Floor{Text: "0.5", Value: 0.5}, plan.Continue.Floor("intent", "a.b"))
	require.Equal(t, &Floor{Text: "-0.02", Value: 0.02, Loss: true}, plan.Continue.Floor("intent", "else"))
	again, ds := Parse("plan.yaml", plan.YAML())
	require.Empty(t, ds)
	require.Equal(t, plan.Continue, again.Continue)
	for _, bad := range []string{"1.5", "high", ""} {
		_, ds = Resolve(Sources{Sets: []string{"continue.floors.up=" + bad}})
		require.True(t, ds.HasErrors(), bad)
	}
	_, ds = Resolve(Sources{Sets: []string{"objective=continue", "vocab.extend=all", "knowledge.inject=gazetteer"}})
	require.Len(t, ds, 2)
}

func TestPeftRate(t *testing.T) {
	for name, tc := range map[string]struct {
		sets []string
		want string
	}{
		"nobody's":    {[]string{"train.peft=ia3"}, "--set train.lr=0.01 is a rate to begin with"},
		"with a head": {[]string{"train.peft=prefix"}, "--set train.lr=0.0005 --set train.head_lr=0.01 is"},
		"a preset's":  {[]string{"train.peft=lora", "preset=quick"}, "--set train.lr=0.001 is"},
		"chosen":      {[]string{"train.peft=ia3", "train.lr=1e-4"}, ""},
		"the preset":  {[]string{"preset=lora"}, ""},
		"no adapter":  {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, ds := Resolve(Sources{Sets: tc.sets})
			if ds.Err() != nil || (tc.want == "") != (len(ds) == 0) || !strings.Contains(ds.String(), tc.want) {
				t.Errorf("wanted %q:\n%s", tc.want, ds)
			}
		})
	}
	for _, method := range PeftMethods() {
		if _, _, ok := PeftRates(method); ok == (method == PeftOff) {
			t.Errorf("%s: has a rate to begin with: %v", method, ok)
		}
	}
}

// New terms go with the LoRA family; a plugin's advice on them gives way to another
// adapter that the user chose, and an error is said where the user asked for both.
func TestPeftTerms(t *testing.T) {
	for _, method := range PeftMethods() {
		_, ds := Resolve(Sources{Sets: []string{"train.peft=" + method, "train.lr=1e-2", "vocab.extend=200"}})
		require.Equal(t, HasAdapter(method) && !TrainsTerms(method), strings.Contains(ds.String(), "adapter.vocabulary"), "%s: %s", method, ds)
		require.Equal(t, HasAdapter(method) && !TrainsTerms(method), ds.HasErrors(), method)

		advised := Sources{Advice: []Advice{{Domain: "finance", Values: map[string]any{"vocab.extend": 200}}}, Sets: []string{"train.peft=" + method, "train.lr=1e-2"}}
		plan, ds := Resolve(advised)
		require.NoError(t, ds.Err(), method)
		if HasAdapter(method) && !TrainsTerms(method) {
			require.Contains(t, ds.String(), "left aside")
			require.Zero(t, plan.Vocab.Extend)
		} else {
			require.Equal(t, 200, plan.Vocab.Extend)
		}
	}
	_, ds := Resolve(Sources{Sets: []string{"objective=vocab", "train.peft=ia3", "train.lr=1e-2", "vocab.extend=200"}})
	require.False(t, ds.HasErrors(), ds.String())
}

func TestStagesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{"stages: []": "stages is an empty list", "stages: 3": `stages wants a list of stages, this is "3"`} {
		stages, ds := Stages(&File{Name: "r.yaml", Data: []byte(text)})
		if len(stages) != 0 || len(ds) != 1 || !strings.Contains(ds[0].Summary, want) || ds[0].Line != 1 {
			t.Errorf("%s: %v", text, ds)
		}
	}
}
