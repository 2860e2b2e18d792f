package hf

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/islm-dev/islm/sdk"
)

const tiny = `{"architectures": ["BertModel"], "model_type": "bert", "vocab_size": 96, "hidden_size": 32,
 "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40`

func TestParseConfig(t *testing.T) {
	c, diags := ParseConfig("config.json", []byte(tiny+`, "id2label": {"1": "b", "0": "a"}, "classifier_dropout": null, "x": [1]}`))
	require.Empty(t, diags)
	require.Equal(t, []string{"a", "b"}, c.Labels)
	require.Equal(t, 512, c.MaxPositions)
	require.Nil(t, c.ClassifierDropout)
	require.Equal(t, 0.1, c.HeadDropout())

	out, err := c.Encode()
	require.NoError(t, err)
	again, diags := ParseConfig("config.json", out)
	require.Empty(t, diags)
	second, err := again.Encode()
	require.NoError(t, err)
	require.Equal(t, string(out), string(second))
	require.Contains(t, string(out), `"x": [`)
}

func TestLabelsKeepTheirOrder(t *testing.T) {
	c, diags := ParseConfig("config.json", []byte(tiny+`}`))
	require.Empty(t, diags)
	for i := range 12 {
		c.Labels = append(c.Labels, string(rune('l'-i))+"<&>")
	}
	out, err := c.Encode()
	require.NoError(t, err)
	again, diags := ParseConfig("config.json", out)
	require.Empty(t, diags)
	require.Equal(t, c.Labels, again.Labels)
}

func TestConfigProblems(t *testing.T) {
	for name, tc := range map[string]struct{ text, code, want string }{
		"no JSON":            {"{\n \"a\": }", "model.config", "not a JSON object"},
		"list":               {"[1]", "model.config", "not a JSON object"},
		"null":               {"null", "model.architecture", "unknown architecture"},
		"unknown type":       {`{"model_type": "t5", "architectures": ["T5Model"]}`, "model.architecture", "t5"},
		"missing size":       {`{"model_type": "bert"}`, "model.config", "vocab_size is missing"},
		"wrong type":         {`{"model_type": "bert", "vocab_size": "many"}`, "model.config", "wrong type"},
		"negative":           {`{"model_type": "bert", "vocab_size": -1}`, "model.config", "not a size"},
		"heads":              {`{"model_type": "bert", "vocab_size": 9, "hidden_size": 30, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 8}`, "model.config", "not a multiple"},
		"relative positions": {tiny + `, "position_embedding_type": "relative_key"}`, "model.config", "relative_key"},
		"activation":         {tiny + `, "hidden_act": "mish"}`, "model.config", "mish"},
		"dropout":            {tiny + `, "hidden_dropout_prob": 1.5}`, "model.config", "not in [0, 1)"},
		"id2label":           {tiny + `, "id2label": {"0": "a", "2": "b"}}`, "model.config", "numbered from 0"},
	} {
		t.Run(name, func(t *testing.T) {
			c, diags := ParseConfig("m/config.json", []byte(tc.text))
			require.Nil(t, c)
			require.True(t, diags.HasErrors())
			require.Contains(t, diags.String(), tc.want)
			require.Equal(t, tc.code, diags[0].Code)
			require.Equal(t, "m/config.json", diags[0].File)
		})
	}
	_, diags := ReadConfig(t.TempDir())
	require.Contains(t, diags.String(), "no config.json")
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"bert.embeddings.LayerNorm.gamma":                "embeddings.LayerNorm.weight",
		"encoder.layer.0.output.LayerNorm.beta":          "encoder.layer.0.output.LayerNorm.bias",
		"bert.encoder.layer.0.attention.self.key.weight": "encoder.layer.0.attention.self.key.weight",
		"classifier.weight":                              "classifier.weight",
	} {
		require.Equal(t, want, Canonical("bert", in))
	}
	require.Equal(t, "bert.pooler.dense.bias", Prefixed("bert", "pooler.dense.bias"))
	require.Equal(t, "classifier.bias", Prefixed("bert", "classifier.bias"))
}

func TestHeadsRoundTrip(t *testing.T) {
	drop := 0.25
	h := &Heads{Schema: headsSchema, Primary: "sentiment", Heads: []sdk.HeadSpec{
		{
			Name: "sentiment", Kind: sdk.KindClassify, Labels: []string{"yes", "no: \"x\"", "涨"}, ClassWeights: []float64{1, 2, 0.5}, Dropout: &drop, Weight: 2,
			Descriptions: map[string]map[string]string{"yes": {"en": "line\nbreak", "zh": "是"}},
		},
		{Name: "ner", Kind: sdk.KindTag, Labels: []string{"LOC"}, CRF: true, Options: map[string]string{"k": "<v>"}},
	}}
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, Own), 0o755))
	data, err := h.Encode()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, Own, HeadsFile), data, 0o644))
	got, diags := ReadHeads(dir)
	require.Empty(t, diags.String())
	require.Equal(t, h, got)

	require.NoError(t, os.WriteFile(filepath.Join(dir, Own, HeadsFile), []byte("schema: islm/heads.v9\nprimary: a\nheads: []\n"), 0o644))
	_, diags = ReadHeads(dir)
	require.True(t, diags.HasErrors())
}

func TestHeadsOfForeignFolders(t *testing.T) {
	for arch, want := range map[string]string{
		`"architectures": ["BertForTokenClassification"], "id2label": {"0": "O", "1": "X"}`:                                                  sdk.KindTag,
		`"architectures": ["BertForSequenceClassification"], "id2label": {"0": "a", "1": "b"}`:                                               sdk.KindClassify,
		`"architectures": ["BertForSequenceClassification"], "problem_type": "multi_label_classification", "id2label": {"0": "a", "1": "b"}`: sdk.KindMultilabel,
		`"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}`:                                                   sdk.KindRegress,
		`"architectures": ["BertModel"]`: "",
	} {
		dir := t.TempDir()
		text := `{` + arch + `, "model_type": "bert", "vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4}`
		require.NoError(t, os.WriteFile(filepath.Join(dir, ConfigFile), []byte(text), 0o644))
		h, diags := ReadHeads(dir)
		require.Empty(t, diags)
		if want == "" {
			require.Empty(t, h.Heads)
			continue
		}
		require.Equal(t, want, h.Heads[0].Kind)
	}
}

// Labels in the order of a BIO head make one, so that entities are counted; any
// other set of tags stays as it is.
func TestForeignTagSchemes(t *testing.T) {
	head := func(labels ...string) sdk.HeadSpec {
		return Declared(&Config{Architecture: "BertForTokenClassification", Labels: labels}).Heads[0]
	}
	require.Equal(t, sdk.HeadSpec{Name: "tags", Kind: sdk.KindTag, Labels: []string{"MISC", "PER"}}, head("O", "B-MISC", "I-MISC", "B-PER", "I-PER"))
	for _, labels := range [][]string{{"B-PER", "I-PER", "O"}, {"O", "NOUN"}, {"O", "B-PER"}, {"O"}} {
		h := head(labels...)
		require.Equal(t, "none", h.Scheme)
		require.Equal(t, labels, h.Labels)
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(tiny + `}`))
	f.Add([]byte(`{"model_type": "bert", "id2label": {"0": 1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, diags := ParseConfig("config.json", data)
		if (c == nil) != diags.HasErrors() {
			t.Fatal("a config comes without errors, none with errors")
		}
		if c != nil {
			if _, err := c.Encode(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
