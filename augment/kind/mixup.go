package kind

import (
	"strconv"

	"github.com/islm-dev/islm/augment/edit"
)

// mixupParams are the keys of mixup.v0.
type mixupParams struct {
	Alpha     *float64 `yaml:"alpha" doc:"of the Beta(alpha, alpha) that the share of each example is drawn from, above 0 and up to 10; default 0.2"`
	SameLabel bool     `yaml:"same_label" doc:"mix only examples of the same label"`
}

// mixup mixes the embeddings and the losses of two examples (Zhang et al. 2018,
// mixup: Beyond Empirical Risk Minimization; Guo, Mao and Zhang 2019, Augmenting
// Data with Mixup for Sentence Classification). It makes no text: the rule says
// which examples, the trainer does it.
type mixup struct{ params map[string]string }

// Parameters of mixup.v0 as the trainer gets them.
const (
	MixupAlpha     = "alpha"
	MixupSameLabel = "same_label"
)

func newMixup(b *edit.Build) edit.Action {
	var p mixupParams
	if !b.Decode(&p) {
		return nil
	}
	alpha := 0.2
	if p.Alpha != nil {
		if alpha = *p.Alpha; !(alpha > 0 && alpha <= 10) {
			b.Report("rules.param", "alpha", "use a number above 0 and up to 10", "alpha %v is out of range", alpha)
		}
	}
	matchesOnly(b, "mixup.v0", "text")
	if !b.KeepsAll || len(b.Changes) > 0 {
		b.Report("rules.labels", "kind", "write labels: {keep: all}", "mixup.v0 mixes the losses of all heads, so the rule keeps all labels")
	}
	return &mixup{map[string]string{MixupAlpha: strconv.FormatFloat(alpha, 'g', -1, 64), MixupSameLabel: strconv.FormatBool(p.SameLabel)}}
}

// Edit does nothing.
func (m *mixup) Edit(*edit.Context) {}

// Params are what the trainer is told.
func (m *mixup) Params() map[string]string { return m.params }
