package kind

import (
	"strconv"

	"github.com/islm-dev/islm/augment/edit"
)

// mixupParams are the keys of mixup.v0.
type mixupParams struct {
	Alpha     *float64 `yaml:"alpha" doc:"of the Beta(alpha, alpha) that the share of each example is drawn from; default 0.2"`
	Layer     string   `yaml:"layer" doc:"embedding (Zhang et al. 2018) or hidden (a layer drawn for each batch, Chen et al. 2020); default embedding"`
	SameLabel bool     `yaml:"same_label" doc:"mix only examples of the same label"`
}

// mixup mixes the embeddings and labels of two examples (Zhang et al. 2018, mixup:
// Beyond Empirical Risk Minimization; Guo, Mao and Zhang 2019, Augmenting Data
// with Mixup for Sentence Classification). It makes no text: the rule declares it,
// the trainer does it.
type mixup struct{ params map[string]string }

func newMixup(b *edit.Build) edit.Action {
	p := mixupParams{Layer: "embedding"}
	if !b.Decode(&p) {
		return nil
	}
	oneOf(b, "layer", p.Layer, "embedding", "hidden")
	alpha := 0.2
	if p.Alpha != nil {
		if alpha = *p.Alpha; !(alpha > 0 && alpha <= 10) {
			b.Report("rules.param", "alpha", "use a number above 0 and up to 10", "alpha %v is out of range", alpha)
		}
	}
	matchesOnly(b, "mixup.v0", "text")
	return &mixup{map[string]string{"kind": "mixup.v0", "alpha": strconv.FormatFloat(alpha, 'g', -1, 64), "layer": p.Layer, "same_label": strconv.FormatBool(p.SameLabel)}}
}

// Edit does nothing.
func (m *mixup) Edit(*edit.Context) {}

// Params are what the trainer is told.
func (m *mixup) Params() map[string]string { return m.params }
