package core

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/islm-dev/islm/core/corpus"
	"github.com/islm-dev/islm/core/fewshot"
	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// AddLabel gives a model of prototypes one more class, whose prototype is the
// mean vector of some texts. Nothing is trained; the other classes' prototypes
// stay as they are. Weights, labels and config change together (hf.Replace).
func AddLabel(ctx context.Context, engine recipe.RowEmbedder, dir, label string, texts []sdk.Example) error {
	b, _, err := OpenBundle(dir)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(b.Heads, func(h sdk.HeadSpec) bool { return h.Name == b.Primary })
	fail := func(code, summary, remedy string) error {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: code, File: dir, Summary: summary, Remedy: remedy}}.Err()
	}
	switch {
	case at < 0 || b.Heads[at].Options["fewshot"] != MethodPrototype || !slices.Contains([]string{"mean", sdk.PoolingUnitMean}, b.Heads[at].Pooling):
		return fail("fewshot.prototype", "the model's head has no prototypes: a label cannot be added without training", "make one with islm fewshot --set fewshot.method=prototype")
	case label == "" || slices.Contains(b.Heads[at].Labels, label):
		return fail("fewshot.label", fmt.Sprintf("the label %q is empty or there already", label), "choose another name")
	case len(texts) == 0:
		return fail("fewshot.texts", "there are no texts of the new label", "name a file with some in --in")
	}
	for i := range texts {
		texts[i].ID = fmt.Sprintf("text-%d", i+1)
	}
	rows, err := corpus.EncodeSource(ctx, &corpus.Encoder{Tokenizer: b.Tokenizer, MaxLength: b.maxLength()}, texts)
	if err != nil {
		return err
	}
	x, err := engine.EmbedRows(ctx, &recipe.EmbedJob{Model: dir, Rows: rows})
	if err != nil {
		return err
	}
	if b.Heads[at].Pooling == sdk.PoolingUnitMean {
		fewshot.Unit(x)
	}
	w, bias := fewshot.Prototype(x, len(x[0]))
	heads, ds := hf.ReadHeads(dir)
	if err := ds.Err(); err != nil {
		return err
	}
	cfg, ds := hf.ReadConfig(dir)
	if err := ds.Err(); err != nil {
		return err
	}
	heads.Heads[at].Labels = append(heads.Heads[at].Labels, label)
	cfg.Labels = append(cfg.Labels, label)
	text, err := heads.Encode()
	if err != nil {
		return fmt.Errorf("add a label: %w", err)
	}
	config, err := cfg.Encode()
	if err != nil {
		return fmt.Errorf("add a label: %w", err)
	}
	return hf.Replace(dir, func(into string) error {
		if err := appendClass(dir, into, b.Primary, w, bias); err != nil {
			return err
		}
		return errors.Join(writeWhole(filepath.Join(into, Own, hf.HeadsFile), text), writeWhole(filepath.Join(into, hf.ConfigFile), config))
	})
}

// appendClass writes the files of weights again, from dir into the folder into, with
// one more row of the linear layer of the primary head.
func appendClass(dir, into, head string, w []float64, bias float64) error {
	change := func(e *safetensors.Entry) error {
		var more []float64
		switch e.Name {
		case "classifier.weight", "score.weight":
			if len(e.Shape) != 2 || int(e.Shape[1]) != len(w) {
				return fmt.Errorf("the head's weights have the shape %v, vectors have %d numbers", e.Shape, len(w))
			}
			more = w
		case "classifier.bias", head + "." + hf.ScoreBias:
			more = []float64{bias}
		}
		if more != nil {
			e.Shape = slices.Clone(e.Shape)
			e.Shape[0]++
			e.Data = slices.Clone(e.Data)
			for _, v := range more {
				e.Data = binary.LittleEndian.AppendUint32(e.Data, math.Float32bits(float32(v)))
			}
		}
		return nil
	}
	at := []string{hf.WeightsFile}
	if own := filepath.Join(Own, hf.HeadWeightsFile); exists(filepath.Join(dir, own)) {
		at = append(at, own)
	}
	var err error
	for _, name := range at {
		if err == nil {
			err = rewriteWeights(filepath.Join(dir, name), filepath.Join(into, name), change)
		}
	}
	if err != nil {
		return fmt.Errorf("add a label: %w", err)
	}
	return nil
}
