//go:build torch

package train

import (
	"fmt"
	"math"

	"github.com/islm-dev/islm/core/recipe"
)

// schedule gives the factor of the learning rate at each optimizer step, as
// transformers' get_{linear,cosine,constant}_schedule_with_warmup do: step 0 of
// a warm-up has the factor 0.
type schedule struct {
	kind   string
	warmup int // steps
	total  int // steps
}

// newSchedule resolves the warm-up: a share of the steps below 1, else steps.
func newSchedule(p recipe.TrainPlan, total int) (schedule, error) {
	s := schedule{kind: p.Schedule, total: total, warmup: int(p.Warmup)}
	if p.Warmup < 1 {
		s.warmup = int(p.Warmup * float64(total))
	}
	switch s.kind {
	case "":
		s.kind = "linear"
	case "linear", "cosine", "constant":
	default:
		return s, fmt.Errorf("train.schedule: unknown schedule %q (linear, cosine, constant)", s.kind)
	}
	return s, nil
}

// at is the factor for step, from 0.
func (s schedule) at(step int) float64 {
	if step < s.warmup {
		return float64(step) / float64(max(1, s.warmup))
	}
	done := float64(step-s.warmup) / float64(max(1, s.total-s.warmup))
	switch s.kind {
	case "linear":
		return max(0, 1-done)
	case "cosine":
		return max(0, 0.5*(1+math.Cos(math.Pi*min(done, 1))))
	}
	return 1
}
