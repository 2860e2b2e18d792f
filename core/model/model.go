//go:build torch

package model

import (
	"fmt"
	"slices"

	"github.com/islm-dev/islm/core/model/hf"
	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/core/torch"
	"github.com/islm-dev/islm/sdk"
)

// Model is an encoder with task heads.
type Model struct {
	Config  *hf.Config
	Encoder Encoder
	Heads   []*Head

	// NewPooler: a head reads the pooler, and the folder had none.
	NewPooler bool

	// poolerBeside: the folder holds the pooler in islm/, as below a language model,
	// where transformers and peft do not look: an adapter has to bring it along.
	poolerBeside bool

	pooler    *linear    // nil when no head reads it
	knowledge *knowledge // nil when none is injected
	tuning    *tuning    // nil without an adapter
	params    []*Param
	device    torch.Device
}

// Encoder turns token ids into one vector per position. Adapters and knowledge
// fusion wrap one.
type Encoder interface {
	// Encode gives the last hidden states [B, T, Hidden], or the first
	// position's alone [B, 1, Hidden] if pass.First is set. The vectors of a
	// prompt come before the text's.
	Encode(in *Input, pass *Pass) *torch.Tensor
	// Params lists the weights in a fixed order under their canonical names.
	Params() []*Param
	Hidden() int
	// Tie gives the word embeddings [V, Hidden] to a language-model head that
	// decodes with them.
	Tie() *Param
	// words are the word embeddings [V, width].
	words() *Param
	// lookup takes word embeddings [B, T, width] by ids [B, T], as Encode does where
	// Input has none of its own.
	lookup(ids *torch.Tensor) *torch.Tensor
	// tune gives what an adapter adds before the layers (virtual tokens, rows of new
	// terms), nil for none.
	tune(t *tuning)
}

// Param is a weight: canonical name and tensor. Heads' weights are named
// HEAD.classifier.weight and so on.
type Param struct {
	Name  string
	Value *torch.Tensor
	Head  string // name of the head that owns it, "" = encoder and pooler

	tuned       bool        // part of an adapter
	based       bool        // of a head, but the base has it: an adapter leaves it as it is
	beside      bool        // of a head, but transformers' class has no such weight: it lies in islm/
	transposed  bool        // a file holds it with the two dimensions exchanged
	adapter     adapter     // of the linear map with this weight; nil = none
	normAdapter normAdapter // of the LayerNorm with this weight; nil = none
}

// Based reports whether a head's weight is the base's own, as that of a
// language model that an adapter does not train.
func (p *Param) Based() bool { return p.based }

// Decays reports whether weight decay applies: not to biases and LayerNorms.
func (p *Param) Decays() bool { return decays(p.Name) }

// Pass is what a forward computation depends on besides its input.
type Pass struct {
	Train bool // dropout on
	Seed  uint64
	Step  uint64 // optimizer step: dropout masks are keyed by it
	BF16  bool   // matrix products of the encoder in bfloat16
	First bool   // only the vector of position 0 is read
	// States, if set, records what the encoder computes on its way; it rules
	// First out.
	States *States
	// Probe hears the name of each part and what it computed, in order; it
	// looks for the first bad value after a loss that is not a number.
	Probe func(part string, t *torch.Tensor)
}

func (p *Pass) probe(part string, t *torch.Tensor) {
	if p.Probe != nil {
		p.Probe(part, t)
	}
}

// narrow is what matrix products read: bfloat16 where the pass computes in it.
func (p *Pass) narrow(x *torch.Tensor) *torch.Tensor {
	if p.BF16 {
		return x.ToDType(torch.BFloat16)
	}
	return x
}

// mask keys the dropout of one place in the model.
func (p *Pass) mask(layer uint64, in *Input) torch.Mask {
	return torch.Mask{Seed: p.Seed, Stream: streamDropout, Step: p.Step, Layer: layer, Rows: in.Keys}
}

// Streams keep the uses of one seed apart.
const (
	streamDropout  = 1
	streamAdapters = 2
	streamGenerate = 3
)

// Places of dropout: embeddings, then three in each layer, then heads.
const (
	placeEmbeddings = 0
	placeLayers     = 16
	placeHeads      = 1 << 32
	placeSecond     = 1 << 33 // beyond a head's first
)

// Input is one padded batch on the model's device.
type Input struct {
	Rows    []*recipe.Encoded
	Width   int
	IDs     *torch.Tensor // int64 [B, T]
	Types   *torch.Tensor // int64 [B, T]; nil = all zero
	Keys    *torch.Tensor // int64 [B]: keys of the rows
	Bias    *torch.Tensor // float [B, 1, 1, T], or [B, 1, T, T] with injected facts, 0 or -inf; nil = no padding
	lengths []int         // of the rows, of mixed ones that of the longer text
	mix     *mix          // nil when no row is mixed
	prompts []int         // ids that pooling reads: not those that a head of kind generate.v0 writes
	places  []int64       // positions of the ids after those in the cache, one a row
	cache   *cache        // what was read before these ids; nil = nothing

	// What knowledge adds; nil where there is none.
	positions *torch.Tensor // int64 [B, T]: soft positions
	marks     *torch.Tensor // int64 [B, T]
	features  *torch.Tensor // int64 [B, T, Slots]
	linked    *torch.Tensor // int64 [P]: flat positions of pieces of linked mentions
	vectors   *torch.Tensor // float [P, Dim]: the vectors of their entities

	// words stands for the word embeddings of IDs, knowledge included [B, T, H];
	// nil outside of explanations.
	words *torch.Tensor
}

// Input pads rows to width, which is 0 for the longest. Its tensors belong to
// the innermost scope. An id that the embedding lacks is an error that names
// the row.
func (m *Model) Input(rows []*recipe.Encoded, width int) (*Input, error) {
	in := &Input{Rows: rows, Width: width, lengths: make([]int, len(rows))}
	typed, facts := false, false
	mixed := false
	for i, r := range rows {
		in.lengths[i] = len(r.IDs)
		in.Width = max(in.Width, r.Width())
		if r.Mixed != nil {
			mixed = true
			in.lengths[i] = max(in.lengths[i], len(r.Mixed.With.IDs))
			in.Width = max(in.Width, r.Mixed.With.Width())
		}
		facts = facts || r.Width() > len(r.IDs)
		typed = typed || slices.ContainsFunc(r.Types, func(t int32) bool { return t != 0 })
	}
	typed = typed && m.Config.TypeVocab > 0 // DistilBERT has no token types
	virtual := m.tuning.shift() + m.tuning.prompts()
	if in.Width > m.Positions() {
		return nil, fmt.Errorf("encode a batch: %d ids in a row and %d virtual tokens, the model has %d positions", in.Width, virtual, m.Config.MaxPositions)
	}
	in.prompts = slices.Clone(in.lengths)
	for k, h := range m.Heads {
		if h.Spec.Kind == sdk.KindGenerate {
			for i, r := range rows {
				in.prompts[i] = min(in.prompts[i], r.Prompt(k))
			}
		}
	}
	n := int64(len(rows))
	ids := make([]int64, len(rows)*in.Width)
	keys := make([]int64, len(rows))
	var types []int64
	if typed {
		types = make([]int64, len(ids))
	}
	var bias []float32
	for i, r := range rows {
		keys[i] = int64(r.Key)
		at := ids[i*in.Width : (i+1)*in.Width]
		for j, id := range r.IDs {
			if id < 0 || int(id) >= m.Config.VocabSize {
				return nil, &sdk.DiagnosticsError{Diagnostics: sdk.Diagnostics{{
					Severity: sdk.Error, Code: "model.vocabulary",
					Summary: fmt.Sprintf("the tokenizer does not match the model: row %q has the id %d, the embedding has %d rows", r.ID, id, m.Config.VocabSize),
					Remedy:  "use the tokenizer.json that belongs to the model",
				}}}
			}
			at[j] = int64(id)
			if typed && j < len(r.Types) {
				if r.Types[j] < 0 || int(r.Types[j]) >= m.Config.TypeVocab {
					return nil, fmt.Errorf("encode row %q: token type %d, the model has %d", r.ID, r.Types[j], m.Config.TypeVocab)
				}
				types[i*in.Width+j] = int64(r.Types[j])
			}
		}
		for j := len(r.IDs); j < in.Width; j++ {
			if bias == nil {
				bias = make([]float32, len(ids))
			}
			at[j] = int64(m.Config.PadTokenID)
			if j >= in.lengths[i] {
				bias[i*in.Width+j] = maskedOut
			}
		}
	}
	w := int64(in.Width)
	if facts {
		if err := m.checkFacts(rows); err != nil {
			return nil, err
		}
		positions, sees := in.facts(ids, types, m.Config.MaxPositions-1-virtual)
		in.positions = torch.FromInt64(positions, n, w).ToDevice(m.device)
		in.Bias, bias = torch.FromFloat32(sees, n, 1, w, w).ToDevice(m.device), nil
	}
	in.IDs = torch.FromInt64(ids, n, w).ToDevice(m.device)
	in.Keys = torch.FromInt64(keys, n)
	if typed {
		in.Types = torch.FromInt64(types, n, w).ToDevice(m.device)
	}
	if bias != nil {
		in.Bias = torch.FromFloat32(bias, n, 1, 1, w).ToDevice(m.device)
	}
	if err := in.inject(m); err != nil {
		return nil, err
	}
	if mixed {
		return in, in.mixWith(m)
	}
	return in, nil
}

// Valid is 1 where an id is no padding, 0 elsewhere: float32 [B, T].
func (in *Input) Valid() *torch.Tensor {
	out := make([]float32, len(in.Rows)*in.Width)
	for i, r := range in.Rows {
		for j := range r.Width() {
			out[i*in.Width+j] = 1
		}
	}
	return torch.FromFloat32(out, int64(len(in.Rows)), int64(in.Width)).ToDevice(in.IDs.Device())
}

// checkFacts reports pieces of facts that the embedding lacks, and facts that do
// not fit their row.
func (m *Model) checkFacts(rows []*recipe.Encoded) error {
	for _, r := range rows {
		if r.Inject == nil {
			continue
		}
		for _, id := range r.Inject.Pieces {
			if id < 0 || int(id) >= m.Config.VocabSize {
				return fmt.Errorf("encode row %q: a fact has the id %d, the embedding has %d rows", r.ID, id, m.Config.VocabSize)
			}
		}
		left := len(r.Inject.Pieces)
		for _, f := range r.Inject.Facts {
			left -= int(f.Length)
			if f.Length < 0 || f.Mention < 0 || int(f.Mention) >= len(r.Inject.Mentions) {
				return fmt.Errorf("encode row %q: a fact without its mention", r.ID)
			}
			if at := r.Inject.Mentions[f.Mention]; at.From < 0 || at.From >= at.To || int(at.To) > len(r.IDs) {
				return fmt.Errorf("encode row %q: a mention [%d, %d) in %d ids", r.ID, at.From, at.To, len(r.IDs))
			}
		}
		if left != 0 {
			return fmt.Errorf("encode row %q: %d pieces belong to no fact", r.ID, left)
		}
	}
	return nil
}

// maskedOut is added to the attention scores of padding: far below any score,
// yet finite, so that a row of nothing but padding stays a number.
const maskedOut = -1e9

// Params lists every weight in a fixed order: encoder, pooler, heads.
func (m *Model) Params() []*Param { return m.params }

// Positions is how many ids a row may have: virtual tokens take some of the model's.
func (m *Model) Positions() int {
	return m.Config.MaxPositions - m.tuning.shift() - m.tuning.prompts()
}

// Device is where the weights lie.
func (m *Model) Device() torch.Device { return m.device }

// Count gives the numbers of all and of trainable values.
func (m *Model) Count() (all, trainable int64) {
	for _, p := range m.params {
		n := p.Value.Numel()
		all += n
		if p.Value.NeedsGrad() {
			trainable += n
		}
	}
	return all, trainable
}

// Close frees the weights.
func (m *Model) Close() {
	for _, p := range m.params {
		p.Value.Free()
	}
	if m.tuning != nil && m.tuning.ranks != nil {
		m.tuning.ranks.free()
		m.tuning.ranks = nil
	}
	if m.tuning != nil && m.tuning.rows != nil {
		m.tuning.rows.free()
		m.tuning.rows = nil
	}
	m.params = nil
}
