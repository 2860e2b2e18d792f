package hf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Below a model folder, what transformers does not know lies in islm/.
const (
	Own                  = "islm"
	HeadsFile            = "heads.yaml"
	HeadWeightsFile      = "heads.safetensors"
	KnowledgeWeightsFile = "knowledge.safetensors"
	headsSchema          = "islm/heads.v0"
)

// Heads is islm/heads.yaml: the task heads of a model in the order of their
// training, and which of them config.json and model.safetensors hold.
type Heads struct {
	Schema  string         `yaml:"schema"`
	Primary string         `yaml:"primary"`
	Heads   []sdk.HeadSpec `yaml:"heads"`
}

// ReadHeads reads dir/islm/heads.yaml. A folder without it, made by other
// software, has the one head that its config.json declares by architecture and
// id2label, or none.
func ReadHeads(dir string) (*Heads, sdk.Diagnostics) {
	path := filepath.Join(dir, Own, HeadsFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		cfg, diags := ReadConfig(dir)
		if cfg == nil {
			return nil, diags
		}
		return Declared(cfg), diags
	}
	if err != nil {
		return nil, sdk.Diagnostics{{Severity: sdk.Error, Code: "model.heads", File: path, Summary: err.Error()}}
	}
	h := &Heads{}
	diags := sdk.DecodeYAML(path, data, h)
	if h.Schema != headsSchema && !diags.HasErrors() {
		diags.Add(sdk.Diagnostic{
			Code: "model.heads", File: path, Path: "schema",
			Summary: fmt.Sprintf("schema is %q, expected %q", h.Schema, headsSchema),
			Remedy:  "use the version of islm that wrote this model",
		})
	}
	if diags.HasErrors() {
		return nil, diags
	}
	return h, diags
}

// Declared is the head of a folder that transformers wrote: by architecture and
// id2label.
func Declared(cfg *Config) *Heads {
	spec := sdk.HeadSpec{Labels: cfg.Labels}
	if spec.Labels == nil {
		spec.Labels = []string{"LABEL_0", "LABEL_1"}
	}
	switch {
	case strings.HasSuffix(cfg.Architecture, "ForTokenClassification"):
		spec.Name, spec.Kind, spec.Scheme = "tags", sdk.KindTag, "none"
		if types := entityTypes(cfg.Labels); len(types) > 0 && slices.Equal(recipe.Outputs(sdk.HeadSpec{Kind: sdk.KindTag, Labels: types}), cfg.Labels) {
			spec.Labels, spec.Scheme = types, ""
		}
	case strings.HasSuffix(cfg.Architecture, "ForMaskedLM"), strings.HasSuffix(cfg.Architecture, "ForPreTraining"):
		spec = sdk.HeadSpec{Name: "mlm", Kind: sdk.KindMLM}
	case strings.HasSuffix(cfg.Architecture, "ForCausalLM"), strings.HasSuffix(cfg.Architecture, "LMHeadModel"):
		spec = sdk.HeadSpec{Name: "clm", Kind: sdk.KindCLM}
	case strings.HasSuffix(cfg.Architecture, "ForQuestionAnswering"):
		spec = sdk.HeadSpec{Name: "answer", Kind: sdk.KindQA}
	case !strings.HasSuffix(cfg.Architecture, "ForSequenceClassification"):
		return &Heads{Schema: headsSchema}
	case cfg.ProblemType == "multi_label_classification":
		spec.Name, spec.Kind = "label", sdk.KindMultilabel
	case cfg.ProblemType == "regression" || cfg.ProblemType == "" && len(cfg.Labels) == 1:
		spec.Name, spec.Kind, spec.Labels = "score", sdk.KindRegress, nil
	default:
		spec.Name, spec.Kind = "label", sdk.KindClassify
	}
	return &Heads{Schema: headsSchema, Primary: spec.Name, Heads: []sdk.HeadSpec{spec}}
}

// entityTypes are the types X of the labels B-X, in order.
func entityTypes(labels []string) (types []string) {
	for _, l := range labels {
		if t, ok := strings.CutPrefix(l, "B-"); ok {
			types = append(types, t)
		}
	}
	return types
}

// Encode renders heads.yaml.
func (h *Heads) Encode() ([]byte, error) {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "schema: %s\nprimary: %s\nheads:\n", headsSchema, strconv.Quote(h.Primary))
	for _, spec := range h.Heads {
		v, lead := reflect.ValueOf(spec), "  - "
		for i := range v.NumField() {
			key := strings.Split(v.Type().Field(i).Tag.Get("yaml"), ",")[0]
			if key == "" || v.Field(i).IsZero() {
				continue
			}
			// A JSON value is a YAML flow value.
			text, err := json.Marshal(v.Field(i).Interface())
			if err != nil {
				return nil, fmt.Errorf("encode head %s: %w", spec.Name, err)
			}
			fmt.Fprintf(&buf, "%s%s: %s\n", lead, key, text)
			lead = "    "
		}
	}
	return buf.Bytes(), nil
}
