package recipe

import (
	"github.com/islm-dev/islm/sdk"
)

// Idle finds what keeps a plan of one training from training anything, before it
// begins: a learning rate of 0, and a distillation all of whose losses have the weight 0. Plans of finished models are not
// held against it.
func (p *Plan) Idle() (ds sdk.Diagnostics) {
	if !Trained(p.Objective) {
		return nil
	}
	bad := func(path, summary, remedy string) {
		ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "train.nothing", Path: path, Summary: summary, Remedy: remedy})
	}
	if p.Train.LR == 0 { // the other rates are shares of it
		bad("train.lr", "the learning rate is 0: nothing would be trained, heads and adapters neither", "set train.lr; heads alone are trained with train.freeze=encoder")
	}
	if d := &p.Distill; p.Objective == ObjectiveDistill && !d.NeedsStates() && d.Labels == 0 && d.Logits == 0 {
		bad("distill.labels", "all losses of the distillation have the weight 0: nothing would be trained", "give one of distill.labels, distill.logits, distill.hidden, distill.attention, distill.relation and distill.embeddings a weight above 0")
	}
	return ds
}

// IdleHeads finds heads to be trained whose share of the joint loss is 0. Language
// models that a weight of 0 leaves out are not among the heads of a run.
func (p *Plan) IdleHeads(heads []sdk.HeadSpec) (ds sdk.Diagnostics) {
	if !Trained(p.Objective) {
		return nil
	}
	for _, h := range heads {
		if w := p.Heads[h.Name].Weight; w != nil && *w == 0 {
			remedy := "give it a weight above 0, or leave its labels out of the data (data.labels, data.head)"
			if h.LanguageModel() {
				remedy = "give it a weight above 0"
			}
			ds.Add(sdk.Diagnostic{Severity: sdk.Error, Code: "train.nothing", Path: "heads." + h.Name + ".weight",
				Summary: "head " + h.Name + " (" + h.Kind + ") has the weight 0: nothing would train it", Remedy: remedy})
		}
	}
	return ds
}
