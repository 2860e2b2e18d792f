package vocab

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/core/token"
	"github.com/islm-dev/islm/core/torch/safetensors"
	"github.com/islm-dev/islm/sdk"
)

func tiny(t *testing.T, pieces ...string) *token.Tokenizer {
	t.Helper()
	text := ""
	for _, p := range append([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}, pieces...) {
		text += p + "\n"
	}
	tok, err := token.FromVocab([]byte(text), true)
	require.NoError(t, err)
	return tok
}

func texts(all ...string) func(func(string, error) bool) {
	return func(yield func(string, error) bool) {
		for _, text := range all {
			if !yield(text, nil) {
				return
			}
		}
	}
}

func TestChoose(t *testing.T) {
	base := tiny(t, "switch", "##gear", "bus", "bar", "the", "break", "##er", "##s", "trip")
	req := Request{Base: base, Max: All, Words: true, Count: 2,
		Terms: []sdk.Term{{Text: "Switchgear", Synonyms: []string{"bus bar"}}, {Text: "trip"}, {Text: "bars", Weight: 3}, {Text: "gears"}},
		Texts: texts("the switchgear trips", "the SWITCHGEAR breakers", "the bus bar breakers", "a breakers, switchgear")}
	s, err := Choose(t.Context(), req)
	require.NoError(t, err)
	var names []string
	for _, c := range s.Choices {
		names = append(names, c.Text)
	}
	// breakers: 3 times 2; switchgear: 3 times 1; bus bar: once 1; bars is never seen.
	require.Equal(t, []string{"breakers", "Switchgear", "bus bar", "bars"}, names)
	require.Equal(t, Choice{Text: "breakers", Count: 3, Pieces: 3, Saved: 6}, s.Choices[0])
	require.Equal(t, []string{"trip", "gears"}, s.Left) // one piece; unknown as a whole
	require.Equal(t, s.Before-s.After, 6+3+1)
	require.Equal(t, 13, s.Words)

	req.Max = 1
	s, err = Choose(t.Context(), req)
	require.NoError(t, err)
	require.Len(t, s.Choices, 1)
	require.EqualValues(t, base.VocabSize(), s.Added[0].ID)
}

func floats(b []byte) (out []float32) {
	for i := 0; i < len(b); i += 4 {
		out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(b[i:])))
	}
	return out
}

func TestResize(t *testing.T) {
	base, out := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(base, "config.json"), []byte(`{"model_type":"bert","vocab_size":3,"own":true,"eos_token_id":2,"bos_token_id":2,"pad_token_id":0,"initializer_range":0.5}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(base, "generation_config.json"), []byte(`{"eos_token_id":[2,1],"max_length":20}`), 0o600))
	data := func(values ...float32) (b []byte) {
		for _, v := range values {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		return b
	}
	words := []float32{1, 2, 3, 4, 5, 8}
	require.NoError(t, safetensors.Write(filepath.Join(base, "model.safetensors"), []safetensors.Entry{
		{Name: "bert.embeddings.word_embeddings.weight", DType: "F32", Shape: []int64{3, 2}, Data: data(words...)},
		{Name: "cls.predictions.bias", DType: "BF16", Shape: []int64{3}, Data: []byte{0x80, 0x3f, 0, 0x40, 0, 0xc0}}, // 1, 2, -2
		{Name: "bert.embeddings.token_type_embeddings.weight", DType: "F32", Shape: []int64{3, 1}, Data: data(7, 8, 9)},
	}, nil))
	rows := []Row{{ID: 3, From: []int32{0, 2}}, {ID: 4, From: []int32{0, 1}, Weights: []float32{0.25, 0.75}}, {ID: 5}}
	require.NoError(t, Resize(base, out, 6, rows, nil, 1))
	f, err := safetensors.Open(filepath.Join(out, "model.safetensors"))
	require.NoError(t, err)
	defer f.Close()
	e, _ := f.Entry("bert.embeddings.word_embeddings.weight")
	got := floats(e.Data)
	require.Equal(t, append(slices.Clone(words), 3, 5, 2.5, 3.5), got[:10])
	require.Len(t, got, 12)
	require.NotZero(t, got[10])
	e, _ = f.Entry("cls.predictions.bias")
	require.Equal(t, []float32{1, 2, -2, -0.5, 1.75, 0}, floats(e.Data))
	e, _ = f.Entry("bert.embeddings.token_type_embeddings.weight")
	require.Equal(t, []float32{7, 8, 9}, floats(e.Data)) // three types, not three pieces
	config, err := os.ReadFile(filepath.Join(out, "config.json"))
	require.NoError(t, err)
	require.Contains(t, string(config), `"vocab_size": 6`)
	require.Contains(t, string(config), `"own": true`)

	whole := t.TempDir()
	require.NoError(t, Resize(base, whole, 2, []Row{{ID: 0, From: []int32{2}}, {ID: 1, From: []int32{0, 1}}}, map[string]int32{"eos": 1}, 1))
	g, err := safetensors.Open(filepath.Join(whole, "model.safetensors"))
	require.NoError(t, err)
	defer g.Close()
	e, _ = g.Entry("bert.embeddings.word_embeddings.weight")
	require.Equal(t, []float32{5, 8, 2, 3}, floats(e.Data))
	config, err = os.ReadFile(filepath.Join(whole, "config.json"))
	require.NoError(t, err)
	for _, want := range []string{`"eos_token_id": 1`, `"bos_token_id": null`, `"pad_token_id": 0`} { // known, beyond the vocabulary, as it was
		require.Contains(t, string(config), want)
	}
	made, err := os.ReadFile(filepath.Join(whole, "generation_config.json"))
	require.NoError(t, err)
	require.JSONEq(t, `{"eos_token_id":1,"max_length":20}`, string(made))

	roberta := []byte(`{"model_type":"roberta","vocab_size":3,"pad_token_id":1}`)
	require.NoError(t, os.WriteFile(filepath.Join(base, "config.json"), roberta, 0o600))
	require.ErrorContains(t, Resize(base, t.TempDir(), 2, nil, map[string]int32{"pad": 0}, 1), "begin behind the padding id 1")
}

func TestTransfer(t *testing.T) {
	old := tiny(t, "switch", "##gear", "gear", "the", "##s")
	fresh := tiny(t, "the", "switchgear", "##gears", "☃")
	rows, kept := Transfer(old, fresh)
	require.Equal(t, 6, kept) // five special ones and "the"
	id := func(piece string) int32 { i, ok := old.ID(piece); require.True(t, ok, piece); return i }
	require.Equal(t, []int32{id("the")}, rows[5].From)
	require.Equal(t, []int32{id("switch"), id("##gear")}, rows[6].From)
	require.Equal(t, []int32{id("##gear"), id("##s")}, rows[7].From)
	require.Empty(t, rows[8].From)
}
