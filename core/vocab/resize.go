package vocab

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

// Row says how a new row of the embeddings is made: as the weighted sum of old
// rows; of none at random.
type Row struct {
	ID      int32     `json:"id"`
	From    []int32   `json:"from,omitempty"`
	Weights []float32 `json:"weights,omitempty"` // nil = equal, adding up to 1
}

// Inits are the ways to make the rows of new pieces.
func Inits() []string { return []string{"mean", "similar", "random"} }

// Rows makes the rows of a selection's pieces: as the mean of the rows of their old
// pieces (Gee et al. 2022, "Fast Vocabulary Transfer for Language Model
// Compression"), of pieces that stand in like contexts of the texts, or at random.
func (s *Selection) Rows(ctx context.Context, init string, texts iter.Seq2[string, error]) ([]Row, error) {
	if init != "similar" {
		return compose(s.Added, init)
	}
	if texts == nil {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "vocab.init", Summary: "similar pieces are found in texts of the domain, and there are none", Remedy: "name texts, or choose mean or random"}}.Err()
	}
	return similar(ctx, s.Tokenizer, s.Added, texts)
}

// compose makes rows that need no texts.
func compose(added []token.Added, init string) ([]Row, error) {
	if !slices.Contains(Inits(), init) {
		return nil, fmt.Errorf("compose rows: unknown way %q (%s)", init, strings.Join(Inits(), ", "))
	}
	rows := make([]Row, len(added))
	for i, a := range added {
		if rows[i].ID = a.ID; init == "mean" {
			rows[i].From = a.Pieces
		}
	}
	return rows, nil
}

// Transfer makes the rows of a whole new vocabulary (Gee et al. 2022): a piece
// that the old one has keeps its row, others are the mean of what the old
// tokenizer makes of their text; special tokens go by their role. kept is the
// number of pieces that both have.
func Transfer(old, fresh *token.Tokenizer) (rows []Row, kept int) {
	roles := map[int32]int32{}
	for _, role := range []string{"pad", "unk", "cls", "sep", "mask", "bos", "eos"} {
		if to, ok := fresh.Special(role); ok {
			if from, ok := old.Special(role); ok {
				roles[to] = from
			}
		}
	}
	for id := range int32(fresh.VocabSize()) {
		row := Row{ID: id}
		piece := fresh.Piece(id)
		if from, ok := roles[id]; ok {
			row.From = []int32{from}
			kept++
		} else if from, ok := old.ID(piece); ok {
			row.From = []int32{from}
			kept++
		} else if piece != "" {
			row.From = piecesOf(old, fresh, id, piece)
		}
		rows = append(rows, row)
	}
	return rows, kept
}

// piecesOf is what the old tokenizer makes of the text of a new piece; of a piece
// from inside a word the first old one is taken from inside a word too.
func piecesOf(old, fresh *token.Tokenizer, id int32, piece string) []int32 {
	var text string
	inside := false
	if fresh.Kind() == "WordPiece" {
		text, inside = strings.CutPrefix(piece, "##")
	} else {
		text = fresh.Decode([]int32{id}, false)
	}
	ids := old.Encode(text, token.Options{Bare: true}).IDs
	if inside && len(ids) > 0 {
		if within, ok := old.ID("##" + old.Piece(ids[0])); ok {
			ids[0] = within
		}
	}
	if unknown, ok := old.Special("unk"); ok {
		ids = slices.DeleteFunc(ids, func(id int32) bool { return id == unknown })
	}
	return ids
}

// perPiece are the endings of tensors that have one row, or one value, per piece.
var perPiece = []string{
	"word_embeddings.weight", "wte.weight", "embed_tokens.weight", "shared.weight", "lm_head.weight", "lm_head.bias",
	"lm_head.decoder.weight", "lm_head.decoder.bias", "predictions.bias", "predictions.decoder.weight", "predictions.decoder.bias",
	"vocab_projector.weight", "vocab_projector.bias",
}

// Resize writes the model of folder base into folder out, which must exist, with
// embeddings of at least size rows: the old ones, then those that rows say. With
// whole, the ids of another tokenizer's special tokens by role, only rows make the
// new embeddings, and the ids in the configuration are those. Output layers and their biases are made
// alike. Rows made at random are normal(0, initializer_range), by seed and id; a
// random bias is 0. The tokenizer is not written.
func Resize(base, out string, size int, rows []Row, whole map[string]int32, seed uint64) error {
	data, err := os.ReadFile(filepath.Join(base, hf.ConfigFile))
	if err != nil {
		return fmt.Errorf("resize the vocabulary: %w", err)
	}
	var config map[string]json.RawMessage
	if err := json.Unmarshal(data, &config); err != nil {
		return fmt.Errorf("resize the vocabulary: %s: %w", hf.ConfigFile, err)
	}
	var about struct {
		Type  string   `json:"model_type"`
		Vocab int      `json:"vocab_size"`
		Range *float64 `json:"initializer_range"`
	}
	if err := json.Unmarshal(data, &about); err != nil {
		return fmt.Errorf("resize the vocabulary: %s: %w", hf.ConfigFile, err)
	}
	if whole == nil {
		size = max(size, about.Vocab)
	} else if err := renumber(config, about.Type, size, whole); err != nil {
		return fmt.Errorf("resize the vocabulary: %w", err)
	}
	spread := 0.02
	if about.Range != nil {
		spread = *about.Range
	}
	weights, ds := hf.OpenWeights(base, about.Type)
	if err := ds.Err(); err != nil {
		return err
	}
	defer weights.Close() //nolint:errcheck // read only
	r := resizer{old: about.Vocab, size: size, rows: rows, whole: whole != nil, seed: seed, spread: spread}
	var entries []safetensors.Entry
	found := false
	for _, name := range weights.Names() {
		w, _ := weights.Find(name)
		e := safetensors.Entry{Name: w.Key, DType: w.DType, Shape: w.Shape, Fill: w.Read}
		ends := func(end string) bool { return w.Key == end || strings.HasSuffix(w.Key, "."+end) }
		if slices.ContainsFunc(perPiece, ends) && len(w.Shape) > 0 && w.Shape[0] == int64(about.Vocab) {
			found = true
			e.DType, e.Shape = "F32", append([]int64{int64(size)}, w.Shape[1:]...)
			e.Fill = func() ([]byte, error) { return r.resize(w) }
		}
		entries = append(entries, e)
	}
	if !found {
		return fmt.Errorf("resize the vocabulary: the model in %s has no embeddings with %d rows", base, about.Vocab)
	}
	if config["vocab_size"], err = json.Marshal(size); err != nil {
		return fmt.Errorf("resize the vocabulary: %w", err)
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return fmt.Errorf("resize the vocabulary: %w", err)
	}
	for _, name := range []string{generationConfig, filepath.Join(hf.Own, hf.HeadsFile), filepath.Join(hf.Own, hf.HeadWeightsFile)} {
		data, err := os.ReadFile(filepath.Join(base, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && whole != nil && name == generationConfig {
			data, err = renumbered(data, about.Type, size, whole)
		}
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(out, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(out, name), data, 0o644) //nolint:gosec // a model folder is for everybody
		}
		if err != nil {
			return fmt.Errorf("resize the vocabulary: %w", err)
		}
	}
	if err := safetensors.Write(filepath.Join(out, hf.WeightsFile), entries, nil); err != nil {
		return fmt.Errorf("resize the vocabulary: %w", err)
	}
	if err := os.WriteFile(filepath.Join(out, hf.ConfigFile), append(text, '\n'), 0o644); err != nil { //nolint:gosec // as above
		return fmt.Errorf("resize the vocabulary: %w", err)
	}
	return nil
}

const generationConfig = "generation_config.json"

// renumber puts the ids of another tokenizer's special tokens, by role, into a
// configuration that names some. An id that the new vocabulary does not have, of a
// role that it has no token for, goes.
func renumber(config map[string]json.RawMessage, kind string, size int, special map[string]int32) error {
	for key, was := range config {
		role, ok := strings.CutSuffix(key, "_token_id")
		if !ok {
			continue
		}
		var old int32
		single := json.Unmarshal(was, &old) == nil && string(was) != "null"
		id, ok := special[role]
		switch {
		case ok && role == "pad" && single && id != old && (kind == "roberta" || kind == "xlm-roberta"):
			return fmt.Errorf("the positions of a %s begin behind the padding id %d, the new vocabulary has %d", kind, old, id)
		case ok:
			config[key] = json.RawMessage(strconv.Itoa(int(id)))
		case !single || int(old) >= size:
			config[key] = json.RawMessage("null")
		}
	}
	return nil
}

// renumbered is renumber of a file.
func renumbered(data []byte, kind string, size int, special map[string]int32) ([]byte, error) {
	var config map[string]json.RawMessage
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", generationConfig, err)
	}
	if err := renumber(config, kind, size, special); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(config, "", "  ")
	return append(text, '\n'), err
}

type resizer struct {
	old, size int
	rows      []Row
	whole     bool
	seed      uint64
	spread    float64
}

// resize gives the new elements of a tensor [old, …] in fp32.
func (r *resizer) resize(w hf.Weight) ([]byte, error) {
	raw, err := w.Read()
	if err != nil {
		return nil, err
	}
	width := 1
	for _, d := range w.Shape[1:] {
		width *= int(d)
	}
	read, bytes, err := element(w.DType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.Key, err)
	}
	at := func(row, k int) float32 { return read(raw[(row*width+k)*bytes:]) }
	out := make([]byte, 4*r.size*width)
	put := func(row, k int, v float32) {
		binary.LittleEndian.PutUint32(out[4*(row*width+k):], math.Float32bits(v))
	}
	made := make([]bool, r.size)
	for _, row := range r.rows {
		id := int(row.ID)
		made[id] = true
		if len(row.From) == 0 {
			r.random(id, width, len(w.Shape) == 1, put)
			continue
		}
		for k := range width {
			sum := 0.0
			for i, from := range row.From {
				share := 1 / float64(len(row.From))
				if row.Weights != nil {
					share = float64(row.Weights[i])
				}
				sum += share * float64(at(int(from), k))
			}
			put(id, k, float32(sum))
		}
	}
	for id, done := range made {
		switch {
		case done:
		case id < r.old && !r.whole:
			for k := range width {
				put(id, k, at(id, k))
			}
		default:
			r.random(id, width, len(w.Shape) == 1, put)
		}
	}
	return out, nil
}

func (r *resizer) random(id, width int, bias bool, put func(row, k int, v float32)) {
	if bias {
		return
	}
	rng := rand.New(rand.NewPCG(r.seed, 0x766f636162<<16|uint64(id))) // "vocab"
	for k := range width {
		put(id, k, float32(rng.NormFloat64()*r.spread))
	}
}

// element reads one value of a safetensors type.
func element(dtype string) (read func([]byte) float32, bytes int, err error) {
	switch dtype {
	case "F32":
		return func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }, 4, nil
	case "BF16":
		return func(b []byte) float32 { return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16) }, 2, nil
	case "F16":
		return func(b []byte) float32 { return safetensors.Half(binary.LittleEndian.Uint16(b)) }, 2, nil
	}
	return nil, 0, fmt.Errorf("embeddings of type %s cannot be resized", dtype)
}
