package recipe

import "slices"

// Ways in which knowledge enters a model: the values of `knowledge.inject`.
const (
	// InjectGazetteer adds an embedding of entity type and position (begin,
	// inside, end, single) to each piece of a linked mention.
	InjectGazetteer = "gazetteer"
	// InjectFeatures adds embeddings of a word's features to its pieces.
	InjectFeatures = "features"
	// InjectEntity fuses vectors of the linked entities into hidden states by a
	// gate, after ERNIE (Zhang et al. 2019, "ERNIE: Enhanced Language
	// Representation with Informative Entities") and K-Adapter (Wang et al. 2021).
	InjectEntity = "entity"
	// InjectText writes facts beside a mention, with soft positions and a
	// visibility mask, as K-BERT (Liu et al. 2020, "K-BERT: Enabling Language
	// Representation with Knowledge Graph").
	InjectText = "text"
	// InjectPrompt writes facts before the text, as words of the input.
	InjectPrompt = "prompt"
)

// Values of `knowledge.control`.
const (
	ControlOff      = "off"
	ControlShuffled = "shuffled" // the right form and amount, the wrong content
	ControlZero     = "zero"     // the same weights without any content
)

// KnowledgePlan says how facts enter the model.
type KnowledgePlan struct {
	Inject        []string  `yaml:"inject"`        // ways, none = off
	KG            string    `yaml:"kg"`            // store or compiled view; "" = facts of the plugins
	Types         []string  `yaml:"types"`         // of the entities that are linked, or ids of entities above them; none = all
	Abbreviations bool      `yaml:"abbreviations"` // link short forms that a text gives to names
	Vectors       string    `yaml:"vectors"`       // safetensors with the vectors of the entities
	Features      []string  `yaml:"features"`      // names of feature templates; none = those of the plugins, else all
	EntityLayers  []float64 `yaml:"entity_layers"` // layers after which vectors are fused; none = the upper half
	EntitySize    int       `yaml:"entity_size"`   // width of the fusion; 0 = half the model's
	TextFacts     int       `yaml:"text_facts"`    // most facts beside a mention
	TextPieces    int       `yaml:"text_pieces"`   // most word pieces of a fact
	PromptPieces  int       `yaml:"prompt_pieces"` // most word pieces of all facts before a text
	Facts         int       `yaml:"facts"`         // most facts of an entity in the compiled view
	FreezeBase    bool      `yaml:"freeze_base"`   // train heads and knowledge weights alone
	LR            float64   `yaml:"lr"`            // of knowledge weights; 0 = train.lr
	Control       string    `yaml:"control"`       // off | shuffled | zero
}

// Inside reports whether knowledge enters within the encoder: in another way than
// as words of the input.
func (k *KnowledgePlan) Inside() bool {
	return slices.ContainsFunc(k.Inject, func(way string) bool { return way != InjectPrompt })
}

// Has reports whether knowledge enters in this way.
func (k *KnowledgePlan) Has(way string) bool { return slices.Contains(k.Inject, way) }

// NeedsGraph reports whether a way needs linked entities.
func (k *KnowledgePlan) NeedsGraph() bool {
	return k.Has(InjectGazetteer) || k.Has(InjectEntity) || k.Has(InjectText) || k.Has(InjectPrompt)
}

// InjectWays lists the ways of injection in order.
func InjectWays() []string {
	return []string{InjectGazetteer, InjectFeatures, InjectEntity, InjectText, InjectPrompt}
}

// Mention is an entity of the graph found in a text, as bytes [Start, End).
type Mention struct {
	Start, End   int
	Entity, Type int32 // numbers of the graph
}

// GraphFact is a fact about an entity, in words.
type GraphFact struct {
	Relation, Object string
	Weight           float64
}

// Linker is a graph as the encoding of examples sees it. It is safe for use by
// many goroutines and answers the same whenever it is asked.
type Linker interface {
	// Link finds mentions, in the order of the text and without overlap.
	Link(text string) []Mention
	// Types are the names of the entity types; Mention.Type counts from 0.
	Types() []string
	// Facts gives the facts of an entity, the weightiest first.
	Facts(entity int32) []GraphFact
}

// Position of a word piece within a mention.
const (
	MarkBegin = iota
	MarkInside
	MarkEnd
	MarkSingle
	MarkPositions // how many there are
)

// Mark is the number that stands for entity type and position of a piece; 0 is
// no mention.
func Mark(entityType int32, position int) int32 {
	return 1 + entityType*MarkPositions + int32(position)
}

// Injected is what knowledge adds to one row. Pieces are counted in the row's
// IDs, special tokens included.
type Injected struct {
	Marks    []int32 // one per id: 0 or Mark; nil = none
	Features []int32 // as many slots per id as Injection.Slots, 0 = none; nil = none
	Mentions []LinkedPieces
	Facts    []InjectedFact
	Pieces   []int32 // ids of all facts, one after the other
}

// LinkedPieces are the pieces [From, To) of a mention of an entity.
type LinkedPieces struct{ From, To, Entity int32 }

// InjectedFact is a fact beside a mention: the next Length of Injected.Pieces.
// Its pieces see each other and those of the mention, which alone see it.
type InjectedFact struct {
	Mention int32 // index in Injected.Mentions
	Length  int32 // pieces
	Fact    int32 // index in the facts of the mention's entity
}

// Width is the number of ids that are computed for a row: its own and those of
// injected facts.
func (e *Encoded) Width() int {
	if e.Inject == nil {
		return len(e.IDs)
	}
	return len(e.IDs) + len(e.Inject.Pieces)
}

// Injection is what an engine must know of injected knowledge besides the rows.
type Injection struct {
	Marks    int // marks are 1 … Marks; 0 = no gazetteer
	Features int // features are 1 … Features; 0 = no features
	Slots    int // features per id
	Dim      int // length of an entity's vector; 0 = no vectors
	// Vector is the vector of an entity, nil if it has none. It must not be
	// changed.
	Vector func(entity int32) []float32
}
