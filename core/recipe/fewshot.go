package recipe

import (
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// ObjectiveFewShot learns a classifier from a few examples of each class.
const ObjectiveFewShot = "fewshot"

// checkFewShot refuses what learning from a few examples would leave aside. What a
// plugin only advises is left out with a warning.
func (r *resolver) checkFewShot(at func(string) place) {
	p := r.plan
	if p.Objective != ObjectiveFewShot {
		return
	}
	for _, k := range []struct {
		path, why, remedy string
		on                bool
		off               func()
	}{
		{"knowledge.inject", "the vectors of few-shot methods are those of the base alone: nothing is injected", "make a base of the few-shot model: islm train --base MODEL --set knowledge.inject=...", len(p.Knowledge.Inject) > 0, func() { p.Knowledge.Inject = nil }},
		{"augment.packs", "few-shot methods see the drawn examples as they are: rule packs do not vary them", "write variants with islm rules apply, or train with islm train", len(p.Augment.Packs) > 0, func() { p.Augment.Packs = nil }},
		{"train.peft", "few-shot methods train the whole encoder or nothing of it", "islm train with train.peft", p.Train.Peft != "" && p.Train.Peft != PeftOff, func() { p.Train.Peft = PeftOff }},
	} {
		if !k.on {
			continue
		}
		if strings.HasPrefix(p.Origin[k.path], "advice of ") {
			k.off()
			r.ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "fewshot.advice", Path: k.path, Summary: "the " + p.Origin[k.path] + " on " + k.path + " is left aside: " + k.why})
			continue
		}
		bad := wrong("recipe.conflict", "%s: %s", k.path, k.why)
		bad.remedy = k.remedy
		r.report(at(k.path), bad)
	}
}
