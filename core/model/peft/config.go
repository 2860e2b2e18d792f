package peft

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/islm-dev/islm/core/recipe"
	"github.com/islm-dev/islm/sdk"
)

// Files of an adapter folder.
const (
	ConfigFile  = "adapter_config.json"
	WeightsFile = "adapter_model.safetensors"
)

// Config is adapter_config.json: what shapes the adapter's weights.
type Config struct {
	Method   string // a value of train.peft
	Base     string // folder or hub id of the base model
	TaskType string // SEQ_CLS | TOKEN_CLS | …

	Rank        int // of each low-rank update; of adalora at first
	Alpha       float64
	Dropout     float64
	Targets     []string // ends of the names of adapted linear maps
	Pattern     string   // regular expression over names, in place of Targets
	FeedForward []string // ia3: targets whose input is scaled
	Save        []string // modules_to_save
	FanInOut    bool     // the base stores its matrices [in, out]

	Tokens     int // virtual tokens
	Layers     int
	Heads      int
	Dim        int // width of the model
	Projection int // prefix: width of its network while it is trained

	Bottleneck int // houlsby, pfeiffer
	Act        string

	// Rows are ids whose rows of the word embeddings the adapter holds in place of the
	// base's, in the order of the file: peft's trainable_token_indices. Those of new
	// terms lie beyond the base's table, which has BaseRows rows. Nil = none.
	Rows     []int32
	BaseRows int

	// AdaLoRA.
	TargetRank           int
	Warmup, Final, Every int // steps
	Steps                int
	Beta1, Beta2         float64
	Orthogonal           float64
	Ranks                map[string][]bool // by name of lora_E: which ranks were kept; nil = all
}

// kinds are peft's names of the methods. Bottleneck adapters have none there;
// theirs are islm's own.
var kinds = map[string]string{
	recipe.PeftLoRA: "LORA", recipe.PeftRSLoRA: "LORA", recipe.PeftDoRA: "LORA", recipe.PeftAdaLoRA: "ADALORA", recipe.PeftIA3: "IA3",
	recipe.PeftPrefix: "PREFIX_TUNING", recipe.PeftPTuning: "PREFIX_TUNING", recipe.PeftPrompt: "PROMPT_TUNING",
	recipe.PeftHoulsby: "ISLM_HOULSBY", recipe.PeftPfeiffer: "ISLM_PFEIFFER",
}

// Prompting reports methods that add virtual tokens; peft names their heads'
// weights without the inner model.
func (c *Config) Prompting() bool {
	return c.Method == recipe.PeftPrefix || c.Method == recipe.PeftPTuning || c.Method == recipe.PeftPrompt
}

// LowRank reports the methods of the LoRA family.
func (c *Config) LowRank() bool {
	return slices.Contains([]string{recipe.PeftLoRA, recipe.PeftRSLoRA, recipe.PeftDoRA, recipe.PeftAdaLoRA}, c.Method)
}

// Mergeable reports whether the adapter can become part of the base's weights.
func (c *Config) Mergeable() bool { return recipe.Mergeable(c.Method) }

// KnownToPeft reports whether Hugging Face peft has the method.
func (c *Config) KnownToPeft() bool { return !strings.HasPrefix(kinds[c.Method], "ISLM_") }

// Prefix begins the names of weights that the adapter file holds of the model
// itself, such as the head's.
func (c *Config) Prefix() string {
	if c.Prompting() {
		return "base_model."
	}
	return "base_model.model."
}

// Adapts reports whether the linear map of this name is a target.
func (c *Config) Adapts(module string) bool {
	if c.Pattern != "" {
		re, err := regexp.Compile("^(?:" + c.Pattern + ")$")
		return err == nil && re.MatchString(module)
	}
	return ends(module, c.Targets)
}

// ScalesInput reports whether ia3 scales the input of the target, not its output.
func (c *Config) ScalesInput(module string) bool { return ends(module, c.FeedForward) }

func ends(module string, targets []string) bool {
	return slices.ContainsFunc(targets, func(t string) bool { return module == t || strings.HasSuffix(module, "."+t) })
}

// Is reports whether the folder holds an adapter.
func Is(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ConfigFile))
	return err == nil
}

// file is the JSON of adapter_config.json.
type file struct {
	Type     string          `json:"peft_type"`
	TaskType string          `json:"task_type,omitempty"`
	Base     string          `json:"base_model_name_or_path"`
	Infer    bool            `json:"inference_mode"`
	Save     []string        `json:"modules_to_save"`
	Targets  json.RawMessage `json:"target_modules,omitempty"`
	FanInOut *bool           `json:"fan_in_fan_out,omitempty"`

	R          *int            `json:"r,omitempty"`
	Alpha      *float64        `json:"lora_alpha,omitempty"`
	Dropout    *float64        `json:"lora_dropout,omitempty"`
	RSLoRA     *bool           `json:"use_rslora,omitempty"`
	DoRA       *bool           `json:"use_dora,omitempty"`
	Bias       string          `json:"bias,omitempty"`
	LoRABias   bool            `json:"lora_bias,omitempty"`
	Ranks      json.RawMessage `json:"rank_pattern,omitempty"`
	Alphas     json.RawMessage `json:"alpha_pattern,omitempty"`
	Tokens     json.RawMessage `json:"trainable_token_indices,omitempty"`
	Layers     json.RawMessage `json:"layers_to_transform,omitempty"`
	Exclude    json.RawMessage `json:"exclude_modules,omitempty"`
	Parameters json.RawMessage `json:"target_parameters,omitempty"`

	FeedForward []string `json:"feedforward_modules,omitempty"`

	Virtual    int  `json:"num_virtual_tokens,omitempty"`
	Dim        int  `json:"token_dim,omitempty"`
	Depth      int  `json:"num_layers,omitempty"`
	HeadCount  int  `json:"num_attention_heads,omitempty"`
	Submodules int  `json:"num_transformer_submodules,omitempty"`
	Hidden     int  `json:"encoder_hidden_size,omitempty"`
	Projection bool `json:"prefix_projection,omitempty"`

	InitR      int     `json:"init_r,omitempty"`
	TargetR    int     `json:"target_r,omitempty"`
	TInit      int     `json:"tinit,omitempty"`
	TFinal     int     `json:"tfinal,omitempty"`
	DeltaT     int     `json:"deltaT,omitempty"`
	Beta1      float64 `json:"beta1,omitempty"`
	Beta2      float64 `json:"beta2,omitempty"`
	Orthogonal float64 `json:"orth_reg_weight,omitempty"`
	Total      int     `json:"total_step,omitempty"`

	Bottleneck int    `json:"bottleneck,omitempty"`
	Act        string `json:"act,omitempty"`
}

// Encode renders adapter_config.json.
func (c *Config) Encode() ([]byte, error) {
	f := file{Type: kinds[c.Method], TaskType: c.TaskType, Base: c.Base, Infer: true, Save: c.Save}
	var err error
	if len(c.Targets) > 0 || c.Pattern != "" {
		var targets any = c.Targets
		if c.Pattern != "" {
			targets = c.Pattern
		}
		if f.Targets, err = json.Marshal(targets); err != nil {
			return nil, err
		}
		f.FanInOut = &c.FanInOut
	}
	if len(c.Rows) > 0 {
		if f.Tokens, err = json.Marshal(c.Rows); err != nil {
			return nil, err
		}
	}
	switch {
	case c.LowRank():
		rs, dora := c.Method == recipe.PeftRSLoRA, c.Method == recipe.PeftDoRA
		f.R, f.Alpha, f.Dropout, f.RSLoRA, f.DoRA, f.Bias = &c.Rank, &c.Alpha, &c.Dropout, &rs, &dora, "none"
		if c.Method == recipe.PeftAdaLoRA {
			r := 8 // peft warns of any other value: init_r counts
			f.R, f.InitR, f.TargetR, f.TInit, f.TFinal, f.DeltaT = &r, c.Rank, c.TargetRank, c.Warmup, c.Final, c.Every
			f.Beta1, f.Beta2, f.Orthogonal, f.Total = c.Beta1, c.Beta2, c.Orthogonal, c.Steps
			if c.Ranks != nil {
				if f.Ranks, err = json.Marshal(c.Ranks); err != nil {
					return nil, err
				}
			}
		}
	case c.Method == recipe.PeftIA3:
		f.FeedForward = c.FeedForward
	case c.Prompting():
		f.Virtual, f.Dim, f.Depth, f.HeadCount, f.Submodules = c.Tokens, c.Dim, c.Layers, c.Heads, 1
		if c.Method != recipe.PeftPrompt {
			f.Hidden = c.Dim
		}
	default:
		f.Bottleneck, f.Act = c.Bottleneck, c.Act
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(f); err != nil {
		return nil, fmt.Errorf("encode %s: %w", ConfigFile, err)
	}
	return buf.Bytes(), nil
}

// Read reads and checks DIR/adapter_config.json. The config is nil when there
// are errors among the diagnostics. What the file asks for and islm cannot
// compute is an error, never left out.
func Read(dir string) (*Config, sdk.Diagnostics) {
	path := filepath.Join(dir, ConfigFile)
	data, err := os.ReadFile(path)
	bad := func(key, summary, remedy string) sdk.Diagnostics {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "adapter.config", File: path, Path: key, Summary: summary, Remedy: remedy}}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, bad("", "the adapter folder has no "+ConfigFile, "")
	}
	if err != nil {
		return nil, bad("", err.Error(), "")
	}
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, bad("", "it is no description of an adapter: "+err.Error(), "")
	}
	c := &Config{Base: f.Base, TaskType: f.TaskType, Save: f.Save, FeedForward: f.FeedForward, Alpha: 8, Rank: 8}
	var diags sdk.Diagnostics
	switch f.Type {
	case "LORA":
		c.Method = recipe.PeftLoRA
		rs, dora := f.RSLoRA != nil && *f.RSLoRA, f.DoRA != nil && *f.DoRA
		switch {
		case rs && dora:
			diags = append(diags, bad("use_dora", "use_rslora and use_dora at once are not supported", "")...)
		case rs:
			c.Method = recipe.PeftRSLoRA
		case dora:
			c.Method = recipe.PeftDoRA
		}
	case "ADALORA":
		c.Method = recipe.PeftAdaLoRA
	case "IA3":
		c.Method = recipe.PeftIA3
	case "PREFIX_TUNING":
		c.Method = recipe.PeftPTuning
	case "PROMPT_TUNING":
		c.Method = recipe.PeftPrompt
	case "ISLM_HOULSBY":
		c.Method = recipe.PeftHoulsby
	case "ISLM_PFEIFFER":
		c.Method = recipe.PeftPfeiffer
	default:
		return nil, bad("peft_type", fmt.Sprintf("adapters of type %q are not supported", f.Type), "supported: LORA, ADALORA, IA3, PREFIX_TUNING, PROMPT_TUNING, and islm's bottlenecks")
	}
	for key, raw := range map[string]json.RawMessage{"layers_to_transform": f.Layers, "exclude_modules": f.Exclude, "target_parameters": f.Parameters, "alpha_pattern": f.Alphas} {
		if text := string(bytes.TrimSpace(raw)); text != "" && text != "null" && text != "{}" && text != "[]" {
			diags = append(diags, bad(key, key+" is not supported", "")...)
		}
	}
	if c.Rows, err = rowsOf(f.Tokens); err != nil {
		diags = append(diags, bad("trainable_token_indices", "trainable_token_indices: "+err.Error(), "")...)
	} else if c.Rows != nil && !c.LowRank() {
		diags = append(diags, bad("trainable_token_indices", "trainable_token_indices is supported for LoRA and AdaLoRA only", "")...)
	}
	if text := string(bytes.TrimSpace(f.Ranks)); text != "" && text != "null" && text != "{}" {
		if c.Method != recipe.PeftAdaLoRA {
			diags = append(diags, bad("rank_pattern", "rank_pattern is not supported for LoRA", "")...)
		} else if err := json.Unmarshal(f.Ranks, &c.Ranks); err != nil {
			diags = append(diags, bad("rank_pattern", "rank_pattern is no map from names to marks: "+err.Error(), "")...)
		}
	}
	if f.Bias != "" && f.Bias != "none" || f.LoRABias {
		diags = append(diags, bad("bias", "adapters with biases of their own are not supported", "")...)
	}
	if f.Submodules > 1 {
		diags = append(diags, bad("num_transformer_submodules", "adapters of encoder-decoders are not supported", "")...)
	}
	if t := bytes.TrimSpace(f.Targets); len(t) > 0 && string(t) != "null" {
		if t[0] == '"' {
			err = json.Unmarshal(t, &c.Pattern)
			if _, bad := regexp.Compile(c.Pattern); err == nil {
				err = bad
			}
		} else {
			err = json.Unmarshal(t, &c.Targets)
		}
		if err != nil {
			diags = append(diags, bad("target_modules", "target_modules is neither a list of names nor a regular expression: "+err.Error(), "")...)
		}
		slices.Sort(c.Targets)
	}
	if f.FanInOut != nil {
		c.FanInOut = *f.FanInOut
	}
	set(&c.Rank, f.R)
	set(&c.Alpha, f.Alpha)
	set(&c.Dropout, f.Dropout)
	if c.Method == recipe.PeftAdaLoRA {
		c.Rank = f.InitR
		if c.Rank == 0 {
			c.Rank = 12
		}
	}
	c.TargetRank, c.Warmup, c.Final, c.Every, c.Steps = f.TargetR, f.TInit, f.TFinal, f.DeltaT, f.Total
	c.Beta1, c.Beta2, c.Orthogonal = f.Beta1, f.Beta2, f.Orthogonal
	c.Tokens, c.Dim, c.Layers, c.Heads = f.Virtual, f.Dim, f.Depth, f.HeadCount
	c.Bottleneck, c.Act = f.Bottleneck, f.Act
	if c.LowRank() && (c.Rank < 1 || !(c.Alpha > 0)) {
		diags = append(diags, bad("r", fmt.Sprintf("rank %d with alpha %g is no adapter", c.Rank, c.Alpha), "")...)
	}
	if c.Prompting() && c.Tokens < 1 {
		diags = append(diags, bad("num_virtual_tokens", "the adapter has no virtual tokens", "")...)
	}
	if len(diags) > 0 {
		slices.SortFunc(diags, func(a, b sdk.Diagnostic) int { return strings.Compare(a.Path, b.Path) })
		return nil, diags
	}
	return c, nil
}

func set[T any](into *T, from *T) {
	if from != nil {
		*into = *from
	}
}

// rowsOf reads trainable_token_indices: a list of ids, or a map with one from the name
// of the word embeddings.
func rowsOf(raw json.RawMessage) ([]int32, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var rows []int32
	if raw[0] == '{' {
		var byModule map[string][]int32
		if err := json.Unmarshal(raw, &byModule); err != nil {
			return nil, fmt.Errorf("it is no map from modules to lists of ids: %w", err)
		}
		for module, ids := range byModule {
			if len(byModule) > 1 || !ends(module, []string{"word_embeddings", "wte", "embed_tokens"}) {
				return nil, fmt.Errorf("rows of %s are not supported, only those of the word embeddings", strings.Join(slices.Sorted(maps.Keys(byModule)), ", "))
			}
			rows = ids
		}
	} else if err := json.Unmarshal(raw, &rows); err != nil {
		return nil, fmt.Errorf("it is no list of ids: %w", err)
	}
	if len(rows) == 0 {
		return nil, nil
	}
	sorted := slices.Sorted(slices.Values(rows))
	if sorted[0] < 0 || len(slices.Compact(sorted)) < len(rows) {
		return nil, errors.New("an id is below 0 or named twice")
	}
	return rows, nil
}
