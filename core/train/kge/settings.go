package kge

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Models.
const (
	TransE   = "transe"   // −‖h + r − t‖₁ (Bordes et al. 2013; the norm as in Sun et al. 2019)
	DistMult = "distmult" // ⟨h, r, t⟩ (Yang et al. 2015)
	ComplEx  = "complex"  // Re⟨h, r, t̄⟩ over complex numbers (Trouillon et al. 2016)
	RotatE   = "rotate"   // −Σ|h·exp(iθ) − t| over complex numbers (Sun et al. 2019)
)

// Losses.
const (
	Softmax  = "softmax"  // cross entropy over all entities (Lacroix et al. 2018)
	Negative = "negative" // log-sigmoid with self-adversarial negatives (Sun et al. 2019)
)

// Optimizers.
const (
	Adagrad = "adagrad"
	Adam    = "adam"
)

// Settings say how vectors are learned. The presets are complete settings.
type Settings struct {
	Model string `yaml:"model" json:"model"` // transe, distmult, complex or rotate
	// Dim is the numbers of an entity's vector. The complex models take them as
	// Dim/2 real parts, then Dim/2 imaginary parts: papers call Dim/2 the rank.
	Dim  int    `yaml:"dim" json:"dim"`
	Loss string `yaml:"loss" json:"loss"` // softmax (distmult, complex) or negative
	// Reciprocal gives each relation a second vector for the question for its head.
	Reciprocal bool   `yaml:"reciprocal" json:"reciprocal"`
	Epochs     int    `yaml:"epochs" json:"epochs"`
	Batch      int    `yaml:"batch" json:"batch"` // rows of a step: a row is a query with its answers
	Seed       uint64 `yaml:"seed" json:"seed"`

	Optimizer string  `yaml:"optimizer" json:"optimizer"` // adagrad or adam
	LR        float64 `yaml:"lr" json:"lr"`
	// LRDrop is the share of the steps after which the rate is a tenth; 0 is never.
	LRDrop float64 `yaml:"lr_drop" json:"lr_drop"`
	// N3 weighs the sum of the cubed moduli of the vectors of a fact (the nuclear
	// 3-norm), averaged over the facts of a step; for distmult and complex.
	N3 float64 `yaml:"n3" json:"n3"`
	// Init is the standard deviation of new vectors of distmult and complex. The
	// distance models start uniformly within (margin + 2) / dim, by complex
	// numbers for rotate, as in Sun et al. 2019.
	Init float64 `yaml:"init" json:"init"`

	// Answers is the most answers of one query that share a row; 0 is all, 1 is
	// the usual one row per fact. Only for the softmax loss.
	Answers int `yaml:"answers" json:"answers"`

	// For the negative loss: entities drawn for each row, the margin γ that is
	// added to the (negative) distances, and the temperature α that weighs the
	// negatives by softmax(α·score); 0 weighs them equally.
	Negatives   int     `yaml:"negatives" json:"negatives"`
	Margin      float64 `yaml:"margin" json:"margin"`
	Temperature float64 `yaml:"temperature" json:"temperature"`

	// EvalEvery is the number of epochs between validations; 0 is never. Patience
	// is the number of validations without a better MRR that end the run; 0 is
	// none. The vectors of the best validation are the result.
	EvalEvery int `yaml:"eval_every" json:"eval_every"`
	Patience  int `yaml:"patience" json:"patience"`
}

// DefaultPreset is used where none is named.
const DefaultPreset = "complex"

//go:embed presets/*.yaml
var presetFiles embed.FS

// Preset is a file of settings that comes with islm.
type Preset struct {
	Name    string
	Summary string // one sentence
}

// Presets lists the embedded settings by name.
func Presets() []Preset {
	entries, err := presetFiles.ReadDir("presets") // sorted; cannot fail: the folder is embedded
	if err != nil {
		return nil
	}
	var out []Preset
	for _, e := range entries {
		text, err := presetFiles.ReadFile(path.Join("presets", e.Name()))
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(text), "\n")
		out = append(out, Preset{Name: strings.TrimSuffix(e.Name(), ".yaml"), Summary: strings.TrimSpace(strings.TrimPrefix(first, "#"))})
	}
	return out
}

// FindPreset gives the settings of a preset.
func FindPreset(name string) (Settings, sdk.Diagnostics) {
	var names []string
	for _, p := range Presets() {
		if p.Name == name {
			text, err := presetFiles.ReadFile(path.Join("presets", name+".yaml"))
			if err != nil {
				break
			}
			return ParseSettings(name+".yaml", text)
		}
		names = append(names, p.Name)
	}
	d := sdk.Diagnostic{Severity: sdk.Error, Code: "kge.preset", Summary: fmt.Sprintf("there is no preset %q", name), Remedy: "one of " + strings.Join(names, ", ") + ", or a file that ends in .yaml"}
	if near := sdk.Nearest(name, names); near != "" {
		d.Remedy = fmt.Sprintf("did you mean %q?", near)
	}
	return Settings{}, sdk.Diagnostics{d}
}

// ParseSettings reads a file of settings: schema islm/kge.v0 and the keys of
// Settings. A key that it lacks is zero; Check says where that is not enough.
func ParseSettings(name string, text []byte) (Settings, sdk.Diagnostics) {
	var file struct {
		Schema   string `yaml:"schema" schema:"islm/kge.v0"`
		Settings `yaml:",inline"`
	}
	ds := sdk.DecodeYAML(name, text, &file)
	return file.Settings, ds
}

// Set changes one key: "lr=0.05".
func (s *Settings) Set(item string) sdk.Diagnostics {
	key, value, ok := strings.Cut(item, "=")
	if !ok || key == "" || strings.ContainsAny(item, "\n\r") {
		return sdk.Diagnostics{{Severity: sdk.Error, Code: "kge.set", Summary: fmt.Sprintf("%q is no KEY=VALUE", item), Remedy: "write it as lr=0.05"}}
	}
	return sdk.DecodeYAML("--set", []byte(key+": "+value+"\n"), s)
}

// Check reports every setting that is out of range or does not go with another.
func (s Settings) Check() (ds sdk.Diagnostics) {
	bad := func(key, format string, args ...any) {
		ds.Add(sdk.Diagnostic{Code: "kge.settings", Path: key, Summary: key + ": " + fmt.Sprintf(format, args...)})
	}
	oneOf := func(key, value string, names ...string) {
		if slices.Contains(names, value) {
			return
		}
		d := sdk.Diagnostic{Code: "kge.settings", Path: key, Summary: fmt.Sprintf("%s: unknown value %q", key, value), Remedy: "one of " + strings.Join(names, ", ")}
		if near := sdk.Nearest(value, names); near != "" {
			d.Remedy = fmt.Sprintf("did you mean %q?", near)
		}
		ds.Add(d)
	}
	oneOf("model", s.Model, TransE, DistMult, ComplEx, RotatE)
	oneOf("loss", s.Loss, Softmax, Negative)
	oneOf("optimizer", s.Optimizer, Adagrad, Adam)
	if s.Dim < 1 || s.Dim > 1<<16 {
		bad("dim", "%d is not between 1 and %d", s.Dim, 1<<16)
	} else if s.Dim%2 != 0 && (s.Model == ComplEx || s.Model == RotatE) {
		bad("dim", "%d is odd; %s takes the numbers in pairs", s.Dim, s.Model)
	}
	for _, v := range []struct {
		key       string
		value, at int
	}{{"epochs", s.Epochs, 1}, {"batch", s.Batch, 1}, {"answers", s.Answers, 0}, {"eval_every", s.EvalEvery, 0}, {"patience", s.Patience, 0}} {
		if v.value < v.at {
			bad(v.key, "%d is less than %d", v.value, v.at)
		}
	}
	if !(s.LR > 0) {
		bad("lr", "%g is not above 0", s.LR)
	}
	if !(s.LRDrop >= 0 && s.LRDrop <= 1) {
		bad("lr_drop", "%g is not between 0 and 1", s.LRDrop)
	}
	if !(s.N3 >= 0) {
		bad("n3", "%g is below 0", s.N3)
	}
	distance := s.Model == TransE || s.Model == RotatE
	if distance {
		if s.Loss == Softmax {
			bad("loss", "%s compares by a distance; train it with loss negative", s.Model)
		}
		if s.N3 > 0 {
			bad("n3", "it is for distmult and complex")
		}
	} else if !(s.Init > 0) {
		bad("init", "%g is not above 0", s.Init)
	}
	if s.Loss == Negative {
		if s.Negatives < 1 {
			bad("negatives", "%d is less than 1", s.Negatives)
		}
		if !(s.Temperature >= 0) {
			bad("temperature", "%g is below 0", s.Temperature)
		}
		if s.Answers != 1 {
			bad("answers", "the negative loss takes one answer for each row: answers is 1")
		}
	}
	if s.Patience > 0 && s.EvalEvery == 0 {
		bad("patience", "it counts validations, and eval_every is 0")
	}
	return ds
}
