//go:build torch

package train

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/islm-dev/islm/core/model"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// savedLogits are a teacher's logits on all training rows, in memory and in a
// safetensors file: one tensor [N, K] per head, N rows or words in their order.
type savedLogits struct {
	values  map[string][]float32
	width   map[string]int64
	offsets []int   // of each row's first word, and the end
	place   [][]int // by row and word: its number among those that the teacher sees, -1 = cut
}

func newSaved(rows recipe.Source) *savedLogits {
	s := &savedLogits{values: map[string][]float32{}, width: map[string]int64{}}
	total := 0
	for i := range rows.Len() {
		r := rows.At(i)
		s.offsets = append(s.offsets, total)
		place, n := make([]int, len(r.Starts)), 0
		for w, at := range r.Starts {
			place[w] = -1
			if at >= 0 && int(at) < len(r.IDs) {
				place[w] = n
				n++
			}
		}
		s.place = append(s.place, place)
		total += n
	}
	s.offsets = append(s.offsets, total)
	return s
}

// rows is how many values a head has.
func (s *savedLogits) rows(spec sdk.HeadSpec) int {
	if spec.Kind == sdk.KindTag {
		return s.offsets[len(s.offsets)-1]
	}
	return len(s.place)
}

// pick gives the logits of some rows, or of words of theirs.
func (s *savedLogits) pick(spec sdk.HeadSpec, rows []int, words [][]int) (*torch.Tensor, error) {
	k, all := int(s.width[spec.Name]), s.values[spec.Name]
	var out []float32
	for i, row := range rows {
		if row < 0 || row >= len(s.place) {
			return nil, fmt.Errorf("there are no saved logits of row %d", row)
		}
		if spec.Kind != sdk.KindTag {
			out = append(out, all[row*k:(row+1)*k]...)
			continue
		}
		for _, w := range words[i] {
			at := (s.offsets[row] + s.place[row][w]) * k
			out = append(out, all[at:at+k]...)
		}
	}
	return torch.FromFloat32(out, int64(len(out)/k), int64(k)), nil
}

// answer computes the logits of a loaded teacher on its rows and saves them.
func (t *teacher) answer(bf16 bool, size int) error {
	if size <= 0 {
		size = defaultPredictBatch
	}
	s := newSaved(t.Rows)
	for i, h := range t.model.Heads {
		k := int64(len(model.ConfigLabels(h.Spec)))
		s.width[t.Heads[i].Name] = k
		s.values[t.Heads[i].Name] = make([]float32, s.rows(h.Spec)*int(k))
	}
	ctx := context.Background()
	feed := prefetch(ctx, t.Rows.Batches(ctx, size))
	defer feed.stop()
	for {
		b, more, err := feed.next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		failed := torch.Do(func() { err = t.answerBatch(s, b, bf16) })
		if failed != nil {
			return failed
		}
		if err != nil {
			return err
		}
	}
	t.saved = s
	return s.save(t.Save, t.Heads)
}

func (t *teacher) answerBatch(s *savedLogits, b *recipe.Batch, bf16 bool) error {
	scope := torch.Open()
	defer scope.Close()
	even(b, t.model, bf16)
	in, err := t.model.Input(b.Rows, b.Width)
	if err != nil {
		return err
	}
	torch.NoGrad(func() {
		f := t.model.Forward(in, &model.Pass{BF16: bf16})
		for h, spec := range t.Heads {
			k := int(s.width[spec.Name])
			if spec.Kind != sdk.KindTag {
				z := f.Scores(h, nil).Float32s()
				for i, row := range b.Index {
					copy(s.values[spec.Name][row*k:(row+1)*k], z[i*k:])
				}
				continue
			}
			var at []int64
			var to []int
			for i, row := range b.Index {
				for w, n := range s.place[row] {
					if n >= 0 {
						at = append(at, int64(i*in.Width)+int64(b.Rows[i].Starts[w]))
						to = append(to, s.offsets[row]+n)
					}
				}
			}
			if len(at) == 0 {
				continue
			}
			z := f.Scores(h, at).Float32s()
			for i, n := range to {
				copy(s.values[spec.Name][n*k:(n+1)*k], z[i*k:])
			}
		}
	})
	return nil
}

// save writes the file under a name of its own and renames it: two builders write
// the same.
func (s *savedLogits) save(path string, heads []sdk.HeadSpec) error {
	var entries []safetensors.Entry
	for _, h := range heads {
		entries = append(entries, safetensors.Entry{Name: h.Name, DType: "F32", Shape: []int64{int64(s.rows(h)), s.width[h.Name]}, Data: float32Bytes(s.values[h.Name])})
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if err := safetensors.Write(tmp, entries, nil); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func readLogits(path string, rows recipe.Source, heads []sdk.HeadSpec) (*savedLogits, error) {
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := newSaved(rows)
	for _, h := range heads {
		e, ok := f.Entry(h.Name)
		if !ok || len(e.Shape) != 2 || e.DType != "F32" || e.Shape[0] != int64(s.rows(h)) {
			return nil, fmt.Errorf("the saved logits in %s do not fit the training data: remove the file", path)
		}
		s.width[h.Name], s.values[h.Name] = e.Shape[1], float32s(e.Data)
	}
	return s, nil
}

func float32Bytes(v []float32) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}

func float32s(b []byte) []float32 {
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}
