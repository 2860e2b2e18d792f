package sdk

// Term is one word or phrase of a domain's vocabulary.
type Term struct {
	Text      string   `json:"text"`                // as written, NFC
	Kind      string   `json:"kind,omitempty"`      // free: ticker, metric, drug, …
	Canonical string   `json:"canonical,omitempty"` // preferred form, "" if Text is it
	Synonyms  []string `json:"synonyms,omitempty"`
	EntityID  string   `json:"entity_id,omitempty"` // the entity it names, if any
	Weight    float64  `json:"weight,omitempty"`    // importance, 0 means 1
	Lang      string   `json:"lang,omitempty"`      // BCP 47, "" for any
}

// Entity is one thing that a domain knows by name.
type Entity struct {
	ID    string            `json:"id"`
	Type  string            `json:"type"` // one of KGSchema.Entities
	Names []string          `json:"names,omitempty"`
	Props map[string]string `json:"props,omitempty"`
}

// Fact is one statement about an entity. Exactly one of Object and Literal is
// set: Object is an entity's ID, Literal a plain value.
type Fact struct {
	Subject  string  `json:"subject"`
	Relation string  `json:"relation"` // one of KGSchema.Relations
	Object   string  `json:"object,omitempty"`
	Literal  string  `json:"literal,omitempty"`
	Source   string  `json:"source,omitempty"` // where the statement is taken from
	Weight   float64 `json:"weight,omitempty"` // confidence, 0 means 1
}

// FactItem is one element of a stream of knowledge: an entity or a fact. All
// entities come before the first fact.
type FactItem struct {
	Entity *Entity `json:"entity,omitempty"`
	Fact   *Fact   `json:"fact,omitempty"`
}

// RuleFile is one file of an augmentation rule pack, as shipped.
type RuleFile struct {
	Path   string `json:"path"` // slash-separated; files of shared packs start with the pack's name
	Data   []byte `json:"-"`
	SHA256 string `json:"sha256"` // of Data, lower-case hexadecimal
}
