package recipe

import "slices"

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
