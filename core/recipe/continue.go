package recipe

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ObjectiveContinue trains a finished model on new examples or new labels.
const ObjectiveContinue = "continue"

// ContinuePlan is how a finished model, the plan's base, learns more without
// forgetting what it knows.
type ContinuePlan struct {
	Data        string            `yaml:"data"`        // examples that it was trained on; "" = as its plan says
	Replay      float64           `yaml:"replay"`      // share of them that is trained again
	Balance     bool              `yaml:"balance"`     // replayed examples count for those that are not
	Distill     float64           `yaml:"distill"`     // weight of its own answers
	Temperature float64           `yaml:"temperature"` // of the answers
	EWC         float64           `yaml:"ewc"`         // weight of the distance to its weights
	Fisher      int               `yaml:"fisher"`      // old examples that say which weights matter
	Floors      map[string]string `yaml:"floors"`      // label or HEAD/LABEL -> least F1
}

// Teaching is what teachers say in the training of the plan: of a distillation, or
// of a continued model, which is its own teacher.
func (p *Plan) Teaching() DistillPlan {
	if p.Objective == ObjectiveContinue {
		c := &p.Continue
		return DistillPlan{Labels: 1, Logits: c.Distill, Temperature: c.Temperature, Cache: true}
	}
	return p.Distill
}

// Floor is the least F1 of a label after a continued training.
type Floor struct {
	Text  string  // as the plan says it
	Value float64 // an F1, or what may be lost
	Loss  bool    // Value is what may be lost of the F1 before
}

// EachLabel stands for every old label in continue.floors.
const EachLabel = "*"

// Floor is the floor of one old label of a head, nil if there is none.
func (c *ContinuePlan) Floor(head, label string) *Floor {
	for _, key := range []string{head + "/" + label, label, head + "/" + EachLabel, EachLabel} {
		if text, ok := c.Floors[key]; ok {
			f, _ := parseFloor(text)
			return f
		}
	}
	return nil
}

func parseFloor(text string) (*Floor, bool) {
	f := &Floor{Text: strings.TrimSpace(text)}
	v, err := strconv.ParseFloat(f.Text, 64)
	if err != nil || v < -1 || v > 1 {
		return nil, false
	}
	f.Value, f.Loss = v, v < 0 || strings.HasPrefix(f.Text, "-")
	if f.Loss {
		f.Value = -v
	}
	return f, true
}

// checkContinue finds what no single key can be blamed for.
func (r *resolver) checkContinue(at func(string) place) {
	p := r.plan
	for _, label := range slices.Sorted(maps.Keys(p.Continue.Floors)) {
		if _, ok := parseFloor(p.Continue.Floors[label]); !ok {
			bad := wrong("recipe.value", "continue.floors: %q of %q is no F1", p.Continue.Floors[label], label)
			bad.remedy = "a number in 0..1, or -0.02 for at most 2 points below the F1 before"
			r.report(at("continue.floors"), bad)
		}
	}
	if p.Objective != ObjectiveContinue {
		return
	}
	refuse := func(path, why, remedy string) {
		bad := wrong("recipe.conflict", "%s", why)
		bad.remedy = remedy
		r.report(at(path), bad)
	}
	if p.Vocab.Extend != 0 {
		refuse("vocab.extend", "a continued model keeps its vocabulary: vocab.extend would change what its pieces mean", "train a new model on an extended base")
	}
	if len(p.Knowledge.Inject) > 0 {
		refuse("knowledge.inject", "knowledge cannot be injected into a model that was trained without it", "train a new model with knowledge.inject")
	}
}
