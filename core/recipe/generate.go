package recipe

// GeneratePlan is how a causal language model continues a prompt.
type GeneratePlan struct {
	MaxNewTokens      int      `yaml:"max_new_tokens"`
	Beams             int      `yaml:"beams"`       // 1 = none
	Temperature       float64  `yaml:"temperature"` // 0 = the most probable token, no draws
	TopK              int      `yaml:"top_k"`       // 0 = off
	TopP              float64  `yaml:"top_p"`       // 1 = off
	RepetitionPenalty float64  `yaml:"repetition_penalty"`
	LengthPenalty     float64  `yaml:"length_penalty"`
	Stop              []string `yaml:"stop"`
}

// Generation is all that an engine needs to continue prompts.
type Generation struct {
	GeneratePlan
	Seed uint64  // of draws
	End  []int32 // ids that end a text; they are no part of it
	// Stopped reports whether generated ids hold one of the plan's stops. It is a
	// function of the ids alone; nil = there are none.
	Stopped func(ids []int32) bool
}

// Values of Generated.Finish.
const (
	FinishEnd    = "end"    // the model said that the text is complete
	FinishStop   = "stop"   // a text of generate.stop came
	FinishLength = "length" // as many tokens as were allowed, or as the model has positions
)

// Generated is the continuation of a prompt.
type Generated struct {
	IDs     []int32
	LogProb float64 // ln of the probability of IDs and the end, with the repetition penalty in it
	Finish  string
}

// checkGenerate reports settings of which one would do nothing beside another.
func (r *resolver) checkGenerate(at func(string) place) {
	g := &r.plan.Generate
	draws := func(path string) {
		bad := wrong("recipe.conflict", "%s says among which tokens is drawn, but generate.temperature is off: nothing is drawn", path)
		bad.remedy = "set generate.temperature, for example to 1"
		r.report(at(path), bad)
	}
	switch {
	case g.Temperature > 0 && g.Beams > 1:
		bad := wrong("recipe.conflict", "generate.temperature draws tokens, generate.beams=%d searches the most probable text", g.Beams)
		bad.remedy = "drop one of them"
		r.report(at("generate.temperature"), bad)
	case g.Temperature == 0 && g.TopK > 0:
		draws("generate.top_k")
	case g.Temperature == 0 && g.TopP < 1:
		draws("generate.top_p")
	}
	if g.Beams == 1 && g.LengthPenalty != 1 {
		bad := wrong("recipe.conflict", "generate.length_penalty compares beams, and there is one")
		bad.remedy = "set generate.beams"
		r.report(at("generate.length_penalty"), bad)
	}
}
