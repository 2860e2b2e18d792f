package metric

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// Metrics is the content of metrics.json.
type Metrics struct {
	Heads    map[string]*Report `json:"heads"`
	Before   map[string]*Report `json:"before"` // the same heads, untrained
	Train    Train              `json:"train"`
	Controls map[string]Control `json:"controls"`
}

// Train holds what a training took.
type Train struct {
	Steps        int     `json:"steps"`
	Epochs       int     `json:"epochs"`
	Seconds      float64 `json:"seconds"` // step loop without validation, checkpoints and loading
	Tokens       int64   `json:"tokens"`  // non-padding ids, special ones included
	TokensPerS   float64 `json:"tokens_per_s"`
	PeakRSSBytes int64   `json:"peak_rss_bytes"`
	PaddingShare float64 `json:"padding_share"` // 0..1
	ResumedFrom  *int    `json:"resumed_from"`  // step or null

	BestStep     int       `json:"best_step,omitempty"`
	StoppedEarly bool      `json:"stopped_early,omitempty"`
	Trainable    int64     `json:"trainable,omitempty"` // parameters
	Parameters   int64     `json:"parameters,omitempty"`
	Device       string    `json:"device,omitempty"`
	Precision    string    `json:"precision,omitempty"`
	Losses       []float64 `json:"losses,omitempty"` // mean training loss of each epoch

	PredictTokensPerS float64 `json:"predict_tokens_per_s,omitempty"` // of the final prediction, non-padding ids
}

// Control is a run or a baseline beside the model, that a gain is held
// against.
type Control struct {
	Summary    string             `json:"summary,omitempty"`
	Heads      map[string]*Report `json:"heads,omitempty"`
	Difference *Difference        `json:"difference,omitempty"` // A = the control, B = the model
	// Seeds are those of the runs, Differences by head those of each score and
	// part of the examples: A = the mean of the control's runs, B = of the model's.
	Seeds       []uint64                 `json:"seeds,omitempty"`
	Differences map[string][]*Difference `json:"differences,omitempty"`
}

// Encode writes the JSON of metrics.json.
func (m *Metrics) Encode(w io.Writer) error {
	c := *m
	if c.Heads == nil {
		c.Heads = map[string]*Report{}
	}
	if c.Before == nil {
		c.Before = map[string]*Report{}
	}
	if c.Controls == nil {
		c.Controls = map[string]Control{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(&c); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

// Save writes metrics.json whole or not at all.
func (m *Metrics) Save(path string) error {
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return fmt.Errorf("save metrics: %w", err)
	}
	err = m.Encode(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("save metrics: %w", err)
	}
	return nil
}

// Load reads a metrics.json.
func Load(path string) (*Metrics, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	m := &Metrics{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("read metrics: %s: %w", path, err)
	}
	return m, nil
}

// Names lists the scores that can be chosen by name.
func Names() []string {
	return []string{
		"accuracy", "micro_f1", "macro_f1", "weighted_f1", "samples_f1", "entity_f1", "relation_f1", "exact_match", "token_f1",
		"pearson", "spearman", "mse", "rmse", "mae", "mrr", "ndcg_10", "map", "hit_1", "loss", "perplexity",
		"bleu", "chrf", "rouge_1", "rouge_2", "rouge_l",
	}
}

// Value returns a score by its name as it stands in the report, and whether
// the report has it.
func (r *Report) Value(name string) (float64, bool) {
	optional := func(v *float64) (float64, bool) {
		if v == nil {
			return 0, false
		}
		return *v, true
	}
	if name == "loss" {
		return optional(r.Loss)
	}
	if l := r.LanguageModel; l != nil || name == "perplexity" {
		switch t := r.Text; {
		case l == nil:
			return 0, false
		case name == "perplexity":
			return l.Perplexity, true
		case t != nil:
			v, ok := map[string]float64{"bleu": t.BLEU.Score, "chrf": t.ChrF, "rouge_1": t.ROUGE.One, "rouge_2": t.ROUGE.Two, "rouge_l": t.ROUGE.L, "exact_match": t.ExactMatch}[name]
			return v, ok
		}
		return 0, false
	}
	if g := r.Ranking; g != nil {
		v, ok := map[string]float64{"mrr": g.MRR, "ndcg_10": g.NDCG10, "map": g.MAP, "hit_1": g.Hit1}[name]
		return v, ok
	}
	if g := r.Answers; g != nil {
		v, ok := map[string]float64{"exact_match": g.ExactMatch, "token_f1": g.F1}[name]
		return v, ok
	}
	if g := r.Regression; g != nil {
		switch name {
		case "rmse":
			return g.RMSE, true
		case "mse":
			return g.MSE, true
		case "mae":
			return g.MAE, true
		case "pearson":
			return g.Pearson, true
		case "spearman":
			return g.Spearman, true
		}
		return 0, false
	}
	switch name {
	case "accuracy":
		return r.Accuracy, true
	case "micro_f1":
		return r.MicroF1, true
	case "macro_f1":
		return r.MacroF1, true
	case "weighted_f1":
		return r.WeightedF1, true
	case "samples_f1":
		return optional(r.SamplesF1)
	case "entity_f1":
		return optional(r.EntityF1)
	case "relation_f1":
		return optional(r.RelationF1)
	}
	return 0, false
}

// Primary names the score that a report is judged by when nobody chose one:
// entity_f1 for taggers with a scheme and spans, relation_f1 for relations, token_f1
// for answers, spearman for regression, mrr for ranking, else macro_f1.
func (r *Report) Primary() string {
	switch {
	case r.Ranking != nil:
		return "mrr"
	case r.Answers != nil:
		return "token_f1"
	case r.RelationF1 != nil:
		return "relation_f1"
	case r.LanguageModel != nil:
		return "loss"
	case r.Regression != nil:
		return "spearman"
	case r.EntityF1 != nil:
		return "entity_f1"
	}
	return "macro_f1"
}

// Select returns the score that decides about early stopping and the best
// checkpoint; larger is better (losses and errors are negated).
//
//	macro_f1        the mean over the heads that have this score
//	HEAD/macro_f1   one head (also HEAD.macro_f1)
//	auto or ""      the mean over the heads' primary scores; of language models only
//	                where no other head has one
func Select(heads map[string]*Report, name string) (float64, error) {
	if len(heads) == 0 {
		return 0, fmt.Errorf("metric %q: no head has labels here", name)
	}
	if err := CheckName(name, slices.Sorted(maps.Keys(heads))); err != nil {
		return 0, err
	}
	head, score := SplitName(name)
	if head != "" {
		heads = map[string]*Report{head: heads[head]}
	}
	auto := score == "" || score == "auto"
	texts := func(r *Report) bool {
		return r != nil && (strings.HasPrefix(r.Task, TaskMLM) || strings.HasPrefix(r.Task, TaskCLM))
	}
	learnsLabels := slices.ContainsFunc(slices.Collect(maps.Values(heads)), func(r *Report) bool { return r != nil && !texts(r) })
	total, n := 0.0, 0
	for _, key := range slices.Sorted(maps.Keys(heads)) {
		r, one := heads[key], score
		if r == nil {
			continue
		}
		if auto {
			if texts(r) && learnsLabels {
				continue // a perplexity is on no scale with shares of right answers
			}
			one = r.Primary()
		}
		if v, ok := r.Value(one); ok {
			if one == "loss" || one == "perplexity" || one == "mse" || one == "rmse" || one == "mae" {
				v = -v
			}
			total += v
			n++
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("metric %q: %s has no such score", name, strings.Join(slices.Sorted(maps.Keys(heads)), ", "))
	}
	return total / float64(n), nil
}

// CheckName says whether Select can know a metric, before there are reports.
func CheckName(name string, heads []string) error {
	head, score := SplitName(name)
	if head != "" && !slices.Contains(heads, head) {
		return fmt.Errorf("metric %q: no head %q; heads are %s", name, head, strings.Join(heads, ", "))
	}
	if score != "" && score != "auto" && !slices.Contains(Names(), score) {
		return fmt.Errorf("metric %q is unknown; metrics are %s, each also as HEAD/METRIC", name, strings.Join(Names(), ", "))
	}
	return nil
}

// SplitName takes HEAD/METRIC or HEAD.METRIC apart; head is empty where the
// name is a metric alone. The last separator counts.
func SplitName(name string) (head, score string) {
	if i := strings.LastIndexAny(name, "/."); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}
