package sdk

// ManifestSchema is the value of schema: in domain.yaml.
const ManifestSchema = "islm/domain.v0"

// Manifest is domain.yaml: everything static about a domain.
type Manifest struct {
	Schema   string     `yaml:"schema" json:"schema" schema:"islm/domain.v0"`
	Name     string     `yaml:"name" json:"name" required:"true"`       // lower-case letters, digits and hyphens
	Version  string     `yaml:"version" json:"version" required:"true"` // semantic version
	Summary  string     `yaml:"summary" json:"summary,omitempty"`       // one sentence
	Homepage string     `yaml:"homepage" json:"homepage,omitempty"`
	Licences []Licence  `yaml:"licences" json:"licences,omitempty"`
	Options  []Option   `yaml:"options" json:"options,omitempty" key:"name"`
	Datasets []Dataset  `yaml:"datasets" json:"datasets,omitempty" key:"name"`
	Heads    []HeadSpec `yaml:"heads" json:"heads,omitempty"`
	KG       KGSchema   `yaml:"kg" json:"kg,omitzero"`
	// Features are classes of words that suit the domain's texts.
	Features []FeatureSpec `yaml:"features" json:"features,omitempty" key:"name"`
	// Vocab, Rules and Facts list the domain's files by glob or path, relative to
	// domain.yaml. Left out, they mean vocab/*.tsv, rules/*.yaml and kg/*.tsv.
	// After LoadManifest they hold the files found, sorted.
	Vocab []string `yaml:"vocab" json:"vocab,omitempty"`
	Rules []string `yaml:"rules" json:"rules,omitempty"`
	Facts []string `yaml:"facts" json:"facts,omitempty"`
	// Advice holds recipe keys that suit the domain, nested as in a recipe file.
	Advice map[string]any `yaml:"advice" json:"advice,omitempty"`
}

// Licence states under which terms a part of a domain is passed on.
type Licence struct {
	Data   string `yaml:"data" json:"data" required:"true"` // path or glob of what it covers
	SPDX   string `yaml:"spdx" json:"spdx" required:"true"` // SPDX identifier
	Source string `yaml:"source" json:"source,omitempty"`   // where it was taken from
	Note   string `yaml:"note" json:"note,omitempty"`
}

// Option is a setting that a person can give a plugin.
type Option struct {
	Name     string   `yaml:"name" json:"name" required:"true"`
	Type     string   `yaml:"type" json:"type,omitempty"` // string (default), int, float, bool, enum or path
	Default  string   `yaml:"default" json:"default,omitempty"`
	Help     string   `yaml:"help" json:"help,omitempty"`
	Required bool     `yaml:"required" json:"required,omitempty"`
	Secret   bool     `yaml:"secret" json:"secret,omitempty"` // never printed, logged or part of a digest in clear
	Values   []string `yaml:"values" json:"values,omitempty"` // enum: what it can be
	// Graph says that the option, a path, names knowledge that joins the domain's facts,
	// and its format as 'islm kg import --format' takes it; "auto" goes by the name. The host reads it.
	Graph string `yaml:"graph" json:"graph,omitempty"`
}

// Dataset is labelled text that a domain brings or can read.
type Dataset struct {
	Name     string   `yaml:"name" json:"name"`
	Task     string   `yaml:"task" json:"task,omitempty"`       // the head that a bare label belongs to
	Heads    []string `yaml:"heads" json:"heads,omitempty"`     // heads with labels in it; left out: Task's
	Splits   []string `yaml:"splits" json:"splits,omitempty"`   // found or declared, see Splits
	Format   string   `yaml:"format" json:"format,omitempty"`   // embedded files: jsonl or conll
	Hook     string   `yaml:"hook" json:"hook,omitempty"`       // the Reader that reads it
	Path     string   `yaml:"path" json:"path,omitempty"`       // embedded: prefix of its files, default data/NAME
	Summary  string   `yaml:"summary" json:"summary,omitempty"` // one sentence
	Citation string   `yaml:"citation" json:"citation,omitempty"`
	License  string   `yaml:"license" json:"license,omitempty"` // SPDX identifier
	URL      string   `yaml:"url" json:"url,omitempty"`         // where to get what a hook reads
	// Embedded says that the domain's files hold at least one split; LoadManifest
	// sets it.
	Embedded bool `yaml:"-" json:"embedded,omitempty"`
}

// KGSchema names what a domain's facts may be about.
type KGSchema struct {
	Entities  []string `yaml:"entities" json:"entities,omitempty"`   // entity types
	Relations []string `yaml:"relations" json:"relations,omitempty"` // relation names
}

// Description is what a plugin says about itself: the answer of Describe and the
// output of "BINARY describe". Two calls give the same bytes.
type Description struct {
	Name          string         `json:"name"`
	Version       string         `json:"version"`
	SDKVersion    string         `json:"sdk_version"`
	ProtocolMinor int            `json:"protocol_minor"`
	Summary       string         `json:"summary,omitempty"`
	Homepage      string         `json:"homepage,omitempty"`
	Licences      []Licence      `json:"licences,omitempty"`
	Options       []Option       `json:"options,omitempty"`
	Datasets      []Dataset      `json:"datasets,omitempty"`
	Heads         []HeadSpec     `json:"heads,omitempty"`
	Readers       []string       `json:"readers,omitempty"`    // names of reader hooks, sorted
	Augmenters    []string       `json:"augmenters,omitempty"` // names of augmenter hooks, sorted
	KG            KGSchema       `json:"kg,omitzero"`
	Features      []FeatureSpec  `json:"features,omitempty"`
	Vocab         []string       `json:"vocab,omitempty"` // vocabulary files
	Rules         []RuleFile     `json:"rules,omitempty"` // rule files with their digests, packs included
	Facts         []string       `json:"facts,omitempty"` // knowledge files
	Advice        map[string]any `json:"advice,omitempty"`
	// Digest is the sha256 of all files of the domain and its packs, in
	// hexadecimal; it changes with any byte of them.
	Digest string `json:"digest"`
	// Diagnostics are the problems found in the domain's own files.
	Diagnostics Diagnostics `json:"diagnostics,omitempty"`
}
