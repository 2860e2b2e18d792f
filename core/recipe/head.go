package recipe

import (
	"maps"
	"slices"
	"strings"

	"github.com/islm-dev/islm/sdk"
)

// Outputs names the outputs of a head's module in order: the labels of
// classify, multilabel and pair heads; the tags of tag heads, where "O" comes
// first and then, for each label in the order of the spec, B- and I- (scheme
// bio, the default) or B-, I-, L- and U- (bilou). With scheme none the labels
// are the tags. Heads without labels (regress, rank, embed, qa) have one output, named
// after the head.
func Outputs(spec sdk.HeadSpec) []string {
	switch spec.Kind {
	case sdk.KindTag:
		prefixes := []string{"B-", "I-"}
		switch spec.Scheme {
		case "none":
			return slices.Clone(spec.Labels)
		case "bilou":
			prefixes = []string{"B-", "I-", "L-", "U-"}
		}
		tags := []string{"O"}
		for _, label := range spec.Labels {
			for _, p := range prefixes {
				tags = append(tags, p+label)
			}
		}
		return tags
	case sdk.KindRegress, sdk.KindRank, sdk.KindEmbed, sdk.KindQA:
		return []string{spec.Name}
	}
	return slices.Clone(spec.Labels)
}

// Apply returns spec with what the plan's `heads.NAME` changes in it, and with
// the plan's `train.dropout` where neither says anything about dropout.
func (p *Plan) Apply(spec sdk.HeadSpec) sdk.HeadSpec {
	h := p.Heads[spec.Name]
	if h.Kind != "" {
		spec.Kind = h.Kind
	}
	if len(h.Labels) > 0 {
		spec.Labels = slices.Clone(h.Labels)
	}
	if h.Loss != "" {
		spec.Loss = h.Loss
	}
	if len(h.ClassWeights) > 0 {
		spec.ClassWeights = slices.Clone(h.ClassWeights)
	}
	if h.Pooling != "" {
		spec.Pooling = h.Pooling
	}
	if h.Dropout != nil {
		spec.Dropout = h.Dropout
	}
	if spec.Dropout == nil {
		spec.Dropout = p.Train.Dropout
	}
	if h.Weight != nil {
		spec.Weight = *h.Weight
	}
	if h.Scheme != "" {
		spec.Scheme = h.Scheme
	}
	if h.CRF != nil {
		spec.CRF = *h.CRF
	}
	if spec.Kind == sdk.KindTag && spec.Scheme != "none" {
		spec.Labels = EntityTypes(spec.Labels)
	}
	if len(h.Options) > 0 {
		options := maps.Clone(spec.Options)
		if options == nil {
			options = map[string]string{}
		}
		maps.Copy(options, h.Options)
		spec.Options = options
	}
	if len(h.Metrics) > 0 {
		spec.Metrics = slices.Clone(h.Metrics)
	}
	return spec
}

// EntityTypes brings the labels of a head with entity tags into the form that
// HeadSpec wants: PER for B-PER and I-PER, each once, without O.
func EntityTypes(labels []string) []string {
	var types []string
	for _, l := range labels {
		if l == "O" {
			continue
		}
		if len(l) > 2 && l[1] == '-' && strings.IndexByte("BIESLUM", l[0]) >= 0 {
			l = l[2:]
		}
		if !slices.Contains(types, l) {
			types = append(types, l)
		}
	}
	return types
}
