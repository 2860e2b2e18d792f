package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk/serve"
)

// asMain makes the test binary behave as islm, so that tests can start it as a
// process of its own, kill it, and start it again.
const asMain = "ISLM_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		os.Exit(run(os.Args[1:]))
	}
	if name, ok := strings.CutPrefix(filepath.Base(os.Args[0]), "islm-plugin-"); ok {
		if name == "coded" {
			serve.Main(codedDomain())
		} else {
			faultyPlugin(name)
		}
		return
	}
	// Scripts call `islm` as a program; it is this test binary under that name.
	testscript.Main(m, map[string]func(){"islm": func() { os.Exit(run(os.Args[1:])) }})
}

// tinyBERT writes a Hugging Face folder with a random BERT of two layers whose
// vocabulary is the given pieces after the special tokens.
func tinyBERT(t testing.TB, dir string, pieces []string, hidden int) {
	t.Helper()
	vocab := append([]string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}, pieces...)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	config := map[string]any{"architectures": []string{"BertModel"}, "model_type": "bert", "vocab_size": len(vocab), "hidden_size": hidden, "num_hidden_layers": 2,
		"num_attention_heads": 2, "intermediate_size": 2 * hidden, "hidden_act": "gelu", "max_position_embeddings": 160, "type_vocab_size": 2,
		"initializer_range": 0.02, "layer_norm_eps": 1e-12, "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "pad_token_id": 0}
	writeJSON(t, filepath.Join(dir, "config.json"), config)
	writeJSON(t, filepath.Join(dir, "tokenizer_config.json"), map[string]any{"tokenizer_class": "BertTokenizer", "do_lower_case": true, "model_max_length": 160})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte(strings.Join(vocab, "\n")+"\n"), 0o644))

	shapes := map[string][]int{"embeddings.word_embeddings.weight": {len(vocab), hidden}, "embeddings.position_embeddings.weight": {160, hidden}, "embeddings.token_type_embeddings.weight": {2, hidden},
		"embeddings.LayerNorm.weight": {hidden}, "embeddings.LayerNorm.bias": {hidden}, "pooler.dense.weight": {hidden, hidden}, "pooler.dense.bias": {hidden}}
	for l := range 2 {
		p := fmt.Sprintf("encoder.layer.%d.", l)
		for _, n := range []string{"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"} {
			shapes[p+n+".weight"], shapes[p+n+".bias"] = []int{hidden, hidden}, []int{hidden}
		}
		shapes[p+"intermediate.dense.weight"], shapes[p+"intermediate.dense.bias"] = []int{2 * hidden, hidden}, []int{2 * hidden}
		shapes[p+"output.dense.weight"], shapes[p+"output.dense.bias"] = []int{hidden, 2 * hidden}, []int{hidden}
		for _, n := range []string{"attention.output.LayerNorm", "output.LayerNorm"} {
			shapes[p+n+".weight"], shapes[p+n+".bias"] = []int{hidden}, []int{hidden}
		}
	}
	var names []string
	for n := range shapes {
		names = append(names, n)
	}
	slices.Sort(names)
	rng := rand.New(rand.NewPCG(1, 2))
	header := map[string]any{}
	var body []float32
	for _, n := range names {
		count := 1
		for _, d := range shapes[n] {
			count *= d
		}
		header[n] = map[string]any{"dtype": "F32", "shape": shapes[n], "data_offsets": []int{4 * len(body), 4 * (len(body) + count)}}
		for range count {
			switch {
			case strings.HasSuffix(n, "LayerNorm.weight"):
				body = append(body, 1)
			case strings.HasSuffix(n, ".bias"):
				body = append(body, 0)
			default:
				body = append(body, float32(0.05*rng.NormFloat64()))
			}
		}
	}
	head, err := json.Marshal(header)
	require.NoError(t, err)
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(head)))
	out = append(out, head...)
	out, err = binary.Append(out, binary.LittleEndian, body)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model.safetensors"), out, 0o644))
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	raw, err := json.MarshalIndent(v, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw, 0o644))
}

// toySentences gives labelled sentences that a tiny model can learn, with noise.
func toySentences(n int, seed uint64) []map[string]any {
	rng := rand.New(rand.NewPCG(seed, 7))
	good := []string{"good", "strong", "rising", "profit"}
	bad := []string{"bad", "weak", "falling", "loss"}
	fill := toyWords[:24]
	var out []map[string]any
	for i := range n {
		label, words := "up", good
		if rng.IntN(2) == 0 {
			label, words = "down", bad
		}
		var s []string
		for range 3 + rng.IntN(12) {
			if rng.IntN(4) == 0 {
				s = append(s, words[rng.IntN(len(words))])
			} else {
				s = append(s, fill[rng.IntN(len(fill))])
			}
		}
		out = append(out, map[string]any{"id": fmt.Sprint(i), "text": strings.Join(append(s, words[rng.IntN(4)]), " "), "label": label})
	}
	return out
}

var toyWords = strings.Fields("the a of in on at by for and or to from with as bank market shares price year quarter growth trade bonds fund good strong rising profit bad weak falling loss")

func writeJSONL(t testing.TB, path string, rows []map[string]any) {
	t.Helper()
	var b strings.Builder
	for _, r := range rows {
		raw, err := json.Marshal(r)
		require.NoError(t, err)
		b.Write(raw)
		b.WriteByte('\n')
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o644))
}
