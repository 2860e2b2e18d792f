package metric

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Kinds of head that have a report of their own. Report.Task holds the head's
// full kind (`classify.v0`); these are its first part.
const (
	TaskClassify   = "classify"
	TaskPair       = "pair"
	TaskMultiLabel = "multilabel"
	TaskTag        = "tag"
	TaskRegress    = "regress"
	TaskRank       = "rank"
	TaskEmbed      = "embed"
	TaskSpan       = "span"
	TaskQA         = "qa"
	TaskRelation   = "relation"
	TaskMLM        = "mlm"
	TaskCLM        = "clm"
	TaskGenerate   = "generate"
)

// Report is what one head scored on one split.
type Report struct {
	Task    string `json:"task"`
	Dataset string `json:"dataset"`
	Split   string `json:"split"`
	// N counts examples that have a label, Tokens the labelled tokens of a
	// tagger (0 elsewhere).
	N      int `json:"n"`
	Tokens int `json:"tokens,omitempty"`

	// Accuracy is the share of examples (tagger: tokens) that are right; for
	// multi-label heads the whole set has to be right.
	Accuracy   float64  `json:"accuracy"`
	MicroF1    float64  `json:"micro_f1"`
	MacroF1    float64  `json:"macro_f1"`
	WeightedF1 float64  `json:"weighted_f1"`
	SamplesF1  *float64 `json:"samples_f1,omitempty"` // multi-label only
	EntityF1   *float64 `json:"entity_f1,omitempty"`  // taggers with a scheme, and heads of spans, only
	// RelationF1 is the micro average of all labels but the one that says that there
	// is no relation; heads of relations only.
	RelationF1 *float64 `json:"relation_f1,omitempty"`
	// Loss is the mean loss, where the caller knows it.
	Loss *float64 `json:"loss,omitempty"`

	Majority Majority    `json:"majority"`
	Labels   LabelScores `json:"labels"`
	Averages Averages    `json:"averages"`
	// Unused names the head's labels that occur neither in gold nor among the
	// predictions.
	Unused      []string     `json:"unused,omitempty"`
	Entities    *Entities    `json:"entities,omitempty"`
	Confusion   *Confusion   `json:"confusion,omitempty"` // multi-label: none
	Calibration *Calibration `json:"calibration,omitempty"`
	Regression  *Regression  `json:"regression,omitempty"` // set: all of the above but Task, Dataset, Split, N and Loss is empty

	Ranking *Ranking `json:"ranking,omitempty"` // set: as with Regression
	Answers *Answers `json:"answers,omitempty"` // set: as with Regression
	// LanguageModel is set for heads that predict pieces; like Regression it stands alone.
	LanguageModel *LanguageModel `json:"language_model,omitempty"`
	// Text is set beside LanguageModel where a head wrote texts.
	Text *Text `json:"text,omitempty"`

	// Sample holds the counts per example. Nil in a report that was read.
	Sample *Sample `json:"-"`
}

// LanguageModel is how well pieces were predicted.
type LanguageModel struct {
	Tokens     int     `json:"tokens"`     // that had to be predicted
	LogLoss    float64 `json:"log_loss"`   // mean of -ln p, nats
	Perplexity float64 `json:"perplexity"` // exp of it
}

// NewLanguageModel makes the report of n examples in which tokens pieces had the
// summed log-loss, in nats.
func NewLanguageModel(n, tokens int, logLoss float64) *Report {
	mean := logLoss / float64(max(tokens, 1))
	return &Report{N: n, Tokens: tokens, Loss: &mean, LanguageModel: &LanguageModel{Tokens: tokens, LogLoss: mean, Perplexity: Perplexity(logLoss, tokens)}}
}

// Majority is the score of always giving the most frequent gold answer.
type Majority struct {
	Accuracy float64 `json:"accuracy"`
	MacroF1  float64 `json:"macro_f1"`
	// Label is the answer: a label, for multi-label heads the labels that
	// more than half of the examples have, joined by `|`.
	Label string `json:"label,omitempty"`
}

// Average is one line under the table. Support counts gold labels.
type Average struct {
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Support   int     `json:"support"`
}

// Averages are the lines under the table.
type Averages struct {
	Micro    Average  `json:"micro"`
	Macro    Average  `json:"macro"`
	Weighted Average  `json:"weighted"`
	Samples  *Average `json:"samples,omitempty"` // multi-label only
}

// LabelScore is one row of the table.
type LabelScore struct {
	Label     string  `json:"-"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Support   int     `json:"support"`
}

// LabelScores are rows in the head's label order. As JSON they are an object
// whose keys keep that order.
type LabelScores []LabelScore

// Get returns the row of a label.
func (s LabelScores) Get(label string) (LabelScore, bool) {
	for _, row := range s {
		if row.Label == label {
			return row, true
		}
	}
	return LabelScore{}, false
}

// MarshalJSON writes an object with one key per label.
func (s LabelScores) MarshalJSON() ([]byte, error) {
	return marshalOrdered(len(s), func(i int) (string, any) { return s[i].Label, s[i] })
}

// UnmarshalJSON reads what MarshalJSON wrote and keeps the order of the keys.
func (s *LabelScores) UnmarshalJSON(data []byte) error {
	*s = nil
	return unmarshalOrdered(data, func(key string, dec *json.Decoder) error {
		row := LabelScore{}
		if err := dec.Decode(&row); err != nil {
			return err
		}
		row.Label = key
		*s = append(*s, row)
		return nil
	})
}

// Entities are the scores of conlleval (Tjong Kim Sang, CoNLL-2000 and 2003):
// an entity is right when its first token, last token and type are.
type Entities struct {
	EntityScore
	Types EntityTypes `json:"types"` // sorted by type
}

// EntityScore counts entities of one type, or of all.
type EntityScore struct {
	Type      string  `json:"-"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Support   int     `json:"support"`   // entities in gold
	Predicted int     `json:"predicted"` // entities found
	Correct   int     `json:"correct"`
}

// EntityTypes are rows by type; as JSON an object in their order.
type EntityTypes []EntityScore

// MarshalJSON writes an object with one key per type.
func (s EntityTypes) MarshalJSON() ([]byte, error) {
	return marshalOrdered(len(s), func(i int) (string, any) { return s[i].Type, s[i] })
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *EntityTypes) UnmarshalJSON(data []byte) error {
	*s = nil
	return unmarshalOrdered(data, func(key string, dec *json.Decoder) error {
		row := EntityScore{}
		if err := dec.Decode(&row); err != nil {
			return err
		}
		row.Type = key
		*s = append(*s, row)
		return nil
	})
}

// Confusion counts pairs of gold label (row) and predicted label (column).
// As JSON: {GOLD: {PREDICTED: count}} without zeros, rows in label order, the
// column of missing predictions (Missed) under the empty name.
type Confusion struct {
	Labels []string
	Counts [][]int
	Missed []int // per gold label: no prediction; nil = none
}

// MarshalJSON writes the sparse form.
func (c *Confusion) MarshalJSON() ([]byte, error) {
	return marshalOrdered(len(c.Labels), func(i int) (string, any) {
		row := ordered{}
		for j, n := range c.Counts[i] {
			if n != 0 {
				row = append(row, pair{c.Labels[j], n})
			}
		}
		if c.Missed != nil && c.Missed[i] != 0 {
			row = append(row, pair{"", c.Missed[i]})
		}
		return c.Labels[i], row
	})
}

// UnmarshalJSON reads the sparse form.
func (c *Confusion) UnmarshalJSON(data []byte) error {
	*c = Confusion{}
	rows := []map[string]int{}
	err := unmarshalOrdered(data, func(key string, dec *json.Decoder) error {
		row := map[string]int{}
		if err := dec.Decode(&row); err != nil {
			return err
		}
		c.Labels, rows = append(c.Labels, key), append(rows, row)
		return nil
	})
	if err != nil {
		return err
	}
	index := indexOf(c.Labels)
	for i, row := range rows {
		c.Counts = append(c.Counts, make([]int, len(c.Labels)))
		for label, n := range row {
			if label == "" {
				if c.Missed == nil {
					c.Missed = make([]int, len(c.Labels))
				}
				c.Missed[i] = n
				continue
			}
			j, ok := index[label]
			if !ok {
				return fmt.Errorf("confusion: column %q has no row", label)
			}
			c.Counts[i][j] = n
		}
	}
	return nil
}

// plainReport has Report's fields without its methods.
type plainReport Report

// MarshalJSON leaves out the scores of labels where there are none.
func (r *Report) MarshalJSON() ([]byte, error) {
	if r.Regression == nil && r.Ranking == nil && r.Answers == nil && r.Text == nil {
		return json.Marshal((*plainReport)(r))
	}
	return json.Marshal(struct {
		Task       string      `json:"task"`
		Dataset    string      `json:"dataset"`
		Split      string      `json:"split"`
		N          int         `json:"n"`
		Loss       *float64    `json:"loss,omitempty"`
		Regression *Regression `json:"regression,omitempty"`
		Ranking    *Ranking    `json:"ranking,omitempty"`
		Answers    *Answers    `json:"answers,omitempty"`

		LanguageModel *LanguageModel `json:"language_model,omitempty"`
		Text          *Text          `json:"text,omitempty"`
	}{r.Task, r.Dataset, r.Split, r.N, r.Loss, r.Regression, r.Ranking, r.Answers, r.LanguageModel, r.Text})
}

type pair struct {
	key   string
	value any
}

type ordered []pair

func (o ordered) MarshalJSON() ([]byte, error) {
	return marshalOrdered(len(o), func(i int) (string, any) { return o[i].key, o[i].value })
}

func marshalOrdered(n int, at func(int) (string, any)) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range n {
		key, value := at(i)
		if i > 0 {
			b.WriteByte(',')
		}
		k, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
		b.Write(k)
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func unmarshalOrdered(data []byte, each func(key string, dec *json.Decoder) error) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	token, err := dec.Token()
	if err != nil {
		return err
	}
	if token == nil {
		return nil
	}
	if token != json.Delim('{') {
		return fmt.Errorf("an object was expected, not %v", token)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		name, ok := key.(string)
		if !ok {
			return fmt.Errorf("a key was expected, not %v", key)
		}
		if err := each(name, dec); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	_, err = dec.Token()
	return err
}

func indexOf(labels []string) map[string]int {
	index := make(map[string]int, len(labels))
	for i, label := range labels {
		index[label] = i
	}
	return index
}
