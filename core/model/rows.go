//go:build torch

package model

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/model/peft"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// rows stand in the place of some rows of the word embeddings, those of new terms, and
// are trained while all others stay: TrainableTokensLayer of Hugging Face peft. They
// replace, and are not added: what the base has there does not matter.
type rows struct {
	values *Param        // [N, width]
	slot   *torch.Tensor // int64 [V]: which row of values stands for an id; 0 where none does
	mine   *torch.Tensor // bool [V]: whether one does
	whole  bool          // the adapter's file holds the base's table too, and keeps it
}

// rowsName is the name of the rows, and tableName that of the base's table, beside
// word embeddings in peft's files.
func rowsName(word *Param) string {
	return strings.TrimSuffix(word.Name, ".weight") + ".token_adapter.trainable_tokens_delta"
}
func tableName(word *Param) string {
	return strings.TrimSuffix(word.Name, ".weight") + ".token_adapter.base_layer.weight"
}

func newRows(ids []int64, word, values *Param) *rows {
	slot, mine := make([]int64, word.Value.Size(0)), make([]bool, word.Value.Size(0))
	for i, id := range ids {
		slot[id], mine[id] = int64(i), true
	}
	r := &rows{values: values}
	scope := torch.Open()
	defer scope.Close()
	r.slot = scope.Keep(torch.FromInt64(slot, int64(len(slot))).ToDevice(word.Value.Device()))
	r.mine = scope.Keep(torch.FromBool(mine, int64(len(mine)), 1).ToDevice(word.Value.Device()))
	return r
}

func (r *rows) free() {
	r.slot.Free()
	r.mine.Free()
}

// table is the word embeddings with the rows in their places [V, width].
func (r *rows) table(word *Param) *torch.Tensor {
	return torch.Where(r.mine, r.values.Value.IndexSelect(0, r.slot), word.Value)
}

// words takes word embeddings of ids [B, T]: [B, T, width]. Where a head decodes with
// them, their gradient is one of all rows in some steps and of few in others; a view
// keeps it from being counted by rows, which Adam can only do in each step or in none.
func (t *tuning) words(word *Param, tied bool, ids *torch.Tensor) *torch.Tensor {
	w := word.Value
	if tied {
		w = w.Alias()
	}
	x := torch.Embedding(w, ids)
	if t == nil || t.rows == nil {
		return x
	}
	// peft copies the whole table in each step; only the rows of the batch are taken
	// here. An id without a row reads row 0, of which nothing is kept.
	n, length, flat := ids.Size(0), ids.Size(1), ids.Reshape(-1)
	own := torch.Embedding(t.rows.values.Value, t.rows.slot.IndexSelect(0, flat).View(n, length))
	return torch.Where(t.rows.mine.IndexSelect(0, flat).View(n, length, 1), own, x)
}

// widen gives the word embeddings rows for ids of the adapter that the base lacks. It
// reports whether the adapter's rows have their places then.
func (l *loader) widen(c *peft.Config) bool {
	bad := func(summary string, args ...any) bool {
		d := sdk.Diagnostic{Severity: sdk.Error, Code: "adapter.vocabulary", Path: "trainable_token_indices", Summary: fmt.Sprintf(summary, args...)}
		if l.adapter != nil {
			d.File = filepath.Join(l.dir, peft.ConfigFile)
		}
		l.diags.Add(d)
		return false
	}
	if slices.ContainsFunc(l.specs, isLM) {
		return bad("rows of the word embeddings beside the output layer of a language model, which has the same rows, are not supported")
	}
	word := l.m.Encoder.words()
	table := l.adapter.take(tableName(word))
	size := int64(l.cfg.VocabSize)
	if l.adapter != nil {
		c.BaseRows = l.cfg.VocabSize
	}
	if table != nil {
		if len(table.Shape) != 2 || table.Shape[0] < size || table.Shape[1] != word.Value.Size(1) {
			return bad("the adapter's own word embeddings have the shape %v, the base's %v", table.Shape, word.Value.Shape())
		}
		size = table.Shape[0]
		data, err := table.Read()
		if err != nil {
			l.fail("adapter.weights", table.File, err.Error())
			return false
		}
		scope := torch.Open()
		l.replaceWords(scope, word, torch.FromBytes(data, elementType(table.DType), table.Shape...).To(torch.Float32, l.m.device))
	} else if beyond := slices.DeleteFunc(slices.Sorted(slices.Values(c.Rows)), func(id int32) bool { return int64(id) < size }); len(beyond) > 0 {
		for i, id := range beyond {
			if int64(id) != size+int64(i) {
				return bad("the adapter has a row for the id %d; of the id %d, beyond the %d rows of the base, there is none", id, size+int64(i), size)
			}
		}
		scope := torch.Open()
		more := torch.Zeros(torch.Float32, l.m.device, int64(len(beyond)), word.Value.Size(1))
		torch.NoGrad(func() { l.replaceWords(scope, word, torch.Cat([]*torch.Tensor{word.Value, more}, 0)) })
		size += int64(len(beyond))
	}
	if id := slices.Max(c.Rows); int64(id) >= size {
		return bad("the adapter has a row for the id %d, its own word embeddings have %d", id, size)
	}
	l.cfg.VocabSize = int(size)
	l.wholeTable = table != nil
	return true
}

// replaceWords puts another table into the place of the word embeddings, and closes
// the scope that it was made in.
func (l *loader) replaceWords(scope *torch.Scope, word *Param, table *torch.Tensor) {
	scope.Keep(table)
	scope.Close()
	word.Value.Free()
	word.Value = table
}

// baseConfig is the config that an adapter folder holds: the vocabulary is the base's,
// so that transformers loads the base with it. The ids in adapter_config.json say
// how many rows follow.
func (m *Model) baseConfig(cfg *hf.Config) {
	if m.tuning != nil && m.tuning.rows != nil && m.tuning.config.BaseRows > 0 {
		cfg.VocabSize = m.tuning.config.BaseRows
	}
}
