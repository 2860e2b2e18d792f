package recipe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// AllLinear in peft.targets stands for every linear map of the layers.
const AllLinear = "all-linear"

// Values of `train.peft`: what is trained instead of the whole encoder. The
// heads are always trained.
const (
	PeftOff = "off"
	// PeftLoRA adds B·A·alpha/rank to weights (Hu et al. 2022, "LoRA: Low-Rank
	// Adaptation of Large Language Models").
	PeftLoRA = "lora"
	// PeftRSLoRA scales by alpha/√rank (Kalajdzievski 2023, "A Rank Stabilization
	// Scaling Factor for Fine-Tuning with LoRA").
	PeftRSLoRA = "rslora"
	// PeftDoRA trains the length of each output's weights apart from their
	// direction (Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation").
	PeftDoRA = "dora"
	// PeftAdaLoRA shares a budget of ranks out among the weights (Zhang et al.
	// 2023, "Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning").
	PeftAdaLoRA = "adalora"
	// PeftIA3 scales keys, values and feed-forward inputs (Liu et al. 2022,
	// "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than
	// In-Context Learning").
	PeftIA3 = "ia3"
	// PeftHoulsby adds a bottleneck after attention and feed-forward part (Houlsby
	// et al. 2019, "Parameter-Efficient Transfer Learning for NLP").
	PeftHoulsby = "houlsby"
	// PeftPfeiffer adds one after the feed-forward part only (Pfeiffer et al. 2021,
	// "AdapterFusion: Non-Destructive Task Composition for Transfer Learning").
	PeftPfeiffer = "pfeiffer"
	// PeftPrefix gives each layer's attention trained keys and values, made by a
	// small network while training (Li and Liang 2021, "Prefix-Tuning: Optimizing
	// Continuous Prompts for Generation").
	PeftPrefix = "prefix"
	// PeftPTuning is P-tuning v2: the keys and values themselves are trained (Liu
	// et al. 2022, "P-Tuning v2").
	PeftPTuning = "ptuning"
	// PeftPrompt puts trained vectors before the text's (Lester et al. 2021, "The
	// Power of Scale for Parameter-Efficient Prompt Tuning").
	PeftPrompt = "prompt"
	// PeftBitFit trains the biases (Ben Zaken et al. 2022, "BitFit").
	PeftBitFit = "bitfit"
)

// PeftMethods lists the values of `train.peft`.
func PeftMethods() []string {
	return []string{PeftOff, PeftLoRA, PeftRSLoRA, PeftDoRA, PeftAdaLoRA, PeftIA3, PeftHoulsby, PeftPfeiffer, PeftPrefix, PeftPTuning, PeftPrompt, PeftBitFit}
}

// PeftPlan shapes what `train.peft` adds to the encoder.
type PeftPlan struct {
	Rank       int      `yaml:"rank"`       // of low-rank updates; of adalora the mean at the end
	Alpha      float64  `yaml:"alpha"`      // scale of low-rank updates
	Dropout    float64  `yaml:"dropout"`    // of their input
	Targets    []string `yaml:"targets"`    // ends of the names of adapted linear maps; none = the method's own
	Bottleneck int      `yaml:"bottleneck"` // width of houlsby and pfeiffer
	Act        string   `yaml:"act"`        // their activation
	Tokens     int      `yaml:"tokens"`     // virtual tokens of prefix, ptuning and prompt
	Projection int      `yaml:"projection"` // width of the network of prefix; 0 = the model's

	// AdaLoRA.
	InitRank   int     `yaml:"init_rank"`  // of each weight at first; 0 = half more than rank
	Warmup     float64 `yaml:"warmup"`     // share of the steps before ranks fall
	Final      float64 `yaml:"final"`      // share of the steps after they are settled
	Every      int     `yaml:"every"`      // steps from one allocation to the next
	Beta1      float64 `yaml:"beta1"`      // decay of the mean importance
	Beta2      float64 `yaml:"beta2"`      // decay of its uncertainty
	Orthogonal float64 `yaml:"orthogonal"` // weight of the orthogonality loss
}

// HasAdapter reports whether the method adds weights, which travel as an adapter
// folder instead of a whole model.
func HasAdapter(method string) bool {
	return !slices.Contains([]string{"", PeftOff, PeftBitFit}, method)
}

// TrainsTerms reports whether the method trains the rows that vocab.extend gives new
// terms beside weights of its own: the LoRA family, whose configs have
// trainable_token_indices in peft.
func TrainsTerms(method string) bool {
	return slices.Contains([]string{PeftLoRA, PeftRSLoRA, PeftDoRA, PeftAdaLoRA}, method)
}

// checkTerms refuses new terms beside adapters that have no place for their rows.
// A stage that only makes a base trains no adapter; few-shot methods, pre-training and
// continued models say themselves what they refuse.
func (r *resolver) checkTerms(at func(string) place) {
	p := r.plan
	if p.Vocab.Extend == 0 || !HasAdapter(p.Train.Peft) || TrainsTerms(p.Train.Peft) ||
		slices.Contains([]string{ObjectiveVocab, ObjectiveFewShot, ObjectivePretrain, ObjectiveContinue}, p.Objective) {
		return
	}
	why := fmt.Sprintf("adapters of the kind %s have no place for the rows of new terms", p.Train.Peft)
	if origin := p.Origin["vocab.extend"]; strings.HasPrefix(origin, "advice of ") {
		p.Vocab.Extend = 0
		r.ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "adapter.vocabulary", Path: "vocab.extend", Summary: "the " + origin + " on vocab.extend is left aside: " + why})
		return
	}
	r.report(at("vocab.extend"), &problem{code: "adapter.vocabulary", summary: why, index: -1,
		remedy: "set train.peft to lora, rslora, dora or adalora, or train the adapter on a base that has the terms ('islm vocab extend')"})
}

// VirtualTokens is how many positions of the model train.peft takes from each text:
// those of the keys and values of prefix and ptuning, and of the vectors of prompt.
func (p *Plan) VirtualTokens() int {
	if slices.Contains([]string{PeftPrefix, PeftPTuning, PeftPrompt}, p.Train.Peft) {
		return p.Peft.Tokens
	}
	return 0
}

// Mergeable reports whether what the method trains can become part of the base's
// weights: its output is linear in the layer's own input.
func Mergeable(method string) bool {
	return slices.Contains([]string{PeftLoRA, PeftRSLoRA, PeftDoRA, PeftAdaLoRA, PeftIA3}, method)
}

// PeftRates is a learning rate of a method to begin with, and one of its heads, 0 =
// the same: what does well on the validation rows of Financial PhraseBank with
// MiniLM (bench/methods). Each is far above that of full tuning. ok is false for
// what trains no small part.
func PeftRates(method string) (lr, head float64, ok bool) {
	switch method {
	case PeftLoRA, PeftRSLoRA, PeftDoRA, PeftHoulsby, PeftPfeiffer:
		return 1e-3, 0, true
	case PeftAdaLoRA:
		return 2e-3, 0, true
	case PeftBitFit:
		return 5e-3, 0, true
	case PeftIA3, PeftPTuning, PeftPrompt:
		return 1e-2, 0, true
	case PeftPrefix:
		return 5e-4, 1e-2, true // each step moves all weights of the network that makes it
	}
	return 0, 0, false
}

// checkRate warns where small updates would be trained at a rate that nobody chose
// for them.
func (r *resolver) checkRate() {
	p := r.plan
	lr, head, ok := PeftRates(p.Train.Peft)
	if !ok || p.Chosen("train.lr") || p.Train.LR*4 > lr {
		return
	}
	remedy := fmt.Sprintf("--set train.lr=%g", lr)
	if head > 0 {
		remedy += fmt.Sprintf(" --set train.head_lr=%g", head)
	}
	r.ds.Add(sdk.Diagnostic{Severity: sdk.Warning, Code: "peft.lr", Path: "train.lr",
		Summary: fmt.Sprintf("train.peft=%s trains few weights, for which a learning rate of %g, that of full tuning, is low", p.Train.Peft, p.Train.LR), Remedy: remedy + " is a rate to begin with"})
}
